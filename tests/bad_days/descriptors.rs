//! Too few descriptors for all who come.

use std::process::Command;
use std::time::Duration;

use remote::Server;
use tokio::time::{Instant, sleep, timeout};

use crate::asker::{Answer, Client, Rcpt, meaning};
use crate::machine::{FORGETFUL, JANE, Machine, NOBODY, options};
use crate::support::{Scratch, skipped};

const PATIENCE: Duration = Duration::from_secs(40);

/// The answers to all at once, on connections that are there.
async fn all_right(clients: &mut [Client]) {
    let asking = clients.iter_mut().enumerate().map(|(number, client)| async move {
        let (name, right) = match number % 2 {
            0 => (JANE, Answer::Yes),
            _ => (NOBODY, Answer::No),
        };
        let port = u16::try_from(number).unwrap();
        let request = Rcpt {
            port,
            ..Rcpt::to(name)
        };
        assert_eq!(meaning(&client.recipient(&request).await), right, "{number}");
    });
    futures_util::future::join_all(asking).await;
}

/// Clients who come in numbers take no session from those who are served.
#[tokio::test(flavor = "multi_thread")]
async fn clients_leave_descriptors_to_sessions() {
    let remote = Server::start(options()).unwrap();
    let machine = Machine::new(Scratch::new(), &remote.address().to_string(), FORGETFUL)
        .start(&[], "ulimit -n 150")
        .await;
    let mut served = Vec::new();
    let mut turned_away = 0;
    while turned_away < 20 {
        assert!(served.len() < 150, "nobody is turned away");
        let mut client = machine.client().await;
        let asked = client.send(Rcpt::to(JANE).bytes()).await;
        match if asked.is_ok() {
            client.action().await
        } else {
            None
        } {
            Some(action) => {
                assert_eq!(meaning(&action), Answer::Yes);
                served.push(client);
            }
            None => turned_away += 1,
        }
    }
    assert!(served.len() >= 50, "{} are served", served.len());
    for _ in 0..3 {
        remote.hang_up(false);
        assert!(remote.wait_until(PATIENCE, |remote| remote.open() == 0).await);
        all_right(&mut served).await;
    }
    assert_eq!(
        machine.count("file descriptors for clients are taken"),
        1,
        "{}",
        machine.log()
    );
    drop(served);
    let again = machine
        .logged("takes connections again", async || {
            let mut client = machine.client().await;
            // It may be turned away, as long as not all of them have left.
            if client.send(Rcpt::to(JANE).bytes()).await.is_ok() {
                client.action().await;
            }
        })
        .await;
    assert!(again.contains("connections not taken"), "{again}");
    machine.is_right_again().await;
}

fn allow(pid: u32, descriptors: &str) {
    let set = Command::new("prlimit")
        .args(["--pid", &pid.to_string(), &format!("--nofile={descriptors}:")])
        .status();
    assert!(set.unwrap().success());
}

/// Not even one more: who is connected is served on, the others wait and are served in the end.
#[tokio::test(flavor = "multi_thread")]
async fn without_any_descriptor_new_clients_wait() {
    if Command::new("prlimit").arg("--version").output().is_err() {
        skipped("not installed: prlimit");
        return;
    }
    let remote = Server::start(options()).unwrap();
    let keys = "pool.idle-timeout = \"600s\"\npool.max-age = \"600s\"\nlimits = { rcpt = \"unlimited\", \
                rcpt-errors = \"unlimited\" }\n";
    let keys = format!("{keys}{FORGETFUL}");
    let machine = Machine::new(Scratch::new(), &remote.address().to_string(), &keys)
        .start(&[], ":")
        .await;
    let mut connected = Vec::new();
    for _ in 0..20 {
        let mut client = machine.client().await;
        assert_eq!(meaning(&client.recipient(&Rcpt::to(JANE)).await), Answer::Yes);
        connected.push(client);
    }
    allow(machine.pid(), "16");
    let mut waiting = Vec::new();
    for _ in 0..5 {
        let mut client = machine.client().await;
        client.send(Rcpt::to(JANE).bytes()).await.unwrap();
        waiting.push(client);
    }
    machine.logged("cannot accept a connection", async || {}).await;
    // One after the other, on the session that is there.
    for client in &mut connected {
        assert_eq!(meaning(&client.recipient(&Rcpt::to(JANE)).await), Answer::Yes);
    }
    sleep(Duration::from_secs(1)).await;
    assert!(
        timeout(Duration::from_millis(100), waiting[0].action())
            .await
            .is_err()
    );
    allow(machine.pid(), "500");
    let end = Instant::now() + PATIENCE;
    for client in &mut waiting {
        let action = timeout(end - Instant::now(), client.action()).await.unwrap();
        assert_eq!(meaning(&action.expect("an answer")), Answer::Yes);
    }
    assert_eq!(
        machine.count("cannot accept a connection"),
        1,
        "{}",
        machine.log()
    );
    machine.is_right_again().await;
}
