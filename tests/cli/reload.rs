//! SIGHUP: what the new configuration changes, what it leaves alone, and that a bad one changes nothing.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::prelude::{BASE64_STANDARD, Engine};
use remote::{Protocol, Server};

use crate::outside::{PASSWORD, World, directory, listener, people, wait_until};
use crate::serve::{Daemon, JANE, ask, exchange};

const UNKNOWN: &str = "action=550 5.1.1 User unknown\n\n";

/// A client that stays connected to a policy listener.
struct Staying(BufReader<UnixStream>);

impl Staying {
    fn new(socket: &Path) -> Self {
        let stream = UnixStream::connect(socket).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(40))).unwrap();
        Self(BufReader::new(stream))
    }

    fn ask(&mut self, recipient: &str) -> String {
        let request = format!("request=smtpd_access_policy\nprotocol_state=RCPT\nrecipient={recipient}\n\n");
        self.0.get_mut().write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        while !answer.ends_with("\n\n") {
            assert_ne!(
                self.0.read_line(&mut answer).unwrap(),
                0,
                "closed after {answer:?}"
            );
        }
        answer
    }

    /// Waits until the daemon closes.
    fn wait_for_close(mut self) {
        let mut rest = String::new();
        self.0.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "");
    }
}

/// Two remotes of one kind, and a policy listener before the first.
struct Stage {
    world: World,
    first: Server,
    second: Server,
    socket: PathBuf,
}

impl Stage {
    fn new() -> Self {
        let world = World::new();
        Self {
            first: world.remote(people(Protocol::Lmtp)),
            second: world.remote(people(Protocol::Lmtp)),
            socket: world.scratch.path("policy"),
            world,
        }
    }

    fn directory(&self) -> String {
        directory("remote", "lmtp", self.first.port())
    }

    fn listener(&self) -> String {
        listener("recipients", "policy", &self.socket, "remote")
    }

    fn start(&self, text: &str) -> Daemon {
        self.world.config(text);
        Daemon::start(&self.world)
    }

    /// Has `daemon` read `text`; the line that says what came of it.
    fn reload(&self, daemon: &Daemon, text: &str) -> String {
        let before = told(daemon);
        self.world.config(text);
        assert!(daemon.process.signal("HUP"));
        wait_until("the end of the reload", || told(daemon) > before);
        let log = daemon.log();
        log.lines()
            .rfind(|line| line.contains("reloaded"))
            .unwrap()
            .to_owned()
    }
}

fn told(daemon: &Daemon) -> usize {
    daemon
        .log()
        .lines()
        .filter(|line| line.contains("reloaded"))
        .count()
}

#[test]
fn a_new_listener_disturbs_no_other() {
    let stage = Stage::new();
    let text = stage.directory() + &stage.listener();
    let daemon = stage.start(&text);
    let mut client = Staying::new(&stage.socket);
    assert_eq!(client.ask(JANE), "action=DUNNO\n\n");
    let inode = fs::metadata(&stage.socket).unwrap().ino();
    let other = stage.world.scratch.path("other");
    let line = stage.reload(
        &daemon,
        &(text.clone() + &listener("more", "policy", &other, "remote")),
    );
    assert!(
        line.contains("INFO") && line.contains("listeners opened more; all others go on"),
        "{line}"
    );
    // The connection, the session with the remote, and what is remembered.
    assert_eq!(client.ask(JANE), "action=DUNNO\n\n");
    assert_eq!(client.ask("nobody@example.org"), UNKNOWN);
    assert_eq!((stage.first.accepted(), stage.first.recipients().len()), (1, 2));
    assert_eq!(ask(&other, JANE), "action=DUNNO\n\n");
    assert_eq!(stage.first.recipients().len(), 2);

    // And away again.
    let line = stage.reload(&daemon, &text);
    assert!(line.contains("listeners closed more; all others go on"), "{line}");
    assert!(!other.exists());
    assert_eq!(client.ask(JANE), "action=DUNNO\n\n");
    assert_eq!(fs::metadata(&stage.socket).unwrap().ino(), inode);
    assert_eq!(daemon.ends_by("TERM"), Some(0));
    assert!(!stage.socket.exists());
}

