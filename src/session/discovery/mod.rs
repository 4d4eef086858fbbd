//! The servers that DNS names: by MX records (RFC 5321 section 5.1, RFC 7505), or by SRV records (RFC 2782).
//!
//! An answer holds for its TTL, within bounds. While nobody answers, the last one serves. Which of its servers may be called is
//! decided in `rank`.

mod rank;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Mutex as Turn;
use tokio::time::{Instant, timeout};

use super::dns::{Record, Resolver, Said};
use super::error::{Error, Kind, LOOK_UP};
use super::lookup::Host;
use super::remote::Remote;
use super::server::Server;
use crate::chance::Chance;
use crate::settings::address::MAX_SERVERS;
use crate::telemetry::faults::EVERY;
use rank::{draw, elsewhere, is_host, places};

/// Bound (sessions): least time for which an answer with MX or SRV records is used again, whatever its TTL. Beyond: they
/// are looked up again. Why: a TTL of 0 would have the resolver asked for each session.
const LEAST_TTL: Duration = Duration::from_secs(10);

/// Bound (sessions): longest time for which an answer with MX or SRV records is used, whatever its TTL. Beyond: they are
/// looked up again. Why: a server that moved is found within the hour.
const LONGEST_TTL: Duration = Duration::from_secs(3600);

/// Bound (sessions): time for which an answer without MX or SRV records is used again. Beyond: they are looked up again. Why:
/// as long as a fault of a zone may go unnoticed.
const NOTHING_TTL: Duration = Duration::from_secs(60);

/// Bound (sessions): wait for MX or SRV records of a name that had some before. Beyond: the old ones are used. Why: RFC 8767
/// section 5.
const OLD_RECORDS_WAIT: Duration = Duration::from_millis(1800);

/// Bound (sessions): time before a resolver that gave no answer is asked for MX or SRV records again. Beyond: it is asked.
/// Why: with a session for each login, it would be asked hundreds of times a second.
const RETRY: Duration = Duration::from_secs(1);

/// What DNS is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// The MX records of a domain; this is the name of this machine, which is none of them.
    Mx {
        /// The domain.
        domain: String,
        /// This machine.
        own_name: String,
        /// The port of all.
        port: u16,
    },
    /// The SRV records of this name.
    Srv(String),
}

/// Makes the remote of a host and port; `true` where it is a backup MX. `None` where it can be in no certificate.
pub type Make = Box<dyn Fn(&str, u16, bool) -> Option<Remote> + Send + Sync>;

/// The servers that DNS names.
pub(super) struct Discovery {
    source: Source,
    resolver: Resolver,
    chance: Chance,
    make: Make,
    turn: Turn<()>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    found: Option<Found>,
    /// When it was last not answered.
    failed: Option<(Instant, NoAnswer)>,
    /// Since when there is no answer, if there was one before.
    silent: Option<Instant>,
    told: Option<Instant>,
}

/// Nobody knows the records, and why.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
struct NoAnswer(String);

/// What an answer comes to.
#[derive(Clone)]
struct Found {
    candidates: Vec<Candidate>,
    /// Of each record why its server is not called, and why there is none at all.
    not_called: Vec<String>,
    at: Instant,
    holds: Duration,
}

/// A server that may be called.
#[derive(Clone)]
struct Candidate {
    record: Record,
    server: Arc<Server>,
}

impl Discovery {
    pub(super) fn new(source: Source, resolver: Resolver, chance: Chance, make: Make) -> Self {
        Self {
            source,
            resolver,
            chance,
            make,
            turn: Turn::default(),
            state: Mutex::default(),
        }
    }

    /// The servers in the order of their records, those of equal rank by chance.
    ///
    /// # Errors
    /// There is none to be called, or nobody knows; `peer` is the directory's name.
    pub(super) async fn servers(self: &Arc<Self>, peer: &Arc<str>) -> Result<Vec<Arc<Server>>, Error> {
        let found = self.found().await.map_err(|why| {
            let detail = format!("{}: {why}", self.source);
            let advice = "this host's resolver does not answer: see /etc/resolv.conf; directory.NAME.address can list hosts \
                          instead";
            Error::new(Kind::Timeout, peer, LOOK_UP, detail).advise(advice)
        })?;
        if found.candidates.is_empty() {
            let detail = format!("{}: {}", self.source, found.not_called.join("; "));
            let advice = "see what DNS says (`vouch check --online`), and directory.NAME.address";
            return Err(Error::new(Kind::Config, peer, LOOK_UP, detail).advise(advice));
        }
        Ok(self.in_order(found.candidates))
    }

