//! No secret is ever printed: not at the level that shows whole dialogs, and not when the remote repeats it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use remote::{Fault, Options, Protocol};

use crate::asker::{Answer, Client, Login};
use crate::scene::{JANE, PASSWORD, Scene, Setup, options};

const WRONG: &str = "n0t-the-pass-of-jane";
const ODD: &str = "p\u{e4}ss \u{f6}f jane";

/// A remote that is asked twice on each session.
async fn traced(options: Options) -> Scene {
    Setup::new(options)
        .directory("limits.auth-errors = 2")
        .listeners("deadline = \"2s\"\nlimits.auth-errors = \"unlimited\"")
        .level("trace")
        .start()
        .await
}

/// Every form in which a password travels, and how far a remote may repeat it. The password stands differently in the
/// base64 of PLAIN behind names of different lengths.
fn forms(user: &str, password: &str) -> [String; 4] {
    let plain = STANDARD.encode(format!("\0{user}\0{password}"));
    let cut = plain[..plain.len() - 6].to_owned();
    [password.to_owned(), STANDARD.encode(password), plain, cut]
}

async fn assert_silent(scene: &Scene, user: &str, when: &str) {
    // The dialog is shown.
    scene.logged(" C: ").await;
    let log = scene.log();
    for password in [PASSWORD, WRONG, ODD] {
        let [password, alone, plain, cut] = forms(user, password);
        // Behind the name; a character of base64 is less than a byte.
        let behind = |form: &str| form[plain.len() - password.len()..].to_owned();
        for secret in [behind(&plain), behind(&cut), password, alone, plain] {
            assert!(!log.contains(&secret), "{secret} is in the log, {when}:\n{log}");
        }
    }
}

/// Asks with both mechanisms of the listener.
async fn ask(scene: &Scene, user: &str, password: &str) -> [Answer; 2] {
    let login = Login::of(user, password);
    let at_once = scene.auth().await.login(&login).await;
    let mut client = scene.auth().await;
    client.send("AUTH\t1\tLOGIN\tservice=imap\n").await.unwrap();
    for part in [user, password] {
        assert!(client.line().await.unwrap().starts_with("CONT\t1\t"));
        let part = STANDARD.encode(part);
        client.send(format!("CONT\t1\t{part}\n")).await.unwrap();
    }
    [at_once, login.answer(1, client.line().await.as_deref())]
}

