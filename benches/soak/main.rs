//! A long bad day, bounded: thousands of clients, half of them rude, in front of remotes that fail in every way.
//!
//! ```sh
//! contrib/soak --seconds 600 --clients 4000 --seed 7
//! contrib/soak --fleet --seconds 600
//! ```
//!
//! The daemon is the binary, a process of its own; clients and remotes run here. Two directories are sick: their
//! remotes are cut, hang, say goodbye, speak one byte at a time, refuse, are slow to greet, and are restarted. Two are
//! well. The truth about every name is known, so that each answer can be judged: a yes or no that contradicts it is
//! wrong; "later" is wrong at a directory that is well, and counted elsewhere. A polite client whose question has no
//! answer has lost it. After a warm-up, and again after everybody has left, the daemon's memory and descriptors are
//! looked at. What is found is printed; the exit status is 1 where something was wrong, lost or grew.
//!
//! With `--fleet` it is another day: that of three edges and their store (`fleet`).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a measurement stops at the first surprise and prints what it saw"
)]

#[allow(dead_code, reason = "the simulation needs more of it")]
#[path = "../../tests/simulation/chance.rs"]
mod chance;
mod faults;
mod fleet;
mod options;
mod polite;
#[allow(dead_code, reason = "the tests need more of it")]
#[path = "../../tests/fleet/redis.rs"]
mod redis;
mod report;
mod rude;
mod stage;
#[allow(dead_code, unused_imports, reason = "the tests need more of it")]
#[path = "../../tests/support/mod.rs"]
mod support;
mod tally;
mod truth;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use options::Options;
use report::Report;
use stage::{Stage, Usage};
use tally::Tally;

/// A client that was told to leave has left after this long: a question is lost by then, if it has no answer.
const LEAVING: Duration = Duration::from_secs(240);

/// After everybody has left, sessions with remotes are idle for as long as the configuration lets them.
const SETTLING: Duration = Duration::from_secs(6);

fn main() -> ExitCode {
    let options = match Options::read(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(why) => {
            eprintln!("{why}\n\n{}", options::USAGE);
            return ExitCode::from(64);
        }
    };
    if options.fleet {
        return fleet::run(&options);
    }
    let stage = Stage::new();
    let report = stage.runtime.block_on(soak(&stage, &options));
    print!("{report}");
    let log = stage.stop();
    let complaints = report.complaints(&log);
    for complaint in &complaints {
        println!("FAILED: {complaint}");
    }
    if complaints.is_empty() {
        return ExitCode::SUCCESS;
    }
    println!("--- the end of the daemon's log (with --seed {})", options.seed);
    let lines: Vec<&str> = log.lines().collect();
    println!("{}", lines[lines.len().saturating_sub(40)..].join("\n"));
    ExitCode::FAILURE
}

/// Warms up, then goes through a day without rude clients and one with them.
async fn soak(stage: &Stage, options: &Options) -> Report {
    let share = |percent: u32| (options.time - 2 * SETTLING) * percent / 100;
    println!(
        "soak: {} clients, {} s, seed {}",
        options.clients,
        options.time.as_secs(),
        options.seed
    );
    // With all that will come, so that what is allocated once is there.
    let warm_up = day(stage, options, "warm-up", share(25), true).await;
    let before = settled(stage).await;
    let calm = day(stage, options, "polite clients alone", share(30), false).await;
    let rude = day(stage, options, "with rude ones", share(45), true).await;
    let after = settled(stage).await;
    Report {
        days: vec![warm_up, calm, rude],
        before,
        after,
    }
}

/// Clients come, ask for a while, and leave.
async fn day(stage: &Stage, options: &Options, name: &'static str, time: Duration, rude: bool) -> Arc<Tally> {
    println!("soak: {} s {name} …", time.as_secs());
    let (tally, evening, clients) = (
        Arc::new(Tally::new(name)),
        CancellationToken::new(),
        TaskTracker::new(),
    );
    for number in 0..options.clients {
        let chance = options.chance(name, number);
        if number % 2 == 0 {
            let client = polite::Client::new(number / 2, stage.listeners.clone(), tally.clone(), chance);
            clients.spawn(client.ask_until(evening.clone()));
        } else if rude {
            let client = rude::Client::new(stage.listeners.clone(), tally.clone(), chance);
            let evening = evening.clone();
            clients.spawn(async move {
                tokio::select! {
                    () = client.bother() => {}
                    () = evening.cancelled() => {}
                }
            });
        }
    }
    for (number, sick) in stage.sick.iter().enumerate() {
        let chance = options.chance(name, usize::MAX - number);
        clients.spawn(faults::suffer(
            sick.clone(),
            tally.clone(),
            chance,
            evening.clone(),
        ));
    }
    sleep(time).await;
    evening.cancel();
    clients.close();
    if timeout(LEAVING, clients.wait()).await.is_err() {
        tally.lost(format!("{} clients never came to an end", clients.len()));
    }
    tally
}

/// What the daemon holds when it has nothing to do.
async fn settled(stage: &Stage) -> Usage {
    sleep(SETTLING).await;
    stage.usage()
}
