//! One store: its connection, and what writes to it.

use std::sync::Arc;

use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use super::guesses::{self, Uncounted};
use super::link::{Link, Way};
use super::writer::{self, Unwritten};

/// A store.
pub(super) struct Store {
    pub(super) link: Arc<Link>,
    queue: mpsc::Sender<Unwritten>,
    guesses: mpsc::Sender<Uncounted>,
    _tasks: [AbortOnDropHandle<()>; 3],
}

impl Store {
    /// Begins to connect. Needs a runtime.
    pub(super) fn open(way: Way, writing: writer::Writing) -> Self {
        let link = Arc::new(Link::new(way));
        let (queue, unwritten) = mpsc::channel(writer::FINDINGS_QUEUE);
        let (guesses, uncounted) = mpsc::channel(guesses::GUESSES_QUEUE);
        let clock = writing.clock.clone();
        let tasks = [
            tokio::spawn(link.clone().stay_connected()),
            tokio::spawn(writing.write(link.clone(), unwritten)),
            tokio::spawn(guesses::write(link.clone(), clock, uncounted)),
        ];
        Self {
            link,
            queue,
            guesses,
            _tasks: tasks.map(AbortOnDropHandle::new),
        }
    }

    /// Has it written. Waits for nothing: where the queue is full, it is not.
    pub(super) fn write(&self, what: Unwritten) {
        if self.queue.try_send(what).is_err() {
            self.link.counts.unwritten.count();
        }
    }

    /// Has it count a failure. Waits for nothing: where the queue is full, it does not.
    pub(super) fn count(&self, what: Uncounted) {
        let _ = self.guesses.try_send(what);
    }
}

#[cfg(test)]
mod tests;
