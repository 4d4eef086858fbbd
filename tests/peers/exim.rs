//! Exim as the front that asks, with the authenticators of `contrib/exim`.
//!
//! Its package excludes Postfix's, so it is not installed: `contrib/test` unpacks it into a folder below `target/`, and
//! here it runs in a mount namespace where that folder lies over `/usr`, and its configuration over `/etc`.

use std::fs;
use std::os::unix::fs::chown;
use std::path::Path;
use std::process::Command;

use crate::available;
use crate::dialog::{Dialog, assert_starts};
use crate::dovecot::Dovecot;
use crate::login::{serve, starttls};
use crate::people::{DISABLED, FAILING_LOGIN, KNOWN, NOBODY, RIGHT, logins};
use crate::support::{Authority, Process, Scratch, free_port, unpacked};

/// Why the unpacked Exim cannot be run.
pub(crate) fn unusable() -> Option<String> {
    let allowed = Command::new("unshare").args(["--mount", "/bin/true"]).output();
    let allowed = allowed.is_ok_and(|output| output.status.success());
    (!allowed).then(|| "no mount namespace (unshare --mount) is allowed here".to_owned())
}

#[test]
fn exim_checks_logins_at_dovecot() {
    if !available(&["exim4"]) {
        return;
    }
    let scratch = Scratch::new();
    let authority = Authority::new(&scratch, "remote");
    let mut dovecot = Dovecot::remote(&scratch, &authority);
    let (vouch, auth) = serve(&scratch, "imap", dovecot.imap, &starttls(&authority));
    let front = Exim::front(&scratch, &authority, &auth);

    let session = || Dialog::tcp(front.smtp).hello("EHLO", Some(&authority.client()));
    for (name, password) in logins() {
        assert_starts(&session().auth_plain(&name, &password), "235 ");
        assert_starts(&session().auth_login(&name, &password), "235 ");
        let wrong = [&password, b"x".as_slice()].concat();
        assert_starts(&session().auth_plain(&name, &wrong), "535 ");
    }
    let mut dialog = session();
    assert_starts(&dialog.auth_login(KNOWN, b"wrong"), "535 ");
    assert_starts(&dialog.auth_plain(NOBODY, RIGHT), "535 ");
    let mut dialog = session();
    assert_starts(&dialog.auth_plain(DISABLED, RIGHT), "535 ");
    assert_starts(&dialog.auth_plain(FAILING_LOGIN, RIGHT), "435 ");
    // The same session goes on after a temporary failure.
    assert_starts(&dialog.command("MAIL FROM:<sender@example.net>"), "250 ");
    assert_starts(&dialog.command("RCPT TO:<someone@example.com>"), "550 ");
    assert_starts(&dialog.command("RSET"), "250 ");
    assert_starts(&dialog.auth_plain(KNOWN, RIGHT), "235 ");
    assert_starts(&dialog.command("MAIL FROM:<sender@example.net>"), "250 ");
    assert_starts(&dialog.command("RCPT TO:<someone@example.com>"), "250 ");

    // No password goes over a connection that anyone may read.
    let mut cleartext = Dialog::tcp(front.smtp).hello("EHLO", None);
    assert_starts(&cleartext.auth_plain(KNOWN, RIGHT), "503 ");

    dovecot.stop();
    assert_starts(&session().auth_plain(KNOWN, RIGHT), "435 ");
    assert_starts(&session().auth_login(KNOWN, b"never tried before"), "435 ");
    vouch.stop();
    assert_starts(&session().auth_plain(KNOWN, RIGHT), "435 ");
}

/// The authenticators as an administrator would take them.
const AUTHENTICATORS: &str = include_str!("../../contrib/exim/vouch.conf");

/// The same, by the condition that asks saslauthd.
const SASLAUTHD: &str = include_str!("../../contrib/exim/saslauthd.conf");

/// The number of Exim's user, where the system has none; nobody else's on Debian, which gives packages numbers below 1000
/// and people those above.
const UID: u32 = 64_916;

/// A running Exim.
#[derive(Debug)]
pub(crate) struct Exim {
    _process: Process,
    pub(crate) smtp: u16,
}

impl Exim {
    /// Starts it in front of the socket `auth`.
    fn front(scratch: &Scratch, authority: &Authority, auth: &Path) -> Self {
        let authenticators = AUTHENTICATORS.replace("/run/vouch/exim/auth", auth.to_str().unwrap());
        assert!(authenticators.contains(auth.to_str().unwrap()));
        Self::start(scratch, authority, &authenticators, Path::new("/dev/null"))
    }

    /// Starts it where saslauthd's socket is `mux`: its path is compiled in.
    pub(crate) fn saslauthd(scratch: &Scratch, authority: &Authority, mux: &Path) -> Self {
        Self::start(scratch, authority, SASLAUTHD, mux)
    }

    fn start(scratch: &Scratch, authority: &Authority, authenticators: &str, mux: &Path) -> Self {
        let smtp = free_port();
        let etc = scratch.folder("exim-etc");
        scratch.folder("exim-etc/exim4");
        for (file, line) in [
            (
                "passwd",
                format!("Debian-exim:x:{UID}:{UID}::/:/usr/sbin/nologin\n"),
            ),
            ("group", format!("Debian-exim:x:{UID}:\n")),
        ] {
            let theirs = fs::read_to_string(Path::new("/etc").join(file)).unwrap();
            let ours = theirs
                .lines()
                .filter(|line| !line.starts_with("Debian-exim:"))
                .map(|line| format!("{line}\n"));
            scratch.write(
                &format!("exim-etc/{file}"),
                ours.chain([line]).collect::<String>(),
            );
        }
        for folder in ["exim-spool", "exim-logs"] {
            chown(scratch.folder(folder), Some(UID), Some(UID)).unwrap();
        }
        scratch.write(
            "exim-etc/exim4/exim4.conf",
            config(scratch, authority, authenticators, smtp),
        );

        let usr = unpacked("exim4").join("usr");
        let mut command = Command::new("unshare");
        command
            .args(["--mount", "/bin/sh", "-c", START, "start"])
            .arg(usr)
            .arg(etc)
            .arg(mux);
        let mut process = Process::start(scratch, "exim", &mut command);
        process.wait_for_port(smtp);
        Self {
            _process: process,
            smtp,
        }
    }
}

/// Lays folders over the system's own, and puts saslauthd's socket where Exim looks for it; no more than a reader's view of them, so that none of these can be changed.
const START: &str = r#"
set -e
mount -t tmpfs exim-run /run
mkdir /run/saslauthd
ln -s "$3" /run/saslauthd/mux
mount -t overlay -o "lowerdir=$1:/usr" exim-usr /usr
mount -t overlay -o "lowerdir=$2:/etc" exim-etc /etc
exec /usr/sbin/exim4 -bdf
"#;

/// Exim reads no other file than its built-in one without giving up its rights.
fn config(scratch: &Scratch, authority: &Authority, authenticators: &str, smtp: u16) -> String {
    let scratch = scratch.text("");
    format!(
        "primary_hostname = mail.example.org
spool_directory = {scratch}exim-spool
log_file_path = {scratch}exim-logs/%s.log
pid_file_path = {scratch}exim-spool/pid
local_interfaces = 127.0.0.1
daemon_smtp_ports = {smtp}
keep_environment =
smtp_enforce_sync = false
tls_advertise_hosts = *
tls_certificate = {certificate}
tls_privatekey = {key}
acl_smtp_rcpt = accept authenticated = *
begin authenticators
{authenticators}",
        certificate = authority.certificate.display(),
        key = authority.key.display(),
    )
}
