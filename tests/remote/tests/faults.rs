//! Faults, delays, stopping and starting, TLS.

mod client;

use std::time::Duration;

use client::{Client, PATIENCE};
use remote::{Account, Authority, End, Fault, Identity, Listen, Options, Protocol, Security, Server};
use tokio::net::TcpStream;
use tokio::time::Instant;

fn options(protocol: Protocol) -> Options {
    Options::new(protocol).account(Account::new("jane@example.org", "s3cret"))
}

async fn open(server: &Server) -> Client {
    let mut client = Client::greeted(server).await;
    client.ask("EHLO test").await;
    client
}

#[tokio::test]
async fn faults_strike_open_sessions_and_new_ones() {
    let server = Server::start(options(Protocol::Smtp)).unwrap();
    let mut client = open(&server).await;

    server.set_fault(Fault::HangBeforeReply.at("NOOP"));
    assert!(client.ask("RSET").await.starts_with("250"));
    client.send("NOOP").await;
    assert!(client.silent().await);
    drop(client);

    server.set_fault(Fault::HangBeforeReply.at("RCPT"));
    let mut client = open(&server).await;
    client.ask("MAIL FROM:<>").await;
    client.send("RCPT TO:<jane@example.org>").await;
    assert!(client.silent().await);
    assert_eq!(
        server.sessions()[1].recipients,
        [("jane@example.org".to_owned(), 0)]
    );

    server.set_fault(Fault::CloseMidReply(5));
    let mut client = Client::greeted(&server).await;
    client.send("EHLO test").await;
    assert_eq!(client.rest().await, b"250-m");

    server.set_fault(Fault::Garbage);
    let mut client = Client::greeted(&server).await;
    client.send("EHLO test").await;
    assert!(client.line().await.starts_with('\0'));

    server.set_fault(Fault::refuse_mail("553 5.7.1 Sender refused"));
    let mut client = open(&server).await;
    assert_eq!(client.ask("MAIL FROM:<>").await, "553 5.7.1 Sender refused");
    assert!(client.ask("RCPT TO:<jane@example.org>").await.starts_with("503"));

    server.set_fault(Fault::Bye);
    client.send("NOOP").await;
    assert_eq!(client.rest().await, b"421 4.7.0 Shutting down, closing\r\n");
    assert!(Client::connect(&server).await.line().await.starts_with("421"));

    server.set_fault(Fault::CloseAfter(2));
    let mut client = open(&server).await;
    assert!(client.ask("NOOP").await.starts_with("250"));
    assert!(client.rest().await.is_empty());

    server.set_fault(Fault::HangAfterAccept);
    assert!(Client::connect(&server).await.silent().await);

    server.set_fault_times(Fault::reply_with("NOOP", "450 Not now"), 1);
    let mut client = open(&server).await;
    assert_eq!(client.ask("NOOP").await, "450 Not now");
    assert!(client.ask("NOOP").await.starts_with("250"));
}

#[tokio::test]
async fn endless_faults_end() {
    let server = Server::start(options(Protocol::Imap)).unwrap();
    for (fault, lines) in [(Fault::EndlessLine, 0), (Fault::EndlessReply, 1_000_000)] {
        server.set_fault(fault);
        let mut client = Client::greeted(&server).await;
        client.send("a NOOP").await;
        let sent = client.rest().await;
        assert!(sent.len() > 16_000_000 && sent.len() < 18_000_000);
        assert!(sent.iter().filter(|byte| **byte == b'\n').count() >= lines);
    }
}

#[tokio::test]
async fn a_reply_of_a_fault_is_believed() {
    let server = Server::start(options(Protocol::Imap)).unwrap();
    let mut client = Client::greeted(&server).await;
    server.set_fault(Fault::reply_with("LOGIN", "* 1 EXISTS\r\n{tag} OK Anyone may"));
    assert_eq!(
        client.ask("a LOGIN jane@example.org wrong").await,
        "* 1 EXISTS\na OK Anyone may"
    );
    server.set_fault(Fault::reply_with(
        "LIST", "{tag} BAD User is authenticated but not connected.",
    ));
    assert!(
        client
            .ask("a LIST \"\" \"\"")
            .await
            .starts_with("a BAD User is auth")
    );
    assert_eq!(server.sessions()[0].auth_ok, 1);
    server.set_fault(Fault::reply_with("AUTHENTICATE", "{tag} NO [UNAVAILABLE] Later"));
    let mut client = Client::greeted(&server).await;
    let reply = client
        .ask("b AUTHENTICATE PLAIN AGphbmVAZXhhbXBsZS5vcmcAczNjcmV0")
        .await;
    assert_eq!(reply, "b NO [UNAVAILABLE] Later");
    server.set_fault(Fault::None);
    assert!(
        client
            .ask("b LOGIN jane@example.org s3cret")
            .await
            .starts_with("b OK")
    );
}

