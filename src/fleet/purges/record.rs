//! The record of purges that the store keeps for all edges.
//!
//! Each purge has an epoch of its own, later than those before. What an edge has found carries the last epoch that the edge
//! knew as its probe began, and is not believed once a later purge was about it. The record has the last epochs, and what
//! was purged in them; a finding of an epoch that it does not have is not believed either.
//!
//! Each change is of the record that the store has (compare and set), so that there is one history. Where the store loses
//! it, edges put back what they have seen; if it has begun another one meanwhile, or several stores have one each, the two
//! are [merged](Record::merge): what one of them alone knows is a purge of now, for both.

use std::collections::{BTreeMap, BTreeSet};

use super::mark::{MARK, Mark, Subject};
use crate::fleet::key::{FleetKey, Name, Purpose};
use crate::fleet::mixed;

/// Bound (cache): purges that the edges of a fleet keep apart. Beyond: what was found before the oldest is forgotten in the
/// store, and by edges that were stopped meanwhile. Why: what each edge reads of them twice a second stays below 40 kB.
pub(super) const PURGES_APART: usize = 1000;

/// The one format there is.
const FORMAT: u8 = 1;

/// Bytes of the checksum, at the end.
pub(super) const SUM: usize = 16;

/// Bytes of an epoch.
const EPOCH: usize = 8;

/// Bits of an epoch below the seconds since 1970 in which it began.
const BELOW_SECONDS: u32 = 16;

/// What is known of purges.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Record {
    /// The last ones.
    pub(super) epochs: BTreeSet<u64>,
    /// The last purge that was of everything, or has no place any more; 0 where there was none.
    pub(super) floor: u64,
    /// When each was purged for the last time, if that was later.
    pub(super) purges: BTreeMap<Mark, u64>,
}

/// When an epoch began, in seconds since 1970, by the clock of the edge that purged.
pub(super) const fn seconds(epoch: u64) -> u64 {
    epoch >> BELOW_SECONDS
}

/// Whether two histories were joined in it. Purges have even numbers.
const fn is_joined(epoch: u64) -> bool {
    epoch % 2 == 1
}

/// The epoch in which all these purges are known: later than each of them, and than that of any part of them; and hardly
/// ever that of others.
fn joined(epochs: &BTreeSet<u64>) -> u64 {
    let purges = epochs.iter().filter(|epoch| !is_joined(**epoch));
    let (last, sum) = purges.fold((0, 1), |(_, sum), epoch| {
        (*epoch, sum + 2 + mixed(*epoch) % 16 * 2)
    });
    last.saturating_add(sum)
}

impl Record {
    /// No purge is known.
    pub(super) fn is_blank(&self) -> bool {
        self.epochs.is_empty()
    }

    /// The last; 0 where there was none.
    pub(super) fn epoch(&self) -> u64 {
        self.epochs.last().copied().unwrap_or_default()
    }

    /// The epoch of a purge at that time: a later one, and hardly ever that of another `edge`, which has another number.
    pub(super) fn next(&self, time: u32, edge: u16) -> u64 {
        let now = u64::from(time) << BELOW_SECONDS | u64::from(edge);
        let later = self.epoch().saturating_add(2 + u64::from(edge % 256));
        now.max(later) & !1
    }

    /// Adds a purge in an epoch that is not over; of everything, if it has no mark.
    pub(super) fn add(&mut self, mark: Option<Mark>, epoch: u64) {
        self.epochs.insert(epoch);
        match mark {
            Some(mark) => drop(self.purges.insert(mark, epoch)),
            None => self.raise(epoch),
        }
        self.fit();
    }

    fn raise(&mut self, to: u64) {
        self.floor = self.floor.max(to);
        self.purges.retain(|_, epoch| *epoch > self.floor);
    }

    fn fit(&mut self) {
        while self.epochs.len() > PURGES_APART || self.purges.len() > PURGES_APART {
            let oldest = self.purges.values().min().copied();
            let gone = match oldest.filter(|_| self.epochs.len() <= PURGES_APART) {
                Some(oldest) => oldest,
                None => self.epochs.pop_first().unwrap_or(u64::MAX),
            };
            self.raise(gone);
        }
    }

    /// The last purge that was about it; 0 where there was none.
    pub(super) fn last(&self, key: &FleetKey, subject: Subject<'_>) -> u64 {
        let marks = subject.marks(key, |kind| self.has(kind));
        let purges = marks.filter_map(|mark| self.purges.get(&mark).copied());
        purges.fold(self.floor, u64::max)
    }

    /// Whether it has a purge of this kind.
    fn has(&self, kind: u8) -> bool {
        let mut first = [0; MARK];
        first[0] = kind;
        let found = self.purges.range(first..).next();
        found.is_some_and(|(mark, _)| mark[0] == kind)
    }

