//! What is counted, for monitoring: as text ([`Watched::text`]), as a page for people
//! ([`Served`]), and where both are served ([`http`]).
//!
//! The parts count by themselves, with atomics that they hold (see [`ListenerCounts`],
//! [`Admission`], [`pool::counts`](crate::session::pool::counts)); all else is done when somebody
//! looks. A family's name begins with `vouch_`, and what only goes up ends in
//! `_total`; seconds and bytes are the only units, and end the name. What is said of
//! the process itself has the names that every exporter gives it. The values of
//! labels come from the configuration or from lists in the code, so that their number
//! is bounded: no user, address or domain is among them.

mod directories;
pub(crate) mod history;
mod host;
pub mod http;
mod listeners;
mod page;
pub(crate) mod process;
pub mod text;

use std::sync::Arc;

use serde_json::Value;
use tokio::sync::watch;

use crate::engine::CachedDirectory;
use crate::server::admission::Admission;
use crate::server::counts::ListenerCounts;
use history::History;
use process::Started;
use text::{Format, Text};

/// What the daemon says of itself, as `vouch status --json` has it. It is called on a thread
/// that serves listeners as well: it looks, and waits for nothing.
pub type Report = dyn Fn() -> Value + Send + Sync;

/// What is served: the numbers, and the page with their last hour.
pub struct Served {
    watched: watch::Receiver<Arc<Watched>>,
    report: Box<Report>,
    history: History,
}

impl Served {
    /// What is `watched` when somebody asks, and this report of it. The history is empty; [`Served::keep`] keeps it.
    pub fn new(watched: watch::Receiver<Arc<Watched>>, report: Box<Report>) -> Self {
        Self {
            watched,
            report,
            history: History::new(),
        }
    }

    /// Keeps the history, for ever.
    pub async fn keep(&self) {
        self.history.keep(&self.watched).await;
    }

    /// All that is counted, as it is now.
    pub fn text(&self, format: Format) -> String {
        let watched = self.watched.borrow().clone();
        watched.text(format)
    }

    /// The page, as it is now. It loads itself again now and then, if it `refreshes`.
    pub fn page(&self, refreshes: bool) -> String {
        page::page(
            &(self.report)(),
            &self.history,
            host::name().as_deref(),
            refreshes,
        )
    }
}

/// What is looked at when somebody asks.
pub struct Watched {
    listeners: Vec<WatchedListener>,
    members: Vec<Arc<CachedDirectory>>,
    started: Started,
}

/// A listener.
pub struct WatchedListener {
    /// Its name.
    pub name: Arc<str>,
    /// What it counts.
    pub counts: Arc<ListenerCounts>,
    /// The clients that are accepted.
    pub admission: Arc<Admission>,
}

impl Watched {
    /// These listeners and directories, of a process that starts now.
    pub fn new(listeners: Vec<WatchedListener>, members: Vec<Arc<CachedDirectory>>) -> Self {
        Self {
            listeners,
            members,
            started: Started::now(),
        }
    }

    /// The same process, with these listeners and directories from now on.
    #[must_use]
    pub fn succeeded_by(&self, listeners: Vec<WatchedListener>, members: Vec<Arc<CachedDirectory>>) -> Self {
        Self {
            listeners,
            members,
            started: self.started,
        }
    }

    /// All that is counted, as it is now.
    pub fn text(&self, format: Format) -> String {
        let mut text = Text::new(format);
        listeners::write(&mut text, self);
        directories::write(&mut text, self);
        process::write(&mut text, self.started);
        text.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::admission::Descriptors;

    /// A listener that nobody has asked.
    pub(super) fn listener(name: &str) -> WatchedListener {
        WatchedListener {
            name: name.into(),
            counts: Arc::default(),
            admission: Arc::new(Admission::new(name, 10, None, Descriptors::new(10))),
        }
    }
}
