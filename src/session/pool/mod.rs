//! Keeps sessions and hands questions to them.
//!
//! A question waits in the queue (`queue`) until a session takes it. Each session is owned by one
//! task (`worker`, with its `served`), which takes what waits, as much as fits one write, asks it,
//! hands the judged answers back (`round`), and takes the next. While a session is idle its task
//! reads on, so that a goodbye retires it at once, and no question needs a `NOOP` first.
//!
//! What is decided is decided under one lock (`state`): whether a question is let in, whether one
//! more session is of use, and what a session takes next. The numbers that it is decided on are
//! kept by guards (`count`): a `Place` is a session, from its opening until the remote has seen the
//! end of it, so that the remote never has more of ours than `max_sessions`; a `Quota` is what a
//! question holds while it is asked.
//!
//! - A question that finds too few sessions starts another task. Where each is spent by one question, as many are
//!   opened ahead as are spent meanwhile (`demand`). A remote that refuses is given pauses (`pause`); one that bears
//!   fewer sessions than we would open is given as many as it bears (`ceiling`), of all pools together (`gate`).
//! - Logins that are trusted go first, and as many sessions as they needed of late are kept free for
//!   them; half-done dialogs leave room for others (`quota`).
//! - A question that nobody waits for any more is dropped while it waits ([`Waiters`]). Once it is
//!   asked, it belongs to the remote: it is asked to its end in any case, and its answer is
//!   given to its caller ([`Pool::ask`]).
//! - When more is asked than can be answered, as much as ever is answered in time (`queue`, `pace`).

mod blame;
pub(crate) mod ceiling;
mod count;
pub mod counts;
mod demand;
mod gate;
mod pace;
pub(crate) mod pause;
mod place;
mod queue;
pub(crate) mod quota;
mod round;
mod served;
mod shared;
pub(crate) mod state;
pub(crate) mod worker;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};

use super::error::{Error, Kind, QUEUE};
use super::{Judged, Session};
use crate::address::network::Network;
use crate::settings::directory::{Directory, Pool as Keys};
use crate::telemetry::addresses;
use crate::telemetry::faults::{Fault, Faults, Wording};
use crate::waiting::{Waiter, Waiters};
use counts::Counts;
pub use gate::Gate;
use queue::{Job, Number};
use shared::Shared;

/// Bound (questions): time after the deadline for a session's error to arrive. Beyond: "no answer in time" is the
/// reason. Why: it is more useful than "no answer in time".
const ANSWER_GRACE: Duration = Duration::from_millis(50);

/// How many sessions, for how long, for how much.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Sessions at once, from the beginning of their opening until the remote has seen the end of them.
    pub max_sessions: usize,
    /// Idle sessions kept ready, questions of one standing that wait, and times.
    pub keys: Keys,
    /// How long an answer to a sent question may take, whoever waits for it.
    pub timeout: Duration,
    /// Questions asked on one session, whatever the answers.
    pub questions: Option<u32>,
    /// Refusals answered on one session.
    pub refusals: Option<u32>,
}

impl Limits {
    /// Those of the sessions for logins.
    pub fn of_logins(directory: &Directory) -> Self {
        let keys = directory.pool;
        Self {
            max_sessions: keys.max_sessions.logins as usize,
            keys,
            timeout: directory.timeout,
            questions: None,
            refusals: directory.limits.auth_errors.most(),
        }
    }

    /// Those of the sessions for recipients, of which none is kept warm.
    pub fn of_recipients(directory: &Directory) -> Self {
        let (keys, limits) = (directory.pool, &directory.limits);
        Self {
            max_sessions: keys.max_sessions.recipients as usize,
            keys: Keys {
                warm_sessions: 0,
                ..keys
            },
            timeout: directory.timeout,
            questions: limits.rcpt.most(),
            refusals: limits.rcpt_errors.most(),
        }
    }
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
    /// Those that say goodbye.
    pub closing: usize,
    /// As many as there may be of all.
    pub max: usize,
    /// As many as the remote bears, where it was learned that these are fewer.
    pub ceiling: Option<usize>,
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

/// What a question is worth while sessions are few. It makes no answer, only an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Priority {
    /// A login of which user and secret were accepted lately. It goes first.
    Trusted,
    /// A client's dialog, where client and user, as far as he is known, were accepted lately.
    TrustedDialog,
    /// Any other dialog of a client, of which each client may leave one half done: a quarter of
    /// the sessions is for dialogs, at least one.
    Dialog,
    /// Any other question. It has all that trusted ones do not need.
    #[default]
    Stranger,
}

