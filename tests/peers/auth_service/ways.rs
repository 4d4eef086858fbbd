//! Logins, users and mail, both ways.

use std::path::Path;
use std::process::Output;

use super::{Front, LoginProcess, Way, doveadm, pop3_login};
use crate::available;
use crate::dialog::{Dialog, assert_starts, plain};
use crate::dovecot::Dovecot;
use crate::people::{
    DISABLED, FAILING_LOGIN, FAILING_MAILBOX, KNOWN, MAILBOXES, NOBODY, RIGHT, STRANGERS, logins,
};
use crate::postfix::Postfix;
use crate::support::{Authority, Scratch};

/// What the mail servers beside `vouch` must have.
const PROGRAMS: [&str; 6] = [
    "postfix", "pop3-login", "submission-login", "managesieve-login", "imap", "dovecot-lda",
];

#[test]
fn dovecot_starts_vouch_and_asks_it() {
    if available(&PROGRAMS) {
        everything(Way::Service);
    }
}

#[test]
fn dovecot_asks_a_vouch_that_runs_by_itself() {
    if available(&PROGRAMS) {
        everything(Way::Standalone);
    }
}

fn everything(way: Way) {
    let scratch = Scratch::new();
    let authority = Authority::new(&scratch, "remote");
    let mut remote = Dovecot::remote(&scratch, &authority);
    let relay = Postfix::front(&scratch, None, None);
    let front = Front::start(&scratch, &authority, &remote, way, relay.smtp);

    passwords(&front);
    mail(&front);
    other_services(&front);
    if way == Way::Service {
        // The name of its listener is that of nothing else, so it is for clients such as Postfix.
        let mut client = Dialog::tcp(front.auth);
        assert_starts(&client.line(), "VERSION\t1\t");
        assert_eq!(client.line(), "MECH\tPLAIN\tplaintext");
    }
    cookies(&front);
    doveadm_answers_as_with_dovecots_own(&front, &remote);
    remote.stop();
    remote_down(&front);
    let log = front.log();
    for word in ["Panic", "Fatal", "protocol error", "is ignoring", "throttling"] {
        assert!(!log.contains(word), "{word} in {log}");
    }
    if way == Way::Service {
        assert!(
            log.contains("auth: Info: listener="),
            "verdicts go to Dovecot's log"
        );
    }
}

/// Good, bad and odd passwords by IMAP and POP3.
fn passwords(front: &Front) {
    for (name, password) in logins().iter().filter(|(name, _)| has_home(name)) {
        assert_starts(&front.imap().imap_login(name, password), "T OK");
        assert_starts(&pop3_login(front.pop3, name, password), "+OK");
        let wrong = [password, b"x".as_slice()].concat();
        assert_starts(
            &front.imap().imap_login(name, &wrong),
            "T NO [AUTHENTICATIONFAILED]",
        );
        assert_starts(&pop3_login(front.pop3, name, &wrong), "-ERR [AUTH]");
    }
    for (name, password) in logins().iter().filter(|(name, _)| !has_home(name)) {
        assert_starts(&front.imap().imap_login(name, password), "T NO [UNAVAILABLE]");
    }
    let mut dialog = front.imap();
    assert_starts(&dialog.imap_login(KNOWN, b""), "T NO [AUTHENTICATIONFAILED]");
    assert_starts(&dialog.imap_login(NOBODY, RIGHT), "T NO [AUTHENTICATIONFAILED]");
    assert_starts(&dialog.imap_login(DISABLED, RIGHT), "T NO [AUTHENTICATIONFAILED]");
    assert_starts(&dialog.imap_login(FAILING_LOGIN, RIGHT), "T NO [UNAVAILABLE]");
    // The same client goes on after all of these.
    assert_starts(&dialog.imap(&format!("LOGIN {KNOWN} right")), "T OK");
    assert_starts(&pop3_login(front.pop3, FAILING_LOGIN, RIGHT), "-ERR [SYS/TEMP]");
}

