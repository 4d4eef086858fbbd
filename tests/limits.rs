//! Limits, shown where they bind: a directory's by counting at the remote, a listener's at the listener.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test stops at the first surprise and prints what it saw"
)]

#[allow(dead_code, reason = "other tests need more of it")]
#[path = "support/asker.rs"]
mod asker;
#[allow(dead_code, reason = "other tests need more of it")]
#[path = "support/scene.rs"]
mod scene;
#[allow(dead_code, unused_imports, reason = "other tests need more of it")]
mod support;

use std::collections::HashSet;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use asker::{Answer, Login, Rcpt, meaning};
use remote::{End, Protocol, SessionLog};
use scene::{JANE, NOBODY, PASSWORD, Scene, Setup, options};

/// What a policy listener says beyond a limit, by default.
const LIMIT: &str = "450 4.7.1 Too many recipients in one session, try again later";

/// Probes of logins that the remote has seen.
fn logins(scene: &Scene) -> u64 {
    scene.remote.count("AUTHENTICATE") + scene.remote.count("AUTH")
}

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
            let mut client = asker::Client::connect(&listener).await;
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
    let line = scene.logged("source=limit").await;
    for part in [
        "verdict=defer", "cause=limit", "about=d@example.org", "listener=policy",
    ] {
        assert!(line.contains(part), "{part} in {line}");
    }
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

// Fills listener.NAME.limits.auth-errors.
#[tokio::test(flavor = "multi_thread")]
async fn a_login_client_bears_listener_auth_errors() {
    for protocol in [Protocol::Imap, Protocol::Smtp] {
        let scene = Setup::new(options(protocol))
            .listeners("limits.auth-errors = 2")
            .start()
            .await;
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
        let probes = logins(&scene);
        assert_eq!(
            client.login(&right).await,
            Answer::Later,
            "even the right password"
        );
        assert_eq!(client.login(&wrong("c")).await, Answer::Later);
        assert_eq!(logins(&scene), probes, "no probe beyond the limit");

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
        let line = scene.logged("source=limit").await;
        for part in [
            "verdict=defer", "cause=limit", "client=192.0.2.1", "listener=auth",
        ] {
            assert!(line.contains(part), "{part} in {line}");
        }
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
        let scene = Setup::new(options(protocol))
            .listeners("limits.auth-errors = 2")
            .start()
            .await;
        let mut client = scene.auth().await;
        let right = Login {
            service: "smtp",
            ..Login::of(JANE, PASSWORD)
        };
        for password in ["a", "b"] {
            let wrong = Login { password, ..right };
            assert_eq!(client.login(&wrong).await, Answer::No);
        }
        let probes = logins(&scene);
        // Postfix is told "later" by hanging up, and connects again: from the same process.
        for _ in 0..3 {
            assert_eq!(client.login(&right).await, Answer::Later);
            assert_eq!(client.line().await, None, "hung up");
            client = scene.auth().await;
        }
        assert_eq!(logins(&scene), probes, "no probe beyond the limit");
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

/// A guess at JANE that no memory knows.
async fn guess(client: &mut asker::Client, number: u32) -> Answer {
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
        let probes = logins(&scene);
        let right = Login::of(JANE, PASSWORD);
        // Neither another connection nor the right password is a way around it.
        for client in [&mut client, &mut scene.auth().await] {
            let asked = Instant::now();
            assert_eq!(client.login(&right).await, Answer::Later);
            assert!(asked.elapsed() >= Duration::from_millis(400));
        }
        assert_eq!(logins(&scene), probes, "no probe beyond the penalty");
        let elsewhere = Login {
            rip: "192.0.2.2",
            ..right
        };
        assert_eq!(client.login(&elsewhere).await, Answer::Yes);

        let line = scene.logged("delayed_ms=").await;
        for part in [
            "verdict=reject", "source=probe", "client=192.0.2.1", "listener=auth",
        ] {
            assert!(line.contains(part), "{part} in {line}");
        }
        let line = scene.logged("source=penalty").await;
        for part in ["verdict=defer", "cause=limit", "delayed_ms="] {
            assert!(line.contains(part), "{part} in {line}");
        }
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
    assert_eq!(scene.remote.count("RCPT") + logins(&scene), 1);
    let line = scene.logged("question=login").await;
    for part in ["source=access", "verdict=defer", "cause=policy"] {
        assert!(line.contains(part), "{part} in {line}");
    }
}

/// Logins that the remote sees to the end of one after the other, each after half a second.
async fn slow(listeners: &str) -> Scene {
    let mut options = options(Protocol::Imap);
    options.delays.failed_login = Duration::from_millis(500);
    Setup::new(options)
        .directory("pool.max-sessions = 1")
        .auth(listeners)
        .start()
        .await
}

// Fills LEFT_CHECK.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_has_gone_is_asked_for_no_more() {
    let guesses: String = (1..=20)
        .map(|id| Login::of(JANE, &format!("guess {id}")).bytes(id))
        .collect();
    let cancels: String = (1..=20).map(|id| format!("CANCEL\t{id}\n")).collect();
    for cancelled in [true, false] {
        let scene = slow("").await;
        let mut client = scene.auth().await;
        client.send_hearing(guesses.clone()).await;
        while logins(&scene) == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        if cancelled {
            client.send_hearing(cancels.clone()).await;
        } else {
            drop(client);
        }
        let began = Instant::now();
        assert_eq!(scene.login(JANE, PASSWORD).await, Answer::Yes);
        // The first was sent already; another may have been.
        assert!(logins(&scene) <= 3, "{}", logins(&scene));
        assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recipient_is_asked_about_no_more_when_its_client_has_gone() {
    let mut options = options(Protocol::Lmtp);
    options.delays.reply = Duration::from_millis(300);
    options.capabilities.retain(|offered| offered != "PIPELINING");
    let scene = Setup::new(options)
        .directory("pool.max-sessions = 1")
        .also("socketmap")
        .start()
        .await;
    let mut clients = Vec::new();
    for number in 0..10 {
        let recipient = format!("nobody{number}@example.org");
        let mut policy = scene.policy().await;
        policy.send_hearing(Rcpt::to(&recipient).bytes()).await;
        let mut map = scene.listener("socketmap").await;
        let key = format!("recipients map-{recipient}");
        map.send_hearing(format!("{}:{key},", key.len())).await;
        clients.push((policy, map));
    }
    while scene.remote.count("RCPT") == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    drop(clients);
    assert_eq!(scene.recipient(JANE).await, Answer::Yes);
    // It is looked for them once a second, and some were asked about before.
    let asked = scene.remote.count("RCPT");
    assert!(asked <= 10, "{asked}");
}

#[tokio::test(flavor = "multi_thread")]
async fn guesses_count_that_the_remote_answers_too_late() {
    let scene = slow("deadline = \"200ms\"\nlimits.auth-errors = 1").await;
    let mut client = scene.auth().await;
    let guess = Login::of(JANE, "guess");
    assert_eq!(client.login(&guess).await, Answer::Later);
    let line = scene.logged("answer=\"too late\"").await;
    for part in ["verdict=reject", "about=jane@example.org", "client=192.0.2.1"] {
        assert!(line.contains(part), "{part} in {line}");
    }
    let asked = logins(&scene);
    assert_eq!(client.login(&Login::of(JANE, PASSWORD)).await, Answer::Later);
    scene.logged("source=limit").await;
    assert_eq!(logins(&scene), asked, "no probe beyond the limit");
}
