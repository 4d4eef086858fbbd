//! Minutes at a remote that is down now and then: it refuses connections, swallows them, or is silent once it has a
//! password. Logins that were good before are accepted meanwhile (`cache.credentials.stale`). Then:
//!
//! - such a yes is the remote's own word about exactly this password, no older than the configuration says, and the last one
//!   about the user: neither was it refused since, nor another one accepted;
//! - the remote has replied to nobody while it was asked;
//! - what counts as a guess is no such login.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use vouch::config::Config;
use vouch::engine::Engine;
use vouch::settings::kind::Kind;

use crate::askers::{Tally, ask_some};
use crate::chance::Chance;
use crate::members;
use crate::paused;
use crate::trace::Trace;
use crate::world::World;

/// Each is such a day.
const SEEDS: u64 = 150;

/// How long it is asked.
const TIME: Duration = Duration::from_secs(90);

/// In the log line of a login that counts as a failed one while the remote is down.
pub(crate) const GUESS: &str = "cache.credentials.stale";

/// A question is under way for no longer, be it that nobody waits.
const UNDER_WAY: Duration = Duration::from_secs(20);

/// A time in which a remote is down.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Down {
    from: Instant,
    until: Instant,
    how: How,
}

/// What it does to everybody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum How {
    Refuses,
    Swallows,
    IsSilent,
}

impl Down {
    /// Between these moments, in one way or another.
    pub(crate) fn between(chance: &Chance, from: Instant, until: Instant) -> Self {
        let how = chance.one(&[How::Refuses, How::Swallows, How::IsSilent]);
        Self { from, until, how }
    }

    pub(crate) fn is_refusing(&self) -> bool {
        self.how == How::Refuses
    }

    pub(crate) fn is_deaf(&self) -> bool {
        self.how == How::Swallows
    }

    pub(crate) fn is_silent(&self) -> bool {
        self.how == How::IsSilent
    }
}

/// Times in which a remote is down.
pub(crate) fn downs(chance: &Chance, began: Instant, within: Duration) -> Vec<Down> {
    let mut downs = Vec::new();
    let mut from = began + chance.ms(1000, 15_000);
    while from < began + within {
        let until = from + chance.ms(100, 15_000);
        downs.push(Down::between(chance, from, until));
        from = until + chance.ms(1000, 15_000);
    }
    downs
}

impl World {
    /// A remote that is down now and then, and whose users change their passwords.
    fn with_downs(seed: u64, trace: Trace) -> Self {
        let mut world = Self::new(seed, trace);
        let (chance, began) = (&world.chance, world.began);
        world.directory.kind = chance.one(&[Kind::Imap, Kind::Smtp]);
        world.directory.cache.entries = 1000;
        world.directory.cache.credentials.stale = Some(chance.ms(3000, 60_000));
        world.rate = world.rate.min(60);
        world.downs = downs(chance, began, TIME);
        world.turn_some(TIME);
        world
    }

    /// Whether it is down now, in such a way.
    pub(crate) fn is_down(&self, way: fn(&Down) -> bool) -> bool {
        let now = Instant::now();
        let is = |down: &&Down| down.from <= now && now < down.until && way(down);
        self.downs.iter().any(|down| is(&down))
    }

    /// When the remote last accepted this login, where that was its last word on the user's passwords. What was said at this
    /// very moment may still be on its way.
    fn last_yes(&self, name: &str, subject: &str) -> Option<Instant> {
        let now = Instant::now();
        let said = self.said_of(name);
        let yes = said
            .get(subject)?
            .iter()
            .filter(|(_, yes)| *yes)
            .map(|(at, _)| *at);
        let yes = yes.max()?;
        let ends = |of: &str, said: bool| if of == subject { !said } else { said };
        let ended = said.iter().any(|(of, words)| {
            words
                .iter()
                .any(|&(at, said)| yes < at && at < now && ends(of, said))
        });
        (!ended).then_some(yes)
    }
}

