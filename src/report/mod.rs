//! How the daemon is, as plain data: what `vouch status`, its `--json`, the status page, the metrics and `systemctl
//! status` show, and what the manual lists.
//!
//! Points in time are in whole seconds ago, durations in microseconds (`us`), memory in bytes. A member keeps its name and
//! meaning from version to version; one that does not apply, or is not known yet, is `null`. A new one is a field here
//! and the line of `daemon::status` that fills it.

mod attention;
mod directory;
mod fleet;
mod listener;
mod record;
mod state;

pub(crate) use attention::CERTIFICATE_DAYS;
use record::{Member, Rows, records, wholes};

use crate::telemetry::histogram::Durations;

pub use directory::{
    Canaries, Canary, CatchAll, Certificate, Directory, Doubt, Doubted, LastFailure, Lookups, Memory,
    NotUnderstood, Pool, Refusal, Routed, SickServer, StaleLogins, Tls, UnknownRate,
};
pub use fleet::{Doubting, Store};
pub use listener::{Answers, Listener, Reason, ShareOfNo};
pub use state::State;

records! {
    /// The whole report.
    Report {
        /// The daemon's.
        version: String,
        /// Its process id.
        process: u32,
        /// Seconds since its start.
        uptime: u64,
        /// It is shutting down, and accepts no new connections.
        draining: bool,
        /// The file that it has read.
        configuration: Configuration,
        /// Resident bytes.
        memory: Option<u64>,
        /// What is logged.
        log: Log,
        /// Sockets that were removed or replaced, and could not be bound again.
        sockets_lost: Vec<String>,
        /// What needs an administrator's attention, in sentences; empty if all is well. The sentences may change from
        /// version to version.
        attention: Vec<String>,
        /// In the order of the configuration.
        listeners: Vec<Listener>,
        /// In the order of the configuration.
        directories: Vec<Directory>,
        /// The stores of the fleet, in the order of the configuration.
        fleet: Vec<Store>,
        /// Other edges of the fleet at which canaries are refused: refusals of their domains are deferred here as well.
        doubting: Vec<Doubting>,
        ;
        /// When the process began its work, in seconds since 1970.
        began: f64,
    }

    /// The configuration in force.
    Configuration {
        /// Seconds since the configuration in force was read.
        ago: u64,
        /// Where a reload was refused since: `ago` in seconds, and `why`.
        refused: Option<Refused>,
    }

    /// The log.
    Log {
        /// What is logged now.
        level: String,
        /// The configured level.
        configured: String,
        /// Lines lost because standard error was not read in time.
        lines_lost: u64,
    }
}

wholes! {
    /// A reload that was refused.
    Refused {
        /// Seconds since.
        ago: u64,
        /// The error.
        why: String,
    }

    /// How long things took.
    Timed {
        /// How many there were.
        count: u64,
        /// Within which time they were done.
        us: Quantiles,
        ;
        /// All of it.
        took: Durations,
    }
}

record::members! {
    /// The microseconds within which so many of a hundred were done, as precise as the buckets of the metrics; none where
    /// there were none at all.
    Quantiles {
        /// Half of them.
        p50: Option<u64>,
        /// 90 of them.
        p90: Option<u64>,
        /// 99 of them.
        p99: Option<u64>,
    }
}

impl Member for Quantiles {
    fn list(path: String, about: &str, rows: &mut Rows) {
        String::list(path + ".*", about, rows);
    }
}

impl From<Durations> for Timed {
    fn from(took: Durations) -> Self {
        let within = |part| took.quantile(part).map(|time| time.as_micros() as u64);
        Self {
            count: took.count(),
            us: Quantiles {
                p50: within(0.5),
                p90: within(0.9),
                p99: within(0.99),
            },
            took,
        }
    }
}

impl Report {
    /// Notes what of it needs an administrator's attention.
    #[must_use]
    pub fn with_attention(mut self) -> Self {
        self.attention = attention::of(&self);
        self
    }

    /// In one line, for `systemctl status`.
    pub fn in_words(&self) -> String {
        let sick = self.directories.iter().filter(|it| it.state >= State::Falters);
        let sick: Vec<&str> = sick.map(|it| it.name.as_str()).collect();
        let served = format!("listeners: {}", self.listeners.len());
        match sick[..] {
            [] => format!("{served}; every directory answers"),
            _ => format!("{served}; no answer last from {}", sick.join(", ")),
        }
    }
}

/// The members of the report, each by its path: `[]` for any element of a list, `*` for any member of an object; with what
/// its doc comment says.
pub fn members() -> Vec<(String, String)> {
    let mut rows = Vec::new();
    Report::list(String::new(), "", &mut rows);
    rows
}
