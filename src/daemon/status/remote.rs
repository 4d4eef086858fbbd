//! A directory in the report.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

use crate::config::{self, Config};
use crate::directory::health::Health;
use crate::engine::CachedDirectory;
use crate::engine::credibility::canaries::State;
use crate::report::{
    self, Canaries, Canary, CatchAll, Certificate, Doubt, Doubted, LastFailure, Lookups, Memory,
    NotUnderstood, Pool, Refusal, StaleLogins, Timed, Tls, UnknownRate,
};
use crate::session::{Kind, certificate, pool, tls};
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

    pub(super) fn report(&self) -> report::Directory {
        let directory = self.member.directory();
        let health = directory.health();
        let (pools, tls) = match directory.report() {
            Some(report) => (report.pools, Some(report.tls)),
            None => (Vec::new(), None),
        };
        report::Directory {
            name: self.name.clone(),
            r#type: self.kind.as_str().to_owned(),
            address: self.address.clone(),
            state: health.state(),
            answers: health.answers,
            failures: health.failures,
            last_answer: health.answered.map(ago),
            last_failure: self.last_failure(&health),
            unanswered: health.unanswered.map_or(0, |(count, _)| count),
            unanswered_for: health.unanswered.map(|(_, since)| ago(since)),
            later: health
                .later
                .filter(|_| health.says_later())
                .map(|(count, _)| count),
            sessions: pools
                .iter()
                .map(|(what, pool)| (format!("{what}s"), sessions(pool)))
                .collect(),
            remembered: self.remembered(),
            file_trouble: self.member.file_trouble(),
            allow_invalid_certs: tls.as_ref().is_some_and(|tls| !tls.checked),
            tls: tls.as_ref().map(encryption),
            canaries: self.canaries(),
            doubted: self.doubted(),
            catch_all: self.catch_all(),
            not_understood: self.not_understood(),
            routed: directory.servers(),
            unknown_rate: self.member.unknown_rate().map(|(refused, rate)| UnknownRate {
                refused: refused as u64,
                most: rate.most.into(),
                seconds: rate.within.as_secs(),
            }),
            stale_logins: self.member.report().stale.map(|stale| StaleLogins {
                accepted: stale.accepted.map_or(0, |(accepted, _)| accepted),
                ago: stale.accepted.map(|(_, since)| ago(since)),
            }),
        }
    }

    fn last_failure(&self, health: &Health) -> Option<LastFailure> {
        let (at, why) = health.failed.as_ref()?;
        Some(LastFailure {
            ago: ago(*at),
            class: why.class.name().to_owned(),
            // Where there is one, the words are the remote's, and may name the user or recipient.
            status: why.status.clone(),
            why: why.to_string(),
            advice: named(why.advice(), &self.name),
        })
    }

    fn remembered(&self) -> BTreeMap<String, Memory> {
        let report = self.member.report();
        let memories = [("recipients", report.recipients), ("logins", report.logins)];
        let memories = memories.map(|(what, memory)| {
            let [fresh, ageing, stale, miss] = memory.lookups.map(|(_, count)| count);
            let memory = Memory {
                entries: memory.entries as u64,
                max: memory.limit as u64,
                lookups: Lookups {
                    fresh,
                    ageing,
                    stale,
                    miss,
                },
            };
            (what.to_owned(), memory)
        });
        memories.into()
    }

    fn canaries(&self) -> Canaries {
        let states = self.member.canaries();
        let refused = states
            .iter()
            .filter(|(_, state)| matches!(state, State::Refused(_)));
        let (count, refused) = (states.len() as u64, refused.count() as u64);
        let shown = states.into_iter().take(SHOWN).map(|(canary, state)| {
            let (state, ago, why) = match state {
                State::Unasked => ("not asked", None, None),
                State::Accepted(at) => ("accepted", Some(ago(at)), None),
                State::Refused(words) => ("refused", None, Some(words.to_string())),
                State::Silent(class) => ("no answer", None, Some(class.name().to_owned())),
            };
            Canary {
                address: canary.to_string(),
                state: state.to_owned(),
                ago,
                why,
            }
        });
        Canaries {
            count,
            refused,
            shown: shown.collect(),
        }
    }

    fn doubted(&self) -> Doubted {
        let (count, doubts) = self.member.doubts(SHOWN);
        let shown = doubts.into_iter().map(|doubt| Doubt {
            domain: doubt.witness.domain().to_string(),
            recipient: doubt.witness.to_string(),
            why: doubt.words.to_string(),
            ago: ago(doubt.since),
        });
        Doubted {
            count: count as u64,
            shown: shown.collect(),
        }
    }

    fn not_understood(&self) -> NotUnderstood {
        let not_understood = self.member.not_understood();
        let questions = not_understood.counts();
        let texts = not_understood.most_frequent(TEXTS_SHOWN).into_iter();
        let shown = texts.map(|(text, count)| Refusal {
            question: text.question.to_owned(),
            status: text.status,
            phrase: text.phrase,
            count,
        });
        NotUnderstood {
            count: questions.iter().map(|(_, count)| count).sum(),
            shown: shown.collect(),
            questions: questions.into(),
        }
    }

    fn catch_all(&self) -> Option<CatchAll> {
        let domains = self.member.catch_alls(SHOWN)?;
        Some(CatchAll {
            count: self.member.report().catch_all_domains as u64,
            shown: domains.iter().map(ToString::to_string).collect(),
        })
    }
}

fn sessions(pool: &pool::Report) -> Pool {
    let (sessions, counts) = (&pool.sessions, &pool.counts);
    let opening_took = Timed::from(counts.opened.get());
    Pool {
        busy: sessions.busy as u64,
        idle: sessions.idle as u64,
        opening: sessions.opening as u64,
        closing: sessions.closing as u64,
        max: sessions.max as u64,
        ceiling: sessions.ceiling.map(|ceiling| ceiling as u64),
        waiting: sessions.waiting as u64,
        queue: pool.queue as u64,
        failures: pool.failures.into(),
        pause_us: pool.pause.map(|pause| pause.as_micros() as u64),
        opened: opening_took.count,
        reused: counts.reused.get(),
        queued: counts.queued.get().into(),
        probed: counts.probed.get().into(),
        opening_took,
        errors: counts
            .errors
            .get()
            .map(|(kind, count)| (kind.name(), count))
            .collect(),
        // Opening one waits in no queue.
        not_opened: (counts.not_opened.get())
            .filter(|(kind, _)| *kind != Kind::Overload)
            .map(|(kind, count)| (kind.name(), count))
            .collect(),
        closed: counts
            .closed()
            .map(|(reason, count)| (reason.name(), count))
            .collect(),
    }
}

fn encryption(tls: &tls::Report) -> Tls {
    let certificate = |der: Option<&Vec<u8>>| {
        let ends = der.and_then(|der| certificate::end_of(der))?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?.as_secs();
        let left = i128::from(ends) - i128::from(now);
        let days_left = i64::try_from(left.div_euclid(24 * 3600)).ok()?;
        Some(Certificate { ends, days_left })
    };
    let last = tls.last.as_ref();
    Tls {
        agreed: tls.agreed,
        failed: tls.failed,
        // As its standard writes it; the library has it as TLSv1_3.
        version: last.map(|details| details.version.replace("TLSv1_", "TLS 1.")),
        certificate: certificate(last.map(|details| &details.certificate)),
        own_certificate: certificate(tls.own_certificate.as_ref()),
    }
}

fn ago(at: Instant) -> u64 {
    at.elapsed().as_secs()
}