/// Whether a name has a home by the template in `contrib`: it wants a domain, and nothing that leads elsewhere.
fn has_home(name: &str) -> bool {
    name.contains('@') && !name.contains('/')
}

/// Delivery by LMTP into the home that the userdb listener names, and reading there by the one that the master listener names.
fn mail(front: &Front) {
    let mut dialog = Dialog::unix(&front.lmtp).hello("LHLO", None);
    assert_starts(&dialog.command("MAIL FROM:<sender@example.net>"), "250 ");
    for address in STRANGERS {
        assert_starts(&dialog.command(&format!("RCPT TO:<{address}>")), "550 5.1.1");
    }
    assert_starts(
        &dialog.command(&format!("RCPT TO:<{FAILING_MAILBOX}>")),
        "451 4.3.0",
    );
    let (homes, homeless): (Vec<&str>, Vec<&str>) = MAILBOXES.iter().partition(|address| has_home(address));
    for address in &homes {
        assert_starts(&dialog.command(&format!("RCPT TO:<{address}>")), "250 2.1.5");
    }
    for address in homeless {
        assert_starts(&dialog.command(&format!("RCPT TO:<{address}>")), "451 4.3.0");
    }
    assert_starts(&dialog.command("DATA"), "354 ");
    dialog.send(b"Subject: delivered\r\n\r\nThrough vouch.\r\n.\r\n");
    for address in homes {
        let reply = dialog.reply();
        assert!(reply.starts_with("250 2.0.0"), "{address}: {reply}");
    }

    let home = front.mail.join("example.org/known");
    assert!(home.join("Maildir").is_dir(), "mail is in {}", home.display());
    let mut dialog = front.imap();
    assert_starts(&dialog.imap_login(KNOWN, RIGHT), "T OK");
    dialog.send(b"S EXAMINE INBOX\r\n");
    let mut lines = std::iter::from_fn(|| Some(dialog.line())).take_while(|line| !line.starts_with("S "));
    let exists = lines.find(|line| line.ends_with(" EXISTS"));
    // Four of the names are this one mailbox's; Dovecot delivers once for each that is written in another way.
    let number = exists.and_then(|line| line.split(' ').nth(1)?.parse::<u32>().ok());
    assert!(number.is_some_and(|number| number >= 1), "{number:?} messages");
}

/// Submission and ManageSieve log in as well; Postfix asks at a socket of Dovecot's.
fn other_services(front: &Front) {
    let submission = || Dialog::tcp(front.submission).hello("EHLO", None);
    assert_starts(&submission().auth_plain(KNOWN, RIGHT), "235 ");
    assert_starts(&submission().auth_plain(KNOWN, b"wrong"), "535 5.7.8");
    assert_starts(&submission().auth_plain(FAILING_LOGIN, RIGHT), "454 4.7.0");

    let sieve = |password: &[u8]| {
        let mut dialog = Dialog::tcp(front.sieve);
        let mut greeting =
            std::iter::from_fn(|| Some(dialog.line())).skip_while(|line| line.starts_with('"'));
        assert_starts(&greeting.next().unwrap(), "OK");
        dialog.send(format!("AUTHENTICATE \"PLAIN\" \"{}\"\r\n", plain(KNOWN, password)).as_bytes());
        dialog.line()
    };
    assert_starts(&sieve(RIGHT), "OK");
    assert_starts(&sieve(b"wrong"), "NO");
}

