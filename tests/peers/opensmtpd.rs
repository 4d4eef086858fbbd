//! OpenSMTPD as the remote, by SMTP, and as the front that asks, with the filter of `contrib/opensmtpd`. `contrib/test`
//! unpacks it; it runs in a mount namespace, as Exim does.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use crate::both::{Whole, with_tls};
use crate::dialog::assert_starts;
use crate::exim::etc_with;
use crate::people::{FAILING_MAILBOX, KNOWN, NOBODY, RIGHT, STRANGERS};
use crate::recipient::{NEW, Stage, mail, rcpt};
use crate::support::{Authority, Process, Scratch, free_port, program, unpacked};
use crate::{available, runnable};

/// That of Debian 12 does neither TLS nor AUTH.
fn old() -> bool {
    let output = Command::new(program("smtpd").unwrap()).arg("-h").output();
    output.is_ok_and(|output| String::from_utf8_lossy(&output.stderr).contains("OpenSMTPD 6."))
}

/// Mailboxes whose names need no quoting in its tables.
const MAILBOXES: [&str; 3] = [KNOWN, "o'brien@example.org", "sub.domain@mail.example.org"];

/// Only with the servers of Debian 13 (`contrib/test-debian13`).
#[test]
fn opensmtpd_answers_for_recipients_and_logins() {
    if !runnable(&["smtpd", "postfix", "doveadm"]) || old() {
        return;
    }
    let scratch = Scratch::new();
    let authority = Authority::new(&scratch, "remote");
    let (mut process, smtp, smtps) = start(&scratch, &authority);
    let whole = Whole::start(
        &scratch,
        &with_tls(&authority, "smtp", smtp),
        &(with_tls(&authority, "smtp", smtps) + "tls.implicit = true\n"),
    );

    let mut dialog = whole.mail();
    for address in MAILBOXES {
        assert_starts(&rcpt(&mut dialog, address), "250 2.1.5");
    }
    for address in STRANGERS {
        assert_starts(&rcpt(&mut dialog, address), "550 5.1.1");
    }
    assert_starts(&whole.session().auth_plain(KNOWN, RIGHT), "235 2.7.0");
    assert_starts(&whole.session().auth_plain(KNOWN, b"wrong"), "535 5.7.8");
    assert_starts(&whole.session().auth_plain(NOBODY, RIGHT), "535 5.7.8");

    process.stop();
    assert_starts(
        &whole.session().auth_plain(KNOWN, b"not tried before"),
        "454 4.7.0",
    );
    let mut dialog = whole.mail();
    assert_starts(&rcpt(&mut dialog, NEW), "450 4.4.3");
    // Remembered.
    assert_starts(&rcpt(&mut dialog, KNOWN), "250 2.1.5");
}

