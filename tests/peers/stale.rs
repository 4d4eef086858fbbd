//! A Dovecot that is down, and users who were let in before: `cache.credentials.stale`, behind a Postfix.

use std::fs;
use std::process::Command;
use std::time::Duration;

use crate::available;
use crate::dialog::{Dialog, assert_starts};
use crate::dovecot::Dovecot;
use crate::people::{KNOWN, NOBODY, RIGHT};
use crate::postfix::Postfix;
use crate::support::process::wait_until;
use crate::support::vouch::binary;
use crate::support::{Authority, Scratch, Vouch};

/// The keys of a directory at this port, and of its listener. Every client here comes from loopback.
fn config(scratch: &Scratch, port: u16, authority: &Authority) -> String {
    format!(
        "[directory.\"remote\"]
type = \"imap\"
address = \"127.0.0.1\"
port = {port}
tls = {{ starttls = \"required\", ca-file = \"{}\" }}
cache.credentials = {{ negative = \"0s\", stale = \"8h\" }}
[listener.\"logins\"]
protocol = \"auth\"
socket = \"{}\"
mode = \"0666\"
directory = [\"remote\"]
limits.auth-errors = 4
penalty = {{ after = 3, exempt = [] }}
[control]
socket = \"{}\"
",
        authority.ca.display(),
        scratch.text("vouch-auth"),
        scratch.text("control"),
    )
}

#[test]
fn who_was_let_in_before_is_let_in_while_dovecot_is_down() {
    if !available(&["postfix"]) {
        return;
    }
    let scratch = Scratch::new();
    let authority = Authority::new(&scratch, "remote");
    let mut dovecot = Dovecot::remote(&scratch, &authority);
    let auth = scratch.path("vouch-auth");
    let _vouch = Vouch::serve(&scratch, &config(&scratch, dovecot.imap, &authority), &[&auth]);
    let front = Postfix::front(&scratch, None, Some(&auth));
    let session = || Dialog::tcp(front.smtp).hello("EHLO", None);
    let logged = |line: &str| {
        let log = || fs::read_to_string(scratch.path("vouch.log")).unwrap_or_default();
        wait_until(line, Duration::from_secs(60), || log().contains(line));
    };
    assert_starts(&session().auth_plain(KNOWN, RIGHT), "235 2.7.0");

    dovecot.stop();
    assert_starts(&session().auth_plain(KNOWN, RIGHT), "235 2.7.0");
    assert_starts(&session().auth_login(KNOWN, RIGHT), "235 2.7.0");
    logged(&format!(
        "about={KNOWN} verdict=accept cause=- source=stale directory=remote "
    ));
    let status = Command::new(binary())
        .args(["status", "-c"])
        .arg(scratch.path("vouch.toml"))
        .output()
        .unwrap();
    let status = String::from_utf8_lossy(&status.stdout).replace('\n', " ");
    assert!(status.contains("2 logins were accepted from the"), "{status}");

    // The password is changed while vouch looks on: the old one is over, and the new one is good.
    let changed = |line: &str| {
        if line.starts_with(&format!("{KNOWN}:")) {
            format!("{KNOWN}:{{PLAIN}}changed::::::\n")
        } else {
            format!("{line}\n")
        }
    };
    let users = fs::read_to_string(scratch.path("users")).unwrap();
    scratch.write("users", users.lines().map(changed).collect::<String>());
    dovecot.start_again(&scratch);
    assert_starts(&session().auth_plain(KNOWN, b"changed"), "235 2.7.0");
    logged("it replies to logins again");
    dovecot.stop();
    assert_starts(&session().auth_plain(KNOWN, b"changed"), "235 2.7.0");

    // Whatever else is tried is "later", and counts: of the user and of one whom nobody knows.
    let mut dialog = session();
    for (name, password) in [
        (KNOWN, RIGHT),
        (KNOWN, b"guess".as_slice()),
        (NOBODY, RIGHT),
        (NOBODY, b"guess"),
    ] {
        assert_starts(&dialog.auth_plain(name, password), "454 4.7.0");
    }
    logged("penalty: answers to this client are delayed from now on");
    // Behind the limit, none is compared.
    assert_starts(&dialog.auth_plain(KNOWN, b"changed"), "454 4.7.0");
    logged(&format!("about={KNOWN} verdict=defer cause=limit source=limit "));
}
