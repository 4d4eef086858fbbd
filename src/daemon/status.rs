//! What the daemon says of itself over the control socket.

use std::sync::Arc;
use std::time::Instant;

use serde_json::{Value, json};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::config::{self, Config};
use crate::control::serve::Answer;
use crate::engine::Member;
use crate::server::admission::Admission;
use crate::session::pool::Sessions;

/// What it is asked about.
pub(super) struct Daemon {
    pub(super) started: Instant,
    pub(super) draining: CancellationToken,
    pub(super) doors: Vec<Door>,
    pub(super) directories: Vec<Remote>,
}

/// A door as the configuration has it, and who is inside.
pub(super) struct Door {
    name: String,
    protocol: config::listener::Protocol,
    socket: String,
    admission: Arc<Admission>,
}

/// A directory as the configuration has it, and how it is.
pub(super) struct Remote {
    name: String,
    kind: config::directory::Kind,
    address: String,
    member: Arc<Member>,
}

impl Door {
    pub(super) fn new(listener: &config::Listener, admission: Arc<Admission>) -> Self {
        Self {
            name: listener.name.clone(),
            protocol: listener.protocol,
            socket: listener.socket.to_string(),
            admission,
        }
    }

    fn status(&self) -> Value {
        json!({
            "name": self.name,
            "protocol": self.protocol.as_str(),
            "socket": self.socket,
            "connections": self.admission.connections(),
            "max-connections": self.admission.max_connections(),
        })
    }
}

impl Remote {
    /// All of a configuration.
    pub(super) fn all(config: &Config, members: &[Arc<Member>]) -> Vec<Self> {
        let both = config.directory.iter().zip(members);
        let remote = |(directory, member): (&config::Directory, &Arc<Member>)| Self {
            name: directory.name.clone(),
            kind: directory.kind,
            address: directory.address.to_string(),
            member: member.clone(),
        };
        both.map(remote).collect()
    }

    fn status(&self) -> Value {
        let directory = self.member.directory();
        let health = directory.health();
        let pools = directory.report().map(|report| report.pools).unwrap_or_default();
        let sessions: serde_json::Map<_, _> = pools
            .into_iter()
            .map(|(what, pool)| (format!("{what}s"), sessions_of(pool.sessions)))
            .collect();
        json!({
            "name": self.name,
            "type": self.kind.as_str(),
            "address": self.address,
            "sessions": sessions,
            "last-answer": health.answered.map(|at| at.elapsed().as_secs()),
            // Where there is a status, the words are the remote's, and may name whom it was asked about.
            "last-failure": health.failed.map(|(at, why)| json!({
                "ago": at.elapsed().as_secs(),
                "class": why.class.name(),
                "status": why.status,
                "why": why.to_string(),
            })),
        })
    }
}

fn sessions_of(sessions: Sessions) -> Value {
    json!({
        "busy": sessions.busy,
        "idle": sessions.idle,
        "opening": sessions.opening,
        "max": sessions.max,
        "waiting": sessions.waiting,
    })
}

/// What the control socket answers by: as the daemon is `now`.
pub(super) fn answers(now: watch::Receiver<Arc<Daemon>>) -> Arc<Answer> {
    Arc::new(move |ask, _| {
        let daemon = now.borrow().clone();
        daemon.answer(ask)
    })
}

impl Daemon {
    fn answer(&self, ask: &str) -> Result<Value, String> {
        match ask {
            "status" => Ok(self.status()),
            _ => Err(format!(
                "this version, {}, cannot answer \"{ask}\"",
                env!("CARGO_PKG_VERSION")
            )),
        }
    }

    /// Times are in seconds, and how long ago.
    fn status(&self) -> Value {
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "process": std::process::id(),
            "uptime": self.started.elapsed().as_secs(),
            "draining": self.draining.is_cancelled(),
            "listeners": self.doors.iter().map(Door::status).collect::<Vec<_>>(),
            "directories": self.directories.iter().map(Remote::status).collect::<Vec<_>>(),
        })
    }
}
