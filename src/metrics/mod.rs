//! What is counted, for monitoring: as text (`Served::text`), as a page for people (`Served::page`), and where both are
//! served ([`http`]).
//!
//! All of it comes from the [`Report`]: the parts count by themselves, with atomics that they hold; all else is done when
//! somebody looks. A family's name begins with `vouch_`, and what only goes up ends in `_total`; seconds and bytes are
//! the only units, and end the name. What is said of the process itself has the names that every exporter gives it.
//! The values of labels come from the configuration or from lists in the code, so that their number is bounded: no
//! user, address or domain is among them.

mod directories;
mod fleet;
pub(crate) mod history;
mod host;
pub mod http;
mod listeners;
mod page;
pub(crate) mod process;
pub(crate) mod text;

use crate::report::Report;
use history::History;
use text::{Format, Text};

/// How the daemon is at each time. It is called on a thread that serves listeners as well: it looks, and waits for nothing.
pub type Reports = dyn Fn() -> Report + Send + Sync;

/// What is served: the numbers, and the page with their last hour.
pub struct Served {
    reports: Box<Reports>,
    history: History,
}

impl Served {
    /// What these report. The history is empty; [`Served::keep`] keeps it.
    pub fn new(reports: Box<Reports>) -> Self {
        Self {
            reports,
            history: History::new(),
        }
    }

    /// Keeps the history, for ever.
    pub async fn keep(&self) {
        self.history.keep(&self.reports).await;
    }

    /// All that is counted, as it is now.
    pub(crate) fn text(&self, format: Format) -> String {
        let (report, mut text) = ((self.reports)(), Text::new(format));
        listeners::write(&mut text, &report.listeners);
        directories::write(&mut text, &report.directories);
        fleet::write(&mut text, &report.fleet, &report.doubting);
        process::write(&mut text, &report);
        text.end()
    }

    /// The page, as it is now. It loads itself again now and then, if it `refreshes`.
    pub(crate) fn page(&self, refreshes: bool) -> String {
        page::page(
            &(self.reports)(),
            &self.history,
            host::name().as_deref(),
            refreshes,
        )
    }
}
