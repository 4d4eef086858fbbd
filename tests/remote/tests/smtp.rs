//! SMTP and LMTP: what the server answers, what it refuses, what it remembers.

mod client;

use client::{Client, PATIENCE};
use remote::{Account, End, Listen, Options, Protocol, Server, State};

const PLAIN_GOOD: &str = "AGphbmVAZXhhbXBsZS5vcmcAczNjcmV0";
const PLAIN_BAD: &str = "AGphbmVAZXhhbXBsZS5vcmcAd3Jvbmc=";

fn options(protocol: Protocol) -> Options {
    let account = |name: &str, state| Account::new(name, "s3cret").state(state);
    Options::new(protocol)
        .account(Account::new("jane@example.org", "s3cret"))
        .account(account("off@example.org", State::Disabled))
        .account(account("busy@example.org", State::TempFail))
        .account(account("full@example.org", State::Full))
        .account(account("grey@example.org", State::Greylisted))
        .account(account("gone@example.org", State::Moved))
        .account(account("not@example.org", State::Policy))
        .account(account(
            "odd@example.org",
            State::Says("550-One\r\n550 5.1.1 Two".into()),
        ))
        .account(account("a b@example.org", State::Active))
        .account(account("jürgen@example.org", State::Active))
}

async fn open(server: &Server) -> Client {
    let mut client = Client::greeted(server).await;
    client.ask("EHLO test.example").await;
    client
}

#[tokio::test]
async fn recipients_are_judged_by_their_state() {
    let server = Server::start(options(Protocol::Lmtp)).unwrap();
    let mut client = Client::greeted(&server).await;
    assert!(client.ask("EHLO test").await.starts_with("500"));
    let offered = client.ask("LHLO test").await;
    assert!(
        offered.starts_with("250-mx.remote.test\n250-PIPELINING\n"),
        "{offered}"
    );
    assert!(offered.ends_with("\n250 IGNOREQUOTA"), "{offered}");
    assert!(client.ask("MAIL FROM:<> SMTPUTF8").await.starts_with("250"));
    let table = [
        ("<jane@example.org>", "250 2.1.5"),
        ("<JANE+lists@EXAMPLE.org>", "250 2.1.5"),
        ("<\"jane\"@example.org>", "250 2.1.5"),
        ("<\"a b\"@example.org>", "250 2.1.5"),
        ("<\"a\\ b\"@example.org>", "250 2.1.5"),
        ("<\"a>b\\\"\"@example.org>", "550 5.1.1"),
        ("<jürgen@example.org>", "250 2.1.5"),
        ("<nosuch@example.org>", "550 5.1.1"),
        ("<jane@elsewhere.example>", "554 5.7.1"),
        ("<off@example.org>", "550 5.2.1"),
        ("<busy@example.org>", "451 4.3.0"),
        ("<full@example.org>", "452 4.2.2"),
        ("<full@example.org> IGNOREQUOTA", "250 2.1.5"),
        ("<grey@example.org>", "451 4.7.1"),
        ("<grey@example.org>", "250 2.1.5"),
        ("<gone@example.org>", "551 5.1.6"),
        ("<not@example.org>", "550 5.7.1"),
        ("<odd@example.org>", "550-One\n550 5.1.1 Two"),
        ("<a b@example.org>", "501 5.1.3"),
        ("<jane>", "501 5.1.3"),
        ("<@a.example:jane@example.org>", "501 5.1.3"),
        ("jane@example.org", "501 5.5.4"),
        ("<jane@example.org> SIZE=1", "555 5.5.4"),
    ];
    for (address, wanted) in table {
        let reply = client.ask(&format!("RCPT TO:{address}")).await;
        assert!(reply.starts_with(wanted), "{address}: {reply}");
    }
    client.ask("QUIT").await;
    assert!(client.rest().await.is_empty());
    let log = server.sessions().remove(0);
    assert_eq!((log.rcpt, log.rcpt_refused), (23, 15));
    assert_eq!(log.recipients[0], ("jane@example.org".to_owned(), 250));
    assert_eq!(log.end, End::Goodbye);
    assert_eq!(server.count("RCPT"), 23);
    assert_eq!(server.recipients().len(), 23);
}

