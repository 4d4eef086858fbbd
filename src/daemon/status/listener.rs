//! A listener in the report.

use std::sync::Arc;

use crate::config;
use crate::report::{self, Answers, Reason, ShareOfNo, Timed};
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

    pub(super) fn report(&self) -> report::Listener {
        let (admission, counts) = (&self.admission, &self.counts);
        let verdicts = counts.took().map(|(verdict, took)| {
            let Timed { count, us, took } = took.into();
            Answers {
                verdict: verdict.to_owned(),
                count,
                us,
                took,
            }
        });
        let reasons = counts.answers().map(|answers| Reason {
            verdict: answers.verdict.to_owned(),
            cause: answers.cause.to_owned(),
            source: answers.source.to_owned(),
            count: answers.count,
        });
        let shares = counts.shares();
        report::Listener {
            name: self.name.clone(),
            protocol: self.protocol.as_str().to_owned(),
            socket: self.socket.clone(),
            connections: admission.connections() as u64,
            max_connections: admission.max_connections() as u64,
            accepted: admission.clients.accepted.get(),
            refused: admission.clients.turned_away.get(),
            strangers: admission.clients.strangers.get(),
            delayed: counts.delayed.get(),
            verdicts: verdicts.collect(),
            reasons: reasons.collect(),
            share_of_no: ShareOfNo {
                lately: shares.lately.percent(),
                before: shares.before.percent(),
                answers: shares.lately.count(),
                far: shares.are_far(),
            },
        }
    }
}
