//! A session, what it has served, and what it may serve yet.

use tokio::time::Instant;

use super::Limits;
use super::count::Held;
use crate::session::Session;

/// A session and what it has served.
pub(super) struct Served<S> {
    pub(super) session: S,
    pub(super) opened: Instant,
    /// Its death would be news about the remote, not about the remote's patience
    /// with idle sessions: it was just opened.
    pub(super) fresh: bool,
    /// While it was asked nothing but what had been asked before, on sessions that were lost over it.
    pub(super) retries: Option<Held>,
    pub(super) questions: u32,
    pub(super) refusals: u32,
}

impl<S: Session> Served<S> {
    pub(super) fn new(session: S, retries: Held) -> Self {
        Self {
            session,
            opened: Instant::now(),
            fresh: true,
            retries: Some(retries),
            questions: 0,
            refusals: 0,
        }
    }

    /// Questions that may be asked in the next go without passing a limit, be it
    /// ours or the remote's.
    pub(super) fn room(&self, limits: &Limits) -> usize {
        self.room_if_refused(limits, self.refusals)
    }

    /// Questions that may be asked in the go after one of `count`, which is counted
    /// as asked already, whatever is answered to it.
    pub(super) fn room_after(&self, count: usize, limits: &Limits) -> usize {
        if S::SINGLE_USE_ON_SUCCESS {
            return 0;
        }
        self.room_if_refused(limits, self.refusals.saturating_add(number(count)))
    }

    fn room_if_refused(&self, limits: &Limits, refusals: u32) -> usize {
        let limits = Limits {
            questions: least(limits.questions, self.session.max_per_session()),
            ..*limits
        };
        room(self.session.batch(), &limits, self.questions, refusals)
    }
}

/// A count, as the limits count.
pub(super) fn number(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// As many as go at once, and as the limits have left if every one is refused.
pub(super) fn room(batch: usize, limits: &Limits, questions: u32, refusals: u32) -> usize {
    let left =
        |limit: Option<u32>, used: u32| limit.map_or(usize::MAX, |limit| limit.saturating_sub(used) as usize);
    batch
        .min(left(limits.questions, questions))
        .min(left(limits.refusals, refusals))
}

fn least(one: Option<u32>, other: Option<u32>) -> Option<u32> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}
