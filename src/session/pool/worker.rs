//! The task that owns a session, and its life.

use std::collections::VecDeque;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use tokio::sync::{Notify, Semaphore};
use tokio::time::{Instant, sleep_until, timeout};

use super::blame::{Loss, together};
use super::counts::{Closed, Counts};
use super::served::{Served, number, room};
use super::{Job, Judge, Limits, Open, Standing, State};
use crate::session::error::{Error, Kind};
use crate::session::{After, Judged, Session};

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
    judge: Judge<S, V>,
    pub(super) limits: Limits,
    pub(super) peer: Arc<str>,
    state: Mutex<State<S::Question, V>>,
    pub(super) asked: Notify,
    goodbyes: Arc<Semaphore>,
    pub(super) counts: Arc<Counts>,
}

/// How a round of questions ended.
struct Round<Q, V> {
    /// Why the session can be asked no more.
    ended: Option<Closed>,
    /// It can, if it is renewed.
    spent: bool,
    /// The remote still listens, and is told goodbye if the session ends.
    polite: bool,
    /// Questions that the pool counts on its taking next.
    promised: usize,
    /// Questions about which the session said nothing.
    again: Vec<Job<Q, V>>,
    /// The last answer, which nobody was told yet.
    last: Option<(Job<Q, V>, V)>,
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
        while state.lacks_session(&this.limits) {
            state.sessions += 1;
            state.opening += 1;
            tokio::spawn(this.clone().run());
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
    async fn run(self: Arc<Self>) {
        let mut carried = Vec::new();
        loop {
            let paused = self.state().paused_until();
            if let Some(until) = paused {
                sleep_until(until).await;
            }
            let began = Instant::now();
            let patience = carried.iter().map(|job: &Job<_, _>| job.deadline).max();
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
                    carried = Self::serve(&self, session, carried).await;
                }
                Err(error) => {
                    self.counts.not_opened.count(&error);
                    for job in carried.drain(..) {
                        self.answer(job, Err(error.clone()));
                    }
                    let mut state = self.state();
                    state.failed(&error, began);
                    if state.sessions > 1 {
                        // The others serve the queue; trying again at once would hammer the remote.
                        state.sessions -= 1;
                        return;
                    }
                    state.tell_all_since(&error, began);
                }
            }
            let mut state = self.state();
            state.sessions -= 1;
            state.forget_the_gone();
            // Those who wait may be about to be served by others.
            let needed = !carried.is_empty() || state.lacks_session(&self.limits);
            if !needed {
                return;
            }
            state.sessions += 1;
            state.opening += 1;
        }
    }

    /// Serves questions on one session until it is spent, too old, idle for too
    /// long, or says goodbye. Gives back what is to be asked on another.
    async fn serve(
        this: &Arc<Self>,
        session: S,
        mut carried: Vec<Job<S::Question, V>>,
    ) -> Vec<Job<S::Question, V>> {
        let mut served = Served::new(session);
        let mut ready = false;
        loop {
            let room = served.room(&this.limits);
            let batch = if carried.is_empty() {
                this.next_batch(&mut served, room, std::mem::take(&mut ready))
                    .await
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
            let round = Self::round(this, &mut served, batch).await;
            carried.extend(round.again);
            let goes_on = round.ended.is_none();
            // Whoever hears the last answer may ask at once: this session is ready for that, and no other is
            // needed.
            ready = goes_on && carried.is_empty() && !round.spent && served.room(&this.limits) > 0;
            {
                let mut state = this.state();
                state.promised -= round.promised;
                state.idle += usize::from(ready);
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

    /// The next questions for a session, or why it is to be closed. `ready` tells
    /// that it is counted as idle already.
    async fn next_batch(
        &self,
        served: &mut Served<S>,
        room: usize,
        mut ready: bool,
    ) -> Result<Vec<Job<S::Question, V>>, Closed> {
        let max_age = served.opened + self.limits.max_age;
        let mut idle_until = Instant::now() + self.limits.idle_timeout;
        loop {
            let asked = self.asked.notified();
            // What came unasked would be taken for the answer to what is asked next.
            let gone = served.session.goodbye().now_or_never().is_some();
            {
                let mut state = self.state();
                state.idle -= usize::from(std::mem::take(&mut ready));
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
                state.idle += 1;
                ready = true;
            }
            served.fresh = false;
            let goodbye = tokio::select! {
                biased;
                () = asked => false,
                () = served.session.goodbye() => true,
                () = sleep_until(max_age.min(idle_until)) => false,
            };
            if goodbye {
                self.state().idle -= 1;
                return Err(Closed::Goodbye);
            }
        }
    }

    /// Asks a batch and tells each asker as its answer comes, but for the last.
    async fn round(
        this: &Arc<Self>,
        served: &mut Served<S>,
        batch: Vec<Job<S::Question, V>>,
    ) -> Round<S::Question, V> {
        let fresh = std::mem::replace(&mut served.fresh, false);
        let deadline = batch
            .iter()
            .map(|job| job.deadline)
            .max()
            .unwrap_or_else(Instant::now);
        let count = batch.len();
        let began = Instant::now();
        for job in batch.iter().filter(|job| !job.again) {
            this.counts.queued.observe(began.duration_since(job.arrived));
        }
        if served.questions > 0 {
            this.counts.reused.add(count as u64);
        }
        served.questions = served.questions.saturating_add(number(count));
        let mut waiting = VecDeque::from(batch);
        let (mut ended, mut spent, mut again) = (None, false, Vec::new());
        let questions: Vec<S::Question> = waiting.iter().map(|job| job.question.clone()).collect();
        let (mut refusals, mut last) = (0, None);
        // Believed once the end of the batch shows that no answer was one too many.
        let mut held = Vec::new();
        let mut promised = served.room_after(count, &this.limits);
        let asked = Self::while_promised(
            this,
            &mut promised,
            served.session.ask(
                &questions,
                &mut |answer| {
                    let Some(mut job) = waiting.pop_front() else {
                        return;
                    };
                    this.counts.probed.observe(began.elapsed());
                    let Judged { verdict, after } = (this.judge)(&job.question, answer);
                    let anew = after == After::AskAgain || (after == After::Goodbye && !fresh);
                    match after {
                        After::Keep | After::KeepRefused | After::Spent => {}
                        After::Goodbye => ended = Some(Closed::Goodbye),
                        After::Close | After::AskAgain => ended = Some(Closed::Answer),
                    }
                    spent |= after == After::Spent;
                    refusals += u32::from(after == After::KeepRefused);
                    if anew && !job.again {
                        job.again = true;
                        again.push(job);
                    } else if after == After::KeepRefused {
                        held.push((job, verdict));
                    } else if waiting.is_empty() {
                        last = Some((job, verdict));
                    } else {
                        this.answer(job, Ok(verdict));
                    }
                },
                deadline,
            ),
        )
        .await;
        served.refusals = served.refusals.saturating_add(refusals);
        let polite = asked.is_ok();
        match asked {
            Ok(()) => {
                last = last.or_else(|| held.pop());
                for (job, verdict) in held {
                    this.answer(job, Ok(verdict));
                }
                // The remote took its leave before it came to these.
                again.extend(waiting);
            }
            Err(error) => {
                ended = Some(Closed::Error);
                let loss = Loss {
                    error: &error,
                    may_ask_again: S::MAY_ASK_AGAIN.allows(&error),
                    fresh,
                    count,
                };
                let doubted = held.into_iter().map(|(job, _)| job).collect();
                let fates = loss.sort(waiting, doubted);
                again.extend(fates.again);
                for job in fates.told {
                    this.answer(job, Err(error.clone()));
                }
            }
        }
        Round {
            ended,
            spent,
            polite,
            promised,
            again,
            last,
        }
    }

    /// Waits for the end of a round after which the session takes as many questions
    /// as are `promised`. So long they wait for it and open no other; if it keeps
    /// them waiting for too long, nothing is promised any more.
    async fn while_promised<T>(this: &Arc<Self>, promised: &mut usize, round: impl Future<Output = T>) -> T {
        let patience = {
            let mut state = this.state();
            state.promised += *promised;
            // What this session leaves waiting may need others.
            Self::start_needed(this, &mut state);
            state.worth_waiting()
        };
        if *promised == 0 {
            return round.await;
        }
        tokio::pin!(round);
        if let Ok(ended) = timeout(patience, &mut round).await {
            return ended;
        }
        {
            let mut state = this.state();
            state.promised -= std::mem::take(promised);
            Self::start_needed(this, &mut state);
        }
        round.await
    }

    fn answer(&self, job: Job<S::Question, V>, answer: Result<V, Error>) {
        // Of good ones nobody counts how many are asked.
        if job.standing != Standing::Good {
            let mut state = self.state();
            state.answered(job.standing);
            if !state.is_empty() {
                // One that was held back may be asked now, by a session that waits.
                self.asked.notify_one();
            }
        }
        job.tell(answer);
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
