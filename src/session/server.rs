//! One of several servers of a directory: whether it is called before the others.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::error::{Error, Kind};
use super::remote::Remote;
use crate::telemetry::faults::{Fault, Faults, Wording};

/// Bound (sessions): time for which a server that failed while another one of its directory worked is called last. Beyond:
/// the order of the configuration applies again. Why: a server that was overloaded or restarted is back by then.
const SERVER_WORSE: Duration = Duration::from_secs(60);

/// What is logged of a server that another one stands in for.
const WORDING: Wording = Wording {
    again: "is used again",
    without: "sessions that another server took over",
};

/// One of the servers of a directory.
pub(super) struct Server {
    pub(super) remote: Arc<Remote>,
    /// When it failed last while another worked.
    worse: Mutex<Option<Instant>>,
    faults: Faults,
}

impl Server {
    pub(super) fn new(remote: Remote) -> Self {
        Self {
            faults: Faults::new(remote.peer.clone(), WORDING),
            remote: Arc::new(remote),
            worse: Mutex::default(),
        }
    }

    /// Whether others are called first.
    pub(super) fn is_worse(&self) -> bool {
        self.worse
            .lock()
            .is_some_and(|since| since.elapsed() < SERVER_WORSE)
    }

    /// A session was opened here.
    pub(super) fn worked(&self) {
        *self.worse.lock() = None;
        self.faults.worked();
    }

    /// It failed, or none was opened in time, and one was opened at another: that is called first for a while.
    pub(super) fn stands_back(&self, error: Option<&Error>, other: &Self) {
        *self.worse.lock() = Some(Instant::now());
        let slow = || {
            Error::new(
                Kind::Timeout,
                &self.remote.peer,
                "opening",
                "no session in its part of the time",
            )
        };
        let error = error.cloned().unwrap_or_else(slow);
        self.faults.failed(&Fault {
            step: error.step(),
            class: error.kind().name(),
            text: &format!("{error}; {} is called instead", other.remote.peer),
            advice: &error.advice(),
            lasting: false,
        });
    }

    /// As if all that it did were long ago.
    #[cfg(test)]
    pub(super) fn age(&self) {
        if let Some(since) = &mut *self.worse.lock() {
            *since -= SERVER_WORSE;
        }
    }
}
