//! Exim as the front that asks, with the authenticators of `contrib/exim`, and as the remote that is asked.
//!
//! Its package excludes Postfix's, so it is not installed: `contrib/test` unpacks it into a folder below `target/`, and
//! here it runs in a mount namespace where that folder lies over `/usr`, and its configuration over `/etc`.

use std::fs;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::Command;

use base64::prelude::{BASE64_STANDARD, Engine};

use crate::both::{Whole, with_tls};
use crate::dialog::{Dialog, assert_starts};
use crate::dovecot::Dovecot;
use crate::login::{serve, starttls};
use crate::people::{
    self, DISABLED, FAILING_LOGIN, FAILING_MAILBOX, KNOWN, MAILBOXES, NOBODY, RIGHT, STRANGERS, logins,
};
use crate::recipient::{NEW, rcpt};
use crate::support::{Authority, Process, Scratch, Vouch, free_port, unpacked};
use crate::{available, runnable};

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
    let dovecot = Dovecot::remote(&scratch, &authority);
    let (vouch, auth) = serve(&scratch, "imap", dovecot.imap, &starttls(&authority));
    let front = Exim::front(&scratch, &authority, &auth);

    let session = || front.session(&authority);
    assert_checks_passwords(session);
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

    assert_later_without(session, dovecot, vouch);
}

/// Every password of [`people`] is checked, by both mechanisms.
pub(crate) fn assert_checks_passwords(session: impl Fn() -> Dialog) {
    for (name, password) in logins() {
        assert_starts(&session().auth_plain(&name, &password), "235 ");
        assert_starts(&session().auth_login(&name, &password), "235 ");
        let wrong = [&password, b"x".as_slice()].concat();
        assert_starts(&session().auth_plain(&name, &wrong), "535 ");
    }
}

/// No password is wrong while the remote is down, nor while vouch is.
pub(crate) fn assert_later_without(session: impl Fn() -> Dialog, mut dovecot: Dovecot, vouch: Vouch) {
    dovecot.stop();
    assert_starts(&session().auth_plain(KNOWN, RIGHT), "435 ");
    assert_starts(&session().auth_login(KNOWN, b"never tried before"), "435 ");
    vouch.stop();
    assert_starts(&session().auth_plain(KNOWN, RIGHT), "435 ");
}

#[test]
fn exim_answers_for_recipients_and_logins() {
    if !runnable(&["exim4", "postfix"]) {
        return;
    }
    let scratch = Scratch::new();
    let authority = Authority::new(&scratch, "remote");
    let mut exim = Exim::remote(&scratch, &authority);
    let directory = with_tls(&authority, "smtp", exim.smtp);
    let whole = Whole::start(&scratch, &directory, &directory);

    let mut dialog = whole.mail();
    for address in MAILBOXES {
        assert_starts(&rcpt(&mut dialog, address), "250 2.1.5");
    }
    for address in STRANGERS {
        assert_starts(&rcpt(&mut dialog, address), "550 5.1.1");
    }
    assert_starts(&rcpt(&mut dialog, FAILING_MAILBOX), "450 4.");
    for (name, password) in logins() {
        assert_starts(&whole.session().auth_plain(&name, &password), "235 2.7.0");
        let wrong = [&password, b"x".as_slice()].concat();
        assert_starts(&whole.session().auth_plain(&name, &wrong), "535 5.7.8");
    }
    assert_starts(&whole.session().auth_plain(NOBODY, RIGHT), "535 5.7.8");

    exim.stop();
    assert_starts(&whole.session().auth_plain(KNOWN, RIGHT), "454 4.7.0");
    let mut dialog = whole.mail();
    assert_starts(&rcpt(&mut dialog, NEW), "450 4.4.3");
    // Remembered.
    assert_starts(&rcpt(&mut dialog, KNOWN), "250 2.1.5");
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
    process: Process,
    pub(crate) smtp: u16,
}

impl Exim {
    /// Starts it in front of the socket `auth`.
    fn front(scratch: &Scratch, authority: &Authority, auth: &Path) -> Self {
        let authenticators = AUTHENTICATORS.replace("/run/vouch/exim/auth", auth.to_str().unwrap());
        assert!(authenticators.contains(auth.to_str().unwrap()));
        Self::start(
            scratch,
            authority,
            &asking(&authenticators),
            Path::new("/dev/null"),
        )
    }

    /// Starts it where saslauthd's socket is `mux`: its path is compiled in.
    pub(crate) fn saslauthd(scratch: &Scratch, authority: &Authority, mux: &Path) -> Self {
        Self::start(scratch, authority, &asking(SASLAUTHD), mux)
    }