#[test]
fn a_bad_configuration_changes_nothing_and_says_why() {
    let stage = Stage::new();
    let control = format!(
        "[control]\nsocket = \"{}\"\n",
        stage.world.scratch.path("control").display()
    );
    let text = control.clone() + &stage.directory() + &stage.listener();
    let daemon = stage.start(&text);
    let mut client = Staying::new(&stage.socket);
    let elsewhere = stage.world.scratch.path("no/such/folder");
    let domains = stage
        .world
        .scratch
        .write("domains", "example.org\nexample.net example.com\n");
    let listed = |file: &str| text.replace("[\"example.org\"]", &format!("[\"file://{file}\"]"));
    let bad_line = format!(
        ": `directory.\"remote\".lookup.domains` names a file that cannot be used: {}, line 2: `example.net example.com` \
         is not a domain",
        domains.display()
    );
    for (bad, why) in [
        (listed(domains.to_str().unwrap()), &*bad_line),
        (
            listed("/no/such/list"),
            "a file that cannot be used: /no/such/list: No such file or directory",
        ),
        (
            text.clone() + "colour = \"red\"\n",
            "vouch.toml: line 12: unknown key `listener.\"recipients\".colour`",
        ),
        (text.clone() + "[directory\n", "vouch.toml: line 12: "),
        (
            control.clone() + &stage.directory(),
            "it has no listener, so no client could connect",
        ),
        (
            text.clone() + &listener("more", "policy", &elsewhere, "remote"),
            "listener \"more\": ",
        ),
        (
            text.replace("lookup.", "tls.ca-file = \"/no/such/file\"\nlookup."),
            "directory.\"remote\": ",
        ),
    ] {
        let line = stage.reload(&daemon, &bad);
        let begin = "not reloaded, the previous configuration stays in force: ";
        for words in ["ERROR", begin, why] {
            assert!(line.contains(words), "no {words} in {line}");
        }
        assert_eq!(client.ask(JANE), "action=DUNNO\n\n");
    }
    let status = || stage.world.vouch(&["status"]).ended(0);
    stage.world.config(&text);
    status().says(&[
        "! not reloaded ",
        " ago, so the file and the running configuration differ: directory.\"remote\":",
    ]);
    let line = stage.reload(&daemon, &text);
    assert!(!status().out.contains("! "));
    assert!(line.contains("reloaded: no listener is any different"), "{line}");
    assert_eq!(client.ask(JANE), "action=DUNNO\n\n");
    assert_eq!(stage.first.recipients().len(), 1);
    assert_eq!(daemon.ends_by("TERM"), Some(0));
}

#[test]
fn domains_are_read_anew_and_cost_neither_sessions_nor_memory() {
    let stage = Stage::new();
    let domains = stage.world.scratch.write("domains", "example.org\n");
    let listed = format!("lookup.domains = [\"file://{}\"]", domains.display());
    let text = stage
        .directory()
        .replace("lookup.domains = [\"example.org\"]", &listed)
        + &stage.listener();
    let daemon = stage.start(&text);
    let mut client = Staying::new(&stage.socket);
    assert_eq!(client.ask(JANE), "action=DUNNO\n\n");
    assert_eq!(client.ask("nobody@example.net"), "action=DUNNO\n\n");
    stage.world.scratch.write("domains", "example.org\nexample.net\n");
    let inode = fs::metadata(&stage.socket).unwrap().ino();
    let line = stage.reload(&daemon, &text);
    assert!(
        line.contains("listeners changed recipients; all others go on"),
        "{line}"
    );
    assert_eq!(fs::metadata(&stage.socket).unwrap().ino(), inode);
    // It is asked; but it has never heard of that domain.
    assert!(
        client
            .ask("nobody@example.net")
            .starts_with("action=DEFER_IF_PERMIT ")
    );
    assert_eq!(client.ask(JANE), "action=DUNNO\n\n");
    assert_eq!(stage.first.recipients(), [JANE, "nobody@example.net"]);
    assert_eq!(stage.first.accepted(), 1);
    assert_eq!(daemon.ends_by("TERM"), Some(0));
}

/// What one server said is no answer of another.
#[test]
fn another_server_is_asked_from_scratch_and_the_old_one_is_left() {
    let stage = Stage::new();
    let file = stage.world.scratch.path("recipients.redb");
    let cache = format!("cache.file = \"{}\"\n", file.display());
    let text = stage.directory() + &cache + &stage.listener();
    let daemon = stage.start(&text);
    let mut client = Staying::new(&stage.socket);
    assert_eq!(client.ask(JANE), "action=DUNNO\n\n");
    assert_eq!(stage.first.open(), 1);
    let other = format!("port = {}", stage.second.port());
    stage.reload(
        &daemon,
        &text.replace(&format!("port = {}", stage.first.port()), &other),
    );
    // A client that waits keeps nothing of it.
    wait_until("the goodbye", || stage.first.open() == 0);
    assert_eq!(client.ask(JANE), "action=DUNNO\n\n");
    assert_eq!(
        (stage.first.recipients().len(), stage.second.recipients().len()),
        (1, 1)
    );
    // Its file is its own from now on.
    assert!(!daemon.log().contains("ERROR"), "{}", daemon.log());
    assert_eq!(daemon.ends_by("TERM"), Some(0));
    let daemon = stage.start(&text.replace(&format!("port = {}", stage.first.port()), &other));
    daemon.logged(&["recipients.redb: read", "recipients=1"]);
    assert_eq!(daemon.ends_by("TERM"), Some(0));
}

