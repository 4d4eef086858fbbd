//! What `vouch init` tries before it writes: the server, a recipient, a login.

use std::fs;
use std::path::Path;

use remote::{Protocol, Security};

use crate::init::{init, remote, written};
use crate::outside::{PASSWORD, World, people, run};

#[test]
fn it_tries_the_server_and_shows_what_check_online_shows() {
    let world = World::new();
    let remote = remote(&world, Protocol::Smtp, Security::StartTls);
    let port = remote.port().to_string();
    let ca = world.scratch.text("ca.pem");
    let arguments = [
        "--behind", "smtp", "--host", "127.0.0.1", "--port", &port, "--ca-file", &ca, "--domain",
        "example.org", "--front", "postfix-recipients",
    ];
    let ran = init(&world, &arguments, "").ended(0);
    ran.complains_of_nothing().says(&[
        "\nmailbox: reached in ", "  TLS: TLS 1.3, ", "  certificate: subject CN=test remote, ",
        "  offers: PIPELINING ",
    ]);
    assert_eq!(remote.count("RCPT"), 0, "nobody was asked about");
    let config = written(&world);
    let checked = run(
        [
            Path::new("check"),
            Path::new("--online"),
            Path::new("-c"),
            &config,
        ],
        "",
    )
    .ended(0);
    let shown = |out: &str| {
        let (_, from) = out.split_once("  TLS: ").unwrap();
        from.lines().take(3).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(shown(&ran.out), shown(&checked.out));
}

#[test]
fn a_server_that_cannot_be_reached_is_told_as_check_online_tells_it_and_nothing_is_written() {
    let world = World::new();
    let remote = remote(&world, Protocol::Imap, Security::Implicit);
    let port = remote.port().to_string();
    let arguments = [
        "--behind", "imap", "--host", "127.0.0.1", "--port", &port, "--tls", "implicit", "--domain",
        "example.org", "--front", "postfix-logins",
    ];
    let ran = init(&world, &arguments, "").ended(69);
    ran.complains(&["nothing is written: fix the problem above, or write the file untested with --offline"]);
    assert!(!written(&world).exists());
    // The same file, written without a try.
    init(&world, &[arguments.as_slice(), &["--offline"]].concat(), "").ended(0);
    let config = written(&world);
    let checked = run(
        [
            Path::new("check"),
            Path::new("--online"),
            Path::new("-c"),
            &config,
        ],
        "",
    )
    .ended(69);
    let failure = |out: &str| {
        let (_, from) = out.split_once(" ms\n").unwrap();
        from.trim_end().to_owned()
    };
    assert!(failure(&ran.out).contains("tls.ca-file"), "{}", ran.out);
    assert_eq!(failure(&ran.out), failure(&checked.out));
}

#[test]
fn it_asks_about_one_recipient() {
    let world = World::new();
    let remote = world.remote(people(Protocol::Lmtp));
    let port = remote.port().to_string();
    let try_out = |address: &str| {
        let _ = fs::remove_file(written(&world));
        let arguments = [
            "--behind", "lmtp", "--host", "127.0.0.1", "--port", &port, "--domain", "example.org", "--front",
            "postfix-recipients", "--try", address,
        ];
        init(&world, &arguments, "")
    };
    try_out("jane@example.org")
        .ended(0)
        .says(&["\njane@example.org: exists (mailbox, "]);
    try_out("nobody@example.org")
        .ended(0)
        .says(&["\nnobody@example.org: unknown (mailbox, "]);
    assert!(written(&world).exists());
    let ran = try_out("trouble@example.org").ended(75);
    ran.says(&["\ntrouble@example.org: no answer (mailbox, "])
        .complains(&["nothing is written: fix the problem above, or omit --try"]);
    assert!(!written(&world).exists());
    try_out("jane").ended(64).complains(&["vouch init: jane: "]);
}

#[test]
fn it_asks_about_one_login_with_a_password_that_no_argument_holds() {
    let world = World::new();
    let remote = world.remote(people(Protocol::Imap));
    let port = remote.port().to_string();
    for (password, answer) in [(PASSWORD, "accepted"), ("wrong", "refused")] {
        let _ = fs::remove_file(written(&world));
        let arguments = [
            "--behind", "imap", "--host", "127.0.0.1", "--port", &port, "--front", "postfix-logins", "--try",
            "jane@example.org", "--password-file", "-",
        ];
        let ran = init(&world, &arguments, &format!("{password}\n")).ended(0);
        ran.says(&[&format!("\njane@example.org: {answer} (mailbox, ")]);
        assert!(
            !ran.out.contains(password) && !ran.err.contains(password),
            "{ran:?}"
        );
    }
}
