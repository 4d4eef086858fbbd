//! Sendmail as the front that asks, with Debian's own configuration and the rules of `contrib/sendmail`.
//!
//! Its package excludes Postfix's: `contrib/test` unpacks it, and it runs in a mount namespace, as Exim does.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::dialog::assert_starts;
use crate::exim::etc_with;
use crate::people::{FAILING_MAILBOX, KNOWN, MAILBOXES, NOBODY, STRANGERS};
use crate::recipient::{NEW, Stage, mail, rcpt};
use crate::support::{Process, Scratch, free_port, unpacked};
use crate::{available, exim};

/// Its daemon, in the folder of its package.
const DAEMON: &str = "usr/libexec/sendmail/sendmail";

/// Why it cannot be run. Where Postfix is installed, a program of this name is there in any case.
pub(crate) fn unusable() -> Option<String> {
    let missing = !unpacked("sendmail").join(DAEMON).exists();
    missing
        .then(|| "Sendmail is not unpacked".to_owned())
        .or_else(exim::unusable)
}

#[test]
fn sendmail_looks_up_recipients() {
    if !available(&["sendmail", "m4"]) {
        return;
    }
    let scratch = Scratch::new();
    let mut stage = Stage::start(&scratch, "socketmap");
    let (_front, smtp) = start(&scratch, &stage.socket);

    let mut dialog = mail(smtp);
    for address in MAILBOXES {
        assert_starts(&rcpt(&mut dialog, address), "250 2.1.5");
    }
    // Whether it may be relayed is not vouch's to say: this machine may.
    assert_starts(&rcpt(&mut dialog, "someone@elsewhere.example.com"), "250 2.1.5");
    for address in STRANGERS {
        assert_eq!(
            rcpt(&mut mail(smtp), address),
            format!("550 5.1.1 <{address}>... User unknown")
        );
    }
    assert_starts(&rcpt(&mut mail(smtp), FAILING_MAILBOX), "451 4.4.3");

    stage.dovecot.stop();
    let mut dialog = mail(smtp);
    assert_eq!(
        rcpt(&mut dialog, NEW),
        "451 4.4.3 Recipient lookup failed, try again later"
    );
    // Remembered.
    assert_starts(&rcpt(&mut dialog, KNOWN), "250 2.1.5");
    assert_starts(&rcpt(&mut dialog, NOBODY), "550 5.1.1");
    stage.vouch.stop();
    assert_starts(&rcpt(&mut mail(smtp), KNOWN), "451 4.4.3");
    // An open session has a connection to lose.
    assert_starts(&rcpt(&mut dialog, NOBODY), "451 4.3.0");
}

/// A name of the map that vouch does not have must not be a "no" about every recipient.
#[test]
fn sendmail_with_a_wrong_name_of_the_map_defers() {
    if !available(&["sendmail", "m4"]) {
        return;
    }
    let scratch = Scratch::new();
    let stage = Stage::start(&scratch, "socketmap");
    let rules = RULES
        .replace("Krecipients", "Krcpt")
        .replace("$(recipients", "$(rcpt");
    let (_front, smtp) = start_with(&scratch, &stage.socket, &rules);
    assert_starts(&rcpt(&mut mail(smtp), KNOWN), "451 4.4.3");
}

/// The rules as an administrator would take them.
const RULES: &str = include_str!("../../contrib/sendmail/vouch.m4");

/// Starts it in front of vouch's socket `map`: the process, and its port.
fn start(scratch: &Scratch, map: &Path) -> (Process, u16) {
    start_with(scratch, map, RULES)
}

fn start_with(scratch: &Scratch, map: &Path, rules: &str) -> (Process, u16) {
    let smtp = free_port();
    let etc = etc_with(scratch, "sendmail-etc", &[("smmta", 64_921), ("smmsp", 64_922)]);
    scratch.folder("sendmail-etc/mail");
    let mail = scratch.folder("sendmail-mail");
    scratch.folder("sendmail-mail/m4");
    for (file, text) in [
        ("m4/dialup.m4", ""),
        ("m4/provider.m4", ""),
        ("access", ""),
        ("local-host-names", "mx.example.org\n"),
        ("relay-domains", "example.org\nmail.example.org\n"),
        // No look-up in the DNS.
        ("service.switch", "hosts files\naliases files\n"),
    ] {
        scratch.write(&format!("sendmail-mail/{file}"), text);
    }
    let rules = rules.replace("/run/vouch/sendmail", map.to_str().unwrap());
    assert!(rules.contains(&format!("unix:{}", map.display())));
    scratch.write("sendmail-mail/vouch.m4", rules);
    let shipped = unpacked("sendmail").join("usr/share/sendmail/cf/debian/sendmail.mc");
    let shipped = fs::read_to_string(shipped).unwrap();
    scratch.write("sendmail-mail/sendmail.mc", configuration(&shipped, smtp));

    let mut command = Command::new("unshare");
    command
        .args(["--mount", "--uts", "/bin/sh", "-c", START, "start"])
        .arg(unpacked("sendmail").join("usr"))
        .args([etc, mail]);
    let mut process = Process::start(scratch, "sendmail", &mut command);
    process.wait_for_port(smtp);
    (process, smtp)
}

/// Debian's sendmail.mc at a free port, without what asks the DNS or limits a client, and with the rules as its last line.
fn configuration(shipped: &str, smtp: u16) -> String {
    let mut lines: Vec<String> = Vec::new();
    for line in shipped.lines() {
        if line.starts_with("DAEMON_OPTIONS(") || line.starts_with("FEATURE(`greet_pause'") {
            continue;
        }
        if line.starts_with("MAILER_DEFINITIONS") {
            lines.push(format!(
                "DAEMON_OPTIONS(`Family=inet, Name=MTA-v4, Port={smtp}, Addr=127.0.0.1')dnl
FEATURE(`nocanonify')dnl
FEATURE(`accept_unresolvable_domains')dnl
define(`confBAD_RCPT_THROTTLE', `0')dnl
define(`confCONNECTION_RATE_THROTTLE', `0')dnl"
            ));
        }
        lines.push(line.to_owned());
    }
    assert!(
        lines.iter().any(|line| line.starts_with("FEATURE(`access_db'")),
        "{shipped}"
    );
    lines.push("include(`/etc/mail/vouch.m4')dnl\n".to_owned());
    lines.join("\n")
}

/// Lays folders over the system's own, and makes sendmail.cf as its Makefile does. A host whose name has no dot would have
/// it sleep for a minute.
const START: &str = r#"
set -e
hostname mx.example.org
mount -t tmpfs sendmail-run /run
mount -t tmpfs sendmail-spool /var/spool
mount -t tmpfs sendmail-lib /var/lib
mkdir -p /run/sendmail/mta /var/lib/sendmail/host_status
mkdir -m 700 /var/spool/mqueue
mount -t overlay -o "lowerdir=$1:/usr" sendmail-usr /usr
mount -t overlay -o "lowerdir=$2:/etc" sendmail-etc /etc
mount -t tmpfs -o mode=755 sendmail-mail /etc/mail
cp -r "$3/." /etc/mail/
m4 /etc/mail/sendmail.mc >/etc/mail/sendmail.cf
/usr/libexec/sendmail/makemap hash /etc/mail/access.db </etc/mail/access
exec /usr/libexec/sendmail/sendmail -bD
"#;
