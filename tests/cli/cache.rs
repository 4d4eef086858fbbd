//! `vouch cache` and `vouch log`: what the running daemon remembers and logs, and how both are changed.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::thread;

use base64::prelude::{BASE64_STANDARD, Engine};
use remote::Protocol;
use serde_json::Value;

use crate::outside::{PASSWORD, World, directory, listener, people, run, wait_until};
use crate::serve::{Daemon, JANE, ask, exchange};

const NOBODY: &str = "nobody@example.org";

/// A daemon that is asked about recipients, which it remembers on disk, and about logins; its control socket has the
/// name `control`.
fn remembering() -> (World, [remote::Server; 2]) {
    let world = World::new();
    let remotes = [Protocol::Smtp, Protocol::Imap].map(|protocol| world.remote(people(protocol)));
    let path = |name| world.scratch.path(name);
    world.config(&format!(
        "{}cache.file = \"{}\"\n{}cache.credentials.positive = \"1h\"\n{}{}[control]\nsocket = \"{}\"\n",
        directory("mailbox", "smtp", remotes[0].port()),
        path("mailbox.redb").display(),
        directory("imap", "imap", remotes[1].port()),
        listener("recipients", "policy", &path("policy"), "mailbox"),
        listener("logins", "auth", &path("auth"), "imap"),
        path("control").display()
    ));
    (world, remotes)
}

fn log_in(world: &World, user: &str, password: &str) -> String {
    let response = BASE64_STANDARD.encode(format!("\0{user}\0{password}"));
    let request = format!("VERSION\t1\t2\nCPID\t7\nAUTH\t1\tPLAIN\tservice=imap\tresp={response}\n");
    exchange(&world.scratch.path("auth"), request.as_bytes())
}

fn json(world: &World, arguments: &[&str]) -> Value {
    let ran = world.vouch(&[arguments, &["--json"]].concat());
    serde_json::from_str(&ran.out).unwrap()
}

/// What a line at the control socket is answered with.
fn told(socket: &Path, line: &[u8]) -> String {
    let mut stream = UnixStream::connect(socket).unwrap();
    stream.write_all(line).unwrap();
    let mut answer = String::new();
    // What was not read of a line that is too long ends it in a reset, behind the answer.
    let _ = stream.read_to_string(&mut answer);
    answer
}