    /// Which records name no server that is called, and why.
    pub(super) async fn not_called(self: &Arc<Self>) -> Vec<String> {
        self.found()
            .await
            .map(|found| found.not_called)
            .unwrap_or_default()
    }

    fn in_order(&self, candidates: Vec<Candidate>) -> Vec<Arc<Server>> {
        let mut ordered = Vec::with_capacity(candidates.len());
        let mut rest = candidates;
        while let Some(first) = rest.first() {
            let preference = first.record.preference;
            let equal = rest.iter().take_while(|it| it.record.preference == preference);
            let weights: Vec<u64> = equal.map(|it| u64::from(it.record.weight)).collect();
            ordered.push(rest.remove(draw(&weights, &self.chance)).server);
        }
        ordered
    }

    async fn found(self: &Arc<Self>) -> Result<Found, NoAnswer> {
        let last = match self.state.lock().now() {
            Now::Fresh(found) => return Ok(found),
            Now::Failed(why) => return Err(why),
            Now::Old(found, patience) => Some((found, patience)),
            Now::Nothing => None,
        };
        let asking = tokio::spawn(self.clone().look_up());
        let Some((last, patience)) = last else {
            return asking.await.map_err(|error| NoAnswer(error.to_string()))?;
        };
        match timeout(patience, asking).await {
            Ok(Ok(Ok(found))) => Ok(found),
            Ok(_) => Ok(last),
            Err(_) => {
                self.has_no_answer(NoAnswer("no answer in time".to_owned()));
                Ok(last)
            }
        }
    }

    /// Asks in turn, unless an earlier caller has.
    async fn look_up(self: Arc<Self>) -> Result<Found, NoAnswer> {
        let _turn = self.turn.lock().await;
        match self.state.lock().now() {
            Now::Fresh(found) => return Ok(found),
            Now::Failed(why) => return Err(why),
            Now::Old(..) | Now::Nothing => {}
        }
        let asked = match &self.source {
            Source::Mx { domain, .. } => self.resolver.mx(domain).await,
            Source::Srv(name) => self.resolver.srv(name).await,
        };
        match asked {
            Ok(said) => {
                let found = self.choose(said).await;
                self.has_answer(found.clone());
                Ok(found)
            }
            Err(error) => {
                let why = NoAnswer(error.to_string());
                self.has_no_answer(why.clone());
                Err(why)
            }
        }
    }

    /// Which servers of the records may be called.
    async fn choose(&self, said: Said) -> Found {
        let known = self.state.lock().found.clone();
        let (mut records, holds) = match said {
            Said::Records(records, holds) => (records, holds.clamp(LEAST_TTL, LONGEST_TTL)),
            Said::NoRecords => (self.source.implicit(), NOTHING_TTL),
            Said::NoSuchName => (Vec::new(), NOTHING_TTL),
        };
        let mut not_called = Vec::new();
        if records.is_empty() {
            not_called.push("there are no such records".to_owned());
        }
        records.retain(|record| {
            let why = match &*record.host {
                "." => self.source.no_service(),
                host if is_host(host) && record.port != Some(0) => return true,
                _ => "not a host and a port",
            };
            not_called.push(format!("{record}: {why}"));
            false
        });
        let best = records.first().map_or(0, |record| record.preference);
        if let Source::Mx { own_name, port, .. } = &self.source {
            let look_up = |host: String| async move { Host::new(&host, *port).addresses().await };
            let places = places(&records, own_name, look_up).await;
            records = elsewhere(records, &places, &mut not_called);
        }
        for beyond in records.drain(MAX_SERVERS.min(records.len())..) {
            not_called.push(format!("{beyond}: {MAX_SERVERS} servers come before it"));
        }
        let mut candidates = Vec::with_capacity(records.len());
        for record in records {
            match self.server(&record, record.preference > best, known.as_ref()) {
                Some(server) => candidates.push(Candidate { record, server }),
                None => not_called.push(format!("{record}: no certificate can have this name")),
            }
        }
        Found {
            candidates,
            not_called,
            at: Instant::now(),
            holds,
        }
    }

