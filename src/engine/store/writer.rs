//! The thread that owns a file: reads it once, writes what comes, in batches, and tries
//! again what the disk refuses.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::batch::Batch;
use super::file::{self, File, Refusal};
use super::inbox::{Ended, Inbox, Next};
use super::{Finding, Key, Order, Settings, Trouble};
use crate::engine::kept::Said;

/// Bound (cache): time until results are written to cache.file. Beyond: they are written. Why: a crash loses so much.
const COMMIT: Duration = Duration::from_secs(1);

/// Bound (cache): wait for a cache.file that another process is about to close. Beyond: recipients are cached without
/// it, with an error in the log. Why: a process that Dovecot has replaced closes it at once.
const HANDED_ON: Duration = Duration::from_secs(2);

/// Bound (cache): first pause before a disk that refuses is tried again; each further one is twice as long. Beyond:
/// it is tried again. Why: freed space is used soon.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// Bound (cache): longest pause before a disk that refuses is tried again. Beyond: it is tried again. Why: a broken
/// disk is not tried constantly.
const LAST_PAUSE: Duration = Duration::from_secs(30);

/// A file, while there is one, and what waits to be written to it.
pub(super) struct Writer {
    settings: Settings,
    /// Told what is in the file; none once it was.
    remember: Option<Box<Remember>>,
    /// It was tried to open the file.
    begun: bool,
    file: Option<File>,
    batch: Batch,
    /// Findings for which there was no room, here or in the queue.
    dropped: Arc<AtomicU64>,
    /// Shown on request.
    trouble: Trouble,
    /// Since when nothing could be written, as logged.
    refused: Option<Instant>,
    pause: Duration,
}

/// Takes a recipient, what was said and how long ago.
pub(super) type Remember = dyn FnMut(Key, Said, Duration) + Send;

impl Writer {
    /// One that has not opened its file yet. `remember` gets its content.
    pub(super) fn new(
        settings: Settings,
        remember: Box<Remember>,
        dropped: Arc<AtomicU64>,
        trouble: Trouble,
    ) -> Self {
        Self {
            settings,
            remember: Some(remember),
            begun: false,
            file: None,
            batch: Batch::default(),
            dropped,
            trouble,
            refused: None,
            pause: FIRST_PAUSE,
        }
    }

    /// Reads, if that was not done yet, then writes what comes until nothing does or it is to end.
    pub(super) fn run(&mut self, inbox: &Inbox) -> Ended {
        let mut due = None;
        if !std::mem::replace(&mut self.begun, true) {
            // To a file that could not be opened it returns by itself.
            due = self.wait_for_file();
        }
        loop {
            match inbox.next(due) {
                Next::Order(Order::Keep(key, finding)) => {
                    self.put(key, finding);
                    let due = due.get_or_insert_with(|| Instant::now() + COMMIT);
                    let full = self.batch.is_full() && self.file.is_some();
                    if !full && Instant::now() < *due {
                        continue;
                    }
                }
                Next::Order(Order::Purge { whom, source, done }) => {
                    self.batch.purge(whom);
                    if let Some(source) = source {
                        // Should the file have to be opened anew before that is written, all in it goes.
                        self.settings.source.clone_from(&source);
                        self.batch.change_source(source);
                    }
                    due = self.write();
                    // The caller may have gone.
                    let _ = done.send(self.batch.is_empty());
                    continue;
                }
                Next::Order(Order::Close(done)) => {
                    self.close();
                    // The caller may have gone.
                    let _ = done.try_send(());
                    return Ended::Closed;
                }
                Next::Due => {}
                Next::Idle => return Ended::Idle,
            }
            due = self.write();
        }
    }

