//! Defects that the ancestor of this program had, each shown not to be here. The remote is as strict as servers in
//! the field: a second login on a session that is logged in, or one inside a mail transaction, is refused.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use remote::{End, Fault, Limits, Options, Protocol, Security, SessionLog};

use crate::asker::Answer::{self, Later, No, Yes};
use crate::scene::{JANE, NOBODY, PASSWORD, PATIENCE, Scene, Setup, options};

const QUICK: &str = "deadline = \"2s\"";

async fn scene(protocol: Protocol) -> Scene {
    // A question that was sent is heard out for so long, whoever waits.
    let setup = Setup::new(options(protocol)).directory("timeout = \"2s\"");
    setup.listeners(QUICK).start().await
}

async fn assert_logins(scene: &Scene, expected: &[Answer]) {
    for (number, answer) in expected.iter().enumerate() {
        let password = if *answer == No { "wrong" } else { PASSWORD };
        assert_eq!(scene.login(JANE, password).await, *answer, "login {number}");
    }
}

async fn assert_one_login_a_session(scene: &Scene) {
    assert_logins(scene, &[Yes, Yes, No, Yes, No, No, Yes, Yes]).await;
    let violations = scene.remote.violations();
    assert!(violations.is_empty(), "{violations:?}");
    for session in scene.remote.sessions() {
        assert!(session.auth_ok <= 1, "{session:?}");
    }
}

/// The sessions in which a transaction was tried.
fn asked(scene: &Scene) -> Vec<SessionLog> {
    let mut sessions = scene.remote.sessions();
    sessions.retain(|session| session.commands.iter().any(|line| line.starts_with("MAIL")));
    sessions
}

