//! The demos, as the README has people run them: the lines that they print, typed
//! into a shell, give the answers that they printed, with `socat` and without.

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test stops at the first surprise"
)]

use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

#[path = "demo/fleet.rs"]
mod fleet;
#[path = "support/skip.rs"]
mod skip;

/// A debug build on two busy cores starts in well under this.
const PATIENCE: Duration = Duration::from_secs(60);

/// One question as the demo showed it.
struct Shown {
    title: String,
    answer: Vec<String>,
    logged: String,
    command: String,
}

/// The demo, ended when the test is.
struct Demo(Child);

impl Demo {
    /// Its end, once somebody has typed Ctrl-C.
    fn interrupted(&mut self) -> ExitStatus {
        kill(Pid::from_raw(i32::try_from(self.0.id()).unwrap()), Signal::SIGINT).unwrap();
        let asked = Instant::now();
        while self.0.try_wait().unwrap().is_none() {
            assert!(asked.elapsed() < PATIENCE, "Ctrl-C does not end the demo");
            std::thread::sleep(Duration::from_millis(10));
        }
        self.0.wait().unwrap()
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Cargo builds examples with all the tests, beside their folder.
fn program(name: &str) -> PathBuf {
    let tests = std::env::current_exe().unwrap();
    let examples = tests.parent().unwrap().parent().unwrap().join("examples");
    let demo = examples.join(name);
    assert!(
        demo.exists(),
        "not built with this test alone: cargo build --example {name}"
    );
    demo
}

/// The questions, and the other commands that it says may be typed.
fn shown(out: impl BufRead) -> (Vec<Shown>, Vec<String>) {
    let mut all: Vec<Shown> = Vec::new();
    let mut commands = Vec::new();
    for line in out.lines().map(Result::unwrap) {
        if line.starts_with("Serving until Ctrl-C") {
            return (all, commands);
        }
        if let Some(title) = line.strip_prefix("== ") {
            all.push(Shown {
                title: title.to_owned(),
                answer: Vec::new(),
                logged: String::new(),
                command: String::new(),
            });
            continue;
        }
        let (Some(line), Some(last)) = (line.strip_prefix("   "), all.last_mut()) else {
            continue;
        };
        if let Some(answer) = line.strip_prefix("< ") {
            last.answer.push(answer.to_owned());
        } else if let Some(logged) = line.strip_prefix("log: ") {
            last.logged = logged.to_owned();
        } else if line.starts_with("printf ") {
            last.command = line.to_owned();
        } else if !line.starts_with("> ") {
            commands.push(line.to_owned());
        }
    }
    panic!("the demo ended before it served: {} questions shown", all.len());
}

/// What a shell makes of it, line by line; and whether it succeeds.
fn typed(command: &str) -> (Vec<String>, bool) {
    let ran = Command::new("sh").arg("-c").arg(command).output().unwrap();
    let out = String::from_utf8(ran.stdout).unwrap();
    let lines = out.lines().map(|line| line.replace('\t', "<TAB>")).collect();
    (lines, ran.status.success())
}

/// Runs it to its end, where programs are found in `path`. The lines hold `by`.
fn the_lines_give_the_answers(path: &OsStr, by: &str) {
    let child = Command::new(program("demo"))
        .env("PATH", path)
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap();
    let mut demo = Demo(child);
    let (all, commands) = shown(BufReader::new(demo.0.stdout.take().unwrap()));
    assert_eq!(
        all.len(),
        8,
        "four recipients, and two logins by each of IMAP and SMTP"
    );

    // Numbers that differ by connection.
    let same = |line: &&String| !line.starts_with("CUID") && !line.starts_with("COOKIE");
    for Shown {
        title,
        answer,
        logged,
        command,
    } in &all
    {
        assert!(command.contains(by), "{command}");
        let (again, _) = typed(command);
        assert!(
            again.iter().filter(same).eq(answer.iter().filter(same)),
            "{title}\nshown {answer:#?}\nagain {again:#?}"
        );
        let about = title.split([' ', ':']).nth(1).unwrap();
        assert!(
            logged.contains(&format!(" about={about} ")) && logged.contains(" verdict="),
            "{title}: {logged}"
        );
    }
    assert_eq!(commands.len(), 3, "{commands:?}");
    for command in commands {
        let (said, success) = typed(&command);
        assert!(success && !said.is_empty(), "{command}: {said:?}");
    }

    assert!(demo.interrupted().success());
}

#[test]
fn the_printed_lines_give_the_printed_answers() {
    let path = std::env::var_os("PATH").unwrap_or_default();
    if !std::env::split_paths(&path).any(|folder| folder.join("socat").is_file()) {
        let required = std::env::var("VOUCH_PEERS").is_ok_and(|peers| peers == "required");
        assert!(!required, "socat is not installed");
        skip::skipped("not installed: socat");
        return;
    }
    the_lines_give_the_answers(&path, " | socat ");
}

#[test]
fn so_do_those_for_who_has_no_socat() {
    the_lines_give_the_answers(OsStr::new("/nowhere"), "/demo ask ");
}
