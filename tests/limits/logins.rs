//! A listener's limits of logins.

use std::collections::HashSet;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use remote::Protocol;

use crate::asker::{Answer, Login};
use crate::scene::{JANE, PASSWORD, Scene, Setup, options};
use crate::{assert_logged, logins_probed};

#[tokio::test(flavor = "multi_thread")]
async fn what_was_put_off_is_no_error_of_the_client() {
    let scene = Setup::new(options(Protocol::Smtp))
        .listeners("deadline = \"2s\"\nlimits.rcpt-errors = 1\nlimits.auth-errors = 1")
        .start()
        .await;
    scene.remote.stop().await;
    let mut logins = scene.auth().await;
    for number in 0..3 {
        let recipient = format!("user{number}@example.org");
        assert_eq!(scene.recipient(&recipient).await, Answer::Later);
        assert_eq!(logins.login(&Login::of(JANE, PASSWORD)).await, Answer::Later);
    }
    scene.remote.start_again().unwrap();
    assert_eq!(scene.recipient(JANE).await, Answer::Yes);
    assert_eq!(logins.login(&Login::of(JANE, PASSWORD)).await, Answer::Yes);
}

/// A scene whose login clients may fail twice.
async fn two_errors(protocol: Protocol) -> Scene {
    let setup = Setup::new(options(protocol));
    setup.listeners("limits.auth-errors = 2").start().await
}

// Fills listener.NAME.limits.auth-errors.
#[tokio::test(flavor = "multi_thread")]
async fn a_login_client_bears_listener_auth_errors() {
    for protocol in [Protocol::Imap, Protocol::Smtp] {
        let scene = two_errors(protocol).await;
        let mut client = scene.auth().await;
        let wrong = |password| Login::of(JANE, password);
        let right = Login::of(JANE, PASSWORD);
        // A telephone that repeats itself fails once, and is refused from memory.
        for _ in 0..6 {
            assert_eq!(client.login(&wrong("old")).await, Answer::No);
        }
        assert_eq!(client.login(&right).await, Answer::Yes, "it begins anew");
        assert_eq!(client.login(&wrong("a")).await, Answer::No);
        assert_eq!(client.login(&wrong("b")).await, Answer::No);
        let probes = logins_probed(&scene);
        assert_eq!(
            client.login(&right).await,
            Answer::Later,
            "even the right password"
        );
        assert_eq!(client.login(&wrong("c")).await, Answer::Later);
        assert_eq!(logins_probed(&scene), probes, "no probe beyond the limit");

        let other_client = Login {
            rip: "192.0.2.2",
            ..right
        };
        assert_eq!(client.login(&other_client).await, Answer::Yes);
        assert_eq!(client.login(&right).await, Answer::Later);
        assert_eq!(
            scene.auth().await.login(&right).await,
            Answer::Yes,
            "another connection is another session"
        );
        assert_eq!(
            client.login(&right).await,
            Answer::Yes,
            "and begins anew for the address"
        );
        assert_logged(
            &scene,
            "source=limit",
            &[
                "verdict=defer", "cause=limit", "client=192.0.2.1", "listener=auth",
            ],
        )
        .await;
    }
}

/// Dovecot asks for everybody over one connection, and for each end user in a session that it names.
#[tokio::test(flavor = "multi_thread")]
async fn auth_errors_are_those_of_a_named_session() {
    // A penalty delays guesses, and the right password of that address with them; it puts off nobody.
    let scene = Setup::new(options(Protocol::Imap))
        .auth("penalty = { delay = \"1ms\", max-delay = \"20ms\" }")
        .start()
        .await;
    let mut client = scene.auth().await;
    for guess in 0..60 {
        let (password, session) = (format!("guess {guess}"), format!("session{guess}"));
        // Of one address in many sessions, behind which there may be many people.
        let login = Login {
            session: &session,
            ..Login::of(JANE, &password)
        };
        assert_eq!(client.login(&login).await, Answer::No, "{guess}");
    }
    let right = Login {
        session: "jane",
        ..Login::of(JANE, PASSWORD)
    };
    assert_eq!(client.login(&right).await, Answer::Yes);
}

