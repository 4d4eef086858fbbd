//! SIGTERM while questions are under way.

use std::os::unix::net::UnixStream;
use std::time::Duration;

use remote::{Account, Protocol};

use crate::asker::{Answer, Client, Login, Rcpt, meaning};
use crate::scene::{JANE, NOBODY, PASSWORD, PATIENCE, Setup, options};

#[tokio::test(flavor = "multi_thread")]
async fn what_was_asked_before_sigterm_is_answered() {
    let mut slow = options(Protocol::Smtp);
    let mut account = Account::new(JANE, PASSWORD);
    account.delay = Duration::from_millis(400);
    slow.accounts = vec![account];
    let mut scene = Setup::new(slow).directory("pool.max-sessions = 50").start().await;
    let (policy, auth) = (scene.policy_socket(), scene.auth_socket());
    let mut asking = Vec::new();
    for number in 0..30u16 {
        let mut client = Client::connect(&policy).await;
        let jane = Rcpt {
            port: number,
            ..Rcpt::to(JANE)
        };
        let nobody = Rcpt {
            recipient: NOBODY.as_bytes(),
            ..jane
        };
        // Two requests in one write: the second is asked as well.
        client
            .send([jane.bytes(), nobody.bytes()].concat())
            .await
            .unwrap();
        asking.push(tokio::spawn(async move {
            let first = client.action().await.map(|action| meaning(&action));
            let second = client.action().await.map(|action| meaning(&action));
            assert_eq!(client.line().await, None, "hung up in the end");
            (first, second)
        }));
        let mut client = Client::auth(&auth).await;
        let right = Login::of(JANE, PASSWORD);
        let wrong = Login::of(JANE, "wrong");
        client.send(right.bytes(1) + &wrong.bytes(2)).await.unwrap();
        asking.push(tokio::spawn(async move {
            let mut answers = [None, None];
            for _ in 0..2 {
                let line = client.line().await.expect("an answer before the end");
                let id = if line.contains("\t1\t") { 1 } else { 2 };
                answers[id - 1] = Some(right.answer(id as u32, Some(&line)));
            }
            assert_eq!(client.line().await, None, "hung up in the end");
            (answers[0], answers[1])
        }));
    }
    // The last of them was asked, the first not yet answered.
    assert!(
        scene
            .remote
            .wait_until(PATIENCE, |remote| remote.count("AUTH") > 0)
            .await
    );
    assert!(scene.stop().await, "exit status 0");
    for answers in asking {
        assert_eq!(answers.await.unwrap(), (Some(Answer::Yes), Some(Answer::No)));
    }
    for listener in [policy, auth] {
        assert!(!listener.exists(), "{} is left", listener.display());
        assert!(UnixStream::connect(&listener).is_err());
    }
    assert!(scene.log().contains("drained"), "{}", scene.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_in_the_backlog_at_sigterm_are_let_in_and_answered() {
    let mut scene = Setup::new(options(Protocol::Smtp)).start().await;
    scene.daemon().freeze();
    let jane = Login::of(JANE, PASSWORD);
    let (mut policy, mut auth) = (Vec::new(), Vec::new());
    for port in 1..=60u16 {
        let mut client = Client::connect(&scene.policy_socket()).await;
        let question = Rcpt {
            port,
            ..Rcpt::to(JANE)
        };
        client.send(question.bytes()).await.unwrap();
        policy.push(client);
        let mut client = Client::connect(&scene.auth_socket()).await;
        let handshake = format!("VERSION\t1\t2\nCPID\t{port}\n{}", jane.bytes(1));
        client.send(handshake).await.unwrap();
        auth.push(client);
    }
    scene.daemon().wake_to_end();
    for client in &mut policy {
        let action = client.action().await.expect("an answer before the end");
        assert_eq!(meaning(&action), Answer::Yes);
    }
    for client in &mut auth {
        while client.line().await.expect("a whole greeting") != "DONE" {}
        assert_eq!(jane.answer(1, client.line().await.as_deref()), Answer::Yes);
    }
    assert!(scene.stop().await, "exit status 0");
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_ask_nothing_do_not_hold_up_the_end() {
    let mut scene = Setup::new(options(Protocol::Smtp)).start().await;
    let mut silent = scene.policy().await;
    let mut greeted = scene.auth().await;
    let mut half = scene.policy().await;
    half.send("request=smtpd_access_policy\nrecipient=ja")
        .await
        .unwrap();
    let mut in_dialog = scene.auth().await;
    in_dialog
        .send("AUTH\t1\tLOGIN\tservice=imap\tnologin\n")
        .await
        .unwrap();
    assert_eq!(in_dialog.line().await.as_deref(), Some("CONT\t1\tVXNlcm5hbWU6"));
    assert!(scene.stop().await, "exit status 0");
    for client in [&mut silent, &mut greeted, &mut half, &mut in_dialog] {
        assert_eq!(client.rest().await, "");
    }
}
