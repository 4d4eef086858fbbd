//! A directory with a map of routes: each question goes to its server, and a dead one is no other's trouble.

use std::fs::{Permissions, set_permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use base64::prelude::{BASE64_STANDARD, Engine};
use remote::{Account, Options, Protocol, Server};

use crate::outside::{PASSWORD, World, listener, wait_until};
use crate::serve::{Daemon, ask, exchange};

const UNKNOWN: &str = "action=550 5.1.1 User unknown\n\n";
const DUNNO: &str = "action=DUNNO\n\n";

/// A remote with `jane` in this domain.
fn remote(world: &World, protocol: Protocol, domain: &str) -> Server {
    let jane = Account::new(&format!("jane@{domain}"), PASSWORD);
    world.remote(Options::new(protocol).account(jane))
}

/// An SMTP and an LMTP server, one that is dead, and one for the rest, behind the text of a transport(5) table.
struct Gateway {
    smtp: Server,
    lmtp: Server,
    dead: Server,
    rest: Server,
    socket: PathBuf,
    map: PathBuf,
    world: World,
}

impl Gateway {
    fn new() -> Self {
        let world = World::new();
        let dead = remote(&world, Protocol::Smtp, "dead.example");
        world.stop(&dead);
        let gateway = Self {
            smtp: remote(&world, Protocol::Smtp, "smtp.example"),
            lmtp: remote(&world, Protocol::Lmtp, "lmtp.example"),
            rest: remote(&world, Protocol::Smtp, "rest.example"),
            dead,
            socket: world.scratch.path("policy"),
            map: world.scratch.path("transport"),
            world,
        };
        gateway.write(&gateway.text());
        gateway.world.config(&format!(
            "[control]\nsocket = \"{}\"\n[directory.gateway]\ntype = \"smtp\"\nlookup.routes = \"transport://{}\"\n{}",
            gateway.world.scratch.path("control").display(),
            gateway.map.display(),
            listener("recipients", "policy", &gateway.socket, "gateway"),
        ));
        gateway
    }

    fn text(&self) -> String {
        let [smtp, lmtp, dead, rest] = [&self.smtp, &self.lmtp, &self.dead, &self.rest].map(Server::port);
        format!(
            "# as Postfix has it\nsmtp.example\n  smtp:[127.0.0.1]:{smtp}\nlmtp.example lmtp:inet:127.0.0.1:{lmtp}\n\
             .lmtp.example lmtp:inet:127.0.0.1:{lmtp}\ndead.example relay:[127.0.0.1]:{dead}\nhere.example local:\n\
             gone.example error:5.1.1 gone\n* smtp:[127.0.0.1]:{rest}\n"
        )
    }

    fn write(&self, text: &str) {
        self.world.scratch.write("transport", text);
    }

    /// Has `daemon` read its files again; the line that says what came of it.
    fn reload(&self, daemon: &Daemon) -> String {
        let lines = || {
            daemon
                .log()
                .lines()
                .filter(|line| line.contains("reloaded"))
                .count()
        };
        let before = lines();
        assert!(daemon.process.signal("HUP"));
        wait_until("the end of the reload", || lines() > before);
        let log = daemon.log();
        log.lines()
            .rfind(|line| line.contains("reloaded"))
            .unwrap()
            .to_owned()
    }
}

#[test]
fn each_domain_is_asked_about_at_its_server() {
    let gateway = Gateway::new();
    let daemon = Daemon::start(&gateway.world);
    let ask = |recipient: &str| ask(&gateway.socket, recipient);
    for (recipient, action) in [
        ("jane@smtp.example", DUNNO),
        ("joe@smtp.example", UNKNOWN),
        ("jane@lmtp.example", DUNNO),
        ("joe@lmtp.example", UNKNOWN),
        ("jane@rest.example", DUNNO),
        ("joe@rest.example", UNKNOWN),
        // Theirs is no server's business.
        ("joe@here.example", DUNNO),
        ("joe@gone.example", DUNNO),
    ] {
        assert_eq!(ask(recipient), action, "{recipient}");
    }
    assert!(ask("joe@dead.example").starts_with("action=DEFER_IF_PERMIT 4.4.3 "));
    for (server, recipients) in [(&gateway.smtp, 2), (&gateway.lmtp, 2), (&gateway.rest, 2)] {
        assert_eq!(server.recipients().len(), recipients, "{server:?}");
    }
    daemon.logged(&[
        "WARN", "does a server listen there? see its line in directory.\"gateway\".lookup.routes, and firewalls between",
    ]);
    let dead = format!("smtp:127.0.0.1:{}", gateway.dead.port());
    gateway.world.vouch(&["status"]).ended(0).says(&[
        "SERVERS OF",
        "gateway",
        "answers in part",
        &format!("! gateway: {dead}: no answer to the last question"),
    ]);
    assert_eq!(daemon.ends_by("TERM"), Some(0));
}

#[test]
fn a_changed_map_is_read_again_and_who_moved_is_asked_anew() {
    let gateway = Gateway::new();
    let daemon = Daemon::start(&gateway.world);
    let ask = |recipient: &str| ask(&gateway.socket, recipient);
    for recipient in ["jane@smtp.example", "jane@lmtp.example", "jane@rest.example"] {
        assert_eq!(ask(recipient), DUNNO);
    }
    // A map with a mistake changes nothing, and the log has its line.
    let text = gateway.text();
    gateway.write(&format!("{text}bad.example smtp:[127.0.0.1]:x\nworse.example\n"));
    let line = gateway.reload(&daemon);
    let path = gateway.map.display();
    for words in [
        "ERROR",
        "not reloaded, the previous configuration stays in force: ",
        &format!(
            "{path}, line 10: `[127.0.0.1]:x`: the port must be a number; line 11: `worse.example` has no transport"
        ),
    ] {
        assert!(line.contains(words), "no {words} in {line}");
    }
    assert_eq!(ask("jane@smtp.example"), DUNNO);
    // One domain moves, where nobody knows its user; another is not ours any more.
    let moved = text.replace(
        &format!("smtp.example\n  smtp:[127.0.0.1]:{}", gateway.smtp.port()),
        &format!("smtp.example smtp:[127.0.0.1]:{}", gateway.rest.port()),
    );
    gateway.write(&moved.replace("* smtp", "* local:\nother.example smtp"));
    let line = gateway.reload(&daemon);
    assert!(line.contains("listeners changed recipients"), "{line}");
    daemon.logged(&[
        "INFO",
        "has changed: answers about users who are at another server now are forgotten",
        "recipients=2",
    ]);
    // The account that it accepted was of the server before.
    assert!(ask("jane@smtp.example").starts_with("action=DEFER_IF_PERMIT"));
    assert_eq!(ask("jane@lmtp.example"), DUNNO);
    assert_eq!(ask("joe@rest.example"), DUNNO);
    assert_eq!(
        (gateway.smtp.recipients().len(), gateway.lmtp.recipients().len()),
        (1, 1)
    );
    // What was not touched keeps its sessions.
    assert_eq!(ask("joe@lmtp.example"), UNKNOWN);
    assert_eq!(gateway.lmtp.accepted(), 1);
    assert_eq!(daemon.ends_by("TERM"), Some(0));
}

#[test]
fn a_map_is_shown_and_tried() {
    let gateway = Gateway::new();
    let world = &gateway.world;
    let path = gateway.map.display();
    world.vouch(&["check"]).ended(0).says(&[
        &format!("SMTP to the servers of transport://{path}: 5 routes lead to 4 servers."),
        "Not ours, and never `.parent`'s or `*`'s: 1 route to local: on line 7 (here.example).",
        "Not ours, and never `.parent`'s or `*`'s: 1 route to error: on line 8 (gone.example).",
        "Asks \"gateway\" for the domains of its map, and the rest.",
        "Lines that name LMTP are asked by LMTP, with the stricter limits of both.",
    ]);
    world.vouch(&["check", "--online"]).ended(69).says(&[
        "gateway: 3 of 4 servers reached in ",
        &format!("gateway (127.0.0.1:{}): NOT REACHED", gateway.dead.port()),
        "What to do: does a server listen there? see its line in directory.\"gateway\".lookup.routes",
    ]);
    let at = |server: &Server, kind: &str| format!("gateway, {kind}:127.0.0.1:{}, ", server.port());
    world
        .vouch(&["probe", "recipient", "jane@lmtp.example"])
        .ended(0)
        .says(&["jane@lmtp.example: exists (", &at(&gateway.lmtp, "lmtp")]);
    world
        .vouch(&["probe", "recipient", "joe@other.example"])
        .ended(75)
        .says(&[&at(&gateway.rest, "smtp")]);
    let json = world
        .vouch(&["probe", "recipient", "--json", "jane@smtp.example"])
        .ended(0);
    json.says(&[&format!("\"server\":\"smtp:127.0.0.1:{}\"", gateway.smtp.port())]);
    world
        .vouch(&["probe", "recipient", "-d", "gateway", "jane@here.example"])
        .ended(69)
        .says(&["jane@here.example: not asked: gateway: its map leads there by local:"]);
    world
        .vouch(&["probe", "recipient", "jane@here.example"])
        .ended(69)
        .says(&["not asked"]);
}

// Fills online::AT_ONCE.
#[test]
fn so_many_servers_of_a_map_are_called_at_once() {
    let world = World::new();
    let mut options = Options::new(Protocol::Lmtp);
    options.delays.greeting = std::time::Duration::from_millis(500);
    let server = world.remote(options);
    let port = server.port();
    // Each is a server of its own, whose first host is the same.
    let lines = (0..100).map(|number| format!("d{number}.example 127.0.0.1:{port} other{number}.example\n"));
    let map = world.scratch.write("routes", lines.collect::<String>());
    world.config(&format!(
        "[directory.gateway]\ntype = \"lmtp\"\nlookup.routes = \"file://{}\"\n{}",
        map.display(),
        listener("in", "policy", &world.scratch.path("policy"), "gateway")
    ));
    world
        .vouch(&["check", "--online"])
        .says(&["gateway: 100 of 100 servers reached in "]);
    assert_eq!((server.accepted(), server.most_open()), (100, 64));
}

/// Passwords go to the one server of the user's domain, by a map that nobody else may write.
#[test]
fn logins_go_by_a_map_that_is_ours() {
    let world = World::new();
    let one = remote(&world, Protocol::Imap, "one.example");
    let two = remote(&world, Protocol::Imap, "two.example");
    let socket = world.scratch.path("auth");
    let map = world.scratch.write(
        "routes",
        format!(
            "one.example 127.0.0.1:{}\n.two.example 127.0.0.1:{}\ntwo.example 127.0.0.1:{}\n",
            one.port(),
            two.port(),
            two.port()
        ),
    );
    world.config(&format!(
        "[directory.accounts]\ntype = \"imap\"\nlookup.routes = \"file://{}\"\n{}",
        map.display(),
        listener("logins", "auth", &socket, "accounts")
    ));
    set_permissions(&map, Permissions::from_mode(0o664)).unwrap();
    let refused = world.vouch(&["check"]).ended(78);
    refused.complains(&[
        "cannot be used for logins", "its group may write it", "logins are asked here",
    ]);
    set_permissions(&map, Permissions::from_mode(0o644)).unwrap();
    world
        .vouch(&["check"])
        .ended(0)
        .says(&["A password may be sent without TLS: it does not leave this machine."]);
    let daemon = Daemon::start(&world);
    let login = |user: &str, password: &str| {
        let response = BASE64_STANDARD.encode(format!("\0{user}\0{password}"));
        let request = format!("VERSION\t1\t2\nCPID\t7\nAUTH\t1\tPLAIN\tservice=imap\tresp={response}\n");
        let answer = exchange(&socket, request.as_bytes());
        answer
            .lines()
            .last()
            .unwrap()
            .split('\t')
            .next()
            .unwrap()
            .to_owned()
    };
    for (user, password, expected) in [
        ("jane@one.example", PASSWORD, "OK"),
        ("jane@two.example", PASSWORD, "OK"),
        ("jane@two.example", "wrong", "FAIL"),
        ("jane@three.example", PASSWORD, "FAIL"),
        ("jane", PASSWORD, "FAIL"),
    ] {
        assert_eq!(login(user, password), expected, "{user}");
    }
    let tried = |server: &Server| server.count("AUTHENTICATE") + server.count("LOGIN");
    assert_eq!((tried(&one), tried(&two)), (1, 2));
    assert_eq!(daemon.ends_by("TERM"), Some(0));
}
