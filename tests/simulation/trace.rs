//! What happens in a world, for the eye or for comparison: each event of the world, and each line of vouch's own log.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use tracing::Level;
use tracing::subscriber::DefaultGuard;
use tracing_subscriber::fmt::MakeWriter;

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
    pub(crate) fn takes_the_log(&self) -> Option<DefaultGuard> {
        let subscriber = tracing_subscriber::fmt()
            .without_time()
            .with_ansi(false)
            .with_max_level(Level::TRACE)
            .with_writer(self.clone())
            .finish();
        self.is_wanted()
            .then(|| tracing::subscriber::set_default(subscriber))
    }
}

impl io::Write for Trace {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.line(String::from_utf8_lossy(bytes).trim_end());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Trace {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}