fn remotes() -> Vec<Options> {
    let imap = || options(Protocol::Imap);
    let smtp = || options(Protocol::Smtp);
    vec![
        imap(),
        imap().offering(&["IMAP4rev1", "AUTH=PLAIN"]),
        imap().offering(&["IMAP4rev1", "LITERAL+"]),
        imap().offering(&["IMAP4rev1"]),
        imap().offering(&["IMAP4rev1", "LOGINDISABLED", "AUTH=LOGIN"]),
        smtp(),
        smtp().offering(&["AUTH LOGIN"]),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn no_mechanism_prints_a_password() {
    for options in remotes() {
        let what = format!("{:?}", options.capabilities);
        let scene = traced(options).await;
        // A literal or a challenge without its end must not be printed either.
        assert_eq!(ask(&scene, JANE, PASSWORD).await, [Answer::Yes; 2], "{what}");
        assert_eq!(ask(&scene, JANE, WRONG).await, [Answer::No; 2], "{what}");
        assert_eq!(ask(&scene, JANE, ODD).await, [Answer::No; 2], "{what}");
        assert_silent(&scene, JANE, &what).await;
    }
}

/// Servers quote what they did not understand, in whatever form it came.
#[tokio::test(flavor = "multi_thread")]
async fn a_password_that_the_remote_repeats_is_not_printed() {
    for (protocol, verb, replies) in [
        (
            Protocol::Imap,
            "AUTHENTICATE",
            [
                "{tag} BAD unknown: {}", "{tag} NO refused: {}", "* BYE on {}", "* OK {}\r\n{tag} NO {}",
            ],
        ),
        (
            Protocol::Smtp,
            "AUTH",
            [
                "500 5.5.1 unknown: {}", "535 5.7.8 refused: {}", "421 4.7.0 on {}", "454-{}\r\n454 4.7.0 {}",
            ],
        ),
    ] {
        let scene = traced(options(protocol)).await;
        for reply in replies {
            for user in ["jan@example.org", JANE, "janet@example.org"] {
                for form in forms(user, PASSWORD) {
                    let reply = reply.replace("{}", &form);
                    scene.remote.set_fault(Fault::reply_with(verb, &reply));
                    ask(&scene, user, PASSWORD).await;
                    assert_silent(&scene, user, &reply).await;
                }
            }
        }
    }
}

/// A remote may come back to what it was told: behind its answer, with its goodbye, or when it is asked about somebody else.
#[tokio::test(flavor = "multi_thread")]
async fn a_password_that_the_remote_repeats_later_is_not_printed() {
    for (protocol, ask, leave, later) in [
        (
            Protocol::Imap,
            "AUTHENTICATE",
            "LOGOUT",
            [
                "{tag} NO [AUTHENTICATIONFAILED] no\r\n* OK by the way: {}",
                "{tag} NO [AUTHENTICATIONFAILED] no\r\n* BYE after {}",
                "{tag} NO [AUTHENTICATIONFAILED] not better than {}",
            ],
        ),
        (
            Protocol::Smtp,
            "AUTH",
            "QUIT",
            [
                "535 5.7.8 no\r\n250 by the way: {}", "535 5.7.8 no\r\n421 after {}",
                "535 5.7.8 not better than {}",
            ],
        ),
    ] {
        let goodbye = if protocol == Protocol::Imap {
            "* BYE {}\r\n{tag} OK {}"
        } else {
            "221 2.0.0 {}"
        };
        for form in forms(JANE, WRONG) {
            for (verb, reply) in later
                .map(|reply| (ask, reply))
                .into_iter()
                .chain([(leave, goodbye)])
            {
                let scene = traced(options(protocol)).await;
                // The session that is told the first is asked about the second.
                assert_eq!(scene.login(JANE, WRONG).await, Answer::No);
                scene
                    .remote
                    .set_fault(Fault::reply_with(verb, &reply.replace("{}", &form)));
                assert_eq!(scene.login(JANE, "an0ther-w0rd").await, Answer::No, "{reply}");
                scene.logged("withheld: it repeats the password").await;
                scene.sessions_end().await;
                assert_silent(&scene, JANE, reply).await;
            }
        }
    }
}

/// What a client sends in the wrong place may hold a password too.
#[tokio::test(flavor = "multi_thread")]
async fn a_malformed_request_is_not_printed() {
    let scene = traced(options(Protocol::Imap)).await;
    assert_eq!(scene.login(JANE, PASSWORD).await, Answer::Yes);
    let plain = STANDARD.encode(format!("\0{JANE}\0{PASSWORD}"));
    let start = "VERSION\t1\t2\nCPID\t1\n";
    for bytes in [
        format!("AUTH\t1\tPLAIN\tservice=imap\tresp={plain}\n"),
        format!("{start}AUTH\t1\tPLAIN\tresp={plain}\n"),
        format!("{start}AUTH\t1\t{PASSWORD}\tservice=imap\tresp={plain}\n"),
        format!("{start}AUTH\t1\tPLAIN\tservice=imap\tresp={plain}!\n"),
        format!("{start}{PASSWORD}\t{plain}\n"),
        format!("{start}CONT\t9\t{plain}\nCONT\tx\t{plain}\n"),
        format!("{start}AUTH\t1\tPLAIN\tservice=imap\tresp={plain}"),
    ] {
        let mut client = Client::connect(&scene.auth_socket()).await;
        client.send(&bytes).await.unwrap();
        client.half_close().await;
        let said = client.rest().await;
        assert!(!said.contains(PASSWORD) && !said.contains(&plain), "{said}");
        assert_silent(&scene, JANE, &bytes).await;
    }
}
