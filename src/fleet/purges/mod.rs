//! What was purged at any edge, so that every edge forgets it: the stores have a [record](record::Record), which edges read
//! before they believe any value of that store, and each second after that.
//!
//! A store is not believed in this either. A record that does not verify is as none; one that lacks what this edge has seen
//! is put right. All that a store can do is to keep a purge from others, as if it were not there.

mod mark;
mod news;
mod record;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use parking_lot::RwLock;
use tokio::sync::watch;
use tokio::time::Instant;

use super::client::Connection;
use super::finding::RETENTIONS;
use super::key::{FleetKey, Name, Source};
use super::outside::Clock;
use super::wrong::Wrong;
use crate::chance::Chance;
pub use mark::Whom;
use mark::{Mark, Subject, mark};
pub use news::{Heard, News};
use record::{PURGES_APART, Record, SUM};

/// Bound (cache): times in a row that a record of purges is read and changed, where others change it as well. Beyond: it
/// is tried again half a second later. Why: as many edges may purge at once.
const CHANGES: usize = 20;

/// Bound (cache): epochs of which an edge recalls when it learned of them. Beyond: what was asked before counts as asked
/// before any purge. Why: the slowest probe is long over.
const EPOCHS_SEEN: usize = 100;

/// What came of it that an edge and a store are to know the same of purges.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Agreed {
    /// They did.
    Already,
    /// The store has learned something, which other edges may not know either.
    Changed,
}

/// What this edge knows of the purges of all.
pub(super) struct Purges {
    key: FleetKey,
    clock: Clock,
    /// That of the record, in every store.
    name: Name,
    known: RwLock<Known>,
    changed: watch::Sender<()>,
    /// A number of this edge, by chance.
    edge: u16,
}

#[derive(Default)]
struct Known {
    /// A store was read.
    is_read: bool,
    record: Arc<Record>,
    /// Purges of this edge that no store has taken yet, and when that was.
    waiting: Waiting,
    /// When the last epochs became known here.
    seen: VecDeque<(Instant, u64)>,
    /// Epochs of purges of this edge.
    own: BTreeSet<u64>,
}

/// Purges that have no epoch yet, and when they came, in seconds since 1970. One without a mark is of everything.
type Waiting = BTreeMap<Option<Mark>, u32>;

impl Known {
    /// Takes in what a store has, or has taken.
    fn take(&mut self, theirs: &Record) {
        self.is_read = true;
        let merged = self.record.merge(theirs);
        if merged == *self.record {
            return;
        }
        if merged.epoch() > self.record.epoch() {
            self.seen.push_back((Instant::now(), merged.epoch()));
            if self.seen.len() > EPOCHS_SEEN {
                self.seen.pop_front();
            }
        }
        self.record = Arc::new(merged);
    }

    /// What the stores are to have: what is known, and what was purged here since.
    fn wanted(&self, edge: u16) -> Record {
        let mut wanted = (*self.record).clone();
        if let Some(last) = self.waiting.values().max() {
            let epoch = wanted.next(*last, edge);
            for mark in self.waiting.keys() {
                wanted.add(*mark, epoch);
            }
        }
        wanted
    }

    /// Whether everything was purged here, or what has this mark.
    fn waits(&self, mut marks: impl Iterator<Item = Mark>) -> bool {
        self.waiting.contains_key(&None) || marks.any(|mark| self.waiting.contains_key(&Some(mark)))
    }
}

impl Purges {
    pub(super) fn new(key: FleetKey, clock: Clock, chance: &Chance) -> Self {
        // The source of a directory begins with a version.
        let name = key.name(&key.source(b"purges"), b"");
        Self {
            key,
            clock,
            name,
            known: RwLock::default(),
            changed: watch::Sender::new(()),
            edge: u16::from_be_bytes(chance.bytes().unwrap_or_default()),
        }
    }

    /// Has what was found so far of these forgotten, of these sources or of all. The stores do not know of it yet.
    pub(super) fn add(&self, sources: Option<&[&Source]>, whom: &[Whom]) {
        let time = seconds(self.clock.now());
        let mut known = self.known.write();
        for whom in whom {
            let marks: Vec<_> = match sources {
                None => vec![mark(&self.key, None, whom)],
                Some(sources) => sources
                    .iter()
                    .map(|source| mark(&self.key, Some(source), whom))
                    .collect(),
            };
            known.waiting.extend(marks.into_iter().map(|mark| (mark, time)));
            if known.waiting.len() > PURGES_APART {
                known.waiting = Waiting::from([(None, time)]);
            }
        }
    }

