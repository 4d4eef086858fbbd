//! How long an answer takes lately.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Each answer moves the mean by one part in so many.
const WEIGHT: u64 = 8;

/// The mean of the last answers, the latest first of all. Zero before the first.
#[derive(Debug, Default)]
pub(super) struct Pace(AtomicU64);

impl Pace {
    /// An answer took so long.
    pub(super) fn note(&self, took: Duration) {
        let took = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let mean = self.0.load(Ordering::Relaxed);
        let mean = match mean {
            0 => took,
            // Two that are noted at one moment may count as one: it is an estimate.
            mean => mean - mean / WEIGHT + took / WEIGHT,
        };
        self.0.store(mean.max(1), Ordering::Relaxed);
    }

    /// What the next is likely to take.
    pub(super) fn get(&self) -> Duration {
        Duration::from_micros(self.0.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_follows_the_last_answers() {
        let pace = Pace::default();
        assert_eq!(pace.get(), Duration::ZERO);
        pace.note(Duration::from_secs(2));
        assert_eq!(pace.get(), Duration::from_secs(2));
        for _ in 0..50 {
            pace.note(Duration::from_millis(100));
        }
        let now = pace.get();
        assert!(
            now > Duration::from_millis(99) && now < Duration::from_millis(110),
            "{now:?}"
        );
    }
}
