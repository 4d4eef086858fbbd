//! A real Postfix looks recipients, domains and the owners of senders up at `vouch`, as in tables, and `postmap` does by
//! hand.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::available;
use crate::both::with_tls;
use crate::dialog::{Dialog, assert_starts};
use crate::dovecot::Dovecot;
use crate::people::{FAILING_MAILBOX, KNOWN, MAILBOXES, NOBODY, RIGHT, STRANGERS};
use crate::postfix::{self, Postfix};
use crate::recipient::{NEW, Stage, mail, rcpt};
use crate::support::{Authority, Scratch, Vouch, program};

/// A Postfix that looks up at `vouch` what `settings` name as `TABLE`.
fn front(scratch: &Scratch, settings: &str) -> (Stage, Postfix) {
    let stage = Stage::start(scratch, "socketmap");
    let front = Postfix::relay(scratch, &settings.replace("TABLE", &table(&stage.socket)));
    (stage, front)
}

/// Returns a dialog in which strangers were refused, in these words.
fn knows_mailboxes_and_refuses(front: &Postfix, words: &str) -> Dialog {
    let mut dialog = mail(front.smtp);
    for address in MAILBOXES {
        assert_starts(&rcpt(&mut dialog, address), "250 2.1.5");
    }
    let mut dialog = mail(front.smtp);
    for address in STRANGERS {
        let reply = rcpt(&mut dialog, address);
        assert_starts(&reply, "550 5.1.1");
        assert!(reply.ends_with(words), "{reply}");
    }
    dialog
}

#[test]
fn postfix_looks_up_relay_recipients_and_domains() {
    if !available(&["postfix"]) {
        return;
    }
    let scratch = Scratch::new();
    let (mut stage, front) = front(
        &scratch,
        "relay_domains = TABLE:domains\nrelay_recipient_maps = TABLE:recipients\n",
    );
    let mut dialog = knows_mailboxes_and_refuses(&front, ": User unknown in relay recipient table");
    // Not one of our domains.
    assert_starts(&rcpt(&mut dialog, "someone@elsewhere.example.com"), "554 5.7.1");
    // No answer is no "unknown": it stays a temporary one.
    assert_starts(&rcpt(&mut dialog, FAILING_MAILBOX), "451 4.3.0");

    stage.dovecot.stop();
    let mut dialog = mail(front.smtp);
    assert_starts(&rcpt(&mut dialog, NEW), "451 4.3.0");
    // A recipient that was known all along still gets mail.
    assert_starts(&rcpt(&mut dialog, KNOWN), "250 2.1.5");
    stage.vouch.stop();
    assert_starts(&rcpt(&mut mail(front.smtp), KNOWN), "451 4.3.0");
}

#[test]
fn postfix_looks_up_actions() {
    if !available(&["postfix"]) {
        return;
    }
    let scratch = Scratch::new();
    let (mut stage, front) = front(
        &scratch,
        "smtpd_recipient_restrictions = reject_unauth_destination, check_recipient_access TABLE:access\n",
    );
    let mut dialog = knows_mailboxes_and_refuses(&front, ": Recipient address rejected: User unknown");
    assert_starts(&rcpt(&mut dialog, FAILING_MAILBOX), "450 4.4.3");
    stage.dovecot.stop();
    assert_starts(&rcpt(&mut mail(front.smtp), NEW), "450 4.4.3");
}

