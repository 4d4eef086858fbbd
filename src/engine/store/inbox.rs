//! Orders on their way to a file, and the thread that works on them: there is one while there is something to do, and
//! for a little longer. Most files are asked to keep nothing for hours.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, MutexGuard};

use super::Order;

/// A thread that has nothing to do ends after this long: a busy file is not worked on by another thread each second.
pub(crate) const LINGER: Duration = Duration::from_secs(2);

pub(super) struct Inbox {
    waiting: Mutex<Waiting>,
    /// An order came.
    came: Condvar,
    /// Findings that wait at most.
    most: usize,
    /// Held by the thread that does it; none once the file is closed.
    work: Mutex<Option<Box<Work>>>,
}

#[derive(Default)]
struct Waiting {
    orders: VecDeque<Order>,
    /// There is a thread.
    working: bool,
    /// The file is closed: its successor writes to it now.
    closed: bool,
}

/// Does what the orders say until there is no more to do.
pub(super) type Work = dyn FnMut(&Inbox) -> Ended + Send;

/// Why a thread has no more to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    /// For now.
    Idle,
    /// The file is closed.
    Closed,
}

/// What a thread is to do next.
pub(super) enum Next {
    Order(Order),
    /// The time has come.
    Due,
    /// Nothing came for a while: the thread ends.
    Idle,
}

impl Inbox {
    pub(super) fn new(most: usize, work: Option<Box<Work>>) -> Self {
        Self {
            waiting: Mutex::default(),
            came: Condvar::new(),
            most,
            work: Mutex::new(work),
        }
    }

    /// Has a thread work, also where no order waits.
    ///
    /// # Errors
    /// The system gives none.
    pub(super) fn start(self: &Arc<Self>) -> io::Result<()> {
        self.waiting().working = true;
        let started = self.spawn();
        if started.is_err() {
            self.waiting().working = false;
        }
        started
    }

    /// Takes an order, or gives it back where too many wait. Never waits.
    pub(super) fn offer(self: &Arc<Self>, order: Order) -> Result<(), Order> {
        self.take(order, self.most)
    }

    /// Takes an order, however many wait.
    pub(super) fn insist(self: &Arc<Self>, order: Order) {
        // None is given back.
        let _ = self.take(order, usize::MAX);
    }

    fn take(self: &Arc<Self>, order: Order, most: usize) -> Result<(), Order> {
        let mut waiting = self.waiting();
        if waiting.closed {
            return Ok(());
        }
        if waiting.orders.len() >= most {
            return Err(order);
        }
        waiting.orders.push_back(order);
        if waiting.working {
            self.came.notify_one();
        } else {
            waiting.working = true;
            drop(waiting);
            if self.spawn().is_err() {
                // The next order tries again.
                self.waiting().working = false;
            }
        }
        Ok(())
    }

    fn spawn(self: &Arc<Self>) -> io::Result<()> {
        let inbox = self.clone();
        let thread = move || {
            // Its last holder is about to let it go.
            let mut place = inbox.work.lock();
            if let Some(work) = place.as_mut()
                && work(&inbox) == Ended::Closed
            {
                *place = None;
                let mut waiting = inbox.waiting();
                waiting.closed = true;
                // Callers that wait for one of them need not wait any longer.
                waiting.orders.clear();
            }
        };
        thread::Builder::new()
            .name("vouch-store".into())
            .spawn(thread)
            .map(drop)
    }

    /// What is to be done next, waited for until `due` where there is such a time.
    pub(super) fn next(&self, due: Option<Instant>) -> Next {
        let end = due.unwrap_or_else(|| Instant::now() + LINGER);
        let mut waiting = self.waiting();
        loop {
            if let Some(order) = waiting.orders.pop_front() {
                return Next::Order(order);
            }
            let rest = end.saturating_duration_since(Instant::now());
            if rest.is_zero() {
                if due.is_some() {
                    return Next::Due;
                }
                waiting.working = false;
                waiting.orders.shrink_to(0);
                return Next::Idle;
            }
            self.came.wait_for(&mut waiting, rest);
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Inbox {
        /// One on whose thread the disk hangs.
        pub(in crate::engine::store) fn stuck(most: usize) -> Self {
            let inbox = Self::new(most, None);
            inbox.waiting().working = true;
            inbox
        }

        /// How many orders wait.
        pub(in crate::engine::store) fn length(&self) -> usize {
            self.waiting().orders.len()
        }

        /// As once the file is closed.
        pub(in crate::engine::store) fn shut(&self) {
            let mut waiting = self.waiting();
            waiting.closed = true;
            waiting.orders.clear();
        }

        /// Whether a thread is at work.
        pub(in crate::engine::store) fn works(&self) -> bool {
            self.waiting().working
        }
    }
}
