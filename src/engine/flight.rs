//! Single flight: equal questions that are asked at the same time share one
//! probe.
//!
//! The probe runs in a task of its own, so the first client may leave without
//! losing the answer for the others.

use std::collections::HashMap;
use std::future::Future;
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use crate::waiting::{Waiter, Waiters};

/// Bound (questions): questions that wait for one directory, equal ones counted each. Beyond: one more gets no answer
/// at once (overload). Why: ten times as many as a listener has clients, at about a kilobyte each; `pool.queue`
/// bounds different questions.
pub(super) const WAITING: usize = 100_000;

/// Bound (questions): time after the deadline for the reason why a question could not be sent. Beyond: "no answer in
/// time" is the reason. Why: it is more useful than "no answer in time".
pub(super) const LATE_ANSWER_GRACE: Duration = Duration::from_millis(100);

/// Probes under way, by what they ask.
pub(super) struct Flights<K, V> {
    table: Table<K, V>,
}

type Table<K, V> = Arc<Mutex<Waiting<K, V>>>;

/// The callers that wait for each probe. Some of them may have gone.
struct Waiting<K, V> {
    by_probe: HashMap<K, (Waiters, Vec<Landing<V>>)>,
    count: usize,
}

/// What is done with an answer that comes when its asker does not wait for it any more: it is done
/// once, if at all.
pub(super) struct Late<V>(Mutex<Option<Hears<V>>>);

type Hears<V> = Box<dyn FnOnce(V) + Send>;

/// One who waits, as the probe sees it.
struct Landing<V> {
    answer: oneshot::Sender<V>,
    late: Option<Arc<Late<V>>>,
}

/// One who waits, as he sees it himself.
struct Seat<V> {
    landed: oneshot::Receiver<V>,
    late: Option<Arc<Late<V>>>,
    waiter: Waiter,
}

impl<V> Late<V> {
    /// What is to be done.
    pub(super) fn new(hears: impl FnOnce(V) + Send + 'static) -> Self {
        Self(Mutex::new(Some(Box::new(hears))))
    }

    fn hear(&self, answer: V) {
        let hears = self.0.lock().take();
        if let Some(hears) = hears {
            hears(answer);
        }
    }
}

impl<V> std::fmt::Debug for Late<V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Late")
    }
}

impl<V> Landing<V> {
    fn send(self, answer: V) {
        if let (Err(answer), Some(late)) = (self.answer.send(answer), self.late) {
            late.hear(answer);
        }
    }
}

impl<V> Drop for Seat<V> {
    /// An answer that was given, and that nobody has taken, came too late as well.
    fn drop(&mut self) {
        self.landed.close();
        if let (Ok(answer), Some(late)) = (self.landed.try_recv(), &self.late) {
            late.hear(answer);
        }
    }
}

impl<V> Seat<V> {
    /// A seat in a probe, and what the probe has of it.
    fn take(waiters: &Waiters, until: Instant, late: Option<Arc<Late<V>>>) -> (Self, Landing<V>) {
        let (answer, landed) = oneshot::channel();
        let seat = Self {
            landed,
            late: late.clone(),
            waiter: waiters.join(until),
        };
        (seat, Landing { answer, late })
    }

    /// Waits for the answer.
    async fn wait(mut self, until: Instant) -> Result<V, Unanswered> {
        let mut landed = timeout_at(until, &mut self.landed).await;
        // Why it was not sent is more telling than that its time has passed.
        if landed.is_err() && !self.waiter.is_sent() {
            landed = timeout_at(until + LATE_ANSWER_GRACE, &mut self.landed).await;
        }
        match landed {
            Ok(Ok(answer)) => Ok(answer),
            // The sender is gone without an answer only if the probe panicked, or was torn down with the runtime.
            Ok(Err(_)) | Err(_) => Err(Unanswered::Late {
                sent: self.waiter.is_sent(),
            }),
        }
    }
}

