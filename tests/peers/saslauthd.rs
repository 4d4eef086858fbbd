//! What asks saslauthd asks `vouch` instead: `testsaslauthd`, Postfix by Cyrus SASL, and Exim's condition. And the
//! original beside it, with a password that holds a line end.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use crate::dialog::{Dialog, assert_starts, plain};
use crate::dovecot::Dovecot;
use crate::exim::{Exim, assert_checks_passwords, assert_later_without};
use crate::login::{serve_at, starttls};
use crate::people::{DISABLED, FAILING_LOGIN, KNOWN, NOBODY, RIGHT, logins};
use crate::postfix::Postfix;
use crate::support::process::wait_until;
use crate::support::{Authority, Process, Scratch, Vouch, program};
use crate::{available, runnable};

/// A daemon with a saslauthd listener in front of an IMAP server.
fn serve(scratch: &Scratch, port: u16, tls: &str, keys: &str) -> (Vouch, PathBuf) {
    serve_at(scratch, "saslauthd", ("imap", port), tls, keys)
}

#[test]
fn testsaslauthd_logs_in_and_is_refused() {
    if !available(&["testsaslauthd"]) {
        return;
    }
    let scratch = Scratch::new();
    let authority = Authority::new(&scratch, "remote");
    let mut dovecot = Dovecot::remote(&scratch, &authority);
    let (vouch, mux) = serve(&scratch, dovecot.imap, &starttls(&authority), "");

    for (name, password) in logins() {
        let (user, realm) = name.rsplit_once('@').unwrap_or((&name, ""));
        assert_says(&ask(&mux, user, realm, &password), "0: OK \"Success.\"\n");
        // As Exim has it: the whole name, and no realm.
        assert_says(&ask(&mux, &name, "", &password), "0: OK \"Success.\"\n");
        let wrong = [&password, b"x".as_slice()].concat();
        assert_says(&ask(&mux, user, realm, &wrong), REFUSED);
    }
    for name in [NOBODY, DISABLED] {
        assert_says(&ask(&mux, name, "", RIGHT), REFUSED);
    }
    // Impossible ones are refused like wrong ones.
    assert_says(&ask(&mux, KNOWN, "", b""), REFUSED);
    assert_says(&ask(&mux, KNOWN, "", b"inj\"\r\nX LOGOUT"), REFUSED);
    assert_says(&ask(&mux, "", "", RIGHT), REFUSED);
    // Where the remote gave no answer, nothing is sent that could be taken for a no.
    assert_no_answer(&ask(&mux, FAILING_LOGIN, "", RIGHT));
    dovecot.stop();
    assert_no_answer(&ask(&mux, KNOWN, "", RIGHT));
    assert_no_answer(&ask(&mux, KNOWN, "", b"never tried before"));
    vouch.stop();
}

#[test]
fn tempfail_no_answers_as_saslauthd_itself() {
    if !available(&["testsaslauthd"]) {
        return;
    }
    let scratch = Scratch::new();
    let authority = Authority::new(&scratch, "remote");
    let mut dovecot = Dovecot::remote(&scratch, &authority);
    let (_vouch, mux) = serve(&scratch, dovecot.imap, &starttls(&authority), "tempfail = \"no\"");
    assert_says(&ask(&mux, KNOWN, "", RIGHT), "0: OK \"Success.\"\n");
    assert_says(&ask(&mux, FAILING_LOGIN, "", RIGHT), REFUSED);
    dovecot.stop();
    assert_says(&ask(&mux, KNOWN, "", RIGHT), REFUSED);
}

#[test]
fn postfix_checks_logins_by_cyrus_sasl() {
    if !available(&["postfix", "testsaslauthd"]) {
        return;
    }
    let scratch = Scratch::new();
    let authority = Authority::new(&scratch, "remote");
    let mut dovecot = Dovecot::remote(&scratch, &authority);
    let (vouch, mux) = serve(&scratch, dovecot.imap, &starttls(&authority), "");
    let front = Postfix::cyrus(&scratch, &mux);

    let session = || Dialog::tcp(front.smtp).hello("EHLO", None);
    for (name, password) in logins() {
        assert_starts(&session().auth_plain(&name, &password), "235 2.7.0");
        assert_starts(&session().auth_login(&name, &password), "235 2.7.0");
        let wrong = [&password, b"x".as_slice()].concat();
        assert_starts(&session().auth_plain(&name, &wrong), "535 5.7.8");
    }
    let mut dialog = session();
    assert_starts(&dialog.auth_login(KNOWN, b"wrong"), "535 5.7.8");
    assert_starts(&dialog.auth_plain(NOBODY, RIGHT), "535 5.7.8");
    assert_starts(&dialog.auth_plain(DISABLED, RIGHT), "535 5.7.8");
    assert_starts(&dialog.auth_plain(FAILING_LOGIN, RIGHT), LATER);
    // The same session goes on after a temporary failure.
    assert_starts(&dialog.auth_plain(KNOWN, RIGHT), "235 2.7.0");

    dovecot.stop();
    let mut dialog = session();
    assert_starts(&dialog.auth_plain(KNOWN, RIGHT), LATER);
    assert_starts(&dialog.auth_login(KNOWN, b"never tried before"), LATER);
    vouch.stop();
    assert_starts(&session().auth_plain(KNOWN, RIGHT), LATER);
}

/// What Postfix 3.7 makes of a question to saslauthd that had no answer.
const LATER: &str = "454 4.7.0";

