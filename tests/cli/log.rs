//! The log of `vouch serve`: its forms, and how much is in it.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::process::Command;

use base64::prelude::{BASE64_STANDARD, Engine};
use remote::{Fault, Protocol};
use serde_json::{Map, Value};

use crate::outside::{Bounded, PASSWORD, World, directory, listener, people, vouch, wait_until};
use crate::serve::{Daemon, JANE, ask, exchange, world};
use crate::terminal::Terminal;

/// The log so far, as JSON.
fn objects(daemon: &Daemon) -> Vec<Map<String, Value>> {
    let log = daemon.log();
    // The last line may be half written.
    let whole = log.rfind('\n').map_or("", |end| &log[..end]);
    let object = |line: &str| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    whole.lines().map(object).collect()
}

/// Every listener's verdict has the same members, each of one type.
#[test]
fn in_json_each_line_is_an_object_and_each_listener_says_the_same() {
    let world = World::new();
    let remote = world.remote(people(Protocol::Smtp));
    let socket = |name| world.scratch.path(name);
    let listeners = [("recipients", "policy"), ("logins", "auth"), ("users", "userdb")];
    let mut config = directory("remote", "smtp", remote.port());
    for (name, protocol) in listeners {
        config += &listener(name, protocol, &socket(name), "remote");
    }
    world.config(&(config + "[log]\nformat = \"json\"\n"));
    let daemon = Daemon::start(&world);
    assert_eq!(ask(&socket("recipients"), JANE), "action=DUNNO\n\n");
    ask(&socket("recipients"), "a\u{1b}[31m\"\\\u{9b}b@example.org");
    let response = BASE64_STANDARD.encode(format!("\0{JANE}\0{PASSWORD}"));
    let login = format!(
        "VERSION\t1\t2\nCPID\t7\nAUTH\t1\tPLAIN\tservice=imap\tsession=s\trip=192.0.2.7\tresp={response}\n"
    );
    exchange(&socket("logins"), login.as_bytes());
    let lookup = format!("VERSION\t1\t0\nUSER\t1\t{JANE}\tservice=lmtp\n");
    exchange(&socket("users"), lookup.as_bytes());
    let mut verdicts = Vec::new();
    wait_until("four verdicts", || {
        verdicts = objects(&daemon);
        verdicts.retain(|line| line["target"] == "vouch::verdict");
        verdicts.len() == 4
    });
    let members: BTreeSet<&str> = [
        "time", "level", "target", "message", "listener", "question", "about", "verdict", "cause", "source",
        "directory", "us", "client", "instance", "answer", "detail",
    ]
    .into();
    for line in &verdicts {
        let missing = members.iter().find(|member| !line.contains_key(**member));
        assert_eq!(missing, None, "{line:?}");
        assert!(line["us"].is_u64() && line["level"] == "info", "{line:?}");
        let texts = ["listener", "question", "verdict", "source"];
        assert!(texts.iter().all(|member| line[*member].is_string()), "{line:?}");
    }
    for (name, question) in [
        ("recipients", "recipient"),
        ("logins", "login"),
        ("users", "user"),
    ] {
        let of_listener = |line: &&Map<_, _>| line["listener"] == name && line["question"] == question;
        assert!(verdicts.iter().any(|line| of_listener(&line)), "{name}");
    }
    assert!(
        verdicts
            .iter()
            .any(|line| line["client"] == "192.0.2.7" && line["instance"] == "s")
    );
    assert!(
        objects(&daemon)
            .iter()
            .any(|line| line["message"] == "ready" && line["ms"].is_u64())
    );
    assert!(!daemon.log().contains(PASSWORD));
    assert_eq!(daemon.ends_by("TERM"), Some(0));
}

#[test]
fn signals_change_the_level_and_change_it_back() {
    let (world, _remote, socket) = world("");
    let daemon = Daemon::start(&world);
    ask(&socket, JANE);
    let shows_dialog = |daemon: &Daemon| daemon.log().contains("RCPT TO:<");
    assert!(!shows_dialog(&daemon));
    for level in ["debug", "trace"] {
        assert!(daemon.process.signal("USR1"));
        daemon.logged(&[
            "INFO",
            &format!("the log level is now {level}"),
            "configured=info",
        ]);
    }
    ask(&socket, "nobody@example.org");
    daemon.logged(&["TRACE", " C: RCPT TO:<nobody@example.org>"]);
    assert!(daemon.process.signal("USR2"));
    daemon.logged(&["INFO", "the log level is now info"]);
    ask(&socket, "nobody2@example.org");
    daemon.logged(&["INFO", "about=nobody2@example.org"]);
    assert!(!daemon.log().contains("RCPT TO:<nobody2@"));
    assert_eq!(daemon.ends_by("TERM"), Some(0));
}

/// Where nothing else is said, too, for then nobody would know what has changed.
#[test]
fn a_change_of_level_is_told_at_every_level() {
    let (world, _remote, socket) = world("[log]\nlevel = \"error\"\n");
    let mut command = vouch();
    let command = command
        .args(["serve", "-c"])
        .arg(world.scratch.path("vouch.toml"));
    let daemon = Daemon::run(&world, command);
    // It is there before anybody listens to signals: none may be lost, or end the daemon.
    wait_until("the socket", || socket.exists());
    assert!(daemon.process.signal("USR2"));
    let line = daemon.logged(&["INFO", "the log level is now error"]);
    assert_eq!(daemon.log().lines().collect::<Vec<_>>(), [line]);
}

/// The variable alone is inherited by all that somebody starts from a service: it must name
/// this very standard error.
#[test]
fn a_line_suits_the_journal_only_if_it_goes_there() {
    let command = |world: &World, stream: String| -> Command {
        let mut command = vouch();
        command
            .args(["serve", "-c"])
            .arg(world.scratch.path("vouch.toml"))
            .env("JOURNAL_STREAM", stream);
        command
    };
    let (world, _remote, _socket) = world("[log]\nformat = \"plain\"\n");
    let log = fs::metadata(world.scratch.write("serve.log", "")).unwrap();
    let own = format!("{}:{}", log.dev(), log.ino());
    for (stream, begins) in [(own, true), ("1:1".to_owned(), false), (String::new(), false)] {
        let daemon = Daemon::run(&world, &mut command(&world, stream));
        let line = daemon.logged(&["INFO", " ready "]);
        assert_eq!(line.starts_with("<6>INFO ready "), begins, "{line}");
        assert_eq!(line.contains('Z'), !begins, "{line}");
        daemon.ends_by("TERM");
    }
}

#[test]
fn a_level_is_coloured_on_a_terminal_unless_no_color_is_set() {
    let world = World::new();
    let remote = world.remote(people(Protocol::Smtp));
    // What the answer says is not warned of as well; what to configure is.
    remote.set_fault(Fault::reply_with("RCPT", "550 the moon is full"));
    let config = world.config(&directory("remote", "smtp", remote.port()));
    for (no_color, level) in [("", "\u{1b}[33m WARN\u{1b}[0m "), ("1", " WARN ")] {
        let terminal = Terminal::new();
        let mut command = vouch();
        command
            .args(["probe", "recipient", "jane@example.org", "-c"])
            .arg(&config)
            .env("NO_COLOR", no_color)
            .stderr(terminal.stream());
        assert_eq!(Bounded(command.spawn().unwrap()).ended().code(), Some(75));
        wait_until("a warning", || terminal.shown().contains(level));
        assert_eq!(terminal.shown().contains('\u{1b}'), no_color.is_empty());
    }
}
