//! Fills the report of how the daemon is: the answer of the control socket, which `vouch status` shows, the status page and
//! the metrics.

mod fleet;
mod listener;
mod remote;

use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

pub use super::troubles::Troubles;
use crate::fleet::Fleet;
use crate::metrics::{Reports, process};
use crate::report::{Configuration, Log, Refused, Report};
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
    /// What they share with other edges, if anything.
    pub fleet: Option<Arc<Fleet>>,
    /// Sockets that no client can connect to.
    pub troubles: Troubles,
}

/// What the status page and the metrics show: as the daemon is `now`.
pub fn reports(now: watch::Receiver<Arc<Daemon>>) -> Box<Reports> {
    let began = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Box::new(move || {
        let daemon = now.borrow().clone();
        Report {
            began: began.as_secs_f64(),
            ..daemon.report()
        }
    })
}

impl Daemon {
    /// The whole report, as it is now. It waits for nothing.
    pub(super) fn report(&self) -> Report {
        Report {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            process: std::process::id(),
            uptime: self.started.elapsed().as_secs(),
            draining: self.draining.is_cancelled(),
            configuration: Configuration {
                ago: self.configured.elapsed().as_secs(),
                refused: self.refused.as_ref().map(|(at, why)| Refused {
                    ago: at.elapsed().as_secs(),
                    why: why.clone(),
                }),
            },
            memory: process::resident(),
            log: Log {
                level: level::now().to_string(),
                configured: level::configured().to_string(),
                lines_lost: log::lines_lost(),
            },
            sockets_lost: self.troubles.all(),
            listeners: self.listeners.iter().map(Listener::report).collect(),
            directories: self.directories.iter().map(Remote::report).collect(),
            fleet: self.fleet.as_deref().map(fleet::report).unwrap_or_default(),
            doubting: self.fleet.as_deref().map(fleet::doubting).unwrap_or_default(),
            ..Report::default()
        }
        .with_attention()
    }
}
