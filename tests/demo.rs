//! The demo, as the README has people run it: the lines that it prints, typed
//! into a shell, give the answers that it printed.

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test stops at the first surprise"
)]

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

#[path = "support/skip.rs"]
mod skip;

/// A debug build on two busy cores starts in well under this.
const PATIENCE: Duration = Duration::from_secs(60);

/// One question as the demo showed it.
struct Shown {
    title: String,
    answer: Vec<String>,
    command: String,
}

/// The demo, ended when the test is.
struct Demo(Child);

impl Drop for Demo {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Cargo builds examples with the tests, beside their folder.
fn program() -> PathBuf {
    let tests = std::env::current_exe().unwrap();
    tests.parent().unwrap().parent().unwrap().join("examples/demo")
}

fn shown(out: impl BufRead) -> Vec<Shown> {
    let mut all: Vec<Shown> = Vec::new();
    for line in out.lines().map(Result::unwrap) {
        if line.starts_with("Serving until Ctrl-C") {
            return all;
        }
        if let Some(title) = line.strip_prefix("== ") {
            let title = title.to_owned();
            all.push(Shown {
                title,
                answer: Vec::new(),
                command: String::new(),
            });
        } else if let (Some(answer), Some(last)) = (line.strip_prefix("   < "), all.last_mut()) {
            last.answer.push(answer.to_owned());
        } else if let (true, Some(last)) = (line.contains("| socat "), all.last_mut()) {
            last.command = line.trim().to_owned();
        }
    }
    panic!("the demo ended before it served: {} questions shown", all.len());
}

#[test]
fn the_printed_lines_give_the_printed_answers() {
    if Command::new("socat")
        .arg("-V")
        .stdout(Stdio::null())
        .status()
        .is_err()
    {
        let required = std::env::var("VOUCH_PEERS").is_ok_and(|peers| peers == "required");
        assert!(!required, "socat is not installed");
        skip::skipped("not installed: socat");
        return;
    }
    let child = Command::new(program())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut demo = Demo(child);
    let all = shown(BufReader::new(demo.0.stdout.take().unwrap()));
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
        command,
    } in &all
    {
        let asked = Command::new("sh").arg("-c").arg(command).output().unwrap();
        let again: Vec<String> = String::from_utf8(asked.stdout)
            .unwrap()
            .lines()
            .map(|line| line.replace('\t', "<TAB>"))
            .collect();
        assert!(
            again.iter().filter(same).eq(answer.iter().filter(same)),
            "{title}\nshown {answer:#?}\nagain {again:#?}"
        );
    }

    kill(Pid::from_raw(i32::try_from(demo.0.id()).unwrap()), Signal::SIGINT).unwrap();
    let asked = Instant::now();
    while demo.0.try_wait().unwrap().is_none() {
        assert!(asked.elapsed() < PATIENCE, "Ctrl-C does not end the demo");
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(demo.0.wait().unwrap().success());
}
