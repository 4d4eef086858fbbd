//! Cyrus as the remote: IMAP and LMTP.
//!
//! Its package excludes Dovecot's, so it is not installed: `contrib/test` unpacks it into a folder below `target/`, and it
//! runs from a copy, because it gives up its rights before it starts some of its programs, and then may not enter every
//! folder in which a clone lies.

use std::io::Write;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::both::{Whole, with_tls};
use crate::dialog::{Dialog, assert_starts};
use crate::people::{KNOWN, MAILBOXES, NOBODY, RIGHT, STRANGERS, logins};
use crate::recipient::{NEW, rcpt};
use crate::runnable;
use crate::support::{Authority, Process, Scratch, free_port, program, unpacked};

/// What must be installed or unpacked to start [`Cyrus`].
const PROGRAMS: [&str; 2] = ["cyrus", "saslpasswd2"];

#[test]
fn cyrus_answers_for_recipients_and_logins() {
    if !runnable(&[&PROGRAMS, &["postfix"][..]].concat()) {
        return;
    }
    let scratch = Scratch::new();
    let authority = Authority::new(&scratch, "remote");
    let mut cyrus = Cyrus::remote(&scratch, &authority);
    let socket = cyrus.lmtp_socket.display();
    let whole = Whole::start(
        &scratch,
        &format!("type = \"lmtp\"\naddress = \"{socket}\"\ntls.starttls = \"never\"\n"),
        &with_tls(&authority, "imap", cyrus.imap),
    );

    let mut dialog = whole.mail();
    for address in MAILBOXES.iter().filter(|address| has_mailbox(address)) {
        assert_starts(&rcpt(&mut dialog, address), "250 2.1.5");
    }
    for address in STRANGERS {
        assert_starts(&rcpt(&mut dialog, address), "550 5.1.1");
    }
    // It has no codes for a login: what it says to a good one has LOGINDISABLED in it, and a bad one waits.
    for (name, password) in logins()
        .iter()
        .filter(|(name, _)| name.contains('@') && has_mailbox(name))
    {
        assert_starts(&whole.session().auth_plain(name, password), "235 2.7.0");
    }
    for (name, password) in [
        (KNOWN, b"wrong".as_slice()),
        (KNOWN, b"\"quoted\""),
        (NOBODY, RIGHT),
    ] {
        assert_starts(&whole.session().auth_plain(name, password), "535 5.7.8");
    }

    cyrus.process.stop();
    assert_starts(&whole.session().auth_plain(KNOWN, RIGHT), "454 4.7.0");
    let mut dialog = whole.mail();
    assert_starts(&rcpt(&mut dialog, NEW), "450 4.4.3");
    // Remembered.
    assert_starts(&rcpt(&mut dialog, KNOWN), "250 2.1.5");
}

/// Over TCP its LMTP wants a login first, and that is no word about a mailbox; with `-a` it wants none. IMAP by TLS from the
/// first byte.
#[test]
fn cyrus_that_wants_a_login_of_its_own_is_no_answer() {
    if !runnable(&[&PROGRAMS, &["postfix"][..]].concat()) {
        return;
    }
    for (open, known, unknown) in [
        (false, "450 4.4.3", "450 4.4.3"),
        (true, "250 2.1.5", "550 5.1.1"),
    ] {
        let scratch = Scratch::new();
        let authority = Authority::new(&scratch, "remote");
        let cyrus = Cyrus::remote(&scratch, &authority);
        let lmtp = if open { cyrus.open_lmtp } else { cyrus.lmtp };
        let whole = Whole::start(
            &scratch,
            &with_tls(&authority, "lmtp", lmtp),
            &(with_tls(&authority, "imap", cyrus.imaps) + "tls.implicit = true\n"),
        );
        let mut dialog = whole.mail();
        assert_starts(&rcpt(&mut dialog, KNOWN), known);
        assert_starts(&rcpt(&mut dialog, NOBODY), unknown);
        assert_starts(&whole.session().auth_plain(KNOWN, RIGHT), "235 2.7.0");
        assert_starts(&whole.session().auth_plain(KNOWN, b"wrong"), "535 5.7.8");
    }
}

/// A running Cyrus.
#[derive(Debug)]
struct Cyrus {
    process: Process,
    /// IMAP without TLS at first, with STARTTLS.
    imap: u16,
    /// IMAP with TLS from the first byte.
    imaps: u16,
    /// LMTP, with STARTTLS, for those who log in.
    lmtp: u16,
    /// The same for all.
    open_lmtp: u16,
    lmtp_socket: PathBuf,
}

/// As whom it runs: there is no user of its name.
const USER: &str = "mail";

/// The administrator, who creates the mailboxes, is in a domain without users: Cyrus strips the default domain from a name.
const ADMINISTRATOR: (&str, &str) = ("cyrus", "localhost");

