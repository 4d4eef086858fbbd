//! What a fleet costs an edge, and what its store takes: beside an edge that is alone, in front of the same remote.

use std::thread::sleep;
use std::time::{Duration, Instant};

use remote::{Protocol, Server};
use tokio::runtime::{Builder, Runtime};

use crate::clients::policy_load;
use crate::edge::{Asker, Edge};
use crate::redis::{Redis, named};
use crate::stage::{median, options, processor_time, runtime};
use crate::support::Vouch;
use crate::support::process::wait_until;
use crate::table::{Goal, Table, short};
use crate::yardsticks;

/// Recipients whose answers the store has, or whom nobody was asked about yet.
const RECIPIENTS: usize = 5_000;

/// Turns of either edge, and how long one is.
const TURNS: usize = 15;
const TURN: Duration = Duration::from_millis(500);

/// How often the store is stopped, and how many questions come meanwhile.
const STOPS: usize = 40;
const QUESTIONS: usize = 100;

/// Purges, one after another.
const PURGES: usize = 20;

/// Groups of questions, so that other work on the machine spoils a few of them alone.
const GROUPS: usize = 8;

/// Questions that wait for a store that is stopped.
const WAITING: usize = 3;

/// Recipients in the store whose memory is measured.
const KEPT: usize = 100_000;

/// How long the store and the daemon may take for what they do by themselves.
const PATIENCE: Duration = Duration::from_secs(30);

const ROWS: [(&str, Goal); 6] = [
    (
        "policy, answered from memory: processor time a request with `[fleet]` against without",
        Goal::AtMost(1.02),
    ),
    (
        "a recipient that another edge has found, store on a Unix socket: added latency, p99",
        Goal::AtMost(1.0),
    ),
    (
        "store stopped: added latency of the first three questions, p99",
        Goal::AtMost(5.0),
    ),
    (
        "store stopped: added latency of the others, p99",
        Goal::AtMost(0.1),
    ),
    ("memory of Redis for a recipient", Goal::AtMost(150.0)),
    (
        "purge at one edge until another asks the remote again, at the longest",
        Goal::AtMost(1000.0),
    ),
];

pub(crate) fn measure(table: &mut Table) {
    let programs = ["server", "cli"].map(named);
    if let Some(why) = yardsticks::missing(&programs.each_ref().map(String::as_str)) {
        for (what, goal) in ROWS {
            table.skipped(what, goal, why.clone());
        }
        return;
    }
    let site = Site::start();
    site.own_memory(table);
    site.hits(table);
    site.purges(table);
    site.while_it_is_stopped(table);
    site.memory_of_the_store(table);
}

/// An edge that is alone with its remote, two of a fleet in front of the same one, and their store.
struct Site {
    alone: Edge,
    edges: [Edge; 2],
    store: Redis,
    remote: Server,
    runtime: Runtime,
}

impl Site {
    fn start() -> Self {
        let mut options = options(Protocol::Lmtp);
        options.catch_all = true;
        let (runtime, store) = (runtime(), Redis::start());
        let remote = runtime.block_on(async { Server::start(options).unwrap() });
        let edge = |store| Edge::start(("lmtp", remote.port()), store, Vouch::serve);
        let edges = [(); 2].map(|()| edge(Some((&store, "5ms"))));
        Self {
            alone: edge(None),
            edges,
            store,
            remote,
            runtime,
        }
    }

    /// The same recipient again and again, in turns.
    fn own_memory(&self, table: &mut Table) {
        let asking = Builder::new_current_thread().enable_all().build().unwrap();
        let turn = |edge: &Edge| {
            let (pid, listener) = (edge.vouch.id(), edge.listener());
            let before = processor_time(pid);
            let load = policy_load(&listener, 8, TURN, |_| name("memory", 0), None);
            let (count, _) = asking.block_on(load);
            (processor_time(pid) - before).as_secs_f64() * 1e6 / count as f64
        };
        let [edge, _] = &self.edges;
        let turns = (0..=TURNS).map(|_| {
            let alone = turn(&self.alone);
            (turn(edge), alone)
        });
        // The first of each warms it up.
        let turns: Vec<_> = turns.skip(1).collect();
        let ratios = turns.iter().map(|(fleet, alone)| fleet / alone).collect();
        let (fleet, alone): (Vec<_>, Vec<_>) = turns.into_iter().unzip();
        let (what, goal) = ROWS[0];
        let seen = format!(
            "{} µs, {} without; medians of {TURNS} turns",
            short(median(fleet)),
            short(median(alone))
        );
        table.row(what, goal, median(ratios), "", seen);
    }

