//! `vouch init`: what it asks and takes, what it tries, what it writes and prints.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use remote::{Authority, Protocol, Security, Server};
use vouch::config::{Config, read};
use vouch::settings::directory::StartTls;
use vouch::settings::socket::ListenAddress;

use crate::outside::{Ran, World, people, run};

/// `vouch init` without a terminal, told so much more; it writes `new.toml`, and knows no other Postfix than a default one.
pub(crate) fn init(world: &World, more: &[&str], input: &str) -> Ran {
    let output = world.scratch.text("new.toml");
    let sockets = world.scratch.text("sockets");
    fs::create_dir_all(&sockets).unwrap();
    let arguments = ["init", "--output", &output, "--sockets", &sockets];
    run(arguments.iter().chain(more), input)
}

pub(crate) fn written(world: &World) -> PathBuf {
    world.scratch.path("new.toml")
}

/// What was written, as the daemon reads it, with its notes.
pub(crate) fn configured(world: &World) -> (Config, Vec<String>) {
    let (config, notes) = read::load(&written(world)).unwrap();
    (config, notes.into_iter().map(|note| note.text).collect())
}

/// A remote of `protocol`, whose certificate an authority of its own has issued, in `ca.pem`.
pub(crate) fn remote(
    world: &World,
    protocol: Protocol,
    security: impl FnOnce(remote::Identity) -> Security,
) -> Server {
    let authority = Authority::new().unwrap();
    world.scratch.write("ca.pem", authority.pem());
    let security = security(authority.issue(&["127.0.0.1"]).unwrap());
    world.remote(remote::Options {
        security,
        ..people(protocol)
    })
}

#[test]
fn each_pair_of_what_is_behind_and_in_front_makes_a_file_that_check_has_no_word_against() {
    for (behind, fronts) in [
        (
            "imap",
            &["postfix-logins", "exim", "dovecot", "postfix-logins,exim,dovecot"][..],
        ),
        (
            "smtp",
            &[
                "postfix-recipients", "postfix-logins", "exim", "dovecot",
                "postfix-recipients,postfix-logins",
            ],
        ),
        ("lmtp", &["postfix-recipients"]),
    ] {
        for front in fronts {
            for tls in ["implicit", "starttls", "if-available", "default"] {
                let world = World::new();
                let mut arguments = vec![
                    "--offline", "--behind", behind, "--host", "mail.example.net", "--front", front,
                    "--domain", "Example.ORG,b\u{fc}cher.example", "--domain", "example.net",
                ];
                if tls != "default" {
                    arguments.extend(["--tls", tls]);
                }
                let ran = init(&world, &arguments, "").ended(0);
                ran.complains_of_nothing();
                let (config, notes) = configured(&world);
                assert_eq!(notes, [""; 0], "{arguments:?}");
                let [directory] = &config.directory[..] else {
                    panic!("{arguments:?}: {:?}", config.directory);
                };
                assert_eq!(directory.kind.as_str(), behind);
                let implicit = tls == "implicit" || (tls == "default" && behind == "imap");
                assert_eq!(directory.tls.implicit, implicit, "{arguments:?}");
                if tls == "starttls" {
                    assert_eq!(directory.tls.starttls, StartTls::Required);
                }
                let domains: Vec<_> = directory
                    .lookup
                    .domains
                    .all
                    .iter()
                    .map(ToString::to_string)
                    .collect();
                assert_eq!(domains, ["example.net", "example.org", "xn--bcher-kva.example"]);
                let own_service = front.contains("dovecot");
                assert_eq!(config.dovecot.is_some(), own_service);
                assert_eq!(
                    config.listener.len(),
                    front.split(',').count() - usize::from(own_service),
                    "{front}"
                );
                for listener in &config.listener {
                    let ListenAddress::Path(socket) = &listener.socket else {
                        panic!("{listener:?}");
                    };
                    assert!(
                        ran.out.contains(socket.to_str().unwrap()),
                        "{} is not printed",
                        socket.display()
                    );
                }
                let checked = run([Path::new("check"), Path::new("-c"), &written(&world)], "").ended(0);
                checked.complains_of_nothing().says(&["\nNotes: none."]);
            }
        }
    }
}