#[test]
fn the_memory_is_listed_looked_up_and_purged() {
    let (world, remotes) = remembering();
    let daemon = Daemon::start(&world);
    world
        .vouch(&["cache", "list"])
        .ended(0)
        .says(&["nothing is cached\n"]);
    let policy = world.scratch.path("policy");
    let asked = || {
        assert_eq!(ask(&policy, JANE), "action=DUNNO\n\n");
        assert_eq!(ask(&policy, NOBODY), "action=550 5.1.1 User unknown\n\n");
        assert!(log_in(&world, JANE, PASSWORD).contains("\nOK\t1\t"));
        assert!(log_in(&world, JANE, "hunter2 and more").contains("\nFAIL\t1\t"));
    };
    asked();

    let ran = world.vouch(&["cache", "list"]).ended(0);
    ran.complains_of_nothing().says(&[
        "DIRECTORY  WHAT       VERDICT  CAUSE ", "\nmailbox    recipient  accept   -      ",
        "\nmailbox    recipient  reject   unknown-user  ", "\nimap       login      accept   -      ",
        " in 29 min  in 6 days  jane@example.org\n", "\nrefused logins, kept as hashes only: 1\n",
    ]);
    let list = json(
        &world,
        &["cache", "list", "--limit", "1", "--domain", "EXAMPLE.org"],
    );
    assert_eq!(
        (&list["found"], &list["entries"][0]["name"]),
        (&3.into(), &JANE.into())
    );
    assert_eq!(list["entries"].as_array().unwrap().len(), 1);
    let list = json(&world, &["cache", "list", "--domain", "example.net"]);
    assert_eq!(list["found"], 0);

    let ran = world.vouch(&["cache", "get", JANE]).ended(0);
    ran.says(&[
        "mailbox: jane@example.org exists, ", "imap: jane@example.org may log in, ",
    ]);
    let ran = world.vouch(&["cache", "get", NOBODY]).ended(0);
    ran.says(&[
        "mailbox: nobody@example.org is refused (unknown-user: 550 5.1.1 ",
        "expires in 11",
    ]);
    let ran = world.vouch(&["cache", "get", "else@example.org"]).ended(1);
    ran.says(&["no cached answer for else@example.org\n"])
        .complains_of_nothing();
    let ran = world
        .vouch(&["cache", "get", JANE, "else@example.org", NOBODY])
        .ended(1);
    ran.complains_of_nothing().says(&[
        "mailbox: jane@example.org exists, ", "no cached answer for else@example.org\n",
        "mailbox: nobody@example.org is refused ",
    ]);
    world.vouch(&["cache", "get", JANE, NOBODY]).ended(0);
    let ran = world.vouch(&["cache", "get", "--json", JANE, NOBODY]).ended(0);
    let names: Vec<Value> = ran
        .out
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["name"].take())
        .collect();
    assert_eq!(names, [JANE, NOBODY]);
    // Nothing of a password is anywhere in it.
    for arguments in [&["cache", "get", JANE][..], &["cache", "list"], &["status"]] {
        let text = json(&world, arguments).to_string();
        assert!(!text.contains(PASSWORD) && !text.contains("hunter2"), "{text}");
    }

    let purged = |arguments: &[&str]| {
        let answer = json(&world, &[&["cache", "purge"], arguments].concat());
        assert_eq!(
            answer["files-waiting"].as_array().map(Vec::len),
            Some(0),
            "{answer}"
        );
        ["recipients", "logins", "refused-logins"].map(|member| answer[member].as_u64().unwrap())
    };
    assert_eq!(purged(&[JANE]), [1, 1, 1]);
    assert_eq!(purged(&[JANE]), [0, 0, 0]);
    world.vouch(&["cache", "get", JANE]).ended(1);
    world.vouch(&["cache", "get", NOBODY]).ended(0);
    asked();
    assert_eq!(purged(&["--user", JANE, "-d", "mailbox"]), [0, 0, 0]);
    assert_eq!(purged(&["--user", JANE]), [0, 1, 1]);
    assert_eq!(purged(&["--domain", "example.org"]), [2, 0, 0]);
    asked();
    assert_eq!(purged(&["--directory", "imap"]), [0, 1, 1]);
    world
        .vouch(&["cache", "purge", "--all"])
        .ended(0)
        .says(&["deleted: recipients 2, accepted logins 0, refused logins 0\n"]);
    daemon.logged(&[
        "the memory was purged by order of vouch cache", "about=jane@example.org", "logins=1",
    ]);

    // What was purged is purged from the disk; what was found since is there.
    assert_eq!(ask(&policy, NOBODY), "action=550 5.1.1 User unknown\n\n");
    assert_eq!(daemon.ends_by("TERM"), Some(0));
    let daemon = Daemon::start(&world);
    daemon.logged(&["mailbox.redb: read", "recipients=1"]);
    world.vouch(&["cache", "get", JANE]).ended(1);
    world.vouch(&["cache", "get", NOBODY]).ended(0);
    let questions = remotes[0].recipients().len();
    assert_eq!(ask(&policy, NOBODY), "action=550 5.1.1 User unknown\n\n");
    assert_eq!(ask(&policy, JANE), "action=DUNNO\n\n");
    assert_eq!(remotes[0].recipients().len(), questions + 1);
    assert_eq!(daemon.ends_by("TERM"), Some(0));
}

#[test]
fn a_wrong_line_is_64_and_no_daemon_is_69() {
    let (world, _remotes) = remembering();
    for (arguments, complaint) in [
        (
            &["cache", "purge"][..],
            "<ADDRESS|--user <USER>|--domain <DOMAIN>|--directory <NAME>|--all>",
        ),
        (&["cache", "purge", JANE, "--all"], "cannot be used with"),
        (&["cache", "purge", "jane"], "--user takes any name"),
        (&["cache", "purge", "--domain", "a b"], "not a domain name"),
        (&["cache", "list", "--limit", "0"], "0 is not in 1..=10000"),
        (
            &["cache", "list", "-d", "nope"],
            "there is no directory \"nope\"; the directories are: mailbox, imap",
        ),
        (&["cache", "get"], "<ADDRESS>"),
        (
            &["log", "level", "loud"],
            "possible values: error, warn, info, debug, trace, reset",
        ),
        (&["status", "--watch", "0"], "0 is not in 1..=86400"),
    ] {
        world
            .vouch(arguments)
            .ended(64)
            .says_nothing()
            .complains(&[complaint]);
    }
    for arguments in [
        &["cache", "list"][..],
        &["cache", "get", JANE],
        &["cache", "purge", "--all"],
        &["log", "level"],
    ] {
        world
            .vouch(arguments)
            .ended(69)
            .says_nothing()
            .complains(&["no vouch is running"]);
    }
    let ran = run(["cache", "list", "-c", "/nonexistent"], "").ended(78);
    ran.says_nothing();
}