    /// The epochs that are known and end in these two bytes: of one of them a finding may be.
    pub(super) fn epochs(&self, end: u16) -> Vec<u64> {
        let known = self.known.read();
        let none = (end == 0).then_some(0);
        // Most findings are of the last ones.
        let epochs = known.record.epochs.iter().rev().copied();
        epochs.filter(|epoch| *epoch as u16 == end).chain(none).collect()
    }

    /// The epoch of what was asked at that time.
    pub(super) fn epoch_at(&self, at: Instant) -> u64 {
        let known = self.known.read();
        let before = known.seen.iter().rev().find(|(seen, _)| *seen < at);
        before.map_or(0, |(_, epoch)| *epoch)
    }

    /// Whether what was found in that epoch of this mailbox was to be forgotten since.
    pub(super) fn is_purged(&self, source: &Source, mailbox: &[u8], epoch: u64) -> bool {
        let known = self.known.read();
        let subject = Subject {
            source: Some(source),
            name: mailbox,
            is_login: false,
        };
        // Where nobody purges, nearly all findings are of the last epoch.
        epoch < known.record.epoch() && known.record.last(&self.key, subject) > epoch
            || !known.waiting.is_empty() && known.waits(subject.marks(&self.key, |_| true))
    }

    /// Has this edge and a store know the same of purges. Whether the store takes what it did not know.
    ///
    /// # Errors
    /// The store cannot be read: none of its values is to be believed.
    pub(super) async fn agree(&self, connection: &mut Connection) -> Result<Result<Agreed, Wrong>, Wrong> {
        for _ in 0..CHANGES {
            let bytes = connection
                .get(&self.name)
                .await?
                .map_or_else(Vec::new, |(bytes, _)| bytes);
            let theirs = Record::decode(&self.key, &self.name, &bytes);
            let (wanted, waiting) = self.take(theirs.as_ref());
            if wanted.is_blank() || theirs.as_ref() == Some(&wanted) {
                return Ok(Ok(Agreed::Already));
            }
            let seen = bytes.get(bytes.len().saturating_sub(SUM)..).unwrap_or_default();
            let record = wanted.encode(&self.key, &self.name);
            match connection.replace(&self.name, seen, &record, kept()).await {
                Ok(true) => {
                    self.note_taken(&wanted, &waiting);
                    return Ok(Ok(Agreed::Changed));
                }
                Ok(false) => {}
                Err(wrong) => return Ok(Err(wrong)),
            }
        }
        Ok(Err(Wrong::Contested))
    }

    /// Takes in what a store has; what it is to have, and what of that waited for it.
    fn take(&self, theirs: Option<&Record>) -> (Record, Waiting) {
        let blank = Record::default();
        let mut known = self.known.write();
        let (before, was_read) = (known.record.clone(), known.is_read);
        known.take(theirs.unwrap_or(&blank));
        if !was_read || !Arc::ptr_eq(&before, &known.record) {
            self.changed.send_replace(());
        }
        (known.wanted(self.edge), known.waiting.clone())
    }

    /// A store has taken this, and with it what waited.
    fn note_taken(&self, taken: &Record, waited: &Waiting) {
        let mut known = self.known.write();
        if !waited.is_empty() {
            known.own.insert(taken.epoch());
            if known.own.len() > PURGES_APART {
                known.own.pop_first();
            }
        }
        known.take(taken);
        // What was purged meanwhile waits on.
        known.waiting.retain(|mark, time| waited.get(mark) != Some(time));
        self.changed.send_replace(());
    }
}

/// How long a store keeps the record: until long after the last value that it is about.
fn kept() -> Duration {
    let longest = RETENTIONS.iter().max().copied().unwrap_or_default();
    2 * Duration::from_secs(u64::from(longest))
}

fn seconds(time: SystemTime) -> u32 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u32::try_from(since.as_secs()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
