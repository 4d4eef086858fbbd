//! Tokens and relayed dialogs: GNU SASL's client at Postfix, which asks `vouch`, which carries the dialog to Dovecot,
//! which alone holds the password. Where a client must stop half way, or bring a token, the dialog is written out.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use base64::prelude::{BASE64_STANDARD, Engine};

use crate::available;
use crate::dialog::{Dialog, assert_starts};
use crate::dovecot::{Dovecot, token};
use crate::language::Language;
use crate::people::{DISABLED, KNOWN, NOBODY, RIGHT};
use crate::postfix::Postfix;
use crate::support::{Authority, Scratch, Vouch, program};

const RELAYED: [&str; 4] = ["CRAM-MD5", "DIGEST-MD5", "SCRAM-SHA-1", "SCRAM-SHA-256"];

#[test]
fn dialogs_pass_through_postfix_to_dovecot_by_imap() {
    if !available(&["postfix", "gsasl"]) {
        return;
    }
    let scratch = Scratch::new();
    let authority = Authority::new(&scratch, "remote");
    let mut dovecot = Dovecot::remote(&scratch, &authority);
    let (_vouch, auth) = serve(&scratch, &authority, "imap", dovecot.imap, "");
    let front = Postfix::front(&scratch, None, Some(&auth));
    dialogs(front.smtp);
    // Of this Postfix knows nothing.
    assert!(
        !gsasl(front.smtp, "SCRAM-SHA-256", DISABLED, RIGHT),
        "a closed account"
    );
    dovecot.stop();
    // Postfix gave its client the list before; the dialog has no answer about anybody.
    let mut dialog = Dialog::tcp(front.smtp).hello("EHLO", None);
    assert_starts(&dialog.command("AUTH CRAM-MD5"), "454 4.7.0");
}

#[test]
fn dialogs_pass_through_postfix_to_postfix_by_smtp() {
    if !available(&["postfix", "gsasl"]) {
        return;
    }
    let scratch = Scratch::new();
    let authority = Authority::new(&scratch, "remote");
    let dovecot = Dovecot::remote(&scratch, &authority);
    let remote = Postfix::remote(&scratch, &authority, &dovecot.auth_socket);
    let (_vouch, auth) = serve(&scratch, &authority, "smtp", remote.smtp, "");
    let front = Postfix::front(&scratch, None, Some(&auth));
    dialogs(front.smtp);
}

