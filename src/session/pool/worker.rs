//! The task that owns a session, and its life.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use tokio::sync::{Notify, Semaphore};
use tokio::time::{Instant, sleep_until, timeout};

use super::blame::together;
use super::counts::{Closed, Counts};
use super::place::Place;
use super::served::{Served, room};
use super::state::{Job, State};
use super::{Judge, Limits, Open, Standing, round};
use crate::session::Session;
use crate::session::error::{Error, Kind};

/// A remote that does not answer a goodbye is left after this long.
pub(crate) const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// Sessions of one pool that say goodbye at once, beside those that are open. One more is closed without a word:
/// a remote that does not answer would hold a descriptor of ours for each login, for a second.
pub(crate) const GOODBYES: usize = 256;

/// Time of an opening at the least, however little those who wait have left: what cannot be done in a moment would be
/// called a fault of the remote, and what was opened is good for the next question. Who waits is answered in time all
/// the same.
pub(crate) const OPENING: Duration = Duration::from_secs(1);

/// What the tasks of one pool share.
pub(super) struct Shared<S: Session, V> {
    open: Open<S>,
    pub(super) judge: Judge<S, V>,
    pub(super) limits: Limits,
    pub(super) peer: Arc<str>,
    state: Mutex<State<S::Question, V>>,
    pub(super) asked: Notify,
    goodbyes: Arc<Semaphore>,
    pub(super) counts: Arc<Counts>,
}

