//! Recipients that nobody was asked about yet, against a client that does nothing but ask.

use std::time::{Duration, Instant};

use remote::Protocol;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use crate::clients::policy_load;
use crate::stage::{Stage, median, options, rate};
use crate::table::{Goal, Table, short};

/// Clients that wait for answers: twice as many as one write to the remote holds.
const CONNECTIONS: usize = 200;
const SESSION: usize = 1000;
const GROUP: usize = 100;
const TURNS: usize = 5;
const TURN: Duration = Duration::from_secs(1);

pub(crate) fn measure(table: &mut Table) {
    let mut options = options(Protocol::Lmtp);
    options.catch_all = true;
    let limits = "limits = { rcpt = 1000, rcpt-errors = 1000 }";
    let unlimited = "limits = { rcpt = \"unlimited\", rcpt-errors = \"unlimited\" }";
    let stage = Stage::new(options, "policy", limits, unlimited);
    let door = stage.door("policy");
    let (mut ours, mut bare) = (Vec::new(), Vec::new());
    for turn in 0..TURNS {
        bare.push(stage.runtime.block_on(bare_client(stage.remote.port())));
        let recipient = move |number| format!("new{turn}-{number}@example.org");
        let expected = Some(&b"action=DUNNO\n\n"[..]);
        let load = policy_load(&door, CONNECTIONS, TURN, recipient, expected);
        ours.push(stage.runtime.block_on(load).1);
    }
    let ratios = ours.iter().zip(&bare).map(|(ours, bare)| ours / bare).collect();
    table.row(
        "recipients by LMTP, nothing remembered, limits 1000: probes/s against a bare pipelined client",
        Goal::AtLeast(0.5),
        median(ratios),
        "",
        format!("{} probes/s, bare {}", short(median(ours)), short(median(bare))),
    );
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
