//! What waits, and what is there to serve it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::count::{Count, Held};
use super::pause::Pause;
use super::place::{Place, Places};
use super::share::{self, Asking, Waiting};
use super::{Limits, Standing, WARM_WHILE};
use crate::session::error::{Error, Kind, QUEUE};

/// An answer this near is waited for whatever opening a session takes: one more
/// session costs the remote more than this costs anybody.
pub(crate) const SOON: Duration = Duration::from_millis(20);

/// A question on its way.
pub(super) struct Job<Q, V> {
    pub(super) question: Q,
    pub(super) deadline: Instant,
    pub(super) standing: Standing,
    pub(super) arrived: Instant,
    /// It was asked once already, on a session that said nothing about it.
    pub(super) again: bool,
    /// It goes out without others: a session was lost at it.
    pub(super) alone: bool,
    /// Once it was taken from the queue: its part of what its standing may hold.
    pub(super) share: Option<Held>,
    pub(super) answer: oneshot::Sender<Result<V, Error>>,
}

impl<Q, V> Job<Q, V> {
    /// Hands the answer to the asker, who may be gone.
    pub(super) fn tell(mut self, answer: Result<V, Error>) {
        // Who hears the answer may ask at once, and finds the share free.
        self.share = None;
        let _ = self.answer.send(answer);
    }
}

/// The queue and the counts, under one lock.
pub(super) struct State<Q, V> {
    queue: VecDeque<Job<Q, V>>,
    /// Of these, how many of each standing.
    waiting: Waiting,
    /// Questions that hold a session.
    asking: Asking,
    pub(super) places: Places,
    /// Questions that one session takes in one go, as far as is known.
    batch: usize,
    /// Questions that the sessions which are asking just now take when they come back.
    promised: Count,
    /// How long it last took to open a session.
    opening_took: Duration,
    last_asked: Option<Instant>,
    last_failure: Option<Error>,
    pause: Pause,
    /// Nobody can ask any more.
    pub(super) is_left: bool,
}

impl<Q, V> State<Q, V> {
    pub(super) fn new(batch: usize) -> Self {
        Self {
            queue: VecDeque::new(),
            waiting: Waiting::default(),
            asking: Asking::default(),
            places: Places::default(),
            batch,
            promised: Count::default(),
            opening_took: Duration::ZERO,
            last_asked: None,
            last_failure: None,
            pause: Pause::default(),
            is_left: false,
        }
    }

    /// Puts a question into the queue, or says why not.
    pub(super) fn admit(&mut self, job: Job<Q, V>, limits: &Limits, peer: &Arc<str>) -> Result<(), Error> {
        self.last_asked = Some(job.arrived);
        if let (0, true, Some(failure)) = (self.places.taken(), self.pause.is_long(), &self.last_failure) {
            return Err(failure.clone());
        }
        if self.queue.len() >= limits.queue {
            self.forget_the_gone();
        }
        if self.queue.len() >= limits.queue {
            let detail = format!("{} questions wait already (pool.queue)", self.queue.len());
            return Err(Error::new(Kind::Overload, peer, QUEUE, detail));
        }
        self.waiting.add(job.standing);
        self.queue.push_back(job);
        Ok(())
    }

    /// Takes the first questions that may be asked now: at most `room`, all of
    /// which go `together` with the first.
    pub(super) fn take(
        &mut self,
        room: usize,
        limits: &Limits,
        together: impl Fn(&Q, &Q) -> bool,
    ) -> Vec<Job<Q, V>> {
        let mut taken: Vec<Job<Q, V>> = Vec::new();
        let (mut at, now) = (0, Instant::now());
        while taken.len() < room && at < self.queue.len() {
            let job = &self.queue[at];
            let standing = job.standing;
            // Nobody would hear the answer, and the remote would count the question.
            let gone = job.answer.is_closed() || job.deadline <= now;
            // A session serves any number of good ones in one go.
            let barred =
                standing != Standing::Good && self.asking.of(standing) >= share::of(standing, limits);
            let fits = taken
                .first()
                .is_none_or(|first| together(&first.question, &job.question));
            if !gone && (barred || !fits) {
                at += 1;
                continue;
            }
            let Some(mut job) = self.queue.remove(at) else {
                break;
            };
            self.waiting.remove(standing);
            if !gone {
                job.share = Some(self.asking.hold(standing));
                taken.push(job);
            }
        }
        taken
    }