#[test]
fn what_is_written_is_what_was_said_and_what_is_off_is_the_default() {
    let world = World::new();
    let ca = world.scratch.write("ca.pem", "not looked into\n");
    init(
        &world,
        &[
            "--offline",
            "--behind",
            "smtp",
            "--host",
            "192.0.2.7",
            "--port",
            "2525",
            "--tls",
            "starttls",
            "--ca-file",
            ca.to_str().unwrap(),
            "--server-name",
            "mail.example.net",
            "--allow-cleartext",
            "--domain",
            "example.org",
            "--front",
            "postfix-recipients",
        ],
        "",
    )
    .ended(0);
    let text = format!(
        "[directory.\"mailbox\"]\ntype = \"smtp\"\naddress = \"192.0.2.7\"\nport = 2525\nauth.allow-cleartext = true\n\
         lookup.domains = [\"example.org\"]\ntls.starttls = \"required\"\ntls.ca-file = \"{}\"\n\
         tls.server-name = \"mail.example.net\"\n[listener.\"recipients\"]\nprotocol = \"policy\"\nsocket = \"{}\"\n\
         directory = [\"mailbox\"]\n",
        ca.display(),
        world.scratch.path("sockets/policy").display()
    );
    let (expected, _) = read::parse(Path::new("expected.toml"), &text).unwrap();
    assert_eq!(configured(&world).0, expected);
    let mode = fs::metadata(written(&world)).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o640);
}

#[test]
fn ports_are_the_usual_ones_and_a_socket_has_none() {
    for (behind, host, more, port) in [
        ("imap", "mail.example.net", &["--front", "exim"][..], 993),
        (
            "imap",
            "mail.example.net",
            &["--front", "exim", "--tls", "starttls"],
            143,
        ),
        ("imap", "127.0.0.1", &["--front", "exim"], 143),
        ("smtp", "mail.example.net", &["--front", "postfix-recipients"], 25),
        ("smtp", "mail.example.net", &["--front", "postfix-logins"], 587),
        (
            "smtp",
            "mail.example.net",
            &["--front", "postfix-logins", "--tls", "implicit"],
            465,
        ),
        ("lmtp", "mail.example.net", &["--front", "postfix-recipients"], 24),
    ] {
        let world = World::new();
        let arguments = [
            "--offline", "--behind", behind, "--host", host, "--domain", "example.org",
        ];
        init(&world, &[&arguments, more].concat(), "").ended(0);
        let (config, _) = configured(&world);
        assert_eq!(config.directory[0].endpoint(), format!("{host}:{port}"));
    }
    let world = World::new();
    let arguments = ["--offline", "--behind", "lmtp", "--host", "/run/dovecot/lmtp"];
    let more = ["--domain", "example.org", "--front", "postfix-recipients"];
    init(&world, &[arguments.as_slice(), &more].concat(), "").ended(0);
    let (config, notes) = configured(&world);
    assert_eq!(config.directory[0].address.to_string(), "/run/dovecot/lmtp");
    assert_eq!(notes, [""; 0]);
}

#[test]
fn a_map_stands_in_place_of_a_server_and_its_domains() {
    let world = World::new();
    let (remote, other) = (
        world.remote(people(Protocol::Smtp)),
        world.remote(people(Protocol::Lmtp)),
    );
    let table = format!(
        "example.org smtp:[127.0.0.1]:{}\nexample.net lmtp:inet:127.0.0.1:{}\nexample.com local:\n",
        remote.port(),
        other.port()
    );
    let map = format!(
        "transport://{}",
        world.scratch.write("transport", table).display()
    );
    let arguments = [
        "--behind", "smtp", "--routes", &map, "--front", "postfix-recipients", "--try", "jane@example.org",
    ];
    let ran = init(&world, &arguments, "").ended(0);
    ran.complains_of_nothing()
        .says(&["jane@example.org: exists (mailbox, smtp:127.0.0.1:"]);
    let (config, notes) = configured(&world);
    assert_eq!(notes, [""; 0]);
    assert_eq!(
        config.directory[0].lookup.routes.as_ref().unwrap().to_string(),
        map
    );
    let text = fs::read_to_string(written(&world)).unwrap();
    assert!(
        !text.contains("\naddress =") && !text.contains("\ndomains ="),
        "{text}"
    );
    let refused = |map: &str, complaint: &str| {
        let world = World::new();
        let arguments = [
            "--behind", "smtp", "--routes", map, "--front", "postfix-recipients",
        ];
        let ran = init(&world, &arguments, "").ended(64);
        ran.says_nothing().complains(&[complaint]);
        assert!(!written(&world).exists());
    };
    refused("hash:/etc/postfix/transport", "file:///");
    world.scratch.write("transport", "example.org\n");
    refused(&map, "has no transport behind it");
}