#[tokio::test(flavor = "multi_thread")]
async fn auth_errors_of_a_named_session_are_put_off_and_none_are_of_nobody() {
    let scene = Setup::new(options(Protocol::Imap))
        .listeners("limits.auth-errors = 2")
        .auth("penalty = { exempt = [\"198.51.100.0/24\"] }")
        .start()
        .await;
    let mut client = scene.auth().await;
    for (rip, session, bears) in [
        ("192.0.2.1", "mallory", 2),
        ("NULL", "", 5),
        ("198.51.100.7", "", 5),
        ("198.51.100.7", "webmail", 5),
    ] {
        for guess in 0..5 {
            let password = format!("{rip} {session} {guess}");
            let login = Login {
                rip,
                session,
                ..Login::of(JANE, &password)
            };
            let expected = if guess < bears { Answer::No } else { Answer::Later };
            assert_eq!(client.login(&login).await, expected, "{password}");
        }
    }
    let right = Login {
        session: "jane",
        ..Login::of(JANE, PASSWORD)
    };
    assert_eq!(client.login(&right).await, Answer::Yes, "of the same address");
}

#[tokio::test(flavor = "multi_thread")]
async fn hanging_up_does_not_undo_auth_errors() {
    for protocol in [Protocol::Imap, Protocol::Smtp] {
        let scene = two_errors(protocol).await;
        let mut client = scene.auth().await;
        let right = Login {
            service: "smtp",
            ..Login::of(JANE, PASSWORD)
        };
        for password in ["a", "b"] {
            let wrong = Login { password, ..right };
            assert_eq!(client.login(&wrong).await, Answer::No);
        }
        let probes = logins_probed(&scene);
        // Postfix is told "later" by hanging up, and connects again: from the same process.
        for _ in 0..3 {
            assert_eq!(client.login(&right).await, Answer::Later);
            assert_eq!(client.line().await, None, "hung up");
            client = scene.auth().await;
        }
        assert_eq!(logins_probed(&scene), probes, "no probe beyond the limit");
        let other_client = Login {
            rip: "192.0.2.2",
            ..right
        };
        assert_eq!(client.login(&other_client).await, Answer::Yes);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_may_have_thousands_of_logins_under_way() {
    const LOGINS: u32 = 4000;
    let mut options = options(Protocol::Imap);
    options.delays.reply = Duration::from_millis(300);
    let scene = Setup::new(options).start().await;
    let mut client = scene.auth().await;
    let right = Login::of(JANE, PASSWORD);
    // Ids from both ends of their range; nothing is answered before the remote has thought.
    let ids = |number: u32| {
        if number.is_multiple_of(2) {
            number + 1
        } else {
            u32::MAX - number
        }
    };
    let requests: String = (0..LOGINS).map(|number| right.bytes(ids(number))).collect();
    client.send_hearing(requests).await;
    let mut open: HashSet<String> = (0..LOGINS).map(|number| ids(number).to_string()).collect();
    while !open.is_empty() {
        let line = client.line().await.expect("an answer to each");
        let id = line.strip_prefix("OK\t").and_then(|rest| rest.split('\t').next());
        assert!(id.is_some_and(|id| open.remove(id)), "{line}");
    }

    // As many dialogs, ended in the order against the one in which they were begun.
    let begun: String = (1..=LOGINS)
        .map(|id| format!("AUTH\t{id}\tPLAIN\tservice=imap\n"))
        .collect();
    client.send_hearing(begun).await;
    for id in 1..=LOGINS {
        assert_eq!(client.line().await, Some(format!("CONT\t{id}\t")));
    }
    let message = STANDARD.encode(format!("\0{JANE}\0{PASSWORD}"));
    for id in (1..=LOGINS).rev() {
        let end = if id.is_multiple_of(2) {
            format!("CONT\t{id}\t{message}\n")
        } else {
            format!("CANCEL\t{id}\n")
        };
        client.send_hearing(end).await;
    }
    for _ in 0..LOGINS / 2 {
        let line = client.line().await.expect("an answer to each");
        assert!(line.starts_with("OK\t"), "{line}");
    }
}
