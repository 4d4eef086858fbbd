//! What a terminal changes: the prompt for a password, which does not echo, and the progress bar.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use nix::pty::{Winsize, openpty};
use nix::sys::signal::Signal;
use nix::sys::termios::{LocalFlags, tcgetattr};
use remote::{Delays, Protocol};

use crate::outside::{Bounded, PASSWORD, World, directory, people, plain, run, vouch, wait_until};
use crate::support::{program, skipped};

/// A pseudo-terminal, and all that was shown on it.
pub(crate) struct Terminal {
    screen: File,
    inside: OwnedFd,
    shown: Arc<Mutex<String>>,
}

impl Terminal {
    pub(crate) fn new() -> Self {
        let size = Winsize {
            ws_row: 24,
            ws_col: 80,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        let pair = openpty(&size, None).unwrap();
        let screen = File::from(pair.master);
        let shown = Arc::new(Mutex::new(String::new()));
        let mut reading = screen.try_clone().unwrap();
        let collected = Arc::clone(&shown);
        // Ends with an error when the last program inside has closed the terminal.
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = reading.read(&mut bytes) {
                let text = String::from_utf8_lossy(&bytes[..count]);
                collected
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push_str(&text);
            }
        });
        Self {
            screen,
            inside: pair.slave,
            shown,
        }
    }

    /// The terminal as a standard stream of a program.
    pub(crate) fn stream(&self) -> Stdio {
        self.inside.try_clone().unwrap().into()
    }

    pub(crate) fn types(&mut self, text: &str) {
        self.screen.write_all(text.as_bytes()).unwrap();
    }

    pub(crate) fn shown(&self) -> String {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn echoes(&self) -> bool {
        let settings = tcgetattr(self.inside.as_fd()).unwrap();
        settings.local_flags.contains(LocalFlags::ECHO)
    }
}

/// `vouch` in a session of its own that `terminal` controls, as under a login shell; `None`, said aloud, where
/// util-linux is missing.
pub(crate) fn logged_in_at(terminal: &Terminal) -> Option<Command> {
    let Some(setsid) = program("setsid") else {
        skipped("not installed: setsid");
        return None;
    };
    let mut command = plain(Command::new(setsid));
    command
        .arg("--ctty")
        .arg(env!("CARGO_BIN_EXE_vouch"))
        .stdin(terminal.stream());
    Some(command)
}

/// `vouch probe login` at a terminal that controls it, up to its prompt.
fn prompted(terminal: &Terminal, world: &World) -> Option<Bounded> {
    let mut command = logged_in_at(terminal)?;
    command
        .args(["probe", "login", "jane@example.org", "-c"])
        .arg(world.scratch.path("vouch.toml"))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let child = Bounded(command.spawn().unwrap());
    wait_until("the prompt", || {
        terminal.shown().contains("Password for jane@example.org: ")
    });
    wait_until("the end of echo", || !terminal.echoes());
    Some(child)
}

pub(crate) fn read_all(stream: Option<impl Read>) -> String {
    let mut text = String::new();
    stream.unwrap().read_to_string(&mut text).unwrap();
    text
}

#[test]
fn the_prompt_for_a_password_does_not_echo_and_the_terminal_echoes_again_after_it() {
    let world = World::new();
    let remote = world.remote(people(Protocol::Imap));
    world.config(&directory("remote", "imap", remote.port()));
    let mut terminal = Terminal::new();
    assert!(terminal.echoes());
    let Some(mut child) = prompted(&terminal, &world) else {
        return;
    };
    terminal.types(&format!("{PASSWORD}\n"));
    let status = child.ended();
    let (out, err) = (read_all(child.0.stdout.take()), read_all(child.0.stderr.take()));
    assert_eq!(status.code(), Some(0), "{out}{err}");
    assert!(out.starts_with("jane@example.org: accepted ("), "{out}");
    assert_eq!(err, "");
    assert!(terminal.echoes());
    // The line ends there too, behind all that could have been echoed.
    wait_until("the end of the prompt's line", || {
        terminal.shown().ends_with('\n')
    });
    for shown in [terminal.shown(), out] {
        assert!(!shown.contains(PASSWORD), "{shown}");
        // Not a letter of it either, not even masked by stars: its length is nobody's business.
        assert!(!shown.contains('*') && !shown.contains("cor"), "{shown}");
    }
}

