//! Keeps sessions and hands questions to them.
//!
//! Questions wait in one queue. Each session is owned by one task, which takes
//! a question from the queue, asks it, hands the judged answer back, and takes
//! the next. A question that finds no idle session starts another task, up to
//! `max_sessions`. While a session is idle its task reads on, so that a goodbye
//! retires it at once, and no question needs a `NOOP` first.
//!
//! Warm sessions and the pauses that a refusing remote is given belong where a
//! session is started (`start_if_needed`); recipients that share a write belong
//! where a question is taken (`take`).

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, sleep_until, timeout, timeout_at};

use super::error::{Error, Kind};
use super::{After, Judged, Session};

/// A remote that does not answer a goodbye is left after this long.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// What a session says at the deadline is more telling than that the deadline
/// passed: it is waited for this much longer.
const GRACE: Duration = Duration::from_millis(50);

/// How many sessions, for how long, for how much.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Sessions open or opening at once.
    pub max_sessions: usize,
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

/// Opens a session by a deadline.
pub type Open<S> =
    Box<dyn Fn(Instant) -> Pin<Box<dyn Future<Output = Result<S, Error>> + Send>> + Send + Sync>;

/// Judges an answer to a question.
pub type Judge<S, V> =
    Box<dyn Fn(&<S as Session>::Question, <S as Session>::Answer) -> Judged<V> + Send + Sync>;

/// Sessions of one kind with one remote.
pub struct Pool<S: Session, V: Send + 'static> {
    shared: Arc<Shared<S, V>>,
}

struct Shared<S: Session, V> {
    open: Open<S>,
    judge: Judge<S, V>,
    limits: Limits,
    peer: Arc<str>,
    state: Mutex<State<S::Question, V>>,
    asked: Notify,
}

struct State<Q, V> {
    queue: VecDeque<Job<Q, V>>,
    /// Tasks that own, open or replace a session.
    sessions: usize,
    /// Of these, the ones that are opening one.
    opening: usize,
    /// Of these, the ones that wait for a question.
    idle: usize,
    /// Why the last opening failed, until one succeeds.
    last_failure: Option<Error>,
}

struct Job<Q, V> {
    question: Q,
    deadline: Instant,
    arrived: Instant,
    answer: oneshot::Sender<Result<V, Error>>,
}

impl<S: Session, V: Send + 'static> Pool<S, V> {
    /// A pool without a session. `peer` is the remote's name in errors.
    pub fn new(peer: Arc<str>, limits: Limits, open: Open<S>, judge: Judge<S, V>) -> Self {
        let state = State {
            queue: VecDeque::new(),
            sessions: 0,
            opening: 0,
            idle: 0,
            last_failure: None,
        };
        let (state, asked) = (Mutex::new(state), Notify::new());
        Self {
            shared: Arc::new(Shared {
                open,
                judge,
                limits,
                peer,
                state,
                asked,
            }),
        }
    }

    /// Asks a question and waits for the judged answer, until `deadline`.
    ///
    /// # Errors
    /// Why there is none: the session's error, [`Kind::Overload`] at once when
    /// the queue is full, [`Kind::Timeout`] at the deadline.
    pub async fn ask(&self, question: S::Question, deadline: Instant) -> Result<V, Error> {
        let (answer, answered) = oneshot::channel();
        {
            let mut state = self.shared.state();
            if state.queue.len() >= self.shared.limits.queue {
                // Those whose askers gave up hold no place.
                state.queue.retain(|job| !job.answer.is_closed());
            }
            if state.queue.len() >= self.shared.limits.queue {
                let detail = format!("{} questions wait already (pool.queue)", state.queue.len());
                return Err(Error::new(Kind::Overload, &self.shared.peer, "queue", detail));
            }
            state.queue.push_back(Job {
                question,
                deadline,
                arrived: Instant::now(),
                answer,
            });
            Shared::start_if_needed(&self.shared, &mut state);
        }
        self.shared.asked.notify_one();
        match timeout_at(deadline + GRACE, answered).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) | Err(_) => Err(self.shared.nobody_answered()),
        }
    }
}