/// Starts it: its port with STARTTLS, and that with TLS from the first byte.
fn start(scratch: &Scratch, authority: &Authority) -> (Process, u16, u16) {
    let [smtp, smtps] = [(); 2].map(|()| free_port());
    // It takes no key that others may read.
    let key = scratch.write("opensmtpd-key", fs::read(&authority.key).unwrap());
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    let hashed = Command::new(program("doveadm").unwrap())
        .args([
            "pw",
            "-s",
            "SHA512-CRYPT",
            "-p",
            std::str::from_utf8(RIGHT).unwrap(),
        ])
        .output()
        .unwrap();
    let hashed = String::from_utf8(hashed.stdout).unwrap();
    let hashed = hashed.trim().trim_start_matches("{SHA512-CRYPT}");
    scratch.write("opensmtpd-logins", format!("{KNOWN} {hashed}\n"));
    scratch.write("opensmtpd-mailboxes", MAILBOXES.join("\n") + "\n");
    let config = format!(
        "pki localhost cert \"{certificate}\"
pki localhost key \"{key}\"
table logins file:{folder}opensmtpd-logins
table mailboxes file:{folder}opensmtpd-mailboxes
listen on 127.0.0.1 port {smtp} tls pki localhost hostname localhost
listen on 127.0.0.1 port {smtps} smtps pki localhost hostname localhost auth-optional <logins>
action keep maildir \"{folder}opensmtpd-mail\" virtual {{ \"@\" = mail }}
match from any for domain {{ \"example.org\" \"mail.example.org\" }} rcpt-to <mailboxes> action keep
",
        certificate = authority.certificate.display(),
        key = key.display(),
        folder = scratch.text(""),
    );
    (
        launch(scratch, &authority.ca, &config, &[smtp, smtps]),
        smtp,
        smtps,
    )
}

/// The filter as an administrator would take it.
const FILTER: &str = include_str!("../../contrib/opensmtpd/filter-vouch");

#[test]
fn opensmtpd_asks_about_recipients_by_its_filter() {
    if !available(&["smtpd"]) {
        return;
    }
    let scratch = Scratch::new();
    let mut stage = Stage::start(&scratch, "policy");
    let (_front, smtp) = front(&scratch, &stage.authority, &stage.socket);

    for address in MAILBOXES {
        assert_starts(&rcpt(&mut mail(smtp), address), "250 2.1.5");
    }
    for address in [
        "nobody@example.org", "NOBODY@Example.ORG", "known@mail.example.org",
    ] {
        assert_eq!(rcpt(&mut mail(smtp), address), "550 5.1.1 User unknown");
    }
    // With a parameter, and twice in one session.
    let mut dialog = mail(smtp);
    assert_starts(
        &dialog.command(&format!("RCPT TO:<{KNOWN}> NOTIFY=NEVER")),
        "250 2.1.5",
    );
    assert_eq!(
        dialog.command(&format!("RCPT TO:<{NOBODY}> NOTIFY=NEVER")),
        "550 5.1.1 User unknown"
    );
    assert_starts(&rcpt(&mut dialog, FAILING_MAILBOX), "450 4.4.3");
    // Whether it may be relayed is OpenSMTPD's to say.
    assert_starts(
        &rcpt(&mut mail(smtp), "someone@elsewhere.example.com"),
        "550 Invalid recipient",
    );

    stage.dovecot.stop();
    let mut dialog = mail(smtp);
    assert_eq!(
        rcpt(&mut dialog, NEW),
        "450 4.4.3 Recipient lookup failed, try again later"
    );
    // Remembered.
    assert_starts(&rcpt(&mut mail(smtp), KNOWN), "250 2.1.5");
    stage.vouch.stop();
    assert_starts(&rcpt(&mut dialog, KNOWN), "451 4.4.3");
    assert_starts(&rcpt(&mut mail(smtp), NOBODY), "451 4.4.3");
}

/// Starts it in front of vouch's socket `policy`.
fn front(scratch: &Scratch, authority: &Authority, policy: &Path) -> (Process, u16) {
    let smtp = free_port();
    let filter = scratch.write("filter-vouch", FILTER);
    fs::set_permissions(&filter, fs::Permissions::from_mode(0o755)).unwrap();
    let config = format!(
        "filter vouch proc-exec \"{filter} {policy}\"
listen on 127.0.0.1 port {smtp} hostname localhost filter vouch
action keep maildir \"{folder}opensmtpd-mail\" virtual {{ \"@\" = mail }}
match from any for domain {{ \"example.org\" \"mail.example.org\" }} action keep
",
        filter = filter.display(),
        policy = policy.display(),
        folder = scratch.text(""),
    );
    (launch(scratch, &authority.ca, &config, &[smtp]), smtp)
}

/// Starts it with this configuration, and waits for its ports.
fn launch(scratch: &Scratch, ca: &Path, config: &str, ports: &[u16]) -> Process {
    let etc = etc_with(
        scratch,
        "opensmtpd-etc",
        &[("opensmtpd", 64_917), ("opensmtpq", 64_918)],
    );
    // It does not start without a list of authorities, though it asks for none here.
    for folder in ["opensmtpd-etc/ssl", "opensmtpd-etc/ssl/certs"] {
        scratch.folder(folder);
    }
    scratch.write(
        "opensmtpd-etc/ssl/certs/ca-certificates.crt",
        fs::read(ca).unwrap(),
    );
    let config = scratch.write("opensmtpd.conf", config);
    let mut command = Command::new("unshare");
    command
        .args(["--mount", "/bin/sh", "-c", START, "start"])
        .arg(unpacked("smtpd").join("usr"))
        .args([etc, config]);
    let mut process = Process::start(scratch, "opensmtpd", &mut command);
    for port in ports {
        process.wait_for_port(*port);
    }
    process
}

const START: &str = r#"
set -e
mount -t tmpfs opensmtpd-run /run
mount -t tmpfs opensmtpd-spool /var/spool
mkdir -m 711 /var/spool/smtpd
mount -t tmpfs opensmtpd-lib /var/lib
mkdir -p /var/lib/opensmtpd/empty
mount -t overlay -o "lowerdir=$1:/usr" opensmtpd-usr /usr
mount -t overlay -o "lowerdir=$2:/etc" opensmtpd-etc /etc
exec /usr/sbin/smtpd -d -f "$3"
"#;
