//! Two directories that share a domain, one of which accepts a user.

use std::path::Path;

use base64::prelude::{BASE64_STANDARD, Engine};
use remote::{Account, Options, Protocol, Server};

use crate::outside::{World, directory, listener, people, wait_until};
use crate::serve::{Daemon, exchange};

/// A user of the second server alone.
const BOB: &str = "bob@example.org";

/// What an auth listener says to a login of [`BOB`], after its greeting.
fn login(socket: &Path, password: &str) -> String {
    let response = BASE64_STANDARD.encode(format!("\0{BOB}\0{password}"));
    let request = format!("VERSION\t1\t2\nCPID\t7\nAUTH\t1\tPLAIN\tservice=imap\tresp={response}\n");
    let said = exchange(socket, request.as_bytes());
    said.rsplit("DONE\n").next().unwrap().to_owned()
}

fn asked(servers: [&Server; 2]) -> [u64; 2] {
    servers.map(|server| server.count("AUTHENTICATE"))
}

#[test]
fn the_server_that_accepted_a_user_is_asked_first_after_a_reload_as_well() {
    let world = World::new();
    let first = world.remote(people(Protocol::Imap));
    let second = world.remote(Options::new(Protocol::Imap).account(Account::new(BOB, "s3cret")));
    let socket = world.scratch.path("auth");
    let text = directory("first", "imap", first.port())
        // What it has refused is asked again.
        + "cache.credentials.negative = \"0s\"\n"
        + &directory("second", "imap", second.port())
        + &listener("logins", "auth", &socket, "first\", \"second")
        + "any-login = \"in-order\"\n";
    world.config(&text);
    let daemon = Daemon::start(&world);
    let accepted = format!("OK\t1\tuser={BOB}\n");
    assert_eq!(login(&socket, "s3cret"), accepted);
    assert_eq!(asked([&first, &second]), [1, 1]);
    assert_eq!(login(&socket, "s3cret"), accepted);
    assert_eq!(asked([&first, &second]), [1, 2]);

    world.config(&(text + "deadline = \"9s\"\n"));
    assert!(daemon.process.signal("HUP"));
    wait_until("the end of the reload", || {
        daemon.log().contains("changed logins")
    });
    assert_eq!(login(&socket, "s3cret"), accepted);
    assert_eq!(asked([&first, &second]), [1, 3]);
    assert_eq!(login(&socket, "wrong"), format!("FAIL\t1\tuser={BOB}\n"));
    assert_eq!(asked([&first, &second]), [2, 4]);
    daemon.logged(&["verdict=accept cause=- source=probe directory=second "]);
    daemon.logged(&["verdict=reject cause=bad-credentials source=probe directory=second,first "]);
    assert_eq!(daemon.ends_by("TERM"), Some(0));
}

#[test]
fn check_names_each_directory_that_gets_passwords() {
    let world = World::new();
    let routes = world.scratch.write("routes", "example.org mail.example.org\n");
    let socket = world.scratch.path("auth");
    world.config(
        &(format!(
            "[directory.mapped]\ntype = \"imap\"\nlookup.routes = \"file://{}\"\n",
            routes.display()
        ) + &directory("listed", "imap", 143)
            + &listener("logins", "auth", &socket, "mapped\", \"listed")
            + "any-login = \"in-order\"\n"),
    );
    world.vouch(&["check"]).ended(0).says(&[
        "Passwords go to each of \"mapped\", \"listed\" that serves the domain",
        "A wrong password costs an attempt at each, and accounts of one name count as one user's.",
    ]);
}
