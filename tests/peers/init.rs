//! From `vouch init` to a first verdict: what it writes is served, and what it prints is given to a real Postfix.

use std::os::unix::fs::{PermissionsExt, chown};
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};
use std::{fs, thread};

use nix::unistd::Group;

use crate::available;
use crate::dialog::{Dialog, assert_starts};
use crate::dovecot::Dovecot;
use crate::people::{KNOWN, NOBODY, RIGHT};
use crate::postfix::Postfix;
use crate::support::vouch::binary;
use crate::support::{Authority, Scratch, Vouch};

/// How long a Postfix may take until all of it has read its configuration anew.
const RELOAD: Duration = Duration::from_secs(30);

/// What `vouch init` prints for this front, beside the Postfix of the scratch directory; the file is `new.toml`.
fn init(scratch: &Scratch, more: &[&str]) -> String {
    let output = Command::new(binary())
        .args([
            "init", "--host", "127.0.0.1", "--domain", "example.org", "--output",
        ])
        .arg(scratch.path("new.toml"))
        .args(more)
        // By which postconf(1) finds that Postfix, as it finds the system's without.
        .env("MAIL_CONFIG", scratch.path("front-etc"))
        .output()
        .unwrap();
    let err = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && err.is_empty(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Serves what was written: as root, who may write to the test's directories, and at a control socket of its own.
fn serve(scratch: &Scratch, socket: &str) -> Vouch {
    let folder = scratch.path("front-queue").join("vouch");
    fs::create_dir(&folder).unwrap();
    let group = Group::from_name("postfix").unwrap().unwrap();
    chown(&folder, None, Some(group.gid.as_raw())).unwrap();
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o2750)).unwrap();
    let text = fs::read_to_string(scratch.path("new.toml")).unwrap();
    let mine = text.replace("\n#user = \"vouch\"", "\nuser = \"root\"").replace(
        "\n#[control]\n#socket = \"/run/vouch/control\"",
        &format!("\n[control]\nsocket = \"{}\"", scratch.text("control")),
    );
    assert!(mine.contains("\nuser = \"root\"") && mine.contains("\n[control]"));
    Vouch::serve(scratch, &mine, &[&folder.join(socket)])
}

/// The lines for main.cf, as a person would copy them.
fn lines(said: &str) -> &str {
    let (_, from) = said.split_once("\nPostfix, in main.cf").unwrap();
    let (_, from) = from.split_once("\n\n").unwrap();
    from.split_once("\n\n").unwrap().0
}

/// What `ask` gets, once it begins so: until a reload is through, old processes answer.
fn once(start: &str, ask: impl Fn() -> String) {
    let end = Instant::now() + RELOAD;
    loop {
        let reply = ask();
        if reply.starts_with(start) {
            return;
        }
        assert!(Instant::now() < end, "{reply:?} still, not {start:?}");
        thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn the_lines_for_recipients_bring_a_real_postfix_to_its_first_verdict() {
    if !available(&["postfix", "postconf"]) {
        return;
    }
    let scratch = Scratch::new();
    let authority = Authority::new(&scratch, "remote");
    let dovecot = Dovecot::remote(&scratch, &authority);
    let front = Postfix::bare(&scratch, &authority);
    let (port, ca) = (
        dovecot.lmtp.to_string(),
        authority.ca.to_str().unwrap().to_owned(),
    );
    let said = init(
        &scratch,
        &[
            "--behind", "lmtp", "--port", &port, "--tls", "starttls", "--ca-file", &ca, "--front",
            "postfix-recipients", "--try", KNOWN,
        ],
    );
    assert!(said.contains(&format!("\n{KNOWN}: exists (mailbox, ")), "{said}");
    // A folder of its own, in the queue directory of that Postfix, and told from there.
    assert!(lines(&said).contains("{ unix:vouch/policy, "), "{said}");
    let _vouch = serve(&scratch, "policy");
    Postfix::take(&scratch, &format!("{}\n", lines(&said)));

    let rcpt = |address: &str| {
        let mut dialog = Dialog::tcp(front.smtp).hello("EHLO", None);
        assert_starts(&dialog.command("MAIL FROM:<sender@example.net>"), "250 ");
        dialog.command(&format!("RCPT TO:<{address}>"))
    };
    once("550 5.1.1", || rcpt(NOBODY));
    assert_starts(&rcpt(KNOWN), "250 2.1.5");
}

#[test]
fn the_lines_for_logins_bring_a_real_postfix_to_its_first_verdict() {
    if !available(&["postfix", "postconf"]) {
        return;
    }
    let scratch = Scratch::new();
    let authority = Authority::new(&scratch, "remote");
    let dovecot = Dovecot::remote(&scratch, &authority);
    let front = Postfix::bare(&scratch, &authority);
    let (port, ca) = (
        dovecot.imaps.to_string(),
        authority.ca.to_str().unwrap().to_owned(),
    );
    let password: PathBuf = scratch.write("password", [RIGHT, b"\n"].concat());
    let said = init(
        &scratch,
        &[
            "--behind",
            "imap",
            "--port",
            &port,
            "--tls",
            "implicit",
            "--ca-file",
            &ca,
            "--front",
            "postfix-logins",
            "--try",
            KNOWN,
            "--password-file",
            password.to_str().unwrap(),
        ],
    );
    assert!(
        said.contains(&format!("\n{KNOWN}: accepted (mailbox, ")),
        "{said}"
    );
    assert!(lines(&said).contains("smtpd_sasl_path = vouch/auth\n"), "{said}");
    let _vouch = serve(&scratch, "auth");
    Postfix::take(&scratch, &format!("{}\n", lines(&said)));

    let client = authority.client();
    let login = |password: &[u8]| {
        Dialog::tcp(front.smtp)
            .hello("EHLO", Some(&client))
            .auth_plain(KNOWN, password)
    };
    once("235 ", || login(RIGHT));
    assert_starts(&login(b"wrong"), "535 ");
}
