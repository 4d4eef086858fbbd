//! One round: a batch of questions asked on a session, and what came of each.

use std::collections::VecDeque;
use std::future::Future;
use std::sync::Arc;

use tokio::time::{Instant, timeout};

use super::blame::Loss;
use super::count::Held;
use super::counts::Closed;
use super::queue::Job;
use super::served::{Served, number};
use super::worker::Shared;
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
struct Asking<'a, S: Session, V> {
    shared: &'a Shared<S, V>,
    /// The session was not asked before.
    fresh: bool,
    began: Instant,
    /// Those whose answers have not come, in the order in which they were asked.
    waiting: VecDeque<Job<S::Question, V>>,
    /// Refusals, believed once the end of the batch shows that no answer was one too many.
    refused: Vec<(Job<S::Question, V>, V)>,
    refusals: u32,
    round: Round<S::Question, V>,
}

/// Asks a batch and tells each asker as its answer comes, but for the last.
pub(super) async fn ask<S: Session, V: Send + 'static>(
    shared: &Arc<Shared<S, V>>,
    served: &mut Served<S>,
    batch: Vec<Job<S::Question, V>>,
) -> Round<S::Question, V> {
    let count = batch.len();
    // Whether or not a caller waits: what is sent belongs to the remote, which may count it.
    let patience = batch.iter().filter_map(|job| job.asker.waiters.until()).max();
    let deadline = patience.max(Some(Instant::now() + shared.limits.timeout));
    let deadline = deadline.unwrap_or_else(Instant::now);
    let questions: Vec<S::Question> = batch.iter().map(|job| job.question.clone()).collect();
    let mut asking = Asking::new(shared, served, batch);
    let room_after = served.room_after(count, &shared.limits);
    let mut promised = (room_after > 0).then(|| shared.state().promise(room_after));
    let mut heard = |answer| asking.heard(answer);
    let asked = served.session.ask(&questions, &mut heard, deadline);
    let asked = while_promised(shared, &mut promised, asked).await;
    served.refusals = served.refusals.saturating_add(asking.refusals);
    asking.ends(count, promised, asked)
}

impl<'a, S: Session, V: Send + 'static> Asking<'a, S, V> {
    fn new(shared: &'a Shared<S, V>, served: &mut Served<S>, batch: Vec<Job<S::Question, V>>) -> Self {
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
    fn heard(&mut self, answer: S::Answer) {
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
    fn ends(
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

/// Waits for the end of a round after which the session takes as many questions
/// as are `promised`. So long they wait for it and open no other; if it keeps
/// them waiting for too long, nothing is promised any more.
async fn while_promised<S: Session, V: Send + 'static, T>(
    shared: &Arc<Shared<S, V>>,
    promised: &mut Option<Held>,
    round: impl Future<Output = T>,
) -> T {
    let patience = {
        let mut state = shared.state();
        // What this session leaves waiting may need others.
        Shared::start_needed(shared, &mut state);
        state.worth_waiting()
    };
    if promised.is_none() {
        return round.await;
    }
    tokio::pin!(round);
    if let Ok(ended) = timeout(patience, &mut round).await {
        return ended;
    }
    *promised = None;
    Shared::start_needed(shared, &mut shared.state());
    round.await
}
