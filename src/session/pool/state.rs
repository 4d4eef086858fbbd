//! What waits, and what is there to serve it: all that is decided under one lock.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::count::{Count, Held};
use super::demand::Demand;
use super::gate::Gate;
use super::pause::Pause;
use super::place::{Place, Places};
use super::queue::{Job, Number, Queue};
use super::quota::{Quotas, Room};
use super::{Limits, Priority};
use crate::session::error::{Error, Kind, QUEUE};

/// Bound (sessions): least wait before another session is opened for a question. Beyond: another is opened. Why:
/// waiting so briefly costs less than a session.
const MIN_OPENING_TIME: Duration = Duration::from_millis(20);

/// Bound (sessions): least time of an opening, however soon the waiting question's deadline is. Beyond: the waiting
/// question is answered without it. Why: what cannot be done in a moment is not the server's fault, and the session
/// serves the next question.
const OPENING: Duration = Duration::from_secs(1);

/// Bound (sessions): time of an opening that no question waits for, in times of what the last ones took. Beyond: it is
/// given up, and a question that has come meanwhile opens another. Why: one that hangs is not to stand in for others.
const SLOW: u32 = 4;

/// Bound (sessions, one in): of the queue's places for dialogs, those of one network. Beyond: one more gets no answer
/// at once (overload). Why: an attacker who leaves them half done has few networks.
const QUEUED_OF_ONE_NETWORK: usize = 16;

/// The queue and the counts, under one lock.
pub(super) struct State<Q, V> {
    queue: Queue<Q, V>,
    quotas: Quotas,
    places: Places,
    gate: Arc<Gate>,
    /// Questions that one session takes in one go, as far as is known.
    batch: usize,
    /// Questions that the sessions which are asking just now take when they come back.
    promised: Count,
    /// Sessions that are asked nothing but what is asked again.
    retrying: Count,
    /// A session answers one question that is asked again; else all of them.
    one_each: bool,
    demand: Demand,
    last_failure: Option<Error>,
    pause: Pause,
    /// Nobody can ask any more.
    pub(super) is_closed: bool,
}

/// A session that could be asked.
#[derive(Debug, Clone, Copy)]
pub(super) struct Offer {
    /// As many questions as it takes.
    pub(super) room: usize,
    /// It was asked nothing yet but what is asked again.
    pub(super) retries: bool,
    /// How long an answer takes.
    pub(super) pace: Duration,
}

/// What comes of an offer.
pub(super) struct Taken<Q, V> {
    /// To be asked.
    pub(super) batch: Vec<Job<Q, V>>,
    /// To be informed that there is no time left for an answer.
    pub(super) hopeless: Vec<Job<Q, V>>,
}

/// What becomes of those who wait when a session could not be opened.
pub(super) enum Failed<Q, V> {
    /// The sessions that there are serve them: the remote bears no more of them. Whether that is news.
    Ceiling { living: usize, news: bool },
    /// These get the error. No other is opened in its place, where others are at work.
    Told { jobs: Vec<Job<Q, V>>, others: bool },
}

impl<Q, V> State<Q, V> {
    pub(super) fn new(batch: usize, one_each: bool, gate: Arc<Gate>) -> Self {
        Self {
            queue: Queue::new(),
            quotas: Quotas::default(),
            places: Places::default(),
            gate,
            batch,
            promised: Count::default(),
            retrying: Count::default(),
            one_each,
            demand: Demand::default(),
            last_failure: None,
            pause: Pause::default(),
            is_closed: false,
        }
    }

    /// Puts a question into the queue, or says why not.
    pub(super) fn admit(
        &mut self,
        job: Job<Q, V>,
        limits: &Limits,
        peer: &Arc<str>,
    ) -> Result<Number, Error> {
        self.demand.asked(job.arrived);
        if let (0, true, Some(failure)) = (self.places.serving(), self.pause.is_long(), &self.last_failure) {
            return Err(failure.clone());
        }
        self.check_room(&job, limits, peer)?;
        let number = self.queue.push(job);
        let of = |standing| self.queue.of(standing);
        self.quotas
            .note_need(of(Priority::Trusted) + of(Priority::TrustedDialog));
        Ok(number)
    }

