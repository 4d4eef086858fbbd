//! Recipients on disk: what was found survives a restart.
//!
//! A thread (`inbox`) reads and writes the file (`writer`, `file`) while there is something to do; the memory
//! hands findings over and never waits. What the file loses, by a crash or because the
//! disk is slow, is asked again: it is a memory, and no more. A file that cannot be
//! read or written now is tried again, with pauses.

pub(crate) mod batch;
pub(crate) mod file;
pub(crate) mod inbox;
pub(crate) mod writer;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, SyncSender};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};

use super::kept::Said;
use crate::settings::directory::Ttl;
pub(super) use batch::{KeyScope, Which};
use inbox::Inbox;
use writer::Writer;

/// Bound (cache): results that wait to be written to cache.file. Beyond: further ones are cached in memory only; the
/// log counts them. Why: a slow disk takes a tenth of a second, and no server answers 100,000 questions in a second.
const WAITING: usize = 10_000;

/// Bound (cache): last writing of one cache.file at the end. Beyond: the latest results are lost; the log reports it.
/// Why: a disk that hangs must not hold up the end.
const CLOSE: Duration = Duration::from_secs(5);

/// Bound (cache): wait of a purge for cache.file. Beyond: the purge reports it, and the entry is deleted later. Why:
/// a slow disk has enough time, and one that hangs is reported.
const PURGE: Duration = Duration::from_secs(5);

/// When the way to the file is full, it is looked again this much later.
const FULL_PAUSE: Duration = Duration::from_millis(10);

/// What is particular to a directory's file.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The directory's name, for the log.
    pub directory: Arc<str>,
    /// The file.
    pub path: PathBuf,
    /// The server that gave the answers in the file, and how they were
    /// interpreted: another server's answers are not used.
    pub source: String,
    /// Recipients kept at most.
    pub entries: usize,
    /// How long they are kept.
    pub ttl: Ttl,
}

/// The way to the thread that owns a file.
pub(super) struct Store {
    inbox: Arc<Inbox>,
    dropped: Arc<AtomicU64>,
    trouble: Trouble,
}

/// Why nothing can be read from the file or written to it at present.
type Trouble = Arc<Mutex<Option<String>>>;

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
    /// Delete what was found of these so far; told is whether it was written. What is found from then on is of another
    /// source, where one is named.
    Purge {
        whom: KeyScope,
        source: Option<String>,
        done: oneshot::Sender<bool>,
    },
    /// Write what waits, close the file, and say so.
    Close(SyncSender<()>),
}

impl Store {
    /// Begins to read the file, without waiting for it: `remember` gets each
    /// recipient in it, with its verdict and age.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub(super) fn open(
        settings: Settings,
        remember: impl FnMut(Key, Said, Duration) + Send + 'static,
    ) -> std::io::Result<Self> {
        let (dropped, trouble) = (Arc::<AtomicU64>::default(), Trouble::default());
        let mut writer = Writer::new(settings, Box::new(remember), dropped.clone(), trouble.clone());
        let inbox = Arc::new(Inbox::new(
            WAITING,
            Some(Box::new(move |inbox| writer.run(inbox))),
        ));
        inbox.start()?;
        Ok(Self {
            inbox,
            dropped,
            trouble,
        })
    }

    /// Why nothing can be read from the file or written to it at present.
    pub(super) fn trouble(&self) -> Option<String> {
        self.trouble.lock().clone()
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

    /// Has what was found of `whom` so far deleted; `false` where that is not done in time. Where another `source` is
    /// named, what is found from then on is its.
    pub(super) async fn purge(&self, whom: KeyScope, source: Option<String>) -> bool {
        let purged = async {
            let (done, purged) = oneshot::channel();
            let mut order = Order::Purge { whom, source, done };
            while let Err(returned) = self.inbox.offer(order) {
                order = returned;
                sleep(FULL_PAUSE).await;
            }
            // Where the file is closed, as at a start of its successor, nobody answers.
            purged.await.unwrap_or(false)
        };
        timeout(PURGE, purged).await.unwrap_or(false)
    }

    /// Has what was found of `whom` so far deleted, and waits for nothing.
    pub(super) fn start_purge(&self, whom: KeyScope) {
        let (done, _) = oneshot::channel();
        let source = None;
        if self.inbox.offer(Order::Purge { whom, source, done }).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn order(&self, key: Key, finding: Option<Finding>) {
        let order = Order::Keep(key, finding);
        if self.inbox.offer(order).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Has all that waits written and the file closed; waits for it, within a
    /// bound. Blocks.
    pub(super) fn close(&self) {
        let (done, closed) = mpsc::sync_channel(1);
        self.inbox.insist(Order::Close(done));
        // An error is a file that is closed already.
        let _ = closed.recv_timeout(CLOSE);
    }
}

/// The end of the memory: what waits is written, and nobody waits for it.
impl Drop for Store {
    fn drop(&mut self) {
        let (done, _) = mpsc::sync_channel(1);
        self.inbox.insist(Order::Close(done));
    }
}

#[cfg(test)]
mod tests;
