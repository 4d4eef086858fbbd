//! `vouch probe login`.

use std::io::Write;
use std::process::Stdio;

use base64::prelude::{BASE64_STANDARD, Engine};
use remote::{Options, Protocol, Server};
use serde_json::Value;

use crate::outside::{Bounded, PASSWORD, World, directory, people, vouch};

const JANE: &str = "jane@example.org";

/// A world with a remote of `protocol` for `example.org`, and a file with the right password.
fn world(protocol: Protocol) -> (World, Server) {
    world_with(people(protocol))
}

fn world_with(options: Options) -> (World, Server) {
    let kind = if options.protocol == Protocol::Imap {
        "imap"
    } else {
        "smtp"
    };
    let world = World::new();
    let remote = world.remote(options);
    world.config(&directory("remote", kind, remote.port()));
    world.scratch.write("password", format!("{PASSWORD}\n"));
    (world, remote)
}

/// A login with the right password, out of the file.
fn login<'a>(file: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&["probe", "login", "--password-file", file][..], more].concat()
}

#[test]
fn the_status_is_0_accepted_1_refused_75_no_answer_69_no_opinion() {
    for protocol in [Protocol::Imap, Protocol::Smtp] {
        let (world, remote) = world(protocol);
        let file = world.scratch.text("password");
        for (user, password, status, said) in [
            (JANE, PASSWORD, 0, "jane@example.org: accepted (remote, "),
            (JANE, "wrong", 1, "bad-credentials"),
            (JANE, "", 1, "the password is empty"),
            ("nobody@example.org", PASSWORD, 1, "bad-credentials"),
            (
                "trouble@example.org", PASSWORD, 75, "trouble@example.org: no answer (remote, ",
            ),
            (
                "jane@example.net",
                PASSWORD,
                69,
                "jane@example.net: not asked: no directory for logins serves example.net (lookup.domains, lookup.routes)",
            ),
        ] {
            world.scratch.write("password", format!("{password}\n"));
            let ran = world.vouch(&login(&file, &[user])).ended(status);
            ran.complains_of_nothing().says(&[said]);
            assert_eq!(ran.out.lines().count(), 1);
        }
        assert_eq!(remote.violations(), [""; 0]);
        world.stop(&remote);
        let ran = world.vouch(&login(&file, &[JANE])).ended(75);
        ran.says(&["jane@example.org: no answer (remote, ", "Connection refused"]);
    }
}

#[test]
fn the_password_is_the_first_line_of_a_file_or_of_standard_input() {
    let (world, _remote) = world(Protocol::Imap);
    let file = world.scratch.text("password");
    for content in [
        PASSWORD.to_owned(),
        format!("{PASSWORD}\n"),
        format!("{PASSWORD}\r\n"),
        format!("{PASSWORD}\nand more\n"),
    ] {
        world.scratch.write("password", &content);
        world.vouch(&login(&file, &[JANE])).ended(0);
        world.vouch_reading(&login("-", &[JANE]), &content).ended(0);
    }
    world
        .vouch_reading(&login("-", &[JANE]), &format!(" {PASSWORD}\n"))
        .ended(1);
    let missing = world.vouch(&login("/nonexistent/password", &[JANE])).ended(66);
    missing
        .says_nothing()
        .complains(&["/nonexistent/password", "No such file"]);
}

#[test]
fn nothing_behind_the_first_line_of_standard_input_is_waited_for() {
    let (world, _remote) = world(Protocol::Imap);
    let config = world.scratch.text("vouch.toml");
    let mut command = vouch();
    command
        .args(login("-", &[JANE, "-c", &config]))
        .stdin(Stdio::piped())
        .stdout(Stdio::null());
    let mut child = Bounded(command.spawn().unwrap());
    // In two pieces, and the pipe stays open.
    let mut pipe = child.0.stdin.take().unwrap();
    let (head, tail) = PASSWORD.split_at(4);
    pipe.write_all(head.as_bytes()).unwrap();
    pipe.write_all(format!("{tail}\nand").as_bytes()).unwrap();
    assert_eq!(child.ended().code(), Some(0));
    drop(pipe);
}

#[test]
fn one_mechanism_is_used_alone_when_it_is_named() {
    for (protocol, plain, other, last) in [
        (
            Protocol::Imap,
            "AUTHENTICATE PLAIN",
            "AUTHENTICATE LOGIN",
            ("login-command", "LOGIN \""),
        ),
        (Protocol::Smtp, "AUTH PLAIN", "AUTH LOGIN", ("auto", "AUTH PLAIN")),
    ] {
        let (world, remote) = world(protocol);
        let file = world.scratch.text("password");
        for name in ["plain", "PLAIN", "LOGIN", "Login", last.0] {
            world.vouch(&login(&file, &[JANE, "--mechanism", name])).ended(0);
        }
        let used: Vec<String> = remote
            .sessions()
            .iter()
            .flat_map(|session| session.commands.clone())
            .filter(|line| line.contains("AUTH") || line.contains("LOGIN "))
            .filter(|line| !line.contains("AUTH="))
            .collect();
        let expected = [plain, plain, other, other, last.1];
        assert_eq!(used.len(), 5, "{used:?}");
        for (used, expected) in used.iter().zip(expected) {
            assert!(used.contains(expected), "{used}: not {expected}");
        }
    }
    let (world, remote) = world_with(people(Protocol::Smtp).offering(&["AUTH PLAIN"]));
    let file = world.scratch.text("password");
    let ran = world
        .vouch(&login(&file, &[JANE, "--mechanism", "LOGIN"]))
        .ended(75);
    ran.says(&["it does not offer AUTH LOGIN", "it offers PLAIN"]);
    assert_eq!(remote.count("AUTH"), 0);
    let ran = world
        .vouch(&login(&file, &[JANE, "-m", "login-command"]))
        .ended(64);
    ran.complains(&["login-command is of IMAP", "type smtp"]);
}

