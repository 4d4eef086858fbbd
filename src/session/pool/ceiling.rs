//! How many sessions a remote bears from us, where that is fewer than `pool.max-sessions`.
//!
//! A remote that bears no more turns one away before its greeting: by goodbye, as Postfix and Dovecot do, or without a
//! word, as Courier does. That others of ours live meanwhile tells it from a remote that serves nobody.

use std::time::Duration;

use tokio::time::Instant;

/// Bound (sessions): time after which a server that turned sessions away is tried with one more. Beyond: another
/// session is opened where one is needed. Why: the server's limit may have been raised, and a refused session costs
/// little.
pub(super) const RAISED: Duration = Duration::from_secs(30);

/// What was learned.
#[derive(Debug, Default)]
pub(super) struct Ceiling {
    learned: Option<(usize, Instant)>,
    /// It was logged once.
    told: bool,
}

impl Ceiling {
    /// Sessions that may be had of `most`.
    pub(super) fn of(&self, most: usize) -> usize {
        let Some((learned, since)) = self.learned else {
            return most;
        };
        let raised = since.elapsed().as_secs() / RAISED.as_secs();
        most.min(learned.saturating_add(usize::try_from(raised).unwrap_or(usize::MAX)))
    }

    /// The time until it has risen by one more.
    pub(super) fn rises_in(&self) -> Duration {
        let Some((_, since)) = self.learned else {
            return RAISED;
        };
        let since = since.elapsed().as_nanos() % RAISED.as_nanos();
        RAISED - Duration::from_nanos(u64::try_from(since).unwrap_or(0))
    }

    /// What is lower than `most`.
    pub(super) fn below(&self, most: usize) -> Option<usize> {
        Some(self.of(most)).filter(|ceiling| *ceiling < most)
    }

    /// One more than these was turned away. Whether that is news.
    pub(super) fn turned_away(&mut self, living: usize) -> bool {
        self.learned = Some((living.max(1), Instant::now()));
        !std::mem::replace(&mut self.told, true)
    }

    /// So many live: some that were begun when one was turned away had not been counted.
    pub(super) fn bears(&mut self, living: usize) {
        if let Some((learned, _)) = &mut self.learned {
            *learned = living.max(*learned);
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    // Fills RAISED.
    #[tokio::test(start_paused = true)]
    async fn it_is_learned_once_and_rises_until_it_is_no_limit() {
        let mut ceiling = Ceiling::default();
        assert_eq!((ceiling.of(10), ceiling.below(10)), (10, None));
        assert!(ceiling.turned_away(0), "never below one");
        assert_eq!(ceiling.below(10), Some(1));
        ceiling.bears(4);
        assert_eq!(ceiling.of(10), 4);
        advance(RAISED / 3).await;
        assert_eq!((ceiling.of(10), ceiling.rises_in()), (4, RAISED * 2 / 3));
        advance(ceiling.rises_in()).await;
        assert_eq!((ceiling.of(10), ceiling.rises_in()), (5, RAISED));
        assert!(!ceiling.turned_away(4), "told once");
        assert_eq!(ceiling.of(10), 4);
        advance(6 * RAISED).await;
        assert_eq!((ceiling.of(10), ceiling.below(10)), (10, None));
        advance(100 * RAISED).await;
        assert_eq!(ceiling.of(10), 10);
    }
}
