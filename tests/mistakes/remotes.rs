//! The remote is not there, is another one, or its TLS is not what it should be.

use std::io;
use std::net::{IpAddr, TcpListener, TcpStream, UdpSocket};
use std::thread;

use remote::{Authority, Identity, Options, Protocol, Security, Server};

use crate::outside::{World, directory, listener, people};
use crate::stage::{Asked, JANE, Mistake};
use crate::support::{free_port, skipped};

/// A directory `mailbox` of this type on that port, that is asked by all listeners that can ask it; with these keys.
pub(crate) fn asking(world: &World, kind: &str, port: u16, keys: &str) -> String {
    let mut config = directory("mailbox", kind, port) + keys;
    // Few enough for the descriptors that a shell of today gives.
    let mut listener = |name: &str, protocol: &str| {
        let socket = world.scratch.path(protocol);
        config += &(listener(name, protocol, &socket, "mailbox") + "max-connections = 100\n");
    };
    if kind != "imap" {
        listener("recipients", "policy");
    }
    if kind != "lmtp" {
        listener("logins", "auth");
    }
    config
}

fn asked(kind: &str) -> Asked {
    if kind == "imap" {
        Asked::Login
    } else {
        Asked::Recipient(JANE)
    }
}

fn protocol(kind: &str) -> Protocol {
    match kind {
        "imap" => Protocol::Imap,
        "smtp" => Protocol::Smtp,
        _ => Protocol::Lmtp,
    }
}

/// A remote, and a configuration of this type for it.
fn wrong(kind: &str, options: Options, keys: &str, name: &str) {
    let world = World::new();
    let remote = world.remote(options);
    let config = asking(&world, kind, remote.port(), keys);
    Mistake::new(&world, config, asked(kind))
        .port(remote.port())
        .told(name);
}

#[test]
fn the_port_is_one_where_nobody_listens() {
    let world = World::new();
    let port = free_port();
    let config = asking(&world, "lmtp", port, "");
    Mistake::new(&world, config, Asked::Recipient(JANE))
        .port(port)
        .told("port-of-nobody");
}

#[test]
fn the_remote_goes_down() {
    let world = World::new();
    let remote = world.remote(people(Protocol::Lmtp));
    let forgetful =
        "cache.ttl = { positive = \"0s\", refresh = \"0s\", negative = \"0s\", stale = \"0s\" }\n";
    let config = asking(&world, "lmtp", remote.port(), forgetful);
    Mistake::new(&world, config, Asked::Recipient(JANE))
        .port(remote.port())
        .told_after("remote-down", || world.stop(&remote));
}

#[test]
fn the_port_is_that_of_another_protocol() {
    for (theirs, ours) in [
        ("imap", "smtp"),
        ("smtp", "imap"),
        ("smtp", "lmtp"),
        ("lmtp", "smtp"),
    ] {
        wrong(
            ours,
            people(protocol(theirs)),
            "",
            &format!("port-of-{theirs}-for-{ours}"),
        );
    }
}

/// Without a word of the remote there is nothing to wait for but the timeout.
#[test]
fn tls_begins_at_once_where_starttls_is_awaited() {
    for kind in ["imap", "smtp"] {
        let authority = Authority::new().unwrap();
        let security = Security::Implicit(authority.issue(&["127.0.0.1"]).unwrap());
        let options = Options {
            security,
            ..people(protocol(kind))
        };
        wrong(
            kind,
            options,
            "timeout = \"1s\"\ntls.starttls = \"required\"\n",
            &format!("tls-at-once-{kind}"),
        );
    }
}

#[test]
fn tls_is_awaited_at_once_where_it_begins_by_starttls() {
    for kind in ["imap", "smtp"] {
        wrong(
            kind,
            people(protocol(kind)),
            "tls.implicit = true\n",
            &format!("tls-not-at-once-{kind}"),
        );
    }
}

/// A remote with the certificate that `issue` gives, trusted or not.
fn certificate(name: &str, trusted: bool, issue: impl FnOnce(&Authority) -> Identity) {
    let world = World::new();
    let authority = Authority::new().unwrap();
    let ca = world.scratch.write("ca.pem", authority.pem());
    let remote = world.remote(Options {
        security: Security::Implicit(issue(&authority)),
        ..people(Protocol::Imap)
    });
    let mut keys = "tls.implicit = true\n".to_owned();
    if trusted {
        keys += &format!("tls.ca-file = \"{}\"\n", ca.display());
    }
    let config = asking(&world, "imap", remote.port(), &keys);
    Mistake::new(&world, config, Asked::Login)
        .port(remote.port())
        .told(name);
}

