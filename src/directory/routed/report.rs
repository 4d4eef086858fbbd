//! How the servers of a map are: sums, and the few that need attention.

use std::sync::Arc;

use tokio::time::Instant;

use super::super::health::Health;
use super::servers::Servers;
use crate::report::{Routed, SickServer, State};
use crate::session::pool::{self, Sessions};
use crate::settings::kind::Kind as Type;
use crate::settings::routes::map::Map;

/// Servers that are shown of those that give no answer, or not always.
const SICK_SHOWN: usize = 5;

impl Servers {
    /// How they are, of the servers of `map`.
    pub(super) fn report(&self, map: &Map) -> Routed {
        let table = self.table.lock();
        let mut sick: Vec<_> = table
            .entries
            .iter()
            .map(|(server, entry)| (server, entry.directory.health()))
            .filter(|(_, health)| health.state() > State::Answers)
            .collect();
        let count = sick.len();
        // The same for all that look: the worst first, then the longest.
        sick.sort_by_cached_key(|(server, health)| {
            let since = health.unanswered.or(health.later).map(|(_, since)| since);
            (std::cmp::Reverse(health.state()), since, server.to_string())
        });
        let shown = sick
            .into_iter()
            .take(SICK_SHOWN)
            .map(|(server, health)| SickServer {
                server: server.to_string(),
                state: health.state(),
                unanswered: health.unanswered.map_or(0, |(count, _)| count),
                unanswered_for: health.unanswered.map(|(_, since)| since.elapsed().as_secs()),
                why: health.failed.map(|(_, why)| why.to_string()),
            });
        Routed {
            routes: map.len() as u64,
            servers: map.servers().len() as u64,
            in_use: table.entries.len() as u64,
            max: self.most as u64,
            refused: table.refused,
            sick: count as u64,
            shown: shown.collect(),
        }
    }

    /// The health of all of them together: it fails in part while one has no answer and another has.
    pub(super) fn health(&self) -> Health {
        let table = self.table.lock();
        let mut sum = Health {
            answers: table.gone.answers,
            failures: table.gone.failures,
            ..Health::default()
        };
        for health in table.entries.values().map(|entry| entry.directory.health()) {
            sum.answers += health.answers;
            sum.failures += health.failures;
            sum.answered = sum.answered.max(health.answered);
            sum.in_part |= matches!(health.state(), State::Answers | State::Falters);
            sum.unanswered = add(sum.unanswered, health.unanswered);
            if health.says_later() {
                sum.later = add(sum.later, health.later);
            }
            let later = |failed: &(Instant, _)| sum.failed.as_ref().is_none_or(|(at, _)| *at <= failed.0);
            if let Some(failed) = health.failed.filter(later) {
                sum.failed = Some(failed);
            }
        }
        sum
    }

    /// The sessions with all of them.
    pub(super) fn sums(&self, kind: Type) -> super::super::Report {
        let mut pools = Vec::new();
        for (what, asked, counts) in [
            ("recipient", kind.knows_recipients(), &self.counted.recipients),
            ("login", kind.knows_logins(), &self.counted.logins),
        ] {
            if asked {
                pools.push((what, none(counts.clone())));
            }
        }
        let table = self.table.lock();
        for report in table
            .entries
            .values()
            .filter_map(|entry| entry.directory.report())
        {
            for (what, pool) in &report.pools {
                if let Some((_, sum)) = pools.iter_mut().find(|(sum, _)| sum == what) {
                    add_pool(sum, pool);
                }
            }
        }
        super::super::Report {
            pools,
            tls: self.tls.report(),
        }
    }
}

/// A sum of counts, and the first of their times.
fn add(one: Option<(u64, Instant)>, other: Option<(u64, Instant)>) -> Option<(u64, Instant)> {
    match (one, other) {
        (Some((count, since)), Some((more, first))) => Some((count + more, since.min(first))),
        (one, other) => one.or(other),
    }
}

/// A pool without a session, and without a server.
fn none(counts: Arc<pool::counts::Counts>) -> pool::Report {
    pool::Report {
        sessions: Sessions {
            busy: 0,
            idle: 0,
            opening: 0,
            closing: 0,
            max: 0,
            ceiling: None,
            waiting: 0,
        },
        queue: 0,
        failures: 0,
        pause: None,
        counts,
    }
}

/// That a server is left alone for a while, or bears fewer sessions, says nothing of the others.
fn add_pool(sum: &mut pool::Report, pool: &pool::Report) {
    let (all, one) = (&mut sum.sessions, &pool.sessions);
    all.busy += one.busy;
    all.idle += one.idle;
    all.opening += one.opening;
    all.closing += one.closing;
    all.max += one.max;
    all.waiting += one.waiting;
    sum.queue += pool.queue;
    sum.failures = sum.failures.max(pool.failures);
}