    fn put(&mut self, key: Key, finding: Option<Finding>) {
        if !self.batch.put(key, finding) {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Opens the file for the first time. When it is to be tried again.
    fn wait_for_file(&mut self) -> Option<Instant> {
        let started = Instant::now();
        let mut opened = self.open();
        while matches!(opened, Err(Refusal::InUse)) && started.elapsed() < HANDED_ON {
            thread::sleep(Duration::from_millis(20));
            opened = self.open();
        }
        self.note_outcome(opened)
    }

    /// Writes what waits. When it is to be tried again, if it was refused.
    fn write(&mut self) -> Option<Instant> {
        let written = self.try_to_write();
        let again = self.note_outcome(written);
        if again.is_none() {
            self.tell_dropped();
        }
        again
    }

    fn try_to_write(&mut self) -> Result<(), Refusal> {
        if self.file.is_none() {
            self.open()?;
        }
        let Some(file) = &mut self.file else { return Ok(()) };
        let batch = &mut self.batch;
        // Where the disk is broken it may panic, as in `attempt`.
        catch_unwind(AssertUnwindSafe(|| file.commit(batch)))
            .unwrap_or_else(|_| Err(Refusal::Other("it cannot be written".into())))
    }

    /// Tells the log how it went, where that is news. When to try again, if it was
    /// refused: with the file opened anew, since what an error has left of it is not to
    /// be trusted.
    fn note_outcome(&mut self, went: Result<(), Refusal>) -> Option<Instant> {
        let (directory, path) = (&*self.settings.directory, self.settings.path.display());
        let trouble = went.as_ref().err().map(|refusal| format!("{path}: {refusal}"));
        *self.trouble.lock() = trouble;
        match went {
            Ok(()) => {
                self.pause = FIRST_PAUSE;
                if let Some(since) = self.refused.take() {
                    let seconds = since.elapsed().as_secs();
                    tracing::info!(directory, "{path}: in order again, after {seconds} s");
                }
                None
            }
            Err(refusal) => {
                if self.refused.is_none() {
                    self.refused = Some(Instant::now());
                    tracing::error!(
                        directory,
                        "{path}: {refusal}; recipients are cached in memory only until that is fixed"
                    );
                }
                self.file = None;
                let again = Instant::now() + self.pause;
                self.pause = LAST_PAUSE.min(2 * self.pause);
                Some(again)
            }
        }
    }

    fn tell_dropped(&self) {
        let dropped = self.dropped.swap(0, Ordering::Relaxed);
        if dropped > 0 {
            tracing::warn!(
                directory = &*self.settings.directory,
                dropped,
                "the disk is slower than the directory: some recipients are cached in memory only"
            );
        }
    }

    /// Writes what waits, if it can, and closes the file.
    fn close(&mut self) {
        let written = self.try_to_write();
        let closed = match self.file.take() {
            Some(file) if written.is_ok() => file.close(),
            _ => written,
        };
        if let Err(refusal) = closed {
            tracing::warn!(
                directory = &*self.settings.directory,
                lost = self.batch.findings().len(),
                "{}: {refusal}; the latest answers are not saved",
                self.settings.path.display()
            );
        }
    }

    /// Opens the file and reads it, if it was not read yet; sets aside one that is corrupt, or of another version.
    fn open(&mut self) -> Result<(), Refusal> {
        let opened = self.attempt();
        let Err(refusal) = &opened else { return opened };
        let Some(aside) = file::aside(&self.settings.path, refusal) else {
            return opened;
        };
        let (directory, path, aside_shown) = (
            &*self.settings.directory,
            self.settings.path.display(),
            aside.display(),
        );
        if matches!(refusal, Refusal::OtherVersion(_)) {
            tracing::warn!(directory, "{path}: {refusal}; it is set aside as {aside_shown}");
        } else {
            tracing::error!(directory, "{path}: {refusal}; it is set aside as {aside_shown}");
        }
        std::fs::rename(&self.settings.path, &aside)?;
        self.attempt()
    }

    fn attempt(&mut self) -> Result<(), Refusal> {
        let started = Instant::now();
        let (settings, remember, newer) = (&self.settings, &mut self.remember, &self.batch);
        let unread = remember.is_some();
        let mut recipients = 0_u64;
        // The store checks the file before it trusts it. Should a broken one get past that,
        // it may panic; and would again at each start.
        let opened = catch_unwind(AssertUnwindSafe(|| {
            let file = File::open(settings)?;
            if let Some(remember) = remember {
                file.load(|key, said, age| {
                    // Something was found since, or it was to be forgotten.
                    if !newer.overrules(&key) {
                        recipients += 1;
                        remember(key, said, age);
                    }
                })?;
            }
            Ok(file)
        }));
        self.file = Some(opened.unwrap_or_else(|_| Err(Refusal::Corrupt("it cannot be read".into())))?);
        if unread {
            let ms = started.elapsed().as_millis() as u64;
            let (directory, path) = (&*self.settings.directory, self.settings.path.display());
            tracing::info!(directory, recipients, ms, "{path}: read");
            // With it goes its hold on the memory.
            self.remember = None;
        }
        Ok(())
    }
}