impl Cyrus {
    /// Starts it with the logins and the mailboxes of [`people`](crate::people), where it can have such.
    fn remote(scratch: &Scratch, authority: &Authority) -> Self {
        let [imap, imaps, lmtp, open_lmtp] = [(); 4].map(|()| free_port());
        let (uid, gid) = scratch.folder_of("cyrus", USER);
        for folder in ["cyrus/state", "cyrus/mail"] {
            scratch.folder_of(folder, USER);
        }
        let passwords = scratch.path("cyrus/passwords");
        set_password(&passwords, ADMINISTRATOR, RIGHT);
        for (name, password) in &logins() {
            if let Some(name) = name.rsplit_once('@') {
                set_password(&passwords, name, password);
            }
        }
        chown(&passwords, Some(uid), Some(gid)).unwrap();
        let settings = SETTINGS
            .replace("FOLDER", &scratch.text("cyrus"))
            .replace("CERTIFICATE", authority.certificate.to_str().unwrap())
            .replace("KEY", authority.key.to_str().unwrap());
        let settings = scratch.write("imapd.conf", settings);
        let lib = scratch.path("cyrus-lib");
        let copied = Command::new("cp")
            .arg("-r")
            .arg(unpacked_lib())
            .arg(&lib)
            .status()
            .unwrap();
        assert!(copied.success());
        let programs = lib.join(PROGRAMS_OF_ITS_OWN);
        let run = |name: &str| format!("{} -C {}", programs.join(name).display(), settings.display());
        let socket = scratch.path("cyrus/lmtp");
        let services = format!(
            "START {{\n  recover cmd=\"{recover} -r\"\n}}
SERVICES {{
  imap cmd=\"{imapd}\" listen=\"127.0.0.1:{imap}\"
  imaps cmd=\"{imapd} -s\" listen=\"127.0.0.1:{imaps}\"
  lmtp cmd=\"{lmtpd}\" listen=\"127.0.0.1:{lmtp}\"
  open cmd=\"{lmtpd} -a\" listen=\"127.0.0.1:{open_lmtp}\"
  unix cmd=\"{lmtpd}\" listen=\"{socket}\"
}}
EVENTS {{\n}}\n",
            recover = run("ctl_cyrusdb"),
            imapd = run("imapd"),
            lmtpd = run("lmtpd"),
            socket = socket.display(),
        );
        let services = scratch.write("cyrus.conf", services);

        let mut command = Command::new(programs.join("master"));
        command.args(["-D", "-C"]).arg(&settings).arg("-M").arg(services);
        command.arg("-p").arg(scratch.path("cyrus/pid"));
        command.env("LD_LIBRARY_PATH", libraries(&lib));
        let mut process = Process::start(scratch, "cyrus-master", &mut command);
        for port in [imap, imaps, lmtp, open_lmtp] {
            process.wait_for_port(port);
        }
        process.wait_for_socket(&socket);
        make_mailboxes(Dialog::tcp(imaps).tls(&authority.client()));
        Self {
            process,
            imap,
            imaps,
            lmtp,
            open_lmtp,
            lmtp_socket: socket,
        }
    }
}

/// Why the unpacked Cyrus cannot be run.
pub(crate) fn unusable() -> Option<String> {
    let programs = unpacked_lib().join(PROGRAMS_OF_ITS_OWN);
    let there = ["master", "imapd", "lmtpd"].map(|name| programs.join(name).exists());
    there.contains(&false).then(|| "Cyrus is not unpacked".to_owned())
}

/// What it consists of.
fn unpacked_lib() -> PathBuf {
    unpacked("cyrus").join("usr/lib")
}

/// Therein, the programs that it starts itself.
const PROGRAMS_OF_ITS_OWN: &str = "cyrus/bin";

/// Where its own libraries are.
fn libraries(lib: &Path) -> PathBuf {
    let mut folders = std::fs::read_dir(lib).unwrap().map(|entry| entry.unwrap().path());
    folders
        .find(|folder| folder.join("libcyrus.so.0").exists())
        .expect("its libraries were unpacked")
}

/// Cyrus from 3.10 on offers no STARTTLS by itself.
const SETTINGS: &str = "configdirectory: FOLDER/state
defaultpartition: default
partition-default: FOLDER/mail
cyrus_user: mail
cyrus_group: mail
admins: cyrus
unixhierarchysep: yes
virtdomains: userid
servername: localhost
defaultdomain: localhost
allowstarttls: yes
tls_server_cert: CERTIFICATE
tls_server_key: KEY
sasl_mech_list: PLAIN LOGIN
sasl_pwcheck_method: auxprop
sasl_auxprop_plugin: sasldb
sasl_sasldb_path: FOLDER/passwords
";

fn set_password(file: &Path, (name, realm): (&str, &str), password: &[u8]) {
    let mut child = Command::new(program("saslpasswd2").unwrap())
        .args(["-p", "-c", "-f"])
        .arg(file)
        .args(["-u", realm, "--", name])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(password).unwrap();
    assert!(child.wait().unwrap().success(), "{name}@{realm}");
}

/// Whether Cyrus can have a mailbox or a login of this name.
fn has_mailbox(address: &str) -> bool {
    !address.contains(['"', '/', '*'])
}

fn make_mailboxes(mut dialog: Dialog) {
    assert_starts(&dialog.line(), "* OK");
    assert_starts(&dialog.imap(&format!("LOGIN {} right", ADMINISTRATOR.0)), "T OK");
    for name in MAILBOXES
        .iter()
        .filter(|name| has_mailbox(name) && !name.contains('+'))
    {
        let name = name.to_lowercase();
        let reply = dialog.imap(&format!("CREATE \"user/{name}\""));
        assert!(
            reply.starts_with("T OK") || reply.contains("already exists"),
            "{name}: {reply}"
        );
    }
}
