//! The daemon's status as one report: the answer of the control socket, which `vouch
//! status` and the status page show.
//!
//! The report is plain data. Points in time are in whole seconds ago, durations in
//! microseconds (`us`), memory in bytes. A member keeps its name and meaning from version
//! to version; one that does not apply, or is not known yet, is `null`.

mod attention;
mod listener;
mod remote;

use std::sync::Arc;
use std::time::Instant;

use serde_json::{Value, json};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::running::Common;
pub use super::running::sockets::Troubles;
use crate::metrics::{Report, process};
use crate::telemetry::histogram::Durations;
use crate::telemetry::{level, log};
pub use listener::Listener;
pub use remote::Remote;

/// The parts that the report describes.
#[derive(Clone)]
pub struct Daemon {
    /// The start of the process.
    pub started: Instant,
    /// Cancelled once no new connection is accepted.
    pub draining: CancellationToken,
    /// When the configuration in force was read.
    pub configured: Instant,
    /// When a later one was refused, and why.
    pub refused: Option<(Instant, String)>,
    /// The listeners, in the order of the configuration.
    pub listeners: Vec<Listener>,
    /// The directories, in the order of the configuration.
    pub directories: Vec<Remote>,
    /// Sockets that no client can connect to.
    pub troubles: Troubles,
}

/// What the status page shows: as the daemon is `now`.
pub fn reports(now: watch::Receiver<Arc<Daemon>>) -> Box<Report> {
    Box::new(move || {
        let daemon = now.borrow().clone();
        daemon.report()
    })
}

impl Daemon {
    /// No listener is open yet, and no directory known.
    pub(super) fn starting(common: &Common) -> Self {
        Self {
            started: common.started,
            draining: common.draining.clone(),
            configured: Instant::now(),
            refused: None,
            listeners: Vec::new(),
            directories: Vec::new(),
            troubles: common.troubles.clone(),
        }
    }

    /// The whole report, as it is now. It waits for nothing.
    pub(super) fn report(&self) -> Value {
        let mut report = json!({
            "version": env!("CARGO_PKG_VERSION"),
            "process": std::process::id(),
            "uptime": self.started.elapsed().as_secs(),
            "draining": self.draining.is_cancelled(),
            "configuration": {
                "ago": self.configured.elapsed().as_secs(),
                "refused": self.refused.as_ref().map(|(at, why)| json!({ "ago": at.elapsed().as_secs(), "why": why })),
            },
            "memory": process::resident(),
            "log": {
                "level": level::name(),
                "configured": level::configured(),
                "lines-lost": log::lines_lost(),
            },
            "sockets-lost": self.troubles.all(),
            "listeners": self.listeners.iter().map(Listener::report).collect::<Vec<_>>(),
            "directories": self.directories.iter().map(Remote::report).collect::<Vec<_>>(),
        });
        report["attention"] = attention::of(&report).into();
        report
    }
}

/// The count, and the times within which 50, 90 and 99 % of them finished.
fn durations(took: &Durations) -> Value {
    let within = |part| took.quantile(part).map(|time| time.as_micros() as u64);
    json!({
        "count": took.count(),
        "us": { "p50": within(0.5), "p90": within(0.9), "p99": within(0.99) },
    })
}
