//! Clients that do not speak the protocol of a listener, or speak it to do harm: they cost only themselves.

use remote::Protocol;

use crate::asker::{Answer, Client, Login, Rcpt, counted, meaning};
use crate::scene;
use crate::scene::{JANE, NOBODY, PASSWORD, Scene, Setup, options};

const MIB: usize = 1 << 20;

/// Clients that were there before, and ask on whatever others do.
struct Polite {
    policy: Client,
    auth: Client,
    map: Client,
}

impl Polite {
    async fn come(scene: &Scene) -> Self {
        let (policy, auth) = (scene.policy().await, scene.auth().await);
        let map = scene.listener("socketmap").await;
        Self { policy, auth, map }
    }

    async fn assert_served(&mut self, beside: &str) {
        for (recipient, expected) in [(JANE, Answer::Yes), (NOBODY, Answer::No)] {
            let action = self.policy.recipient(&Rcpt::to(recipient)).await;
            assert_eq!(meaning(&action), expected, "beside {beside}");
        }
        let found = self.map.look_up("recipients", JANE).await;
        assert_eq!(found, "OK ok", "beside {beside}");
        for (password, expected) in [(PASSWORD, Answer::Yes), ("wrong", Answer::No)] {
            let answer = self.auth.login(&Login::of(JANE, password)).await;
            assert_eq!(answer, expected, "beside {beside}");
        }
    }
}