#[test]
fn keys_of_a_listener_and_the_level_are_heeded_and_others_at_the_next_start() {
    let stage = Stage::new();
    let imap = stage.world.remote(people(Protocol::Imap));
    let auth = stage.world.scratch.path("auth");
    let text = stage.directory()
        + &directory("logins", "imap", imap.port())
        + "cache.credentials.positive = \"1h\"\n"
        + &listener("logins", "auth", &auth, "logins")
        + &stage.listener();
    let daemon = stage.start(&text);
    let login = || {
        let response = BASE64_STANDARD.encode(format!("\0{JANE}\0{PASSWORD}"));
        let request = format!("VERSION\t1\t2\nCPID\t7\nAUTH\t1\tPLAIN\tservice=imap\tresp={response}\n");
        let answer = exchange(&auth, request.as_bytes());
        assert!(answer.ends_with("OK\t1\tuser=jane@example.org\n"), "{answer}");
    };
    login();
    let changed =
        text + "mode = \"0600\"\naction.reject = \"550 5.1.1 No such user\"\n[log]\nlevel = \"warn\"\n";
    let told = daemon
        .log()
        .lines()
        .filter(|line| line.contains("reloaded"))
        .count();
    assert_eq!(told, 0);
    let mut client = Staying::new(&stage.socket);
    let line = stage.reload(&daemon, &changed);
    assert!(line.contains("changed recipients; all others"), "{line}");
    daemon.logged(&[
        " WARN ",
        "listener.\"recipients\".mode, owner or group has changed: this takes effect at the next start",
    ]);
    assert_eq!(
        client.ask("nobody@example.org"),
        "action=550 5.1.1 No such user\n\n"
    );
    // The login is remembered: that directory is the same.
    login();
    assert_eq!(imap.count("LOGIN") + imap.count("AUTHENTICATE"), 1);
    assert_eq!(
        daemon.log().matches("about=").count(),
        1,
        "level = warn: {}",
        daemon.log()
    );
    assert!(daemon.process.signal("TERM"));
}

/// What counts against a client counts on, unless its own keys have changed.
#[test]
fn a_session_has_no_new_limits_by_a_reload() {
    let stage = Stage::new();
    let limits = "limits.rcpt-errors = 2\n";
    let text = stage.directory() + &stage.listener() + limits;
    let daemon = stage.start(&text);
    let mut client = Staying::new(&stage.socket);
    let used_up = "action=450 4.7.1 ";
    assert_eq!(client.ask("nobody1@example.org"), UNKNOWN);
    assert_eq!(client.ask("nobody2@example.org"), UNKNOWN);
    for change in ["action.vrfy = true\n", "cache.ttl.negative = \"9m\"\n"] {
        let changed = match change {
            "action.vrfy = true\n" => text.clone() + change,
            _ => stage.directory() + change + &stage.listener() + limits,
        };
        let line = stage.reload(&daemon, &changed);
        assert!(line.contains("changed recipients"), "{line}");
        assert!(client.ask("nobody3@example.org").starts_with(used_up));
    }
    let line = stage.reload(&daemon, &text.replace("rcpt-errors = 2", "rcpt-errors = 3"));
    assert!(line.contains("changed recipients"), "{line}");
    assert_eq!(client.ask("nobody3@example.org"), UNKNOWN);
    assert_eq!(daemon.ends_by("TERM"), Some(0));
}

#[test]
fn another_protocol_is_for_other_clients() {
    let stage = Stage::new();
    let text = stage.directory() + &stage.listener();
    let daemon = stage.start(&text);
    let mut client = Staying::new(&stage.socket);
    assert_eq!(client.ask(JANE), "action=DUNNO\n\n");
    let map = listener("recipients", "socketmap", &stage.socket, "remote");
    let line = stage.reload(&daemon, &(stage.directory() + &map));
    assert!(
        line.contains("listeners served anew recipients; all others"),
        "{line}"
    );
    client.wait_for_close();
    let answer = exchange(&stage.socket, b"19:domains example.org,");
    assert_eq!(answer, "5:OK ok,");
    assert_eq!(daemon.ends_by("TERM"), Some(0));
}

/// A client that connects while the new directory has not heard of its remote yet.
#[test]
fn mechanisms_are_greeted_that_the_same_server_was_heard_to_take() {
    let world = World::new();
    let mut options = people(Protocol::Imap);
    options.capabilities.push("AUTH=XOAUTH2".to_owned());
    let imap = world.remote(options);
    let auth = world.scratch.path("auth");
    let text = directory("remote", "imap", imap.port())
        + &listener("logins", "auth", &auth, "remote")
        + "mechanisms = [\"PLAIN\", \"XOAUTH2\"]\n";
    world.config(&text);
    let daemon = Daemon::start(&world);
    let is_greeted = || exchange(&auth, b"").contains("MECH\tXOAUTH2");
    wait_until("the remote's offers", is_greeted);
    world.stop(&imap);
    world.config(&text.replace("lookup.", "timeout = \"20s\"\nlookup."));
    assert!(daemon.process.signal("HUP"));
    wait_until("the end of the reload", || told(&daemon) > 0);
    assert!(is_greeted());
    assert_eq!(daemon.ends_by("TERM"), Some(0));
}
