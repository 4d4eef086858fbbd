//! A listener in the report.

use std::sync::Arc;

use serde_json::{Value, json};

use super::durations;
use crate::config;
use crate::server::admission::Admission;
use crate::server::counts::ListenerCounts;

/// A listener as configured, its clients, and its answers.
#[derive(Clone)]
pub struct Listener {
    name: String,
    protocol: crate::settings::protocol::Protocol,
    socket: String,
    admission: Arc<Admission>,
    counts: Arc<ListenerCounts>,
}

impl Listener {
    /// As it is configured, with what it counts.
    pub fn new(listener: &config::Listener, admission: Arc<Admission>, counts: Arc<ListenerCounts>) -> Self {
        Self {
            name: listener.name.clone(),
            protocol: listener.protocol,
            socket: listener.socket.to_string(),
            admission,
            counts,
        }
    }

    pub(super) fn report(&self) -> Value {
        let (admission, counts) = (&self.admission, &self.counts);
        let verdicts = counts.took().map(|(verdict, took)| {
            let mut row = durations(&took);
            row["verdict"] = verdict.into();
            row
        });
        let reasons = counts.answers().map(|answers| {
            json!({
                "verdict": answers.verdict,
                "cause": answers.cause,
                "source": answers.source,
                "count": answers.count,
            })
        });
        let shares = counts.shares();
        json!({
            "name": self.name,
            "protocol": self.protocol.as_str(),
            "socket": self.socket,
            "connections": admission.connections(),
            "max-connections": admission.max_connections(),
            "accepted": admission.clients.accepted.get(),
            "refused": admission.clients.turned_away.get(),
            "strangers": admission.clients.strangers.get(),
            "delayed": counts.delayed.get(),
            "verdicts": verdicts.collect::<Vec<_>>(),
            "reasons": reasons.collect::<Vec<_>>(),
            "share-of-no": {
                "lately": shares.lately.percent(),
                "before": shares.before.percent(),
                "answers": shares.lately.count(),
                "far": shares.are_far(),
            },
        })
    }
}