/// What breaks the policy protocol ends its connection without a word, for Postfix would take any for an answer,
/// and with a line in the log that says what was wrong.
#[tokio::test(flavor = "multi_thread")]
async fn nonsense_at_the_policy_listener_ends_its_own_connection() {
    let scene = scene().await;
    let mut polite = Polite::come(&scene).await;
    let start = "request=smtpd_access_policy\nprotocol_state=RCPT\n";
    let many_lines = format!("x={}\n", "a".repeat(1000)).repeat(70);
    for (name, bytes, logged) in [
        (
            "a line of 1 MiB",
            format!("{start}recipient={}\n\n", "a".repeat(MIB)),
            "longer than 8192 bytes",
        ),
        (
            "1 MiB without a line end",
            "a".repeat(MIB),
            "longer than 8192 bytes",
        ),
        (
            "a request of 70 KiB",
            format!("{start}{many_lines}\n"),
            "longer than 65536 bytes",
        ),
        (
            "a NUL",
            format!("{start}recipient=jane\0@example.org\n\n"),
            "a NUL in an attribute",
        ),
        (
            "no attribute",
            format!("{start}recipient\n\n"),
            "an attribute without \"=\"",
        ),
        (
            "a line in a recipient",
            format!("{start}recipient=a@example.org\nQUIT\n\n"),
            "without \"=\"",
        ),
        (
            "another request",
            "request=junk\n\n".to_owned(),
            "not a request=smtpd_access_policy",
        ),
        (
            "an empty request",
            "\n\n".to_owned(),
            "not a request=smtpd_access_policy",
        ),
        (
            "HTTP",
            "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_owned(),
            "without \"=\"",
        ),
    ] {
        let mut client = scene.policy().await;
        // Fails where the daemon closed before all was sent.
        let _ = client.send(bytes).await;
        assert_eq!(client.rest().await, "", "{name}");
        polite.assert_served(name).await;
        let line = scene.logged(logged).await;
        for part in [
            "WARN", "listener=policy", "closed: the client's request is", "is it a Postfix?",
        ] {
            assert!(line.contains(part), "{part} in {line}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_request_cut_in_half_is_not_answered() {
    let scene = scene().await;
    let mut polite = Polite::come(&scene).await;
    let whole = Rcpt::to(JANE).bytes();
    let (head, tail) = whole.split_at(whole.len() - 1);
    let mut cut = scene.policy().await;
    cut.send(head).await.unwrap();
    cut.half_close().await;
    assert_eq!(cut.rest().await, "");
    scene.logged("cut off in the middle of a message").await;

    // One that only takes its time is answered when it has said all.
    let mut slow = scene.policy().await;
    slow.send(head).await.unwrap();
    polite.assert_served("half a request").await;
    slow.send(tail).await.unwrap();
    assert_eq!(slow.action().await.as_deref(), Some("DUNNO"));

    // And a whole one from a client that will say no more, as `printf | socat` sends it.
    slow.send(&whole).await.unwrap();
    slow.half_close().await;
    assert_eq!(slow.rest().await, "action=DUNNO\n\n");
}

/// What breaks the auth-client protocol.
#[tokio::test(flavor = "multi_thread")]
async fn nonsense_at_the_auth_listener_ends_its_own_connection() {
    let scene = scene().await;
    let mut polite = Polite::come(&scene).await;
    let start = "VERSION\t1\t2\nCPID\t1\n";
    let auth = "AUTH\t1\tPLAIN\tservice=imap";
    for (name, bytes, logged) in [
        (
            "a line of 1 MiB",
            format!("{start}{auth}\tresp={}\n", "A".repeat(MIB)),
            "longer than 16384 bytes",
        ),
        (
            "1 MiB without a line end",
            "A".repeat(MIB),
            "longer than 16384 bytes",
        ),
        ("a NUL", format!("{start}{auth}\tresp=A\0A\n"), "a NUL in a line"),
        (
            "an unknown command",
            format!("{start}QUIT\n"),
            "an unknown command",
        ),
        ("no handshake", format!("{auth}\n"), "a command before VERSION"),
        (
            "another version",
            "VERSION\t2\t0\n".to_owned(),
            "a major version other than 1",
        ),
        (
            "no id",
            format!("{start}AUTH\t0\tPLAIN\tservice=imap\n"),
            "a number is absent or out of range",
        ),
        (
            "no service",
            format!("{start}AUTH\t1\tPLAIN\n"),
            "AUTH without a service",
        ),
        (
            "HTTP",
            "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_owned(),
            "an unknown command",
        ),
    ] {
        let mut client = Client::connect(&scene.auth_socket()).await;
        let _ = client.send(bytes).await;
        let said = client.rest().await;
        // The greeting, or less where the daemon's own words were lost with the connection.
        let answered = said
            .lines()
            .any(|line| line.starts_with("OK\t") || line.starts_with("FAIL\t"));
        assert!(!answered, "{name}: {said}");
        polite.assert_served(name).await;
        let line = scene.logged(logged).await;
        for part in [
            "WARN", "listener=auth", "closed: the client's request is", "does it speak Dovecot auth?",
        ] {
            assert!(line.contains(part), "{part} in {line}");
        }
    }
    assert_eq!(
        scene.remote.count("AUTH"),
        2 * 9,
        "only the polite were asked for"
    );
}

/// What is no question to saslauthd ends its connection without a word, which no client takes for an answer.
#[tokio::test(flavor = "multi_thread")]
async fn nonsense_at_the_saslauthd_listener_ends_its_own_connection() {
    let scene = scene().await;
    let mut polite = Polite::come(&scene).await;
    let right = counted(&["jane", PASSWORD, "imap", "example.org"]);
    for (name, bytes, logged) in [
        ("1 MiB", vec![b'a'; MIB], "longer than 8192 bytes"),
        (
            "a long password",
            counted(&["jane", &"p".repeat(9000)]),
            "longer than 8192 bytes",
        ),
        ("a count alone", b"\xff\xff".to_vec(), "longer than 8192 bytes"),
        (
            "HTTP",
            b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec(),
            "longer than 8192 bytes",
        ),
        (
            "a half",
            right[..20].to_vec(),
            "cut off in the middle of a message",
        ),
    ] {
        let mut client = scene.listener("saslauthd").await;
        // Fails where the daemon closed before all was sent.
        let _ = client.send(bytes).await;
        client.half_close().await;
        assert_eq!(client.rest().await, "", "{name}");
        polite.assert_served(name).await;
        let line = scene.logged(logged).await;
        for part in ["WARN", "listener=saslauthd", "is it a client of saslauthd?"] {
            assert!(line.contains(part), "{part} in {line}");
        }
    }
    // What cannot be a login is refused, and what stands behind a question is nobody's.
    let mut client = scene.listener("saslauthd").await;
    let said = client.saslauthd("jane", "example.org", "inj\"\r\nX LOGOUT").await;
    assert_eq!(said.as_deref(), Some("NO authentication failed"));
    let mut client = scene.listener("saslauthd").await;
    client.send([&right[..], &right[..]].concat()).await.unwrap();
    assert_eq!(client.rest().await, "\0\x10OK authenticated");
    assert_eq!(scene.remote.count("X"), 0);
}

/// What is no netstring ends its connection without a word: Postfix then asks again.
#[tokio::test(flavor = "multi_thread")]
async fn nonsense_at_the_socketmap_listener_ends_its_own_connection() {
    let scene = scene().await;
    let mut polite = Polite::come(&scene).await;
    for (name, bytes, logged) in [
        ("1 MiB", "1".repeat(MIB), "longer than 10000 bytes"),
        (
            "1 MiB of something else",
            "a".repeat(MIB),
            "a netstring has no count",
        ),
        (
            "a count that is too high",
            "10001:recipients ".to_owned(),
            "longer than 10000 bytes",
        ),
        (
            "a count below zero",
            "-1:,".to_owned(),
            "a netstring has no count",
        ),
        (
            "no comma",
            "19:domains example.org;".to_owned(),
            "no comma at its end",
        ),
        (
            "a count that is too low",
            "18:domains example.org,".to_owned(),
            "no comma at its end",
        ),
        (
            "no key",
            "7:domains,".to_owned(),
            "a question without a map and a key",
        ),
        (
            "HTTP",
            "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_owned(),
            "a netstring has no count",
        ),
    ] {
        let mut client = scene.listener("socketmap").await;
        let _ = client.send(bytes).await;
        assert_eq!(client.rest().await, "", "{name}");
        polite.assert_served(name).await;
        let line = scene.logged(logged).await;
        for part in ["WARN", "listener=socketmap", "is it a Postfix's socketmap table?"] {
            assert!(line.contains(part), "{part} in {line}");
        }
    }
    // One that asks without end and never reads holds up nobody, and no memory.
    let mut deaf = scene.listener("socketmap").await;
    deaf.send_until_full(&b"19:domains example.org,".repeat(500))
        .await;
    polite.assert_served("a client that does not read").await;
    // A key is never a line, or two, to the server.
    let mut client = scene.listener("socketmap").await;
    for key in [
        "jane\r\nRSET@example.org", "jane\0@example.org", "\"jane\r\nQUIT\"@example.org",
    ] {
        assert_eq!(client.look_up("recipients", key).await, "NOTFOUND ", "{key:?}");
    }
    assert_eq!(scene.remote.count("RSET"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_no_login_fails_alone_and_says_why() {
    let scene = scene().await;
    let mut client = scene.auth().await;
    let right = Login::of(JANE, PASSWORD);
    for (request, answer) in [
        (
            "AUTH\t7\tGSSAPI\tservice=imap\tresp=AAAA",
            "FAIL\t7\ttemp\tcode=temp_fail\treason=Unsupported authentication mechanism",
        ),
        (
            "AUTH\t8\tPLAIN\tservice=imap\tresp=!!not base64!!",
            "FAIL\t8\tcode=invalid_base64\treason=Invalid base64 data in initial response",
        ),
        (
            "AUTH\t9\tPLAIN\tservice=imap\tresp=AGphbmU",
            "FAIL\t9\tcode=invalid_base64\treason=Invalid base64 data in initial response",
        ),
        // "jane" and no NUL; an identity that is not the user's.
        ("AUTH\t10\tPLAIN\tservice=imap\tresp=amFuZQ==", "FAIL\t10"),
        ("AUTH\t11\tPLAIN\tservice=imap\tresp=cm9vdABqYW5lAHB3", "FAIL\t11"),
        ("AUTH\t12\tPLAIN\tservice=imap\tresp=", "FAIL\t12"),
        (
            "CONT\t99\tAAAA",
            "FAIL\t99\ttemp\tcode=temp_fail\treason=Authentication request timed out",
        ),
    ] {
        client.send(format!("{request}\n")).await.unwrap();
        assert_eq!(client.line().await.as_deref(), Some(answer), "{request}");
        assert_eq!(client.login(&right).await, Answer::Yes, "after {request}");
    }
    client.send("CANCEL\t99\n").await.unwrap();
    assert_eq!(
        client.login(&right).await,
        Answer::Yes,
        "nothing is said to CANCEL"
    );
    scene
        .logged("no answer to a request: Unsupported authentication mechanism")
        .await;
    scene
        .logged("refused a request: Invalid base64 data in initial response")
        .await;
    assert_eq!(scene.remote.count("AUTH"), 8, "nothing else reached the remote");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_auth_with_a_pending_id_ends_its_own_connection() {
    let scene = scene().await;
    let mut polite = Polite::come(&scene).await;
    let mut client = scene.auth().await;
    let first = "AUTH\t1\tLOGIN\tservice=imap\tnologin\n";
    client.send(first).await.unwrap();
    assert_eq!(client.line().await.as_deref(), Some("CONT\t1\tVXNlcm5hbWU6"));
    client.send(Login::of(JANE, PASSWORD).bytes(1)).await.unwrap();
    assert_eq!(client.line().await, None);
    polite.assert_served("a reused id").await;
    let line = scene.logged("used a request id again").await;
    assert!(line.contains("listener=auth") && line.contains("id=1"), "{line}");
}

/// Neither costs the others anything: not the one that says nothing, and not the one that asks without end and
/// never reads what it is told.
#[tokio::test(flavor = "multi_thread")]
async fn silent_and_deaf_clients_cost_only_themselves() {
    let scene = scene().await;
    let mut polite = Polite::come(&scene).await;
    let mut silent = Vec::new();
    for _ in 0..50 {
        silent.push(scene.policy().await);
        silent.push(Client::connect(&scene.auth_socket()).await);
    }
    polite.assert_served("silent clients").await;

    let mut deaf = scene.policy().await;
    deaf.send_until_full(&Rcpt::to("a@elsewhere.example").bytes().repeat(50))
        .await;
    polite.assert_served("a client that does not read actions").await;
    let mut also_deaf = scene.auth().await;
    let request = "AUTH\t1\tGSSAPI\tservice=imap\n".repeat(500);
    also_deaf.send_until_full(request.as_bytes()).await;
    polite.assert_served("a client that does not read replies").await;

    // The daemon has kept no more of it than its buffers hold: all that was said in time is answered.
    let action = deaf.action().await;
    assert_eq!(action.as_deref(), Some("DUNNO"));
    let greeted = silent.last_mut().unwrap().line().await;
    assert_eq!(greeted.as_deref(), Some("VERSION\t1\t2"));
}

// Fills listener.NAME.max-connections.
#[tokio::test(flavor = "multi_thread")]
async fn a_listener_that_is_full_turns_away_and_serves_again() {
    let scene = Setup::new(options(Protocol::Lmtp))
        .listeners("max-connections = 2")
        .start()
        .await;
    // A place is free again when the daemon has seen the end of whoever had it.
    let served = async || loop {
        let mut client = scene.policy().await;
        let asked = client.send(Rcpt::to(JANE).bytes()).await;
        if asked.is_ok() && client.action().await.as_deref() == Some("DUNNO") {
            break client;
        }
    };
    let first = served().await;
    let mut second = served().await;
    assert_eq!(scene.policy().await.rest().await, "", "closed without a word");
    let line = scene
        .logged("all 2 connections (max-connections) are taken")
        .await;
    assert!(line.contains("listener \"policy\": "), "{line}");
    drop(first);
    served().await;
    assert_eq!(meaning(&second.recipient(&Rcpt::to(JANE)).await), Answer::Yes);
}