    /// Those of one standing wait in places of their own, so none takes another's.
    fn check_room(&mut self, job: &Job<Q, V>, limits: &Limits, peer: &Arc<str>) -> Result<(), Error> {
        let standing = job.asker.standing;
        if self.queue.of(standing) >= limits.keys.queue as usize {
            self.queue.drop_cancelled();
        }
        let waiting = self.queue.of(standing);
        if waiting >= limits.keys.queue as usize {
            let detail = format!("{waiting} questions wait already (pool.queue)");
            return Err(Error::new(Kind::Overload, peer, QUEUE, detail));
        }
        if !standing.is_dialog() {
            return Ok(());
        }
        let network = job.asker.network;
        let kin = |other: &&Job<Q, V>| other.asker.standing.is_dialog() && other.asker.network == network;
        let most = (limits.keys.queue as usize / QUEUED_OF_ONE_NETWORK).max(1);
        if waiting >= most && self.queue.all().filter(kin).count() >= most {
            let detail = "too many dialogs of this client's network wait already";
            return Err(Error::new(Kind::Overload, peer, QUEUE, detail));
        }
        Ok(())
    }

    /// Puts those back that are to be asked once more.
    pub(super) fn put_back(&mut self, again: Vec<Job<Q, V>>) {
        for mut job in again {
            job.quota = None;
            self.queue.push(job);
        }
    }

    /// Takes a question back that nobody waits for any more; whether it was there yet.
    pub(super) fn withdraw(&mut self, number: Number) -> bool {
        self.queue.withdraw(number).is_some()
    }

    /// Takes the questions that a session is to be asked next: all of which go `together` with the first.
    pub(super) fn take(
        &mut self,
        offer: Offer,
        limits: &Limits,
        together: impl Fn(&Q, &Q) -> bool,
    ) -> Taken<Q, V> {
        let hopeless = self.queue.sift(offer.pace);
        let mut batch = Vec::new();
        if offer.retries {
            batch = self.queue.take_again(offer.room, &together);
        }
        // This session is as free as those that are idle.
        let room = self.room(limits, self.places.idle() + 1);
        for standing in Priority::ALL {
            if !batch.is_empty() {
                break;
            }
            let may = |job: &Job<Q, V>| self.quotas.may_ask(&job.asker, room);
            batch = self.queue.take(standing, offer.room, may, &together);
        }
        for job in &mut batch {
            job.quota = Some(self.quotas.hold(&job.asker));
            job.asker.waiters.sent();
        }
        Taken { batch, hopeless }
    }

    /// Sessions that are asking take so many when they come back, for as long as this is held.
    pub(super) fn promise(&self, number: usize) -> Held {
        self.promised.hold(number)
    }

    /// A session was opened, and is asked first what is asked again.
    pub(super) fn retries(&self) -> Held {
        self.retrying.hold(1)
    }

    /// A place for one more session, where that would be of use.
    pub(super) fn place_if_needed(&self, limits: &Limits) -> Option<Place> {
        self.lacks_session(limits).then(|| self.places.take())
    }

    /// A place for a session that is asked nothing.
    pub(super) fn place_for_call(&self, limits: &Limits) -> Option<Place> {
        if self.places.taken() >= self.most(limits) {
            return None;
        }
        let connection = self.gate.try_pass()?;
        let mut place = self.places.take();
        place.connects(connection);
        place.calls();
        Some(place)
    }

    fn lacks_session(&self, limits: &Limits) -> bool {
        let opening = self.places.opening();
        if self.places.taken() >= self.most(limits) || (self.pause.is_trial() && opening > 0) {
            return false;
        }
        let (ready, promised) = (self.places.idle() + opening, self.promised.get());
        // Those that have promised to come back are as good as free.
        let room = self.room(limits, ready + promised.div_ceil(self.batch.max(1)));
        let askable = self
            .quotas
            .askable(|standing| self.queue.of(standing), room, self.batch);
        let for_them = askable > ready * self.batch + promised || self.lacks_for_again();
        // A paused question waits for sessions at work.
        if for_them {
            self.places.serving() == 0 || self.pause.until().is_none()
        } else {
            self.lacks_warm(limits)
        }
    }

    /// Whether those that are asked again wait for a session that is not opened yet.
    fn lacks_for_again(&self) -> bool {
        let (again, sessions) = (self.queue.again(), self.places.opening() + self.retrying.get());
        if self.one_each {
            again > sessions
        } else {
            again > 0 && sessions == 0
        }
    }

    /// Whether fewer are ready than are likely to be spent while one more is opened. No other pool's session ends for it.
    fn lacks_warm(&self, limits: &Limits) -> bool {
        let ready = self.places.idle() + self.places.opening();
        self.keeps_beside(ready, limits) && !self.pause.is_trial() && !self.gate.is_full()
    }

    /// Whether one more idle session is among those that are kept.
    pub(super) fn keeps_another_idle(&self, limits: &Limits) -> bool {
        self.keeps_beside(self.places.idle(), limits)
    }