impl Priority {
    /// Every standing, the first first.
    pub const ALL: [Self; 4] = [Self::Trusted, Self::TrustedDialog, Self::Dialog, Self::Stranger];

    const fn is_dialog(self) -> bool {
        matches!(self, Self::TrustedDialog | Self::Dialog)
    }

    /// Whether the sessions that it holds are lent by those who are trusted.
    const fn is_lent(self) -> bool {
        matches!(self, Self::Dialog | Self::Stranger)
    }
}

/// For whom a question is asked.
#[derive(Debug, Clone, Default)]
pub struct Asker {
    /// What it is worth.
    pub standing: Priority,
    /// Where the client is.
    pub network: Option<Network>,
    /// The caller that waits for the answer, and until when.
    pub waiters: Waiters,
}

impl Asker {
    /// An unknown user's caller, which waits until `deadline` for as long as the second value is kept.
    pub fn until(deadline: Instant) -> (Self, Waiter) {
        let asker = Self::default();
        let waiter = asker.waiters.join(deadline);
        (asker, waiter)
    }
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

/// No more questions can come: idle sessions are closed, warm ones included.
impl<S: Session, V: Send + 'static> Drop for Pool<S, V> {
    fn drop(&mut self) {
        self.shared.state().is_closed = true;
        self.shared.asked.notify_waiters();
    }
}

