//! Failures that other edges of a fleet have counted as well: asked for beside a question, and known for a while.

use std::time::Duration;

use quick_cache::sync::Cache;
use tokio::time::Instant;

use crate::fleet::guesses::{Counted, Guesses, Mark, Of};

/// Bound (clients): clients and users of one listener whose failures at all edges of a fleet are known. Beyond: for some, only
/// those at this edge count. Why: some megabyte.
const COUNTED_ELSEWHERE: usize = 16_384;

/// Bound (clients): time for which the count of all edges is used. Beyond: that of this edge alone. Why: each question asks
/// for it anew; a store that fails, or tells lies, delays nobody for longer.
pub(super) const COUNT_USED: Duration = Duration::from_secs(30);

/// What all edges have counted together.
pub(super) struct Elsewhere {
    pub(super) guesses: Guesses,
    known: Cache<Counted, (u32, Instant)>,
}

impl Elsewhere {
    /// Nothing is known yet.
    pub(super) fn new(guesses: Guesses) -> Self {
        Self {
            guesses,
            known: Cache::new(COUNTED_ELSEWHERE),
        }
    }

    /// Asks how many failures of a client or user there were; in vain where the store is slow.
    pub(super) async fn look(&self, of: Of, who: &[u8]) {
        let counted = self.guesses.counted(of, who);
        if let Some(count) = self.guesses.count(&counted).await {
            self.known.insert(counted, (count, Instant::now()));
        }
    }

    /// How many there were, as far as is known.
    pub(super) fn count(&self, of: Of, who: &[u8]) -> u32 {
        let known = self.known.get(&self.guesses.counted(of, who));
        known
            .filter(|(_, since)| since.elapsed() < COUNT_USED)
            .map_or(0, |(count, _)| count)
    }

    /// Has the other edges count one more.
    pub(super) fn add(&self, of: Of, who: &[u8], mark: Mark) {
        self.guesses.add(&self.guesses.counted(of, who), mark);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Elsewhere {
        pub(in crate::server) fn learn(&self, of: Of, who: &[u8], count: u32) {
            let counted = self.guesses.counted(of, who);
            self.known.insert(counted, (count, Instant::now()));
        }
    }

    // Fills COUNTED_ELSEWHERE.
    #[tokio::test(start_paused = true)]
    async fn there_is_room_for_so_many() {
        let guesses = Guesses::of_nobody("logins", COUNT_USED);
        let elsewhere = Elsewhere::new(guesses.unwrap());
        for number in 0..2 * COUNTED_ELSEWHERE {
            elsewhere.learn(Of::User, &number.to_be_bytes(), 1);
        }
        assert!(elsewhere.known.len() <= COUNTED_ELSEWHERE);
    }
}
