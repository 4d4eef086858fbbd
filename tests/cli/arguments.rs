//! The command line: what is wrong with it, help, and a reader who went away.

use std::fs::OpenOptions;

use remote::Protocol;

use crate::outside::{World, directory, listener, people, run, run_into, run_unread};

#[test]
fn a_wrong_command_line_ends_with_64_and_says_what_is_wrong_and_how_it_goes() {
    for (arguments, complaint) in [
        (&[][..], "Usage: vouch [OPTIONS] <COMMAND>"),
        (&["bogus"], "unrecognized subcommand 'bogus'"),
        (&["chekc"], "'check'"),
        (&["probe"], "Usage: vouch probe [OPTIONS] <COMMAND>"),
        (&["probe", "bogus"], "unrecognized subcommand 'bogus'"),
        (&["--bogus"], "unexpected argument '--bogus'"),
        (&["serve", "--bogus"], "unexpected argument '--bogus'"),
        (&["serve", "-c"], "a value is required for '--config <FILE>'"),
        (
            &["check", "vouch.toml", "other.toml"],
            "unexpected argument 'other.toml'",
        ),
        (&["probe", "recipient"], "required arguments were not provided"),
        (
            &["probe", "recipient", "-d"],
            "a value is required for '--directory <NAME>'",
        ),
        (&["probe", "login"], "required arguments were not provided"),
        (
            &["probe", "login", "jane", "--mechanism", "CRAM-MD5"],
            "supported: auto, PLAIN, LOGIN and login-command",
        ),
    ] {
        let ran = run(arguments, "").ended(64);
        ran.says_nothing().complains(&[complaint, "--help"]);
    }
}

#[test]
fn the_configuration_is_named_before_a_command_or_behind_it() {
    let world = World::new();
    let socket = world.scratch.path("policy");
    let config = world.config(&(directory("here", "lmtp", 24) + &listener("in", "policy", &socket, "here")));
    let config = config.to_str().unwrap();
    let reply = ["probe", "reply", "-d", "here", "550 5.1.1 User unknown"];
    for (arguments, said) in [(&["check"][..], "here"), (&reply, "unknown")] {
        let before = [&["-c", config], arguments].concat();
        let behind = [arguments, &["--config", config]].concat();
        // What is nearer counts.
        let both = [&["-c", "/nonexistent"], arguments, &["-c", config]].concat();
        for arguments in [before, behind, both] {
            run(arguments, "").ended(0).says(&[said]);
        }
    }
    let ran = run(["-c", "/nonexistent", "check"], "").ended(78);
    ran.says_nothing().complains(&["/nonexistent"]);
}

#[test]
fn a_password_is_never_an_argument() {
    for arguments in [
        &["probe", "login", "jane", "s3cret"][..],
        &["probe", "login", "jane", "--password", "s3cret"],
        &["probe", "login", "jane", "--password=s3cret"],
        &["probe", "login", "jane", "-p", "s3cret"],
    ] {
        run(arguments, "")
            .ended(64)
            .says_nothing()
            .complains(&["unexpected argument"]);
    }
    let help = run(["probe", "login", "--help"], "").ended(0);
    help.says(&["--password-file"]);
    assert_eq!(
        help.out
            .replace("--password-file", "")
            .matches("--password")
            .count(),
        0
    );
}

#[test]
fn help_and_version_go_to_standard_output_with_status_0() {
    for (arguments, content) in [
        (&["--help"][..], &["serve", "check", "probe"][..]),
        (
            &["serve", "--help"],
            &["/etc/vouch/vouch.toml", "Exit status:", "71", "78"],
        ),
        (&["check", "-h"], &["--online", "Exit status:", "69", "78"]),
        (&["status", "--help"], &["--json", "--watch", "69", "78"]),
        (&["cache", "--help"], &["list", "get", "purge"]),
        (
            &["cache", "purge", "--help"],
            &["[ADDRESS]", "--user", "--domain", "--directory", "--all", "69"],
        ),
        (&["log", "level", "--help"], &["error", "trace", "reset", "69"]),
        (&["probe", "--help"], &["recipient", "login"]),
        (
            &["probe", "recipient", "--help"],
            &["--file", "--json", "--trace", "69", "75"],
        ),
        (
            &["probe", "login", "--help"],
            &["--mechanism", "--json", "--trace", "69", "75"],
        ),
        (&["--version"], &["vouch ", env!("CARGO_PKG_VERSION")]),
        (&["-V"], &["vouch "]),
    ] {
        let ran = run(arguments, "").ended(0);
        ran.complains_of_nothing().says(content);
    }
}

#[test]
fn a_reader_who_went_away_ends_every_command_with_74_and_no_panic() {
    let world = World::new();
    let remote = world.remote(people(Protocol::Smtp));
    let config = world.config(&directory("remote", "smtp", remote.port()));
    let config = config.to_str().unwrap();
    for arguments in [
        &["--help"][..],
        &["--version"],
        &["check", "-c", config],
        &["check", "--online", "-c", config],
        &[
            "probe", "recipient", "jane@example.org", "nobody@example.org", "-c", config,
        ],
        &["probe", "recipient", "--json", "jane@example.org", "-c", config],
        &[
            "probe", "login", "jane@example.org", "--password-file", "-", "-c", config,
        ],
    ] {
        let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        for ran in [run_unread(arguments), run_into(arguments, full.into())] {
            let ran = ran.ended(74);
            assert!(!ran.err.contains("panicked"), "{arguments:?}: {ran:#?}");
        }
    }
}
