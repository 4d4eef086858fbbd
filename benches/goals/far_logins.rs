//! Logins at a remote that is far away: sessions are opened by demand, and an answer takes little more than its way.

use std::collections::HashMap;
use std::time::Duration;

use base64::prelude::{BASE64_STANDARD, Engine};
use remote::Protocol;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::time::{Instant, sleep_until};

use crate::stage::{PASSWORD, Stage, options, user};
use crate::table::{Goal, Table};

const LATENCY: Duration = Duration::from_millis(150);

/// The logins of so long count, after others of as long.
const TIME: Duration = Duration::from_secs(10);

pub(crate) fn measure(table: &mut Table) {
    let took = at_rate(60, "");
    rows(
        table,
        took,
        [
            "60 logins/s at a remote 150 ms away, default keys: median time over that latency",
            "the same: p99 over that latency",
        ],
    );
    let took = at_rate(500, "pool.max-sessions = 600");
    rows(
        table,
        took,
        [
            "500 logins/s there with `max-sessions = 600`: median time over that latency",
            "the same: p99 over that latency",
        ],
    );
}

fn rows(table: &mut Table, mut took: Vec<f64>, [median, p99]: [&'static str; 2]) {
    took.sort_by(f64::total_cmp);
    for (what, goal, part) in [(median, 1.1, 0.5), (p99, 2.0, 0.99)] {
        let figure = took[(took.len() as f64 * part) as usize];
        let seen = format!("{:.0} ms, of {} logins", figure * 1e3, took.len());
        table.row(what, Goal::AtMost(goal), figure / LATENCY.as_secs_f64(), "", seen);
    }
}

/// How long logins take, in seconds, that come at this rate.
fn at_rate(rate: u32, directory: &str) -> Vec<f64> {
    let mut options = options(Protocol::Imap);
    options.delays.latency = LATENCY;
    let stage = Stage::new(options, "auth", directory, "");
    stage.runtime.block_on(async {
        let stream = UnixStream::connect(stage.listener("auth")).await.unwrap();
        let (reading, mut writing) = stream.into_split();
        let mut lines = BufReader::new(reading).lines();
        writing.write_all(b"VERSION\t1\t2\nCPID\t77\n").await.unwrap();
        while lines.next_line().await.unwrap().unwrap() != "DONE" {}
        let (began, pause) = (Instant::now(), Duration::from_secs(1) / rate);
        let all = (2.0 * TIME.as_secs_f64() * f64::from(rate)) as u32;
        let asking = tokio::spawn(async move {
            for id in 1..=all {
                sleep_until(began + pause * id).await;
                let resp = BASE64_STANDARD.encode(format!("\0{}\0{PASSWORD}", user(id as usize)));
                let request = format!("AUTH\t{id}\tPLAIN\tservice=imap\tno-penalty\tresp={resp}\n");
                writing.write_all(request.as_bytes()).await.unwrap();
            }
            writing
        });
        let mut took = HashMap::new();
        while took.len() < all as usize {
            let line = lines.next_line().await.unwrap().unwrap();
            let mut words = line.split('\t');
            assert_eq!(words.next(), Some("OK"), "{line}");
            let id: u32 = words.next().unwrap().parse().unwrap();
            took.insert(id, (Instant::now() - (began + pause * id)).as_secs_f64());
        }
        asking.await.unwrap();
        took.retain(|id, _| *id > all / 2);
        took.into_values().collect()
    })
}
