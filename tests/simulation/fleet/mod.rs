//! Hours of a fleet: some edges, each with a clock of its own, in front of one remote whose mailboxes come and go, that is
//! down now and then and has some edges on a blocklist for a while; and a store that is slow, hangs, is full, forgets, has
//! old values again, lies and babbles (`weather`). Edges end, and start anew. What holds of one edge holds of each, and
//! besides:
//!
//! - a yes or a no is what the remote has said to this edge, or truly to another; a no is never older than
//!   `cache.ttl.negative`, whatever store and clocks say;
//! - so an edge on a blocklist says no for nobody else;
//! - nobody is refused by another edge whom this one knows, nor accepted by a yes that is older than its own no;
//! - in the store, no no takes the place of a yes that was asked for later;
//! - what was purged at one edge no edge serves that has had a second of a store that is well (`purges`);
//! - while a canary is refused at one edge, a no of its domain is "later" at all, and nothing else is different; five minutes
//!   after the last such refusal that is over (`doubts`);
//! - an edge whose store cannot be reached answers as one without a fleet, at the same times;
//! - a store that hangs costs three questions the patience;
//! - guesses at passwords are counted over all edges as at one, and nobody else is delayed by that (`guesses`).
//!
//! A store lies about how long it keeps values, or does late what it is sent, only on days on which all clocks are right: of
//! the two that tell the age of a value one must be good.

mod book;
mod doubts;
mod edges;
mod guesses;
pub(crate) mod ledger;
mod lies;
mod own;
mod purges;
mod resp;
mod store;
mod weather;

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::chance::Chance;
use crate::paused;
use crate::trace::Trace;
use crate::world::World;
use edges::{Counts, Edge, Ledgers, Site};
use store::Store;
use weather::{Mood, Weather};

/// Each is such a day.
const SEEDS: u64 = 40;

/// How long it is asked.
const DAY: Duration = Duration::from_secs(900);

/// Until all that was asked is answered, and all sessions are idle for too long.
const NIGHT: Duration = Duration::from_secs(700);

/// Questions come once it is certain that a store cannot be reached.
const FIRST_QUESTION: Duration = Duration::from_secs(3);

/// What edges have for a store.
#[derive(Debug, Clone, Copy)]
enum With {
    /// One with all its moods.
    AStore,
    /// One that is never reached.
    Unreached(Mood),
    /// There is no `[fleet]`.
    Nothing,
}

/// The folder of a key.
struct Key(tempfile::TempDir);

impl Key {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap_or_else(|error| panic!("no temporary folder: {error}"));
        let key = Self(folder);
        let written = fs::write(key.path(), "07".repeat(32))
            .and_then(|()| fs::set_permissions(key.path(), Permissions::from_mode(0o600)));
        written.unwrap_or_else(|error| panic!("{error}"));
        key
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("key")
    }
}

/// Totals of some days.
#[derive(Debug, Default)]
struct Sum {
    asked: u64,
    accepted: u64,
    refused: u64,
    noes: u64,
    kept_out: u64,
    /// Answers about somebody who was purged before.
    purged: u64,
    /// Refusals that were deferred for a canary of another edge.
    doubted: u64,
}

fn play(seed: u64, with: With, key: &Path, trace: &Trace, sum: &mut Sum) -> Result<(), String> {
    let _log = trace.takes_the_log();
    paused::run(day(seed, with, key, trace, sum))
}

