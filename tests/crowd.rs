//! As many clients as `max-connections` allows by default, most of them idle: the others are answered, one more is
//! turned away, and nobody notices.
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
#[allow(dead_code, unused_imports, reason = "other tests need more of it")]
mod support;

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use asker::{Answer, Client, Rcpt, meaning};
use futures_util::future::join_all;
use remote::{Account, Options, Protocol, Server};
use support::process::raise_descriptors;
use support::{Scratch, Vouch};
use tokio::task::spawn_blocking;
use tokio::time::sleep;

/// Clients who have asked something and are idle, and clients who ask: together the default of `max-connections`.
const IDLE: usize = 9000;
const ASKING: usize = 1000;

/// Descriptors that either process needs beside those of the clients.
const OTHERS: usize = 500;

const PATIENCE: Duration = Duration::from_secs(40);

/// So many clients are idle here, with as many descriptors as this process may have.
fn idle() -> usize {
    let room = raise_descriptors();
    let idle = IDLE.min(room.saturating_sub(ASKING + OTHERS));
    if idle < IDLE {
        println!("NOTE: only {idle} idle clients: ulimit -Hn is {room}");
    }
    idle
}

/// The name that a client asks about, and the answer.
fn question(number: usize) -> (String, Answer) {
    match number % 3 {
        0 => (format!("nobody{number}@example.org"), Answer::No),
        _ => (format!("user{number}@example.org"), Answer::Yes),
    }
}

async fn ask(client: &mut Client, number: usize) {
    let (name, right) = question(number);
    let request = Rcpt {
        port: u16::try_from(number % 60_000).unwrap(),
        ..Rcpt::to(&name)
    };
    let action = client.recipient(&request).await;
    assert_eq!(meaning(&action), right, "{name}");
}

async fn serve(scratch: &Arc<Scratch>, remote: &Server, most: usize) -> (Vouch, PathBuf) {
    let listener = scratch.path("policy");
    let config = format!(
        "[directory.remote]\ntype = \"lmtp\"\naddress = \"127.0.0.1\"\nport = {}\n\
         lookup.domains = [\"example.org\"]\nlimits = {{ rcpt = 1000, rcpt-errors = 1000 }}\n\
         [listener.listener]\nprotocol = \"policy\"\nsocket = \"{}\"\ndirectory = [\"remote\"]\n\
         max-connections = {most}\n",
        remote.port(),
        listener.display()
    );
    let (scratch, socket) = (scratch.clone(), listener.clone());
    let serving = spawn_blocking(move || Vouch::serve(&scratch, &config, &[&socket]));
    (serving.await.unwrap(), listener)
}

#[tokio::test(flavor = "multi_thread")]
async fn nine_thousand_are_idle_a_thousand_ask_and_one_more_is_turned_away() {
    let idle = idle();
    let most = idle + ASKING;
    let mut options = Options::new(Protocol::Lmtp);
    options.record = false;
    options.accounts = (0..most)
        .map(|number| Account::new(&format!("user{number}@example.org"), "x"))
        .collect();
    let remote = Server::start(options).unwrap();
    let scratch = Arc::new(Scratch::new());
    let (vouch, listener) = serve(&scratch, &remote, most).await;
    let before = vouch.resident();
    let mut sleeping = Vec::new();
    for number in 0..idle {
        let mut client = Client::connect(&listener).await;
        // Some have never said a word.
        if number % 4 > 0 {
            ask(&mut client, number % 50).await;
        }
        sleeping.push(client);
    }
    let mut asking = Vec::new();
    for number in 0..ASKING {
        let mut client = Client::connect(&listener).await;
        ask(&mut client, number % 50).await;
        asking.push(client);
    }
    println!(
        "{most} connected: {:.1} MiB resident, {before:.1} before",
        vouch.resident()
    );
    let all = async |asking: &mut Vec<Client>, first: usize| {
        let each = asking.iter_mut().enumerate();
        join_all(each.map(|(number, client)| ask(client, first + number))).await;
    };
    all(&mut asking, 1000).await;
    // One more, again and again, while the others ask on.
    let (_, ()) = tokio::join!(all(&mut asking, 2000), async {
        for _ in 0..50 {
            let turned_away = Client::connect(&listener).await.rest().await;
            assert_eq!(turned_away, "", "closed without a word");
        }
    });
    let log = || fs::read_to_string(scratch.path("vouch.log")).unwrap();
    let refused = format!("all {most} connections (max-connections) are taken");
    let end = Instant::now() + PATIENCE;
    while !log().contains(&refused) {
        assert!(Instant::now() < end, "{}", log());
        sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(log().matches(&refused).count(), 1);
    for (number, client) in sleeping.iter_mut().enumerate().step_by(10) {
        ask(client, number % 50).await;
    }
    // One leaves, another gets its place.
    drop(sleeping.pop());
    let end = Instant::now() + PATIENCE;
    loop {
        let mut client = Client::connect(&listener).await;
        let request = Rcpt::to("user1@example.org");
        if client.send(request.bytes()).await.is_ok()
            && let Some(action) = client.action().await
        {
            assert_eq!(meaning(&action), Answer::Yes);
            break;
        }
        assert!(Instant::now() < end, "nobody gets the place");
        sleep(Duration::from_millis(50)).await;
    }
}