#[tokio::test]
async fn idle_sessions_are_closed_with_and_without_goodbye() {
    let server = Server::start(options(Protocol::Smtp)).unwrap();
    for (goodbye, said) in [(true, "421 4.7.0 Shutting down, closing\r\n"), (false, "")] {
        let mut client = open(&server).await;
        server.hang_up(goodbye);
        assert_eq!(client.rest().await, said.as_bytes());
    }
    open(&server).await;
    assert_eq!(server.accepted(), 3);
}

#[tokio::test]
async fn a_stopped_server_keeps_its_port() {
    let server = Server::start(options(Protocol::Smtp)).unwrap();
    let mut client = open(&server).await;
    server.stop().await;
    assert!(client.rest().await.is_empty());
    assert_eq!(server.sessions()[0].end, End::ServerClosed);
    assert_eq!(server.open(), 0);
    let port = server.port();
    let refused = TcpStream::connect(("127.0.0.1", port)).await.unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
    for _ in 0..3 {
        server.start_again().unwrap();
        server.start_again().unwrap();
        open(&server).await;
        server.stop().await;
    }
    drop(server);
    assert!(TcpStream::connect(("127.0.0.1", port)).await.is_err());
}

#[tokio::test]
async fn a_dropped_server_ends_its_sessions() {
    let server = Server::start(options(Protocol::Imap)).unwrap();
    let mut client = Client::greeted(&server).await;
    drop(server);
    assert!(client.rest().await.is_empty());
}

#[tokio::test]
async fn starttls_then_everything_anew() {
    let authority = Authority::new().unwrap();
    for protocol in [Protocol::Smtp, Protocol::Imap] {
        let mut secure = options(protocol);
        secure.security = Security::StartTls(authority.issue(&["mail.example.org", "127.0.0.1"]).unwrap());
        secure.cleartext_login = false;
        let server = Server::start(secure).unwrap();
        let mut client = Client::greeted(&server).await;
        let (hello, starttls, login, refusal, welcome) = match protocol {
            Protocol::Imap => (
                "a CAPABILITY", "a STARTTLS", "a LOGIN jane@example.org s3cret", "a NO [PRIV", "a OK",
            ),
            _ => (
                "EHLO x", "STARTTLS", "AUTH PLAIN AGphbmVAZXhhbXBsZS5vcmcAczNjcmV0", "538", "235",
            ),
        };
        let offered = client.ask(hello).await;
        assert!(
            offered.contains("STARTTLS") && !offered.contains("AUTH"),
            "{offered}"
        );
        assert!(client.ask(login).await.starts_with(refusal));
        client.ask(starttls).await;
        let mut client = client.tls(&authority, "mail.example.org").await.unwrap();
        if protocol == Protocol::Smtp {
            assert!(client.ask("MAIL FROM:<>").await.starts_with("503"));
        }
        let offered = client.ask(hello).await;
        assert!(
            !offered.contains("STARTTLS") && offered.contains("AUTH"),
            "{offered}"
        );
        assert!(client.ask(login).await.starts_with(welcome));
        let log = server.sessions().remove(0);
        assert!(log.tls);
        assert_eq!(log.server_name.as_deref(), Some("mail.example.org"));

        // Cleartext behind STARTTLS is never obeyed.
        let mut client = Client::greeted(&server).await;
        client.ask(hello).await;
        client.raw(format!("{starttls}\r\n{login}\r\n")).await;
        let rest = client.rest().await;
        assert!(rest.starts_with(b"421") || rest.starts_with(b"* BYE"));
    }
}

#[tokio::test]
async fn certificates_are_as_bad_as_they_should_be() {
    let authority = Authority::new().unwrap();
    let good = authority.issue(&["mail.example.org", "127.0.0.1"]).unwrap();
    let table = [
        ("good", good.clone(), true),
        ("tls12", good.tls12_only().unwrap(), true),
        (
            "expired",
            authority.expired(&["mail.example.org"]).unwrap(),
            false,
        ),
        (
            "wrong name",
            authority.issue(&["other.example.org"]).unwrap(),
            false,
        ),
        (
            "self-signed",
            Identity::self_signed(&["mail.example.org"]).unwrap(),
            false,
        ),
        (
            "unknown root",
            Authority::new().unwrap().issue(&["mail.example.org"]).unwrap(),
            false,
        ),
    ];
    for (what, identity, accepted) in table {
        let mut secure = options(Protocol::Imap);
        secure.security = Security::Implicit(identity);
        let server = Server::start(secure).unwrap();
        let client = Client::connect(&server)
            .await
            .tls(&authority, "mail.example.org")
            .await;
        assert_eq!(client.is_ok(), accepted, "{what}");
        if let Ok(mut client) = client {
            assert!(client.line().await.starts_with("* OK"));
        } else {
            let failed = |server: &Server| server.sessions()[0].end == End::TlsFailed;
            assert!(server.wait_until(PATIENCE, failed).await, "{what}");
        }
    }
    let mut secure = options(Protocol::Imap);
    secure.security = Security::Implicit(good.clone());
    let server = Server::start(secure).unwrap();
    assert!(
        Client::connect(&server)
            .await
            .tls(&authority, "127.0.0.1")
            .await
            .is_ok()
    );

    let mut secure = options(Protocol::Imap);
    secure.security = Security::Implicit(good.demanding(&authority).unwrap());
    let server = Server::start(secure).unwrap();
    // In TLS 1.3 a client learns only afterwards that it lacked a certificate.
    if let Ok(mut client) = Client::connect(&server).await.tls(&authority, "127.0.0.1").await {
        assert!(client.rest().await.is_empty());
    }
    let failed = |server: &Server| server.sessions()[0].end == End::TlsFailed;
    assert!(server.wait_until(PATIENCE, failed).await);
}

