//! However a remote fails when it has a whole password, it is not sent a second time: it may have been counted, and a
//! lock-out at three would be reached at two.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use remote::{End, Fault, Options, Protocol};

use crate::asker::Answer;
use crate::scene::{JANE, PASSWORD, Scene, Setup, options};

/// What a session was before it is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kept {
    /// It is opened for the question.
    Fresh,
    /// It was opened for nobody, and waits.
    Warm,
    /// It refused a password before.
    Reused,
}

/// Sixteen faults at the answer to a password, of which none is a yes.
fn faults(protocol: Protocol, verb: &str) -> [Fault; 16] {
    let say = |text: &str| Fault::reply_with(verb, text);
    let faults = match protocol {
        Protocol::Imap => vec![
            say("* BYE so long"),
            say("* BYE so long\r\n{tag} NO [AUTHENTICATIONFAILED] no"),
            say("* OK still here\r\n* BYE [UNAVAILABLE] down"),
            say("{tag} NO [UNAVAILABLE] down"),
            say("{tag} NO [PRIVACYREQUIRED] TLS first"),
            say("{tag} BAD what"),
            say("{tag} NO"),
            say("x1 NO [AUTHENTICATIONFAILED] no"),
            say("+ more"),
        ],
        Protocol::Smtp | Protocol::Lmtp => vec![
            say("421 4.7.0 too many errors"),
            say("503 5.5.1 already authenticated"),
            say("500 5.5.1 what"),
            say("534 5.7.9 mechanism too weak"),
            say("435 unable at present"),
            say("454 4.7.0 later"),
            say("504 5.5.4 mechanism"),
            say("334 bW9yZQ=="),
        ],
    };
    let broken = [
        Fault::HangBeforeReply,
        Fault::CloseMidReply(0),
        Fault::CloseMidReply(5),
        Fault::Garbage,
        Fault::EndlessLine,
        Fault::EndlessReply,
        Fault::Bye,
    ];
    let broken = broken.into_iter().map(|fault| fault.at(verb));
    // From this one on, nothing of a password stands in one line with its command.
    let last = (protocol == Protocol::Smtp).then(|| say("500 5.5.6 line too long"));
    let all: Vec<Fault> = faults.into_iter().chain(broken).chain(last).collect();
    all.try_into().expect("sixteen")
}

fn one_mechanism(protocol: Protocol, mechanism: &str) -> Options {
    let offered = match protocol {
        Protocol::Imap => vec![
            "IMAP4rev1".to_owned(),
            "SASL-IR".to_owned(),
            "LOGINDISABLED".to_owned(),
            format!("AUTH={mechanism}"),
        ],
        Protocol::Smtp | Protocol::Lmtp => {
            vec!["ENHANCEDSTATUSCODES".to_owned(), format!("AUTH {mechanism}")]
        }
    };
    let offered: Vec<&str> = offered.iter().map(String::as_str).collect();
    options(protocol).offering(&offered)
}

/// How often the remote was sent this password.
fn attempts(scene: &Scene, password: &str) -> usize {
    let forms = [
        STANDARD.encode(password),
        STANDARD.encode(format!("\0{JANE}\0{password}")),
    ];
    let sessions = scene.remote.sessions();
    let commands = sessions.iter().flat_map(|session| &session.commands);
    commands
        .filter(|line| {
            let last = line.rsplit(' ').next().unwrap_or_default();
            forms.iter().any(|form| form == last)
        })
        .count()
}