impl<S: Session, V: Send + 'static> Shared<S, V> {
    fn state(&self) -> MutexGuard<'_, State<S::Question, V>> {
        // Nothing panics while holding it; if something did, the counts are still the best we have.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts a session when more questions wait than sessions are about to be
    /// free for.
    fn start_if_needed(this: &Arc<Self>, state: &mut State<S::Question, V>) {
        let waiting = state.queue.iter().filter(|job| !job.answer.is_closed()).count();
        if waiting > state.idle + state.opening && state.sessions < this.limits.max_sessions {
            state.sessions += 1;
            state.opening += 1;
            tokio::spawn(Self::run(this.clone()));
        }
    }

    /// The life of one place in the pool: session after session, until nobody
    /// asks any more.
    async fn run(self: Arc<Self>) {
        loop {
            let began = Instant::now();
            let deadline = self
                .state()
                .queue
                .back()
                .map_or(began + GRACE, |job| job.deadline);
            match (self.open)(deadline).await {
                Ok(session) => {
                    {
                        let mut state = self.state();
                        state.opening -= 1;
                        state.last_failure = None;
                    }
                    self.serve(session).await;
                }
                Err(error) => {
                    let mut state = self.state();
                    state.opening -= 1;
                    state.last_failure = Some(error.clone());
                    if state.sessions > 1 {
                        // The others serve the queue; trying again at once would hammer the remote.
                        state.sessions -= 1;
                        return;
                    }
                    tell_all_since(&mut state, &error, began);
                }
            }
            let mut state = self.state();
            state.queue.retain(|job| !job.answer.is_closed());
            if state.queue.is_empty() {
                state.sessions -= 1;
                return;
            }
            state.opening += 1;
        }
    }

    fn nobody_answered(&self) -> Error {
        let detail = match &self.state().last_failure {
            Some(failure) => format!("no session was free in time; the last one failed: {failure}"),
            None => "no session was free in time (pool.max-sessions)".into(),
        };
        Error::new(Kind::Timeout, &self.peer, "queue", detail)
    }

    /// Serves questions on one session until it is spent, too old, idle for too
    /// long, or says goodbye.
    async fn serve(&self, session: S) {
        let opened = Instant::now();
        let mut session = Served {
            session,
            opened,
            fresh: true,
            questions: 0,
            refusals: 0,
        };
        while let Some(job) = self.next_job(&mut session).await {
            match self.answer(session, job).await {
                Some(kept) => session = kept,
                None => return,
            }
        }
        close(session.session);
    }

    /// The next question for a session, or `None` when it is to be closed.
    async fn next_job(&self, session: &mut Served<S>) -> Option<Job<S::Question, V>> {
        let max_age = session.opened + self.limits.max_age;
        let idle_since = Instant::now();
        let retire_at = max_age.min(idle_since + self.limits.idle_timeout);
        loop {
            let asked = self.asked.notified();
            {
                let mut state = self.state();
                if session.is_spent(&self.limits) || Instant::now() >= max_age {
                    return None;
                }
                if let Some(job) = self.take(&mut state) {
                    return Some(job);
                }
                state.idle += 1;
            }
            let retired = tokio::select! {
                biased;
                () = asked => false,
                () = session.session.goodbye() => true,
                () = sleep_until(retire_at) => true,
            };
            self.state().idle -= 1;
            if retired {
                return None;
            }
        }
    }

    /// The first question in the queue whose asker still waits.
    fn take(&self, state: &mut State<S::Question, V>) -> Option<Job<S::Question, V>> {
        while let Some(job) = state.queue.pop_front() {
            if !job.answer.is_closed() {
                if !state.queue.is_empty() {
                    // One notice may have stood for several questions.
                    self.asked.notify_one();
                }
                return Some(job);
            }
        }
        None
    }

    /// Asks one question, on a fresh session a second time where the first said
    /// nothing about it; gives the session back if it can be asked more.
    async fn answer(&self, mut session: Served<S>, job: Job<S::Question, V>) -> Option<Served<S>> {
        let mut retried = false;
        loop {
            let asked = session.session.ask(&job.question, job.deadline).await;
            session.questions += 1;
            let fresh = session.fresh;
            session.fresh = false;
            match asked {
                Ok(answer) => {
                    let Judged { verdict, after } = (self.judge)(&job.question, answer);
                    let again = after == After::AskAgain || (after == After::Goodbye && !fresh);
                    if !again || retried {
                        let _ = job.answer.send(Ok(verdict));
                        session.refusals += u32::from(after == After::KeepRefused);
                        if matches!(after, After::Keep | After::KeepRefused) {
                            return Some(session);
                        }
                        close(session.session);
                        return None;
                    }
                    close(session.session);
                }
                Err(error) if error.is_stale() && !fresh && !retried => drop(session),
                Err(error) => {
                    let _ = job.answer.send(Err(error));
                    return None;
                }
            }
            retried = true;
            match (self.open)(job.deadline).await {
                Ok(another) => {
                    let opened = Instant::now();
                    session = Served {
                        session: another,
                        opened,
                        fresh: true,
                        questions: 0,
                        refusals: 0,
                    };
                }
                Err(error) => {
                    let _ = job.answer.send(Err(error));
                    return None;
                }
            }
        }
    }
}

/// The last hope for a session is gone: everyone who waited for it is told. Who
/// asked later gets a try of their own.
fn tell_all_since<Q, V>(state: &mut State<Q, V>, error: &Error, began: Instant) {
    let now = Instant::now();
    let (told, later): (VecDeque<_>, _) = state
        .queue
        .drain(..)
        .partition(|job| job.arrived <= began || job.deadline <= now);
    state.queue = later;
    for job in told {
        let _ = job.answer.send(Err(error.clone()));
    }
}

struct Served<S> {
    session: S,
    opened: Instant,
    /// Nothing was asked on it yet, so its death is news about the remote and
    /// not about its patience with idle sessions.
    fresh: bool,
    questions: u32,
    refusals: u32,
}

impl<S> Served<S> {
    fn is_spent(&self, limits: &Limits) -> bool {
        limits.questions.is_some_and(|limit| self.questions >= limit)
            || limits.refusals.is_some_and(|limit| self.refusals >= limit)
    }
}

/// Takes leave in the background.
fn close<S: Session>(session: S) {
    tokio::spawn(async move {
        let _ = timeout(CLOSE_TIMEOUT, session.close()).await;
    });
}
