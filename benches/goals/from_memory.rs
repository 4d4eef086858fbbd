//! Recipients that are remembered, against a server that only echoes.

use std::path::Path;
use std::time::Duration;

use remote::Protocol;
use tokio::runtime::{Builder, Runtime};

use crate::clients::policy_load;
use crate::echo;
use crate::stage::{Stage, median, options, processor_time, user};
use crate::table::{Goal, Table, short};

const CONNECTIONS: usize = 8;
const RECIPIENTS: usize = 100;
const TURNS: usize = 7;
const TURN: Duration = Duration::from_secs(1);

/// What a server did in one turn.
struct Turn {
    rate: f64,
    /// Of the server, in microseconds a request.
    processor: f64,
}

pub(crate) fn measure(table: &mut Table) {
    let stage = Stage::new(options(Protocol::Lmtp), "policy", "", "");
    let socket = stage.scratch.path("echo");
    let echo = echo::start(&stage.scratch, &socket);
    // One thread asks, so that a core is left for who answers.
    let asking = Builder::new_current_thread().enable_all().build().unwrap();
    turn(&asking, &stage.listener("policy"), stage.vouch.id());
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..TURNS {
        theirs.push(turn(&asking, &socket, echo.id()));
        ours.push(turn(&asking, &stage.listener("policy"), stage.vouch.id()));
    }
    let ratio = |of: fn(&Turn) -> f64| {
        median(
            ours.iter()
                .zip(&theirs)
                .map(|(ours, theirs)| of(ours) / of(theirs))
                .collect(),
        )
    };
    let seen = |of: fn(&Turn) -> f64, unit: &str| {
        let figure = |turns: &[Turn]| short(median(turns.iter().map(of).collect()));
        format!("{} {unit}, echo {}", figure(&ours), figure(&theirs))
    };
    table.row(
        "policy, answered from memory: requests/s against an echo, 8 connections",
        Goal::AtLeast(0.8),
        ratio(|turn| turn.rate),
        "",
        seen(|turn| turn.rate, "requests/s"),
    );
    table.row(
        "policy, answered from memory: processor time a request against an echo",
        Goal::AtMost(1.5),
        ratio(|turn| turn.processor),
        "",
        seen(|turn| turn.processor, "µs"),
    );
}

fn turn(asking: &Runtime, socket: &Path, pid: u32) -> Turn {
    let before = processor_time(pid);
    let load = policy_load(
        socket,
        CONNECTIONS,
        TURN,
        |number| user(number % RECIPIENTS),
        None,
    );
    let (count, rate) = asking.block_on(load);
    let processor = (processor_time(pid) - before).as_secs_f64() * 1e6 / count as f64;
    Turn { rate, processor }
}
