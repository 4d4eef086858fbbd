//! Questions whose client waits no more.

use std::time::{Duration, Instant};

use remote::Protocol;

use crate::asker::{Answer, Login, Rcpt};
use crate::scene::{JANE, PASSWORD, Scene, Setup, options};
use crate::{assert_logged, logins_probed};

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
        while logins_probed(&scene) == 0 {
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
        assert!(logins_probed(&scene) <= 3, "{}", logins_probed(&scene));
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
    assert_logged(
        &scene,
        "answer=\"too late\"",
        &["verdict=reject", "about=jane@example.org", "client=192.0.2.1"],
    )
    .await;
    let asked = logins_probed(&scene);
    assert_eq!(client.login(&Login::of(JANE, PASSWORD)).await, Answer::Later);
    scene.logged("source=limit").await;
    assert_eq!(logins_probed(&scene), asked, "no probe beyond the limit");
}
