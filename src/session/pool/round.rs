//! One round: a batch of questions asked on a session, and what came of each.

use std::collections::VecDeque;

use tokio::time::Instant;

use super::blame::Loss;
use super::count::Held;
use super::counts::Closed;
use super::queue::Job;
use super::served::{Served, number};
use super::shared::Shared;
use crate::session::error::{Error, Kind};
use crate::session::{After, Judged, Session};

/// How a round of questions ended.
pub(super) struct Round<Q, V> {
    /// Why the session can be asked no more.
    pub(super) ended: Option<Closed>,
    /// It can, if it is renewed.
    pub(super) spent: bool,
    /// The remote still listens, and gets a goodbye if the session ends.
    pub(super) polite: bool,
    /// Questions that the pool counts on the session's taking next.
    pub(super) promised: Option<Held>,
    /// Questions about which the session said nothing.
    pub(super) again: Vec<Job<Q, V>>,
    /// The last answer, not yet delivered.
    pub(super) last: Option<(Job<Q, V>, V)>,
}

/// A round under way.
pub(super) struct Asking<'a, S: Session, V> {
    shared: &'a Shared<S, V>,
    /// The session was not asked before.
    fresh: bool,
    began: Instant,
    /// Those whose answers have not come, in the order in which they were asked.
    waiting: VecDeque<Job<S::Question, V>>,
    /// Refusals, believed once the end of the batch shows that no answer was one too many.
    refused: Vec<(Job<S::Question, V>, V)>,
    pub(super) refusals: u32,
    round: Round<S::Question, V>,
}

impl<'a, S: Session, V: Send + 'static> Asking<'a, S, V> {
    pub(super) fn new(
        shared: &'a Shared<S, V>,
        served: &mut Served<S>,
        batch: Vec<Job<S::Question, V>>,
    ) -> Self {
        let began = Instant::now();
        let counts = &shared.counts;
        for job in batch.iter().filter(|job| !job.again) {
            counts.queued.observe(began.duration_since(job.arrived));
        }
        if served.questions > 0 {
            counts.reused.add(batch.len() as u64);
        }
        served.questions = served.questions.saturating_add(number(batch.len()));
        Self {
            shared,
            fresh: std::mem::replace(&mut served.fresh, false),
            began,
            waiting: batch.into(),
            refused: Vec::new(),
            refusals: 0,
            round: Round {
                ended: None,
                spent: false,
                polite: true,
                promised: None,
                again: Vec::new(),
                last: None,
            },
        }
    }

    /// The answer to the first of those who wait.
    pub(super) fn heard(&mut self, answer: S::Answer) {
        let Some(mut job) = self.waiting.pop_front() else {
            return;
        };
        let took = self.began.elapsed();
        self.shared.counts.probed.observe(took);
        self.shared.pace.note(took);
        let Judged { verdict, after } = (self.shared.judge)(&job.question, answer);
        let round = &mut self.round;
        match after {
            After::Keep | After::KeepRefused | After::Spent => {}
            After::Goodbye => round.ended = Some(Closed::Goodbye),
            After::Close | After::RetryPolicy => round.ended = Some(Closed::Answer),
        }
        round.spent |= after == After::Spent;
        self.refusals += u32::from(after == After::KeepRefused);
        let anew = after == After::RetryPolicy || (after == After::Goodbye && !self.fresh);
        if anew && !job.again {
            job.again = true;
            round.again.push(job);
        } else if after == After::KeepRefused {
            self.refused.push((job, verdict));
        } else if self.waiting.is_empty() {
            round.last = Some((job, verdict));
        } else {
            job.tell(Ok(verdict));
        }
    }

    /// The session has said all that it says to the batch, which was of `count`.
    pub(super) fn ends(
        mut self,
        count: usize,
        promised: Option<Held>,
        asked: Result<(), Error>,
    ) -> Round<S::Question, V> {
        self.round.promised = promised;
        let Err(error) = asked else {
            let last = self.round.last.take();
            self.round.last = last.or_else(|| self.refused.pop());
            for (job, verdict) in self.refused {
                job.tell(Ok(verdict));
            }
            // The remote took its leave before it came to these.
            self.round.again.extend(self.waiting);
            return self.round;
        };
        if error.kind() == Kind::Timeout {
            self.shared.pace.note(self.began.elapsed());
        }
        self.round.polite = false;
        self.round.ended = Some(Closed::Error);
        let loss = Loss {
            error: &error,
            may_ask_again: S::RETRY_POLICY.allows(&error),
            fresh: self.fresh,
            count,
        };
        let doubted = self.refused.into_iter().map(|(job, _)| job).collect();
        let fates = loss.sort(self.waiting, doubted);
        self.round.again.extend(fates.again);
        for job in fates.told {
            job.tell(Err(error.clone()));
        }
        self.round
    }
}