/// Brings the pool into a state in which the next question meets such a session.
async fn prepare(scene: &Scene, kept: Kept, number: usize) {
    scene.remote.set_fault(Fault::None);
    match kept {
        Kept::Fresh => {
            scene.remote.hang_up(false);
            scene.sessions_end().await;
        }
        Kept::Reused => {
            scene.remote.hang_up(false);
            scene.sessions_end().await;
            // It is over for us as well.
            tokio::time::sleep(Duration::from_millis(20)).await;
            assert_eq!(scene.login(JANE, &format!("first-{number}")).await, Answer::No);
        }
        Kept::Warm => {
            let warm = |server: &remote::Server| {
                let is_asked = |line: &String| line.contains("AUTHENTICATE") || line.starts_with("AUTH ");
                let mut sessions = server.sessions().into_iter();
                sessions.any(|session| {
                    let commands = &session.commands;
                    session.end == End::Open && !commands.is_empty() && !commands.iter().any(is_asked)
                })
            };
            // Each spends a session that was kept; at last a warm one takes its place.
            let mut is_warm = false;
            while !is_warm {
                assert_eq!(scene.login(JANE, PASSWORD).await, Answer::Yes);
                is_warm = scene.remote.wait_until(Duration::from_millis(200), warm).await;
            }
            // Its opening ends with a reply of the remote, which is on its way.
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

async fn each_fault_costs_one_attempt(protocol: Protocol, mechanism: &str, kept: Kept) {
    let verb = match protocol {
        Protocol::Imap => "AUTHENTICATE",
        Protocol::Smtp | Protocol::Lmtp => "AUTH",
    };
    let mut options = one_mechanism(protocol, mechanism);
    // So that a session has said something when it is open, by which it is known to be.
    options.capability_codes = false;
    let warm = usize::from(kept == Kept::Warm);
    let scene = Setup::new(options)
        .directory(&format!("pool.warm-sessions = {warm}\nlimits.auth-errors = 10"))
        .listeners("deadline = \"1s\"\nlimits.auth-errors = \"unlimited\"")
        .start()
        .await;
    for (number, fault) in faults(protocol, verb).into_iter().enumerate() {
        prepare(&scene, kept, number).await;
        scene.remote.set_fault(fault.clone());
        let password = format!("{kept:?}-{number}");
        let answer = scene.login(JANE, &password).await;
        let what = format!("{protocol:?} {mechanism} {kept:?} {fault:?}");
        assert_ne!(answer, Answer::Yes, "{what}");
        assert_eq!(attempts(&scene, &password), 1, "{what}");
    }
}

async fn in_every_state(protocol: Protocol, mechanism: &str) {
    tokio::join!(
        each_fault_costs_one_attempt(protocol, mechanism, Kept::Fresh),
        each_fault_costs_one_attempt(protocol, mechanism, Kept::Warm),
        each_fault_costs_one_attempt(protocol, mechanism, Kept::Reused),
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_by_imap_plain_is_sent_once() {
    in_every_state(Protocol::Imap, "PLAIN").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_by_imap_login_is_sent_once() {
    in_every_state(Protocol::Imap, "LOGIN").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_by_smtp_plain_is_sent_once() {
    in_every_state(Protocol::Smtp, "PLAIN").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_by_smtp_login_is_sent_once() {
    in_every_state(Protocol::Smtp, "LOGIN").await;
}

/// The command that is to confirm an OK fails: the password was taken, and is not sent again to hear it twice.
#[tokio::test(flavor = "multi_thread")]
async fn a_confirmation_that_fails_sends_no_password_again() {
    let scene = Setup::new(options(Protocol::Imap))
        .directory("auth.confirm = true\npool.warm-sessions = 0\ntimeout = \"1s\"")
        .listeners("deadline = \"1s\"")
        .start()
        .await;
    for fault in [
        Fault::HangBeforeReply.at("LIST"),
        Fault::CloseMidReply(0).at("LIST"),
        Fault::Bye.at("LIST"),
        Fault::reply_with("LIST", "{tag} BAD User is authenticated but not connected."),
    ] {
        for password in [PASSWORD, "wrong"] {
            scene.remote.set_fault(Fault::None);
            assert_eq!(scene.login(JANE, "other").await, Answer::No);
            let before = attempts(&scene, password);
            scene.remote.set_fault(fault.clone());
            assert_ne!(scene.login(JANE, password).await, Answer::Yes, "{fault:?}");
            assert_eq!(attempts(&scene, password), before + 1, "{fault:?}");
        }
    }
}
