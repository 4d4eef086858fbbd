//! What other edges have purged, for the memory of this one.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::mark::Subject;
use super::record::{self, Record};
use super::{Purges, seconds};
use crate::fleet::finding::CLOCKS;
use crate::fleet::key::{FleetKey, Source};
use crate::fleet::outside::Clock;

/// Purges that this edge has not heard of before.
pub struct News {
    key: FleetKey,
    clock: Clock,
    record: Record,
    /// What is remembered here may be from before or after each of them.
    pub(in crate::fleet) is_first: bool,
}

/// Hears of purges, from the first that is known.
pub struct Heard {
    purges: Arc<Purges>,
    changes: watch::Receiver<()>,
    /// What was heard.
    record: Option<Arc<Record>>,
}

impl Heard {
    /// One that has heard of none.
    pub(in crate::fleet) fn new(purges: Arc<Purges>) -> Self {
        let mut changes = purges.changed.subscribe();
        changes.mark_changed();
        Self {
            purges,
            changes,
            record: None,
        }
    }

    /// What other edges have purged, once there is anything new.
    pub async fn next(&mut self) -> News {
        loop {
            // Its sender is here.
            let _ = self.changes.changed().await;
            if let Some(news) = self.news() {
                return news;
            }
        }
    }

    /// All that was heard.
    pub fn so_far(&self) -> Option<News> {
        let record = self.record.as_deref()?.clone();
        (!record.is_blank()).then(|| News::new(&self.purges, record, true))
    }

    fn news(&mut self) -> Option<News> {
        let known = self.purges.known.read();
        if !known.is_read {
            return None;
        }
        let before = self.record.replace(known.record.clone());
        let Some(before) = before else {
            drop(known);
            return self.so_far();
        };
        let record = known.record.since(&before);
        // What was purged here is forgotten already.
        let is_others = |epoch: &u64| *epoch > 0 && !known.own.contains(epoch);
        let by_others = is_others(&record.floor) || record.purges.values().any(is_others);
        by_others.then(|| News::new(&self.purges, record, false))
    }
}

impl News {
    fn new(purges: &Purges, record: Record, is_first: bool) -> Self {
        Self {
            key: purges.key.clone(),
            clock: purges.clock.clone(),
            record,
            is_first,
        }
    }

    /// What was found of a recipient at least so long ago is to be forgotten; `None` where it is not.
    pub(in crate::fleet) fn recipient(&self, source: Option<&Source>, mailbox: &[u8]) -> Option<Duration> {
        self.age(Subject {
            source,
            name: mailbox,
            is_login: false,
        })
    }

    /// The same of a login.
    pub(in crate::fleet) fn login(&self, source: Option<&Source>, user: &[u8]) -> Option<Duration> {
        self.age(Subject {
            source,
            name: user,
            is_login: true,
        })
    }

    fn age(&self, subject: Subject<'_>) -> Option<Duration> {
        let last = self.record.last(&self.key, subject);
        if last == 0 {
            return None;
        }
        if !self.is_first {
            return Some(Duration::ZERO);
        }
        // Nobody knows whose clock is ahead.
        let since = u64::from(seconds(self.clock.now())).saturating_sub(record::seconds(last));
        Some(Duration::from_secs(since.saturating_sub(CLOCKS)))
    }
}
