//! `vouch serve`: what it says, what it listens on, and how it ends.

use std::collections::HashMap;
use std::fs;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use base64::prelude::{BASE64_STANDARD, Engine};
use remote::{Protocol, Server};

use crate::outside::{Bounded, PASSWORD, World, directory, listener, people, vouch, wait_until};
use crate::support::Process;

/// A running daemon and what it has logged.
pub(crate) struct Daemon {
    pub(crate) process: Process,
    log: PathBuf,
}

impl Daemon {
    /// Starts it on the configuration that is there, and waits until it says that it is ready.
    pub(crate) fn start(world: &World) -> Self {
        let mut command = vouch();
        command
            .args(["serve", "-c"])
            .arg(world.scratch.path("vouch.toml"));
        let daemon = Self::run(world, &mut command);
        let said = |words: &str| daemon.log().contains(words);
        wait_until("the daemon", || said(" ready ") || said("\"ready\""));
        daemon
    }

    /// Runs it by this command.
    pub(crate) fn run(world: &World, command: &mut Command) -> Self {
        Self {
            process: Process::start(&world.scratch, "serve", command),
            log: world.scratch.path("serve.log"),
        }
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    /// Its log is in this file from here on.
    pub(crate) fn logs_to(&mut self, file: PathBuf) {
        self.log = file;
    }

    /// Waits for a line that holds all of `words`.
    pub(crate) fn logged(&self, words: &[&str]) -> String {
        let mut found = None;
        wait_until(&format!("{words:?} in the log"), || {
            let log = self.log();
            found = log
                .lines()
                .find(|line| words.iter().all(|word| line.contains(word)))
                .map(str::to_owned);
            found.is_some()
        });
        found.unwrap()
    }

    /// Sends it a signal, and waits for its end.
    pub(crate) fn ends_by(mut self, signal: &str) -> Option<i32> {
        assert!(self.process.signal(signal));
        wait_until("the end of the daemon", || self.log().contains("drained"));
        self.process.stop().and_then(|status| status.code())
    }
}

/// Asks a policy listener, and returns its action.
pub(crate) fn ask(socket: &Path, recipient: &str) -> String {
    let request = format!(
        "request=smtpd_access_policy\nprotocol_state=RCPT\nclient_address=192.0.2.7\n\
         instance=3013.6b040f2c.d8fc5.0\nrecipient={recipient}\n\n"
    );
    exchange(socket, request.as_bytes())
}

/// Sends bytes, half-closes, and reads to the end.
pub(crate) fn exchange(socket: &Path, bytes: &[u8]) -> String {
    let mut stream = UnixStream::connect(socket).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(40))).unwrap();
    stream.write_all(bytes).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// A world with an SMTP remote and a policy listener on the socket that is returned; `more` for the listener.
pub(crate) fn world(more: &str) -> (World, Server, PathBuf) {
    let world = World::new();
    let remote = world.remote(people(Protocol::Smtp));
    let socket = world.scratch.path("policy");
    world.config(
        &(directory("remote", "smtp", remote.port())
            + &listener("recipients", "policy", &socket, "remote")
            + more),
    );
    (world, remote, socket)
}

pub(crate) const JANE: &str = "jane@example.org";

#[test]
fn it_says_when_it_is_ready_and_answers() {
    let (world, _remote, socket) = world("");
    let daemon = Daemon::start(&world);
    let listening = daemon.logged(&[" INFO ", "listening"]);
    for word in ["listener=recipients", "protocol=policy", socket.to_str().unwrap()] {
        assert!(listening.contains(word), "no {word} in {listening}");
    }
    assert_eq!(ask(&socket, JANE), "action=DUNNO\n\n");
    assert_eq!(
        ask(&socket, "nobody@example.org"),
        "action=550 5.1.1 User unknown\n\n"
    );
    assert!(ask(&socket, "trouble@example.org").starts_with("action=DEFER_IF_PERMIT 4.4.3 "));
    assert_eq!(ask(&socket, "jane@example.net"), "action=DUNNO\n\n");
    assert_eq!(daemon.ends_by("TERM"), Some(0));
}

#[test]
fn an_auth_listener_greets_and_answers() {
    let world = World::new();
    let remote = world.remote(people(Protocol::Imap));
    let socket = world.scratch.path("auth");
    world.config(
        &(directory("remote", "imap", remote.port()) + &listener("logins", "auth", &socket, "remote")),
    );
    let daemon = Daemon::start(&world);
    let ask = |password: &str| {
        let response = BASE64_STANDARD.encode(format!("\0{JANE}\0{password}"));
        exchange(
            &socket,
            format!("VERSION\t1\t2\nCPID\t7\nAUTH\t1\tPLAIN\tservice=smtp\tresp={response}\n").as_bytes(),
        )
    };
    let answer = ask(PASSWORD);
    assert!(
        answer.contains("MECH\tPLAIN\tplaintext\n") && answer.contains("\nDONE\n"),
        "{answer}"
    );
    assert!(answer.ends_with("OK\t1\tuser=jane@example.org\n"), "{answer}");
    assert!(ask("wrong").contains("FAIL\t1\tuser=jane@example.org"));
    assert!(!daemon.log().contains(PASSWORD) && !daemon.log().contains("wrong"));
    let line = fields(&daemon.logged(&["verdict=accept"]));
    assert_eq!(
        (
            line["listener"].as_str(),
            line["question"].as_str(),
            line["about"].as_str()
        ),
        ("logins", "login", JANE)
    );
    assert_eq!(daemon.ends_by("TERM"), Some(0));
}

