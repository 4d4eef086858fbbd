//! Recipients that nobody was asked about yet, against a client that does nothing but ask.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use remote::{Protocol, Server};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use vouch::address::Address;
use vouch::config::read;
use vouch::daemon;
use vouch::engine::Engine;
use vouch::verdict::{Client, Kind, Question};

use crate::stage::{median, options, rate, runtime};
use crate::table::{Goal, Table, short};

/// Questions that wait at once.
const WAITING: usize = 1000;
const SESSION: usize = 1000;
const GROUP: usize = 100;
const TURNS: usize = 5;
const TURN: Duration = Duration::from_secs(1);

/// The engine is asked in this process, where the remote and the bare client are as well: what the listener adds is
/// measured where answers come from memory.
pub(crate) fn measure(table: &mut Table) {
    let what =
        "recipients by LMTP, nothing remembered, limits 1000: probes/s against a bare pipelined client";
    compare(table, what, Duration::ZERO);
    let what = "the same, at a remote with 5 ms of latency";
    compare(table, what, Duration::from_millis(5));
}

fn compare(table: &mut Table, what: &'static str, latency: Duration) {
    let mut options = options(Protocol::Lmtp);
    options.catch_all = true;
    options.delays.latency = latency;
    let runtime = runtime();
    runtime.block_on(async {
        let remote = Server::start(options).unwrap();
        let engine = Arc::new(engine(&remote));
        let (mut ours, mut bare) = (Vec::new(), Vec::new());
        for turn in 0..TURNS {
            bare.push(bare_client(remote.port()).await);
            ours.push(ask(&engine, turn).await);
        }
        let ratios = ours.iter().zip(&bare).map(|(ours, bare)| ours / bare).collect();
        let seen = format!("{} probes/s, bare {}", short(median(ours)), short(median(bare)));
        table.row(what, Goal::AtLeast(0.65), median(ratios), "", seen);
    });
}

fn engine(remote: &Server) -> Engine {
    let text = format!(
        "[directory.remote]\ntype = \"lmtp\"\naddress = \"localhost\"\nport = {}\n\
         lookup.domains = [\"example.org\"]\nlimits = {{ rcpt = 1000, rcpt-errors = 1000 }}\n",
        remote.port()
    );
    let (config, _) = read::parse(Path::new("probes.toml"), &text).unwrap();
    Engine::new(daemon::members(&config, None).unwrap(), None)
}

/// Recipients a second, each asked about once.
async fn ask(engine: &Arc<Engine>, turn: usize) -> f64 {
    let (next, began) = (Arc::new(AtomicU64::new(0)), Instant::now());
    let askers = (0..WAITING).map(|_| {
        let (engine, next) = (engine.clone(), next.clone());
        tokio::spawn(async move {
            let mut count = 0;
            while began.elapsed() < TURN {
                let number = next.fetch_add(1, Ordering::Relaxed);
                let address = format!("new{turn}-{number}@example.org");
                let kind = Kind::Recipient(Address::from_unquoted(address.as_bytes()).unwrap());
                let client = Client::default();
                let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
                let decision = engine.decide(Question { kind, client }, deadline).await;
                assert_eq!(decision.verdict.name(), "accept", "{address}");
                count += 1;
            }
            count
        })
    });
    let mut count = 0;
    for asker in askers.collect::<Vec<_>>() {
        count += asker.await.unwrap();
    }
    rate(count, began)
}

/// Recipients a second of a client that writes a hundred at a time and reads the answers.
async fn bare_client(port: u16) -> f64 {
    let (mut count, began) = (0, Instant::now());
    while began.elapsed() < TURN {
        let (reading, mut writing) = TcpStream::connect(("127.0.0.1", port))
            .await
            .unwrap()
            .into_split();
        let mut lines = BufReader::new(reading).lines();
        writing.write_all(b"LHLO bare\r\n").await.unwrap();
        while !lines.next_line().await.unwrap().unwrap().starts_with("250 ") {}
        let mut group = b"MAIL FROM:<>\r\n".to_vec();
        let mut expected = 1;
        for number in 0..SESSION {
            group.extend_from_slice(format!("RCPT TO:<bare{number}@example.org>\r\n").as_bytes());
            expected += 1;
            if (number + 1) % GROUP == 0 {
                writing.write_all(&group).await.unwrap();
                for _ in 0..expected {
                    let line = lines.next_line().await.unwrap().unwrap();
                    assert!(line.starts_with("250 "), "{line}");
                }
                group.clear();
                expected = 0;
            }
        }
        count += SESSION as u64;
        writing.write_all(b"QUIT\r\n").await.unwrap();
    }
    rate(count, began)
}
