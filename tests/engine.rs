//! How many probes, sessions and writes a crowd of questions costs the remote.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::path::Path;
use std::time::Duration;

use futures_util::future::join_all;
use remote::{Account, Options, Protocol, Server};
use tokio::time::Instant;
use vouch::address::Address;
use vouch::config::read;
use vouch::daemon;
use vouch::engine::Engine;
use vouch::verdict::{Client, Kind, Question};

/// A crowd of this size asks at once.
const CROWD: usize = 1000;

/// An LMTP server that knows the crowd's recipients, and an engine in front of it.
fn scene(keys: &str) -> (Server, Engine) {
    let mut options = Options::new(Protocol::Lmtp);
    options.accounts = (0..CROWD)
        .map(|number| Account::new(&format!("u{number}@example.org"), "x"))
        .collect();
    options.limits.recipients = None;
    let server = Server::start(options).unwrap();
    let text = format!(
        "[directory.mailbox]\ntype = \"lmtp\"\naddress = \"127.0.0.1\"\nport = {}\n\
         lookup.domains = [\"example.org\"]\n{keys}",
        server.port()
    );
    let (config, _) = read::parse(Path::new("engine.toml"), &text).unwrap();
    (server, Engine::new(daemon::members(&config, None).unwrap(), None))
}

/// The verdict, with its cause where it has one.
async fn ask(engine: &Engine, recipient: String) -> String {
    let kind = Kind::Recipient(Address::from_typed(&recipient).unwrap());
    let question = Question {
        kind,
        client: Client::default(),
    };
    let verdict = engine
        .decide(question, Instant::now() + Duration::from_secs(30))
        .await
        .verdict;
    format!("{} {}", verdict.name(), verdict.detail())
}

#[tokio::test(flavor = "multi_thread")]
async fn equal_questions_are_one_probe() {
    let (server, engine) = scene("");
    let answers = join_all((0..CROWD).map(|_| ask(&engine, "u7@example.org".into()))).await;
    assert_eq!(answers.iter().find(|answer| *answer != "accept "), None);
    assert_eq!(server.count("RCPT"), 1);
}

// Fills MIN_OPENING_TIME.
#[tokio::test(flavor = "multi_thread")]
async fn different_questions_share_sessions_and_writes() {
    let (server, engine) = scene("limits = { rcpt = 100, rcpt-errors = 100 }\n");
    let answers = join_all((0..CROWD).map(|number| ask(&engine, format!("u{number}@example.org")))).await;
    assert_eq!(answers.iter().find(|answer| *answer != "accept "), None);
    assert_eq!(server.count("RCPT"), CROWD as u64);
    // Ten are enough; one more may start where a busy machine keeps the others.
    let sessions = server.accepted();
    assert!(sessions <= 11, "{sessions} sessions");
    let largest = server
        .sessions()
        .iter()
        .map(|session| session.largest_group)
        .max();
    assert!(largest > Some(1), "{largest:?} commands in one read");
}
