//! Single flight: equal questions that are asked at the same time share one
//! probe.
//!
//! The probe runs in a task of its own, so whoever asked first may go away
//! without taking the answer with them.

use std::collections::HashMap;
use std::future::Future;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

/// Questions that wait for the probes of one directory at once, equal ones counted each: ten times as many as a
/// door has clients, at about a kilobyte each. Of a probe itself, and so of different questions, the pool bounds
/// the number (`pool.queue`).
pub(crate) const WAITING: usize = 100_000;

/// Probes under way, by what they ask.
#[derive(Debug)]
pub struct Flights<K, V> {
    table: Table<K, V>,
}

type Table<K, V> = Arc<Mutex<Waiting<K, V>>>;

/// Who waits for each probe. Some of them may have gone.
#[derive(Debug)]
struct Waiting<K, V> {
    by_probe: HashMap<K, Vec<oneshot::Sender<V>>>,
    count: usize,
}

/// Why a question has no answer of a probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unanswered {
    /// It has waited until its deadline.
    Late,
    /// Too many wait already.
    Crowded,
}

/// How an answer came about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// This question started the probe.
    First,
    /// It waited for a probe that was under way.
    Shared,
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
    /// The answer of the probe that is under way for `key`, or of a new one.
    ///
    /// # Errors
    /// Why there is none. A probe that is under way goes on all the same.
    pub async fn join<F>(
        &self,
        key: K,
        deadline: Instant,
        probe: impl FnOnce() -> F,
    ) -> Result<(V, Role), Unanswered>
    where
        F: Future<Output = V> + Send + 'static,
    {
        let (landing, landed) = oneshot::channel();
        let role = self.board(key, Some(landing), probe)?;
        // The sender is gone without an answer only if the probe panicked, or was torn down with the runtime.
        match timeout_at(deadline, landed).await {
            Ok(Ok(answer)) => Ok((answer, role)),
            Ok(Err(_)) | Err(_) => Err(Unanswered::Late),
        }
    }

    /// Starts a probe whose answer nobody waits for, unless one is under way.
    pub fn start<F>(&self, key: K, probe: impl FnOnce() -> F)
    where
        F: Future<Output = V> + Send + 'static,
    {
        // Only who waits can be one too many.
        let _ = self.board(key, None, probe);
    }

    fn board<F>(
        &self,
        key: K,
        landing: Option<oneshot::Sender<V>>,
        probe: impl FnOnce() -> F,
    ) -> Result<Role, Unanswered>
    where
        F: Future<Output = V> + Send + 'static,
    {
        let mut table = lock(&self.table);
        if landing.is_some() && table.count >= WAITING {
            table.forget_the_gone();
        }
        if landing.is_some() && table.count >= WAITING {
            return Err(Unanswered::Crowded);
        }
        table.count += usize::from(landing.is_some());
        if let Some(waiting) = table.by_probe.get_mut(&key) {
            waiting.extend(landing);
            return Ok(Role::Shared);
        }
        table.by_probe.insert(key.clone(), Vec::from_iter(landing));
        drop(table);
        let probe = probe();
        let mut flight = Flight {
            table: self.table.clone(),
            key: Some(key),
        };
        tokio::spawn(async move {
            let answer = probe.await;
            // Whoever comes after this asks anew: the answer is remembered by now, if it is to be.
            let mut waiting = flight.land();
            let last = waiting.pop();
            for landing in waiting {
                let _ = landing.send(answer.clone());
            }
            // Whoever is gone needs none.
            last.map(|landing| landing.send(answer));
        });
        Ok(Role::First)
    }
}

impl<K, V> Waiting<K, V> {
    /// Those who gave up hold no place.
    fn forget_the_gone(&mut self) {
        for waiting in self.by_probe.values_mut() {
            waiting.retain(|landing| !landing.is_closed());
        }
        self.count = self.by_probe.values().map(Vec::len).sum();
    }
}

/// Takes a probe off the table, once, even where it panics.
struct Flight<K: Eq + Hash, V> {
    table: Table<K, V>,
    key: Option<K>,
}

impl<K: Eq + Hash, V> Flight<K, V> {
    /// Takes it off, and gives who waits for it. Once only: there may be another
    /// under its key by then.
    fn land(&mut self) -> Vec<oneshot::Sender<V>> {
        let Some(key) = self.key.take() else {
            return Vec::new();
        };
        let mut table = lock(&self.table);
        let landed = table.by_probe.remove(&key).unwrap_or_default();
        table.count -= landed.len();
        landed
    }
}

impl<K: Eq + Hash, V> Drop for Flight<K, V> {
    fn drop(&mut self) {
        self.land();
    }
}

fn lock<T>(table: &Mutex<T>) -> MutexGuard<'_, T> {
    table.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::time::Duration;

    use tokio::time::sleep;

    use super::*;

    fn by(seconds: u64) -> Instant {
        Instant::now() + Duration::from_secs(seconds)
    }

    /// A probe that takes two seconds and says which one it was.
    fn probe(count: &Arc<AtomicU32>) -> impl FnOnce() -> std::pin::Pin<Box<dyn Future<Output = u32> + Send>> {
        let count = count.clone();
        move || {
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
        let asked = (0..1000).map(|_| flights.join("same", by(5), probe(&count)));
        let answers = futures_util::future::join_all(asked).await;
        assert!(answers.iter().all(|answer| matches!(answer, Ok((1, _)))));
        assert_eq!(
            answers
                .iter()
                .filter(|answer| matches!(answer, Ok((_, Role::First))))
                .count(),
            1
        );
        assert_eq!(
            flights.join("same", by(5), probe(&count)).await,
            Ok((2, Role::First))
        );
        assert_eq!(
            flights.join("other", by(5), probe(&count)).await,
            Ok((3, Role::First))
        );
        assert!(lock(&flights.table).by_probe.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn who_asked_first_may_go_away() {
        let (flights, count) = (Flights::<&str, u32>::default(), Arc::new(AtomicU32::new(0)));
        assert_eq!(
            flights.join("same", by(1), probe(&count)).await,
            Err(Unanswered::Late)
        );
        assert_eq!(
            flights.join("same", by(5), probe(&count)).await,
            Ok((1, Role::Shared))
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_probe_that_panics_leaves_no_trace() {
        let flights = Flights::<&str, u32>::default();
        assert_eq!(
            flights.join("same", by(1), || async { panic!("as asked") }).await,
            Err(Unanswered::Late)
        );
        assert_eq!(
            flights.join("same", by(1), || async { 7 }).await,
            Ok((7, Role::First))
        );
    }

    #[tokio::test(start_paused = true)]
    async fn who_finds_too_many_waiting_is_told_so_and_who_left_makes_room() {
        let (flights, count) = (Flights::<u32, u32>::default(), Arc::new(AtomicU32::new(0)));
        let mut waiting: Vec<_> = (0..WAITING)
            .map(|number| {
                let (landing, landed) = oneshot::channel();
                let key = u32::try_from(number % 7).unwrap();
                flights.board(key, Some(landing), probe(&count)).unwrap();
                landed
            })
            .collect();
        assert_eq!(
            flights.join(9, by(5), probe(&count)).await,
            Err(Unanswered::Crowded)
        );
        waiting.pop();
        assert_eq!(flights.join(9, by(5), probe(&count)).await, Ok((8, Role::First)));
        for landed in waiting {
            assert!((1..8).contains(&landed.await.unwrap()), "each has its answer");
        }
        assert_eq!(lock(&flights.table).count, 0);
    }
}
