//! The file itself is wrong: every command says so in the same words.

use remote::Protocol;

use crate::outside::{World, people};
use crate::remotes::asking;
use crate::stage::{Asked, Mistake};

/// A configuration that is in order but for this line, which is put below `[directory."mailbox"]`.
fn line(line: &str, name: &str) {
    let world = World::new();
    let config = asking(&world, "imap", 143, &format!("{line}\n"));
    Mistake::new(&world, config, Asked::Nothing).told(name);
}

#[test]
fn a_limit_is_0() {
    line("limits.auth-errors = 0", "limit-0");
}

#[test]
fn a_key_is_unknown() {
    line("tls.ca_file = \"/etc/ssl/own-ca.pem\"", "key-unknown");
}

#[test]
fn the_file_of_the_authority_is_not_there() {
    let world = World::new();
    let remote = world.remote(people(Protocol::Imap));
    let file = world.scratch.text("ca.pem");
    let config = asking(
        &world,
        "imap",
        remote.port(),
        &format!("tls.ca-file = \"{file}\"\n"),
    );
    Mistake::new(&world, config, Asked::Nothing)
        .port(remote.port())
        .told("ca-file-missing");
}

#[test]
fn the_file_of_the_authority_holds_something_else() {
    let world = World::new();
    let remote = world.remote(people(Protocol::Imap));
    let file = world.scratch.write("ca.pem", "-----BEGIN NOTHING-----\n");
    let keys = format!("tls.ca-file = \"{}\"\n", file.display());
    let config = asking(&world, "imap", remote.port(), &keys);
    Mistake::new(&world, config, Asked::Nothing)
        .port(remote.port())
        .told("ca-file-of-nothing");
}