/// A login that was accepted while its remote was down.
pub(crate) fn check_stale(remote: &World, name: &str, subject: &str, asked: Instant) {
    let stale = remote.directory.cache.credentials.stale.unwrap_or_default();
    match remote.last_yes(name, subject) {
        Some(yes) if yes.elapsed() < stale => {}
        Some(yes) => remote.broken(format!(
            "{subject}: accepted {:?} after the remote's yes",
            yes.elapsed()
        )),
        None => remote.broken(format!(
            "{subject}: accepted, and the remote's last word is another"
        )),
    }
    if remote.has_replied_between(asked, Instant::now()) {
        remote.broken(format!(
            "{subject}: accepted from memory, and the remote replies to logins"
        ));
    }
}

/// A login that counts as failed, since it is none that was good.
pub(crate) fn check_guess(remote: &World, name: &str, subject: &str) {
    let stale = remote.directory.cache.credentials.stale.unwrap_or_default();
    let Some(yes) = remote.last_yes(name, subject) else {
        return;
    };
    // Of two that are asked at once and accepted, nobody knows which is the last.
    let is_certain = remote.said_of(name).iter().all(|(of, words)| {
        let clear = |&(at, said): &(Instant, bool)| !said || at + UNDER_WAY < yes;
        of == subject || words.iter().all(clear)
    });
    if is_certain && yes.elapsed() < stale && remote.siblings.is_empty() {
        remote.broken(format!(
            "{subject}: was good {:?} ago, and counts as a guess",
            yes.elapsed()
        ));
    }
}

#[test]
fn who_was_let_in_before_is_let_in_while_the_remote_is_down() {
    let (mut stale, mut guesses) = (0, 0);
    for seed in 1..=SEEDS {
        let traced = std::env::var("VOUCH_STALE").is_ok_and(|wanted| wanted == seed.to_string());
        let trace = if traced { Trace::Told } else { Trace::Nowhere };
        let _log = trace.takes_the_log();
        let played = paused::run(day(seed, trace.clone()));
        match played {
            Ok(tally) => {
                stale += tally.stale.load(Ordering::Relaxed);
                guesses += tally.guesses.load(Ordering::Relaxed);
            }
            Err(why) => panic!("seed {seed}: {why}\nVOUCH_STALE={seed} tells every event"),
        }
    }
    eprintln!("{SEEDS} seeds: {stale} accepted while the remote was down, {guesses} that count as guesses");
    assert!(stale > SEEDS / 2 && guesses > SEEDS);
}

async fn day(seed: u64, trace: Trace) -> Result<Arc<Tally>, String> {
    let world = Arc::new(World::with_downs(seed, trace));
    world.note(|| format!("seed {seed}: {:#?} {:#?}", world.directory, world.downs));
    let config = Config {
        directory: vec![world.directory.clone()],
        ..Config::default()
    };
    let members = members(&config, std::slice::from_ref(&world), &Chance::of_vouch(seed))?;
    let engine = Arc::new(Engine::new(members, None));
    let tally = Arc::new(Tally::default());
    let mut askers = JoinSet::new();
    for _ in 0..world.chance.among(3, 20) {
        let (world, engine, tally) = (world.clone(), engine.clone(), tally.clone());
        askers.spawn(async move {
            let end = Instant::now() + TIME;
            while Instant::now() < end {
                ask_some(world.clone(), engine.clone(), tally.clone()).await;
            }
        });
    }
    while let Some(asker) = askers.join_next().await {
        asker.map_err(|error| error.to_string())?;
    }
    drop(engine);
    sleep(Duration::from_secs(700)).await;
    world.verdict()?;
    if !tally.is_even() {
        return Err("not every question has one answer".to_owned());
    }
    let (sessions, tasks) = (
        world.open_sessions(),
        Handle::current().metrics().num_alive_tasks(),
    );
    if sessions + tasks > 0 {
        return Err(format!("{sessions} connections and {tasks} tasks are left over"));
    }
    Ok(tally)
}
