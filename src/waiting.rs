//! Those who wait for one answer: whether there are any, and until when.
//!
//! Several may wait for the answer of one probe, and each may leave before it comes. What is
//! still to be done for nobody is not done.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

/// All who wait for one answer. Its clones are the same.
#[derive(Debug, Clone, Default)]
pub struct Waiters(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    now: Mutex<Now>,
    changed: Notify,
    /// What they wait for was sent.
    sent: AtomicBool,
}

#[derive(Debug, Default)]
struct Now {
    number: usize,
    /// The latest time that any of them, or one who has left, waits until.
    until: Option<Instant>,
}

/// One of them. It leaves when this is dropped.
#[derive(Debug)]
#[must_use = "who is dropped waits no more"]
pub struct Waiter(Waiters);

impl Waiters {
    /// One more waits, until that time at the latest.
    pub fn join(&self, until: Instant) -> Waiter {
        let mut now = self.now();
        now.number += 1;
        now.until = now.until.max(Some(until));
        drop(now);
        self.0.changed.notify_waiters();
        Waiter(self.clone())
    }

    /// The time until which a caller waits; `None` where none does.
    pub fn until(&self) -> Option<Instant> {
        let now = self.now();
        now.until.filter(|_| now.number > 0)
    }

    /// Whether a caller waits now.
    pub fn any(&self) -> bool {
        self.until().is_some_and(|until| Instant::now() < until)
    }

    /// What they wait for was sent: it is out of our hands.
    pub fn sent(&self) {
        self.0.sent.store(true, Ordering::Relaxed);
    }

    /// Whether what they wait for was sent.
    pub fn is_sent(&self) -> bool {
        self.0.sent.load(Ordering::Relaxed)
    }

    /// Waits until nobody does any more: all have left, or their time is over.
    pub async fn none(&self) {
        loop {
            let changed = self.0.changed.notified();
            tokio::pin!(changed);
            // From here on no change is missed.
            changed.as_mut().enable();
            let Some(until) = self.until() else { return };
            tokio::select! {
                biased;
                () = sleep_until(until) => {
                    if !self.any() {
                        return;
                    }
                }
                () = changed => {}
            }
        }
    }

    fn now(&self) -> MutexGuard<'_, Now> {
        self.0.now.lock()
    }
}

impl Waiter {
    /// Whether what it waits for was sent.
    pub fn is_sent(&self) -> bool {
        self.0.is_sent()
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        let mut now = self.0.now();
        now.number -= 1;
        let last = now.number == 0;
        drop(now);
        if last {
            self.0.0.changed.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::FutureExt;
    use tokio::time::advance;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn somebody_waits_until_the_last_has_left_or_has_no_time() {
        let waiters = Waiters::default();
        assert!(!waiters.any());
        waiters.none().await;
        let began = Instant::now();
        let (one, other) = (waiters.join(began + SECOND), waiters.join(began + 2 * SECOND));
        let mut none = Box::pin(waiters.none());
        assert!(none.as_mut().now_or_never().is_none());
        drop(other);
        assert!(none.as_mut().now_or_never().is_none() && waiters.any());
        drop(one);
        assert!(none.as_mut().now_or_never().is_some() && waiters.until().is_none());

        let _long = waiters.join(began + 5 * SECOND);
        let none = tokio::spawn({
            let waiters = waiters.clone();
            async move { waiters.none().await }
        });
        advance(4 * SECOND).await;
        // A caller that joins late has its own time.
        let _longer = waiters.join(began + 9 * SECOND);
        none.await.unwrap();
        assert_eq!(began.elapsed(), 9 * SECOND);
        assert!(!waiters.any());
    }
}