#[test]
fn the_configured_mechanism_is_tried_by_check_and_probe() {
    let offers = ["IMAP4rev1", "AUTH=PLAIN", "LOGINDISABLED"];
    let (world, remote) = world_with(people(Protocol::Imap).offering(&offers));
    let file = world.scratch.text("password");
    world.vouch(&login(&file, &[JANE])).ended(0);
    let command = "auth.mechanism = \"login-command\"\n";
    world.config(&(directory("remote", "imap", remote.port()) + command));
    let lacks = "it does not offer the command LOGIN, the only way that is allowed; it offers PLAIN, and forbids the command \
                 LOGIN";
    let ran = world.vouch(&["check", "--online"]).ended(69);
    ran.says(&[
        "A password is sent by login-command only.", "NO LOGIN CAN BE TRIED", lacks,
    ]);
    let ran = world.vouch(&login(&file, &[JANE])).ended(75);
    ran.says(&[
        lacks,
        "set directory.\"remote\".auth.mechanism to one that it offers",
    ]);
}

#[test]
fn json_is_one_object_with_these_fields_and_no_secret() {
    let (world, _remote) = world(Protocol::Imap);
    let file = world.scratch.text("password");
    for (password, status, verdict, cause) in [
        (PASSWORD, 0, "accept", "-"),
        ("s3same 0pen", 1, "reject", "bad-credentials"),
    ] {
        world.scratch.write("password", password);
        let ran = world.vouch(&login(&file, &[JANE, "--json"])).ended(status);
        ran.complains_of_nothing();
        assert!(!ran.out.contains(password), "{}", ran.out);
        let object: Value = serde_json::from_str(&ran.out).unwrap();
        assert_eq!(object["user"], JANE);
        assert_eq!(object["verdict"], verdict);
        assert_eq!(object["cause"], cause);
        assert_eq!(object["directory"], "remote");
        assert_eq!(object["source"], "probe");
        assert!(object["us"].is_u64());
        assert!(object.get("status").is_some() && object.get("text").is_some());
    }
}

#[test]
fn trace_shows_the_dialog_and_the_password_in_no_form() {
    for (protocol, words) in [
        (Protocol::Imap, &[" S: * OK", " C: ", "AUTHENTICATE PLAIN"][..]),
        (Protocol::Smtp, &[" S: 220", " C: EHLO ", " C: AUTH PLAIN"]),
    ] {
        for mechanism in ["PLAIN", "LOGIN"] {
            let (world, remote) = world(protocol);
            let file = world.scratch.text("password");
            for password in [PASSWORD, "s3same 0pen"] {
                world.scratch.write("password", password);
                let ran = world.vouch(&login(&file, &[JANE, "--trace", "-m", mechanism]));
                ran.complains(&words[..words.len() - usize::from(mechanism == "LOGIN")]);
                let plain = format!("\0{JANE}\0{password}");
                for form in [
                    password.to_owned(),
                    BASE64_STANDARD.encode(password),
                    BASE64_STANDARD.encode(plain),
                ] {
                    for shown in [&ran.out, &ran.err] {
                        assert!(!shown.contains(&form), "{form} is in {shown}");
                    }
                }
            }
            // It did go out, or the above would be easy.
            assert_eq!(remote.sessions().iter().map(|log| log.auth_ok).sum::<u32>(), 1);
        }
    }
}

#[test]
fn a_remote_that_says_the_password_back_is_not_quoted() {
    let (world, remote) = world(Protocol::Smtp);
    let file = world.scratch.text("password");
    let mut account = remote::Account::new("echo@example.org", PASSWORD);
    let encoded = BASE64_STANDARD.encode(PASSWORD);
    account.state = remote::State::Says(format!("535 5.7.8 no user with password {PASSWORD} ({encoded})"));
    remote.set_account(account);
    for more in [&["--trace"][..], &["--json"], &[]] {
        let ran = world.vouch(&login(&file, &[&["echo@example.org"], more].concat()));
        for shown in [&ran.out, &ran.err] {
            assert!(!shown.contains(PASSWORD) && !shown.contains(&encoded), "{shown}");
        }
    }
}