    fn keeps_beside(&self, others: usize, limits: &Limits) -> bool {
        let least = limits.keys.warm_sessions as usize;
        least > 0 && !self.is_closed && others < self.demand.ready(least, Instant::now())
    }

    /// A login was accepted, and its session is of no more use.
    pub(super) fn spent(&mut self) {
        self.demand.spent(Instant::now());
    }

    /// The remote ended a session that nothing was asked on.
    pub(super) fn unwanted(&mut self) {
        self.demand.unwanted(Instant::now());
    }

    /// Sessions that there may be now: where the remote bears fewer than all pools may have, what the others leave of
    /// them, and half of them at least, for which the others give way.
    fn most(&self, limits: &Limits) -> usize {
        let borne = self.gate.ceiling().of(usize::MAX);
        limits.max_sessions.min(borne - self.others().min(borne / 2))
    }

    /// Connections of other pools to this remote.
    fn others(&self) -> usize {
        self.gate.connections().saturating_sub(self.places.connected())
    }

    /// Whether a session ends so that another pool that waits for one has it: an idle one does, and one of those that ask
    /// where the other pool has none. What each may have beyond that goes from one to the other as sessions end.
    pub(super) fn gives_way(&self, is_idle: bool) -> bool {
        let wanted = self.gate.waiting().saturating_sub(self.places.waiting());
        if wanted <= self.places.closing() || !self.gate.is_full() {
            return false;
        }
        is_idle || self.others() == 0
    }

    /// What there is room for where so many sessions are `ready` or will be.
    fn room(&self, limits: &Limits, ready: usize) -> Room {
        let most = self.most(limits);
        Room {
            most,
            free: most.saturating_sub(self.places.taken()) + ready,
        }
    }

    /// Until when an opening that begins now may take: as long as the last in the queue waits. Where nobody does, one that
    /// takes far longer than others is given up, since questions to come count on it.
    pub(super) fn patience(&self, began: Instant, limits: &Limits) -> Instant {
        let last = self.queue.all().filter_map(|job| job.asker.waiters.until()).max();
        let takes = self.demand.opening_takes() * SLOW;
        let ahead = if takes.is_zero() { limits.timeout } else { takes };
        last.unwrap_or(began + ahead.min(limits.timeout))
            .max(began + OPENING)
    }

    /// How long a session that is asking is worth waiting for: as long as another
    /// would take to open, after which the wait has cost no more than it could
    /// have saved.
    pub(super) fn worth_waiting(&self) -> Duration {
        self.demand.opening_takes().max(MIN_OPENING_TIME)
    }

    /// A session whose opening began then was opened; it takes so many questions in
    /// one go.
    pub(super) fn opened(&mut self, began: Instant, batch: usize) {
        self.demand.opened(began.elapsed());
        self.batch = batch;
        self.last_failure = None;
        self.pause.succeeded();
        self.gate.ceiling().bears(self.gate.living());
    }

    /// A session whose opening began then was not opened.
    pub(super) fn failed(&mut self, error: &Error, began: Instant) -> Failed<Q, V> {
        self.last_failure = Some(error.clone());
        let living = self.gate.living();
        if living > 0 && error.is_turned_away() {
            let news = self.gate.ceiling().turned_away(living);
            return Failed::Ceiling { living, news };
        }
        self.pause.failed(began, &self.gate.chance);
        let others = self.places.serving() > 1;
        // No session can be expected any more: all that waited for one get the error. A later question gets
        // its own try.
        let jobs = self.queue.take_older_than(began, others);
        Failed::Told { jobs, others }
    }

    /// When the remote may be tried again, while it is to be left alone.
    pub(super) fn paused_until(&self) -> Option<Instant> {
        self.pause.until()
    }

    /// Openings in a row that failed.
    pub(super) fn failures(&self) -> u32 {
        self.pause.failures()
    }

    pub(super) fn last_failure(&self) -> Option<&Error> {
        self.last_failure.as_ref()
    }

    /// The last failure, where no session lives and the remote itself is why.
    pub(super) fn away(&self) -> Option<&Error> {
        let none_lives = self.places.serving() <= self.places.opening();
        self.last_failure
            .as_ref()
            .filter(|failure| none_lives && failure.is_away())
    }

    /// Questions that wait.
    pub(super) fn waiting(&self) -> usize {
        self.queue.len()
    }

    /// Sessions by their phase.
    pub(super) const fn places(&self) -> &Places {
        &self.places
    }

    /// What was learned that the remote bears, where it is fewer than there may be.
    pub(super) fn ceiling(&self, limits: &Limits) -> Option<usize> {
        self.gate.ceiling().below(limits.max_sessions)
    }
}
