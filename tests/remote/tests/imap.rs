//! IMAP: what the server answers, what it refuses, what it remembers.

mod client;

use client::Client;
use remote::{Account, End, Options, Protocol, Server, State};

const PLAIN_GOOD: &str = "AGphbmVAZXhhbXBsZS5vcmcAczNjcmV0";

fn options() -> Options {
    let account = |name: &str, state| Account::new(name, "s3cret").state(state);
    let mut options = Options::new(Protocol::Imap)
        .account(Account::new("jane@example.org", "s3cret"))
        .account(Account::new("odd@example.org", "a\"b\\c"))
        .account(Account::new("utf@example.org", "pässwörd"))
        .account(Account::new("raw@example.org", b"\xff\x01 "))
        .account(account("off@example.org", State::Disabled))
        .account(account("old@example.org", State::Expired))
        .account(account("busy@example.org", State::TempFail))
        .account(account("gone@example.org", State::Moved))
        .account(account(
            "many@example.org",
            State::Says("NO [LIMIT] Too many connections".into()),
        ));
    options.capabilities_after_login = vec!["UNAUTHENTICATE".into()];
    options
}

#[tokio::test]
async fn logins_are_judged_by_state_and_password() {
    let server = Server::start(options()).unwrap();
    let mut client = Client::connect(&server).await;
    let greeting = client.line().await;
    assert!(
        greeting.starts_with("* OK [CAPABILITY IMAP4rev1 SASL-IR LITERAL+"),
        "{greeting}"
    );
    let table = [
        ("LOGIN jane@example.org wrong", "NO [AUTHENTICATIONFAILED]"),
        ("LOGIN nobody@example.org s3cret", "NO [AUTHENTICATIONFAILED]"),
        ("LOGIN off@example.org s3cret", "NO [CONTACTADMIN]"),
        ("LOGIN off@example.org wrong", "NO [AUTHENTICATIONFAILED]"),
        ("LOGIN old@example.org s3cret", "NO [EXPIRED]"),
        ("LOGIN busy@example.org wrong", "NO [UNAVAILABLE]"),
        ("LOGIN gone@example.org s3cret", "NO [REFERRAL imap://"),
        ("LOGIN many@example.org x", "NO [LIMIT]"),
        ("LOGIN \"odd@example.org\" \"a\\\"b\\\\c\"", "OK [CAPABILITY"),
        (
            "LOGIN {15+}\r\nutf@example.org {10+}\r\npässwörd", "OK [CAPABILITY",
        ),
        ("LOGIN jane@EXAMPLE.org \"s3cret\"", "OK [CAPABILITY"),
        (
            "AUTHENTICATE plain AGphbmVAZXhhbXBsZS5vcmcAczNjcmV0", "OK [CAPABILITY",
        ),
    ];
    for (command, wanted) in table {
        let reply = client.ask(&format!("a1 {command}")).await;
        assert!(reply.starts_with(&format!("a1 {wanted}")), "{command}: {reply}");
        if wanted.starts_with("OK") {
            assert!(reply.contains(" UNAUTHENTICATE]"), "{reply}");
            assert_eq!(client.ask("a2 UNAUTHENTICATE").await, "a2 OK As new");
        }
    }
    let log = server.sessions().remove(0);
    assert_eq!((log.auth_ok, log.auth_failed), (4, 8));
    assert_eq!(log.violations, [""; 0]);
    assert_eq!(server.count("LOGIN"), 11);
}

#[tokio::test]
async fn literals_wait_for_their_turn() {
    let server = Server::start(options().offering(&["IMAP4rev1", "AUTH=PLAIN", "LITERAL-"])).unwrap();
    let mut client = Client::greeted(&server).await;
    assert_eq!(client.ask("a LOGIN {15}").await, "+ go");
    assert_eq!(client.ask("raw@example.org {3}").await, "+ go");
    client.raw(b"\xff\x01 \r\n").await;
    assert!(client.line().await.starts_with("a OK"));
    let mut client = Client::greeted(&server).await;
    assert!(
        client
            .ask("a LOGIN jane@example.org {70000}")
            .await
            .starts_with("a NO [TOOBIG]")
    );
    assert!(
        client
            .ask("a LOGIN jane@example.org {5000+}")
            .await
            .starts_with("* BYE")
    );
    assert!(client.rest().await.is_empty());
}

#[tokio::test]
async fn what_is_out_of_place_is_refused() {
    let server = Server::start(options().offering(&["IMAP4rev1", "AUTH=PLAIN"])).unwrap();
    let mut client = Client::greeted(&server).await;
    assert_eq!(client.ask("+ NOOP").await, "* BAD Invalid tag");
    assert!(client.ask("b NONSENSE").await.starts_with("b BAD"));
    assert!(client.ask("b LIST \"\" \"\"").await.starts_with("b BAD"));
    assert!(client.ask("b ID NIL").await.starts_with("b BAD"));
    assert!(client.ask("b STARTTLS").await.starts_with("b BAD"));
    assert!(
        client
            .ask("b AUTHENTICATE LOGIN")
            .await
            .starts_with("b NO [CANNOT]")
    );
    assert!(
        client
            .ask(&format!("b AUTHENTICATE PLAIN {PLAIN_GOOD}"))
            .await
            .starts_with("b BAD SASL-IR")
    );
    assert!(
        client
            .ask("b LOGIN jane@example.org \"pä\"")
            .await
            .starts_with("b BAD")
    );
    assert!(client.ask("b LOGIN jane@example.org").await.starts_with("b BAD"));
    assert_eq!(client.ask("b AUTHENTICATE PLAIN").await, "+ ");
    assert_eq!(client.ask("*").await, "b BAD Authentication cancelled");
    assert_eq!(client.ask("b AUTHENTICATE PLAIN").await, "+ ");
    assert!(client.ask(PLAIN_GOOD).await.starts_with("b OK"));
    assert!(
        client
            .ask("b LOGIN jane@example.org s3cret")
            .await
            .starts_with("b BAD Already")
    );
    assert!(
        client
            .ask("b AUTHENTICATE PLAIN")
            .await
            .starts_with("b BAD Already")
    );
    assert!(client.ask("b LIST \"\" \"\"").await.ends_with("b OK Done"));
    assert!(client.ask("b NAMESPACE").await.ends_with("b OK Done"));
    client.send("b LOGOUT").await;
    assert_eq!(client.rest().await, b"* BYE Logging out\r\nb OK Logged out\r\n");
    assert_eq!(server.sessions()[0].end, End::Goodbye);
    assert_eq!(server.count("?"), 1);
}

#[tokio::test]
async fn without_codes_and_with_limits() {
    let mut terse = options();
    terse.capability_codes = false;
    terse.status_codes = false;
    terse.limits.errors = Some(3);
    let server = Server::start(terse).unwrap();
    let mut client = Client::connect(&server).await;
    assert_eq!(client.line().await, "* OK remote.test ready");
    assert!(
        client
            .ask("a CAPABILITY")
            .await
            .starts_with("* CAPABILITY IMAP4rev1 ")
    );
    assert_eq!(
        client.ask("a LOGIN old@example.org s3cret").await,
        "a NO Password expired"
    );
    client.ask("a X").await;
    client.ask("a X").await;
    assert_eq!(client.line().await, "* BYE Too many errors");
    assert!(client.rest().await.is_empty());
}