    /// The server of a record: as before, where it is.
    fn server(&self, record: &Record, is_backup: bool, known: Option<&Found>) -> Option<Arc<Server>> {
        let port = match &self.source {
            Source::Mx { port, .. } => *port,
            Source::Srv(_) => record.port?,
        };
        let is_backup = is_backup && matches!(self.source, Source::Mx { .. });
        let is_it = |it: &&Candidate| {
            let backup = it.server.remote.is_backup;
            it.record.host == record.host && it.record.port == record.port && backup == is_backup
        };
        let known = known.and_then(|known| known.candidates.iter().find(is_it));
        if let Some(known) = known {
            return Some(known.server.clone());
        }
        (self.make)(&record.host, port, is_backup).map(|remote| Arc::new(Server::new(remote)))
    }

    fn has_answer(&self, found: Found) {
        let mut state = self.state.lock();
        let over = state.silent.take().filter(|since| state.told == Some(*since));
        state.failed = None;
        state.found = Some(found);
        drop(state);
        if let Some(since) = over {
            let (source, seconds) = (&self.source, since.elapsed().as_secs());
            tracing::info!("this host's resolver answers for {source} again, after {seconds} s");
        }
    }

    fn has_no_answer(&self, why: NoAnswer) {
        let mut state = self.state.lock();
        let now = Instant::now();
        state.failed = Some((now, why.clone()));
        let Some(found) = &state.found else { return };
        let seconds = now.duration_since(found.at).as_secs();
        if state.silent.is_some() {
            return;
        }
        state.silent = Some(now);
        if state.told.is_none_or(|told| told.elapsed() >= EVERY) {
            state.told = Some(now);
            drop(state);
            let source = &self.source;
            tracing::warn!(
                "this host's resolver does not answer for {source} ({why}); the servers of {seconds} s ago remain in use"
            );
        }
    }
}

/// What is known now.
enum Now {
    /// It holds, or nobody answered just now for another.
    Fresh(Found),
    /// It holds no more, and serves unless there is an answer in so much time.
    Old(Found, Duration),
    /// Nobody answered just now, and never before.
    Failed(NoAnswer),
    Nothing,
}

impl State {
    fn now(&self) -> Now {
        let failed = self.failed.as_ref().filter(|(at, _)| at.elapsed() < RETRY);
        match (&self.found, failed) {
            (Some(found), failed) if failed.is_some() || found.at.elapsed() < found.holds => {
                Now::Fresh(found.clone())
            }
            (Some(found), _) => {
                let patience = self.silent.map_or(OLD_RECORDS_WAIT, |_| Duration::ZERO);
                Now::Old(found.clone(), patience)
            }
            (None, Some((_, why))) => Now::Failed(why.clone()),
            (None, None) => Now::Nothing,
        }
    }
}

impl Source {
    /// Where mail goes to where there is no record: to the domain itself (RFC 5321 section 5.1).
    fn implicit(&self) -> Vec<Record> {
        match self {
            Self::Mx { domain, .. } => vec![Record {
                preference: 0,
                weight: 1,
                port: None,
                host: domain.clone(),
            }],
            Self::Srv(_) => Vec::new(),
        }
    }

    const fn no_service(&self) -> &'static str {
        match self {
            Self::Mx { .. } => "the domain takes no mail (RFC 7505)",
            Self::Srv(_) => "the service is not offered (RFC 2782)",
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mx { domain, .. } => write!(f, "MX records of {domain}"),
            Self::Srv(name) => write!(f, "SRV records of {name}"),
        }
    }
}

/// As a zone writes it.
impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            preference,
            weight,
            port,
            host,
        } = self;
        match port {
            None => write!(f, "{preference} {}", host.escape_default()),
            Some(port) => write!(f, "{preference} {weight} {port} {}", host.escape_default()),
        }
    }
}

#[cfg(test)]
mod tests;
