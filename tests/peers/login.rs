//! Logins: Postfix, `doveadm` and `socat` ask `vouch`, which asks Dovecot by IMAP and Postfix by SMTP AUTH.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::available;
use crate::dialog::{Dialog, assert_starts, plain};
use crate::dovecot::Dovecot;
use crate::people::{DISABLED, FAILING_LOGIN, KNOWN, NOBODY, RIGHT, logins};
use crate::postfix::Postfix;
use crate::recipient::socat;
use crate::support::{Authority, Scratch, Vouch, program};

#[test]
fn postfix_checks_logins_at_dovecot_with_starttls() {
    if !available(&["postfix"]) {
        return;
    }
    let scratch = Scratch::new();
    let authority = Authority::new(&scratch, "remote");
    let mut dovecot = Dovecot::remote(&scratch, &authority);
    let (_vouch, auth) = serve(&scratch, "imap", dovecot.imap, &starttls(&authority));
    let front = Postfix::front(&scratch, None, Some(&auth));

    let session = || Dialog::tcp(front.smtp).hello("EHLO", None);
    for (name, password) in logins() {
        assert_starts(&session().auth_plain(&name, &password), "235 2.7.0");
        assert_starts(&session().auth_login(&name, &password), "235 2.7.0");
        assert_starts(
            &session().auth_plain(&name, &[&password, b"x".as_slice()].concat()),
            "535 5.7.8",
        );
    }
    let mut dialog = session();
    assert_starts(&dialog.auth_login(KNOWN, b"wrong"), "535 5.7.8");
    assert_starts(&dialog.auth_plain(NOBODY, RIGHT), "535 5.7.8");
    assert_starts(&dialog.auth_plain(DISABLED, RIGHT), "535 5.7.8");
    assert_starts(&dialog.auth_plain(FAILING_LOGIN, RIGHT), "454 4.7.0");
    // The same session goes on after a temporary failure.
    assert_starts(&dialog.auth_plain(KNOWN, RIGHT), "235 2.7.0");

    dovecot.stop();
    let mut dialog = session();
    assert_starts(&dialog.auth_plain(KNOWN, RIGHT), "454 4.7.0");
    assert_starts(&dialog.auth_login(KNOWN, b"never tried before"), "454 4.7.0");
}

#[test]
fn postfix_checks_logins_at_postfix_with_implicit_tls() {
    if !available(&["postfix"]) {
        return;
    }
    let scratch = Scratch::new();
    let authority = Authority::new(&scratch, "remote");
    let dovecot = Dovecot::remote(&scratch, &authority);
    let mut remote = Postfix::remote(&scratch, &authority, &dovecot.auth_socket);
    let tls = format!("implicit = true\nca-file = \"{}\"", authority.ca.display());
    let (_vouch, auth) = serve(&scratch, "smtp", remote.smtps, &tls);
    let front = Postfix::front(&scratch, None, Some(&auth));

    let session = || Dialog::tcp(front.smtp).hello("EHLO", None);
    for (name, password) in logins() {
        assert_starts(&session().auth_plain(&name, &password), "235 2.7.0");
    }
    assert_starts(&session().auth_plain(KNOWN, b"wrong"), "535 5.7.8");
    assert_starts(&session().auth_login(NOBODY, RIGHT), "535 5.7.8");
    remote.stop();
    assert_starts(&session().auth_plain(KNOWN, RIGHT), "454 4.7.0");
}

#[test]
fn who_guesses_at_postfix_is_refused_late_and_never_told_later() {
    if !available(&["postfix"]) {
        return;
    }
    let scratch = Scratch::new();
    let authority = Authority::new(&scratch, "remote");
    let dovecot = Dovecot::remote(&scratch, &authority);
    // Every client here comes from loopback.
    let keys = "penalty = { after = 2, exempt = [] }";
    let (_vouch, auth) = serve_with(&scratch, "imap", dovecot.imap, &starttls(&authority), keys);
    let front = Postfix::front(&scratch, None, Some(&auth));
    let log = || std::fs::read_to_string(scratch.path("front-postfix.log")).unwrap_or_default();

    let mut dialog = Dialog::tcp(front.smtp).hello("EHLO", None);
    for (password, late) in [("a", 0), ("b", 0), ("c", 1), ("d", 2), ("e", 4)] {
        let asked = Instant::now();
        assert_starts(&dialog.auth_plain(KNOWN, password.as_bytes()), "535 5.7.8");
        assert!(asked.elapsed() >= Duration::from_secs(late), "{password}");
    }
    // The same guesser elsewhere, by the right password: late as well.
    let asked = Instant::now();
    let mut dialog = Dialog::tcp(front.smtp).hello("EHLO", None);
    assert_starts(&dialog.auth_login(KNOWN, RIGHT), "235 2.7.0");
    assert!(asked.elapsed() >= Duration::from_secs(4));
    assert!(
        !log().contains("Connection lost to authentication server"),
        "{}",
        log()
    );
}

#[test]
fn doveadm_checks_logins_at_postfix_with_starttls() {
    if !available(&["postfix"]) {
        return;
    }
    let scratch = Scratch::new();
    let authority = Authority::new(&scratch, "remote");
    let dovecot = Dovecot::remote(&scratch, &authority);
    let mut remote = Postfix::remote(&scratch, &authority, &dovecot.auth_socket);
    let (_vouch, auth) = serve(&scratch, "smtp", remote.smtp, &starttls(&authority));

    assert_succeeds(&doveadm(&dovecot, &auth, KNOWN, RIGHT));
    assert_fails(&doveadm(&dovecot, &auth, KNOWN, b"wrong"), "auth failed");
    remote.stop();
    assert_fails(&doveadm(&dovecot, &auth, KNOWN, RIGHT), "code=temp_fail");
}