impl<S: Session, V: Send + 'static> Pool<S, V> {
    /// A pool without a session. `peer` is the remote's name in errors, and `gate` is shared by all pools of that
    /// remote; what happens is counted in `counts`.
    pub fn new(
        peer: Arc<str>,
        limits: Limits,
        (gate, counts): (&Arc<Gate>, &Arc<Counts>),
        open: Open<S>,
        judge: Judge<S, V>,
    ) -> Self {
        let wording = Wording {
            again: "answers again",
            without: "questions without an answer",
        };
        Self {
            faults: Faults::new(peer.clone(), wording),
            shared: Arc::new(Shared::new(
                peer,
                limits,
                (gate.clone(), counts.clone()),
                open,
                judge,
            )),
        }
    }

    /// Asks a question and waits for the judged answer: as long as somebody waits for it, and once
    /// it was sent, until the remote has answered or [`Limits::timeout`] is over. That there is none
    /// is in the log, or counted there.
    ///
    /// # Errors
    /// Why there is none: the session's error; at once [`Kind::Overload`] when
    /// the queue is full, and the last failure while a refusing remote is left
    /// alone; [`Kind::Timeout`] when the time of those who wait is over before it is asked, and
    /// [`Kind::Abandoned`] when they have left before.
    pub async fn ask(&self, question: S::Question, asker: Asker) -> Result<V, Error> {
        let asked = (!addresses::are_full()).then(|| question.clone());
        let answer = self.answer(question, asker).await;
        match &answer {
            Ok(_) => self.faults.worked(),
            Err(error) => {
                self.shared.counts.errors.count(error);
                self.note(error, asked.as_ref().map_or(&[], S::about));
            }
        }
        answer
    }

    async fn answer(&self, question: S::Question, asker: Asker) -> Result<V, Error> {
        let (answer, mut answered) = oneshot::channel();
        let waiters = asker.waiters.clone();
        let job = Job::new(question, asker, answer);
        let queued = {
            let mut state = self.shared.state();
            let number = state.admit(job, &self.shared.limits, &self.shared.peer)?;
            Shared::start_needed(&self.shared, &mut state);
            Queued {
                shared: &self.shared,
                number,
            }
        };
        self.shared.asked.notify_one();
        let early = tokio::select! {
            biased;
            answer = &mut answered => Some(answer),
            () = waiters.none() => None,
        };
        let answer = match early {
            Some(answer) => answer,
            // They left.
            None if waiters.until().is_none() => {
                if queued.withdraw() {
                    return Err(self.abandoned());
                }
                answered.await
            }
            // What an opening says at that time is more telling than that the time has passed.
            None => match timeout(ANSWER_GRACE, &mut answered).await {
                Ok(answer) => answer,
                Err(_) if queued.withdraw() => return Err(self.nobody_answered()),
                Err(_) => answered.await,
            },
        };
        answer.unwrap_or_else(|_| Err(self.nobody_answered()))
    }

    /// Opens a session and takes leave again: its opening has told what the remote offers. Where
    /// there are as many sessions as may be, none is opened: these have told it.
    pub async fn call(&self, deadline: Instant) {
        Shared::call(&self.shared, deadline).await;
    }

    /// Sessions that clients' dialogs may hold at once.
    pub fn dialogs(&self) -> usize {
        quota::dialogs_of(self.shared.limits.max_sessions)
    }

    /// `about`: whom the log is not to show, as far as that is so.
    fn note(&self, error: &Error, about: &[u8]) {
        // That a client leaves its dialog says nothing of the remote.
        if error.kind() != Kind::Abandoned {
            let text = error.to_string();
            self.faults.failed(&Fault {
                step: error.step(),
                class: error.kind().name(),
                text: &addresses::without(&text, &[&String::from_utf8_lossy(about)]),
                advice: &error.advice(),
                lasting: error.is_about_one_question(),
            });
        }
    }

    /// Why there is no session, where none lives and the last could not be opened since the remote is not there.
    pub fn away(&self) -> Option<Error> {
        self.shared.state().away().cloned()
    }

    /// How it stands now.
    pub fn sessions(&self) -> Sessions {
        let (state, limits) = (self.shared.state(), &self.shared.limits);
        let places = state.places();
        let (idle, opening, closing) = (places.idle(), places.opening(), places.closing());
        Sessions {
            busy: places.taken().saturating_sub(idle + opening + closing),
            idle,
            opening,
            closing,
            max: limits.max_sessions,
            ceiling: state.ceiling(limits),
            waiting: state.waiting(),
        }
    }

    /// The same, with what happened so far.
    pub fn report(&self) -> Report {
        let sessions = self.sessions();
        let state = self.shared.state();
        Report {
            sessions,
            queue: self.shared.limits.keys.queue as usize,
            failures: state.failures(),
            pause: state.paused_until().map(|until| until - Instant::now()),
            counts: self.shared.counts.clone(),
        }
    }

    fn abandoned(&self) -> Error {
        let detail = "its client stopped waiting before a session was free";
        Error::new(Kind::Abandoned, &self.shared.peer, QUEUE, detail)
    }

    fn nobody_answered(&self) -> Error {
        let state = self.shared.state();
        let detail = match state.last_failure() {
            Some(failure) => format!("no session was free in time; the last one failed: {failure}"),
            None => "no session was free in time (pool.max-sessions)".into(),
        };
        let error = Error::new(Kind::Timeout, &self.shared.peer, QUEUE, detail);
        if state.away().is_some() {
            error.unopened()
        } else {
            error
        }
    }
}

/// A question that waits in the queue; it is withdrawn where nobody asks for its answer any more.
struct Queued<'a, S: Session, V: Send + 'static> {
    shared: &'a Shared<S, V>,
    number: Number,
}

impl<S: Session, V: Send + 'static> Queued<'_, S, V> {
    /// Takes it out of the queue; `false` where it is being asked.
    fn withdraw(&self) -> bool {
        self.shared.state().withdraw(self.number)
    }
}

impl<S: Session, V: Send + 'static> Drop for Queued<'_, S, V> {
    fn drop(&mut self) {
        self.withdraw();
    }
}
