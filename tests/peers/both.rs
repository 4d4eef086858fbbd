//! The whole as an administrator runs it: one `vouch` with two listeners and two remotes, one Postfix in front.

use crate::available;
use crate::dialog::{Dialog, assert_starts};
use crate::dovecot::Dovecot;
use crate::people::{KNOWN, NOBODY, RIGHT};
use crate::postfix::Postfix;
use crate::recipient::mail;
use crate::support::{Authority, Scratch, Vouch};

#[test]
fn one_daemon_answers_for_recipients_and_logins() {
    if !available(&["postfix"]) {
        return;
    }
    let scratch = Scratch::new();
    let authority = Authority::new(&scratch, "remote");
    let mut dovecot = Dovecot::remote(&scratch, &authority);
    let whole = Whole::start(
        &scratch,
        &with_tls(&authority, "lmtp", dovecot.lmtp),
        &with_tls(&authority, "imap", dovecot.imap),
    );

    let mut dialog = whole.session();
    assert_starts(&dialog.auth_plain(KNOWN, b"wrong"), "535 5.7.8");
    assert_starts(&dialog.auth_plain(KNOWN, RIGHT), "235 2.7.0");
    assert_starts(&dialog.command("MAIL FROM:<sender@example.net>"), "250 ");
    assert_starts(&dialog.command(&format!("RCPT TO:<{KNOWN}>")), "250 2.1.5");
    assert_starts(&dialog.command(&format!("RCPT TO:<{NOBODY}>")), "550 5.1.1");

    dovecot.stop();
    let mut dialog = whole.session();
    assert_starts(&dialog.auth_plain(KNOWN, RIGHT), "454 4.7.0");
    assert_starts(&dialog.command("MAIL FROM:<sender@example.net>"), "250 ");
    assert_starts(&dialog.command("RCPT TO:<new@example.org>"), "450 4.4.3");
    assert!(
        whole.vouch.stop().is_some_and(|status| status.success()),
        "SIGTERM ends the daemon well"
    );
}

/// One `vouch` in front of a remote for recipients and a remote for logins, and a Postfix that asks it about both.
pub(crate) struct Whole {
    vouch: Vouch,
    front: Postfix,
}

impl Whole {
    /// `recipients` and `logins` are the keys of the directories that know them.
    pub(crate) fn start(scratch: &Scratch, recipients: &str, logins: &str) -> Self {
        let (policy, auth) = (scratch.path("policy"), scratch.path("vouch-auth"));
        let config = config(scratch, recipients, logins);
        let vouch = Vouch::serve(scratch, &config, &[&policy, &auth]);
        let front = Postfix::front(scratch, Some(&policy), Some(&auth));
        Self { vouch, front }
    }

    /// A new SMTP session, as far as EHLO.
    pub(crate) fn session(&self) -> Dialog {
        Dialog::tcp(self.front.smtp).hello("EHLO", None)
    }

    /// A new SMTP session, as far as MAIL.
    pub(crate) fn mail(&self) -> Dialog {
        mail(self.front.smtp)
    }
}

/// The keys of a directory at a port of this machine that is asked by TLS.
pub(crate) fn with_tls(authority: &Authority, kind: &str, port: u16) -> String {
    let ca = authority.ca.display();
    format!("type = \"{kind}\"\naddress = \"127.0.0.1\"\nport = {port}\ntls.ca-file = \"{ca}\"\n")
}

fn config(scratch: &Scratch, recipients: &str, logins: &str) -> String {
    let scratch = scratch.text("");
    format!(
        "[directory.\"mailbox\"]
{recipients}lookup.domains = [\"example.org\", \"mail.example.org\"]
[directory.\"logins\"]
{logins}[listener.\"recipients\"]
protocol = \"policy\"
socket = \"{scratch}policy\"
mode = \"0666\"
directory = [\"mailbox\"]
[listener.\"logins\"]
protocol = \"auth\"
socket = \"{scratch}vouch-auth\"
mode = \"0666\"
directory = [\"logins\"]
[control]
socket = \"{scratch}control\"
"
    )
}
