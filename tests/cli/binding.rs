//! The sockets of `vouch serve`: who may connect, and what is in the way of one.

use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::prelude::{BASE64_STANDARD, Engine};
use remote::Protocol;

use crate::outside::{PASSWORD, World, directory, listener, people};
use crate::serve::{Daemon, JANE, ask, exchange, refused, world};
use crate::support::free_port;

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
