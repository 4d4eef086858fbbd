//! Recipients: Postfix and `socat` ask `vouch`, which asks Dovecot by LMTP and Postfix by SMTP.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::available;
use crate::dialog::{Dialog, assert_starts};
use crate::dovecot::Dovecot;
use crate::people::{FAILING_MAILBOX, KNOWN, MAILBOXES, NOBODY, STRANGERS, UTF8};
use crate::postfix::Postfix;
use crate::support::process::wait_until;
use crate::support::{Authority, Scratch, Vouch, program};

/// Asked for the first time only once the remote is down, so that no memory can help.
pub(crate) const NEW: &str = "new@example.org";

#[test]
fn postfix_asks_about_recipients_that_dovecot_knows() {
    if !available(&["postfix"]) {
        return;
    }
    let scratch = Scratch::new();
    let mut stage = Stage::start(&scratch, "policy");
    let front = Postfix::front(&scratch, Some(&stage.socket), None);

    let mut dialog = mail(front.smtp);
    for address in MAILBOXES {
        assert_starts(&rcpt(&mut dialog, address), "250 2.1.5");
    }
    let mut dialog = mail(front.smtp);
    for address in STRANGERS {
        assert_starts(&rcpt(&mut dialog, address), "550 5.1.1");
    }
    // Dovecot has no SMTPUTF8, so nobody can ask it about these: that is no answer about the mailbox.
    for address in UTF8 {
        assert_starts(&rcpt(&mut dialog, address), "450 ");
    }
    assert_starts(&rcpt(&mut dialog, FAILING_MAILBOX), "450 4.");

    stage.dovecot.stop();
    let mut dialog = mail(front.smtp);
    assert_starts(&rcpt(&mut dialog, NEW), "450 4.4.3");
    assert_starts(&rcpt(&mut dialog, KNOWN), "250 2.1.5");
}

/// With Postfix's own limit on errors as it is by default: it begins anew with each message that is delivered, and so
/// does ours.
#[test]
fn sixty_messages_of_one_session_with_an_unknown_recipient_each_are_delivered() {
    if !available(&["postfix"]) {
        return;
    }
    let scratch = Scratch::new();
    let stage = Stage::start(&scratch, "policy");
    let settings = format!(
        "smtpd_recipient_restrictions = reject_unauth_destination, check_policy_service unix:{}
smtpd_soft_error_limit = 10\nsmtpd_hard_error_limit = 20\n",
        stage.socket.display()
    );
    let front = Postfix::relay(&scratch, &settings);

    let mut dialog = Dialog::tcp(front.smtp).hello("EHLO", None);
    for message in 0..60 {
        assert_starts(&dialog.command("MAIL FROM:<sender@example.net>"), "250 ");
        assert_starts(
            &rcpt(&mut dialog, &format!("nobody{message}@example.org")),
            "550 5.1.1",
        );
        assert_starts(&rcpt(&mut dialog, KNOWN), "250 2.1.5");
        assert_starts(&dialog.command("DATA"), "354 ");
        assert_starts(&dialog.command("Subject: news\r\n\r\nHello.\r\n."), "250 2.0.0");
    }
    assert_starts(&dialog.command("QUIT"), "221 ");
    let log = scratch.path("front-postfix.log");
    let delivered = || {
        std::fs::read_to_string(&log)
            .unwrap_or_default()
            .matches("status=sent")
            .count()
    };
    wait_until("sixty deliveries", Duration::from_secs(60), || delivered() == 60);
}

#[test]
fn postfix_asks_about_recipients_that_postfix_knows() {
    if !available(&["postfix"]) {
        return;
    }
    let scratch = Scratch::new();
    let authority = Authority::new(&scratch, "remote");
    let dovecot = Dovecot::remote(&scratch, &authority);
    let mut remote = Postfix::remote(&scratch, &authority, &dovecot.auth_socket);
    let (port, ca) = (remote.smtp, authority.ca.display());
    let directory = format!(
        "type = \"smtp\"\naddress = \"localhost\"\nport = {port}\n{}",
        tls("required", &ca)
    );
    let (_vouch, policy) = serve(&scratch, &directory);
    let front = Postfix::front(&scratch, Some(&policy), None);

    let mut dialog = mail(front.smtp);
    for address in MAILBOXES.iter().chain(&UTF8[..1]) {
        assert_starts(&rcpt(&mut dialog, address), "250 2.1.5");
    }
    for address in STRANGERS.iter().chain(&UTF8[1..]) {
        assert_starts(&rcpt(&mut dialog, address), "550 5.1.1");
    }
    remote.stop();
    assert_starts(&rcpt(&mut dialog, NEW), "450 4.4.3");
}

