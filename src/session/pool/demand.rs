//! How many sessions are kept ready for logins, so that these need not wait for one to open.
//!
//! An accepted login spends its session. While another is opened, `rate × time of an opening` more are spent on the
//! average (Little's law), so as many are idle or on their way, and a margin for what comes together by chance. Only what
//! is spent counts: a guess that is refused leaves its session to the next question, and opens none ahead.

use std::time::Duration;

use tokio::time::Instant;

use super::pace::Pace;

/// Bound (sessions): time after the last question for which sessions are kept ready for logins. Beyond: they are
/// closed. Why: a server should not have to hold unneeded sessions.
const WARM_WHILE: Duration = Duration::from_secs(600);

/// Bound (sessions): time over which accepted logins are counted, to keep as many sessions ready as are spent while one
/// is opened. Beyond: these logins count no more, and fewer are kept ready. Why: long enough for an average, and what a
/// crowd needed is not kept after it.
const COUNTED: Duration = Duration::from_secs(5);

/// Bound (sessions): time for which only pool.warm-sessions are kept ready after the server ended one that was not asked
/// yet. Beyond: as many as logins need. Why: a server that bears few idle sessions may end one for each that is opened.
const WARY: Duration = Duration::from_secs(30);

/// Bound (sessions): time of an average opening for which none but pool.warm-sessions are opened ahead. Beyond: as many are
/// as logins need. Why: no user notices such a wait, and at a server so near more sessions ahead take more time than they save.
const NEAR: Duration = Duration::from_millis(10);

/// Sessions beyond the average, in standard deviations of it: of chance arrivals, one in fifty finds fewer.
const MARGIN: u64 = 2;

/// What was asked of late, and what that needs.
#[derive(Debug, Default)]
pub(super) struct Demand {
    last_asked: Option<Instant>,
    /// Sessions spent since the window began, and in the one before.
    spent: u64,
    before: u64,
    began: Option<Instant>,
    opening: Pace,
    /// The remote ended a session that was kept ready.
    unwanted: Option<Instant>,
}

impl Demand {
    /// A question came.
    pub(super) fn asked(&mut self, now: Instant) {
        self.last_asked = Some(now);
    }

    /// A login was accepted, and its session is of no more use.
    pub(super) fn spent(&mut self, now: Instant) {
        let windows = self.windows(now);
        if windows > 0 || self.began.is_none() {
            self.before = if windows == 1 { self.spent } else { 0 };
            self.spent = 0;
            self.began = Some(now);
        }
        self.spent = self.spent.saturating_add(1);
    }

    /// A session was opened in so long.
    pub(super) fn opened(&self, took: Duration) {
        self.opening.note(took);
    }

    /// The remote ended a session that nothing was asked on.
    pub(super) fn unwanted(&mut self, now: Instant) {
        self.unwanted = Some(now);
    }

    /// How long an opening takes lately; zero before the first.
    pub(super) fn opening_takes(&self) -> Duration {
        self.opening.get()
    }

    /// Sessions to be ready or on their way where `least` are kept in any case; 0 for none ahead of their questions.
    pub(super) fn ready(&self, least: usize, now: Instant) -> usize {
        let recent = |at: Option<Instant>, time| at.is_some_and(|at| now.duration_since(at) < time);
        if least == 0 || !recent(self.last_asked, WARM_WHILE) {
            0
        } else if recent(self.unwanted, WARY) {
            least
        } else {
            least.max(self.needed(now))
        }
    }

    /// Sessions that are spent while one is opened, and the margin.
    fn needed(&self, now: Instant) -> usize {
        let spent = match self.windows(now) {
            0 => self.spent.max(self.before),
            1 => self.spent,
            _ => 0,
        };
        if spent == 0 || self.opening.get() < NEAR {
            return 0;
        }
        let opening = u64::try_from(self.opening.get().as_micros()).unwrap_or(u64::MAX);
        // In millionths: a second has so many microseconds.
        let average = spent.saturating_mul(opening) / COUNTED.as_secs();
        let deviation = average.saturating_mul(1_000_000).isqrt();
        let needed = average.saturating_add(MARGIN * deviation).div_ceil(1_000_000);
        usize::try_from(needed).unwrap_or(usize::MAX)
    }

    /// Windows that have passed since this one began.
    fn windows(&self, now: Instant) -> u128 {
        self.began.map_or(0, |began| {
            now.duration_since(began).as_nanos() / COUNTED.as_nanos()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// After ten seconds of so many logins in a hundred seconds, at a remote that takes so many milliseconds to open a
    /// session.
    fn demand(rate: u32, opening: u64) -> (Demand, Instant) {
        let mut demand = Demand::default();
        demand.opened(Duration::from_millis(opening));
        let mut now = Instant::now();
        let end = now + 2 * COUNTED;
        while now < end {
            demand.asked(now);
            demand.spent(now);
            now += Duration::from_secs(100) / rate;
        }
        (demand, now)
    }

    // Fills NEAR.
    #[test]
    fn as_many_are_ready_as_are_spent_meanwhile() {
        for (rate, opening, ready) in [
            (10, 150, 1),
            (100, 150, 1),
            (200, 150, 2),
            (1000, 150, 4),
            // Nine and a little on the average, and twice three.
            (6000, 150, 16),
            (50_000, 150, 93),
            (50_000, 10, 10),
            (50_000, 9, 1),
            (6000, 10_000, 652),
        ] {
            let (demand, now) = demand(rate, opening);
            assert_eq!(demand.ready(1, now), ready, "{rate} {opening}");
            assert_eq!(demand.ready(20, now), ready.max(20), "{rate} {opening}");
            assert_eq!(demand.ready(0, now), 0, "{rate} {opening}");
        }
    }

    // Fills COUNTED, WARM_WHILE.
    #[test]
    fn fewer_are_once_fewer_come() {
        let (mut demand, now) = demand(6000, 150);
        assert_eq!(demand.ready(1, now + COUNTED - Duration::from_secs(1)), 15);
        assert_eq!(demand.ready(1, now + 2 * COUNTED), 1);
        assert_eq!(demand.ready(1, now + WARM_WHILE), 0);
        demand.spent(now + COUNTED * 3 / 2);
        demand.asked(now + WARM_WHILE);
        assert_eq!(demand.ready(1, now + WARM_WHILE), 1);
    }

    // Fills WARY.
    #[test]
    fn a_remote_that_ends_them_has_few_for_a_while() {
        let (mut demand, now) = demand(6000, 150);
        demand.unwanted(now);
        assert_eq!(demand.ready(1, now), 1);
        let mut later = now;
        while later < now + WARY {
            demand.asked(later);
            demand.spent(later);
            later += Duration::from_millis(10);
        }
        assert_eq!(demand.ready(1, now + WARY - Duration::from_millis(1)), 1);
        assert_eq!(demand.ready(1, now + WARY), 23);
    }
}