/// A login that nobody else may pick up.
fn cookies(front: &Front) {
    let [login, master, userdb] = &front.sockets;
    let mut process = LoginProcess::connect(login, 77);
    process.log_in(5);
    let LoginProcess { cookie, spid, .. } = &process;

    let ask = |socket: &Path, id: u32, cpid: u32, cookie: &str| {
        let mut master = Dialog::unix(socket);
        assert_eq!(master.line(), "VERSION\t1\t1");
        assert_eq!(master.line(), format!("SPID\t{spid}"));
        master.send(format!("VERSION\t1\t1\nREQUEST\t9\t{cpid}\t{id}\t{cookie}\n").as_bytes());
        master.line()
    };
    let nobodys = "0".repeat(32);
    for (id, cpid, cookie) in [(5, 77, &nobodys), (6, 77, cookie), (5, 78, cookie)] {
        assert_eq!(ask(master, id, cpid, cookie), "FAIL\t9", "{id} {cpid} {cookie}");
    }
    // A userdb socket answers no REQUEST: it hangs up.
    assert_eq!(ask(userdb, 5, 77, cookie), "");
    let home = front.mail.join("example.org/known");
    let answer = ask(master, 5, 77, cookie);
    assert_starts(&answer, &format!("USER\t9\t{KNOWN}\t"));
    assert!(answer.contains(&format!("home={}", home.display())), "{answer}");
    assert_eq!(ask(master, 5, 77, cookie), "FAIL\t9", "once, and no second time");
}

/// The remote is a Dovecot with auth of its own, which knows the same people.
fn doveadm_answers_as_with_dovecots_own(front: &Front, remote: &Dovecot) {
    let said = |output: &Output| {
        let text = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
        // The remote has it for the sake of other tests.
        let text = String::from_utf8(text).unwrap();
        let lines = text.lines().filter(|line| !line.trim().starts_with("nodelay"));
        (
            output.status.code(),
            lines.map(|line| format!("{line}\n")).collect::<String>(),
        )
    };
    let login = front.sockets[0].to_str().unwrap();
    let theirs = remote.auth_socket.to_str().unwrap();
    for (name, password) in [(KNOWN, "right"), (KNOWN, "wrong"), (NOBODY, "right")] {
        let test = |socket| ["auth", "test", "-a", socket, name, password];
        let (ours, theirs) = (
            front.doveadm(&test(login)),
            doveadm(&remote.config, &test(theirs)),
        );
        assert_eq!(said(&ours), said(&theirs), "doveadm auth test {name} {password}");
    }
    for arguments in [
        &["auth", "lookup", KNOWN][..],
        &["auth", "lookup", NOBODY],
        &["user", NOBODY],
        &["user", "-f", "uid", KNOWN],
        &["user", "-f", "gid", KNOWN],
        &["user", "-f", "mail", KNOWN],
    ] {
        let (ours, theirs) = (front.doveadm(arguments), doveadm(&remote.config, arguments));
        assert_eq!(said(&ours), said(&theirs), "doveadm {}", arguments.join(" "));
    }
    let (status, home) = said(&front.doveadm(&["user", "-f", "home", KNOWN]));
    assert_eq!(
        (status, home.trim_end()),
        (Some(0), front.mail.join("example.org/known").to_str().unwrap())
    );
    let (status, text) = said(&front.doveadm(&["user", FAILING_MAILBOX]));
    assert_eq!(status, Some(75), "{text}");
    let (status, text) = said(&front.doveadm(&["auth", "test", "-a", login, FAILING_LOGIN, "right"]));
    assert!(
        status != Some(0) && text.contains("code=temp_fail"),
        "{status:?} {text}"
    );
}

/// No answer is never a no.
fn remote_down(front: &Front) {
    assert_starts(&front.imap().imap_login(KNOWN, RIGHT), "T NO [UNAVAILABLE]");
    assert_starts(&pop3_login(front.pop3, KNOWN, RIGHT), "-ERR [SYS/TEMP]");
    let mut dialog = Dialog::unix(&front.lmtp).hello("LHLO", None);
    assert_starts(&dialog.command("MAIL FROM:<sender@example.net>"), "250 ");
    assert_starts(&dialog.command("RCPT TO:<new@example.org>"), "451 4.3.0");
    // Remembered.
    assert_starts(&dialog.command(&format!("RCPT TO:<{KNOWN}>")), "250 2.1.5");
}