#[test]
fn a_remote_with_implicit_tls_is_asked_by_socat() {
    if !available(&["postfix", "socat"]) {
        return;
    }
    let scratch = Scratch::new();
    let authority = Authority::new(&scratch, "remote");
    let dovecot = Dovecot::remote(&scratch, &authority);
    let remote = Postfix::remote(&scratch, &authority, &dovecot.auth_socket);
    let (port, ca) = (remote.smtps, authority.ca.display());
    let directory = format!(
        "type = \"smtp\"\naddress = \"127.0.0.1\"\nport = {port}
[directory.\"mailbox\".tls]\nimplicit = true\nca-file = \"{ca}\"\n"
    );
    let (vouch, policy) = serve(&scratch, &directory);

    assert_eq!(ask(&policy, KNOWN), "action=DUNNO\n\n");
    assert_starts(&ask(&policy, NOBODY), "action=550 5.1.1 ");
    assert_eq!(ask(&policy, "someone@elsewhere.example.com"), "action=DUNNO\n\n");
    assert!(
        vouch.stop().is_some_and(|status| status.success()),
        "SIGTERM ends the daemon well"
    );
}

#[test]
fn dovecot_is_asked_over_a_unix_socket() {
    if !available(&["socat"]) {
        return;
    }
    let scratch = Scratch::new();
    let authority = Authority::new(&scratch, "remote");
    let dovecot = Dovecot::remote(&scratch, &authority);
    let address = dovecot.lmtp_socket.display();
    let directory = format!(
        "type = \"lmtp\"\naddress = \"{address}\"\n[directory.\"mailbox\".tls]\nstarttls = \"never\"\n"
    );
    let (_vouch, policy) = serve(&scratch, &directory);
    assert_eq!(ask(&policy, KNOWN), "action=DUNNO\n\n");
    assert_starts(&ask(&policy, NOBODY), "action=550 5.1.1 ");
    assert_starts(&ask(&policy, FAILING_MAILBOX), "action=DEFER_IF_PERMIT 4.");
}

#[test]
fn a_remote_with_a_foreign_certificate_is_never_a_no() {
    if !available(&["socat"]) {
        return;
    }
    let scratch = Scratch::new();
    let authority = Authority::new(&scratch, "remote");
    let stranger = Authority::new(&scratch, "stranger");
    let dovecot = Dovecot::remote(&scratch, &authority);
    let (port, ca) = (dovecot.lmtp, stranger.ca.display());
    // Not required: an offer that fails is not followed by cleartext either.
    let directory = format!(
        "type = \"lmtp\"\naddress = \"127.0.0.1\"\nport = {port}\n{}",
        tls("if-available", &ca)
    );
    let (_vouch, policy) = serve(&scratch, &directory);
    assert_starts(&ask(&policy, KNOWN), "action=DEFER_IF_PERMIT 4.");
    assert_starts(&ask(&policy, NOBODY), "action=DEFER_IF_PERMIT 4.");
}

/// The TLS table of the directory, with the private authority.
pub(crate) fn tls(starttls: &str, ca: &impl std::fmt::Display) -> String {
    format!("[directory.\"mailbox\".tls]\nstarttls = \"{starttls}\"\nca-file = \"{ca}\"\n")
}

/// A Dovecot that is asked by LMTP with TLS, and `vouch` in front of it.
pub(crate) struct Stage {
    pub(crate) authority: Authority,
    pub(crate) dovecot: Dovecot,
    pub(crate) vouch: Vouch,
    /// Its listener.
    pub(crate) socket: PathBuf,
}

impl Stage {
    /// With a listener of this protocol.
    pub(crate) fn start(scratch: &Scratch, protocol: &str) -> Self {
        let authority = Authority::new(scratch, "remote");
        let dovecot = Dovecot::remote(scratch, &authority);
        let directory = format!(
            "type = \"lmtp\"\naddress = \"127.0.0.1\"\nport = {}\n{}",
            dovecot.lmtp,
            tls("required", &authority.ca.display())
        );
        let (vouch, socket) = serve_at(scratch, protocol, &directory);
        Self {
            authority,
            dovecot,
            vouch,
            socket,
        }
    }
}

/// Starts `vouch` with one policy listener in front of `directory`, keys of the table `[directory."mailbox"]` and
/// of tables below it.
fn serve(scratch: &Scratch, directory: &str) -> (Vouch, PathBuf) {
    serve_at(scratch, "policy", directory)
}

/// The same with a listener of this protocol.
pub(crate) fn serve_at(scratch: &Scratch, protocol: &str, directory: &str) -> (Vouch, PathBuf) {
    let policy = scratch.path(protocol);
    let config = format!(
        "[directory.\"mailbox\"]
{directory}
[directory.\"mailbox\".lookup]
domains = [\"example.org\", \"mail.example.org\"]
[listener.\"recipients\"]
protocol = \"{protocol}\"
socket = \"{}\"
mode = \"0666\"
directory = [\"mailbox\"]
[control]
socket = \"{}\"
",
        policy.display(),
        scratch.text("control"),
    );
    (Vouch::serve(scratch, &config, &[&policy]), policy)
}

/// A new SMTP session with the front at this port, as far as MAIL.
pub(crate) fn mail(smtp: u16) -> Dialog {
    let mut dialog = Dialog::tcp(smtp).hello("EHLO", None);
    assert_starts(&dialog.command("MAIL FROM:<sender@example.net>"), "250 ");
    dialog
}

pub(crate) fn rcpt(dialog: &mut Dialog, address: &str) -> String {
    dialog.command(&format!("RCPT TO:<{address}>"))
}

/// What `socat` prints for one policy request about `recipient`.
pub(crate) fn ask(policy: &Path, recipient: &str) -> String {
    let mut request = "request=smtpd_access_policy\nprotocol_state=RCPT\nprotocol_name=ESMTP\n".to_owned();
    let _ = write!(
        request,
        "client_address=192.0.2.7\nsender=sender@example.net\nrecipient={recipient}\n\n"
    );
    socat(policy, &request)
}

/// What `socat` prints of the answer to `request`: it shuts its writing half down and reads to the end, for at most
/// 20 s.
pub(crate) fn socat(socket: &Path, request: &str) -> String {
    let mut child = Command::new(program("socat").unwrap())
        .args(["-t", "20", "-"])
        .arg(format!("UNIX-CONNECT:{}", socket.display()))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), request.as_bytes()).unwrap();
    String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap()
}
