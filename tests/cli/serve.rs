//! `vouch serve`: what it says, what it listens on, and how it ends.

use std::collections::HashMap;
use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use base64::prelude::{BASE64_STANDARD, Engine};
use remote::{Protocol, Server};

use crate::outside::{Bounded, PASSWORD, World, directory, listener, people, vouch, wait_until};
use crate::support::{Process, free_port};

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

/// A socket may be an address as well: a policy listener on any, an auth listener on loopback.
#[test]
fn listeners_open_on_addresses_too() {
    let world = World::new();
    let lmtp = world.remote(people(Protocol::Lmtp));
    let imap = world.remote(people(Protocol::Imap));
    let (policy, auth) = (free_port(), free_port());
    let tcp = |port: u16| PathBuf::from(format!("127.0.0.1:{port}"));
    world.config(
        &(directory("mailboxes", "lmtp", lmtp.port())
            + &directory("imap", "imap", imap.port())
            + &listener("recipients", "policy", &tcp(policy), "mailboxes")
            + &listener("logins", "auth", &tcp(auth), "imap")),
    );
    let daemon = Daemon::start(&world);
    let ask = |port: u16, request: &str| {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(40))).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    let recipient = "request=smtpd_access_policy\nprotocol_state=RCPT\nrecipient=nobody@example.org\n\n";
    assert_eq!(ask(policy, recipient), "action=550 5.1.1 User unknown\n\n");
    let response = BASE64_STANDARD.encode(format!("\0{JANE}\0{PASSWORD}"));
    let login = format!("VERSION\t1\t2\nCPID\t7\nAUTH\t1\tPLAIN\tservice=imap\tresp={response}\n");
    assert!(ask(auth, &login).ends_with("OK\t1\tuser=jane@example.org\n"));
    assert_eq!(daemon.ends_by("INT"), Some(0));
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
            "no directory of this listener has its domain",
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
fn the_socket_has_the_configured_mode() {
    for (more, expected) in [
        ("", 0o660),
        ("mode = \"0600\"\n", 0o600),
        ("mode = \"0666\"\n", 0o666),
    ] {
        let (world, _remote, socket) = world(more);
        let daemon = Daemon::start(&world);
        let mode = fs::metadata(&socket).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, expected, "{mode:o}");
        assert_eq!(daemon.ends_by("TERM"), Some(0));
    }
}

/// What a listener says to whoever connects, until it closes; nothing is asked.
fn greeted(socket: &Path) -> String {
    exchange(socket, b"")
}

#[test]
fn a_listener_with_peers_closes_on_everybody_else_and_says_so_once() {
    let ours = nix::unistd::geteuid();
    let world = World::new();
    let remote = world.remote(people(Protocol::Imap));
    let listener = |name: &str, peers: &str| {
        let socket = world.scratch.path(name);
        let text = listener(name, "auth", &socket, "remote") + &format!("peers = {peers}\n");
        (socket, text)
    };
    let group = nix::unistd::getegid();
    let (by_user, first) = listener("by-user", &format!("[{ours}]"));
    let (by_group, second) = listener("by-group", &format!("[\"4711\", \"@{group}\"]"));
    let (others, third) = listener("others", "[4711, \"@4712\"]");
    world.config(&(directory("remote", "imap", remote.port()) + &first + &second + &third));
    let daemon = Daemon::start(&world);
    for socket in [&by_user, &by_group] {
        assert!(
            greeted(socket).starts_with("VERSION\t1\t"),
            "{}",
            socket.display()
        );
    }
    for _ in 0..20 {
        assert_eq!(greeted(&others), "");
    }
    let line = daemon.logged(&[" ERROR ", "listener \"others\"", "none of its peers"]);
    let id = std::process::id();
    for word in [format!("user {ours} and group {group}"), format!("process {id} ")] {
        assert!(line.contains(&word), "no {word} in {line}");
    }
    assert_eq!(daemon.log().matches("none of its peers").count(), 1);
    assert_eq!(daemon.ends_by("TERM"), Some(0));
}

