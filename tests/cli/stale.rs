//! A server that is down, and a user whom it accepted before: `cache.credentials.stale`.

use std::path::Path;

use base64::prelude::{BASE64_STANDARD, Engine};
use remote::{Fault, Protocol};

use crate::outside::{PASSWORD, World, directory, listener, people, wait_until};
use crate::serve::{Daemon, exchange};

const JANE: &str = "jane@example.org";
const LATER: &str = "FAIL\t1\tuser=jane@example.org\ttemp\tcode=temp_fail\n";
const GOOD: &str = "OK\t1\tuser=jane@example.org\n";

fn login(socket: &Path, password: &str) -> String {
    let response = BASE64_STANDARD.encode(format!("\0{JANE}\0{password}"));
    let request = format!("VERSION\t1\t2\nCPID\t7\nAUTH\t1\tPLAIN\tservice=imap\tresp={response}\n");
    let said = exchange(socket, request.as_bytes());
    said.rsplit("DONE\n").next().unwrap().to_owned()
}

/// It accepts connections, and ends them without a word.
fn down() -> Fault {
    Fault::CloseMidReply(0).at("GREETING")
}

/// Says this of every login.
fn says(words: &str) -> Fault {
    Fault::reply_with("AUTHENTICATE", &format!("{{tag}} {words}"))
}

#[test]
fn a_good_login_stays_good_while_the_server_is_down_and_the_file_says_so() {
    let world = World::new();
    let (server, other) = (
        world.remote(people(Protocol::Imap)),
        world.remote(people(Protocol::Imap)),
    );
    let socket = world.scratch.path("auth");
    let rest = format!(
        "pool.warm-sessions = 0\n{}limits.auth-errors = 100\n[control]\nsocket = \"{}\"\n",
        listener("logins", "auth", &socket, "imap"),
        world.scratch.text("control")
    );
    let text = |port: u16, keys: &str| directory("imap", "imap", port) + keys + &rest;
    let stale = "cache.credentials.stale = \"8h\"\n";
    world.config(&text(server.port(), stale));
    let daemon = Daemon::start(&world);
    let reloaded = |text: &str| {
        let told = || daemon.log().matches("reloaded: ").count();
        let before = told();
        world.config(text);
        assert!(daemon.process.signal("HUP"));
        wait_until("the end of the reload", || told() > before);
    };

    assert_eq!(login(&socket, PASSWORD), GOOD);
    for words in [
        "NO [UNAVAILABLE] temporarily locked", "NO [INUSE] come back later", "NO internal server error",
    ] {
        server.set_fault(says(words));
        assert_eq!(login(&socket, PASSWORD), LATER, "{words}");
    }
    server.set_fault(Fault::Bye);
    assert_eq!(login(&socket, PASSWORD), LATER);
    server.set_fault(down());
    assert_eq!(login(&socket, PASSWORD), GOOD);
    assert_eq!(login(&socket, "guess"), LATER);
    daemon.logged(&["about=jane@example.org verdict=accept cause=- source=stale directory=imap "]);
    daemon.logged(&[
        "verdict=defer cause=unreachable source=probe ", "counts as a failed login",
    ]);
    let status = world.vouch(&["status"]).ended(0);
    status.says(&["1 login was accepted from the cache"]);

    // The same server, be it with other sessions.
    reloaded(&text(server.port(), &format!("{stale}timeout = \"9s\"\n")));
    assert_eq!(login(&socket, PASSWORD), GOOD);
    // Another server, and back.
    reloaded(&text(other.port(), stale));
    other.set_fault(down());
    assert_eq!(login(&socket, PASSWORD), LATER);
    reloaded(&text(server.port(), stale));
    assert_eq!(login(&socket, PASSWORD), LATER);

    // Off, and on.
    server.set_fault(Fault::None);
    wait_until("an answer", || login(&socket, PASSWORD) == GOOD);
    server.set_fault(down());
    assert_eq!(login(&socket, PASSWORD), GOOD);
    reloaded(&text(server.port(), "cache.credentials.stale = \"off\"\n"));
    assert_eq!(login(&socket, PASSWORD), LATER);
    reloaded(&text(server.port(), stale));
    assert_eq!(login(&socket, PASSWORD), LATER);

    // Purged.
    server.set_fault(Fault::None);
    wait_until("an answer", || login(&socket, PASSWORD) == GOOD);
    world
        .vouch(&["cache", "get", JANE])
        .ended(0)
        .says(&["may log in", "used only while"]);
    world.vouch(&["cache", "purge", "--user", JANE]).ended(0);
    server.set_fault(down());
    assert_eq!(login(&socket, PASSWORD), LATER);
    assert_eq!(daemon.ends_by("TERM"), Some(0));
}