async fn day(seed: u64, with: With, key: &Path, trace: &Trace, sum: &mut Sum) -> Result<(), String> {
    let (plan, began) = (Chance::new(seed ^ (1 << 43)), Instant::now());
    let many = plan.among(2, 4) as usize;
    let weather = match with {
        With::Unreached(mood) => Weather::always(mood, began, began + DAY + NIGHT / 2),
        _ => Weather::of(&plan, began, DAY, many),
    };
    let ahead = |_| {
        let second = |most: u64| plan.among(0, 2 * most) as i64 - most as i64;
        let seconds = [second(2), second(200)];
        if weather.is_punctual {
            plan.one(&seconds)
        } else {
            0
        }
    };
    let clocks: Vec<i64> = (0..many).map(ahead).collect();
    // What tells the age tells whole seconds, or is on its way for a moment.
    let worlds = World::of_edges(seed, trace, many, DAY, Duration::from_secs(2));
    worlds[0].note(|| format!("seed {seed}: {:#?}", worlds[0].directory));
    worlds[0].note(|| {
        format!(
            "the store of the fleet: {}, clocks {clocks:?}",
            weather.told(began)
        )
    });
    let weather = Arc::new(weather);
    let told = matches!(with, With::AStore).then(|| weather.clone());
    let store = Arc::new(Store::new(weather, plan, &worlds, clocks.clone()));
    let ledgers = Ledgers::new(told, &worlds, &clocks);
    let used = (!matches!(with, With::Nothing)).then(|| store.clone());
    let mut site = Site::new(seed, used, key.to_path_buf(), clocks);
    if !matches!(with, With::AStore) {
        site.first_question = FIRST_QUESTION;
    }
    let site = Arc::new(site);
    let counts = Arc::new(Counts::default());
    let start = |(number, world)| Edge::start(world, number, &site, &ledgers, &counts);
    let edges: Vec<_> = worlds.iter().enumerate().map(start).collect();
    sleep(FIRST_QUESTION).await;
    let mut askers = JoinSet::new();
    for edge in &edges {
        for _ in 0..edge.world.chance.among(1, 4) {
            askers.spawn(edge.clone().ask_all_day(began + DAY));
        }
        askers.spawn(edge.clone().visit_all_day(began + DAY));
        askers.spawn(edge.clone().purge_all_day(DAY));
        askers.spawn(edge.clone().watch_canary(began + DAY));
        if edge.world.chance.coin() {
            askers.spawn(edge.clone().restart());
        }
    }
    while let Some(asker) = askers.join_next().await {
        asker.map_err(|error| error.to_string())?;
    }
    sleep(NIGHT).await;
    for world in &worlds {
        let verdict = world.verdict();
        verdict.map_err(|why| format!("edge {:?}: {why}", world.peers.edge))?;
    }
    if !counts.tally.is_even() {
        return Err("not every question has one answer".to_owned());
    }
    let sessions: usize = worlds.iter().map(|world| world.open_sessions()).sum();
    edges.iter().for_each(|edge| edge.stop());
    // The store sees that they are gone.
    sleep(Duration::from_secs(1)).await;
    let (connections, tasks) = (
        store.connections.load(Ordering::Relaxed),
        Handle::current().metrics().num_alive_tasks(),
    );
    if sessions + connections + tasks > 0 {
        return Err(format!(
            "{sessions} sessions, {connections} connections to the store and {tasks} tasks are left over"
        ));
    }
    sum.asked += counts.tally.asked.load(Ordering::Relaxed);
    sum.accepted += counts.accepted.load(Ordering::Relaxed);
    sum.refused += counts.refused.load(Ordering::Relaxed);
    sum.purged += ledgers.orders.answered();
    sum.doubted += counts.doubted.load(Ordering::Relaxed);
    sum.noes += store.noes.load(Ordering::Relaxed);
    sum.kept_out += store.kept_out.load(Ordering::Relaxed);
    Ok(())
}

#[test]
fn edges_tell_each_other_nothing_wrong_whatever_their_store_does() {
    let (key, mut sum) = (Key::new(), Sum::default());
    let wanted = std::env::var("VOUCH_FLEET")
        .ok()
        .and_then(|seed| seed.parse::<u64>().ok());
    for seed in wanted.map_or(1..=SEEDS, |seed| seed..=seed) {
        let trace = if wanted.is_some() {
            Trace::Told
        } else {
            Trace::Nowhere
        };
        if let Err(why) = play(seed, With::AStore, &key.path(), &trace, &mut sum) {
            panic!("seed {seed}: {why}\nVOUCH_FLEET={seed} tells every event");
        }
    }
    eprintln!("{SEEDS} seeds: {sum:?}");
    // A store that is of no use would prove nothing.
    let of_use = sum.accepted > 20 * SEEDS && sum.refused > 2 * SEEDS && sum.noes > 20 * SEEDS;
    let happens = sum.kept_out > 0 && sum.purged > 20 * SEEDS && sum.doubted > SEEDS;
    assert!(wanted.is_some() || of_use && happens, "{sum:?}");
}