/// The fields of a verdict's line, in which a value stands bare or in double quotes.
fn fields(line: &str) -> HashMap<String, String> {
    let (time, rest) = line.trim_start().split_once(' ').unwrap();
    assert!(time.ends_with('Z') && time.contains('T'), "no time in {line}");
    let mut rest = rest.trim_start().strip_prefix("INFO ").unwrap().trim();
    let mut fields = HashMap::new();
    while !rest.is_empty() {
        let (name, value) = rest.split_once('=').unwrap();
        let (value, after) = match value.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').unwrap(),
            None => value.split_once(' ').unwrap_or((value, "")),
        };
        assert!(
            name.bytes().all(|byte| byte.is_ascii_lowercase()),
            "{name:?} in {line}"
        );
        assert!(
            fields.insert(name.to_owned(), value.to_owned()).is_none(),
            "{name} twice in {line}"
        );
        rest = after.trim_start();
    }
    fields
}

#[test]
fn each_verdict_is_one_line_of_fields() {
    let (world, _remote, socket) = world("");
    let daemon = Daemon::start(&world);
    for (recipient, verdict, cause, directory, source, answer, detail) in [
        (JANE, "accept", "-", "remote", "probe", "DUNNO", "-"),
        (
            "nobody@example.org", "reject", "unknown-user", "remote", "probe", "550 5.1.1 User unknown",
            "550 5.1.1 ",
        ),
        (
            "trouble@example.org",
            "defer",
            "temporary",
            "remote",
            "probe",
            "DEFER_IF_PERMIT 4.4.3 Recipient lookup failed, try again later",
            "451 4.3.0 ",
        ),
        (
            "jane@example.net", "abstain", "not-ours", "-", "local", "DUNNO",
            "no directory of this listener serves its domain",
        ),
    ] {
        ask(&socket, recipient);
        let line = daemon.logged(&[&format!("about={recipient} ")]);
        let mut fields = fields(&line);
        let took = fields.remove("us").unwrap();
        assert!(took.parse::<u64>().is_ok(), "{line}");
        assert!(fields.remove("detail").unwrap().starts_with(detail), "{line}");
        let expected = [
            ("listener", "recipients"),
            ("question", "recipient"),
            ("about", recipient),
            ("verdict", verdict),
            ("cause", cause),
            ("source", source),
            ("directory", directory),
            ("client", "192.0.2.7"),
            ("instance", "3013.6b040f2c.d8fc5.0"),
            ("answer", answer),
        ];
        let expected = expected
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into();
        assert_eq!(fields, expected, "{line}");
        assert_eq!(
            daemon.log().matches(recipient).count() - detail_mentions(&line, recipient),
            1
        );
    }
}

/// How often the remote's words in a line name the recipient too.
fn detail_mentions(line: &str, recipient: &str) -> usize {
    line.matches(recipient).count() - 1
}

#[test]
fn term_and_int_end_it_with_0_and_take_the_socket_away() {
    for signal in ["TERM", "INT"] {
        let (world, _remote, socket) = world("");
        let daemon = Daemon::start(&world);
        // A client that is connected and asks nothing holds nothing up.
        let idle = UnixStream::connect(&socket).unwrap();
        assert_eq!(daemon.ends_by(signal), Some(0), "by {signal}");
        assert!(!socket.exists());
        drop(idle);
    }
}

#[test]
fn a_hang_up_signal_does_not_end_it() {
    let (world, _remote, socket) = world("");
    let daemon = Daemon::start(&world);
    assert!(daemon.process.signal("HUP"));
    daemon.logged(&["INFO", "reloaded: no listener is any different"]);
    assert_eq!(ask(&socket, JANE), "action=DUNNO\n\n");
    assert_eq!(daemon.ends_by("TERM"), Some(0));
}

#[test]
fn a_question_under_way_is_answered_before_the_end() {
    let (world, remote, socket) = world("");
    let daemon = Daemon::start(&world);
    remote.set_fault(remote::Fault::HangBeforeReply.at("RCPT"));
    let asking = {
        let socket = socket.clone();
        std::thread::spawn(move || ask(&socket, JANE))
    };
    wait_until("the question at the remote", || remote.count("RCPT") > 0);
    assert!(daemon.process.signal("TERM"));
    daemon.logged(&["draining"]);
    world.stop(&remote);
    assert!(
        asking
            .join()
            .unwrap()
            .starts_with("action=DEFER_IF_PERMIT 4.4.3 ")
    );
    assert_eq!(daemon.ends_by("TERM"), Some(0));
}

/// Runs `vouch serve` on the configuration that is there, which must end by itself. Status and standard error.
pub(crate) fn refused(world: &World) -> (i32, String) {
    let ran = world.vouch(&["serve"]);
    ran.says_nothing();
    (ran.status, ran.err)
}

#[test]
fn a_standard_error_that_nobody_reads_does_not_end_it() {
    let (world, _remote, socket) = world("");
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = vouch();
    command
        .args(["serve", "-c"])
        .arg(world.scratch.path("vouch.toml"))
        .stderr(writer);
    let mut daemon = Bounded(command.spawn().unwrap());
    wait_until("the socket", || UnixStream::connect(&socket).is_ok());
    assert_eq!(ask(&socket, JANE), "action=DUNNO\n\n");
    assert_eq!(
        ask(&socket, "nobody@example.org"),
        "action=550 5.1.1 User unknown\n\n"
    );
    let id = nix::unistd::Pid::from_raw(daemon.0.id() as i32);
    nix::sys::signal::kill(id, nix::sys::signal::Signal::SIGTERM).unwrap();
    assert!(daemon.ended().success());
}