#[tokio::test(start_paused = true)]
async fn in_memory_with_paused_time() {
    let mut slow = options(Protocol::Smtp);
    slow.listen = Listen::Nowhere;
    slow.delays.greeting = Duration::from_secs(30);
    slow.delays.latency = Duration::from_secs(1);
    slow.delays.failed_login = Duration::from_secs(5);
    slow.limits.idle = Some(Duration::from_secs(300));
    let server = Server::start(slow).unwrap();
    let (ours, theirs) = tokio::io::duplex(64);
    let session = tokio::spawn(server.serve(theirs));
    let mut client = Client::over(ours);
    let start = Instant::now();
    tokio::time::sleep(Duration::from_secs(25)).await;
    client.line().await;
    assert_eq!(start.elapsed().as_secs(), 31);
    client.ask("EHLO test").await;
    // One latency for the group, not one a command.
    client
        .raw("MAIL FROM:<>\r\nRCPT TO:<jane@example.org>\r\nRSET\r\n")
        .await;
    for _ in 0..3 {
        client.line().await;
    }
    assert_eq!(start.elapsed().as_secs(), 33);
    assert!(
        client
            .ask("AUTH PLAIN AGphbmVAZXhhbXBsZS5vcmcAd3Jvbmc=")
            .await
            .starts_with("535")
    );
    assert_eq!(start.elapsed().as_secs(), 39);
    tokio::time::sleep(Duration::from_secs(299)).await;
    assert!(client.line().await.starts_with("421"));
    assert_eq!(session.await.unwrap().end, End::ServerClosed);

    server.set_fault(Fault::OneByteAtATime);
    let (ours, theirs) = tokio::io::duplex(64);
    let session = tokio::spawn(server.serve(theirs));
    let mut client = Client::over(ours);
    tokio::time::sleep(Duration::from_secs(30)).await;
    client.line().await;
    let start = Instant::now();
    assert_eq!(client.ask("QUIT").await, "221 2.0.0 Bye");
    assert!(start.elapsed() >= Duration::from_millis(14));
    assert_eq!(session.await.unwrap().end, End::Goodbye);
}

#[tokio::test]
async fn the_account_is_bounded_and_can_be_forgotten() {
    let mut terse = options(Protocol::Imap);
    terse.record = false;
    let server = Server::start(terse).unwrap();
    let mut client = Client::greeted(&server).await;
    client.ask("a NOOP").await;
    assert_eq!(
        (server.count("NOOP"), server.sessions()[0].commands.len()),
        (1, 0)
    );
    server.forget();
    assert_eq!(
        (server.count("NOOP"), server.sessions().len(), server.open()),
        (0, 1, 1)
    );
    // A line without end is cut off, not stored.
    client.raw(vec![b'x'; 70_000]).await;
    assert_eq!(client.rest().await, b"* BYE Line too long\r\n");
    server.remove_account("jane@example.org");
    let mut client = Client::greeted(&server).await;
    assert!(
        client
            .ask("a LOGIN jane@example.org s3cret")
            .await
            .starts_with("a NO")
    );
    server.set_account(Account::new("jane@example.org", "new"));
    assert!(
        client
            .ask("a LOGIN jane@example.org new")
            .await
            .starts_with("a OK")
    );
}

#[tokio::test]
async fn nobody_else_gets_the_port_of_a_stopped_server() {
    let server = Server::start(options(Protocol::Smtp)).unwrap();
    server.stop().await;
    let thief = tokio::net::TcpSocket::new_v4().unwrap();
    assert!(thief.bind(([127, 0, 0, 1], server.port()).into()).is_err());
    server.start_again().unwrap();
    open(&server).await;
}
