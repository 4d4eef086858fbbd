//! The client's address as the remote sees it: Dovecot by IMAP ID and by XCLIENT in LMTP, Postfix by XCLIENT, each
//! told apart in the remote's own log.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::available;
use crate::dialog::{Dialog, plain};
use crate::dovecot::Dovecot;
use crate::people::{KNOWN, NOBODY, RIGHT};
use crate::postfix::Postfix;
use crate::support::{Authority, Scratch, Vouch};

#[test]
fn dovecot_sees_the_client_of_each_login() {
    if !available(&[]) {
        return;
    }
    let scratch = Scratch::new();
    let authority = Authority::new(&scratch, "remote");
    let dovecot = Dovecot::remote(&scratch, &authority);
    let (_vouch, mut listener) = logins(&scratch, &authority, "imap", dovecot.imap);
    // Dovecot believes the first ID of a session alone: each client has one of its own.
    ask_for_three(&mut listener);
    let log = scratch.path("dovecot.log");
    wait_for(&log, &["(known@example.org,192.0.2.7,", "Password mismatch"]);
    wait_for(&log, &["(known@example.org,2001:db8::7,", "Password mismatch"]);
    wait_for(
        &log,
        &[
            "imap-login: Info: Log", "user=<known@example.org>", "rip=198.51.100.3,",
        ],
    );
}

#[test]
fn postfix_sees_the_client_of_each_login_and_recipient() {
    if !available(&["postfix"]) {
        return;
    }
    let scratch = Scratch::new();
    let authority = Authority::new(&scratch, "remote");
    let dovecot = Dovecot::remote(&scratch, &authority);
    let remote = Postfix::remote(&scratch, &authority, &dovecot.auth_socket);
    let (_vouch, mut listener) = logins(&scratch, &authority, "smtp", remote.smtp);
    ask_for_three(&mut listener);
    let log = scratch.path("remote-postfix.log");
    wait_for(&log, &["unknown[192.0.2.7]: SASL PLAIN authentication failed"]);
    // This one does not speak IPv6, and refuses to hear of such an address: it is asked all the same.
    wait_for(&log, &["unknown[127.0.0.1]: SASL PLAIN authentication failed"]);

    ask_about_three(&scratch);
    wait_for(&log, &["RCPT from unknown[192.0.2.8]", "<nobody@example.org>"]);
    wait_for(&log, &["RCPT from unknown[192.0.2.9]", "<nobody2@example.org>"]);
}

#[test]
fn dovecot_sees_the_client_of_each_recipient() {
    if !available(&[]) {
        return;
    }
    let scratch = Scratch::new();
    let authority = Authority::new(&scratch, "remote");
    let dovecot = Dovecot::remote(&scratch, &authority);
    let _vouch = serve(&scratch, &authority, "lmtp", dovecot.lmtp, "");
    ask_about_three(&scratch);
    let log = scratch.path("dovecot.log");
    wait_for(&log, &["nobody@example.org,192.0.2.8", "unknown user"]);
    wait_for(&log, &["nobody2@example.org,192.0.2.9", "unknown user"]);
}

/// Asks about [`KNOWN`] as Dovecot's login processes do, for a client at this address.
fn ask(listener: &mut Dialog, id: u32, address: &str, password: &[u8]) -> String {
    let resp = plain(KNOWN, password);
    let line = format!("AUTH\t{id}\tPLAIN\tservice=imap\trip={address}\trport=50123\tresp={resp}\n");
    listener.send(line.as_bytes());
    listener.line()
}

/// Two wrong passwords and the right one, each of another client.
fn ask_for_three(listener: &mut Dialog) {
    for (id, address, password, said) in [
        (1, "192.0.2.7", b"wrong".as_slice(), "FAIL"),
        (2, "2001:db8::7", b"worse", "FAIL"),
        (3, "198.51.100.3", RIGHT, "OK"),
    ] {
        let answer = ask(listener, id, address, password);
        assert_eq!(answer, format!("{said}\t{id}\tuser={KNOWN}"));
    }
}

/// Two unknown recipients of different clients, and a known one.
fn ask_about_three(scratch: &Scratch) {
    let mut policy = Dialog::unix(&scratch.path("vouch-policy"));
    for (address, about, action) in [
        ("192.0.2.8", NOBODY, "action=550 5.1.1 User unknown"),
        (
            "192.0.2.9", "nobody2@example.org", "action=550 5.1.1 User unknown",
        ),
        ("192.0.2.9", KNOWN, "action=DUNNO"),
    ] {
        assert_eq!(recipient(&mut policy, address, about), action);
    }
}

/// The action that Postfix is told about a recipient for a client at this address.
fn recipient(policy: &mut Dialog, address: &str, recipient: &str) -> String {
    let request = format!(
        "request=smtpd_access_policy\nprotocol_state=RCPT\nclient_address={address}\nclient_port=50123\nrecipient={recipient}\n\n"
    );
    policy.send(request.as_bytes());
    let action = policy.line();
    assert_eq!(policy.line(), "");
    action
}

/// Starts `vouch` in front of a remote for logins and recipients, and connects to its auth listener.
fn logins(scratch: &Scratch, authority: &Authority, kind: &str, port: u16) -> (Vouch, Dialog) {
    let socket = scratch.path("vouch-auth");
    let listener = format!(
        "[listener.\"logins\"]
protocol = \"auth\"
socket = \"{}\"
directory = [\"remote\"]
",
        socket.display()
    );
    let vouch = serve(scratch, authority, kind, port, &listener);
    let mut listener = Dialog::unix(&socket);
    while listener.line() != "DONE" {}
    listener.send(b"VERSION\t1\t2\nCPID\t1\n");
    (vouch, listener)
}

fn serve(scratch: &Scratch, authority: &Authority, kind: &str, port: u16, listener: &str) -> Vouch {
    let policy = scratch.path("vouch-policy");
    let recipients = format!(
        "[listener.\"recipients\"]
protocol = \"policy\"
socket = \"{}\"
directory = [\"remote\"]
",
        policy.display()
    );
    let recipients = if kind == "imap" { String::new() } else { recipients };
    let config = format!(
        "[directory.\"remote\"]
type = \"{kind}\"
address = \"127.0.0.1\"
port = {port}
auth.forward-client = true
lookup.domains = [\"example.org\"]
[directory.\"remote\".tls]
starttls = \"required\"
ca-file = \"{}\"
{listener}{recipients}[control]
socket = \"{}\"
",
        authority.ca.display(),
        scratch.text("control"),
    );
    let sockets = [policy, scratch.path("vouch-auth")];
    let served = |path: &&Path| config.contains(path.to_str().unwrap());
    let sockets: Vec<&Path> = sockets.iter().map(AsRef::as_ref).filter(served).collect();
    Vouch::serve(scratch, &config, &sockets)
}

/// Waits until a line of the log holds all of these.
#[track_caller]
fn wait_for(log: &Path, words: &[&str]) {
    let began = Instant::now();
    loop {
        let text = std::fs::read_to_string(log).unwrap();
        if text
            .lines()
            .any(|line| words.iter().all(|word| line.contains(word)))
        {
            return;
        }
        assert!(
            began.elapsed() < Duration::from_secs(5),
            "no line with {words:?} in:\n{text}"
        );
        std::thread::sleep(Duration::from_millis(50));
    }
}