#[test]
fn postmap_agrees() {
    if !available(&["postfix"]) {
        return;
    }
    let scratch = Scratch::new();
    let mut stage = Stage::start(&scratch, "socketmap");
    let postmap = Postmap::new(&scratch, &stage.socket);

    for (key, found) in [
        (KNOWN, Some("ok")),
        ("\"quoted local\"@example.org", Some("ok")),
        ("quoted local@example.org", Some("ok")),
        (NOBODY, None),
        ("\"not here\"@example.org", None),
        ("someone@elsewhere.example.com", None),
    ] {
        assert_eq!(
            postmap.look_up(key, "recipients"),
            Ok(found.map(str::to_owned)),
            "{key}"
        );
    }
    let action = |text: &str| Ok(Some(text.to_owned()));
    assert_eq!(postmap.look_up(KNOWN, "access"), action("DUNNO"));
    assert_eq!(
        postmap.look_up(NOBODY, "access"),
        action("550 5.1.1 User unknown")
    );
    assert_eq!(postmap.look_up("example.org", "domains"), action("ok"));
    assert_eq!(postmap.look_up("example.com", "domains"), Ok(None));
    assert_eq!(postmap.look_up(KNOWN, "senders"), action(KNOWN));
    for key in [NOBODY, "known", "@example.org"] {
        assert_eq!(postmap.look_up(key, "senders"), Ok(None), "{key}");
    }

    let text = postmap.look_up(FAILING_MAILBOX, "recipients").unwrap_err();
    assert!(text.contains("temporary"), "{text}");
    assert!(postmap.look_up(KNOWN, "rcpt").is_err(), "there is no such map");
    stage.dovecot.stop();
    let text = postmap.look_up(NEW, "recipients").unwrap_err();
    assert!(text.contains("unreachable"), "{text}");
    assert_eq!(postmap.look_up("example.org", "domains"), action("ok"));
}

/// Somebody else with a mailbox and a login.
const OTHER: &str = "o'brien@example.org";