#[test]
fn the_certificate_is_for_another_name() {
    certificate("certificate-name", true, |authority| {
        authority.issue(&["mail.example.org"]).unwrap()
    });
}

#[test]
fn the_certificate_has_ended() {
    certificate("certificate-expired", true, |authority| {
        authority.expired(&["127.0.0.1"]).unwrap()
    });
}

#[test]
fn the_certificate_is_not_valid_yet() {
    certificate("certificate-not-yet", true, |authority| {
        authority.not_yet_valid(&["127.0.0.1"]).unwrap()
    });
}

#[test]
fn the_certificate_is_of_another_authority_than_the_one_named() {
    certificate("certificate-other-authority", true, |_| {
        Authority::new().unwrap().issue(&["127.0.0.1"]).unwrap()
    });
}

#[test]
fn the_certificate_is_of_an_authority_that_nobody_named() {
    certificate("certificate-authority", false, |authority| {
        authority.issue(&["127.0.0.1"]).unwrap()
    });
}

#[test]
fn starttls_is_required_and_not_offered() {
    wrong(
        "smtp",
        people(Protocol::Smtp),
        "tls.starttls = \"required\"\n",
        "starttls-missing",
    );
}

#[test]
fn the_remote_refuses_logins_without_tls() {
    let authority = Authority::new().unwrap();
    for kind in ["imap", "smtp"] {
        let options = Options {
            security: Security::StartTls(authority.issue(&["127.0.0.1"]).unwrap()),
            cleartext_login: false,
            ..people(protocol(kind))
        };
        let world = World::new();
        let remote = world.remote(options);
        let config = asking(&world, kind, remote.port(), "tls.starttls = \"never\"\n");
        Mistake::new(&world, config, Asked::Login)
            .port(remote.port())
            .told(&format!("cleartext-refused-by-{kind}"));
    }
}

/// An address of this machine that is not loopback, where it has one: what goes there could be read on the way.
fn address_of_this_machine() -> Option<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    // Nothing is sent: the kernel looks for a way, and for the address that would go with it.
    socket.connect("192.0.2.254:9").ok()?;
    let address = socket.local_addr().ok()?.ip();
    (!address.is_loopback() && !address.is_unspecified()).then_some(address)
}

/// Hands connections to `address` on to the remote, which listens on loopback.
fn hand_on(address: IpAddr, remote: &Server) -> io::Result<u16> {
    let to = remote.port();
    let listener = TcpListener::bind((address, 0))?;
    let port = listener.local_addr()?.port();
    // Ends with the test.
    thread::spawn(move || {
        for one in listener.incoming().flatten() {
            let Ok(other) = TcpStream::connect(("127.0.0.1", to)) else {
                return;
            };
            for (mut from, mut to) in [
                (one.try_clone().unwrap(), other.try_clone().unwrap()),
                (other, one),
            ] {
                thread::spawn(move || {
                    let _ = io::copy(&mut from, &mut to);
                    let _ = to.shutdown(std::net::Shutdown::Write);
                });
            }
        }
    });
    Ok(port)
}

#[test]
fn a_password_would_cross_the_network_without_tls() {
    let world = World::new();
    let remote = world.remote(people(Protocol::Imap));
    let Some(address) = address_of_this_machine() else {
        skipped("a password to another machine: this one has no address but loopback");
        return;
    };
    let port = hand_on(address, &remote).unwrap();
    let config = asking(&world, "imap", port, "").replace("127.0.0.1", &address.to_string());
    let mut mistake = Mistake::new(&world, config, Asked::Login).port(port);
    mistake.replaced.push((address.to_string(), "192.0.2.7"));
    mistake.told("cleartext-not-allowed");
    assert_eq!(remote.count("AUTHENTICATE") + remote.count("LOGIN"), 0);
}

#[test]
fn the_remote_offers_no_mechanism_that_takes_a_password() {
    let imap = people(Protocol::Imap).offering(&["IMAP4rev1", "LOGINDISABLED", "AUTH=CRAM-MD5"]);
    wrong("imap", imap, "", "mechanism-missing-imap");
    let world = World::new();
    let remote = world.remote(people(Protocol::Smtp).offering(&["PIPELINING", "8BITMIME"]));
    let config = asking(&world, "smtp", remote.port(), "");
    Mistake::new(&world, config, Asked::Login)
        .port(remote.port())
        .told("mechanism-missing-smtp");
}
