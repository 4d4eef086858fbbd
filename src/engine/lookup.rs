//! The one way from a question to a verdict, of recipients and of logins: recall, join a probe or lead one, weigh, keep.

use std::future::{Future, ready};
use std::hash::Hash;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::Source;
use super::entry::State;
use super::epoch::{Epoch, Generation};
use super::flight::{self, Flights, LATE_ANSWER_GRACE, Late, Role, Unanswered, WAITING};
use super::lookups::Lookups;
use crate::verdict::{Cause, Class, Question, Reach, Verdict};
use crate::waiting::Waiters;

/// Bound (questions): wait for a new answer about a recipient with an old one (cache.ttl.stale). Beyond: the old
/// answer is used. Why: a server that hangs must not delay known recipients.
pub(super) const STALE_PATIENCE: Duration = Duration::from_secs(2);

/// Bound (questions): time of a question that no client waits for. Beyond: it is given up, and the old answer stays.
/// Why: enough for a slow server; a stuck one is given up.
pub(super) const BACKGROUND: Duration = Duration::from_secs(30);

/// Bound (cache): how long a question in the background leaves it to another edge to ask. Beyond: it is asked here as
/// well. Why: most remotes answer in a tenth of that.
const OTHER_EDGE: Duration = Duration::from_secs(1);

/// What recipients and logins do differently on the way.
pub(super) trait Lookup: Send + Sync + Sized + 'static {
    /// What a question is about: equal ones have the same answer, and share a probe.
    type Key: Clone + Eq + Hash + Send + Sync + 'static;

    /// Counts what the memory was good for.
    fn lookups(&self) -> &Lookups;

    /// Counts its purges.
    fn epoch(&self) -> &Epoch;

    /// Probes under way. None is shared with a question after a purge.
    fn flights(&self) -> &Flights<(Generation, Self::Key), Verdict>;

    /// What is remembered.
    fn recall(&self, key: &Self::Key) -> Option<(State, Verdict)>;

    /// The verdict where the remote is not to be asked now.
    fn put_off(&self, _key: &Self::Key) -> Option<Verdict> {
        None
    }

    /// Asks the remote, for those who wait.
    fn ask(&self, question: &Question, waiters: Waiters) -> impl Future<Output = Verdict> + Send;

    /// What other edges have found, where that is of more use than what is remembered here: it is remembered from then on.
    fn learn(&self, _asked: &Asked<Self::Key>) -> impl Future<Output = Option<(State, Verdict)>> + Send {
        ready(None)
    }

    /// Whether it is this edge that is to ask again in the background, and no other, for so long.
    fn claim(&self, _key: &Self::Key, _time: Duration) -> impl Future<Output = bool> + Send {
        ready(true)
    }

    /// What the remote's verdict is worth.
    fn weigh(&self, _asked: &Asked<Self::Key>, verdict: Verdict) -> impl Future<Output = Verdict> + Send {
        ready(verdict)
    }

    /// The answer that is awaited, or what takes the place of it where the remote is down.
    fn fall_back(
        &self,
        _asked: &Asked<Self::Key>,
        answer: impl Future<Output = Decided> + Send,
    ) -> impl Future<Output = Decided> + Send {
        answer
    }

    /// Keeps a verdict, if it is one to be kept.
    fn keep(&self, asked: &Asked<Self::Key>, verdict: &Verdict);
}

/// A question that is asked.
#[derive(Clone)]
pub(super) struct Asked<K> {
    pub(super) key: K,
    pub(super) question: Question,
    pub(super) deadline: Instant,
    /// When, and between which purges of the memory.
    pub(super) at: Instant,
    /// When the remote answered; until it has, when it was asked. In between the question may have waited for a session.
    pub(super) answered: Instant,
    pub(super) generation: Generation,
}

/// The verdict on a question, and whose it is.
pub(super) type Decided = (Verdict, Source);

/// What is known of a question at once, or the wait for its remote. That has a place of its own: an answer from memory, and
/// each idle connection, does without room for it.
pub(super) enum Answer<'a> {
    Known(Decided),
    Waits(Pin<Box<dyn Future<Output = Decided> + Send + 'a>>),
}

impl<'a> Answer<'a> {
    fn waits(decided: impl Future<Output = Decided> + Send + 'a) -> Self {
        Self::Waits(Box::pin(decided))
    }
}

/// What is remembered of a question, or what the remote says by `deadline`; `late` hears what it says after that. One
/// without a key is like no other: it is neither remembered nor shared.
pub(super) fn decide<L: Lookup>(
    this: &Arc<L>,
    key: Option<L::Key>,
    question: Question,
    deadline: Instant,
    late: Option<Arc<Late<Verdict>>>,
) -> Answer<'_> {
    let Some(key) = key else {
        let asker = this.clone();
        let probe = |waiters| async move { asker.ask(&question, waiters).await };
        let answered = flight::alone(deadline, late, probe);
        return Answer::waits(async { answer(answered.await.map(|verdict| (verdict, Role::Leader))) });
    };
    let lookups = this.lookups();
    let remembered = this.recall(&key);
    if let Some((State::Fresh, verdict)) = remembered {
        lookups.fresh.count();
        return Answer::Known((verdict, Source::Cache));
    }
    let (at, generation) = (Instant::now(), this.epoch().current());
    let asked = Asked {
        key,
        question,
        deadline,
        at,
        answered: at,
        generation,
    };
    match remembered {
        Some((State::Fresh | State::Ageing, verdict)) => {
            lookups.ageing.count();
            refresh(this, asked);
            Answer::Known((verdict, Source::Cache))
        }
        Some((State::Stale, known)) => {
            lookups.stale.count();
            Answer::waits(async move {
                match by_others(this, &asked).await {
                    Some(decided) => decided,
                    None => join_or(this, &asked, (known, Source::Cache)).await,
                }
            })
        }
        None => {
            lookups.miss.count();
            Answer::waits(async move {
                if let Some(decided) = by_others(this, &asked).await {
                    return decided;
                }
                match this.put_off(&asked.key) {
                    Some(verdict) => (verdict, Source::UnknownRate),
                    None => this.fall_back(&asked, join(this, &asked, deadline, late)).await,
                }
            })
        }
    }
}

