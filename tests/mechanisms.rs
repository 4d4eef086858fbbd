//! Tokens and relayed dialogs between a client that the test plays and a remote that is a reading of the standards of
//! its own.
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

use std::time::Duration;

use asker::{Answer, Client};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use remote::{Account, Options, Protocol};
use scene::{JANE, PASSWORD, Scene, Setup, options};

/// RFC 7677 §3.
const FIRST: &str = "n,,n=user,r=rOprNGfwEbeRWgbNEkqO";
const NONCE: &str = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
const SALT: &str = "W22ZaJ0SNY7soEsUEjb6gQ==";
const PROOF: &str = "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
const SERVER: &str = "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";

fn remotes() -> [Options; 2] {
    [Protocol::Imap, Protocol::Smtp].map(|protocol| {
        let mut options = options(protocol)
            .account(Account::new("user", "pencil"))
            .offering(match protocol {
                Protocol::Imap => &[
                    "IMAP4rev1", "SASL-IR", "ID", "AUTH=PLAIN", "AUTH=SCRAM-SHA-256", "AUTH=XOAUTH2",
                ],
                _ => &["AUTH PLAIN SCRAM-SHA-256 XOAUTH2", "XCLIENT ADDR PORT"],
            });
        options.nonce = Some(NONCE.to_owned());
        options.salt = STANDARD.decode(SALT).unwrap();
        options
    })
}

/// A daemon that knows what its remote offers.
async fn scene(options: Options, level: &'static str) -> Scene {
    let scene = Setup::new(options)
        .auth("mechanisms = [\"PLAIN\", \"SCRAM-SHA-256\", \"XOAUTH2\"]")
        .directory("auth.forward-client = true")
        .level(level)
        .start()
        .await;
    for _ in 0..500 {
        let mut client = Client::connect(&scene.auth_socket()).await;
        let mut greeting = String::new();
        while !greeting.ends_with("DONE\n") {
            greeting += &format!("{}\n", client.line().await.unwrap());
        }
        if greeting.contains("SCRAM-SHA-256\tmutual-auth\nMECH\tXOAUTH2\tplaintext\n") {
            return scene;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("what the remote offers is not greeted");
}

fn encode(text: &str) -> String {
    STANDARD.encode(text)
}

/// The answers to SCRAM with this proof.
async fn scram(scene: &Scene, proof: &str) -> Vec<String> {
    let mut client = scene.auth().await;
    let begin = format!(
        "AUTH\t1\tSCRAM-SHA-256\tservice=imap\trip=192.0.2.7\tresp={}\n",
        encode(FIRST)
    );
    let last = format!("c=biws,r=rOprNGfwEbeRWgbNEkqO{NONCE},p={proof}");
    let mut answers = Vec::new();
    for line in [
        begin,
        format!("CONT\t1\t{}\n", encode(&last)),
        "CONT\t1\t\n".into(),
    ] {
        client.send(&line).await.unwrap();
        answers.push(client.line().await.unwrap());
        if !answers.last().unwrap().starts_with("CONT") {
            break;
        }
    }
    answers
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_is_proved_that_nobody_between_sees() {
    for options in remotes() {
        let protocol = options.protocol;
        let scene = scene(options, "trace").await;
        let challenge = encode(&format!("r=rOprNGfwEbeRWgbNEkqO{NONCE},s={SALT},i=4096"));
        let challenge = format!("CONT\t1\t{challenge}");
        let signature = format!("CONT\t1\t{}", encode(SERVER));
        let good = scram(&scene, PROOF).await;
        assert_eq!(good, [challenge.as_str(), &signature, "OK\t1\tuser=user"]);
        let bad = scram(&scene, &PROOF.replace('d', "e")).await;
        assert_eq!(bad, [challenge.as_str(), "FAIL\t1\tuser=user"]);
        // Nothing of that is remembered: the same proof is good again.
        assert_eq!(scram(&scene, PROOF).await, good);
        scene.sessions_end().await;
        let sessions = scene.remote.sessions();
        let told = |line: &String| line.contains("192.0.2.7");
        let asked: Vec<_> = sessions
            .iter()
            .filter(|session| session.commands.iter().any(told))
            .collect();
        assert_eq!(asked.len(), 2, "{protocol:?}: a refusal does not end a session");
        for session in &sessions {
            assert_eq!(session.violations, Vec::<String>::new(), "{protocol:?}");
        }
        let log = scene.log();
        assert!(
            log.contains(" C: ") && !log.contains(PROOF) && !log.contains(&encode(PROOF)),
            "{log}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dialog_that_is_left_closes_its_session() {
    for options in remotes() {
        let scene = scene(options, "debug").await;
        let mut client = scene.auth().await;
        let begin = format!("AUTH\t1\tSCRAM-SHA-256\tservice=imap\tresp={}\n", encode(FIRST));
        client.send(&begin).await.unwrap();
        assert!(client.line().await.unwrap().starts_with("CONT\t1\t"));
        assert_eq!(scene.remote.open(), 1);
        drop(client);
        scene.sessions_end().await;
        assert_eq!(scene.login(JANE, PASSWORD).await, Answer::Yes);
        let sessions = scene.remote.sessions();
        assert!(
            sessions
                .iter()
                .any(|session| session.commands.iter().any(|line| line == "*"))
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_not_printed() {
    for options in remotes() {
        let scene = scene(options, "trace").await;
        for (token, expected) in [(PASSWORD, "OK"), ("ya29.n0t-the-token-of-jane", "CONT")] {
            let message = encode(&format!("user={JANE}\u{1}auth=Bearer {token}\u{1}\u{1}"));
            let mut client = scene.auth().await;
            let line = format!("AUTH\t1\tXOAUTH2\tservice=imap\tresp={message}\n");
            client.send(&line).await.unwrap();
            let answer = client.line().await.unwrap();
            assert!(answer.starts_with(expected), "{answer}");
            if expected == "CONT" {
                assert_eq!(
                    answer,
                    format!("CONT\t1\t{}", encode(r#"{"status":"invalid_token"}"#))
                );
                client.send("CONT\t1\t\n").await.unwrap();
                assert_eq!(client.line().await.unwrap(), format!("FAIL\t1\tuser={JANE}"));
            }
            let log = scene.log();
            assert!(!log.contains(token) && !log.contains(&message), "{log}");
        }
    }
}
