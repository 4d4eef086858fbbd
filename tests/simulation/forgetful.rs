//! Some hours at a remote that loses its users now and then, and has them again; some of them were deleted.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout_at};
use vouch::address::Address;
use vouch::config::Config;
use vouch::engine::{Decision, Engine};
use vouch::verdict::{Client, Kind, Question, Verdict};

use crate::askers::{Tally, check};
use crate::chance::Chance;
use crate::members;
use crate::paused;
use crate::trace::Trace;
use crate::world::World;

/// Each is such a day.
const SEEDS: u64 = 20;

/// How long it is asked.
const HOURS: u64 = 6;

/// Users that are asked about; every third does not exist.
const USERS: u64 = 40;

/// Of these, the first go in the course of the day.
const DELETED: u64 = 8;

/// A deleted one is refused after at most so many questions, a bit more than a minute apart. The remote leaves some of
/// them unanswered.
const TRIES: usize = 60;

#[test]
fn nobody_is_refused_by_a_remote_that_has_lost_its_users() {
    for seed in 1..=SEEDS {
        let played = paused::run(day(seed));
        if let Err(why) = played {
            panic!("seed {seed}: {why}");
        }
    }
}

/// Those who ask, and what came of it.
struct Day {
    world: Arc<World>,
    engine: Engine,
    tally: Tally,
    /// Who was accepted once.
    known: Mutex<BTreeSet<u64>>,
}

async fn day(seed: u64) -> Result<(), String> {
    let traced =
        std::env::var("VOUCH_FORGETFUL").is_ok_and(|wanted| wanted == "all" || wanted == seed.to_string());
    let trace = if traced { Trace::Told } else { Trace::Nowhere };
    let world = Arc::new(World::forgetful(seed, trace, HOURS, 0..DELETED));
    let config = Config {
        directory: vec![world.directory.clone()],
        ..Config::default()
    };
    let members = members(&config, std::slice::from_ref(&world), &Chance::of_vouch(seed))?;
    let day = Arc::new(Day {
        world: world.clone(),
        engine: Engine::new(members, None),
        tally: Tally::default(),
        known: Mutex::default(),
    });
    let mut askers = JoinSet::new();
    for _ in 0..world.chance.among(1, 4) {
        askers.spawn(day.clone().ask_all_day());
    }
    while let Some(asked) = askers.join_next().await {
        asked.map_err(|error| error.to_string())?;
    }
    while world.has_lost_its_users() {
        sleep(Duration::from_secs(60)).await;
    }
    // Until then the memory is the answer.
    sleep(world.directory.cache.ttl.positive).await;
    for user in (0..DELETED).filter(|user| !user.is_multiple_of(3)) {
        day.is_refused_in_the_end(user).await?;
    }
    world.verdict()?;
    drop(day);
    sleep(Duration::from_secs(700)).await;
    let (sessions, tasks) = (
        world.open_sessions(),
        Handle::current().metrics().num_alive_tasks(),
    );
    if sessions + tasks > 0 {
        return Err(format!("{sessions} connections and {tasks} tasks are left over"));
    }
    Ok(())
}

impl Day {
    async fn ask_all_day(self: Arc<Self>) {
        let end = Instant::now() + Duration::from_secs(3600 * HOURS);
        let chance = &self.world.chance;
        while Instant::now() < end {
            let user = chance.among(0, USERS - 1);
            if let Some(decision) = self.ask(user).await {
                self.hold_against_the_truth(user, &decision);
            }
            sleep(chance.one(&[chance.ms(1, 2000), chance.ms(1000, 60_000)])).await;
        }
    }

    /// An answer, where there was one by the deadline.
    async fn ask(&self, user: u64) -> Option<Decision> {
        let (world, name) = (&self.world, format!("u{user}@a.test"));
        let Ok(address) = Address::from_typed(&name) else {
            world.broken(format!("{name} is no address"));
            return None;
        };
        let (kind, client) = (Kind::Recipient(address), Client::default());
        world.note(|| format!("? {name}"));
        let asked = Instant::now();
        let deadline = asked + Duration::from_secs(20);
        let answer = self.engine.decide(Question { kind, client }, deadline);
        let decision = timeout_at(deadline + Duration::from_millis(200), answer)
            .await
            .ok();
        match &decision {
            Some(decision) => check(world, &self.tally, &name, &name, asked, decision),
            None => world.broken(format!("no answer about {name} by the deadline")),
        }
        decision
    }

    fn hold_against_the_truth(&self, user: u64, decision: &Decision) {
        let exists = !user.is_multiple_of(3) && !self.world.has_turned(user);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        match &decision.verdict {
            Verdict::Accept(_) => {
                known.insert(user);
            }
            Verdict::Reject(cause) if exists && known.contains(&user) => {
                self.world
                    .broken(format!("user {user} exists, was known, and is refused: {cause}"));
            }
            _ => {}
        }
    }

    /// Asks about a user who is gone for good.
    async fn is_refused_in_the_end(&self, user: u64) -> Result<(), String> {
        for _ in 0..TRIES {
            if let Some(decision) = self.ask(user).await
                && matches!(decision.verdict, Verdict::Reject(_))
            {
                return Ok(());
            }
            // Others are asked about as well: somebody must be accepted.
            self.ask(DELETED).await;
            sleep(Duration::from_secs(61)).await;
        }
        Err(format!("user {user} is gone, and not refused"))
    }
}
