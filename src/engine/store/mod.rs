//! Recipients on disk: what was found survives a restart.
//!
//! A thread of its own (`writer`) reads and writes the file (`file`); the memory
//! hands findings over and never waits. What the file loses, by a crash or because the
//! disk is slow, is asked again: it is a memory, and no more. A file that cannot be
//! read or written now is tried again, with pauses.

pub(crate) mod file;
pub(crate) mod writer;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, SyncSender, TrySendError};
use std::thread;
use std::time::{Duration, Instant};

use super::recipients::{Said, Ttl};
use writer::Writer;

/// Findings that wait to be written. A commit holds the thread up for a tenth of
/// a second on a slow disk; no directory answers 100,000 probes in a second.
pub(crate) const WAITING: usize = 10_000;

/// How long the end of the daemon may wait for the last commit.
pub(crate) const CLOSE: Duration = Duration::from_secs(5);

/// What is particular to a directory's file.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The directory's name, for the log.
    pub directory: Arc<str>,
    /// The file.
    pub path: PathBuf,
    /// Who said what is in the file, and how it was read: what another server
    /// said is not remembered.
    pub source: String,
    /// Recipients kept at most.
    pub entries: usize,
    /// How long they are kept.
    pub ttl: Ttl,
}

/// The way to the thread that owns a file.
pub(super) struct Store {
    orders: SyncSender<Order>,
    dropped: Arc<AtomicU64>,
}

/// What was found of a recipient, and when.
#[derive(Debug, Clone)]
struct Finding {
    said: Said,
    at: Instant,
}

type Key = Box<[u8]>;

enum Order {
    /// A finding, or that there is none any more.
    Keep(Key, Option<Finding>),
    /// Write what waits, close the file, and say so.
    Close(SyncSender<()>),
}

impl Store {
    /// Begins to read the file, without waiting for it: `remember` is told each
    /// recipient in it, what was said and how long ago.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub(super) fn open(
        settings: Settings,
        remember: impl FnMut(Key, Said, Duration) + Send + 'static,
    ) -> std::io::Result<Self> {
        let (store, waiting) = Self::new(WAITING);
        let dropped = store.dropped.clone();
        let run = move || Writer::new(settings, remember, dropped).run(&waiting);
        thread::Builder::new().name("vouch-store".into()).spawn(run)?;
        Ok(store)
    }

    fn new(waiting: usize) -> (Self, Receiver<Order>) {
        let (orders, waiting) = mpsc::sync_channel(waiting);
        let dropped = Arc::default();
        (Self { orders, dropped }, waiting)
    }

    /// Has a finding written, or drops it if too many wait. Never waits.
    pub(super) fn keep(&self, key: Key, said: Said) {
        let at = Instant::now();
        self.order(key, Some(Finding { said, at }));
    }

    /// Has a finding deleted, as [`Store::keep`] has it written.
    pub(super) fn forget(&self, key: Key) {
        self.order(key, None);
    }

    fn order(&self, key: Key, finding: Option<Finding>) {
        let order = Order::Keep(key, finding);
        // Its thread has ended where the file was closed: its successor writes to it now.
        if let Err(TrySendError::Full(_)) = self.orders.try_send(order) {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Has all that waits written and the file closed; waits for it, within a
    /// bound. Blocks.
    pub(super) fn close(&self) {
        let (done, closed) = mpsc::sync_channel(1);
        if self.orders.send(Order::Close(done)).is_ok() {
            // An error is the end of the thread; it has said why.
            let _ = closed.recv_timeout(CLOSE);
        }
    }
}

#[cfg(test)]
mod tests;
