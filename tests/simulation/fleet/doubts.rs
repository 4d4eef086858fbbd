//! At which edges a canary was refused when, and what the others may make of it: a no is a "later" there for as long, no longer
//! than five minutes after the last refusal, and nothing else is different.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::ledger::CANARY;
use super::weather::Weather;
use crate::world::World;

/// Since a canary was refused at an edge, that is believed by others for so long.
const DOUBTED: Duration = Duration::from_secs(300);

/// A clock that is further ahead than this is not believed.
const AHEAD: i64 = 60;

/// Within this time others learn of a doubt, and of its end: they read each second, and it is looked for often.
const TOLD: Duration = Duration::from_secs(3);

/// What tells the age tells whole seconds, and the board is read each second.
const ROUNDED: Duration = Duration::from_secs(4);

/// A refusal is held back for so long while a witness is asked about.
const WEIGHED: Duration = Duration::from_secs(30);

/// Of each edge, when that changed: whether a canary is refused; `None` while it is not there.
type Seen = Vec<Vec<(Instant, Option<bool>)>>;

/// The doubts of a day.
pub(crate) struct Doubts {
    /// That of the store; `None` where edges have none.
    weather: Option<Arc<Weather>>,
    clocks: Vec<i64>,
    worlds: Vec<Arc<World>>,
    seen: Mutex<Seen>,
}

impl Doubts {
    pub(crate) fn new(weather: Option<Arc<Weather>>, worlds: &[Arc<World>], clocks: &[i64]) -> Self {
        Self {
            weather,
            clocks: clocks.to_vec(),
            worlds: worlds.to_vec(),
            seen: Mutex::new(vec![Vec::new(); worlds.len()]),
        }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a canary is refused at an edge now.
    pub(crate) fn sees(&self, edge: usize, refused: Option<bool>) {
        let seen = &mut self.seen()[edge];
        if seen.last().is_none_or(|(_, last)| *last != refused) {
            seen.push((Instant::now(), refused));
        }
    }

    /// Whether that was so at an edge all the time since then.
    fn was(&self, edge: usize, refused: bool, since: Instant) -> bool {
        let seen = self.seen();
        let last = seen[edge].last();
        last.is_some_and(|(at, last)| *at <= since && *last == Some(refused))
    }

    /// Whether an edge was not there for a while. What it doubted before is then the doubt of another to it.
    fn has_restarted(&self, edge: usize) -> bool {
        self.seen()[edge].iter().any(|(_, seen)| seen.is_none())
    }

    /// How much further ahead the clock of one edge is than that of another.
    fn ahead(&self, one: usize, other: usize) -> i64 {
        self.clocks[one] - self.clocks[other]
    }

    fn is_calm(&self, edges: [usize; 2], since: Instant) -> bool {
        let calms = self.weather.as_ref().map(|weather| weather.calms(edges));
        let mut calms = calms.into_iter().flatten();
        calms.any(|(from, until)| from <= since && Instant::now() <= until)
    }

    /// An edge has refused a recipient who was asked about `then`, though one of the others may doubt that.
    pub(crate) fn check_refusal(&self, edge: usize, name: &str, then: Instant) {
        let since = then - TOLD;
        let is_there = |edge: usize| matches!(self.seen()[edge].last(), Some((at, Some(_))) if *at <= since);
        if !name.ends_with("@a.test") || !is_there(edge) {
            return;
        }
        for (other, world) in self.worlds.iter().enumerate().filter(|(other, _)| *other != edge) {
            let Some(last) = world
                .said_since(CANARY, false, world.began)
                .into_iter()
                .next_back()
            else {
                continue;
            };
            let ahead = self.ahead(other, edge);
            let age = last.elapsed().as_secs() as i64 - ahead;
            let is_young = age < (DOUBTED - TOLD).as_secs() as i64 && ahead < AHEAD;
            if is_young
                && self.was(other, true, since)
                && !world.has_said(CANARY, true, since)
                && self.is_calm([edge, other], since)
            {
                self.worlds[edge].broken(format!(
                    "{name} is refused, and a canary is refused at edge {other} since {:?}",
                    last.elapsed()
                ));
            }
        }
    }

    /// An edge defers a no about what was asked `then`, since a canary is refused elsewhere: these are the words.
    pub(crate) fn check_doubt(&self, edge: usize, name: &str, words: &str, then: Instant) {
        let world = &self.worlds[edge];
        let named = words
            .split_once("another edge, edge")
            .and_then(|(_, rest)| rest.split(':').next()?.parse::<usize>().ok());
        let may_doubt =
            |other: &usize| *other < self.worlds.len() && (*other != edge || self.has_restarted(edge));
        let Some(other) = named.filter(may_doubt) else {
            return world.broken(format!("{name} is deferred by the doubt of nobody: {words}"));
        };
        if !world.has_said(name, false, then - WEIGHED) {
            world.broken(format!(
                "{name} is deferred by the doubt of edge {other}, and was not refused"
            ));
        }
        let doubting = &self.worlds[other];
        let ahead = self.ahead(other, edge).clamp(0, AHEAD) as u64;
        let longest = DOUBTED + Duration::from_secs(ahead) + ROUNDED;
        if !doubting.has_said(CANARY, false, then - longest) {
            world.broken(format!(
                "{name} is deferred, and no canary was refused at edge {other} for {longest:?}"
            ));
        }
        let since = then - TOLD;
        // What an edge doubted that has ended is in its place for as long as it would be without any word of it.
        let is_old = self.seen().get(other).is_some_and(|seen| {
            seen.iter()
                .all(|(at, seen)| seen.is_some() || *at + longest < then)
        });
        if is_old
            && self.was(other, false, since)
            && !doubting.has_said(CANARY, false, since)
            && self.is_calm([edge, other], since)
        {
            world.broken(format!(
                "{name} is deferred, and no canary is refused at edge {other} any more"
            ));
        }
    }
}