#[test]
fn control_c_at_the_prompt_asks_nobody_and_leaves_the_terminal_as_it_was() {
    let world = World::new();
    let remote = world.remote(people(Protocol::Imap));
    world.config(&directory("remote", "imap", remote.port()));
    let mut terminal = Terminal::new();
    let Some(mut child) = prompted(&terminal, &world) else {
        return;
    };
    terminal.types("abc\u{3}");
    let status = child.ended();
    let err = read_all(child.0.stderr.take());
    // As every program that Ctrl-C ends, so that a script around it ends as well.
    assert_eq!(status.signal(), Some(Signal::SIGINT as i32), "{status}: {err}");
    assert!(terminal.echoes(), "the terminal is left without echo");
    assert_eq!(remote.accepted(), 0);
}

#[test]
fn without_a_terminal_and_a_file_a_login_ends_with_64_and_says_what_would_do() {
    let world = World::new();
    let remote = world.remote(people(Protocol::Imap));
    let config = world.config(&directory("remote", "imap", remote.port()));
    let config = config.to_str().unwrap();
    let arguments = ["probe", "login", "jane@example.org", "-c", config];
    let Some(setsid) = program("setsid") else {
        // Under a terminal of the tests' own this would ask there.
        let ran = File::open("/dev/tty").is_err().then(|| run(arguments, PASSWORD));
        assert!(ran.is_none_or(|ran| ran.status == 64));
        return;
    };
    let mut command = assert_cmd::Command::from_std(plain(Command::new(setsid)));
    command
        .arg("--wait")
        .arg(env!("CARGO_BIN_EXE_vouch"))
        .args(arguments);
    let output = command
        .write_stdin(PASSWORD)
        .timeout(Duration::from_secs(60))
        .output()
        .unwrap();
    let err = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(64), "{err}");
    assert_eq!(output.stdout, b"");
    assert!(
        err.contains("no terminal") && err.contains("--password-file"),
        "{err}"
    );
    assert_eq!(remote.accepted(), 0);
}

#[test]
fn many_addresses_show_a_bar_on_a_terminal_and_none_in_a_pipe() {
    let world = World::new();
    let mut options = people(Protocol::Lmtp);
    options.delays = Delays {
        reply: Duration::from_millis(20),
        ..Delays::default()
    };
    let remote = world.remote(options);
    let config = world.config(&directory("mailbox", "lmtp", remote.port()));
    let mut arguments = vec!["probe", "recipient", "-c", config.to_str().unwrap()];
    arguments.extend(["jane@example.org"; 100]);

    let terminal = Terminal::new();
    let mut command = vouch();
    command
        .args(&arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(terminal.stream());
    let mut child = Bounded(command.spawn().unwrap());
    let out = read_all(child.0.stdout.take());
    assert_eq!(child.ended().code(), Some(0));
    wait_until("the bar", || terminal.shown().contains("/100 addresses"));
    assert_eq!(out.lines().count(), 100);
    let answers_only = |out: &str| {
        out.lines()
            .all(|line| line.starts_with("jane@example.org: exists ("))
    };
    assert!(answers_only(&out), "{out}");

    let piped = run(&arguments, "").ended(0);
    piped.complains_of_nothing();
    assert!(answers_only(&piped.out));

    let alone = Terminal::new();
    let mut command = vouch();
    command
        .args(&arguments[..5])
        .stdin(Stdio::null())
        .stdout(alone.stream())
        .stderr(alone.stream());
    assert_eq!(Bounded(command.spawn().unwrap()).ended().code(), Some(0));
    wait_until("the answer", || alone.shown().contains("exists"));
    assert!(
        !alone.shown().contains("addresses"),
        "one address needs no bar: {:?}",
        alone.shown()
    );
}