    /// Whether it knows of this epoch, or that is so old that it has lost its place.
    fn knows(&self, epoch: u64) -> bool {
        let is_old = || {
            let first = self.epochs.first().copied().unwrap_or_default();
            self.epochs.len() == PURGES_APART && epoch < first
        };
        self.epochs.contains(&epoch) || is_old()
    }

    /// Whether it knows of all purges of `other`.
    fn covers(&self, other: &Self) -> bool {
        let mut purges = other.epochs.iter().filter(|epoch| !is_joined(**epoch));
        purges.all(|epoch| self.knows(*epoch))
    }

    /// All that both know. Of two histories, what is in one alone becomes a purge of now: the other has counted past it
    /// without it. In whatever order edges merge what they know, they end with the same.
    pub(super) fn merge(&self, other: &Self) -> Self {
        let both = match (self.covers(other), other.covers(self)) {
            (true, false) => return self.clone(),
            (false, true) => return other.clone(),
            (both, _) => both,
        };
        let mut merged = Self {
            epochs: &self.epochs | &other.epochs,
            ..Self::default()
        };
        let now = joined(&merged.epochs);
        for (mark, epoch) in self.purges.iter().chain(&other.purges) {
            let is_common = self.purges.get(mark) == other.purges.get(mark);
            let epoch = if both || is_common { *epoch } else { now };
            let last = merged.purges.entry(*mark).or_default();
            *last = epoch.max(*last);
        }
        let floor = |one: &Self, other: &Self| {
            let is_known = both || one.floor == 0 || other.knows(one.floor);
            if is_known { one.floor } else { now }
        };
        let floor = floor(self, other).max(floor(other, self));
        if !both {
            merged.epochs.insert(now);
        }
        merged.raise(floor);
        merged.fit();
        merged
    }

    /// What this knows and `before` does not.
    pub(super) fn since(&self, before: &Self) -> Self {
        let is_known = self.floor <= before.floor || before.epochs.contains(&self.floor);
        let is_new = |(mark, epoch): &(&Mark, &u64)| before.purges.get(*mark) != Some(*epoch);
        let purges = self.purges.iter().filter(is_new);
        Self {
            epochs: &self.epochs - &before.epochs,
            floor: if is_known { 0 } else { self.floor },
            purges: purges.map(|(mark, epoch)| (*mark, *epoch)).collect(),
        }
    }

    /// As the store keeps it under this name.
    pub(super) fn encode(&self, key: &FleetKey, name: &Name) -> Vec<u8> {
        let length = 3 + EPOCH * (1 + self.epochs.len()) + (MARK + EPOCH) * self.purges.len() + SUM;
        let mut bytes = Vec::with_capacity(length);
        bytes.push(FORMAT);
        bytes.extend((self.epochs.len() as u16).to_be_bytes());
        for epoch in [self.floor].iter().chain(&self.epochs) {
            bytes.extend(epoch.to_be_bytes());
        }
        for (mark, epoch) in &self.purges {
            bytes.extend(mark);
            bytes.extend(epoch.to_be_bytes());
        }
        let sum = sum(key, name, &bytes);
        bytes.extend(sum);
        bytes
    }

    /// A record of the store; `None` where it is not one of our fleet.
    pub(super) fn decode(key: &FleetKey, name: &Name, bytes: &[u8]) -> Option<Self> {
        let (signed, theirs) = bytes.split_at_checked(bytes.len().checked_sub(SUM)?)?;
        if sum(key, name, signed) != theirs {
            return None;
        }
        let ([format, many @ ..], rest) = signed.split_first_chunk::<3>()?;
        let many = usize::from(u16::from_be_bytes(*many));
        let (floor, rest) = rest.split_first_chunk()?;
        let (epochs, purges) = rest.split_at_checked(EPOCH * many)?;
        let epochs = epochs
            .as_chunks()
            .0
            .iter()
            .map(|epoch| u64::from_be_bytes(*epoch));
        let purge = |bytes: &[u8]| {
            let (mark, epoch) = bytes.split_first_chunk()?;
            Some((*mark, u64::from_be_bytes(epoch.try_into().ok()?)))
        };
        let record = Self {
            floor: u64::from_be_bytes(*floor),
            epochs: epochs.collect(),
            purges: purges.chunks(MARK + EPOCH).map(purge).collect::<Option<_>>()?,
        };
        let fits = record.epochs.len() <= PURGES_APART && record.purges.len() <= PURGES_APART;
        (*format == FORMAT && fits).then_some(record)
    }
}

fn sum(key: &FleetKey, name: &Name, signed: &[u8]) -> [u8; SUM] {
    let hash = key.hash(Purpose::Record, &[name.bytes(), signed]);
    let mut sum = [0; SUM];
    for (to, from) in sum.iter_mut().zip(hash) {
        *to = from;
    }
    sum
}

#[cfg(test)]
mod tests;
