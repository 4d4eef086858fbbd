//! The remotes without `vouch`: they say what the other tests build on.

use crate::available;
use crate::dialog::{Dialog, assert_starts};
use crate::dovecot::Dovecot;
use crate::people::{
    DISABLED, FAILING_LOGIN, FAILING_MAILBOX, KNOWN, MAILBOXES, NOBODY, RIGHT, STRANGERS, UTF8, logins,
};
use crate::postfix::Postfix;
use crate::support::{Authority, Scratch};

#[test]
fn dovecot_checks_logins_by_imap() {
    if !available(&[]) {
        return;
    }
    let scratch = Scratch::new();
    let authority = Authority::new(&scratch, "remote");
    let dovecot = Dovecot::remote(&scratch, &authority);

    let cleartext = || greeted(Dialog::tcp(dovecot.imap));
    let starttls = || {
        let mut dialog = cleartext();
        assert_starts(&dialog.imap("STARTTLS"), "T OK");
        dialog.tls(&authority.client())
    };
    let implicit = || greeted(Dialog::tcp(dovecot.imaps).tls(&authority.client()));
    for mut dialog in [cleartext(), starttls(), implicit()] {
        assert_starts(&dialog.imap_login(KNOWN, b"wrong"), "T NO [AUTHENTICATIONFAILED]");
        assert_starts(&dialog.imap_login(NOBODY, RIGHT), "T NO [AUTHENTICATIONFAILED]");
        assert_starts(&dialog.imap_login(DISABLED, RIGHT), "T NO [CONTACTADMIN]");
        assert_starts(&dialog.imap_login(FAILING_LOGIN, RIGHT), "T NO [UNAVAILABLE]");
        assert_starts(&dialog.imap_login(KNOWN, RIGHT), "T OK");
    }
    for (name, password) in logins() {
        assert_starts(&cleartext().imap_login(&name, &password), "T OK");
        assert_starts(
            &cleartext().imap_login(&name, &[&password, b"x".as_slice()].concat()),
            "T NO",
        );
    }
}

fn greeted(mut dialog: Dialog) -> Dialog {
    assert_starts(&dialog.line(), "* OK");
    dialog
}

#[test]
fn dovecot_knows_recipients_by_lmtp() {
    if !available(&[]) {
        return;
    }
    let scratch = Scratch::new();
    let authority = Authority::new(&scratch, "remote");
    let dovecot = Dovecot::remote(&scratch, &authority);

    for mut dialog in [
        Dialog::tcp(dovecot.lmtp).hello("LHLO", None),
        Dialog::tcp(dovecot.lmtp).hello("LHLO", Some(&authority.client())),
        Dialog::unix(&dovecot.lmtp_socket).hello("LHLO", None),
    ] {
        assert_starts(&dialog.command("MAIL FROM:<>"), "250 ");
        for address in MAILBOXES {
            assert_starts(&dialog.command(&format!("RCPT TO:<{address}>")), "250 2.1.5");
        }
        for address in STRANGERS {
            assert_starts(&dialog.command(&format!("RCPT TO:<{address}>")), "550 5.1.1");
        }
        assert_starts(
            &dialog.command(&format!("RCPT TO:<{FAILING_MAILBOX}>")),
            "451 4.3.0",
        );
    }
}

#[test]
fn postfix_knows_recipients_and_checks_logins() {
    if !available(&["postfix"]) {
        return;
    }
    let scratch = Scratch::new();
    let authority = Authority::new(&scratch, "remote");
    let dovecot = Dovecot::remote(&scratch, &authority);
    let postfix = Postfix::remote(&scratch, &authority, &dovecot.auth_socket);

    let cleartext = || Dialog::tcp(postfix.smtp).hello("EHLO", None);
    let starttls = || Dialog::tcp(postfix.smtp).hello("EHLO", Some(&authority.client()));
    let implicit = || {
        Dialog::tcp(postfix.smtps)
            .tls(&authority.client())
            .hello("EHLO", None)
    };
    for mut dialog in [cleartext(), starttls(), implicit()] {
        assert_starts(&dialog.auth_plain(KNOWN, b"wrong"), "535 5.7.8");
        assert_starts(&dialog.auth_login(KNOWN, b"wrong"), "535 5.7.8");
        assert_starts(&dialog.auth_plain(KNOWN, RIGHT), "235 ");
    }
    for (name, password) in logins() {
        assert_starts(&cleartext().auth_login(&name, &password), "235 ");
    }

    let mut dialog = cleartext();
    assert_starts(&dialog.command("MAIL FROM:<> SMTPUTF8"), "250 ");
    for address in MAILBOXES.iter().chain(&UTF8[..1]) {
        assert_starts(&dialog.command(&format!("RCPT TO:<{address}>")), "250 2.1.5");
    }
    for address in STRANGERS.iter().chain(&UTF8[1..]) {
        assert_starts(&dialog.command(&format!("RCPT TO:<{address}>")), "550 5.1.1");
    }
}
