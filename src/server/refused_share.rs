//! How many of a remote's answers are a "no", lately and in the hours before: a share that changes much may be a remote
//! that has lost its users, or words of it that are read wrongly.

use std::collections::VecDeque;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// Bound (process): time of a step in the share of refusals. Beyond: the next step begins. Why: answers are counted
/// together for so long.
const STEP: Duration = Duration::from_secs(5 * 60);

/// Bound (process): steps of "lately" in the share of refusals, with the one that goes on. Beyond: the oldest belongs
/// to "before". Why: ten to fifteen minutes.
const RECENT_STEPS: usize = 3;

/// Bound (process): steps of "before" in the share of refusals. Beyond: the oldest is dropped. Why: six hours; some
/// 24 bytes a step for each listener.
const EARLIER_STEPS: usize = 72;

/// Bound (process): least answers lately for the share of refusals to be `far` from before. Beyond: `vouch status`
/// says so. Why: fewer mean nothing.
const ENOUGH_LATELY: u64 = 50;

/// Bound (process): least answers before for the share of refusals to be `far` from before. Beyond: `vouch status`
/// says so. Why: fewer do not show what is usual.
const ENOUGH_BEFORE: u64 = 200;

/// Bound (process): least points between the shares of refusals lately and before for them to be `far` apart. Beyond:
/// `vouch status` says so. Why: guesses change the share by less.
const FAR: u64 = 30;

/// The answers of the last hours, by steps. Empty steps are not kept.
#[derive(Debug)]
pub(super) struct RefusedShare {
    began: Instant,
    /// The oldest first; at most [`RECENT_STEPS`] and [`EARLIER_STEPS`] together.
    steps: Mutex<VecDeque<(u64, Answers)>>,
}

/// Answers of a remote.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Answers {
    /// It said yes.
    pub yes: u64,
    /// It said no.
    pub no: u64,
}

/// The answers of lately, and of the hours before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shares {
    /// Of the last ten to fifteen minutes.
    pub lately: Answers,
    /// Of the six hours before these.
    pub before: Answers,
}

impl Default for RefusedShare {
    fn default() -> Self {
        Self {
            began: Instant::now(),
            steps: Mutex::default(),
        }
    }
}

impl RefusedShare {
    /// The remote said yes or no.
    pub(super) fn answered(&self, yes: bool) {
        let now = self.step();
        let mut steps = self.steps.lock();
        forget_old(&mut steps, now);
        if steps.back().is_none_or(|(step, _)| *step < now) {
            steps.push_back((now, Answers::default()));
        }
        if let Some((_, answers)) = steps.back_mut() {
            *(if yes { &mut answers.yes } else { &mut answers.no }) += 1;
        }
    }

    /// As it is now.
    pub(super) fn get(&self) -> Shares {
        let now = self.step();
        let mut shares = Shares {
            lately: Answers::default(),
            before: Answers::default(),
        };
        let mut steps = self.steps.lock();
        forget_old(&mut steps, now);
        for (step, answers) in &*steps {
            let of = if now - step < RECENT_STEPS as u64 {
                &mut shares.lately
            } else {
                &mut shares.before
            };
            of.yes += answers.yes;
            of.no += answers.no;
        }
        shares
    }

    fn step(&self) -> u64 {
        self.began.elapsed().as_secs() / STEP.as_secs()
    }
}

fn forget_old(steps: &mut VecDeque<(u64, Answers)>, now: u64) {
    while steps
        .front()
        .is_some_and(|(step, _)| now - step >= (RECENT_STEPS + EARLIER_STEPS) as u64)
    {
        steps.pop_front();
    }
}

impl Answers {
    /// How many there were.
    pub const fn count(self) -> u64 {
        self.yes + self.no
    }

    /// How many of a hundred were a no, rounded; `None` where there was none.
    pub fn percent(self) -> Option<u64> {
        (200 * self.no + self.count()).checked_div(2 * self.count())
    }
}

impl Shares {
    /// Whether they are far from each other, as far as there are enough answers to tell.
    pub fn are_far(self) -> bool {
        let (Some(lately), Some(before)) = (self.lately.percent(), self.before.percent()) else {
            return false;
        };
        let enough = self.lately.count() >= ENOUGH_LATELY && self.before.count() >= ENOUGH_BEFORE;
        enough && lately.abs_diff(before) >= FAR
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    fn answers(share: &RefusedShare, yes: u64, no: u64) {
        (0..yes).for_each(|_| share.answered(true));
        (0..no).for_each(|_| share.answered(false));
    }

    // Fills ENOUGH_LATELY, ENOUGH_BEFORE, FAR.
    #[tokio::test(start_paused = true)]
    async fn a_share_that_changes_is_far_from_what_is_usual() {
        let share = RefusedShare::default();
        for _ in 0..EARLIER_STEPS {
            answers(&share, 8, 2);
            advance(STEP).await;
        }
        assert_eq!(share.get().before.percent(), Some(20));
        assert!(!share.get().are_far());
        advance(STEP * 2).await;
        // As usual, then many of them, but few.
        answers(&share, 0, ENOUGH_LATELY - 1);
        assert_eq!(share.get().lately.percent(), Some(100));
        assert!(!share.get().are_far());
        answers(&share, 0, 1);
        assert!(share.get().are_far());
        // Half of them is not far enough from a fifth, one of them more is.
        answers(&share, 51, 0);
        assert_eq!(share.get().lately.percent(), Some(50));
        assert!(share.get().are_far());
        answers(&share, 3, 0);
        assert!(!share.get().are_far());
    }

    #[tokio::test(start_paused = true)]
    async fn a_share_that_falls_is_told_as_well_and_nothing_without_a_past() {
        let share = RefusedShare::default();
        answers(&share, 0, 300);
        assert!(!share.get().are_far());
        advance(STEP * 3).await;
        answers(&share, 60, 0);
        assert!(share.get().are_far());
        assert_eq!(
            share.get(),
            Shares {
                lately: Answers { yes: 60, no: 0 },
                before: Answers { yes: 0, no: 300 },
            }
        );
    }

    // Fills RECENT_STEPS, EARLIER_STEPS, STEP.
    #[tokio::test(start_paused = true)]
    async fn six_hours_are_kept_and_no_more() {
        let share = RefusedShare::default();
        for _ in 0..4 * EARLIER_STEPS {
            answers(&share, 1, 0);
            advance(STEP).await;
        }
        assert_eq!(share.steps.lock().len(), RECENT_STEPS + EARLIER_STEPS);
        assert_eq!(share.get().before.count() + share.get().lately.count(), 74);
        advance(STEP * 100).await;
        assert_eq!(share.get().before.count(), 0);
    }
}
