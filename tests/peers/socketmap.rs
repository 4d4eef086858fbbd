//! A real Postfix looks recipients and domains up at `vouch`, as in tables, and `postmap` does by hand.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::available;
use crate::dialog::assert_starts;
use crate::dovecot::Dovecot;
use crate::people::{FAILING_MAILBOX, KNOWN, MAILBOXES, NOBODY, STRANGERS};
use crate::postfix::Postfix;
use crate::recipient::{NEW, mail, rcpt, serve_at, tls};
use crate::support::{Authority, Scratch, Vouch, program};

/// The remote, and the daemon with a socketmap listener in front of it.
fn stage(scratch: &Scratch) -> (Dovecot, Vouch, PathBuf) {
    let authority = Authority::new(scratch, "remote");
    let dovecot = Dovecot::remote(scratch, &authority);
    let (port, ca) = (dovecot.lmtp, authority.ca.display());
    let directory = format!(
        "type = \"lmtp\"\naddress = \"127.0.0.1\"\nport = {port}\n{}",
        tls("required", &ca)
    );
    let (vouch, map) = serve_at(scratch, "socketmap", &directory);
    (dovecot, vouch, map)
}

#[test]
fn postfix_looks_up_relay_recipients_and_domains() {
    if !available(&["postfix"]) {
        return;
    }
    let scratch = Scratch::new();
    let (mut dovecot, vouch, map) = stage(&scratch);
    let front = Postfix::relay(
        &scratch,
        &format!(
            "relay_domains = {0}:domains\nrelay_recipient_maps = {0}:recipients\n",
            table(&map)
        ),
    );

    let mut dialog = mail(&front);
    for address in MAILBOXES {
        assert_starts(&rcpt(&mut dialog, address), "250 2.1.5");
    }
    let mut dialog = mail(&front);
    for address in STRANGERS {
        let reply = rcpt(&mut dialog, address);
        assert_starts(&reply, "550 5.1.1");
        assert!(reply.contains("User unknown in relay recipient table"), "{reply}");
    }
    // Not one of our domains.
    assert_starts(&rcpt(&mut dialog, "someone@elsewhere.example.com"), "554 5.7.1");
    // No answer is no "unknown": it stays a temporary one.
    assert_starts(&rcpt(&mut dialog, FAILING_MAILBOX), "451 4.3.0");

    dovecot.stop();
    let mut dialog = mail(&front);
    assert_starts(&rcpt(&mut dialog, NEW), "451 4.3.0");
    // Who was known all along still gets mail.
    assert_starts(&rcpt(&mut dialog, KNOWN), "250 2.1.5");
    vouch.stop();
    assert_starts(&rcpt(&mut mail(&front), KNOWN), "451 4.3.0");
}

#[test]
fn postfix_looks_up_actions() {
    if !available(&["postfix"]) {
        return;
    }
    let scratch = Scratch::new();
    let (mut dovecot, _vouch, map) = stage(&scratch);
    let front = Postfix::relay(
        &scratch,
        &format!(
            "smtpd_recipient_restrictions = reject_unauth_destination, check_recipient_access {}:access\n",
            table(&map)
        ),
    );
    let mut dialog = mail(&front);
    for address in MAILBOXES {
        assert_starts(&rcpt(&mut dialog, address), "250 2.1.5");
    }
    let mut dialog = mail(&front);
    for address in STRANGERS {
        let reply = rcpt(&mut dialog, address);
        assert_starts(&reply, "550 5.1.1");
        assert!(
            reply.ends_with("Recipient address rejected: User unknown"),
            "{reply}"
        );
    }
    assert_starts(&rcpt(&mut dialog, FAILING_MAILBOX), "450 4.4.3");
    dovecot.stop();
    assert_starts(&rcpt(&mut mail(&front), NEW), "450 4.4.3");
}

#[test]
fn postmap_agrees() {
    if !available(&["postfix"]) {
        return;
    }
    let scratch = Scratch::new();
    let (mut dovecot, _vouch, map) = stage(&scratch);
    let postmap = Postmap::new(&scratch, &map);

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

    let text = postmap.look_up(FAILING_MAILBOX, "recipients").unwrap_err();
    assert!(text.contains("temporary"), "{text}");
    assert!(postmap.look_up(KNOWN, "rcpt").is_err(), "there is no such map");
    dovecot.stop();
    let text = postmap.look_up(NEW, "recipients").unwrap_err();
    assert!(text.contains("unreachable"), "{text}");
    assert_eq!(postmap.look_up("example.org", "domains"), action("ok"));
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
