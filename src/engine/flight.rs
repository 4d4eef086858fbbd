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

/// Probes under way, by what they ask.
#[derive(Debug)]
pub struct Flights<K, V> {
    table: Table<K, V>,
}

/// Who waits for each probe. Some of them may have gone.
type Table<K, V> = Arc<Mutex<HashMap<K, Vec<oneshot::Sender<V>>>>>;

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
        Self {
            table: Arc::default(),
        }
    }
}

impl<K, V> Flights<K, V>
where
    K: Eq + Hash + Clone + Send + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// The answer of the probe that is under way for `key`, or of a new one.
    /// `None` when there is none by `deadline`; the probe goes on all the same.
    pub async fn join<F>(&self, key: K, deadline: Instant, probe: impl FnOnce() -> F) -> Option<(V, Role)>
    where
        F: Future<Output = V> + Send + 'static,
    {
        let (landing, landed) = oneshot::channel();
        let role = self.board(key, Some(landing), probe);
        // The sender is gone without an answer only if the probe panicked, or was torn down with the runtime.
        let answer = timeout_at(deadline, landed).await.ok()?.ok()?;
        Some((answer, role))
    }

    /// Starts a probe whose answer nobody waits for, unless one is under way.
    pub fn start<F>(&self, key: K, probe: impl FnOnce() -> F)
    where
        F: Future<Output = V> + Send + 'static,
    {
        self.board(key, None, probe);
    }

    fn board<F>(&self, key: K, landing: Option<oneshot::Sender<V>>, probe: impl FnOnce() -> F) -> Role
    where
        F: Future<Output = V> + Send + 'static,
    {
        let mut table = lock(&self.table);
        if let Some(waiting) = table.get_mut(&key) {
            waiting.extend(landing);
            return Role::Shared;
        }
        table.insert(key.clone(), Vec::from_iter(landing));
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
        Role::First
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
        lock(&self.table).remove(&key).unwrap_or_default()
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
        assert!(answers.iter().all(|answer| matches!(answer, Some((1, _)))));
        assert_eq!(
            answers
                .iter()
                .filter(|answer| matches!(answer, Some((_, Role::First))))
                .count(),
            1
        );
        assert_eq!(
            flights.join("same", by(5), probe(&count)).await,
            Some((2, Role::First))
        );
        assert_eq!(
            flights.join("other", by(5), probe(&count)).await,
            Some((3, Role::First))
        );
        assert!(lock(&flights.table).is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn who_asked_first_may_go_away() {
        let (flights, count) = (Flights::<&str, u32>::default(), Arc::new(AtomicU32::new(0)));
        assert_eq!(flights.join("same", by(1), probe(&count)).await, None);
        assert_eq!(
            flights.join("same", by(5), probe(&count)).await,
            Some((1, Role::Shared))
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_probe_that_panics_leaves_no_trace() {
        let flights = Flights::<&str, u32>::default();
        assert_eq!(
            flights.join("same", by(1), || async { panic!("as asked") }).await,
            None
        );
        assert_eq!(
            flights.join("same", by(1), || async { 7 }).await,
            Some((7, Role::First))
        );
    }
}
