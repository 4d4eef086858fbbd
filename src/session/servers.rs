//! The servers of a directory, any of which can answer, and which of them is called first.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::error::{Error, Kind, LOOK_UP};
use super::remote::Remote;
use super::tls;
use crate::chance::Chance;
use crate::telemetry::faults::{Fault, Faults, Wording};

/// Bound (sessions): time for which a server that failed while another one of its directory worked is called last. Beyond:
/// the order of the configuration applies again. Why: a server that was overloaded or restarted is back by then.
const SERVER_WORSE: Duration = Duration::from_secs(60);

/// What is logged of a server that another one stands in for.
const WORDING: Wording = Wording {
    again: "is used again",
    without: "sessions that another server took over",
};

/// The servers of a directory: each has the same accounts.
pub struct Servers {
    /// How errors that are of no one server name them all: `mailbox (mail1.example.org:25, mail2.example.org:25)`.
    pub peer: Arc<str>,
    /// TLS of one of them, whose report is that of all.
    pub tls: Arc<tls::Client>,
    /// Draws the pauses between tries.
    pub chance: Chance,
    list: Vec<Arc<Server>>,
}

/// One of them.
pub(super) struct Server {
    pub(super) remote: Arc<Remote>,
    /// When it failed last while another worked.
    worse: Mutex<Option<Instant>>,
    faults: Faults,
}

impl Servers {
    /// These servers, in the order in which they are called.
    pub fn new(peer: Arc<str>, first: Remote, others: Vec<Remote>) -> Self {
        Self {
            peer,
            tls: first.tls.clone(),
            chance: first.chance.clone(),
            list: [first]
                .into_iter()
                .chain(others)
                .map(|remote| Arc::new(Server::new(remote)))
                .collect(),
        }
    }

    /// Each server by itself.
    pub fn each(&self) -> impl Iterator<Item = Self> {
        self.list.iter().map(|server| Self {
            peer: server.remote.peer.clone(),
            tls: self.tls.clone(),
            chance: self.chance.clone(),
            list: vec![server.clone()],
        })
    }

    /// There is no server to call.
    pub(super) fn none(&self) -> Error {
        Error::new(Kind::Unreachable, &self.peer, LOOK_UP, "there is no server")
    }

    /// In the order in which they are called now.
    pub(super) fn in_order(&self) -> Vec<Arc<Server>> {
        let mut list = self.list.clone();
        list.sort_by_key(|server| server.is_worse());
        list
    }
}

/// The only server.
impl From<Remote> for Servers {
    fn from(remote: Remote) -> Self {
        Self::new(remote.peer.clone(), remote, Vec::new())
    }
}

impl Server {
    fn new(remote: Remote) -> Self {
        Self {
            faults: Faults::new(remote.peer.clone(), WORDING),
            remote: Arc::new(remote),
            worse: Mutex::default(),
        }
    }

    fn is_worse(&self) -> bool {
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