    /// Sessions that are asking take so many when they come back, for as long as this is held.
    pub(super) fn promise(&self, number: usize) -> Held {
        self.promised.hold(number)
    }

    /// A place for one more session, where that would be of use.
    pub(super) fn place_if_needed(&self, limits: &Limits) -> Option<Place> {
        self.lacks_session(limits).then(|| self.places.take())
    }

    /// Whether one more session would be of use.
    fn lacks_session(&self, limits: &Limits) -> bool {
        let (taken, opening) = (self.places.taken(), self.places.opening());
        if taken >= limits.max_sessions || (self.pause.is_trial() && opening > 0) {
            return false;
        }
        let held_back = |standing| {
            let allowed = share::of(standing, limits).saturating_sub(self.asking.of(standing));
            self.waiting.of(standing).saturating_sub(allowed)
        };
        let waiting = self.queue.len() - held_back(Standing::Doubtful) - held_back(Standing::Dialog);
        let ready = self.places.idle() + opening;
        let for_them = waiting > ready * self.batch + self.promised.get();
        // Whoever is paused with others at work waits for the others.
        if for_them {
            taken == 0 || self.pause.until().is_none()
        } else {
            self.lacks_warm(limits)
        }
    }

    fn lacks_warm(&self, limits: &Limits) -> bool {
        let ready = self.places.idle() + self.places.opening();
        self.is_warm_time() && !self.pause.is_trial() && ready < limits.warm_sessions
    }

    /// Whether one more idle session is among those that are kept.
    pub(super) fn keeps_another_idle(&self, limits: &Limits) -> bool {
        self.is_warm_time() && self.places.idle() < limits.warm_sessions
    }

    fn is_warm_time(&self) -> bool {
        !self.is_left && self.last_asked.is_some_and(|asked| asked.elapsed() < WARM_WHILE)
    }

    /// The time until which the last in the queue waits.
    pub(super) fn patience(&self) -> Option<Instant> {
        self.queue.iter().map(|job| job.deadline).max()
    }

    /// How long a session that is asking is worth waiting for: as long as another
    /// would take to open, after which the wait has cost no more than it could
    /// have saved.
    pub(super) fn worth_waiting(&self) -> Duration {
        self.opening_took.max(SOON)
    }

    /// A session whose opening began then was opened; it takes so many questions in
    /// one go.
    pub(super) fn opened(&mut self, began: Instant, batch: usize) {
        self.opening_took = began.elapsed();
        self.batch = batch;
        self.last_failure = None;
        self.pause.succeeded();
    }

    /// A session whose opening began then was not opened.
    pub(super) fn failed(&mut self, error: &Error, began: Instant) {
        self.last_failure = Some(error.clone());
        self.pause.failed(began);
    }

    /// When the remote may be tried again, while it is to be left alone.
    pub(super) fn paused_until(&self) -> Option<Instant> {
        self.pause.until()
    }

    /// Openings in a row that failed.
    pub(super) fn failures(&self) -> u32 {
        self.pause.failures()
    }

    /// The last hope for a session is gone: everyone who waited for it is told.
    /// Who asked later gets a try of their own.
    pub(super) fn tell_all_since(&mut self, error: &Error, began: Instant) {
        let now = Instant::now();
        let (told, later): (VecDeque<_>, _) = self
            .queue
            .drain(..)
            .partition(|job| job.arrived <= began || job.deadline <= now);
        self.queue = later;
        for job in told {
            self.waiting.remove(job.standing);
            job.tell(Err(error.clone()));
        }
    }

    pub(super) fn last_failure(&self) -> Option<&Error> {
        self.last_failure.as_ref()
    }

    /// Questions that wait.
    pub(super) fn waiting(&self) -> usize {
        self.queue.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Those whose askers gave up hold no place.
    pub(super) fn forget_the_gone(&mut self) {
        self.queue.retain(|job| !job.answer.is_closed());
        self.waiting = self.queue.iter().map(|job| job.standing).collect();
    }
}