#[test]
fn exims_condition_asks_vouch() {
    if !available(&["exim4"]) {
        return;
    }
    let scratch = Scratch::new();
    let authority = Authority::new(&scratch, "remote");
    let dovecot = Dovecot::remote(&scratch, &authority);
    let (vouch, mux) = serve(&scratch, dovecot.imap, &starttls(&authority), "");
    let front = Exim::saslauthd(&scratch, &authority, &mux);

    let session = || front.session(&authority);
    assert_checks_passwords(session);
    let mut dialog = session();
    assert_starts(&dialog.auth_login(KNOWN, b"wrong"), "535 ");
    assert_starts(&dialog.auth_plain(NOBODY, RIGHT), "535 ");
    assert_starts(&session().auth_plain(DISABLED, RIGHT), "535 ");
    assert_starts(&session().auth_plain(KNOWN, b"inj\"\r\nX LOGOUT"), "535 ");
    assert_starts(&dialog.auth_plain(FAILING_LOGIN, RIGHT), "435 ");
    assert_starts(&dialog.auth_plain(KNOWN, RIGHT), "235 ");

    assert_later_without(session, dovecot, vouch);
}

/// A password with a line end in it is a second command to an IMAP server that the original asks, and a wrong password here.
#[test]
fn a_password_with_a_line_end_injects_a_command_through_the_original_alone() {
    if !runnable(&["testsaslauthd", "saslauthd"]) {
        return;
    }
    let password = b"inj\"\r\nX LOGOUT";
    let (port, heard) = imap_server();
    let original = Scratch::new();
    let _saslauthd = saslauthd(&original, port);
    let answer = ask(&original.path("mux"), KNOWN, "", password);
    // The answer to the first line may be there before the second is read.
    wait_until("the line behind the password", Duration::from_secs(10), || {
        heard
            .lock()
            .unwrap()
            .iter()
            .any(|line| line.starts_with("X LOGOUT"))
    });
    let lines = take(&heard);
    println!("saslauthd -a rimap: {answer:?}, and the server heard {lines:?}");
    assert!(lines.iter().any(|line| line.contains(" LOGIN ")), "{lines:?}");

    let scratch = Scratch::new();
    let (_vouch, mux) = serve(&scratch, port, "starttls = \"never\"", "");
    assert_says(&ask(&mux, KNOWN, "", password), REFUSED);
    // What would have been said for it came before what is said for this.
    assert_says(&ask(&mux, KNOWN, "", b"wrong"), REFUSED);
    let lines = take(&heard);
    println!("vouch: refused, and for the next password the server heard {lines:?}");
    let [only] = &lines[..] else { panic!("{lines:?}") };
    assert!(only.contains(&plain(KNOWN, b"wrong")), "{only}");
}

const REFUSED: &str = "0: NO \"authentication failed\"\n";

/// What `testsaslauthd` prints.
fn ask(mux: &Path, user: &str, realm: &str, password: &[u8]) -> String {
    let output = Command::new(program("testsaslauthd").unwrap())
        .arg("-f")
        .arg(mux)
        .args(["-s", "smtp", "-u", user, "-r", realm, "-p"])
        .arg(OsStr::from_bytes(password))
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    String::from_utf8_lossy(&said).into_owned()
}

#[track_caller]
fn assert_says(said: &str, expected: &str) {
    assert_eq!(said, expected);
}

/// It says that it heard nothing, and neither OK nor NO.
#[track_caller]
fn assert_no_answer(said: &str) {
    assert!(!said.contains("OK") && !said.contains("NO"), "{said}");
    assert!(said.contains("failed"), "{said}");
}

/// The original, in front of an IMAP server.
fn saslauthd(scratch: &Scratch, port: u16) -> Process {
    let folder = scratch.path("");
    let mut command = Command::new(program("saslauthd").unwrap());
    // In the foreground; with a single process.
    command.args([
        "-d",
        "-a",
        "rimap",
        "-n",
        "1",
        "-O",
        &format!("127.0.0.1/{port}"),
        "-m",
    ]);
    command.arg(folder.as_os_str().to_str().unwrap().trim_end_matches('/'));
    let mut process = Process::start(scratch, "saslauthd", &mut command);
    process.wait_for_socket(&scratch.path("mux"));
    process
}

type Heard = Arc<Mutex<Vec<String>>>;

fn take(heard: &Heard) -> Vec<String> {
    std::mem::take(&mut heard.lock().unwrap())
}

/// An IMAP server that accepts nobody, and keeps every line that it hears.
fn imap_server() -> (u16, Heard) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let (port, heard) = (listener.local_addr().unwrap().port(), Heard::default());
    let ours = heard.clone();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (stream, heard) = (stream.unwrap(), ours.clone());
            thread::spawn(move || refuse(&stream, &heard));
        }
    });
    (port, heard)
}

fn refuse(mut stream: &TcpStream, heard: &Heard) -> Option<()> {
    stream
        .write_all(b"* OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=PLAIN] ready\r\n")
        .ok()?;
    let mut lines = BufReader::new(stream.try_clone().ok()?).split(b'\n');
    while let Some(Ok(line)) = lines.next() {
        let line = String::from_utf8_lossy(&line).trim_end().to_owned();
        heard.lock().unwrap().push(line.clone());
        let tag = line.split(' ').next()?.to_owned();
        let (answer, ends) = if line.contains(" LOGOUT") {
            (format!("* BYE\r\n{tag} OK bye\r\n"), true)
        } else {
            (format!("{tag} NO [AUTHENTICATIONFAILED] no\r\n"), false)
        };
        stream.write_all(answer.as_bytes()).ok()?;
        if ends {
            return Some(());
        }
    }
    None
}