/// Good and bad passwords by every mechanism that is relayed.
#[track_caller]
fn dialogs(port: u16) {
    for mechanism in RELAYED {
        assert!(
            gsasl(port, mechanism, KNOWN, RIGHT),
            "{mechanism}: the right password"
        );
        assert!(
            gsasl(port, mechanism, "odd4@example.org", br"back\slash\\two\"),
            "{mechanism}: an odd one"
        );
        assert!(
            !gsasl(port, mechanism, KNOWN, b"wrong"),
            "{mechanism}: a wrong one"
        );
        assert!(!gsasl(port, mechanism, NOBODY, RIGHT), "{mechanism}: nobody's");
    }
}

/// Whether GNU SASL's client, which has its own mind about each mechanism, got in by SMTP.
fn gsasl(port: u16, mechanism: &str, name: &str, password: &[u8]) -> bool {
    let output = Command::new(program("gsasl").unwrap())
        .args([
            "--smtp", "--no-starttls", "--hostname=localhost", "--realm=", "--quality-of-protection=qop-auth",
        ])
        .arg(format!("--connect=127.0.0.1:{port}"))
        .args(["--mechanism", mechanism, "--authentication-id", name])
        .args(["--password", std::str::from_utf8(password).unwrap()])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    println!("{mechanism} {name}: {}\n{said}", output.status);
    let accepted = said.contains("235 2.7.0");
    assert!(
        accepted || said.contains("535 5.7.8"),
        "neither yes nor no: {said}"
    );
    accepted
}

#[test]
fn a_dialog_that_is_abandoned_leaves_nothing_behind() {
    if !available(&["postfix", "gsasl"]) {
        return;
    }
    let scratch = Scratch::new();
    let authority = Authority::new(&scratch, "remote");
    let dovecot = Dovecot::remote(&scratch, &authority);
    let (_vouch, auth) = serve(
        &scratch, &authority, "imap", dovecot.imap, "pool.max-sessions = 4\n",
    );
    let front = Postfix::front(&scratch, None, Some(&auth));

    // Dovecot's own clients say that they cancel.
    let mut listener = Dialog::unix(&auth);
    while listener.line() != "DONE" {}
    listener.send(b"VERSION\t1\t2\nCPID\t1\nAUTH\t1\tCRAM-MD5\tservice=imap\n");
    assert_starts(&listener.line(), "CONT\t1\t");
    assert_eq!(connections(dovecot.imap), 1);
    listener.send(b"CANCEL\t1\n");
    wait_until_none(dovecot.imap, Duration::from_secs(5));

    // Postfix does not: one client gives up, another hangs up.
    let mut gives_up = Dialog::tcp(front.smtp).hello("EHLO", None);
    assert_starts(&gives_up.command("AUTH CRAM-MD5"), "334 ");
    assert_eq!(connections(dovecot.imap), 1);
    assert_starts(&gives_up.command("*"), "501 ");
    // A password does not wait for the dialog to be forgotten, which holds a quarter of the sessions.
    assert_starts(&gives_up.auth_plain(KNOWN, RIGHT), "235 ");
    wait_until_none(dovecot.imap, Duration::from_secs(25));
    assert!(gsasl(front.smtp, "SCRAM-SHA-256", KNOWN, RIGHT));
}

/// Connections to a port of this machine that are open (proc(5), `/proc/net/tcp`).
fn connections(port: u16) -> usize {
    let port = format!(":{port:04X}");
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let is_open = |line: &&str| {
        let mut fields = line.split_whitespace().skip(1);
        let (local, state) = (fields.next(), fields.nth(1));
        local.is_some_and(|address| address.ends_with(&port)) && state == Some("01")
    };
    table.lines().filter(is_open).count()
}

#[track_caller]
fn wait_until_none(port: u16, patience: Duration) {
    let began = Instant::now();
    while connections(port) > 0 {
        assert!(began.elapsed() < patience, "a session is still open");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn tokens_go_to_dovecot_and_its_challenge_comes_back() {
    if !available(&["postfix"]) {
        return;
    }
    let scratch = Scratch::new();
    let authority = Authority::new(&scratch, "remote");
    let dovecot = Dovecot::remote(&scratch, &authority);
    let (_vouch, auth) = serve(&scratch, &authority, "imap", dovecot.imap, "");
    let front = Postfix::front(&scratch, None, Some(&auth));
    let session = || Dialog::tcp(front.smtp).hello("EHLO", None);
    let xoauth2 = |name: &str, token: &str| {
        let message = format!("user={name}\x01auth=Bearer {token}\x01\x01");
        format!("AUTH XOAUTH2 {}", BASE64_STANDARD.encode(message))
    };
    let good = token(KNOWN);
    assert_starts(&session().command(&xoauth2(KNOWN, &good)), "235 2.7.0");
    let bearer = format!("n,a={KNOWN},\x01host=localhost\x01port=25\x01auth=Bearer {good}\x01\x01");
    let bearer = format!("AUTH OAUTHBEARER {}", BASE64_STANDARD.encode(bearer));
    assert_starts(&session().command(&bearer), "235 2.7.0");
    // One that nobody signed, and somebody else's, which Dovecot 2.4 refuses without a challenge.
    for (bad, challenged) in [
        (good.replace('.', ".x"), true),
        (token("someone@example.org"), !Language::installed().is_new()),
    ] {
        let mut dialog = session();
        if !challenged {
            assert_starts(&dialog.command(&xoauth2(KNOWN, &bad)), "535 5.7.8");
            continue;
        }
        let challenge = dialog.command(&xoauth2(KNOWN, &bad));
        assert_starts(&challenge, "334 ");
        let challenge = BASE64_STANDARD.decode(&challenge[4..]).unwrap();
        let challenge = String::from_utf8(challenge).unwrap();
        assert!(
            challenge.contains("\"status\":\"invalid_token\"") || challenge.contains("\"status\":\"401\""),
            "{challenge}"
        );
        assert_starts(&dialog.command(""), "535 5.7.8");
    }
}

/// Starts `vouch` with an auth listener that offers every mechanism, and waits until it is known that the remote
/// takes them.
fn serve(scratch: &Scratch, authority: &Authority, kind: &str, port: u16, keys: &str) -> (Vouch, PathBuf) {
    let auth = scratch.path("vouch-auth");
    let config = format!(
        "[directory.\"remote\"]
type = \"{kind}\"
address = \"127.0.0.1\"
port = {port}
{keys}pool.warm-sessions = 0
[directory.\"remote\".tls]
starttls = \"required\"
ca-file = \"{}\"
[listener.\"logins\"]
protocol = \"auth\"
socket = \"{}\"
mode = \"0666\"
directory = [\"remote\"]
mechanisms = [\"PLAIN\", \"XOAUTH2\", \"OAUTHBEARER\", \"CRAM-MD5\", \"DIGEST-MD5\", \"SCRAM-SHA-1\", \"SCRAM-SHA-256\"]
[control]
socket = \"{}\"
",
        authority.ca.display(),
        auth.display(),
        scratch.text("control"),
    );
    let vouch = Vouch::serve(scratch, &config, &[&auth]);
    wait_for_mechanisms(&auth);
    (vouch, auth)
}

fn wait_for_mechanisms(auth: &Path) {
    let began = Instant::now();
    loop {
        let mut listener = Dialog::unix(auth);
        let mut greeting = Vec::new();
        while greeting.last().is_none_or(|line| line != "DONE") {
            greeting.push(listener.line());
        }
        if greeting
            .iter()
            .any(|line| line.starts_with("MECH\tSCRAM-SHA-256\tmutual-auth"))
        {
            return;
        }
        assert!(began.elapsed() < Duration::from_secs(10), "greets {greeting:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}
