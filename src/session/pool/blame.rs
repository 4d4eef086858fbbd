//! Which question a session's loss is attributed to, and which questions are asked again after it.
//!
//! Only the question at which a session was lost can be what the remote cannot bear. It is asked
//! again, alone: if that is the end of another session, it is the cause. Those behind it were not
//! heard, those before it are in doubt; both go to the next session, and have not used their one retry.

use std::collections::VecDeque;

use super::queue::Job;
use crate::session::error::Error;

/// A session that was lost over a batch.
pub(super) struct Loss<'a> {
    pub(super) error: &'a Error,
    /// Questions of this kind may be asked again after that.
    pub(super) may_ask_again: bool,
    /// The session had not been asked before.
    pub(super) fresh: bool,
    /// How many the batch held.
    pub(super) count: usize,
}

/// What becomes of the questions of a lost session.
pub(super) struct Fates<Q, V> {
    /// To be asked on another one, in this order; the first may be to be asked alone.
    pub(super) again: Vec<Job<Q, V>>,
    /// Gets the error.
    pub(super) told: Vec<Job<Q, V>>,
}

impl Loss<'_> {
    /// Sorts those without an answer, in the order in which they were asked, and those whose refusals
    /// are not to be believed after this.
    pub(super) fn sort<Q, V>(&self, waiting: VecDeque<Job<Q, V>>, doubted: Vec<Job<Q, V>>) -> Fates<Q, V> {
        let mut fates = Fates {
            again: Vec::new(),
            told: Vec::new(),
        };
        let at_a_question = self.error.is_at_a_question();
        for (at, mut job) in waiting.into_iter().enumerate() {
            let blamed = !at_a_question || at == 0;
            // It was given up while it was idle, or there are others who may have caused it.
            let in_doubt = (!self.fresh && self.error.is_stale()) || (at_a_question && self.count > 1);
            if !self.may_ask_again || (blamed && (job.again || !in_doubt)) {
                fates.told.push(job);
                continue;
            }
            job.again |= blamed;
            job.alone = blamed && at_a_question;
            fates.again.push(job);
        }
        for mut job in doubted {
            if job.alone {
                fates.told.push(job);
            } else {
                (job.again, job.alone) = (true, true);
                fates.again.push(job);
            }
        }
        fates
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::sync::oneshot;
    use tokio::time::Instant;

    use super::*;
    use crate::session::error::{Kind, RCPT};
    use crate::session::pool::queue::Queue;
    use crate::session::pool::{Asker, Priority};

    /// This delivers nothing, though a caller waits.
    fn job(question: usize) -> Job<usize, ()> {
        let (answer, answered) = oneshot::channel();
        std::mem::forget(answered);
        let (asker, waiter) = Asker::until(Instant::now() + Duration::from_secs(3600));
        std::mem::forget(waiter);
        Job::new(question, asker, answer)
    }

    /// The answers to each of `count` from a remote that disconnects at some, refuses some and accepts the
    /// others, and the number of sessions.
    fn play(count: usize, hangs_up: usize, refuses: usize) -> (Vec<Option<&'static str>>, usize) {
        let error = Error::new(Kind::Unreachable, &"remote".into(), RCPT, "closed the connection");
        let is = |set: usize, question: usize| set & (1 << question) != 0;
        let mut answers = vec![None; count];
        let mut queue = Queue::new();
        for question in 0..count {
            queue.push(job(question));
        }
        let mut sessions = 0;
        while queue.len() > 0 {
            sessions += 1;
            let (mut fresh, mut retries) = (true, true);
            while queue.len() > 0 {
                let mut batch = Vec::new();
                if retries {
                    batch = queue.take_again(count, |_, _| true);
                }
                if batch.is_empty() {
                    retries = false;
                    batch = queue.take(Priority::Stranger, count, |_| true, |_, _| true);
                }
                if batch.is_empty() {
                    break;
                }
                let count = batch.len();
                let mut waiting = VecDeque::from(batch);
                let mut held = Vec::new();
                while waiting.front().is_some_and(|job| !is(hangs_up, job.question)) {
                    let job = waiting.pop_front().unwrap();
                    if is(refuses, job.question) {
                        held.push(job);
                    } else {
                        answers[job.question] = Some("yes");
                    }
                }
                if waiting.is_empty() {
                    held.iter().for_each(|job| answers[job.question] = Some("no"));
                    fresh = false;
                    continue;
                }
                let loss = Loss {
                    error: &error,
                    may_ask_again: true,
                    fresh,
                    count,
                };
                let fates = loss.sort(waiting, held);
                for job in fates.again {
                    queue.push(job);
                }
                for job in fates.told {
                    assert_eq!(answers[job.question].replace("later"), None);
                }
                break;
            }
        }
        (answers, sessions)
    }

    #[test]
    fn only_those_at_whom_the_remote_hangs_up_are_put_off() {
        const COUNT: usize = 5;
        for hangs_up in 0..1 << COUNT {
            for refuses in 0..1 << COUNT {
                let (answers, sessions) = play(COUNT, hangs_up, refuses);
                for (question, answer) in answers.into_iter().enumerate() {
                    let expected = match (hangs_up >> question & 1, refuses >> question & 1) {
                        (1, _) => "later",
                        (_, 1) => "no",
                        _ => "yes",
                    };
                    assert_eq!(answer, Some(expected), "{question} of {hangs_up:b}, {refuses:b}");
                }
                assert!(sessions <= 2 * hangs_up.count_ones() as usize + 1, "{sessions}");
            }
        }
    }

    #[test]
    fn what_was_lost_on_the_way_is_nobodys_fault() {
        let gone = |step| {
            Error::new(Kind::Unreachable, &"remote".into(), step, "closed the connection")
                .before_the_question()
        };
        for (step, fresh, again, alone) in [
            ("MAIL FROM", true, 0, 0),
            ("MAIL FROM", false, 3, 0),
            (RCPT, true, 3, 1),
            (RCPT, false, 3, 1),
        ] {
            let loss = Loss {
                error: &gone(step),
                may_ask_again: true,
                fresh,
                count: 3,
            };
            let fates = loss.sort((0..3).map(job).collect(), Vec::new());
            assert_eq!(
                (fates.again.len(), fates.told.len()),
                (again, 3 - again),
                "{step}"
            );
            assert_eq!(fates.again.iter().filter(|job| job.alone).count(), alone);
            let never = Loss {
                may_ask_again: false,
                ..loss
            };
            assert_eq!(never.sort((0..3).map(job).collect(), Vec::new()).told.len(), 3);
        }
    }
}