    /// One edge finds recipients; the other is asked about each twice, and has it from the store and then from its memory.
    fn hits(&self, table: &mut Table) {
        let [first, second] = &self.edges;
        let mut asker = Asker::of(&first.listener());
        let before = self.store.size();
        for number in 0..RECIPIENTS {
            asker.ask(&name("shared", number));
        }
        self.store.holds(before + RECIPIENTS);
        let probes = self.remote.count("RCPT");
        let mut asker = Asker::of(&second.listener());
        let (mut store, mut memory) = (Vec::new(), Vec::new());
        for number in 0..RECIPIENTS {
            store.push(asker.ask(&name("shared", number)));
            memory.push(asker.ask(&name("shared", number)));
        }
        let missed = self.remote.count("RCPT") - probes;
        assert!(
            missed < RECIPIENTS as u64 / 100,
            "{missed} were not found in the store"
        );
        let (what, goal) = ROWS[1];
        let other = format!("from its own memory; {missed} of {RECIPIENTS} came from the remote");
        added(table, (what, goal), (store, memory), &other);
    }

    /// Recipients that nobody knows are asked about at an edge whose store is stopped, and at one that is alone.
    fn while_it_is_stopped(&self, table: &mut Table) {
        let [edge, _] = &self.edges;
        let (mut asker, mut alone) = (Asker::of(&edge.listener()), Asker::of(&self.alone.listener()));
        let (mut first, mut later) = ((Vec::new(), Vec::new()), (Vec::new(), Vec::new()));
        for stop in 0..STOPS {
            let used = states(edge);
            self.store.freeze(true);
            for question in 0..QUESTIONS {
                let (with, without) = if question < WAITING {
                    &mut first
                } else {
                    &mut later
                };
                let number = stop * QUESTIONS + question;
                without.push(alone.ask(&name("alone", number)));
                with.push(asker.ask(&name("stopped", number)));
            }
            self.store.freeze(false);
            wait_until("the store to be used again", PATIENCE, || {
                states(edge) >= used + 2
            });
        }
        let other = format!("at an edge that is alone; {STOPS} stops");
        added(table, ROWS[2], first, &other);
        added(table, ROWS[3], later, &other);
    }

    /// A recipient that two edges know is purged at one, and asked about at the other.
    fn purges(&self, table: &mut Table) {
        let [first, second] = &self.edges;
        let (mut one, mut other) = (Asker::of(&first.listener()), Asker::of(&second.listener()));
        let times = (0..PURGES).map(|number| {
            let name = name("purged", number);
            one.ask(&name);
            other.ask(&name);
            let (probes, began) = (self.remote.count("RCPT"), Instant::now());
            first.purge(&name);
            while self.remote.count("RCPT") == probes {
                other.ask(&name);
                sleep(Duration::from_millis(1));
            }
            began.elapsed().as_secs_f64() * 1e3
        });
        let times: Vec<_> = times.collect();
        let longest = times.iter().copied().fold(0.0, f64::max);
        let (what, goal) = ROWS[5];
        let seen = format!("{} ms in the median of {PURGES}", short(median(times)));
        table.row(what, goal, longest, "ms", seen);
    }

    fn memory_of_the_store(&self, table: &mut Table) {
        let used = || {
            let info = self.store.order(&["INFO", "memory"]);
            let line = info.lines().find_map(|line| line.strip_prefix("used_memory:"));
            line.unwrap().trim().parse::<f64>().unwrap()
        };
        self.store.order(&["FLUSHALL"]);
        let before = used();
        let (listener, mut asked) = (self.edges[0].listener(), 0);
        // What finds no room in the queue of an edge is not written.
        while self.store.size() < KEPT {
            let recipient = move |number| name("kept", asked + number);
            let load = policy_load(&listener, 100, TURN, recipient, None);
            asked += self.runtime.block_on(load).0 as usize;
        }
        let (bytes, values) = (used() - before, self.store.size());
        let (what, goal) = ROWS[4];
        table.row(
            what,
            goal,
            bytes / values as f64,
            "bytes",
            format!("{values} recipients"),
        );
    }
}

/// How often an edge has logged that it uses the store from now on, or does not.
fn states(edge: &Edge) -> usize {
    edge.log().matches("the store of the fleet is ").count()
}

/// A row of how much longer the slowest in a hundred take than the others that are compared with them, in milliseconds: the
/// median of several groups, each of which was measured within some seconds.
fn added(
    table: &mut Table,
    (what, goal): (&'static str, Goal),
    (these, others): (Vec<f64>, Vec<f64>),
    compared: &str,
) {
    let p99 = |times: &[f64]| {
        let mut times = times.to_vec();
        times.sort_by(f64::total_cmp);
        times[(times.len() * 99 / 100).min(times.len() - 1)]
    };
    let groups = |times: &[f64]| times.chunks(times.len() / GROUPS).map(p99).collect::<Vec<_>>();
    let (slow, other_slow) = (groups(&these), groups(&others));
    let differences = slow.iter().zip(&other_slow).map(|(slow, other)| slow - other);
    let added = median(differences.collect());
    let seen = format!(
        "{} ms, and {} {compared}; of all the medians {} and {}",
        short(median(slow)),
        short(median(other_slow)),
        short(median(these)),
        short(median(others))
    );
    table.row(what, goal, added, "ms", seen);
}

fn name(kind: &str, number: usize) -> String {
    format!("{kind}.firstname.lastname{number}@example.org")
}
