//! A directory in the report.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value, json};
use tokio::time::Instant;

use super::durations;
use crate::config::{self, Config};
use crate::directory::health::Health;
use crate::engine::credibility::canaries::State;
use crate::engine::{CachedDirectory, lookups};
use crate::session::{certificate, pool, tls};
use crate::telemetry::words::named;

/// Canaries, and domains that accept everything, that are shown of each directory. A provider
/// may have thousands; the numbers of all of them are shown beside.
const SHOWN: usize = 20;

/// Texts that are not understood, and shown of each directory.
const TEXTS_SHOWN: usize = 3;

/// A directory as configured, and its state.
#[derive(Clone)]
pub struct Remote {
    name: String,
    kind: crate::settings::kind::Kind,
    address: String,
    member: Arc<CachedDirectory>,
}

impl Remote {
    /// All of a configuration.
    pub fn all(config: &Config, members: &[Arc<CachedDirectory>]) -> Vec<Self> {
        let both = config.directory.iter().zip(members);
        let remote = |(directory, member): (&config::Directory, &Arc<CachedDirectory>)| Self {
            name: directory.name.clone(),
            kind: directory.kind,
            address: directory.endpoint(),
            member: member.clone(),
        };
        both.map(remote).collect()
    }

    pub(in crate::daemon) fn name(&self) -> &str {
        &self.name
    }

    pub(in crate::daemon) fn member(&self) -> &CachedDirectory {
        &self.member
    }

    pub(super) fn report(&self) -> Value {
        let directory = self.member.directory();
        let health = directory.health();
        let known = directory.report();
        let (pools, tls) = match known {
            Some(report) => (report.pools, Some(report.tls)),
            None => (Vec::new(), None),
        };
        let sessions: Map<_, _> = pools
            .iter()
            .map(|(what, pool)| (format!("{what}s"), sessions(pool)))
            .collect();
        json!({
            "name": self.name,
            "type": self.kind.as_str(),
            "address": self.address,
            "state": health.state().name(),
            "answers": health.answers,
            "failures": health.failures,
            "last-answer": health.answered.map(ago),
            "last-failure": last_failure(&self.name, &health),
            "unanswered": health.unanswered.map_or(0, |(count, _)| count),
            "unanswered-for": health.unanswered.map(|(_, since)| ago(since)),
            "later": health.says_later().then_some(health.later).flatten().map(|(count, _)| count),
            "sessions": sessions,
            "remembered": self.remembered(),
            "file-trouble": self.member.file_trouble(),
            "allow-invalid-certs": tls.as_ref().is_some_and(|tls| !tls.checked),
            "tls": tls.as_ref().map(encryption),
            "canaries": self.canaries(),
            "doubted": self.doubted(),
            "catch-all": self.catch_all(),
            "not-understood": self.not_understood(),
            "unknown-rate": self.member.unknown_rate().map(|(refused, rate)| json!({
                "refused": refused,
                "most": rate.most,
                "seconds": rate.within.as_secs(),
            })),
        })
    }

    fn remembered(&self) -> Value {
        let report = self.member.report();
        let memory = |memory: lookups::Report| {
            let lookups: Map<_, _> = memory
                .lookups
                .into_iter()
                .map(|(found, count)| (found.to_owned(), count.into()))
                .collect();
            json!({ "entries": memory.entries, "max": memory.limit, "lookups": lookups })
        };
        json!({ "recipients": memory(report.recipients), "logins": memory(report.logins) })
    }

    fn canaries(&self) -> Value {
        let states = self.member.canaries();
        let refused = states
            .iter()
            .filter(|(_, state)| matches!(state, State::Refused(_)));
        let (count, refused) = (states.len(), refused.count());
        let shown = states.into_iter().take(SHOWN).map(|(canary, state)| {
            let mut shown = json!({ "address": canary.to_string(), "ago": null, "why": null });
            shown["state"] = match state {
                State::Unasked => "not asked".into(),
                State::Accepted(at) => {
                    shown["ago"] = ago(at).into();
                    "accepted".into()
                }
                State::Refused(words) => {
                    shown["why"] = words.into();
                    "refused".into()
                }
                State::Silent(class) => {
                    shown["why"] = class.name().into();
                    "no answer".into()
                }
            };
            shown
        });
        json!({ "count": count, "refused": refused, "shown": shown.collect::<Vec<_>>() })
    }

    fn doubted(&self) -> Value {
        let (count, doubts) = self.member.doubts(SHOWN);
        let shown = doubts.into_iter().map(|doubt| {
            json!({
                "domain": doubt.witness.domain().to_string(),
                "recipient": doubt.witness.to_string(),
                "why": doubt.words,
                "ago": ago(doubt.since),
            })
        });
        json!({ "count": count, "shown": shown.collect::<Vec<_>>() })
    }

    fn not_understood(&self) -> Value {
        let not_understood = self.member.not_understood();
        let count: u64 = not_understood.counts().iter().map(|(_, count)| count).sum();
        let texts = not_understood.most_frequent(TEXTS_SHOWN).into_iter();
        let shown = texts.map(|(text, count)| {
            json!({
                "question": text.question,
                "status": text.status,
                "phrase": text.phrase,
                "count": count,
            })
        });
        json!({ "count": count, "shown": shown.collect::<Vec<_>>() })
    }

    fn catch_all(&self) -> Value {
        let Some(domains) = self.member.catch_alls(SHOWN) else {
            return Value::Null;
        };
        let domains: Vec<_> = domains.iter().map(ToString::to_string).collect();
        json!({ "count": self.member.report().catch_all_domains, "shown": domains })
    }
}

fn last_failure(directory: &str, health: &Health) -> Value {
    let Some((at, why)) = &health.failed else {
        return Value::Null;
    };
    json!({
        "ago": ago(*at),
        "class": why.class.name(),
        // Where there is one, the words are the remote's, and may name whom it was asked about.
        "status": why.status,
        "why": why.to_string(),
        "advice": named(why.advice(), directory),
    })
}

fn sessions(pool: &pool::Report) -> Value {
    json!({
        "busy": pool.sessions.busy,
        "idle": pool.sessions.idle,
        "opening": pool.sessions.opening,
        "closing": pool.sessions.closing,
        "max": pool.sessions.max,
        "ceiling": pool.sessions.ceiling,
        "waiting": pool.sessions.waiting,
        "queue": pool.queue,
        "failures": pool.failures,
        "pause-us": pool.pause.map(|pause| pause.as_micros() as u64),
        "opened": pool.counts.opened.get().count(),
        "reused": pool.counts.reused.get(),
        "queued": durations(&pool.counts.queued.get()),
        "probed": durations(&pool.counts.probed.get()),
    })
}

fn encryption(tls: &tls::Report) -> Value {
    let certificate = |der: Option<&Vec<u8>>| {
        let ends = der.and_then(|der| certificate::end_of(der))?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?.as_secs();
        let left = i128::from(ends) - i128::from(now);
        let days = i64::try_from(left.div_euclid(24 * 3600)).ok()?;
        Some(json!({ "ends": ends, "days-left": days }))
    };
    let last = tls.last.as_ref();
    json!({
        "agreed": tls.agreed,
        "failed": tls.failed,
        // As its standard writes it; the library has it as TLSv1_3.
        "version": last.map(|details| details.version.replace("TLSv1_", "TLS 1.")),
        "certificate": certificate(last.map(|details| &details.certificate)),
        "own-certificate": certificate(tls.own_certificate.as_ref()),
    })
}

fn ago(at: Instant) -> u64 {
    at.elapsed().as_secs()
}
