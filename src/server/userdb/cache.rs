//! What a master listener shows of the cache, and how it purges it.

use std::sync::atomic::{AtomicU64, Ordering};

use vouch_protocol::auth::master::{CacheCounters, Reply};

use super::UserdbListener;
use crate::verdict::UserName;

/// What was counted when it was last to begin at zero. The counters themselves go on, as
/// metrics must.
#[derive(Debug, Default)]
pub(super) struct Baseline {
    hits: AtomicU64,
    misses: AtomicU64,
}

impl UserdbListener {
    /// The answer to CACHE-STATUS.
    pub(super) async fn status(&self, id: u32, reset: bool) -> Reply {
        let summary = self.gate.engine.summary().await;
        let counters = summary.map(|summary| {
            let counters = CacheCounters {
                hits: limited(since(&self.baseline.hits, summary.hits)),
                misses: limited(since(&self.baseline.misses, summary.misses)),
                positive: limited(summary.positive as u64),
                negative: limited(summary.negative as u64),
            };
            if reset {
                self.baseline.hits.store(summary.hits, Ordering::Relaxed);
                self.baseline.misses.store(summary.misses, Ordering::Relaxed);
            }
            counters
        });
        Reply::CacheStatus { id, counters }
    }

    /// The answer to CACHE-FLUSH.
    pub(super) fn flush(&self, id: u32, users: &[Vec<u8>]) -> Reply {
        let users: Vec<_> = users.iter().map(|user| UserName::new(user)).collect();
        let count = self.gate.engine.forget(&users);
        let (listener, of) = (&self.keys.name, users.len());
        tracing::info!(listener = listener, count, users = of, "CACHE-FLUSH answered");
        Reply::Flushed {
            id,
            count: limited(count as u64),
        }
    }
}

/// What was counted since then. A count that is lower is that of a new memory.
fn since(then: &AtomicU64, now: u64) -> u64 {
    now.checked_sub(then.load(Ordering::Relaxed)).unwrap_or(now)
}

fn limited(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_begins_anew_with_a_reset_or_a_new_memory() {
        let then = AtomicU64::new(0);
        assert_eq!(since(&then, 7), 7);
        then.store(7, Ordering::Relaxed);
        assert_eq!((since(&then, 7), since(&then, 9), since(&then, 2)), (0, 2, 2));
        assert_eq!(limited(u64::MAX), u32::MAX);
    }
}
