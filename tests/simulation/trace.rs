//! What happens in a world, for the eye or for comparison: each event of the world, and each line of vouch's own log.

use std::cell::RefCell;
use std::io;
use std::sync::{Arc, Mutex, Once, PoisonError};

use tracing_subscriber::filter::dynamic_filter_fn;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::{fmt, registry};

/// There is one log for all threads: what is kept of a place in the code that logs is the same whichever thread came there
/// first, one that wants its lines or one that does not.
static LOG: Once = Once::new();

thread_local! {
    /// Where the lines of this thread go.
    static TAKEN: RefCell<Trace> = const { RefCell::new(Trace::Nowhere) };
}

/// Where it goes.
#[derive(Clone)]
pub(crate) enum Trace {
    Nowhere,
    Told,
    Kept(Arc<Mutex<Vec<u8>>>),
}

impl Trace {
    pub(crate) fn kept() -> Self {
        Self::Kept(Arc::default())
    }

    pub(crate) fn is_wanted(&self) -> bool {
        !matches!(self, Self::Nowhere)
    }

    pub(crate) fn line(&self, line: &str) {
        match self {
            Self::Nowhere => {}
            Self::Told => eprintln!("{line}"),
            Self::Kept(kept) => {
                let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
                kept.extend(line.as_bytes());
                kept.push(b'\n');
            }
        }
    }

    /// All that was kept.
    pub(crate) fn text(&self) -> String {
        let Self::Kept(kept) = self else {
            return String::new();
        };
        let kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&kept).into_owned()
    }

    /// Takes vouch's log of this thread, all of its levels, for as long as the guard lives.
    pub(crate) fn takes_the_log(&self) -> Taken {
        LOG.call_once(|| {
            let wanted = dynamic_filter_fn(|_, _| TAKEN.with_borrow(Self::is_wanted));
            let lines = fmt::layer().without_time().with_ansi(false);
            let lines = lines.with_writer(|| Line).with_filter(wanted);
            let log = registry().with(lines);
            tracing::subscriber::set_global_default(log).unwrap_or_else(|error| panic!("{error}"));
        });
        TAKEN.set(self.clone());
        Taken
    }
}

/// The log is taken until this is dropped.
pub(crate) struct Taken;

impl Drop for Taken {
    fn drop(&mut self) {
        TAKEN.set(Trace::Nowhere);
    }
}

/// A line of the log of this thread.
struct Line;

impl io::Write for Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        TAKEN.with_borrow(|trace| trace.line(String::from_utf8_lossy(bytes).trim_end()));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