#[test]
fn a_live_socket_is_refused_with_the_process_that_listens_there() {
    let (world, _remote, _socket) = world("");
    let daemon = Daemon::start(&world);
    let (status, err) = refused(&world);
    assert_eq!(status, 71, "{err}");
    let words = format!("another process {} (vouch) listens there", daemon.process.id());
    assert!(err.contains(&words), "no {words:?} in {err}");
    assert_eq!(daemon.ends_by("TERM"), Some(0));
}

#[test]
fn names_of_nobody_are_refused_before_anything_is_bound() {
    for (more, words) in [
        ("owner = \"no-such-user\"\n", "there is no user no-such-user"),
        ("group = \"no-such-group\"\n", "there is no group no-such-group"),
        (
            "peers = [\"no-such-user\"]\n", "peers: there is no user no-such-user",
        ),
        (
            "peers = [\"@no-such-group\"]\n", "peers: there is no group no-such-group",
        ),
    ] {
        let (world, _remote, socket) = world(more);
        let (status, err) = refused(&world);
        assert_eq!(status, 71, "{err}");
        assert!(err.contains(words) && !socket.exists(), "no {words:?} in {err}");
    }
}

#[test]
fn a_socket_that_a_killed_daemon_left_is_replaced() {
    let (world, _remote, socket) = world("");
    let mut killed = Daemon::start(&world);
    assert!(killed.process.signal("KILL"));
    killed.process.stop();
    assert!(
        UnixStream::connect(&socket).is_err() && socket.exists(),
        "it left its socket"
    );
    let daemon = Daemon::start(&world);
    assert_eq!(ask(&socket, JANE), "action=DUNNO\n\n");
    assert_eq!(daemon.ends_by("TERM"), Some(0));
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
fn a_socket_that_cannot_be_bound_ends_it_with_71_and_what_is_in_the_way() {
    let world = World::new();
    let folder = world.scratch.folder("folder");
    world.scratch.write("file", "precious");
    let taken = world.scratch.path("taken");
    let _held = UnixListener::bind(&taken).unwrap();
    let missing = world.scratch.path("missing/policy");
    for (socket, words) in [
        (missing.as_path(), &["missing does not exist", "make it by"][..]),
        (&taken, &["another process ", "listens there", "running already"]),
        (&world.scratch.path("file"), &["not a socket"]),
        (&folder, &["not a socket"]),
    ] {
        world
            .config(&(directory("remote", "smtp", 25) + &listener("recipients", "policy", socket, "remote")));
        let (status, err) = refused(&world);
        assert_eq!(status, 71, "{err}");
        for word in words
            .iter()
            .chain(&["ERROR", "\"recipients\"", socket.to_str().unwrap()])
        {
            assert!(err.contains(word), "no {word:?} in {err}");
        }
    }
    assert_eq!(fs::read(world.scratch.path("file")).unwrap(), b"precious");
    assert!(
        UnixStream::connect(&taken).is_ok(),
        "the other process still listens"
    );
}

#[test]
fn a_listener_that_cannot_be_bound_takes_the_others_sockets_away_again() {
    let world = World::new();
    let (good, bad) = (world.scratch.path("good"), world.scratch.path("missing/bad"));
    world.config(
        &(directory("remote", "smtp", 25)
            + &listener("a", "policy", &good, "remote")
            + &listener("b", "auth", &bad, "remote")),
    );
    let (status, err) = refused(&world);
    assert_eq!(status, 71, "{err}");
    assert!(!good.exists());
}

#[test]
fn a_second_daemon_on_the_same_socket_is_refused_and_the_first_serves_on() {
    let (world, _remote, socket) = world("");
    let daemon = Daemon::start(&world);
    let (status, err) = refused(&world);
    assert_eq!(status, 71, "{err}");
    assert_eq!(ask(&socket, JANE), "action=DUNNO\n\n");
    assert_eq!(daemon.ends_by("TERM"), Some(0));
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