#[test]
fn without_a_terminal_what_is_missing_is_named_by_its_option() {
    let world = World::new();
    for (arguments, complaint) in [
        (
            &[][..],
            "missing: --behind imap|smtp|lmtp, --host HOST, \
             --front postfix-recipients|postfix-logins|exim|dovecot (see vouch init --help)",
        ),
        (
            &[
                "--behind", "lmtp", "--host", "192.0.2.7", "--front", "postfix-recipients",
            ],
            "missing: --domain DOMAIN (",
        ),
        (
            &["--behind", "imap", "--host", "192.0.2.7", "--front", "dovecot"],
            "missing: --domain DOMAIN (",
        ),
        (
            &[
                "--behind", "imap", "--host", "192.0.2.7", "--front", "postfix-recipients", "--domain",
                "a.example",
            ],
            "--front postfix-recipients asks about recipients, which imap does not know: --behind must be smtp or lmtp",
        ),
        (
            &["--behind", "lmtp", "--host", "192.0.2.7", "--front", "exim"],
            "--front exim asks about logins, which lmtp does not know: --behind must be imap or smtp",
        ),
        (
            &[
                "--behind", "imap", "--host", "192.0.2.7", "--front", "exim", "--tls", "none",
            ],
            "with --tls none no password is sent: use --tls starttls or --tls implicit, or --allow-cleartext to send \
             passwords that anyone on the network path can read",
        ),
        (
            &["--host", "a b"],
            "neither a host name nor an IP address nor (lmtp) the absolute path of a socket",
        ),
        (&["--domain", "a b"], "a b: not a domain name"),
        (&["--port", "0"], "0 is not in 1..=65535"),
        (&["--offline", "--try", "jane@example.org"], "cannot be used with"),
        (
            &["--routes", "file:///etc/vouch/routes", "--host", "a.example"],
            "cannot be used with",
        ),
    ] {
        let ran = init(&world, arguments, "").ended(64);
        ran.says_nothing().complains(&[complaint]);
        assert!(!written(&world).exists());
    }
}

#[test]
fn a_file_that_somebody_has_written_is_left_alone_and_the_package_s_own_is_not() {
    let world = World::new();
    let arguments = [
        "--offline", "--behind", "imap", "--host", "192.0.2.7", "--front", "exim",
    ];
    let ours = "[directory.a]\ntype = \"imap\"\naddress = \"a.example\"\n";
    world.scratch.write("new.toml", ours);
    let ran = init(&world, &arguments, "").ended(73);
    ran.says_nothing()
        .complains(&["new.toml exists already, and nothing is written: --force overwrites it"]);
    assert_eq!(fs::read_to_string(written(&world)).unwrap(), ours);

    init(&world, &[arguments.as_slice(), &["--force"]].concat(), "").ended(0);
    assert_eq!(configured(&world).0.directory[0].name, "mailbox");
    // What it has written itself may have been changed since.
    init(&world, &arguments, "").ended(73);

    for shipped in ["contrib/vouch.toml", "contrib/debian/vouch.toml"] {
        let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join(shipped);
        world.scratch.write("new.toml", fs::read(shipped).unwrap());
        init(&world, &arguments, "").ended(0);
        assert_eq!(configured(&world).0.directory.len(), 1);
    }
}

#[test]
fn the_lines_for_each_front_hold_the_socket_of_the_file_and_the_commands_its_path() {
    let world = World::new();
    let arguments = [
        "--offline", "--behind", "smtp", "--host", "192.0.2.7", "--domain", "example.org", "--front",
        "postfix-recipients,postfix-logins,exim,dovecot",
    ];
    let ran = init(&world, &arguments, "").ended(0);
    let socket = |name: &str| world.scratch.path("sockets").join(name).display().to_string();
    let file = written(&world).display().to_string();
    ran.complains_of_nothing().says(&[
        &format!("\nWritten: {file}\n"),
        &format!(
            "\n    check_policy_service {{ unix:{}, timeout=25s, default_action=DEFER_IF_PERMIT, policy_context=mx }}\n",
            socket("policy")
        ),
        &format!("\nsmtpd_sasl_type = dovecot\nsmtpd_sasl_path = {}\n", socket("auth")),
        &format!("\n  server_socket = {}\n", socket("exim")),
        &format!("\n  executable = {} dovecot-service -c {file}\n", env!("CARGO_BIN_EXE_vouch")),
        &format!("\n  vouch check --online -c {file}\n  vouch serve -c {file}\n  postfix reload\n"),
        "\n  vsz_limit = 1024G\n",
        "\n  doveconf -n >/dev/null && doveadm reload\n",
        "\n  update-exim4.conf && systemctl reload exim4",
    ]);
}
