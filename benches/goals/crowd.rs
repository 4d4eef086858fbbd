//! A thousand equal questions at once.

use std::time::Duration;

use remote::Protocol;
use tokio::net::UnixStream;
use tokio::sync::Barrier;

use crate::clients::{ask, policy_request};
use crate::stage::{Stage, options, user};
use crate::table::{Goal, Table};

const CROWD: usize = 1000;

pub(crate) fn measure(table: &mut Table) {
    let mut options = options(Protocol::Lmtp);
    options.delays.latency = Duration::from_millis(20);
    let stage = Stage::new(options, "policy", "", "");
    let together = std::sync::Arc::new(Barrier::new(CROWD));
    stage.runtime.block_on(async {
        let clients = (0..CROWD).map(|_| {
            let (together, listener) = (together.clone(), stage.listener("policy"));
            tokio::spawn(async move {
                let mut stream = UnixStream::connect(listener).await.unwrap();
                together.wait().await;
                let mut answer = Vec::new();
                ask(&mut stream, &policy_request(&user(7)), &mut answer).await;
                assert_eq!(answer, b"action=DUNNO\n\n");
            })
        });
        for client in clients.collect::<Vec<_>>() {
            client.await.unwrap();
        }
    });
    let probes = stage.remote.count("RCPT");
    table.row(
        "1,000 equal questions at once",
        Goal::AtMost(1.0),
        probes as f64,
        "probe",
        format!("{CROWD} answers, {} session", stage.remote.accepted()),
    );
}
