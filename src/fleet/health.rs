//! Doubts that edges share: while the remote refuses a canary at one of them, no edge believes a refusal of its domain. It is
//! the one thing of a remote's health that is shared: that it is down may be due to the way there.
//!
//! In a store there is one value, the board: a place for each edge that doubts, written by that edge alone and read
//! by all each second. What is in a place is sealed under the key of the fleet, with its own place: the store learns
//! neither the name of an edge nor a domain, and nobody forges a doubt. One that is put back is believed for as long as the
//! canary's refusal is young, five minutes. All that a doubt can do is to make a no a "later".

mod record;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout};

use super::Fleet;
use super::key::{FleetKey, Name, Purpose, Source};
use super::link::{IN_TIME, Link, State};
use super::outside::{Clock, Outside};
use super::wrong::Step;
use crate::chance::Chance;
use record::{Doubts, PLACE, Seal};

/// Bound (cache): time for which refusals are doubted since a canary was refused at another edge. Beyond: they are believed.
/// Why: that edge asks it again long before, if anybody asks there.
const DOUBTED_FOR: Duration = Duration::from_secs(300);

/// Bound (cache): how far ahead of ours the clock of an edge that doubts may be. Beyond: its doubts are no matter here. Why:
/// else nobody knows when they end.
const DOUBTS_AHEAD: u64 = 60;

/// Bound (cache): edges whose doubts are known at the same time. Beyond: one more takes another's place. Why: some that see
/// the remote refuse a canary are as good as all.
const PLACES: usize = 32;

/// How often the board is read.
const READ: Duration = Duration::from_secs(1);

/// A hash of a domain, and of all that findings about it depend on.
type Mark = [u8; 8];

/// What one directory doubts, and what other edges doubt of it.
#[derive(Clone)]
pub struct Health {
    board: Arc<Board>,
    key: FleetKey,
    source: Source,
}

/// An edge that doubts, for a report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Doubting {
    /// Its name.
    pub edge: String,
    /// How many domains.
    pub domains: u64,
    /// Since a canary was refused there last.
    pub ago: Duration,
}

impl Health {
    /// The health of a directory; `source` is all that its findings depend on: doubts of one that differs are no matter.
    pub fn new(fleet: &Fleet, source: &str) -> Self {
        Self {
            board: fleet.board.clone(),
            key: fleet.key.clone(),
            source: fleet.key.source(source.as_bytes()),
        }
    }

    /// The remote has refused a canary of this domain now.
    pub fn refused(&self, domain: &str) {
        self.board.doubt(self.mark(domain));
    }

    /// No canary of this domain is refused any more.
    pub fn accepted(&self, domain: &str) {
        self.board.trust(&self.mark(domain));
    }

    /// An edge where a canary of this domain is refused.
    pub fn doubted_at(&self, domain: &str) -> Option<Arc<str>> {
        // Nearly always nobody doubts anything.
        if self.board.others.lock().is_empty() {
            return None;
        }
        self.board.doubted_at(&self.mark(domain))
    }

    fn mark(&self, domain: &str) -> Mark {
        let hash = self
            .key
            .hash(Purpose::Doubt, &[self.source.bytes(), domain.as_bytes()]);
        let mut mark = [0; 8];
        for (to, from) in mark.iter_mut().zip(hash) {
            *to = from;
        }
        mark
    }
}

impl std::fmt::Debug for Health {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Health")
    }
}

/// What this edge doubts, and what it has read of others.
pub(super) struct Board {
    name: Name,
    seal: Seal,
    /// Tells this edge from others of the same name.
    id: [u8; 8],
    edge: String,
    clock: Clock,
    chance: Chance,
    /// When a canary was refused last here.
    own: Mutex<BTreeMap<Mark, SystemTime>>,
    others: Mutex<HashMap<Mark, Elsewhere>>,
    changed: Notify,
}

/// A doubt of another edge.
struct Elsewhere {
    edge: Arc<str>,
    /// When the canary was refused, and until when that counts.
    since: Instant,
    until: Instant,
}

impl Board {
    /// One on which nothing is known yet.
    pub(super) fn new(key: &FleetKey, outside: &Outside) -> Self {
        Self {
            name: key.name(&key.source(b"health"), b"board"),
            seal: Seal::new(key),
            id: outside.chance.bytes().unwrap_or_default(),
            edge: outside.edge.clone(),
            clock: outside.clock.clone(),
            chance: outside.chance.clone(),
            own: Mutex::default(),
            others: Mutex::default(),
            changed: Notify::new(),
        }
    }

    pub(super) const fn name(&self) -> &Name {
        &self.name
    }

    fn doubt(&self, mark: Mark) {
        self.own.lock().insert(mark, self.clock.now());
        self.changed.notify_one();
    }

    fn trust(&self, mark: &Mark) {
        if self.own.lock().remove(mark).is_some() {
            self.changed.notify_one();
        }
    }

    fn doubted_at(&self, mark: &Mark) -> Option<Arc<str>> {
        let others = self.others.lock();
        let doubt = others.get(mark)?;
        (Instant::now() < doubt.until).then(|| doubt.edge.clone())
    }

    /// The edges that doubt something, by name.
    pub(super) fn report(&self) -> Vec<Doubting> {
        let now = Instant::now();
        let mut edges = BTreeMap::<Arc<str>, Doubting>::new();
        for doubt in self.others.lock().values().filter(|doubt| now < doubt.until) {
            let ago = now.saturating_duration_since(doubt.since);
            let edge = edges.entry(doubt.edge.clone()).or_insert_with(|| Doubting {
                edge: doubt.edge.to_string(),
                domains: 0,
                ago,
            });
            edge.domains += 1;
            edge.ago = edge.ago.min(ago);
        }
        edges.into_values().collect()
    }

