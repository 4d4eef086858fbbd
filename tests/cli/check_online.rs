//! `vouch check --online`: what it shows of each directory, and how it ends.

use std::path::Path;

use remote::{Authority, Identity, Protocol, Security, Server};

use crate::outside::{World, directory, listener, people};

/// A remote, and the directory for it.
struct Online {
    kind: &'static str,
    tls: String,
    remote: Server,
}

fn online(world: &World, ca: &Path, kind: &'static str, security: Security) -> Online {
    let protocol = match kind {
        "imap" => Protocol::Imap,
        "smtp" => Protocol::Smtp,
        _ => Protocol::Lmtp,
    };
    let implicit = matches!(security, Security::Implicit(_));
    let tls = format!("tls.implicit = {implicit}\ntls.ca-file = \"{}\"\n", ca.display());
    let remote = world.remote(remote::Options {
        security,
        ..people(protocol)
    });
    Online { kind, tls, remote }
}

fn configure(world: &World, remotes: &[&Online]) {
    let text: String = remotes
        .iter()
        .map(|it| directory(&format!("the-{}", it.kind), it.kind, it.remote.port()) + &it.tls)
        .collect();
    let listener = listener("in", "policy", &world.scratch.path("policy"), "the-lmtp");
    world.config(&(text + &listener));
}

fn identity(authority: &Authority) -> Identity {
    authority.issue(&["127.0.0.1"]).unwrap()
}

#[test]
fn online_shows_tls_certificate_and_capabilities_of_every_directory() {
    let world = World::new();
    let authority = Authority::new().unwrap();
    let ca = world.scratch.write("ca.pem", authority.pem());
    let imap = online(&world, &ca, "imap", Security::Implicit(identity(&authority)));
    let tls12 = identity(&authority).tls12_only().unwrap();
    let smtp = online(&world, &ca, "smtp", Security::StartTls(tls12));
    let lmtp = online(&world, &ca, "lmtp", Security::None);
    configure(&world, &[&imap, &smtp, &lmtp]);

    let ran = world.vouch(&["check", "--online"]).ended(0);
    ran.complains_of_nothing();
    let (_, shown) = ran.out.split_once("\nthe-imap: reached in ").unwrap();
    let (imap_shown, shown) = shown.split_once("\nthe-smtp: reached in ").unwrap();
    let (smtp_shown, lmtp_shown) = shown.split_once("\nthe-lmtp: reached in ").unwrap();
    let certificate = [
        "subject CN=test remote", "issuer CN=Authority of the test remote", "valid from ", " to ",
    ];
    for (shown, version, words) in [
        (imap_shown, "TLS: TLS 1.3, ", &["AUTH=PLAIN"][..]),
        (smtp_shown, "TLS: TLS 1.2, ", &["PIPELINING", "AUTH", "PLAIN"]),
    ] {
        for word in [version, "key exchange "].iter().chain(&certificate).chain(words) {
            assert!(shown.contains(word), "no {word:?} in {shown}");
        }
    }
    assert!(
        lmtp_shown.contains("TLS: none") && lmtp_shown.contains("PIPELINING"),
        "{lmtp_shown}"
    );
    for it in [&imap, &smtp, &lmtp] {
        assert_eq!(it.remote.accepted(), 1);
        assert_eq!(it.remote.violations(), [""; 0]);
        for verb in ["LOGIN", "AUTHENTICATE", "AUTH", "RCPT"] {
            assert_eq!(it.remote.count(verb), 0, "{}: {verb} was not asked for", it.kind);
        }
    }
}

// Fills PROBE_TIMEOUT, GOODBYE.
#[test]
fn online_ends_with_69_when_one_directory_is_down_and_shows_the_others() {
    let world = World::new();
    let authority = Authority::new().unwrap();
    let ca = world.scratch.write("ca.pem", authority.pem());
    let stranger = Authority::new().unwrap();
    let down = online(&world, &ca, "imap", Security::None);
    let forged = online(&world, &ca, "smtp", Security::Implicit(identity(&stranger)));
    let up = online(&world, &ca, "lmtp", Security::None);
    configure(&world, &[&down, &forged, &up]);
    world.stop(&down.remote);

    let ran = world.vouch(&["check", "--online"]).ended(69);
    ran.says(&[
        "\nthe-imap: NOT REACHED after ", "\nthe-smtp: NOT REACHED after ", "\nthe-lmtp: reached in ",
    ]);
    let refused = format!("127.0.0.1:{}: Connection refused", down.remote.port());
    ran.says(&[&refused, "certificate"]);

    configure(&world, &[&up]);
    world.vouch(&["check", "--online"]).ended(0);
}