#[test]
fn the_level_of_the_log_is_shown_and_changed() {
    let (world, _remotes) = remembering();
    let daemon = Daemon::start(&world);
    let level = |arguments: &[&str], expected: &str| {
        let ran = world.vouch(&[&["log", "level"], arguments].concat()).ended(0);
        assert_eq!(ran.out, format!("{expected}\n"));
    };
    level(&[], "info (configured: info)");
    level(&["trace"], "trace (configured: info)");
    daemon.logged(&["the log level is now trace"]);
    assert_eq!(ask(&world.scratch.path("policy"), JANE), "action=DUNNO\n\n");
    daemon.logged(&[" TRACE ", "RCPT TO"]);
    world
        .vouch(&["status"])
        .ended(0)
        .says(&["\n! the log level is trace; the configuration sets info"]);
    level(&["reset"], "info (configured: info)");
    level(&["error"], "error (configured: info)");
    let before = daemon.log();
    assert_eq!(ask(&world.scratch.path("policy"), JANE), "action=DUNNO\n\n");
    level(&["reset"], "info (configured: info)");
    let resets = || daemon.log().matches("the log level is now info").count();
    wait_until("the second reset", || resets() == 2);
    assert!(
        !daemon
            .log()
            .split_at(before.len())
            .1
            .contains("listener=recipients")
    );
    assert_eq!(daemon.ends_by("TERM"), Some(0));
}

/// A client that asks nonsense, or does not read, does not disturb others; nor do many at once.
#[test]
fn a_bad_request_costs_only_itself() {
    let (world, _remotes) = remembering();
    let daemon = Daemon::start(&world);
    let socket = world.scratch.path("control");
    let long = [&b"{\"ask\":\""[..], &[b'x'; 5000], b"\"}\n"].concat();
    for (line, error) in [
        (&b"status\n"[..], "the request is not JSON"),
        (b"{\"ask\":7}\n", "the request asks nothing"),
        (b"{\"ask\":\"cache-purge\"}\n", "the request names nobody"),
        (
            b"{\"ask\":\"cache-purge\",\"domain\":\"a b\"}\n", "a b: not a domain name",
        ),
        (
            b"{\"ask\":\"cache-purge\",\"mailbox\":\"jane\"}\n",
            "jane: no mailbox in a domain can be read from it",
        ),
        (
            b"{\"ask\":\"cache-list\",\"directory\":\"nope\"}\n", "there is no directory \\\"nope\\\"",
        ),
        (b"{\"ask\":\"cache-list\",\"domain\":[]}\n", "domain is no text"),
        (
            b"{\"ask\":\"log-level\",\"set\":\"off\"}\n", "there is no level \\\"off\\\"",
        ),
        (&long, "the request is too long"),
    ] {
        assert_eq!(told(&socket, line), format!("{{\"error\":\"{error}\"}}\n"));
    }
    let silent: Vec<_> = (0..4).map(|_| UnixStream::connect(&socket).unwrap()).collect();
    let askers: Vec<_> = (0..20)
        .map(|_| {
            let socket = socket.clone();
            thread::spawn(move || told(&socket, b"{\"ask\":\"status\"}\n"))
        })
        .collect();
    for asker in askers {
        let status: Value = serde_json::from_str(&asker.join().unwrap()).unwrap();
        assert_eq!(status["process"], daemon.process.id());
    }
    drop(silent);
    assert!(fs::metadata(&socket).is_ok());
    assert_eq!(daemon.ends_by("TERM"), Some(0));
}

/// Where the file cannot be written, the purge reports it, and so does the status.
#[test]
fn a_file_that_cannot_be_written_is_told_of() {
    let (world, _remotes) = remembering();
    let text = fs::read_to_string(world.scratch.path("vouch.toml")).unwrap();
    world.config(&text.replace("mailbox.redb", "missing/mailbox.redb"));
    let daemon = Daemon::start(&world);
    let trouble = "! mailbox: recipients are cached in memory only: ";
    wait_until("what is wrong with the file", || {
        world.vouch(&["status"]).ended(0).unfolded().contains(trouble)
    });
    assert_eq!(
        ask(&world.scratch.path("policy"), NOBODY),
        "action=550 5.1.1 User unknown\n\n"
    );
    let ran = world.vouch(&["cache", "purge", NOBODY]).ended(0);
    ran.says(&[
        "recipients 1, ", "\n! mailbox: its cache.file could not be written yet",
    ]);
    world.vouch(&["cache", "get", NOBODY]).ended(1);
    let purged = json(&world, &["cache", "purge", "--all"]);
    assert_eq!(purged["files-waiting"][0], "mailbox");
    assert_eq!(daemon.ends_by("TERM"), Some(0));
}