impl<S: Session, V: Send + 'static> Shared<S, V> {
    pub(super) fn new(peer: Arc<str>, limits: Limits, open: Open<S>, judge: Judge<S, V>) -> Self {
        // Until a session is known, its remote is given credit for what it may offer.
        let batch = room(S::MAX_BATCH, &limits, 0, 0);
        let (state, asked) = (Mutex::new(State::new(batch)), Notify::new());
        Self {
            open,
            judge,
            limits,
            peer,
            state,
            asked,
            goodbyes: Arc::new(Semaphore::new(GOODBYES)),
            counts: Arc::default(),
        }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State<S::Question, V>> {
        // Nothing panics while holding it; if something did, the counts are still the best we have.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens a session for nothing but its opening.
    pub(super) async fn call(&self, deadline: Instant) {
        match (self.open)(deadline).await {
            Ok(session) => self.close(session),
            Err(error) => tracing::debug!("asked what is offered: {error}"),
        }
    }

    /// Starts the sessions that are of use.
    pub(super) fn start_needed(this: &Arc<Self>, state: &mut State<S::Question, V>) {
        while let Some(place) = state.place_if_needed(&this.limits) {
            tokio::spawn(this.clone().run(place));
        }
    }

    /// A session that was just opened, unless it says something already. It could not be asked, and neither
    /// could the next one: without this, session after session would be opened for as long as somebody waits.
    fn silent(&self, mut session: S) -> Result<S, Error> {
        if session.goodbye().now_or_never().is_none() {
            return Ok(session);
        }
        let detail = "it says more than it was asked, or goodbye, before the first question";
        Err(Error::new(Kind::Protocol, &self.peer, "opening", detail))
    }

    /// The life of one place in the pool: session after session, while they are
    /// of use.
    async fn run(self: Arc<Self>, mut place: Place) {
        let mut carried = Vec::new();
        loop {
            let began = self.end_of_pause().await;
            match self.open(began, &carried).await {
                Ok(session) => carried = Self::serve(&self, &mut place, session, carried).await,
                Err(error) => {
                    for job in carried.drain(..) {
                        self.answer(job, Err(error.clone()));
                    }
                    let mut state = self.state();
                    if state.places.taken() > 1 {
                        // The others serve the queue; trying again at once would hammer the remote.
                        drop(place);
                        return;
                    }
                    state.tell_all_since(&error, began);
                }
            }
            let mut state = self.state();
            drop(place);
            state.forget_the_gone();
            // Those who wait may be about to be served by others.
            let next = if carried.is_empty() {
                state.place_if_needed(&self.limits)
            } else {
                Some(state.places.take())
            };
            let Some(next) = next else { return };
            place = next;
        }
    }

    /// Waits until the remote may be called. When that is.
    async fn end_of_pause(&self) -> Instant {
        let paused = self.state().paused_until();
        if let Some(until) = paused {
            sleep_until(until).await;
        }
        Instant::now()
    }

    /// Opens a session, by when those who wait for it, or were `carried` here from another, give up.
    async fn open(&self, began: Instant, carried: &[Job<S::Question, V>]) -> Result<S, Error> {
        let patience = carried.iter().map(|job| job.deadline).max();
        let patience = patience.max(self.state().patience());
        // Nobody waits for a warm one; it has the time that a command has.
        let deadline = patience.map_or(began + self.limits.max_age, |patience| {
            patience.max(began + OPENING)
        });
        let opened = (self.open)(deadline).await;
        match opened.and_then(|session| self.silent(session)) {
            Ok(session) => {
                self.counts.opened.observe(began.elapsed());
                let batch = room(session.batch(), &self.limits, 0, 0);
                self.state().opened(began, batch);
                Ok(session)
            }
            Err(error) => {
                self.counts.not_opened.count(&error);
                self.state().failed(&error, began);
                Err(error)
            }
        }
    }

    /// Serves questions on one session until it is spent, too old, idle for too
    /// long, or says goodbye. Gives back what is to be asked on another.
    async fn serve(
        this: &Arc<Self>,
        place: &mut Place,
        session: S,
        mut carried: Vec<Job<S::Question, V>>,
    ) -> Vec<Job<S::Question, V>> {
        let mut served = Served::new(session);
        place.asks();
        loop {
            let room = served.room(&this.limits);
            let batch = if carried.is_empty() {
                this.next_batch(&mut served, place, room).await
            } else if room == 0 {
                Err(Closed::Limit)
            } else {
                let rest = carried.split_off(together(&carried, room));
                Ok(std::mem::replace(&mut carried, rest))
            };
            let batch = match batch {
                Ok(batch) => batch,
                Err(why) => {
                    this.counts.close(why);
                    this.close(served.session);
                    return carried;
                }
            };
            let round = round::ask(this, &mut served, batch).await;
            carried.extend(round.again);
            let goes_on = round.ended.is_none();
            {
                let _state = this.state();
                drop(round.promised);
                // Whoever hears the last answer may ask at once: this session is ready for that, and no other is
                // needed.
                if goes_on && carried.is_empty() && !round.spent && served.room(&this.limits) > 0 {
                    place.waits();
                }
            }
            if let Some((job, verdict)) = round.last {
                this.answer(job, Ok(verdict));
            }
            if !goes_on || (round.spent && !served.session.renew().await) {
                let used_up = if round.spent { Closed::Spent } else { Closed::Limit };
                this.counts.close(round.ended.unwrap_or(used_up));
                if round.polite {
                    this.close(served.session);
                }
                return carried;
            }
        }
    }

    /// The next questions for a session, or why it is to be closed.
    async fn next_batch(
        &self,
        served: &mut Served<S>,
        place: &mut Place,
        room: usize,
    ) -> Result<Vec<Job<S::Question, V>>, Closed> {
        let max_age = served.opened + self.limits.max_age;
        let mut idle_until = Instant::now() + self.limits.idle_timeout;
        loop {
            let asked = self.asked.notified();
            // What came unasked would be taken for the answer to what is asked next.
            let gone = served.session.goodbye().now_or_never().is_some();
            {
                let mut state = self.state();
                place.asks();
                let now = Instant::now();
                let ended = [
                    (gone, Closed::Goodbye),
                    (room == 0, Closed::Limit),
                    (now >= max_age, Closed::Age),
                ];
                if let Some((_, why)) = ended.into_iter().find(|(is, _)| *is) {
                    return Err(why);
                }
                let batch = state.take(room, &self.limits, S::together);
                if !batch.is_empty() {
                    if !state.is_empty() {
                        // One notice may have stood for several questions.
                        self.asked.notify_one();
                    }
                    return Ok(batch);
                }
                if state.is_left {
                    return Err(Closed::Idle);
                }
                if now >= idle_until {
                    if !state.keeps_another_idle(&self.limits) {
                        return Err(Closed::Idle);
                    }
                    idle_until = now + self.limits.idle_timeout;
                }
                place.waits();
            }
            served.fresh = false;
            let goodbye = tokio::select! {
                biased;
                () = asked => false,
                () = served.session.goodbye() => true,
                () = sleep_until(max_age.min(idle_until)) => false,
            };
            if goodbye {
                place.asks();
                return Err(Closed::Goodbye);
            }
        }
    }

    /// Tells an asker its answer.
    pub(super) fn answer(&self, job: Job<S::Question, V>, answer: Result<V, Error>) {
        let may_bar_others = job.standing != Standing::Good;
        job.tell(answer);
        if may_bar_others && !self.state().is_empty() {
            // One that was held back may be asked now, by a session that waits.
            self.asked.notify_one();
        }
    }

    /// Takes leave in the background.
    fn close(&self, session: S) {
        if let Ok(place) = self.goodbyes.clone().try_acquire_owned() {
            tokio::spawn(async move {
                let _ = timeout(CLOSE_TIMEOUT, session.close()).await;
                drop(place);
            });
        }
    }
}
