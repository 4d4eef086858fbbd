//! Where the lines of the log wait to be written: an answer waits neither for a
//! disk nor for a reader of standard error.

use std::io::{self, Write};
use std::mem;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use parking_lot::{Condvar, Mutex, MutexGuard};

use super::counter::Counter;

/// Bound (process): time for which log lines are collected. Beyond: they are written together. Why: fewer writes,
/// without noticeable delay.
const GATHER: Duration = Duration::from_millis(5);

/// Bound (process, bytes): log that waits to be written. Beyond: lines are lost; their number is logged when the log
/// is read again. Why: some ten thousand lines; no answer waits for the log's reader.
const LIMIT: usize = 4 * 1024 * 1024;

/// Bound (process): time for the last log lines at the end. Beyond: they are lost. Why: a stuck reader must not delay
/// the end.
const PARTING: Duration = Duration::from_secs(1);

/// Lines that were lost since the start of the process, which has one log.
pub(super) static LOST: Counter = Counter::new();

/// Takes lines, and has a thread of its own write them.
#[derive(Clone)]
pub(super) struct Sink(Arc<Shared>);

struct Shared {
    waiting: Mutex<Waiting>,
    /// Something waits, or the end has come.
    changed: Condvar,
    /// All was written.
    written: Condvar,
}

#[derive(Default)]
struct Waiting {
    lines: Vec<u8>,
    /// Lines that found no room.
    lost: u64,
    writing: bool,
    closing: bool,
}

impl Sink {
    /// Starts the thread that writes to `output`, and tells how many lines were `lost`
    /// whenever it has written what was not.
    ///
    /// # Errors
    /// The system gives no thread.
    pub(super) fn to(
        output: impl Write + Send + 'static,
        lost: impl Fn(u64) + Send + 'static,
    ) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            waiting: Mutex::default(),
            changed: Condvar::new(),
            written: Condvar::new(),
        });
        let writing = shared.clone();
        thread::Builder::new()
            .name("vouch-log".into())
            .spawn(move || writing.write_to(output, lost))?;
        Ok(Self(shared))
    }

    /// What takes lines for it, each with its end; it never waits for their reader.
    pub(super) fn taking(&self) -> impl Fn(&str) + Send + Sync + 'static {
        let shared = self.0.clone();
        move |line| shared.add(line.as_bytes())
    }

    /// Waits until all is written, within a bound.
    pub(super) fn close(&self) {
        let mut waiting = self.0.waiting();
        waiting.closing = true;
        self.0.changed.notify_all();
        let busy = |waiting: &mut Waiting| waiting.writing || !waiting.lines.is_empty();
        self.0.written.wait_while_for(&mut waiting, busy, PARTING);
    }
}

impl Shared {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock()
    }

    fn add(&self, line: &[u8]) {
        let mut waiting = self.waiting();
        if waiting.lines.len() + line.len() > LIMIT {
            waiting.lost += 1;
            LOST.count();
            return;
        }
        let first = waiting.lines.is_empty() && !waiting.writing;
        waiting.lines.extend_from_slice(line);
        drop(waiting);
        if first {
            self.changed.notify_one();
        }
    }

    fn write_to(&self, mut output: impl Write, tell_lost: impl Fn(u64)) {
        let mut lines = Vec::new();
        loop {
            let idle = |waiting: &mut Waiting| waiting.lines.is_empty() && !waiting.closing;
            let mut waiting = self.waiting();
            self.changed.wait_while(&mut waiting, idle);
            if !waiting.closing {
                waiting.writing = true;
                drop(waiting);
                thread::sleep(GATHER);
                waiting = self.waiting();
            }
            mem::swap(&mut lines, &mut waiting.lines);
            let lost = mem::take(&mut waiting.lost);
            waiting.writing = true;
            drop(waiting);
            // There is nobody to tell that the log cannot be written.
            let _ = output.write_all(&lines);
            if lost > 0 {
                tell_lost(lost);
            }
            lines.clear();
            let mut waiting = self.waiting();
            waiting.writing = false;
            if waiting.lines.is_empty() {
                self.written.notify_all();
                if waiting.closing {
                    return;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// Hands on what is written, and takes nothing more before that was looked at.
    struct Slow(mpsc::SyncSender<Vec<u8>>);

    impl Write for Slow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.send(bytes.to_vec()).map_err(io::Error::other)?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    // Fills GATHER.
    #[test]
    fn what_was_logged_is_written_by_the_end_and_in_order() {
        let (output, written) = mpsc::sync_channel(100);
        let sink = Sink::to(Slow(output), |_| {}).unwrap();
        let take = sink.taking();
        for number in 0..100 {
            take(&format!("line {number}\n"));
        }
        sink.close();
        let written: Vec<u8> = written.try_iter().flatten().collect();
        let expected: String = (0..100).map(|number| format!("line {number}\n")).collect();
        assert_eq!(String::from_utf8(written).unwrap(), expected);
    }

    // Fills LIMIT.
    #[test]
    fn nobody_waits_for_a_reader_that_is_stuck_and_what_is_lost_is_counted() {
        let (output, written) = mpsc::sync_channel(0);
        let (tell, told) = mpsc::channel();
        let sink = Sink::to(Slow(output), move |lost| tell.send(lost).unwrap()).unwrap();
        let line = [b'x'; 1024];
        for _ in 0..2 * LIMIT / line.len() {
            sink.0.add(&line);
        }
        let (mut kept, mut lost) = (0, 0);
        while kept / line.len() + lost < 2 * LIMIT / line.len() {
            if let Ok(more) = written.recv_timeout(Duration::from_millis(100)) {
                kept += more.len();
            }
            lost += told.try_iter().sum::<u64>() as usize;
        }
        assert!(lost > 0);
        assert_eq!(kept / line.len() + lost, 2 * LIMIT / line.len());
    }

    // Fills PARTING.
    #[test]
    fn the_end_waits_so_long_for_a_reader_that_is_stuck() {
        let (output, written) = mpsc::sync_channel(0);
        let sink = Sink::to(Slow(output), |_| {}).unwrap();
        sink.taking()("a line that nobody reads\n");
        let began = std::time::Instant::now();
        sink.close();
        assert!(began.elapsed() >= PARTING, "the reader had its time");
        drop(written);
    }
}