/// The remote, the daemon with a map of its mailboxes and a listener for its logins, and a Postfix that lets nobody send
/// as somebody else, by this restriction. `owners` is a key of the map.
fn submission(scratch: &Scratch, restriction: &str, owners: &str) -> (Dovecot, Vouch, Postfix) {
    let authority = Authority::new(scratch, "remote");
    let dovecot = Dovecot::remote(scratch, &authority);
    let (map, auth) = (scratch.path("map"), scratch.path("vouch-auth"));
    let config = format!(
        "[directory.\"mailbox\"]
{mailbox}lookup.domains = [\"example.org\"]
lookup.recipient-delimiter = \"+\"
[directory.\"logins\"]
{logins}[listener.\"map\"]
protocol = \"socketmap\"
socket = \"{map}\"
mode = \"0666\"
directory = [\"mailbox\"]
{owners}
[listener.\"logins\"]
protocol = \"auth\"
socket = \"{auth}\"
mode = \"0666\"
directory = [\"logins\"]
[control]
socket = \"{control}\"
",
        mailbox = with_tls(&authority, "lmtp", dovecot.lmtp),
        logins = with_tls(&authority, "imap", dovecot.imap),
        map = map.display(),
        auth = auth.display(),
        control = scratch.text("control"),
    );
    let vouch = Vouch::serve(scratch, &config, &[&map, &auth]);
    let settings = format!(
        "{}smtpd_sender_login_maps = {}:senders\nsmtpd_sender_restrictions = {restriction}\n",
        postfix::sasl(&auth),
        table(&map)
    );
    let front = Postfix::relay(scratch, &settings);
    (dovecot, vouch, front)
}

/// What a recipient gets from `sender`, whose client has logged in under a name, or not at all.
fn send(front: &Postfix, login: Option<&str>, sender: &str) -> String {
    let mut dialog = Dialog::tcp(front.smtp).hello("EHLO", None);
    if let Some(name) = login {
        assert_starts(&dialog.auth_plain(name, RIGHT), "235 2.7.0");
    }
    assert_starts(&dialog.command(&format!("MAIL FROM:<{sender}>")), "250 ");
    rcpt(&mut dialog, KNOWN)
}

#[test]
fn nobody_sends_as_somebody_else() {
    if !available(&["postfix"]) {
        return;
    }
    let scratch = Scratch::new();
    let (mut dovecot, vouch, front) = submission(&scratch, "reject_sender_login_mismatch", "");
    let known = |sender| send(&front, Some(KNOWN), sender);

    for own in [
        KNOWN, "known+list@example.org", "KNOWN@Example.ORG", "\"known\"@example.org",
    ] {
        assert_starts(&known(own), "250 2.1.5");
    }
    // Bounces, as answers of a vacation, are nobody's.
    assert_starts(&known(""), "250 2.1.5");
    assert_starts(&send(&front, Some(OTHER), OTHER), "250 2.1.5");
    for other in [
        OTHER, "o'brien+known@example.org", NOBODY, "someone@elsewhere.example.com",
        "\"quoted local\"@example.org",
    ] {
        let reply = known(other);
        assert_starts(&reply, "553 5.7.1");
        assert!(reply.contains(&format!("not owned by user {KNOWN}")), "{reply}");
    }
    assert_starts(&known(FAILING_MAILBOX), "451 4.3.0");

    // Without a login, nothing that is somebody's.
    let reply = send(&front, None, KNOWN);
    assert_starts(&reply, "553 5.7.1");
    assert!(reply.contains("not logged in"), "{reply}");
    assert_starts(&send(&front, None, "someone@elsewhere.example.com"), "250 2.1.5");

    // While there is no answer, nobody's sender is refused for good.
    let mut dialog = Dialog::tcp(front.smtp).hello("EHLO", None);
    assert_starts(&dialog.auth_plain(KNOWN, RIGHT), "235 2.7.0");
    dovecot.stop();
    for (sender, said) in [(NEW, "451 4.3.0"), (KNOWN, "250 2.1.5"), (OTHER, "553 5.7.1")] {
        assert_starts(&dialog.command(&format!("MAIL FROM:<{sender}>")), "250 ");
        assert_starts(&rcpt(&mut dialog, KNOWN), said);
        assert_starts(&dialog.command("RSET"), "250 ");
    }
    vouch.stop();
    assert_starts(&dialog.command(&format!("MAIL FROM:<{KNOWN}>")), "250 ");
    assert_starts(&rcpt(&mut dialog, KNOWN), "451 4.3.0");
}

#[test]
fn a_shared_login_sends_as_everybody_of_its_domain() {
    if !available(&["postfix"]) {
        return;
    }
    let scratch = Scratch::new();
    let owners = "owners = [\"o'brien@{domain}\", \"local\"]";
    let restriction = "reject_authenticated_sender_login_mismatch";
    let (_dovecot, _vouch, front) = submission(&scratch, restriction, owners);

    for shared in [OTHER, "local"] {
        for sender in [
            KNOWN, "known+list@example.org", OTHER, "\"quoted local\"@example.org",
        ] {
            assert_starts(&send(&front, Some(shared), sender), "250 2.1.5");
        }
        assert_starts(&send(&front, Some(shared), NOBODY), "553 5.7.1");
    }
    assert_starts(&send(&front, Some(KNOWN), KNOWN), "250 2.1.5");
    assert_starts(&send(&front, Some(KNOWN), OTHER), "553 5.7.1");
    // This restriction is about logins alone.
    assert_starts(&send(&front, None, KNOWN), "250 2.1.5");
}

/// The table of this socket, without its name.
fn table(map: &Path) -> String {
    format!("socketmap:unix:{}", map.display())
}

/// `postmap -q`.
struct Postmap {
    config: PathBuf,
    table: String,
}

impl Postmap {
    fn new(scratch: &Scratch, map: &Path) -> Self {
        let config = scratch.folder("postmap");
        scratch.write("postmap/main.cf", "compatibility_level = 3.6\n");
        let table = table(map);
        Self { config, table }
    }

    /// What the map has for a key, or what `postmap` says instead.
    fn look_up(&self, key: &str, map: &str) -> Result<Option<String>, String> {
        let output = Command::new(program("postmap").unwrap())
            .arg("-c")
            .arg(&self.config)
            .args(["-q", key, &format!("{}:{map}", self.table)])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        match (output.status.success(), said.is_empty()) {
            (true, _) => Ok(Some(
                String::from_utf8(output.stdout).unwrap().trim_end().to_owned(),
            )),
            (false, true) => Ok(None),
            (false, false) => Err(said),
        }
    }
}