/// All that happens, but what is about the store; and about purges that edges hear of once it is there again.
fn told(seed: u64, with: With, key: &Path) -> Vec<String> {
    let trace = Trace::kept();
    let played = play(seed, with, key, &trace, &mut Sum::default());
    assert_eq!(played, Ok(()), "seed {seed} with {with:?}");
    let text = trace.text();
    let lines = text.lines().filter(|line| {
        !line.contains("the store of the fleet") && !line.contains("another edge of the fleet")
    });
    lines.map(str::to_owned).collect()
}

fn assert_same(seed: u64, one: &[String], other: &[String]) {
    let mut lines = one.iter().zip(other).enumerate();
    if let Some((at, (one, other))) = lines.find(|(_, (one, other))| one != other) {
        panic!("seed {seed}: line {at} differs:\n  {one}\n  {other}");
    }
    assert!(
        one.len() > 100 && one.len() == other.len(),
        "seed {seed}: one is longer"
    );
}

#[test]
fn a_seed_of_a_fleet_is_the_same_day_to_the_byte() {
    let key = Key::new();
    for seed in 1..=4 {
        let day = || told(seed, With::AStore, &key.path());
        assert_same(seed, &day(), &day());
    }
}

#[test]
fn an_edge_without_its_store_answers_as_one_without_a_fleet() {
    let key = Key::new();
    for seed in 1..=3 {
        let alone = told(seed, With::Nothing, &key.path());
        for mood in [Mood::Ends, Mood::Deaf, Mood::Hangs, Mood::NoRight] {
            assert_same(seed, &alone, &told(seed, With::Unreached(mood), &key.path()));
        }
    }
}

/// How long each of so many questions takes, one after another, about users who are not remembered.
async fn times(edge: &Edge, many: u64) -> Vec<Duration> {
    let mut times = Vec::new();
    for _ in 0..many {
        let asked = Instant::now();
        edge.ask_about_another().await;
        times.push(asked.elapsed());
        sleep(PAUSE).await;
    }
    times
}

/// The times of questions to an edge of a remote that fails nobody, the first ones from before the store is so.
fn times_with(mood: Option<Mood>, key: &Path) -> (Vec<Duration>, Duration) {
    paused::run(async {
        let began = Instant::now();
        let from = began + FIRST_QUESTION + QUESTIONS_BEFORE * PAUSE;
        let worlds = World::without_faults();
        let weather = Weather::always(mood.unwrap_or(Mood::Well), from, began + DAY);
        let store = Arc::new(Store::new(Arc::new(weather), Chance::new(1), &worlds, vec![0]));
        let site = Arc::new(Site::new(1, mood.map(|_| store), key.to_path_buf(), vec![0]));
        let edge = Edge::start(
            &worlds[0],
            0,
            &site,
            &Ledgers::new(None, &worlds, &[0]),
            &Arc::default(),
        );
        sleep(FIRST_QUESTION).await;
        let times = times(&edge, 20).await;
        assert_eq!(worlds[0].verdict(), Ok(()));
        (times, site.keys.patience)
    })
}

/// Between two of them; the remote takes no time.
const PAUSE: Duration = Duration::from_millis(10);

/// Questions that are asked while the store is well.
const QUESTIONS_BEFORE: u32 = 5;

// Fills LOOKUPS_FAILED, fleet.patience.
#[test]
fn a_store_that_hangs_costs_three_questions_the_patience_and_others_nothing() {
    let key = Key::new();
    let (alone, _) = times_with(None, &key.path());
    let (with, patience) = times_with(Some(Mood::Hangs), &key.path());
    let added = with.iter().zip(&alone).map(|(with, alone)| *with - *alone);
    let before = QUESTIONS_BEFORE as usize;
    for (number, added) in added.enumerate() {
        let waits = (before..before + 3).contains(&number);
        assert_eq!(added > Duration::ZERO, waits, "{number}: {added:?}");
        assert!(added <= patience, "{number}: {added:?} of {patience:?}");
    }
}
