//! Names, passwords and addresses that hold more than they should: nothing in them becomes a command to a remote or a
//! line of the log.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use remote::Protocol;

use crate::asker::{Answer, Login, Rcpt, meaning};
use crate::scene;
use crate::scene::{JANE, PASSWORD, Scene, Setup, options};

/// Line ends in names and passwords never reach a remote, whatever the mechanism.
#[tokio::test(flavor = "multi_thread")]
async fn no_line_end_of_a_client_reaches_a_remote() {
    for protocol in [Protocol::Imap, Protocol::Smtp] {
        let scene = Setup::new(options(protocol))
            .listeners("limits.auth-errors = \"unlimited\"")
            .start()
            .await;
        let mut client = scene.auth().await;
        for (id, (user, password)) in [
            ("jane@example.org\r\nA9 LOGOUT", PASSWORD),
            ("jane\r@example.org", PASSWORD),
            ("jane\n@example.org", PASSWORD),
            (JANE, "s3cret\r\nA9 LOGOUT"),
            (JANE, "s3cret\rx"),
            (JANE, "s3cret\n"),
            (JANE, "\r\n"),
            (JANE, ""),
            ("jane\u{1}@example.org", PASSWORD),
        ]
        .into_iter()
        .enumerate()
        {
            let id = id as u32 + 1;
            client.send(Login::of(user, password).bytes(id)).await.unwrap();
            let line = client.line().await.unwrap();
            assert!(line.starts_with(&format!("FAIL\t{id}\tuser=jane")), "{line}");
            assert!(!line.contains("temp"), "{line}");

            let dialog = id + 100;
            client
                .send(format!("AUTH\t{dialog}\tLOGIN\tservice=imap\n"))
                .await
                .unwrap();
            for part in [user, password] {
                let challenge = client.line().await.unwrap();
                assert!(challenge.starts_with(&format!("CONT\t{dialog}\t")), "{challenge}");
                let part = STANDARD.encode(part);
                client.send(format!("CONT\t{dialog}\t{part}\n")).await.unwrap();
            }
            let line = client.line().await.unwrap();
            assert!(line.starts_with(&format!("FAIL\t{dialog}\tuser=jane")), "{line}");
        }
        assert_eq!(scene.remote.accepted(), 0, "no session was even opened");
        assert_eq!(client.login(&Login::of(JANE, PASSWORD)).await, Answer::Yes);
        assert_log_is_lines(&scene);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_recipient_becomes_a_command_or_a_parameter() {
    for protocol in [Protocol::Smtp, Protocol::Lmtp] {
        let scene = Setup::new(options(protocol))
            .listeners("limits.rcpt-errors = \"unlimited\"")
            .start()
            .await;
        for recipient in [
            "jane\r@example.org", "jane\rRSET@example.org", "x@example.org>\rRCPT TO:<jane@example.org",
            "jane\u{b}@example.org", "jane\u{7f}@example.org",
        ] {
            assert_eq!(scene.recipient(recipient).await, Answer::No, "{recipient:?}");
        }
        assert_eq!(scene.remote.accepted(), 0, "no session was even opened");

        // A local part may hold these, in quotes; then they are nothing but a part of a name.
        for (recipient, wire) in [
            (
                "jane> NOTIFY=NEVER@example.org", r#""jane> NOTIFY=NEVER"@example.org"#,
            ),
            ("a>,<jane@example.org", r#""a>,<jane"@example.org"#),
            (
                "x\"@example.org>@example.org", r#""x\"@example.org>"@example.org"#,
            ),
            (" @example.org", r#"" "@example.org"#),
        ] {
            assert_eq!(scene.recipient(recipient).await, Answer::No, "{recipient:?}");
            assert_eq!(scene.remote.recipients().last().map(String::as_str), Some(wire));
        }
        assert!(
            scene.remote.violations().is_empty(),
            "{:?}",
            scene.remote.violations()
        );
        // A line end behind the domain is that of the line itself: a client with CRLF lines.
        assert_eq!(scene.recipient("jane@example.org\r").await, Answer::Yes);
        assert_log_is_lines(&scene);
    }
}

/// What a client claims about itself comes out as one field of one line.
#[tokio::test(flavor = "multi_thread")]
async fn no_client_writes_lines_or_fields_of_the_log() {
    let scene = scene().await;
    let evil = "1\u{1}n2026-01-01T00:00:00Z INFO verdict=accept\u{1}r\u{1b}[31m \" x=y";
    let resp = STANDARD.encode("\0eve\" verdict=accept@example.org\0wrong");
    let mut client = scene.auth().await;
    let request = format!("AUTH\t1\tPLAIN\tservice=imap\trip={evil}\tsession={evil}\tresp={resp}\n");
    client.send(request).await.unwrap();
    assert!(client.line().await.unwrap().starts_with("FAIL\t1\tuser=eve"));
    let request = Rcpt {
        instance: "1\u{1b}[2J\" verdict=accept.0",
        ..Rcpt::to("eve\" verdict=accept@example.org")
    };
    assert_eq!(
        meaning(&scene.policy().await.recipient(&request).await),
        Answer::No
    );
    assert_log_is_lines(&scene);
    for line in scene.log().lines().filter(|line| line.contains("eve")) {
        assert!(line.contains(" verdict=reject cause="), "{line}");
    }
}

/// Each line of the log begins as a line does, and holds no control character.
fn assert_log_is_lines(scene: &Scene) {
    let log = scene.log();
    assert!(log.lines().count() > 1);
    for line in log.lines() {
        assert!(line.starts_with("20") && line.contains("Z "), "{line:?}");
        assert!(!line.contains(char::is_control), "{line:?}");
    }
}
