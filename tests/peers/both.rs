//! The whole as an administrator runs it: one `vouch` with two listeners and two remotes, one Postfix in front.

use crate::available;
use crate::dialog::{Dialog, assert_starts};
use crate::dovecot::Dovecot;
use crate::people::{KNOWN, NOBODY, RIGHT};
use crate::postfix::Postfix;
use crate::support::{Authority, Scratch, Vouch};

#[test]
fn one_daemon_answers_for_recipients_and_logins() {
    if !available(&["postfix"]) {
        return;
    }
    let scratch = Scratch::new();
    let authority = Authority::new(&scratch, "remote");
    let mut dovecot = Dovecot::remote(&scratch, &authority);
    let (policy, auth) = (scratch.path("policy"), scratch.path("vouch-auth"));
    let config = config(&scratch, &authority, &dovecot);
    let vouch = Vouch::serve(&scratch, &config, &[&policy, &auth]);
    let front = Postfix::front(&scratch, Some(&policy), Some(&auth));

    let mut dialog = Dialog::tcp(front.smtp).hello("EHLO", None);
    assert_starts(&dialog.auth_plain(KNOWN, b"wrong"), "535 5.7.8");
    assert_starts(&dialog.auth_plain(KNOWN, RIGHT), "235 2.7.0");
    assert_starts(&dialog.command("MAIL FROM:<sender@example.net>"), "250 ");
    assert_starts(&dialog.command(&format!("RCPT TO:<{KNOWN}>")), "250 2.1.5");
    assert_starts(&dialog.command(&format!("RCPT TO:<{NOBODY}>")), "550 5.1.1");

    dovecot.stop();
    let mut dialog = Dialog::tcp(front.smtp).hello("EHLO", None);
    assert_starts(&dialog.auth_plain(KNOWN, RIGHT), "454 4.7.0");
    assert_starts(&dialog.command("MAIL FROM:<sender@example.net>"), "250 ");
    assert_starts(&dialog.command("RCPT TO:<new@example.org>"), "450 4.4.3");
    assert!(
        vouch.stop().is_some_and(|status| status.success()),
        "SIGTERM ends the daemon well"
    );
}

fn config(scratch: &Scratch, authority: &Authority, dovecot: &Dovecot) -> String {
    let (imap, lmtp, ca) = (dovecot.imap, dovecot.lmtp, authority.ca.display());
    let scratch = scratch.path("");
    let scratch = scratch.display();
    format!(
        "[directory.\"mailbox\"]
type = \"lmtp\"
address = \"127.0.0.1\"
port = {lmtp}
[directory.\"mailbox\".tls]
ca-file = \"{ca}\"
[directory.\"mailbox\".lookup]
domains = [\"example.org\"]
[directory.\"imap\"]
type = \"imap\"
address = \"127.0.0.1\"
port = {imap}
[directory.\"imap\".tls]
ca-file = \"{ca}\"
[listener.\"recipients\"]
protocol = \"policy\"
socket = \"{scratch}policy\"
mode = \"0666\"
directory = [\"mailbox\"]
[listener.\"logins\"]
protocol = \"auth\"
socket = \"{scratch}vouch-auth\"
mode = \"0666\"
directory = [\"imap\"]
[control]
socket = \"{scratch}control\"
"
    )
}
