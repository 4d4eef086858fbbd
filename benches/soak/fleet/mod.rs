//! A fleet whose store suffers: three edges, each a process of its own, in front of one remote that is well; and a
//! `redis-server` that is killed, stopped, filled, emptied and given an old copy of its values again, one every 20 s.
//!
//! The truth about every recipient is known. In one domain nothing changes, and each answer must be the truth. In the other
//! mailboxes come and go, and an answer may be from before: a yes for as long as `cache.ttl.stale`, a no for
//! `cache.ttl.negative`. "Later" is no answer in the first, and counted in the second, where recipients that an edge knows
//! are refused. A question that gets no reply is lost.

mod asker;
mod site;
mod suffers;
mod tally;

use std::process::ExitCode;
use std::sync::Arc;
use std::thread;

use tokio::runtime::Builder;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::options::Options;
use crate::support::available;
use site::Site;
use tally::Tally;

/// Clients of each edge.
const CLIENTS: usize = 30;

/// Goes through the day; what is found is printed.
pub(crate) fn run(options: &Options) -> ExitCode {
    if !available(&["redis-server", "redis-cli"], || None) {
        return ExitCode::SUCCESS;
    }
    let runtime = Builder::new_multi_thread().enable_all().build().unwrap();
    let (site, tally) = (Arc::new(Site::new(&runtime)), Arc::new(Tally::default()));
    println!(
        "soak: a fleet of {} edges with {CLIENTS} clients each, {} s, seed {}",
        site.edges.len(),
        options.time.as_secs(),
        options.seed
    );
    let evening = CancellationToken::new();
    let suffering = {
        let (site, tally, evening) = (site.clone(), tally.clone(), evening.clone());
        // Its commands block.
        thread::spawn(move || suffers::all_day(&site, &tally, &evening))
    };
    runtime.block_on(async {
        let clients = TaskTracker::new();
        clients.spawn(site.clone().moves(evening.clone()));
        for number in 0..CLIENTS * site.edges.len() {
            let chance = options.chance("fleet", number);
            let client = asker::Client::new(number, site.clone(), tally.clone(), chance);
            clients.spawn(client.ask_until(evening.clone()));
        }
        sleep(options.time).await;
        evening.cancel();
        clients.close();
        clients.wait().await;
    });
    suffering.join().unwrap();
    let stores = site.stores();
    print!("{}", tally.report(&stores, site.probes()));
    let mut complaints = tally.complaints(&stores);
    let logs: Vec<_> = site.edges.iter().map(site::Edge::log).collect();
    if logs.iter().any(|log| log.contains("panicked")) {
        complaints.push("an edge panicked, see its log".into());
    }
    for complaint in &complaints {
        println!("FAILED: {complaint}");
    }
    if complaints.is_empty() {
        return ExitCode::SUCCESS;
    }
    for (number, log) in logs.iter().enumerate() {
        println!(
            "--- the end of the log of edge {number} (with --seed {})",
            options.seed
        );
        let lines: Vec<&str> = log.lines().collect();
        println!("{}", lines[lines.len().saturating_sub(20)..].join("\n"));
    }
    ExitCode::FAILURE
}
