//! The task that owns a session, and its life.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::time::{Instant, sleep_until, timeout};

use super::count::Held;
use super::counts::Closed;
use super::place::Place;
use super::queue::Job;
use super::round::{Asking, Round};
use super::served::{Served, room};
use super::shared::Shared;
use super::state::{Failed, Offer, State};
use crate::session::Session;
use crate::session::error::{Error, Kind, QUEUE};
use crate::telemetry::words::named;

/// Bound (sessions): time of a goodbye. Beyond: the connection is closed. Why: no client waits for the answer.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

impl<S: Session, V: Send + 'static> Shared<S, V> {
    /// Opens a session for nothing but its opening.
    pub(super) async fn call(this: &Arc<Self>, deadline: Instant) {
        let Some(mut place) = this.state().place_for_call(&this.limits) else {
            return;
        };
        let opened = (this.open)(deadline).await;
        let this = this.clone();
        // The caller does not wait for a goodbye.
        tokio::spawn(async move {
            match opened {
                Ok(session) => {
                    place.closes();
                    let _ = timeout(CLOSE_TIMEOUT, session.close()).await;
                }
                Err(error) => tracing::debug!("asked what is offered: {error}"),
            }
            Self::give_back(&this, place);
        });
    }

    /// Starts the sessions that are of use.
    pub(super) fn start_needed(this: &Arc<Self>, state: &mut State<S::Question, V>) {
        while let Some(place) = state.place_if_needed(&this.limits) {
            // It needs the lock that is held here before it can end. One that has ended was dropped, and its place with
            // it: the runtime is at its end, and would drop the next one, too.
            if tokio::spawn(this.clone().run(place)).is_finished() {
                break;
            }
        }
    }

    /// A session that was just opened, unless it says something already. It could not be asked, and neither
    /// could the next one: without this, session after session would be opened for as long as somebody waits.
    fn reject_if_unsolicited(&self, mut session: S) -> Result<S, Error> {
        if session.goodbye().now_or_never().is_none() {
            return Ok(session);
        }
        let detail = "it says more than it was asked, or goodbye, before the first question";
        Err(Error::new(Kind::Protocol, &self.peer, "opening", detail))
    }

    /// The life of a session, from its opening until the remote has seen the end of it.
    async fn run(self: Arc<Self>, mut place: Place) {
        self.end_of_pause().await;
        if place.passes(&self.gate).await && self.state().waiting() == 0 {
            // Other sessions have served the questions for which it was to be opened.
            return Self::give_back(&self, place);
        }
        let began = Instant::now();
        match self.open(began).await {
            Ok(session) => {
                place.asks();
                if let Some(session) = Self::serve(&self, &mut place, session).await {
                    place.closes();
                    Self::start_needed(&self, &mut self.state());
                    let _ = timeout(CLOSE_TIMEOUT, session.close()).await;
                }
            }
            Err(error) => {
                let failed = self.state().failed(&error, began);
                if !self.not_opened(&error, failed) {
                    return;
                }
            }
        }
        Self::give_back(&self, place);
    }

    /// A session has ended, and the remote has seen it: another may be of use.
    fn give_back(this: &Arc<Self>, place: Place) {
        let mut state = this.state();
        drop(place);
        Self::start_needed(this, &mut state);
        if state.waiting() > 0 {
            // One that was held back may be asked now, by a session that waits.
            this.asked.notify_one();
        }
    }

    /// Tells those who waited for a session that it could not be opened. Whether another is to be opened in its place.
    fn not_opened(&self, error: &Error, failed: Failed<S::Question, V>) -> bool {
        match failed {
            Failed::Ceiling { living, news } => {
                if news {
                    self.tell_ceiling(error, living);
                }
                false
            }
            Failed::Told { jobs, others } => {
                for job in jobs {
                    job.tell(Err(error.clone()));
                }
                // The others serve the queue; trying again at once would hammer the remote.
                !others
            }
        }
    }

    fn tell_ceiling(&self, error: &Error, living: usize) {
        let name = self.peer.rsplit_once(" (").map_or(&*self.peer, |(name, _)| name);
        let advice = named(
            "let the server accept more from this host, or set directory.NAME.pool.max-sessions to what it accepts",
            name,
        );
        tracing::warn!(
            living,
            max_sessions = self.limits.max_sessions,
            "the server refused a session while others were open: vouch keeps to so many, and tries one more \
             every 30 s: {error}; {advice}"
        );
    }

    /// Waits until the remote may be called.
    async fn end_of_pause(&self) {
        let paused = self.state().paused_until();
        if let Some(until) = paused {
            sleep_until(until).await;
        }
    }

    /// Opens a session, for as long as that is worth waiting for.
    async fn open(&self, began: Instant) -> Result<S, Error> {
        let deadline = self.state().patience(began, &self.limits);
        let opened = (self.open)(deadline).await;
        match opened.and_then(|session| self.reject_if_unsolicited(session)) {
            Ok(session) => {
                self.counts.opened.observe(began.elapsed());
                let batch = room(session.batch(), &self.limits, 0, 0);
                self.state().opened(began, batch);
                Ok(session)
            }
            Err(error) => {
                self.counts.not_opened.count(&error);
                Err(error)
            }
        }
    }

    /// Serves questions on one session until it is spent, too old, idle for too
    /// long, or says goodbye. Gives it back where it is to be taken leave of.
    async fn serve(this: &Arc<Self>, place: &mut Place, session: S) -> Option<S> {
        let retries = this.state().retries();
        let mut served = Served::new(session, retries);
        loop {
            let room = served.room(&this.limits);
            let batch = match this.next_batch(&mut served, place, room).await {
                Ok(batch) => batch,
                Err(why) => {
                    this.counts.close(why);
                    if why == Closed::Goodbye && served.questions == 0 {
                        this.state().unwanted();
                    }
                    return Some(served.session);
                }
            };
            let round = ask(this, &mut served, batch).await;
            let goes_on = round.ended.is_none();
            {
                let mut state = this.state();
                drop(round.promised);
                state.put_back(round.again);
                // The receiver of the last answer may ask at once: this session is ready for that, and no other
                // is needed.
                if goes_on && !round.spent && served.room(&this.limits) > 0 {
                    place.waits();
                }
            }
            if let Some((job, verdict)) = round.last {
                job.tell(Ok(verdict));
            }
            if !goes_on || (round.spent && !served.session.renew().await) {
                if round.spent {
                    this.state().spent();
                }
                let used_up = if round.spent { Closed::Spent } else { Closed::Limit };
                this.counts.close(round.ended.unwrap_or(used_up));
                return round.polite.then_some(served.session);
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
        let max_age = served.opened + self.limits.keys.max_age;
        let mut idle_until = Instant::now() + self.limits.keys.idle_timeout;
        loop {
            let (asked, wanted) = (self.asked.notified(), self.gate.wanted());
            let batch = self.take_batch(served, place, room, &mut idle_until)?;
            if !batch.is_empty() {
                return Ok(batch);
            }
            served.fresh = false;
            let goodbye = tokio::select! {
                biased;
                () = asked => false,
                () = wanted => false,
                () = served.session.goodbye() => true,
                () = sleep_until(max_age.min(idle_until)) => false,
            };
            if goodbye {
                place.asks();
                return Err(Closed::Goodbye);
            }
        }
    }

    /// What waits for a session now; where that is nothing, the session is idle from then on.
    fn take_batch(
        &self,
        served: &mut Served<S>,
        place: &mut Place,
        room: usize,
        idle_until: &mut Instant,
    ) -> Result<Vec<Job<S::Question, V>>, Closed> {
        // What came unasked would be taken for the answer to what is asked next.
        let gone = served.session.goodbye().now_or_never().is_some();
        let mut state = self.state();
        place.asks();
        let now = Instant::now();
        let ended = [
            (gone, Closed::Goodbye),
            (room == 0, Closed::Limit),
            (now >= served.opened + self.limits.keys.max_age, Closed::Age),
            (state.gives_way(false), Closed::Limit),
        ];
        if let Some((_, why)) = ended.into_iter().find(|(is, _)| *is) {
            place.closes();
            return Err(why);
        }
        let offer = Offer {
            room,
            retries: served.retries.is_some(),
            pace: self.pace.get(),
        };
        let taken = state.take(offer, &self.limits, S::can_batch);
        if !taken.batch.iter().all(|job| job.again) || taken.batch.is_empty() {
            served.retries = None;
        }
        for job in taken.hopeless {
            job.tell(Err(self.too_late(offer.pace)));
        }
        if !taken.batch.is_empty() {
            if state.waiting() > 0 {
                // One notice may have stood for several questions.
                self.asked.notify_one();
            }
            return Ok(taken.batch);
        }
        if state.gives_way(true) {
            place.closes();
            return Err(Closed::Limit);
        }
        let idle_for_long = now >= *idle_until;
        if state.is_closed || (idle_for_long && !state.keeps_another_idle(&self.limits)) {
            return Err(Closed::Idle);
        }
        if idle_for_long {
            *idle_until = now + self.limits.keys.idle_timeout;
        }
        place.waits();
        Ok(Vec::new())
    }

    fn too_late(&self, takes: Duration) -> Error {
        let detail = format!(
            "too many questions wait: an answer currently takes {} ms, longer than its remaining time",
            takes.as_millis()
        );
        Error::new(Kind::Overload, &self.peer, QUEUE, detail)
    }
}

/// Asks a batch and tells each asker as its answer comes, but for the last.
async fn ask<S: Session, V: Send + 'static>(
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
