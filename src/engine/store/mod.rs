//! Recipients on disk: what was found survives a restart.
//!
//! A thread of its own reads and writes the file ([`file`]); the memory hands
//! findings over and never waits. What the file loses, by a crash or because the
//! disk is slow, is asked again: it is a memory, and no more.

mod file;

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender, TrySendError};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use super::recipients::{Said, Ttl};
use file::{File, Trouble};

/// Findings that wait to be written. A commit holds the thread up for a tenth of
/// a second on a slow disk; no directory answers 100,000 probes in a second.
const WAITING: usize = 10_000;

/// A commit is at most this large, so that its memory and time are bounded.
const BATCH: usize = 10_000;

/// What was found is on disk this much later: a crash costs so much of it, and
/// the disk is made to write no more often.
const COMMIT: Duration = Duration::from_secs(1);

/// How long a file that is in use is waited for: a process that Dovecot has
/// replaced by this one is about to close it.
const HANDED_ON: Duration = Duration::from_secs(2);

/// How long the end of the daemon may wait for the last commit.
const CLOSE: Duration = Duration::from_secs(5);

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

/// What was found of a recipient, and when by the clock on the wall.
#[derive(Debug, Clone)]
struct Finding {
    said: Said,
    at: SystemTime,
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
        let run = move || run(&settings, remember, &waiting, &dropped);
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
        let at = SystemTime::now();
        self.order(key, Some(Finding { said, at }));
    }

    /// Has a finding deleted, as [`Store::keep`] has it written.
    pub(super) fn forget(&self, key: Key) {
        self.order(key, None);
    }

    fn order(&self, key: Key, finding: Option<Finding>) {
        let order = Order::Keep(key, finding);
        // Without its thread there is no file, which the log has said.
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

/// The thread.
fn run(
    settings: &Settings,
    remember: impl FnMut(Key, Said, Duration),
    orders: &Receiver<Order>,
    dropped: &AtomicU64,
) {
    let (directory, path) = (&*settings.directory, settings.path.display());
    let Some(file) = open(settings, remember) else {
        return;
    };
    if let Err(trouble) = write(file, orders, dropped) {
        tracing::error!(
            directory,
            "{path}: {trouble}; recipients are remembered without it from here on"
        );
    }
}

/// The file, read. One that is broken is set aside, and a new one begun.
fn open(settings: &Settings, mut remember: impl FnMut(Key, Said, Duration)) -> Option<File> {
    let (directory, path) = (&*settings.directory, settings.path.display());
    let started = Instant::now();
    let mut read = 0_u64;
    let mut attempt = || {
        // The store checks the file before it trusts it. Should a broken one get past that,
        // it may panic; and would again at each start.
        catch_unwind(AssertUnwindSafe(|| {
            let file = File::open(settings)?;
            file.load(|key, said, age| {
                read += 1;
                remember(key, said, age);
            })?;
            Ok(file)
        }))
        .unwrap_or_else(|_| Err(Trouble::Corrupt("it cannot be read".into())))
    };
    let mut opened = attempt();
    while matches!(opened, Err(Trouble::InUse)) && started.elapsed() < HANDED_ON {
        thread::sleep(Duration::from_millis(20));
        opened = attempt();
    }
    let opened = match opened {
        Err(trouble @ Trouble::Corrupt(_)) => {
            let aside = file::aside(&settings.path);
            tracing::error!(
                directory,
                "{path}: {trouble}; it is set aside as {}",
                aside.display()
            );
            std::fs::rename(&settings.path, &aside)
                .map_err(Trouble::from)
                .and_then(|()| attempt())
        }
        opened => opened,
    };
    match opened {
        Ok(file) => {
            let ms = started.elapsed().as_millis() as u64;
            tracing::info!(directory, recipients = read, ms, "{path}: read");
            Some(file)
        }
        Err(trouble) => {
            tracing::error!(
                directory,
                "{path}: {trouble}; recipients are remembered without it, until a restart"
            );
            None
        }
    }
}

/// Writes what comes, in batches, until it is to end.
fn write(mut file: File, orders: &Receiver<Order>, dropped: &AtomicU64) -> Result<(), Trouble> {
    let mut batch = HashMap::new();
    let mut due: Option<Instant> = None;
    loop {
        let order = match due {
            Some(due) => orders.recv_timeout(due.saturating_duration_since(Instant::now())),
            None => orders.recv().map_err(|_| RecvTimeoutError::Disconnected),
        };
        match order {
            Ok(Order::Keep(key, finding)) => {
                batch.insert(key, finding);
                let due = due.get_or_insert_with(|| Instant::now() + COMMIT);
                if batch.len() < BATCH && Instant::now() < *due {
                    continue;
                }
            }
            Ok(Order::Close(done)) => {
                file.commit(&mut batch)?;
                file.close()?;
                // Who waited may have gone.
                let _ = done.try_send(());
                return Ok(());
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => {
                file.commit(&mut batch)?;
                return file.close();
            }
        }
        file.commit(&mut batch)?;
        due = None;
        let dropped = dropped.swap(0, Ordering::Relaxed);
        if dropped > 0 {
            tracing::warn!(
                directory = file.directory(),
                dropped,
                "the disk is slower than the directory: recipients are remembered, but not beyond a restart"
            );
        }
    }
}

#[cfg(test)]
mod tests;
