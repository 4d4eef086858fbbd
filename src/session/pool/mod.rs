//! Keeps sessions and hands questions to them.
//!
//! Questions wait in one queue (`state`). Each session is owned by one task
//! (`worker`, with its `served`), which takes what waits from the queue, as much as fits one
//! write, asks it, hands the judged answers back, and takes the next. While a
//! session is idle its task reads on, so that a goodbye retires it at once, and
//! no question needs a `NOOP` first.
//!
//! A question that finds too few sessions starts another task, up to
//! `max_sessions`; a few sessions are kept warm where they are spent by each
//! question; a remote that refuses is given pauses (`pause`); guesses and half-done
//! dialogs leave room for others (`share`).

mod blame;
mod count;
pub mod counts;
pub(crate) mod pause;
mod place;
mod round;
mod served;
pub(crate) mod share;
pub(crate) mod state;
pub(crate) mod worker;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use super::error::{Error, Kind, QUEUE};
use super::{Judged, Session};
use crate::telemetry::faults::{Fault, Faults, Wording};
use counts::Counts;
use state::Job;
use worker::Shared;

/// What a session says at the deadline is more telling than that the deadline
/// passed: it is waited for this much longer.
pub(crate) const GRACE: Duration = Duration::from_millis(50);

/// Warm sessions are kept while something was asked within this time.
pub(crate) const WARM_WHILE: Duration = Duration::from_secs(600);

/// How many sessions, for how long, for how much.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Sessions open or opening at once.
    pub max_sessions: usize,
    /// Idle sessions kept ready while questions come, beyond their idle time.
    pub warm_sessions: usize,
    /// Questions waiting for a session; one more is refused.
    pub queue: usize,
    /// A session that was asked nothing for this long is closed.
    pub idle_timeout: Duration,
    /// A session older than this is asked nothing more.
    pub max_age: Duration,
    /// Questions asked on one session, whatever the answers.
    pub questions: Option<u32>,
    /// Refusals answered on one session.
    pub refusals: Option<u32>,
}

/// How many sessions there are now, and for how many questions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sessions {
    /// Those that ask.
    pub busy: usize,
    /// Those that wait for a question.
    pub idle: usize,
    /// Those that are being opened.
    pub opening: usize,
    /// As many as there may be of all.
    pub max: usize,
    /// Questions that wait for one.
    pub waiting: usize,
}

/// A pool at one time, and what happened in it so far.
#[derive(Debug, Clone)]
pub struct Report {
    /// Its sessions.
    pub sessions: Sessions,
    /// Questions that may wait for one.
    pub queue: usize,
    /// Sessions in a row that could not be opened; several that failed side by side are one.
    pub failures: u32,
    /// How long the remote, which refused the last session, is still left alone.
    pub pause: Option<Duration>,
    /// What happened so far.
    pub counts: Arc<Counts>,
}

/// Whether a question may use all of the pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It may.
    Good,
    /// It is of somebody who just failed: half of the sessions are kept from it,
    /// so that guesses, which remotes hold back for seconds, leave room for
    /// everybody else.
    Doubtful,
    /// It is a client's dialog, of which each client may leave one half done: a quarter of
    /// the sessions is for these, at least one.
    Dialog,
}

/// Opens a session by a deadline.
pub type Open<S> =
    Box<dyn Fn(Instant) -> Pin<Box<dyn Future<Output = Result<S, Error>> + Send>> + Send + Sync>;

/// Judges an answer to a question.
pub type Judge<S, V> =
    Box<dyn Fn(&<S as Session>::Question, <S as Session>::Answer) -> Judged<V> + Send + Sync>;

/// Sessions of one kind with one remote.
pub struct Pool<S: Session, V: Send + 'static> {
    shared: Arc<Shared<S, V>>,
    faults: Faults,
}

/// Nobody can ask any more: what is idle takes its leave, however warm it was to be kept.
impl<S: Session, V: Send + 'static> Drop for Pool<S, V> {
    fn drop(&mut self) {
        self.shared.state().is_left = true;
        self.shared.asked.notify_waiters();
    }
}

impl<S: Session, V: Send + 'static> Pool<S, V> {
    /// A pool without a session. `peer` is the remote's name in errors.
    pub fn new(peer: Arc<str>, limits: Limits, open: Open<S>, judge: Judge<S, V>) -> Self {
        let wording = Wording {
            again: "answers again",
            without: "questions without an answer",
        };
        Self {
            faults: Faults::new(peer.clone(), wording),
            shared: Arc::new(Shared::new(peer, limits, open, judge)),
        }
    }

    /// Asks a question and waits for the judged answer, until `deadline`. That there is none is
    /// in the log, or counted there.
    ///
    /// # Errors
    /// Why there is none: the session's error; at once [`Kind::Overload`] when
    /// the queue is full, and the last failure while a refusing remote is left
    /// alone; [`Kind::Timeout`] at the deadline.
    pub async fn ask(
        &self,
        question: S::Question,
        standing: Standing,
        deadline: Instant,
    ) -> Result<V, Error> {
        let answer = self.answer(question, standing, deadline).await;
        match &answer {
            Ok(_) => self.faults.worked(),
            Err(error) => {
                self.shared.counts.errors.count(error);
                self.note(error);
            }
        }
        answer
    }

    async fn answer(&self, question: S::Question, standing: Standing, deadline: Instant) -> Result<V, Error> {
        let (answer, answered) = oneshot::channel();
        let job = Job {
            question,
            deadline,
            standing,
            arrived: Instant::now(),
            again: false,
            alone: false,
            share: None,
            answer,
        };
        {
            let mut state = self.shared.state();
            state.admit(job, &self.shared.limits, &self.shared.peer)?;
            Shared::start_needed(&self.shared, &mut state);
        }
        self.shared.asked.notify_one();
        match timeout_at(deadline + GRACE, answered).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) | Err(_) => Err(self.nobody_answered()),
        }
    }

    /// Opens a session beside the pool's and takes leave again: its opening has told what
    /// the remote offers.
    pub async fn call(&self, deadline: Instant) {
        self.shared.call(deadline).await;
    }

    fn note(&self, error: &Error) {
        // That a client leaves its dialog says nothing of the remote.
        if error.kind() != Kind::Abandoned {
            self.faults.failed(&Fault {
                step: error.step(),
                class: error.kind().name(),
                text: &error.without_secrets(),
                advice: &error.advice(),
                lasting: error.is_about_one_question(),
            });
        }
    }

    /// How it stands now.
    pub fn sessions(&self) -> Sessions {
        let state = self.shared.state();
        let (idle, opening) = (state.places.idle(), state.places.opening());
        Sessions {
            busy: state.places.taken().saturating_sub(idle + opening),
            idle,
            opening,
            max: self.shared.limits.max_sessions,
            waiting: state.waiting(),
        }
    }

    /// The same, with what happened so far.
    pub fn report(&self) -> Report {
        let sessions = self.sessions();
        let state = self.shared.state();
        Report {
            sessions,
            queue: self.shared.limits.queue,
            failures: state.failures(),
            pause: state.paused_until().map(|until| until - Instant::now()),
            counts: self.shared.counts.clone(),
        }
    }

    fn nobody_answered(&self) -> Error {
        let detail = match self.shared.state().last_failure() {
            Some(failure) => format!("no session was free in time; the last one failed: {failure}"),
            None => "no session was free in time (pool.max-sessions)".into(),
        };
        Error::new(Kind::Timeout, &self.shared.peer, QUEUE, detail)
    }
}
