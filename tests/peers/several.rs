//! Two Dovecots share a domain behind one Postfix: `vouch` asks both.

use std::fs;
use std::time::Duration;

use crate::available;
use crate::dialog::{Dialog, assert_starts};
use crate::dovecot::Dovecot;
use crate::login::{assert_fails, assert_succeeds, doveadm};
use crate::people::{DISABLED, KNOWN, NOBODY, RIGHT};
use crate::postfix::Postfix;
use crate::recipient::{NEW, mail, rcpt};
use crate::support::process::wait_until;
use crate::support::{Authority, Scratch, Vouch};

/// Nobody asks about this one until a server is down, so that no memory can help.
const ALSO_NOBODY: &str = "nobody-else@example.org";

/// A directory for the shared domain.
fn directory(name: &str, (kind, port): (&str, u16), authority: &Authority) -> String {
    format!(
        "[directory.{name}]\ntype = \"{kind}\"\naddress = \"127.0.0.1\"\nport = {port}\n\
         lookup.domains = [\"example.org\"]\ntls = {{ starttls = \"required\", ca-file = \"{}\" }}\n",
        authority.ca.display()
    )
}

#[test]
fn a_recipient_of_either_server_exists_and_one_of_neither_does_not() {
    if !available(&["postfix"]) {
        return;
    }
    let (scratch, other_scratch) = (Scratch::new(), Scratch::new());
    let authority = Authority::new(&scratch, "remote");
    let one = Dovecot::remote(&scratch, &authority);
    let mut other = Dovecot::remote(&other_scratch, &authority);
    // The other has moved users alone.
    other_scratch.write("users", format!("{NEW}:{{PLAIN}}x::::::\n"));

    let policy = scratch.path("policy");
    let config = format!(
        "{}{}[listener.recipients]\nprotocol = \"policy\"\nsocket = \"{}\"\nmode = \"0666\"\n\
         directory = [\"one\", \"other\"]\nany = \"all\"\n",
        directory("one", ("lmtp", one.lmtp), &authority),
        directory("other", ("lmtp", other.lmtp), &authority),
        policy.display()
    );
    let _vouch = Vouch::serve(&scratch, &config, &[&policy]);
    let front = Postfix::front(&scratch, Some(&policy), None);

    let mut dialog = mail(front.smtp);
    assert_starts(&rcpt(&mut dialog, KNOWN), "250 2.1.5");
    assert_starts(&rcpt(&mut dialog, NEW), "250 2.1.5");
    assert_starts(&rcpt(&mut dialog, NOBODY), "550 5.1.1");

    // The one that is down may know the recipient.
    other.stop();
    assert_starts(&rcpt(&mut dialog, ALSO_NOBODY), "450 4.4.3");
    assert_starts(&rcpt(&mut dialog, KNOWN), "250 2.1.5");
}

#[test]
fn a_login_is_good_if_either_server_accepts_it_and_wrong_if_neither_does() {
    if !available(&["postfix"]) {
        return;
    }
    let (scratch, other_scratch) = (Scratch::new(), Scratch::new());
    let authority = Authority::new(&scratch, "remote");
    let mut one = Dovecot::remote(&scratch, &authority);
    let mut other = Dovecot::remote(&other_scratch, &authority);
    let moved = |name: &str| format!("{name}:{{PLAIN}}moved::::::\n");
    other_scratch.write("users", moved(NEW) + &moved("also-new@example.org"));

    let auth = scratch.path("vouch-auth");
    let config = format!(
        "{}{}[listener.logins]\nprotocol = \"auth\"\nsocket = \"{}\"\nmode = \"0666\"\n\
         directory = [\"one\", \"other\"]\nany-login = \"in-order\"\n",
        directory("one", ("imap", one.imap), &authority),
        directory("other", ("imap", other.imap), &authority),
        auth.display()
    );
    let _vouch = Vouch::serve(&scratch, &config, &[&auth]);
    let front = Postfix::front(&scratch, None, Some(&auth));
    let mut dialog = Dialog::tcp(front.smtp).hello("EHLO", None);
    let mut login = |name: &str, password: &[u8]| {
        // Postfix takes no second login in a session.
        let reply = dialog.auth_plain(name, password);
        if reply.starts_with("235 ") {
            dialog = Dialog::tcp(front.smtp).hello("EHLO", None);
        }
        reply
    };
    assert_starts(&login(KNOWN, RIGHT), "235 2.7.0");
    assert_starts(&login(NEW, b"moved"), "235 2.7.0");
    assert_starts(&login(NEW, RIGHT), "535 5.7.8");
    assert_starts(&login(KNOWN, b"wrong"), "535 5.7.8");
    assert_starts(&login(NOBODY, RIGHT), "535 5.7.8");
    assert_succeeds(&doveadm(&one, &auth, NEW, b"moved"));
    assert_fails(&doveadm(&one, &auth, KNOWN, b"wrong again"), "auth failed");
    // Only its own server knows that it is disabled.
    assert_fails(&doveadm(&one, &auth, DISABLED, RIGHT), "code=user_disabled");
    let log = || fs::read_to_string(scratch.path("vouch.log")).unwrap_or_default();
    for line in [
        format!("about={NEW} verdict=accept cause=- source=probe directory=other "),
        format!("about={NEW} verdict=reject cause=bad-credentials source=probe directory=other,one "),
        format!("about={KNOWN} verdict=reject cause=bad-credentials source=probe directory=one,other "),
    ] {
        wait_until(&line, Duration::from_secs(60), || log().contains(&line));
    }

    // A password that the living one refuses may be good at the one that is down.
    other.stop();
    assert_starts(&login(KNOWN, RIGHT), "235 2.7.0");
    assert_starts(&login(NEW, b"moved"), "454 4.7.0");
    assert_starts(&login("also-new@example.org", b"moved"), "454 4.7.0");
    assert_starts(&login(KNOWN, b"never tried before"), "454 4.7.0");
    assert_fails(&doveadm(&one, &auth, NEW, b"moved"), "code=temp_fail");
    one.stop();
    assert_starts(&login(KNOWN, RIGHT), "454 4.7.0");
}
