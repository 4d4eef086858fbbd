//! OpenSMTPD as the remote, by SMTP. `contrib/test --prepare` unpacks it; it runs in a mount namespace, as Exim does.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use crate::both::{Whole, with_tls};
use crate::dialog::assert_starts;
use crate::exim::etc_with;
use crate::people::{KNOWN, NOBODY, RIGHT, STRANGERS};
use crate::recipient::{NEW, rcpt};
use crate::runnable;
use crate::support::{Authority, Process, Scratch, free_port, program, unpacked};

/// Mailboxes whose names need no quoting in its tables.
const MAILBOXES: [&str; 3] = [KNOWN, "o'brien@example.org", "sub.domain@mail.example.org"];

/// Only with the servers of Debian 13 (`contrib/test-debian13`): that of Debian 12 does neither TLS nor AUTH.
#[test]
fn opensmtpd_answers_for_recipients_and_logins() {
    if !unpacked("opensmtpd").exists() || !runnable(&["postfix", "doveadm"]) {
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
        fs::read(&authority.ca).unwrap(),
    );
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
    let config = scratch.write("opensmtpd.conf", config);

    let mut command = Command::new("unshare");
    command.args(["--mount", "/bin/sh", "-c", START, "start"]);
    command
        .arg(unpacked("opensmtpd").join("usr"))
        .arg(etc)
        .arg(config);
    let mut process = Process::start(scratch, "opensmtpd", &mut command);
    for port in [smtp, smtps] {
        process.wait_for_port(port);
    }
    (process, smtp, smtps)
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