/// Runs a probe that is shared with nobody, and waits for it; it goes on where its asker does not.
///
/// # Errors
/// As [`Flights::join`].
pub(super) async fn alone<V, F>(
    deadline: Instant,
    late: Option<Arc<Late<V>>>,
    probe: impl FnOnce(Waiters) -> F,
) -> Result<V, Unanswered>
where
    V: Send + 'static,
    F: Future<Output = V> + Send + 'static,
{
    let waiters = Waiters::default();
    let (seat, landing) = Seat::take(&waiters, deadline, late);
    let probe = probe(waiters);
    tokio::spawn(async move { landing.send(probe.await) });
    seat.wait(deadline).await
}

/// Why a question has no answer of a probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unanswered {
    /// It has waited until its deadline.
    Late {
        /// The remote was asked, and has not answered yet.
        sent: bool,
    },
    /// Too many wait already.
    Crowded,
}

/// How an answer came about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// This question started the probe.
    Leader,
    /// It waited for a probe that was under way.
    Follower,
}

impl<K, V> Default for Flights<K, V> {
    fn default() -> Self {
        let waiting = Waiting {
            by_probe: HashMap::new(),
            count: 0,
        };
        Self {
            table: Arc::new(Mutex::new(waiting)),
        }
    }
}

impl<K, V> Flights<K, V>
where
    K: Eq + Hash + Clone + Send + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// The answer of the probe that is under way for `key`, or of a new one. A new one learns how
    /// many wait for it. It goes on where nobody does; `late` hears what it brings then.
    ///
    /// # Errors
    /// Why there is none.
    pub(super) async fn join<F>(
        &self,
        key: K,
        deadline: Instant,
        late: Option<Arc<Late<V>>>,
        probe: impl FnOnce(Waiters) -> F,
    ) -> Result<(V, Role), Unanswered>
    where
        F: Future<Output = V> + Send + 'static,
    {
        let (seat, role) = self.lead_or_follow(key, deadline, late, probe)?;
        Ok((seat.wait(deadline).await?, role))
    }

    /// Starts a probe whose answer nobody waits for, unless one is under way.
    pub(super) fn start<F>(&self, key: K, probe: impl FnOnce(Waiters) -> F)
    where
        F: Future<Output = V> + Send + 'static,
    {
        let mut table = lock(&self.table);
        if !table.by_probe.contains_key(&key) {
            let waiters = Waiters::default();
            table.by_probe.insert(key.clone(), (waiters.clone(), Vec::new()));
            drop(table);
            self.run(key, probe(waiters));
        }
    }

    /// Whether what the probe for `key` asks was sent, or there is none any more.
    pub(super) fn is_sent(&self, key: &K) -> bool {
        let table = lock(&self.table);
        let waiters = table.by_probe.get(key).map(|(waiters, _)| waiters);
        waiters.is_none_or(Waiters::is_sent)
    }

    fn lead_or_follow<F>(
        &self,
        key: K,
        deadline: Instant,
        late: Option<Arc<Late<V>>>,
        probe: impl FnOnce(Waiters) -> F,
    ) -> Result<(Seat<V>, Role), Unanswered>
    where
        F: Future<Output = V> + Send + 'static,
    {
        let mut table = lock(&self.table);
        if table.count >= WAITING {
            table.drop_cancelled();
        }
        if table.count >= WAITING {
            return Err(Unanswered::Crowded);
        }
        table.count += 1;
        if let Some((waiters, waiting)) = table.by_probe.get_mut(&key) {
            let (seat, landing) = Seat::take(waiters, deadline, late);
            waiting.push(landing);
            return Ok((seat, Role::Follower));
        }
        let waiters = Waiters::default();
        let (seat, landing) = Seat::take(&waiters, deadline, late);
        table
            .by_probe
            .insert(key.clone(), (waiters.clone(), vec![landing]));
        drop(table);
        self.run(key, probe(waiters));
        Ok((seat, Role::Leader))
    }

    fn run<F>(&self, key: K, probe: F)
    where
        F: Future<Output = V> + Send + 'static,
    {
        let mut flight = InFlight {
            table: self.table.clone(),
            key: Some(key),
        };
        tokio::spawn(async move {
            let answer = probe.await;
            // A later question asks anew: the answer is cached by now, if it is to be.
            let mut waiting = flight.complete();
            let last = waiting.pop();
            for landing in waiting {
                landing.send(answer.clone());
            }
            if let Some(landing) = last {
                landing.send(answer);
            }
        });
    }
}

