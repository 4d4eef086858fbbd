//! The remote answers about this host and not about the mailbox; or no remote is asked at all.

use remote::{Fault, Protocol};

use crate::outside::{World, people};
use crate::remotes::asking;
use crate::stage::{Asked, JANE, Mistake};

fn refuses(verb: &str, reply: &str, name: &str) {
    let world = World::new();
    let remote = world.remote(people(Protocol::Smtp));
    remote.set_fault(Fault::reply_with(verb, reply));
    let config = asking(&world, "smtp", remote.port(), "");
    Mistake::new(&world, config, Asked::Recipient(JANE))
        .port(remote.port())
        .told(name);
}

#[test]
fn the_remote_does_not_trust_this_host() {
    refuses(
        "RCPT", "554 5.7.1 <jane@example.org>: Relay access denied", "relay-denied",
    );
}

#[test]
fn the_remote_wants_a_sender() {
    refuses(
        "MAIL", "550 5.7.1 Null sender not accepted here", "sender-refused",
    );
}

#[test]
fn the_domain_is_no_directorys() {
    let world = World::new();
    let remote = world.remote(people(Protocol::Lmtp));
    let config = asking(&world, "lmtp", remote.port(), "");
    Mistake::new(&world, config, Asked::Recipient("jane@example.net"))
        .port(remote.port())
        .told("domain-of-nobody");
}

#[test]
fn the_directory_has_no_domains() {
    let world = World::new();
    let remote = world.remote(people(Protocol::Lmtp));
    let config = asking(&world, "lmtp", remote.port(), "").replace("lookup.domains", "#lookup.domains");
    Mistake::new(&world, config, Asked::Recipient(JANE))
        .port(remote.port())
        .told("domains-missing");
}