    /// Reads the board each second, and has it show what this edge doubts.
    pub(super) async fn watch(self: Arc<Self>, link: Arc<Link>) {
        loop {
            tokio::select! {
                () = sleep(READ) => {}
                () = self.changed.notified() => {}
            }
            self.look(&link).await;
        }
    }

    /// Takes in what is on the board, and puts there what is not yet.
    async fn look(&self, link: &Link) {
        let State::Up(mut connection) = link.state.borrow().clone() else {
            return self.forget_old();
        };
        // What is wrong with it is noted by what looks after the connection.
        let Ok(Ok(read)) = timeout(IN_TIME, connection.get(&self.name)).await else {
            return self.forget_old();
        };
        let board = read.map(|(value, _)| value).unwrap_or_default();
        let Some((place, value)) = self.take_in(&board) else {
            return;
        };
        let told = connection.tell(&self.name, place * PLACE, &value, DOUBTED_FOR);
        if let Ok(told) = timeout(IN_TIME, told).await {
            link.troubles.note_step(Step::Tell, told.err());
        }
    }

    /// Takes in what is on the board. What is to be written to which place of it, if that is not there yet.
    fn take_in(&self, board: &[u8]) -> Option<(usize, [u8; PLACE])> {
        let (now, mut own, mut free) = (self.clock.now(), None, None);
        let mut others = HashMap::new();
        let first = usize::from(self.id[0]) % PLACES;
        for place in (0..PLACES).map(|number| (first + number) % PLACES) {
            let sealed = board.get(place * PLACE..(place + 1) * PLACE);
            let doubts = sealed.and_then(|sealed| self.seal.open(&self.name, place, sealed));
            match doubts {
                Some(doubts) if doubts.id == self.id => own = own.or(Some((place, doubts))),
                Some(doubts) if self.add(&doubts, now, &mut others) => {}
                _ => free = free.or(Some(place)),
            }
        }
        self.replace(others);
        let mine = self.young(now);
        let place = match &own {
            Some((_, doubts)) if doubts.of == mine => return None,
            Some((place, _)) => *place,
            None if mine.is_empty() => return None,
            None => free.unwrap_or(first),
        };
        if mine.is_empty() {
            return Some((place, [0; PLACE]));
        }
        let doubts = Doubts {
            id: self.id,
            edge: self.edge.clone(),
            of: mine,
        };
        let sealed = self.seal.close(&self.name, place, &doubts, &self.chance)?;
        Some((place, sealed))
    }

    /// What this edge doubts, the latest first and no more than there is room for; nothing that counts nowhere any more.
    fn young(&self, now: SystemTime) -> Vec<(Mark, u32)> {
        let mut own = self.own.lock();
        own.retain(|_, at| now.duration_since(*at).unwrap_or_default() < DOUBTED_FOR);
        let mut own: Vec<_> = own.iter().map(|(mark, at)| (*mark, seconds(*at))).collect();
        own.sort_by_key(|(mark, at)| (std::cmp::Reverse(*at), *mark));
        own.truncate(record::DOUBTS_TOLD);
        own
    }

    /// Adds the doubts of another edge that still count; whether there is one.
    fn add(&self, doubts: &Doubts, now: SystemTime, others: &mut HashMap<Mark, Elsewhere>) -> bool {
        let (edge, seconds, now) = (Arc::from(&*doubts.edge), u64::from(seconds(now)), Instant::now());
        let mut some = false;
        for (mark, at) in &doubts.of {
            let at = u64::from(*at);
            let age = Duration::from_secs(seconds.saturating_sub(at));
            let Some(left) = DOUBTED_FOR.checked_sub(age).filter(|left| !left.is_zero()) else {
                continue;
            };
            if at > seconds + DOUBTS_AHEAD {
                continue;
            }
            some = true;
            let doubt = Elsewhere {
                edge: Arc::clone(&edge),
                since: now.checked_sub(age).unwrap_or(now),
                until: now + left,
            };
            match others.get(mark) {
                Some(known) if known.until >= doubt.until => {}
                _ => drop(others.insert(*mark, doubt)),
            }
        }
        some
    }

    fn forget_old(&self) {
        let now = Instant::now();
        let mut others = std::mem::take(&mut *self.others.lock());
        others.retain(|_, doubt| now < doubt.until);
        self.replace(others);
    }

    /// Has these be all that other edges doubt, and logs which edge is news.
    fn replace(&self, others: HashMap<Mark, Elsewhere>) {
        let before = std::mem::replace(&mut *self.others.lock(), others);
        if before.is_empty() && self.others.lock().is_empty() {
            return;
        }
        let now = self.others.lock();
        let names = |all: &HashMap<Mark, Elsewhere>| -> std::collections::BTreeSet<Arc<str>> {
            all.values().map(|doubt| doubt.edge.clone()).collect()
        };
        let (before, now) = (names(&before), names(&now));
        for edge in now.difference(&before) {
            tracing::warn!(
                edge = &**edge,
                "a canary is refused at another edge of the fleet: until it is accepted there, refusals of its domain are deferred here as well"
            );
        }
        for edge in before.difference(&now) {
            tracing::info!(
                edge = &**edge,
                "no canary is refused at that edge of the fleet any more"
            );
        }
    }
}

fn seconds(time: SystemTime) -> u32 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u32::try_from(since.as_secs()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