#[tokio::test]
async fn the_order_of_commands_is_held() {
    let server = Server::start(options(Protocol::Smtp)).unwrap();
    let mut client = Client::greeted(&server).await;
    assert!(client.ask("MAIL FROM:<>").await.starts_with("503"));
    assert!(client.ask("AUTH PLAIN =").await.starts_with("503"));
    assert!(client.ask("LHLO test").await.starts_with("500"));
    assert!(client.ask("EHLO").await.starts_with("501"));
    client.ask("EHLO test").await;
    assert!(client.ask("RCPT TO:<jane@example.org>").await.starts_with("503"));
    assert!(client.ask("STARTTLS").await.starts_with("502"));
    assert!(client.ask("MAIL FROM: <>").await.starts_with("501"));
    assert!(client.ask("MAIL FROM:<>").await.starts_with("250"));
    assert!(client.ask("MAIL FROM:<>").await.starts_with("503"));
    assert!(
        client
            .ask(&format!("AUTH PLAIN {PLAIN_GOOD}"))
            .await
            .starts_with("503")
    );
    assert!(
        client
            .ask("RCPT TO:<jürgen@example.org>")
            .await
            .starts_with("553 5.6.7")
    );
    assert!(client.ask("RSET").await.starts_with("250"));
    assert!(
        client
            .ask(&format!("AUTH PLAIN {PLAIN_GOOD}"))
            .await
            .starts_with("235")
    );
    assert!(
        client
            .ask(&format!("AUTH PLAIN {PLAIN_GOOD}"))
            .await
            .starts_with("503")
    );
    assert!(client.ask("DATA").await.starts_with("502"));
    assert!(client.ask("HELO x").await.starts_with("502"));
    let long = format!("AUTH PLAIN {}", "A".repeat(520));
    assert!(client.ask(&long).await.starts_with("500 5.5.6"));
    drop(client);
    assert!(
        server
            .wait_until(PATIENCE, |server| server.sessions()[0].end == End::ClientClosed)
            .await
    );
    assert!(server.sessions()[0].violations.len() > 8);
    assert_eq!(
        (server.sessions()[0].auth_ok, server.sessions()[0].auth_failed),
        (1, 0)
    );
}

#[tokio::test]
async fn logins_by_both_mechanisms() {
    let server = Server::start(options(Protocol::Smtp)).unwrap();
    let mut client = open(&server).await;
    assert!(
        client
            .ask(&format!("AUTH PLAIN {PLAIN_BAD}"))
            .await
            .starts_with("535 5.7.8")
    );
    assert_eq!(client.ask("AUTH LOGIN").await, "334 VXNlcm5hbWU6");
    assert_eq!(client.ask("amFuZUBleGFtcGxlLm9yZw==").await, "334 UGFzc3dvcmQ6");
    assert!(client.ask("d3Jvbmc=").await.starts_with("535"));
    assert_eq!(client.ask("AUTH PLAIN").await, "334 ");
    assert!(client.ask("*").await.starts_with("501 5.7.0"));
    assert!(client.ask("AUTH PLAIN !!!").await.starts_with("501 5.5.2"));
    assert!(client.ask("AUTH CRAM-MD5").await.starts_with("504"));
    // Somebody else's name beside jane's password.
    assert!(
        client
            .ask("AUTH PLAIN Ym9zcwBqYW5lQGV4YW1wbGUub3JnAHMzY3JldA==")
            .await
            .starts_with("535")
    );
    assert_eq!(client.ask("AUTH PLAIN").await, "334 ");
    assert!(client.ask(PLAIN_GOOD).await.starts_with("235"));
    let log = server.sessions().remove(0);
    assert_eq!((log.auth_ok, log.auth_failed), (1, 2));
    assert!(log.commands.contains(&PLAIN_GOOD.to_owned()));
}

#[tokio::test]
async fn groups_are_answered_in_order_and_measured() {
    let server = Server::start(options(Protocol::Smtp)).unwrap();
    let mut client = open(&server).await;
    let group = "MAIL FROM:<>\r\nRCPT TO:<jane@example.org>\r\nRCPT TO:<x@example.org>\r\n";
    client.raw(group).await;
    assert!(client.line().await.starts_with("250 2.1.0"));
    assert!(client.line().await.starts_with("250 2.1.5"));
    assert!(client.line().await.starts_with("550"));
    let log = server.sessions().remove(0);
    assert_eq!((log.largest_group, log.violations.len()), (3, 0));

    // Never behind EHLO, AUTH or STARTTLS.
    client.raw("RSET\r\nAUTH PLAIN =\r\nNOOP\r\n").await;
    assert!(client.line().await.starts_with("250"));
    assert!(client.line().await.starts_with("421"));
    assert!(client.rest().await.is_empty());
    assert_eq!(server.violations(), ["improper pipelining"]);

    let server = Server::start(options(Protocol::Smtp).offering(&[])).unwrap();
    let mut client = open(&server).await;
    client.raw("MAIL FROM:<>\r\nNOOP\r\n").await;
    assert!(client.line().await.starts_with("421"));
}

