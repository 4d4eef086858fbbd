//! The penalty of a listener, and its `deny`.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use remote::Protocol;

use crate::asker::{Answer, Client, Login, Rcpt, meaning};
use crate::scene::{JANE, NOBODY, PASSWORD, Setup, options};
use crate::{LIMIT, assert_logged, logins_probed};

/// A guess at JANE that no memory knows.
async fn guess(client: &mut Client, number: u32) -> Answer {
    client.login(&Login::of(JANE, &format!("guess {number}"))).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guesser_is_answered_late_and_then_not_at_all() {
    for protocol in [Protocol::Imap, Protocol::Smtp] {
        let scene = Setup::new(options(protocol))
            .auth("penalty = { after = 2, delay = \"300ms\", max-delay = \"400ms\", refuse-after = 4 }")
            .start()
            .await;
        let mut client = scene.auth().await;
        for (number, late) in [(0, 0), (1, 0), (2, 300), (3, 400)] {
            let asked = Instant::now();
            assert_eq!(guess(&mut client, number).await, Answer::No);
            assert!(asked.elapsed() >= Duration::from_millis(late), "{number}");
        }
        let probes = logins_probed(&scene);
        let right = Login::of(JANE, PASSWORD);
        // Neither another connection nor the right password is a way around it.
        for client in [&mut client, &mut scene.auth().await] {
            let asked = Instant::now();
            assert_eq!(client.login(&right).await, Answer::Later);
            assert!(asked.elapsed() >= Duration::from_millis(400));
        }
        assert_eq!(logins_probed(&scene), probes, "no probe beyond the penalty");
        let elsewhere = Login {
            rip: "192.0.2.2",
            ..right
        };
        assert_eq!(client.login(&elsewhere).await, Answer::Yes);

        assert_logged(
            &scene,
            "delayed_ms=",
            &[
                "verdict=reject", "source=probe", "client=192.0.2.1", "listener=auth",
            ],
        )
        .await;
        assert_logged(
            &scene,
            "source=penalty",
            &["verdict=defer", "cause=limit", "delayed_ms="],
        )
        .await;
        let told = scene.log();
        let told = told
            .lines()
            .filter(|line| line.contains("penalty: answers to this client"));
        assert_eq!(told.count(), 1, "once, not once a question");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_held_back_holds_nothing_else() {
    let mut scene = Setup::new(options(Protocol::Imap))
        .directory("pool.max-sessions = 1")
        .auth("penalty = { after = 1, delay = \"50s\", max-delay = \"50s\" }")
        .start()
        .await;
    let mut client = scene.auth().await;
    assert_eq!(guess(&mut client, 0).await, Answer::No);
    let wrong = Login::of(JANE, "another guess");
    client.send(wrong.bytes(2)).await.unwrap();
    // The remote's only session is free for the same connection, and for others.
    let elsewhere = Login {
        rip: "192.0.2.2",
        ..Login::of(JANE, PASSWORD)
    };
    for _ in 0..3 {
        assert_eq!(client.login(&elsewhere).await, Answer::Yes);
        assert_eq!(scene.auth().await.login(&elsewhere).await, Answer::Yes);
    }
    // Nor does the daemon's end wait for it.
    assert!(scene.stop().await);
    assert_eq!(wrong.answer(2, client.line().await.as_deref()), Answer::No);
    assert_eq!(client.line().await, None);
}

// Fills HELD.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_may_have_thousands_of_answers_held_back() {
    /// What may be held back of one connection, and some.
    const LOGINS: u32 = 4096 + 100;
    let mut scene = Setup::new(options(Protocol::Imap))
        .listeners("limits.auth-errors = \"unlimited\"")
        .auth("penalty = { after = 1, delay = \"50s\", max-delay = \"50s\" }")
        .start()
        .await;
    let mut client = scene.auth().await;
    assert_eq!(guess(&mut client, 0).await, Answer::No);
    let wrong = Login::of(JANE, "wrong");
    let requests: String = (1..=LOGINS).map(|id| wrong.bytes(id)).collect();
    client.send_hearing(requests).await;
    let mut open: HashSet<u32> = (1..=LOGINS).collect();
    let mut hear = async |open: &mut HashSet<u32>| {
        let line = client.line().await.expect("an answer to each");
        let id = line
            .strip_prefix("FAIL\t")
            .and_then(|rest| rest.split('\t').next());
        let id = id.and_then(|id| id.parse().ok());
        assert!(id.is_some_and(|id| open.remove(&id)), "{line}");
    };
    for _ in 0..100 {
        hear(&mut open).await;
    }
    let hearing = async {
        while !open.is_empty() {
            hear(&mut open).await;
        }
    };
    let (stopped, ()) = tokio::join!(scene.stop(), hearing);
    assert!(stopped);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_tries_recipients_is_answered_late_where_that_is_wanted() {
    let scene = Setup::new(options(Protocol::Lmtp))
        .listeners("penalty = { after = 2, delay = \"300ms\", max-delay = \"300ms\", refuse-after = 3 }")
        .start()
        .await;
    let mut client = scene.policy().await;
    for (recipient, late) in [
        ("a@example.org", 0),
        ("a@example.org", 0),
        ("b@example.org", 0),
        ("c@example.org", 300),
    ] {
        let asked = Instant::now();
        assert_eq!(meaning(&client.recipient(&Rcpt::to(recipient)).await), Answer::No);
        assert!(asked.elapsed() >= Duration::from_millis(late), "{recipient}");
    }
    let probes = scene.remote.count("RCPT");
    assert_eq!(client.recipient(&Rcpt::to(JANE)).await, LIMIT);
    assert_eq!(scene.remote.count("RCPT"), probes, "no probe beyond the penalty");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_denied_costs_no_probe() {
    let scene = Setup::new(options(Protocol::Smtp))
        .listeners("deny = [\"192.0.2.0/24\"]")
        .start()
        .await;
    assert_eq!(scene.policy().await.recipient(&Rcpt::to(NOBODY)).await, "DUNNO");
    assert_eq!(scene.login(JANE, PASSWORD).await, Answer::Later);
    let elsewhere = Login {
        rip: "198.51.100.2",
        ..Login::of(JANE, PASSWORD)
    };
    assert_eq!(scene.auth().await.login(&elsewhere).await, Answer::Yes);
    assert_eq!(scene.remote.count("RCPT") + logins_probed(&scene), 1);
    assert_logged(
        &scene,
        "question=login",
        &["source=access", "verdict=defer", "cause=policy"],
    )
    .await;
}