impl<K, V> Waiting<K, V> {
    /// Callers that gave up hold no place, except those for which the answer still matters.
    fn drop_cancelled(&mut self) {
        for (_, waiting) in self.by_probe.values_mut() {
            waiting.retain(|landing| landing.late.is_some() || !landing.answer.is_closed());
        }
        self.count = self.by_probe.values().map(|(_, waiting)| waiting.len()).sum();
    }
}

/// Takes a probe off the table, once, even where it panics.
struct InFlight<K: Eq + Hash, V> {
    table: Table<K, V>,
    key: Option<K>,
}

impl<K: Eq + Hash, V> InFlight<K, V> {
    /// Removes it, and returns the callers that wait for it. Once only: there may be another
    /// under its key by then.
    fn complete(&mut self) -> Vec<Landing<V>> {
        let Some(key) = self.key.take() else {
            return Vec::new();
        };
        let mut table = lock(&self.table);
        let landed = table.by_probe.remove(&key).map(|(_, waiting)| waiting);
        let landed = landed.unwrap_or_default();
        table.count -= landed.len();
        landed
    }
}

impl<K: Eq + Hash, V> Drop for InFlight<K, V> {
    fn drop(&mut self) {
        self.complete();
    }
}

fn lock<T>(table: &Mutex<T>) -> MutexGuard<'_, T> {
    table.lock()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use tokio::time::sleep;

    use super::*;

    fn by(seconds: u64) -> Instant {
        Instant::now() + Duration::from_secs(seconds)
    }

    /// A probe that takes two seconds and says which one it was.
    fn probe(
        count: &Arc<AtomicU32>,
    ) -> impl FnOnce(Waiters) -> std::pin::Pin<Box<dyn Future<Output = u32> + Send>> {
        let count = count.clone();
        move |_| {
            Box::pin(async move {
                let number = count.fetch_add(1, Ordering::Relaxed) + 1;
                sleep(Duration::from_secs(2)).await;
                number
            })
        }
    }

    #[tokio::test(start_paused = true)]
    async fn equal_questions_share_and_others_do_not() {
        let (flights, count) = (Flights::<&str, u32>::default(), Arc::new(AtomicU32::new(0)));
        let asked = (0..1000).map(|_| flights.join("same", by(5), None, probe(&count)));
        let answers = futures_util::future::join_all(asked).await;
        assert!(answers.iter().all(|answer| matches!(answer, Ok((1, _)))));
        assert_eq!(
            answers
                .iter()
                .filter(|answer| matches!(answer, Ok((_, Role::Leader))))
                .count(),
            1
        );
        assert_eq!(
            flights.join("same", by(5), None, probe(&count)).await,
            Ok((2, Role::Leader))
        );
        assert_eq!(
            flights.join("other", by(5), None, probe(&count)).await,
            Ok((3, Role::Leader))
        );
        assert!(lock(&flights.table).by_probe.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn who_asked_first_may_go_away() {
        let (flights, count) = (Flights::<&str, u32>::default(), Arc::new(AtomicU32::new(0)));
        assert_eq!(
            flights.join("same", by(1), None, probe(&count)).await,
            Err(Unanswered::Late { sent: false })
        );
        assert_eq!(
            flights.join("same", by(5), None, probe(&count)).await,
            Ok((1, Role::Follower))
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_probe_that_panics_leaves_no_trace() {
        let flights = Flights::<&str, u32>::default();
        assert_eq!(
            flights
                .join("same", by(1), None, |_| async { panic!("as asked") })
                .await,
            Err(Unanswered::Late { sent: false })
        );
        assert_eq!(
            flights.join("same", by(1), None, |_| async { 7 }).await,
            Ok((7, Role::Leader))
        );
    }

    // Fills flight::WAITING.
    #[tokio::test(start_paused = true)]
    async fn who_finds_too_many_waiting_is_told_so_and_who_left_makes_room() {
        let (flights, count) = (Flights::<u32, u32>::default(), Arc::new(AtomicU32::new(0)));
        let mut waiting: Vec<_> = (0..WAITING)
            .map(|number| {
                let key = u32::try_from(number % 7).unwrap();
                flights.lead_or_follow(key, by(5), None, probe(&count)).unwrap().0
            })
            .collect();
        assert_eq!(
            flights.join(9, by(5), None, probe(&count)).await,
            Err(Unanswered::Crowded)
        );
        waiting.pop();
        assert_eq!(
            flights.join(9, by(5), None, probe(&count)).await,
            Ok((8, Role::Leader))
        );
        for seat in waiting {
            assert!(
                (1..8).contains(&seat.wait(by(5)).await.unwrap()),
                "each has its answer"
            );
        }
        assert_eq!(lock(&flights.table).count, 0);
    }

    /// An answer that its asker does not hear is heard by `late`, once.
    #[tokio::test(start_paused = true)]
    async fn an_answer_that_comes_too_late_is_heard_once() {
        let (flights, count) = (Flights::<&str, u32>::default(), Arc::new(AtomicU32::new(0)));
        let heard = Arc::new(Mutex::new(Vec::new()));
        let late = |who: &'static str| {
            let heard = heard.clone();
            Some(Arc::new(Late::new(move |answer| {
                heard.lock().push((who, answer));
            })))
        };
        let in_time = flights.join("same", by(5), late("in time"), probe(&count));
        let too_late = flights.join("same", by(1), late("too late"), probe(&count));
        let leaves = tokio::time::timeout(
            Duration::from_secs(1),
            flights.join("same", by(5), late("left"), probe(&count)),
        );
        let alone = alone(by(1), late("alone"), probe(&count));
        let (in_time, too_late, leaves, alone) = tokio::join!(in_time, too_late, leaves, alone);
        assert_eq!(in_time, Ok((1, Role::Leader)));
        assert_eq!(
            (too_late, alone),
            (
                Err(Unanswered::Late { sent: false }),
                Err(Unanswered::Late { sent: false })
            )
        );
        assert!(leaves.is_err());
        sleep(Duration::from_secs(5)).await;
        let mut heard = std::mem::take(&mut *heard.lock());
        heard.sort_unstable();
        assert_eq!(heard, [("alone", 2), ("left", 1), ("too late", 1)]);

        // It was given, and not taken.
        let (seat, landing) = Seat::take(&Waiters::default(), by(5), late_of(&count));
        landing.send(7);
        drop(seat);
        assert_eq!(count.load(Ordering::Relaxed), 7);
    }

    fn late_of(count: &Arc<AtomicU32>) -> Option<Arc<Late<u32>>> {
        let count = count.clone();
        Some(Arc::new(Late::new(move |answer| {
            count.store(answer, Ordering::Relaxed);
        })))
    }

    #[tokio::test(start_paused = true)]
    async fn a_probe_knows_whether_anybody_waits() {
        let flights = Flights::<&str, ()>::default();
        let (tell, told) = oneshot::channel();
        let probe = |waiters: Waiters| async move {
            waiters.none().await;
            let _ = tell.send(Instant::now());
        };
        let began = Instant::now();
        let first = flights.join("same", by(2), None, probe);
        let second = flights.join("same", by(3), None, |_| async {});
        let both = async { tokio::join!(first, second) };
        // Both leave.
        assert!(tokio::time::timeout(Duration::from_secs(1), both).await.is_err());
        assert_eq!(told.await.unwrap() - began, Duration::from_secs(1));
    }
}
