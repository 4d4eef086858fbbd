//! Recipients that are remembered, against a server that is known to be fast: Redis' GET of a key, over a Unix socket.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use remote::Protocol;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::runtime::Builder;

use crate::clients::policy_load;
use crate::stage::{Stage, median, options, rate, user};
use crate::support::{Process, Scratch, program};
use crate::table::{Goal, Table, short};
use crate::yardsticks;

const CONNECTIONS: usize = 8;
const RECIPIENTS: usize = 100;
const TURNS: usize = 7;
const TURN: Duration = Duration::from_secs(1);

pub(crate) fn measure(table: &mut Table) {
    let what = "policy, answered from memory: requests/s against `redis-server`'s GET, 8 connections";
    if let Some(why) = yardsticks::missing(&["redis-server"]) {
        return table.skipped(what, Goal::AtLeast(1.2), why);
    }
    let stage = Stage::new(options(Protocol::Lmtp), "policy", "", "");
    let socket = stage.scratch.path("redis");
    let _redis = start(&stage.scratch, &socket);
    // One thread asks, so that a core is left for the server.
    let asking = Builder::new_current_thread().enable_all().build().unwrap();
    let ours = || {
        let name = |number| user(number % RECIPIENTS);
        asking
            .block_on(policy_load(
                &stage.listener("policy"),
                CONNECTIONS,
                TURN,
                name,
                None,
            ))
            .1
    };
    let theirs = || asking.block_on(gets(&socket));
    ours();
    theirs();
    let turns: Vec<(f64, f64)> = (0..TURNS).map(|_| (ours(), theirs())).collect();
    let of = |figure: fn(&(f64, f64)) -> f64| median(turns.iter().map(figure).collect());
    let seen = format!(
        "{} requests/s, Redis {}",
        short(of(|turn| turn.0)),
        short(of(|turn| turn.1))
    );
    table.row(what, Goal::AtLeast(1.2), of(|turn| turn.0 / turn.1), "", seen);
}

fn start(scratch: &Scratch, socket: &Path) -> Process {
    let mut command = Command::new(program("redis-server").unwrap());
    command
        .args(["--port", "0", "--save", "", "--unixsocket"])
        .arg(socket);
    let mut process = Process::start(scratch, "redis", &mut command);
    process.wait_for_socket(socket);
    process
}

/// GETs a second on so many connections, each of which waits for its answers.
async fn gets(socket: &Path) -> f64 {
    for number in 0..RECIPIENTS {
        let (key, value) = (user(number), "OK");
        let mut stream = UnixStream::connect(socket).await.unwrap();
        let set = format!(
            "*3\r\n$3\r\nSET\r\n${}\r\n{key}\r\n${}\r\n{value}\r\n",
            key.len(),
            value.len()
        );
        stream.write_all(set.as_bytes()).await.unwrap();
        assert_eq!(stream.read(&mut [0; 64]).await.unwrap(), b"+OK\r\n".len());
    }
    let began = Instant::now();
    let clients = (0..CONNECTIONS).map(|client| {
        let socket = socket.to_owned();
        tokio::spawn(async move {
            let mut stream = UnixStream::connect(socket).await.unwrap();
            let (mut count, mut answer) = (0, Vec::new());
            while began.elapsed() < TURN {
                let key = user((client + count) % RECIPIENTS);
                let get = format!("*2\r\n$3\r\nGET\r\n${}\r\n{key}\r\n", key.len());
                stream.write_all(get.as_bytes()).await.unwrap();
                answer.clear();
                while !answer.ends_with(b"OK\r\n") {
                    assert_ne!(stream.read_buf(&mut answer).await.unwrap(), 0, "hung up on");
                }
                count += 1;
            }
            count
        })
    });
    let mut count = 0;
    for client in clients.collect::<Vec<_>>() {
        count += client.await.unwrap();
    }
    rate(count as u64, began)
}