#[test]
fn doveadm_and_socat_check_logins_at_dovecot_with_implicit_tls() {
    if !available(&["socat"]) {
        return;
    }
    let scratch = Scratch::new();
    let authority = Authority::new(&scratch, "remote");
    let dovecot = Dovecot::remote(&scratch, &authority);
    let tls = format!("implicit = true\nca-file = \"{}\"", authority.ca.display());
    let (vouch, auth) = serve(&scratch, "imap", dovecot.imaps, &tls);

    // doveadm takes the password as an argument of text.
    for (name, password) in logins()
        .iter()
        .filter(|(_, password)| std::str::from_utf8(password).is_ok())
    {
        assert_succeeds(&doveadm(&dovecot, &auth, name, password));
    }
    assert_fails(&doveadm(&dovecot, &auth, KNOWN, b"wrong"), "auth failed");
    assert_fails(&doveadm(&dovecot, &auth, NOBODY, RIGHT), "auth failed");
    assert_fails(&doveadm(&dovecot, &auth, FAILING_LOGIN, RIGHT), "code=temp_fail");

    let request = |password| {
        format!(
            "VERSION\t1\t2\nCPID\t7\nAUTH\t1\tPLAIN\tservice=imap\tresp={}\n",
            plain(KNOWN, password)
        )
    };
    let answer = socat(&auth, &request(RIGHT));
    assert!(
        answer.ends_with(&format!("\nOK\t1\tuser={KNOWN}\n")),
        "{answer:?}"
    );
    let answer = socat(&auth, &request(b"wrong"));
    assert!(
        answer.ends_with(&format!("\nFAIL\t1\tuser={KNOWN}\n")),
        "{answer:?}"
    );
    assert!(
        vouch.stop().is_some_and(|status| status.success()),
        "SIGTERM ends the daemon well"
    );
}

#[test]
fn a_remote_with_a_foreign_certificate_checks_no_login() {
    if !available(&[]) {
        return;
    }
    let scratch = Scratch::new();
    let authority = Authority::new(&scratch, "remote");
    let stranger = Authority::new(&scratch, "stranger");
    let dovecot = Dovecot::remote(&scratch, &authority);
    let (_vouch, auth) = serve(&scratch, "imap", dovecot.imap, &starttls(&stranger));
    assert_fails(&doveadm(&dovecot, &auth, KNOWN, RIGHT), "code=temp_fail");
    assert_fails(&doveadm(&dovecot, &auth, KNOWN, b"wrong"), "code=temp_fail");
}

/// TLS settings that insist on STARTTLS with this authority.
pub(crate) fn starttls(authority: &Authority) -> String {
    format!(
        "starttls = \"required\"\nca-file = \"{}\"",
        authority.ca.display()
    )
}

/// Starts `vouch` with one auth listener in front of a remote of this type at this port. Without a list of domains
/// it takes every login, those without a domain too.
pub(crate) fn serve(scratch: &Scratch, kind: &str, port: u16, tls: &str) -> (Vouch, PathBuf) {
    serve_with(scratch, kind, port, tls, "")
}

/// The same with these keys of the listener.
fn serve_with(scratch: &Scratch, kind: &str, port: u16, tls: &str, keys: &str) -> (Vouch, PathBuf) {
    serve_at(scratch, "auth", (kind, port), tls, keys)
}

/// The same with a listener of this protocol.
pub(crate) fn serve_at(
    scratch: &Scratch,
    protocol: &str,
    (kind, port): (&str, u16),
    tls: &str,
    keys: &str,
) -> (Vouch, PathBuf) {
    let socket = scratch.path(&format!("vouch-{protocol}"));
    let config = format!(
        "[directory.\"remote\"]
type = \"{kind}\"
address = \"127.0.0.1\"
port = {port}
[directory.\"remote\".tls]
{tls}
[listener.\"logins\"]
protocol = \"{protocol}\"
socket = \"{}\"
mode = \"0666\"
directory = [\"remote\"]
{keys}
[control]
socket = \"{}\"
",
        socket.display(),
        scratch.text("control"),
    );
    (Vouch::serve(scratch, &config, &[&socket]), socket)
}

/// What `doveadm auth test` prints, and whether it calls the login good.
pub(crate) fn doveadm(dovecot: &Dovecot, auth: &Path, name: &str, password: &[u8]) -> (bool, String) {
    let output = Command::new(program("doveadm").unwrap())
        .arg("-c")
        .arg(&dovecot.config)
        .args(["auth", "test", "-a"])
        .arg(auth)
        // What follows is a name and a password even if it looks like an option.
        .arg("--")
        .arg(name)
        .arg(std::str::from_utf8(password).unwrap())
        .output()
        .unwrap();
    let text = [output.stdout, output.stderr].concat();
    (
        output.status.success(),
        String::from_utf8_lossy(&text).into_owned(),
    )
}

#[track_caller]
pub(crate) fn assert_succeeds((good, text): &(bool, String)) {
    assert!(*good && text.contains("auth succeeded"), "{text}");
}

#[track_caller]
pub(crate) fn assert_fails((good, text): &(bool, String), why: &str) {
    assert!(!*good && text.contains(why), "expected {why:?} in: {text}");
}
