//! The pauses that a refusing remote is given.

use std::time::Duration;

use tokio::time::Instant;

use crate::chance::Chance;

/// Bound (sessions): first pause after a failed connection; each further one is twice as long. Beyond: it is tried
/// again when a question comes. Why: most failures are over at once.
const FIRST: Duration = Duration::from_millis(10);

/// Bound (sessions): longest pause after failed connections. Beyond: it is tried again when a question comes. Why: a
/// server that is back is noticed within a second.
const MAX_PAUSE: Duration = Duration::from_millis(500);

/// Bound (sessions): rest of a pause that a question waits for. Beyond: a question in a longer pause gets no answer
/// at once. Why: so short a wait goes unnoticed.
const PAUSE_NEARLY_OVER: Duration = Duration::from_millis(100);

/// Failures in a row and the pause after the last.
#[derive(Debug, Default)]
pub(super) struct Pause {
    failures: u32,
    failed: Option<Instant>,
    until: Option<Instant>,
}

impl Pause {
    /// An opening that began then has failed. Several that failed side by side
    /// are one failure.
    pub(super) fn failed(&mut self, began: Instant, chance: &Chance) {
        let now = Instant::now();
        if self.failed.is_some_and(|failed| began < failed) {
            return;
        }
        let length = MAX_PAUSE.min(FIRST.saturating_mul(1 << self.failures.min(10)));
        self.failures = self.failures.saturating_add(1);
        self.failed = Some(now);
        // Between half and all of it, so that many daemons do not return at one moment.
        self.until = Some(now + length / 2 + chance.up_to(length / 2));
    }

    /// An opening succeeded.
    pub(super) fn succeeded(&mut self) {
        *self = Self::default();
    }

    /// When the remote may be tried again, while it is to be left alone.
    pub(super) fn until(&self) -> Option<Instant> {
        self.until.filter(|&until| Instant::now() < until)
    }

    /// Whether the remote is to be left alone for so long that nobody waits for
    /// the end of it.
    pub(super) fn is_long(&self) -> bool {
        self.until
            .is_some_and(|until| Instant::now() + PAUSE_NEARLY_OVER < until)
    }

    /// Openings in a row that failed.
    pub(super) fn failures(&self) -> u32 {
        self.failures
    }

    /// Whether the last opening failed: the next is a trial, and one is enough.
    pub(super) fn is_trial(&self) -> bool {
        self.failures > 0
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    // Fills FIRST, MAX_PAUSE.
    #[tokio::test(start_paused = true)]
    async fn pauses_grow_to_half_a_second_and_end() {
        let mut pause = Pause::default();
        assert!(pause.until().is_none() && !pause.is_trial());
        pause.failed(Instant::now(), &Chance::default());
        assert!(pause.until().is_some() && !pause.is_long() && pause.is_trial());
        advance(FIRST).await;
        assert!(pause.until().is_none() && pause.is_trial());
        for _ in 0..20 {
            pause.failed(Instant::now(), &Chance::default());
        }
        assert!(pause.is_long());
        advance(MAX_PAUSE / 4).await;
        assert!(pause.until().is_some());
        advance(MAX_PAUSE).await;
        assert!(pause.until().is_none());
        pause.succeeded();
        assert!(!pause.is_trial());
    }

    #[tokio::test(start_paused = true)]
    async fn a_burst_is_one_failure() {
        let mut pause = Pause::default();
        let began = Instant::now();
        advance(FIRST).await;
        for _ in 0..100 {
            pause.failed(began, &Chance::default());
        }
        assert!(!pause.is_long());
    }
}
