//! What an idle client costs, and what a remembered recipient does.

use std::time::Duration;

use remote::Protocol;
use tokio::net::UnixStream;

use crate::clients::{ask, policy_load, policy_request};
use crate::stage::{Stage, options, resident, user};
use crate::table::{Goal, Table};

const CLIENTS: u64 = 9000;
const RECIPIENTS: usize = 100_000;
const MIB: f64 = 1024.0 * 1024.0;

pub(crate) fn measure(table: &mut Table) {
    clients(table);
    recipients(table);
}

/// Each has asked one question, so that its buffers are what they will be.
fn clients(table: &mut Table) {
    let stage = Stage::new(options(Protocol::Lmtp), "policy", "", "");
    let pid = stage.vouch.id();
    let listener = stage.listener("policy");
    stage.runtime.block_on(async {
        let mut clients = Vec::new();
        let mut answer = Vec::new();
        let mut connect = async |clients: &mut Vec<UnixStream>| {
            let mut stream = UnixStream::connect(&listener).await.unwrap();
            ask(&mut stream, &policy_request(&user(1)), &mut answer).await;
            clients.push(stream);
        };
        connect(&mut clients).await;
        let before = resident(pid);
        for _ in 0..CLIENTS {
            connect(&mut clients).await;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        let after = resident(pid);
        table.row(
            "9,000 idle client connections: memory for each",
            Goal::AtMost(8.0),
            (after - before) as f64 / CLIENTS as f64 / 1024.0,
            "KiB",
            format!(
                "{:.1} MiB resident before, {:.1} after",
                before as f64 / MIB,
                after as f64 / MIB
            ),
        );
    });
}

fn recipients(table: &mut Table) {
    let mut options = options(Protocol::Lmtp);
    options.catch_all = true;
    let limits = "limits = { rcpt = 1000, rcpt-errors = 1000 }";
    let unlimited = "limits = { rcpt = \"unlimited\", rcpt-errors = \"unlimited\" }";
    let stage = Stage::new(options, "policy", limits, unlimited);
    let pid = stage.vouch.id();
    let before = resident(pid);
    let listener = stage.listener("policy");
    let name = |number: usize| format!("firstname.lastname{number}@example.org");
    let mut asked = 0;
    while asked < RECIPIENTS {
        let first = asked;
        let load = policy_load(
            &listener,
            100,
            Duration::from_millis(500),
            move |number| name(first + number),
            None,
        );
        asked += stage.runtime.block_on(load).0 as usize;
    }
    let after = resident(pid);
    table.row(
        "resident memory, 100,000 recipients remembered",
        Goal::AtMost(64.0),
        after as f64 / MIB,
        "MiB",
        format!("{:.1} MiB before", before as f64 / MIB),
    );
}
