//! Failures by client or user, which penalties and the limits of sessions count.

use std::time::Duration;

use parking_lot::Mutex;
use quick_cache::Weighter;
use quick_cache::unsync::Cache;
use tokio::time::Instant;

/// Bound (clients): failures remembered by each listener: for penalties by address and by user, for auth-errors by
/// session. Beyond: some counts start from zero. Why: 8 MiB at most, of each of the three.
pub(super) const FAILURES: u64 = 65_536;

/// Initial room for keys.
pub(super) const EXPECTED: usize = 1024;

/// Failures, by the hash of the key.
pub(super) struct Table {
    failed: Mutex<Cache<u64, Failures, ByNumber>>,
    /// How long one is remembered.
    forget: Duration,
    /// So many are worth telling.
    many: u32,
    /// More of one make no difference.
    most: usize,
}

/// All of one.
#[derive(Clone, Default)]
struct Failures {
    /// When each was, the oldest first, and its mark.
    list: Vec<(Instant, u64)>,
    /// It was logged that they are many. They may become few and many again before the last
    /// of them is forgotten.
    told: bool,
}

/// What one failure more came to.
#[derive(Debug, Default)]
pub(super) struct Counted {
    /// Those before it.
    pub(super) before: u32,
    /// It makes them many, which is news.
    pub(super) begins: bool,
    /// No equal one was remembered.
    pub(super) is_new: bool,
}

#[derive(Clone)]
struct ByNumber;

impl Weighter<u64, Failures> for ByNumber {
    fn weight(&self, _: &u64, failures: &Failures) -> u64 {
        failures.list.len() as u64 + 1
    }
}

impl Table {
    pub(super) fn new(forget: Duration, many: u32, most: usize) -> Self {
        Self {
            failed: Mutex::new(Cache::with_weighter(EXPECTED, FAILURES, ByNumber)),
            forget,
            many,
            most,
        }
    }

    /// How many are remembered.
    pub(super) fn count(&self, who: u64) -> u32 {
        let failed = self.failed.lock();
        let Some(failures) = failed.get(&who) else {
            return 0;
        };
        failures.count(self.forget)
    }

    /// Counts one more, unless one of the same mark is remembered.
    pub(super) fn add(&self, who: u64, mark: u64) -> Counted {
        self.add_beside(who, mark, 0)
    }

    /// The same where so many were counted elsewhere, which stand where they are more.
    pub(super) fn add_beside(&self, who: u64, mark: u64, elsewhere: u32) -> Counted {
        let mut failed = self.failed.lock();
        if let Some(mut failures) = failed.get_mut(&who) {
            return self.add_to(&mut failures, mark, elsewhere);
        }
        let mut failures = Failures::default();
        let counted = self.add_to(&mut failures, mark, elsewhere);
        failed.insert(who, failures);
        counted
    }

    fn add_to(&self, failures: &mut Failures, mark: u64, elsewhere: u32) -> Counted {
        failures.list.retain(|(since, _)| since.elapsed() < self.forget);
        if failures.list.is_empty() {
            failures.told = false;
        }
        let before = failures.count(self.forget).max(elsewhere);
        if failures.list.iter().any(|(_, known)| *known == mark) {
            return Counted {
                before,
                begins: false,
                is_new: false,
            };
        }
        if failures.list.len() >= self.most {
            failures.list.remove(0);
        }
        failures.list.push((Instant::now(), mark));
        let now = (failures.list.len() as u64).max(u64::from(elsewhere) + 1);
        let begins = !failures.told && now >= u64::from(self.many);
        failures.told |= begins;
        Counted {
            before,
            begins,
            is_new: true,
        }
    }

    /// Those that are remembered, as [`FAILURES`] has it.
    #[cfg(test)]
    pub(super) fn weight(&self) -> u64 {
        self.failed.lock().weight()
    }
}

impl Failures {
    fn count(&self, forget: Duration) -> u32 {
        let remembered = self.list.iter().filter(|(since, _)| since.elapsed() < forget);
        u32::try_from(remembered.count()).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    #[tokio::test(start_paused = true)]
    async fn each_failure_is_forgotten_by_itself() {
        let table = Table::new(10 * MINUTE, 3, 5);
        for mark in 0..4 {
            assert_eq!(u64::from(table.add(1, mark).before), mark);
            advance(MINUTE).await;
        }
        assert_eq!(table.count(1), 4);
        advance(6 * MINUTE).await;
        assert_eq!(table.count(1), 3);
        advance(MINUTE).await;
        assert_eq!((table.count(1), table.count(2)), (2, 0));
        assert_eq!(table.add(1, 3).before, 2, "one that is known");
        assert_eq!(table.count(1), 2);
        assert_eq!(table.add(1, 0).before, 2, "one that was forgotten");
        assert_eq!(table.count(1), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn that_they_are_many_is_news_once() {
        let table = Table::new(10 * MINUTE, 3, 5);
        let begins: Vec<_> = (0..40).map(|mark| table.add(1, mark).begins).collect();
        assert!(begins[2] && begins.iter().filter(|begins| **begins).count() == 1);
        assert_eq!(table.count(1), 5, "and no more than make a difference");
        // Few and many again, with one of them remembered all the time.
        for mark in 100..120 {
            advance(4 * MINUTE).await;
            assert!(!table.add(1, mark).begins);
        }
        advance(10 * MINUTE).await;
        assert!(!table.add(1, 1).begins && !table.add(1, 2).begins && table.add(1, 3).begins);
    }

    // Fills FAILURES.
    #[test]
    fn there_is_room_for_so_many() {
        let table = Table::new(MINUTE, 3, 100);
        let others = || {
            for who in 1..50_000 {
                table.add(who, 1);
            }
            // The last one to grow may do so beyond it.
            assert!(table.weight() <= FAILURES + 100);
        };
        others();
        for mark in 0..200 {
            table.add(0, mark);
        }
        assert_eq!(table.count(0), 100);
        others();
    }
}
