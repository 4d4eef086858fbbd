//! A listener's limits of recipients.

use remote::Protocol;

use crate::asker::{Answer, Rcpt, meaning};
use crate::scene::{JANE, NOBODY, Setup, options};
use crate::{LIMIT, assert_logged};

// Fills listener.NAME.limits.rcpt.
#[tokio::test(flavor = "multi_thread")]
async fn a_message_asks_listener_rcpt_times() {
    let mut options = options(Protocol::Smtp);
    options.catch_all = true;
    let scene = Setup::new(options).listeners("limits.rcpt = 3").start().await;
    let mut client = scene.policy().await;
    for recipient in ["a@example.org", "b@example.org", "c@example.org"] {
        assert_eq!(client.recipient(&Rcpt::to(recipient)).await, "DUNNO");
    }
    let fourth = Rcpt::to("d@example.org");
    assert_eq!(client.recipient(&fourth).await, LIMIT);
    // On another connection of Postfix it is the same message.
    assert_eq!(scene.policy().await.recipient(&fourth).await, LIMIT);
    assert_eq!(scene.remote.count("RCPT"), 3, "no probe beyond the limit");
    let next_message = Rcpt {
        instance: "58d9.6b0369c5.90b00.1",
        ..fourth
    };
    assert_eq!(client.recipient(&next_message).await, "DUNNO");

    let other_client = Rcpt {
        port: 50919,
        ..fourth
    };
    assert_eq!(client.recipient(&other_client).await, "DUNNO");
    // Addresses that are nobody's here cost nothing, and are told nothing of limits.
    assert_eq!(client.recipient(&Rcpt::to("a@elsewhere.example")).await, "DUNNO");
    assert_eq!(scene.remote.count("RCPT"), 5);
    assert_logged(
        &scene,
        "source=limit",
        &[
            "verdict=defer", "cause=limit", "about=d@example.org", "listener=policy",
        ],
    )
    .await;
}

// Fills listener.NAME.limits.rcpt-errors.
#[tokio::test(flavor = "multi_thread")]
async fn an_smtp_session_bears_listener_rcpt_errors() {
    let scene = Setup::new(options(Protocol::Lmtp))
        .listeners("limits.rcpt-errors = 2")
        .start()
        .await;
    let mut client = scene.policy().await;
    for (recipient, expected) in [
        ("a@example.org", Answer::No),
        (JANE, Answer::Yes),
        ("b@example.org", Answer::No),
    ] {
        assert_eq!(meaning(&client.recipient(&Rcpt::to(recipient)).await), expected);
    }
    let probes = scene.remote.count("RCPT");
    let next = Rcpt::to("c@example.org");
    assert_eq!(client.recipient(&next).await, LIMIT);
    assert_eq!(scene.remote.count("RCPT"), probes, "no probe beyond the limit");
    let other_client = Rcpt { port: 50919, ..next };
    assert_eq!(meaning(&client.recipient(&other_client).await), Answer::No);
    // This message had an accepted recipient: with the next of the session, unknown ones count anew.
    let next_message = Rcpt {
        instance: "58d9.6b0369c5.90b00.1",
        recipient: b"d@example.org",
        ..next
    };
    assert_eq!(meaning(&client.recipient(&next_message).await), Answer::No);
}

#[tokio::test(flavor = "multi_thread")]
async fn sixty_messages_of_one_session_with_an_unknown_recipient_each_are_delivered() {
    let scene = Setup::new(options(Protocol::Lmtp)).start().await;
    let mut client = scene.policy().await;
    for message in 0..60 {
        let instance = format!("58d9.6b0369c5.{:x}.{message}", 0x90a1c + message);
        let unknown = format!("nobody{message}@example.org");
        for (recipient, expected) in [(&*unknown, Answer::No), (JANE, Answer::Yes)] {
            let asked = Rcpt {
                instance: &instance,
                ..Rcpt::to(recipient)
            };
            assert_eq!(meaning(&client.recipient(&asked).await), expected, "{recipient}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retried_policy_request_is_not_counted_twice() {
    let scene = Setup::new(options(Protocol::Lmtp))
        .listeners("limits.rcpt = 3\nlimits.rcpt-errors = 2")
        .start()
        .await;
    // Postfix asks again on a new connection when the old one failed it.
    for _ in 0..4 {
        assert_eq!(scene.recipient(NOBODY).await, Answer::No);
        assert_eq!(scene.recipient(JANE).await, Answer::Yes);
    }
    assert_eq!(scene.recipient("b@example.org").await, Answer::No);
    let next = Rcpt::to("c@example.org");
    assert_eq!(scene.policy().await.recipient(&next).await, LIMIT);
    assert_eq!(
        scene.recipient(NOBODY).await,
        Answer::No,
        "and what was asked before is answered still"
    );
}
