//! The part of one directory in a fleet.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::Fleet;
use super::finding::{self, Finding, Said};
use super::key::Source;
use super::purges::News;
use super::writer::Unwritten;

/// What one directory shares with the same directory of other edges.
#[derive(Clone)]
pub struct Share {
    fleet: Arc<Fleet>,
    pub(super) source: Source,
}

impl std::fmt::Debug for Share {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Share")
    }
}

impl News {
    /// What is remembered may be from after the purges, which came before this edge was there to hear of them.
    pub const fn is_first(&self) -> bool {
        self.is_first
    }

    /// What was found of a recipient at least so long ago is to be forgotten; `None` where it is not.
    pub fn of_recipient(&self, of: Option<&Share>, mailbox: &[u8]) -> Option<Duration> {
        self.recipient(of.map(|share| &share.source), mailbox)
    }

    /// The same of a login.
    pub fn of_login(&self, of: Option<&Share>, user: &[u8]) -> Option<Duration> {
        self.login(of.map(|share| &share.source), user)
    }
}

impl Share {
    /// The share of a directory; `source` is all that its findings depend on: edges that differ in it share nothing.
    pub fn new(fleet: Arc<Fleet>, source: &str) -> Self {
        let source = fleet.key.source(source.as_bytes());
        Self { fleet, source }
    }

    /// One whose store is not there.
    #[cfg(test)]
    pub(crate) fn of_nobody() -> Self {
        Self::new(Arc::new(Fleet::of_nobody()), "source")
    }

    /// The fleet that it is of.
    pub fn fleet(&self) -> &Fleet {
        &self.fleet
    }

    /// What some edge has found of a mailbox, if the store says so within the patience.
    pub async fn look(&self, mailbox: &[u8]) -> Option<Finding> {
        let (fleet, name) = (&self.fleet, self.fleet.key.name(&self.source, mailbox));
        let link = &fleet.store(&name)?.link;
        let (value, left) = link.look(&name).await?;
        let epochs = |end| fleet.purges.epochs(end);
        let decoded = finding::decode(&fleet.key, &name, &value, left, fleet.clock.now(), epochs);
        let is_purged = |epoch| fleet.purges.is_purged(&self.source, mailbox, epoch);
        let finding = decoded.and_then(|(finding, epoch)| (!is_purged(epoch)).then_some(finding));
        match finding {
            Some(_) => link.counts.found.count(),
            None => link.counts.unusable.count(),
        }
        finding
    }

    /// Whether this edge is the one to ask about a mailbox again, for so long.
    pub async fn claim(&self, mailbox: &[u8], time: Duration) -> bool {
        let name = self.fleet.key.name(&self.source, mailbox);
        match self.fleet.store(&name) {
            Some(store) => store.link.claim(&name, time).await,
            None => true,
        }
    }

    /// Has the others know what a probe has found that began `at` that time, and is of use for `kept`. Waits for nothing.
    pub fn tell(&self, mailbox: &[u8], (said, code): (Said, Option<u16>), kept: Duration, at: Instant) {
        let name = self.fleet.key.name(&self.source, mailbox);
        if let Some(store) = self.fleet.store(&name) {
            store.write(Unwritten {
                name,
                said,
                code,
                kept,
                at,
            });
        }
    }
}
