//! What vouch logs while a transcript is played.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep};
use tracing_subscriber::layer::SubscriberExt;

/// In each verdict's line; what there is to say of those, the client is told.
const VERDICT: &str = " vouch::verdict: ";

/// Between two looks at the log.
const LOOK: Duration = Duration::from_millis(10);

/// The log of this thread, which plays one transcript.
#[derive(Clone, Default)]
pub(crate) struct Log {
    written: Arc<Mutex<Vec<u8>>>,
    /// Bytes that were heard or passed over.
    heard: usize,
}

impl Log {
    /// Keeps it from now on, until the guard is dropped.
    pub(crate) fn keep(&self) -> tracing::subscriber::DefaultGuard {
        let log = self.clone();
        let layer = tracing_subscriber::fmt::layer()
            .with_ansi(false)
            .without_time()
            .with_writer(move || log.clone());
        tracing::subscriber::set_default(tracing_subscriber::registry().with(layer))
    }

    /// The next line of this level, verdicts aside, must come within `time`, and hold these words.
    pub(crate) async fn hear(&mut self, level: &str, words: &str, time: Duration) -> Result<(), String> {
        let deadline = Instant::now() + time;
        loop {
            while let Some(line) = self.next() {
                if line.contains(VERDICT) {
                    continue;
                }
                match line.trim_start().strip_prefix(level) {
                    Some(said) if said.contains(words) => return Ok(()),
                    Some(said) => return Err(format!("vouch logs{said}, instead of {words}")),
                    None => {}
                }
            }
            if Instant::now() >= deadline {
                return Err(format!("vouch logs no {level} {words}"));
            }
            sleep(LOOK).await;
        }
    }

    fn next(&mut self) -> Option<String> {
        let written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        let rest = &written[self.heard..];
        let end = rest.iter().position(|&byte| byte == b'\n')?;
        self.heard += end + 1;
        Some(String::from_utf8_lossy(&rest[..end]).into_owned())
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.written
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