/// What other edges have found: it is refreshed, or asked for again, as if it had been remembered here.
async fn by_others<L: Lookup>(this: &Arc<L>, asked: &Asked<L::Key>) -> Option<Decided> {
    let (state, verdict) = this.learn(asked).await?;
    let known = (verdict, Source::Fleet);
    match state {
        State::Fresh => {}
        State::Ageing => refresh(this, asked.clone()),
        State::Stale => return Some(join_or(this, asked, known).await),
    }
    Some(known)
}

/// What the remote says soon, or an old answer in its place.
async fn join_or<L: Lookup>(this: &Arc<L>, asked: &Asked<L::Key>, known: Decided) -> Decided {
    let patience = asked.deadline.min(asked.at + STALE_PATIENCE);
    match join(this, asked, patience, None).await {
        // Nobody is let in whom the remote refuses by now: its mail would be bounced.
        (Verdict::Defer(cause), _) if cause.class != Class::NotBelieved => known,
        answered => answered,
    }
}

/// Asks again in the background.
fn refresh<L: Lookup>(this: &Arc<L>, mut asked: Asked<L::Key>) {
    asked.deadline = asked.at + BACKGROUND;
    let of = (asked.generation, asked.key.clone());
    let probe = |waiters: Waiters| {
        // Nobody else does.
        let waiter = waiters.join(asked.deadline);
        let probe = probe_unless_others_do(this.clone(), asked, waiters);
        async move {
            let _waiter = waiter;
            probe.await
        }
    };
    this.flights().start(of, probe);
}

/// The verdict of a probe that is shared by equal questions, waited for until `patience`. One that ran out of time had
/// less of it than those that joined late: they ask again.
async fn join<L: Lookup>(
    this: &Arc<L>,
    asked: &Asked<L::Key>,
    patience: Instant,
    late: Option<Arc<Late<Verdict>>>,
) -> Decided {
    let of = (asked.generation, asked.key.clone());
    let probe = |waiters| probe(this.clone(), asked.clone(), waiters);
    let flights = this.flights();
    match flights.join(of.clone(), patience, late.clone(), &probe).await {
        Ok((Verdict::Defer(cause), Role::Follower))
            if cause.class == Class::Timeout && Instant::now() + LATE_ANSWER_GRACE < patience =>
        {
            answer(flights.join(of, patience, late, probe).await)
        }
        answered => answer(answered),
    }
}

/// A probe that nobody waits for. Another edge may have asked lately, or be asking.
async fn probe_unless_others_do<L: Lookup>(this: Arc<L>, asked: Asked<L::Key>, waiters: Waiters) -> Verdict {
    if let Some((State::Fresh, verdict)) = this.learn(&asked).await {
        return verdict;
    }
    if !this.claim(&asked.key, BACKGROUND).await {
        sleep(OTHER_EDGE).await;
        if let Some((State::Fresh, verdict)) = this.learn(&asked).await {
            return verdict;
        }
    }
    probe(this, asked, waiters).await
}

/// A probe for those who wait for it, its verdict weighed and kept.
async fn probe<L: Lookup>(this: Arc<L>, mut asked: Asked<L::Key>, waiters: Waiters) -> Verdict {
    // Somebody's probe may have landed since the memory was looked into.
    if let Some((State::Fresh, verdict)) = this.recall(&asked.key) {
        return verdict;
    }
    asked.at = Instant::now();
    let verdict = this.ask(&asked.question, waiters).await;
    asked.answered = Instant::now();
    let verdict = this.weigh(&asked, verdict).await;
    let keep = || this.keep(&asked, &verdict);
    this.epoch().keep(asked.generation, keep);
    verdict
}

/// What to do about a remote that does not answer in time.
const SLOW: &str = "the server is slow or hangs: see its log; directory.NAME.timeout bounds its answer, the \
                    listener's deadline how long it is waited for";

fn answer(answered: Result<(Verdict, Role), Unanswered>) -> Decided {
    let cause = match answered {
        Ok((verdict, Role::Leader)) => return (verdict, Source::Probe),
        Ok((verdict, Role::Follower)) => return (verdict, Source::Shared),
        Err(Unanswered::Late { sent: true }) => {
            let cause = Cause::ours(Class::Timeout, "it was asked, and has not answered in time");
            let cause = Cause {
                advice: Some(SLOW.to_owned()),
                reach: Reach::Silent,
                ..cause
            };
            return (Verdict::Defer(cause), Source::Probe);
        }
        Err(Unanswered::Late { sent: false }) => Cause::ours(Class::Timeout, "no answer in time"),
        Err(Unanswered::Crowded) => {
            let why = format!("{WAITING} questions wait for the directory already");
            Cause::ours(Class::Overload, why)
        }
    };
    (Verdict::Defer(cause), Source::Probe)
}
