//! What a memory was good for.

use crate::telemetry::counter::Counter;

/// Look-ups in a memory, by what was found.
#[derive(Debug, Default)]
pub(crate) struct Lookups {
    /// The answer.
    pub fresh: Counter,
    /// The answer, which is asked for again in the background.
    pub ageing: Counter,
    /// An answer for want of a better one.
    pub stale: Counter,
    /// Nothing that could be an answer.
    pub miss: Counter,
}

/// A memory at one time.
#[derive(Debug, Clone)]
pub struct Report {
    /// Verdicts in it.
    pub entries: usize,
    /// Verdicts that it holds at the most.
    pub limit: usize,
    /// Look-ups by what was found: `fresh`, `ageing`, `stale`, `miss`.
    pub lookups: [(&'static str, u64); 4],
}

/// Memories together, as Dovecot counts a cache.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Summary {
    /// Look-ups that found the answer.
    pub hits: u64,
    /// Look-ups after which the directory was asked before anything was answered.
    pub misses: u64,
    /// Verdicts by which a user or a login is good.
    pub positive: usize,
    /// Verdicts by which one is not.
    pub negative: usize,
}

impl Summary {
    /// Adds the look-ups of one more memory.
    pub(super) fn count(&mut self, lookups: &Lookups) {
        self.hits += lookups.fresh.get() + lookups.ageing.get();
        self.misses += lookups.stale.get() + lookups.miss.get();
    }
}

impl Lookups {
    /// What was counted, of a memory with so many of at most `limit` entries.
    pub(crate) fn report(&self, entries: usize, limit: usize) -> Report {
        Report {
            entries,
            limit,
            lookups: [
                ("fresh", self.fresh.get()),
                ("ageing", self.ageing.get()),
                ("stale", self.stale.get()),
                ("miss", self.miss.get()),
            ],
        }
    }
}
