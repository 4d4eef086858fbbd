//! `vouch serve` as Dovecot's user database: whom it answers at a socket that everybody may connect to.

use remote::Protocol;

use crate::outside::{World, directory, listener, people};
use crate::serve::{Daemon, exchange};
use crate::support::another::can_be_become;

/// Dovecot from 2.4.1 on gives its auth-userdb to a user and a group of its own, and asks there as root.
#[test]
fn root_is_answered_at_a_socket_of_another_user_and_group() {
    if !can_be_become("a socket of another user") {
        return;
    }
    let world = World::new();
    let remote = world.remote(people(Protocol::Imap));
    let socket = world.scratch.path("users");
    let of_others = "exists = \"domain\"\nfields = { uid = \"5000\" }\n\
                     mode = \"0666\"\nowner = \"65534\"\ngroup = \"65534\"\n";
    world.config(
        &(directory("remote", "imap", remote.port())
            + &listener("users", "userdb", &socket, "remote")
            + of_others),
    );
    let daemon = Daemon::start(&world);
    let asked = "VERSION\t1\t0\nUSER\t1\tjane@example.org\tservice=lmtp\nPASS\t2\tjane@example.org\tservice=doveadm\n";
    let said = exchange(&socket, asked.as_bytes());
    for answer in [
        "USER\t1\tjane@example.org\tuid=5000\n", "PASS\t2\tuser=jane@example.org\n",
    ] {
        assert!(said.contains(answer), "no {answer:?} in {said:?}");
    }
    assert!(!daemon.log().contains("refused"), "{}", daemon.log());
    assert_eq!(daemon.ends_by("TERM"), Some(0));
}