    /// A new session, with TLS.
    pub(crate) fn session(&self, authority: &Authority) -> Dialog {
        Dialog::tcp(self.smtp).hello("EHLO", Some(&authority.client()))
    }

    /// Starts it as a remote that knows the mailboxes and logins of [`people`].
    fn remote(scratch: &Scratch, authority: &Authority) -> Self {
        let in_base64 = |bytes: &[u8]| BASE64_STANDARD.encode(bytes);
        let mailboxes = people::NAMES.map(|name| {
            let (local, domain) = name.split_once('@').unwrap();
            format!("{}@{domain}: known\n", in_base64(local.as_bytes()))
        });
        let mailboxes = scratch.write("exim-mailboxes", mailboxes.concat());
        let login = |(name, password): (String, Vec<u8>)| {
            format!("{}: {}\n", in_base64(name.as_bytes()), in_base64(&password))
        };
        let logins: String = logins().into_iter().map(login).collect();
        let logins = scratch.write("exim-logins", logins);
        let settings = REMOTE
            .replace("MAILBOXES", mailboxes.to_str().unwrap())
            .replace("LOGINS", logins.to_str().unwrap());
        Self::start(scratch, authority, &settings, Path::new("/dev/null"))
    }

    /// Ends it: from here on its port refuses connections.
    fn stop(&mut self) {
        self.process.stop();
    }

    fn start(scratch: &Scratch, authority: &Authority, settings: &str, mux: &Path) -> Self {
        let smtp = free_port();
        let etc = etc_with(scratch, "exim-etc", &[("Debian-exim", UID)]);
        scratch.folder("exim-etc/exim4");
        for folder in ["exim-spool", "exim-logs"] {
            chown(scratch.folder(folder), Some(UID), Some(UID)).unwrap();
        }
        scratch.write(
            "exim-etc/exim4/exim4.conf",
            config(scratch, authority, settings, smtp),
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
        Self { process, smtp }
    }
}

/// A folder to lie over `/etc`, in which the system has these users and groups as well, with these numbers.
pub(crate) fn etc_with(scratch: &Scratch, name: &str, users: &[(&str, u32)]) -> PathBuf {
    let etc = scratch.folder(name);
    for (file, rest) in [("passwd", "::/:/usr/sbin/nologin"), ("group", ":")] {
        let theirs = fs::read_to_string(Path::new("/etc").join(file)).unwrap();
        let ours = theirs
            .lines()
            .filter(|line| {
                users
                    .iter()
                    .all(|(user, _)| !line.starts_with(&format!("{user}:")))
            })
            .map(|line| format!("{line}\n"));
        let added = users.iter().map(|(user, id)| match file {
            "passwd" => format!("{user}:x:{id}:{id}{rest}\n"),
            _ => format!("{user}:x:{id}{rest}\n"),
        });
        let ours: String = ours.chain(added).collect();
        scratch.write(&format!("{name}/{file}"), ours);
    }
    etc
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

/// The settings of a front that relays for those who log in.
fn asking(authenticators: &str) -> String {
    format!("acl_smtp_rcpt = accept authenticated = *\nbegin authenticators\n{authenticators}")
}

/// Those of a remote. Its tables are in base64, so that any byte may be in a name or a password. What it says of an
/// unknown user, of another's domain and of a mailbox that fails is its own.
const REMOTE: &str = r#"domainlist ours = example.org : mail.example.org
acl_smtp_rcpt = check
begin acl
check:
  require message = relay not permitted
          domains = +ours
  require verify = recipient
  accept
begin routers
failing:
  driver = redirect
  local_parts = failing
  data = :defer: mailbox out of order
known:
  driver = accept
  local_part_suffix = +*
  local_part_suffix_optional
  condition = ${lookup{${base64:${lc:$local_part}}@$domain}lsearch{MAILBOXES}{yes}{no}}
  transport = nowhere
begin transports
nowhere:
  driver = appendfile
  file = /dev/null
begin authenticators
plain:
  driver = plaintext
  public_name = PLAIN
  server_set_id = $auth2
  server_condition = ${if eq{${base64:$auth3}}{${lookup{${base64:$auth2}}lsearch{LOGINS}{$value}fail}}}
"#;

/// Exim reads no other file than its built-in one without giving up its rights.
fn config(scratch: &Scratch, authority: &Authority, settings: &str, smtp: u16) -> String {
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
{settings}",
        certificate = authority.certificate.display(),
        key = authority.key.display(),
    )
}