/// A session that is logged in answers BAD to the next user, and no such BAD is a wrong password.
#[tokio::test(flavor = "multi_thread")]
async fn s1_an_imap_session_is_left_after_a_login() {
    let scene = scene(Protocol::Imap).await;
    assert_one_login_a_session(&scene).await;
    scene.sessions_end_after_idle().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn s1_bad_is_no_wrong_password() {
    let scene = scene(Protocol::Imap).await;
    let bad = "{tag} BAD Already authenticated";
    scene.remote.set_fault(Fault::reply_with("AUTHENTICATE", bad));
    assert_logins(&scene, &[Later, Later]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn s2_an_smtp_session_is_left_after_a_login() {
    assert_one_login_a_session(&scene(Protocol::Smtp).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn s3_logins_and_recipients_do_not_share_a_session() {
    let scene = scene(Protocol::Smtp).await;
    for _ in 0..3 {
        assert_eq!(scene.recipient(JANE).await, Yes);
        assert_eq!(scene.login(JANE, "wrong").await, No);
        assert_eq!(scene.recipient(NOBODY).await, No);
        assert_eq!(scene.login(JANE, PASSWORD).await, Yes);
    }
    assert!(scene.remote.violations().is_empty());
    for session in scene.remote.sessions() {
        let asked = |verb: &str| session.commands.iter().any(|line| line.starts_with(verb));
        assert!(!(asked("AUTH") && asked("RCPT")), "{:?}", session.commands);
    }
}

/// Exchange hangs up after five refused commands, Postfix slows down after ten.
#[tokio::test(flavor = "multi_thread")]
async fn s4_refused_questions_stay_below_the_error_limit_of_the_remote() {
    for protocol in [Protocol::Imap, Protocol::Smtp, Protocol::Lmtp] {
        let mut options = options(protocol);
        options.limits = Limits {
            errors: Some(6),
            failed_logins: Some(4),
            ..Limits::default()
        };
        let limits = "limits = { rcpt = 10, rcpt-errors = 5 }";
        let setup = Setup::new(options).directory(limits).listeners(QUICK);
        let scene = setup.start().await;
        for _ in 0..13 {
            if protocol != Protocol::Imap {
                assert_eq!(scene.recipient(NOBODY).await, No);
            }
            if protocol != Protocol::Lmtp {
                assert_eq!(scene.login(JANE, "wrong").await, No);
            }
        }
        for session in scene.remote.sessions() {
            assert_ne!(session.end, End::ServerClosed, "{session:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn s5_a_session_with_a_refused_sender_is_not_asked_again() {
    for protocol in [Protocol::Smtp, Protocol::Lmtp] {
        for reply in [
            "451 4.3.2 Not now", "421 4.3.2 Shutting down", "550 5.7.1 Sender rejected, no such user",
        ] {
            let scene = scene(protocol).await;
            scene.remote.set_fault_times(Fault::refuse_mail(reply), 1);
            assert_eq!(scene.recipient(NOBODY).await, Later, "{reply}");
            assert_eq!(scene.recipient(JANE).await, Yes, "after {reply}");
            assert_eq!(scene.recipient(NOBODY).await, No, "after {reply}");
            let sessions = asked(&scene);
            let [first, second] = &sessions[..] else {
                panic!("two sessions: {sessions:?}");
            };
            let mails = first.commands.iter().filter(|line| line.starts_with("MAIL"));
            // The recipient left in one write with the sender, and was not asked again there.
            assert!(first.rcpt <= 1, "{reply}");
            assert_eq!((mails.count(), second.rcpt), (1, 2), "{reply}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn s5_a_goodbye_in_place_of_an_answer_ends_the_session() {
    for (protocol, verb) in [(Protocol::Smtp, "RCPT"), (Protocol::Lmtp, "RCPT")] {
        let scene = scene(protocol).await;
        let goodbye = Fault::reply_with(verb, "421 4.3.2 Shutting down");
        scene.remote.set_fault_times(goodbye, 1);
        assert_eq!(scene.recipient(NOBODY).await, Later);
        assert_eq!(scene.recipient(JANE).await, Yes);
        assert_eq!(scene.recipient(NOBODY).await, No);
        let asked: Vec<u32> = asked(&scene).iter().map(|session| session.rcpt).collect();
        assert_eq!(asked, [1, 2]);
    }
}

/// Gmail sends its capabilities before the OK; others send alerts before the NO.
#[tokio::test(flavor = "multi_thread")]
async fn s6_lines_before_the_answer_are_not_the_answer() {
    let scene = scene(Protocol::Imap).await;
    for (reply, expected) in [
        ("* CAPABILITY IMAP4rev1 IDLE\r\n{tag} OK done", Yes),
        ("* OK [ALERT] Maintenance tonight\r\n{tag} OK done", Yes),
        (
            "* OK fine so far\r\n* 3 EXISTS\r\n{tag} NO [AUTHENTICATIONFAILED] no",
            No,
        ),
        (
            "* NO [ALERT] disk nearly full\r\n{tag} NO [AUTHENTICATIONFAILED] no",
            No,
        ),
        (
            "* NO [AUTHENTICATIONFAILED] of somebody else\r\n{tag} OK done",
            Yes,
        ),
        ("* BAD strange\r\n* BYE going", Later),
        (
            "* BAD strange\r\n* BYE going\r\n{tag} NO [AUTHENTICATIONFAILED] no",
            No,
        ),
    ] {
        scene.remote.set_fault(Fault::reply_with("AUTHENTICATE", reply));
        assert_eq!(scene.login(JANE, PASSWORD).await, expected, "{reply}");
    }
}

/// Lists that do not end in `AUTH=`: Microsoft's order, Dovecot's with more behind it, and one without a way in.
#[tokio::test(flavor = "multi_thread")]
async fn s7_capabilities_are_read_in_any_order() {
    let microsoft: &[&str] = &[
        "IMAP4", "IMAP4rev1", "AUTH=PLAIN", "AUTH=XOAUTH2", "SASL-IR", "UIDPLUS", "MOVE", "ID", "UNSELECT",
        "CHILDREN", "IDLE", "NAMESPACE", "LITERAL+",
    ];
    let no_way_in: &[&str] = &["IMAP4rev1", "STARTTLS", "LOGINDISABLED"];
    for (capabilities, expected) in [
        (microsoft, Yes),
        (&["IMAP4rev1", "AUTH=PLAIN", "IDLE"], Yes),
        (&["AUTH=PLAIN", "IMAP4rev1"], Yes),
        (&["IMAP4rev1", "auth=plain", "sasl-ir", "X-GM-EXT-1"], Yes),
        (&["IMAP4rev1", "AUTH=PLAIN"], Yes),
        (no_way_in, Later),
    ] {
        for codes in [true, false] {
            let mut options = options(Protocol::Imap).offering(capabilities);
            options.capability_codes = codes;
            let keys = "tls.starttls = \"never\"";
            let scene = Setup::new(options).directory(keys).listeners(QUICK).start().await;
            assert_logins(&scene, &[expected, expected]).await;
            assert!(scene.remote.violations().is_empty(), "{capabilities:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn s8_mechanisms_are_learnt_anew_in_each_session() {
    let imap = |list: &str| {
        let text = format!("* CAPABILITY IMAP4rev1 {list}\r\n{{tag}} OK done");
        Fault::reply_with("CAPABILITY", &text)
    };
    let smtp = |line: &str| Fault::reply_with("EHLO", &format!("250-mx.remote.test\r\n250 {line}"));
    for (protocol, none, only_login) in [
        (Protocol::Imap, imap("LOGINDISABLED"), imap("AUTH=LOGIN")),
        (Protocol::Smtp, smtp("PIPELINING"), smtp("AUTH LOGIN")),
    ] {
        let mut options = options(protocol);
        options.capability_codes = false;
        let scene = Setup::new(options)
            .directory("pool.idle-timeout = \"200ms\"")
            .listeners(QUICK)
            .start()
            .await;
        scene.remote.set_fault(none);
        assert_logins(&scene, &[Later, Later]).await;
        scene.remote.set_fault(Fault::None);
        assert_logins(&scene, &[Yes, No]).await;
        scene.sessions_end().await;
        scene.remote.set_fault(only_login);
        assert_logins(&scene, &[Yes, Yes]).await;
        scene.remote.set_fault(Fault::None);
        assert_logins(&scene, &[Yes, No]).await;
    }
}

/// A server may explain a refusal in one more challenge (RFC 7628 §3.2.2). It is told `*`, and the password once.
#[tokio::test(flavor = "multi_thread")]
async fn s9_a_challenge_after_the_last_message_is_cancelled() {
    let explained = STANDARD.encode("{\"status\":\"400\"}");
    for (protocol, verb, prompt) in [
        (Protocol::Imap, "AUTHENTICATE", "+"),
        (Protocol::Smtp, "AUTH", "334"),
    ] {
        let scene = scene(protocol).await;
        let challenge = Fault::reply_with(verb, &format!("{prompt} {explained}"));
        scene.remote.set_fault(challenge);
        assert_eq!(scene.login(JANE, PASSWORD).await, Later, "{protocol:?}");
        let secret = STANDARD.encode(format!("\0{JANE}\0{PASSWORD}"));
        let [session] = &scene.remote.sessions()[..] else {
            panic!("one session: {:?}", scene.remote.sessions());
        };
        let told = session.commands.iter().filter(|line| line.contains(&secret));
        assert_eq!(told.count(), 1, "{:?}", session.commands);
        assert!(
            session.commands.iter().any(|line| line == "*"),
            "{:?}",
            session.commands
        );
        assert_eq!(
            session.commands.iter().filter(|line| line.contains(verb)).count(),
            1
        );
        scene.remote.set_fault(Fault::None);
        assert_eq!(scene.login(JANE, PASSWORD).await, Yes);
    }
}

/// STARTTLS with LOGINDISABLED behind it in one list, the way in open after TLS: the ancestor spun for ever here.
#[tokio::test(flavor = "multi_thread")]
async fn s7_logins_disabled_until_tls() {
    let authority = remote::Authority::new().unwrap();
    let options = Options {
        security: Security::StartTls(authority.issue(&["localhost"]).unwrap()),
        cleartext_login: false,
        ..options(Protocol::Imap)
    };
    let folder = tempfile::tempdir().unwrap();
    let ca = folder.path().join("ca.pem");
    authority.write_pem(&ca).unwrap();
    let keys = format!("tls.ca-file = \"{}\"", ca.display());
    let scene = Setup::new(options)
        .address("localhost")
        .directory(&keys)
        .listeners(QUICK)
        .start()
        .await;
    assert_logins(&scene, &[Yes, No, Yes]).await;
    assert!(scene.remote.sessions().iter().all(|session| session.tls));
}

impl Scene {
    /// A session that is left is left with LOGOUT, so that the remote need not wait for it.
    async fn sessions_end_after_idle(&self) {
        let left = |server: &remote::Server| {
            let sessions = server.sessions();
            let mut spent = sessions.iter().filter(|session| session.auth_ok == 1);
            spent.all(|session| session.end == End::Goodbye)
        };
        assert!(
            self.remote
                .wait_until(PATIENCE.min(Duration::from_secs(5)), left)
                .await
        );
    }
}