#[tokio::test]
async fn limits_end_a_session() {
    let mut limited = options(Protocol::Smtp);
    limited.limits.errors = Some(2);
    limited.limits.recipients = Some(3);
    limited.limits.sessions = Some(1);
    let server = Server::start(limited).unwrap();
    let mut client = open(&server).await;
    assert!(Client::connect(&server).await.line().await.starts_with("421"));
    client.ask("MAIL FROM:<>").await;
    assert!(client.ask("RCPT TO:<x@example.org>").await.starts_with("550"));
    assert!(client.ask("RCPT TO:<jane@example.org>").await.starts_with("250"));
    assert!(client.ask("RCPT TO:<jane@example.org>").await.starts_with("250"));
    assert!(
        client
            .ask("RCPT TO:<jane@example.org>")
            .await
            .starts_with("452 4.5.3")
    );
    assert!(client.line().await.starts_with("421 4.7.0 Too many errors"));
    assert!(client.rest().await.is_empty());
    assert_eq!(server.sessions()[0].end, End::ServerClosed);

    let mut limited = options(Protocol::Smtp);
    limited.limits.failed_logins = Some(2);
    limited.limits.transactions = Some(1);
    let server = Server::start(limited).unwrap();
    let mut client = open(&server).await;
    client.ask(&format!("AUTH PLAIN {PLAIN_BAD}")).await;
    assert!(
        client
            .ask(&format!("AUTH PLAIN {PLAIN_BAD}"))
            .await
            .starts_with("535")
    );
    assert!(client.line().await.starts_with("421"));
    let mut client = open(&server).await;
    client.ask("MAIL FROM:<>").await;
    client.ask("RSET").await;
    assert!(client.ask("MAIL FROM:<>").await.starts_with("421"));
}

#[tokio::test]
async fn lmtp_over_a_unix_socket_that_stops_and_starts() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lmtp");
    let mut unix = options(Protocol::Lmtp);
    unix.listen = Listen::Unix(path.clone());
    unix.status_codes = false;
    let server = Server::start(unix).unwrap();
    let mut client = Client::greeted(&server).await;
    client.ask("LHLO test").await;
    client.ask("MAIL FROM:<>").await;
    assert_eq!(
        client.ask("RCPT TO:<x@example.org>").await,
        "550 No such user here"
    );
    assert_eq!(client.ask("RCPT TO:<odd@example.org>").await, "550-One\n550 Two");
    server.stop().await;
    assert!(client.rest().await.is_empty());
    assert!(tokio::net::UnixStream::connect(&path).await.is_err());
    server.start_again().unwrap();
    Client::greeted(&server).await;
    drop(server);
    assert!(!path.exists());
}

#[tokio::test]
async fn xclient_begins_the_session_anew() {
    let server =
        Server::start(options(Protocol::Smtp).offering(&["XCLIENT ADDR PORT", "AUTH PLAIN"])).unwrap();
    let mut client = open(&server).await;
    assert!(
        client
            .ask("XCLIENT ADDR=192.0.2.7 PORT=50123")
            .await
            .starts_with("220")
    );
    assert!(
        client
            .ask(&format!("AUTH PLAIN {PLAIN_GOOD}"))
            .await
            .starts_with("503")
    );
    client.ask("EHLO test").await;
    assert!(
        client
            .ask(&format!("AUTH PLAIN {PLAIN_GOOD}"))
            .await
            .starts_with("235")
    );
    assert!(
        server.sessions()[0]
            .commands
            .contains(&"XCLIENT ADDR=192.0.2.7 PORT=50123".to_owned())
    );

    let server = Server::start(options(Protocol::Smtp)).unwrap();
    assert!(
        open(&server)
            .await
            .ask("XCLIENT ADDR=192.0.2.7")
            .await
            .starts_with("502")
    );
}
