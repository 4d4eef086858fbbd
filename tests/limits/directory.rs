//! A directory's limits, by counting at the remote.

use std::time::Duration;

use remote::{End, Protocol, SessionLog};

use crate::asker::{Answer, Client, Rcpt, meaning};
use crate::scene::{JANE, NOBODY, Scene, Setup, options};

/// The sessions in which something was asked, once all are over. Each was left politely.
async fn finished(scene: &Scene) -> Vec<SessionLog> {
    scene.sessions_end().await;
    let mut sessions = scene.remote.sessions();
    sessions.retain(|session| session.rcpt + session.auth_failed + session.auth_ok > 0);
    for session in &sessions {
        assert_eq!(session.end, End::Goodbye, "{session:?}");
        assert!(session.violations.is_empty(), "{session:?}");
    }
    sessions
}

/// No session went beyond the limit, and none was given up before it without need: that would cost a connection
/// for each question.
fn assert_kept(counts: &[u32], limit: u32, total: u32) {
    assert_eq!(counts.iter().sum::<u32>(), total, "{counts:?}");
    assert_eq!(counts.iter().max(), Some(&limit), "{counts:?}");
    assert!(counts.len() as u32 <= total.div_ceil(limit) + 1, "{counts:?}");
}

// Fills directory.NAME.limits.rcpt.
#[tokio::test(flavor = "multi_thread")]
async fn a_remote_session_is_asked_limits_rcpt_times() {
    for protocol in [Protocol::Smtp, Protocol::Lmtp] {
        let mut options = options(protocol);
        options.catch_all = true;
        let scene = Setup::new(options)
            .directory("limits.rcpt = 3\npool.idle-timeout = \"200ms\"")
            .start()
            .await;
        let mut client = scene.policy().await;
        for number in 0..10 {
            let recipient = format!("user{number}@example.org");
            let action = client.recipient(&Rcpt::to(&recipient)).await;
            assert_eq!(meaning(&action), Answer::Yes);
        }
        let asked: Vec<u32> = finished(&scene)
            .await
            .iter()
            .map(|session| session.rcpt)
            .collect();
        assert_kept(&asked, 3, 10);
    }
}

// Fills directory.NAME.pool.max-sessions.
#[tokio::test(flavor = "multi_thread")]
async fn many_at_once_keep_to_limits_rcpt_and_are_all_answered() {
    let mut options = options(Protocol::Smtp);
    options.catch_all = true;
    options.delays.reply = Duration::from_millis(2);
    let scene = Setup::new(options)
        .directory("limits.rcpt = 3\npool.max-sessions = 4\npool.idle-timeout = \"200ms\"")
        .start()
        .await;
    let asking = (0..60).map(|number| {
        let listener = scene.policy_socket();
        tokio::spawn(async move {
            let recipient = format!("user{number}@example.org");
            let mut client = Client::connect(&listener).await;
            meaning(&client.recipient(&Rcpt::to(&recipient)).await)
        })
    });
    for answer in asking.collect::<Vec<_>>() {
        assert_eq!(answer.await.unwrap(), Answer::Yes);
    }
    let sessions = finished(&scene).await;
    assert!(sessions.iter().all(|session| session.rcpt <= 3));
    assert_eq!(sessions.iter().map(|session| session.rcpt).sum::<u32>(), 60);
    // One that says goodbye still counts at the remote while its place is taken anew.
    assert!(scene.remote.most_open() <= 8, "{}", scene.remote.most_open());
}

// Fills directory.NAME.limits.rcpt-errors.
#[tokio::test(flavor = "multi_thread")]
async fn a_remote_session_bears_limits_rcpt_errors_refusals() {
    for protocol in [Protocol::Smtp, Protocol::Lmtp] {
        let scene = Setup::new(options(protocol))
            .directory("limits.rcpt-errors = 2\npool.idle-timeout = \"200ms\"")
            .start()
            .await;
        let mut client = scene.policy().await;
        // What is accepted between them does not make up for a refusal.
        for recipient in [
            "a@example.org", JANE, "b@example.org", "c@example.org", JANE, JANE, NOBODY,
        ] {
            let expected = if recipient == JANE {
                Answer::Yes
            } else {
                Answer::No
            };
            let action = client.recipient(&Rcpt::to(recipient)).await;
            assert_eq!(meaning(&action), expected, "{recipient}");
        }
        let refused: Vec<u32> = finished(&scene)
            .await
            .iter()
            .map(|session| session.rcpt_refused)
            .collect();
        assert_kept(&refused, 2, 4);
    }
}

// Fills directory.NAME.limits.auth-errors.
#[tokio::test(flavor = "multi_thread")]
async fn a_remote_session_bears_limits_auth_errors_refusals() {
    for protocol in [Protocol::Imap, Protocol::Smtp] {
        let scene = Setup::new(options(protocol))
            .directory("limits.auth-errors = 2\npool.idle-timeout = \"200ms\"")
            .start()
            .await;
        for _ in 0..5 {
            assert_eq!(scene.login(JANE, "wrong").await, Answer::No);
        }
        let failed: Vec<u32> = finished(&scene)
            .await
            .iter()
            .map(|session| session.auth_failed)
            .collect();
        assert_kept(&failed, 2, 5);
    }
}
