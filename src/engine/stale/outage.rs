//! How the servers of a directory are, as far as their answers to logins tell.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::telemetry::words::spoken;
use crate::verdict::{Cause, Reach};

/// A server of a map; `None` where the directory has no map, and so one server, or several with the same accounts.
pub(in crate::engine) type ServerName = Option<String>;

/// Bound (cache): time for which a server's reply to a login is known. Beyond: it is forgotten once many servers are known.
/// Why: no question waits for so long, and a reply before a question says nothing about it.
const REPLY_KNOWN: Duration = Duration::from_secs(3600);

/// Bound (cache): servers of maps whose replies to logins are known. Beyond: those of which nothing is to be known any more
/// are forgotten. Why: the maps name them, and no client.
const SERVERS_KNOWN: usize = 1024;

/// The servers, each by itself: what one replies says nothing of another.
pub(super) struct Outages {
    /// The directory's name, for the log.
    name: Arc<str>,
    servers: Mutex<HashMap<ServerName, Outage>>,
}

/// How one is.
#[derive(Debug, Default)]
struct Outage {
    /// Its last reply to a login.
    replied: Option<Instant>,
    /// It has left a login without a word for as long as a command may take, and has not replied to any since.
    is_silent: bool,
    /// Logins that were accepted from memory since, and when the first of them was.
    accepted: Option<(u64, Instant)>,
}

impl Outage {
    fn says_nothing(&self) -> bool {
        let replied = self
            .replied
            .is_some_and(|replied| replied.elapsed() < REPLY_KNOWN);
        !replied && !self.is_silent && self.accepted.is_none()
    }
}

impl Outages {
    pub(super) fn new(name: Arc<str>) -> Self {
        Self {
            name,
            servers: Mutex::default(),
        }
    }

    /// How far a question about a login came at a server.
    pub(super) fn note(&self, server: ServerName, reach: Reach) {
        match reach {
            Reach::Heard => {
                let called = self.called(&server);
                let ended = self.with(server, |outage| {
                    outage.replied = Some(Instant::now());
                    outage.is_silent = false;
                    outage.accepted.take()
                });
                if let Some((accepted, _)) = ended {
                    tracing::info!(
                        accepted,
                        "{called}: it replies to logins again: none is accepted from the cache any more \
                         (cache.credentials.stale)"
                    );
                }
            }
            Reach::Silent => self.with(server, |outage| outage.is_silent = true),
            Reach::Unknown | Reach::Away => {}
        }
    }

    /// See [`super::StaleLogins::is_down`].
    pub(super) fn is_down(&self, server: &ServerName, reach: Reach, asked: Instant) -> bool {
        let servers = self.servers.lock();
        let known = servers.get(server);
        let replied = known.and_then(|outage| outage.replied);
        let replied = replied.is_some_and(|replied| replied > asked);
        match reach {
            Reach::Away => !replied,
            Reach::Silent => !replied && known.is_some_and(|outage| outage.is_silent),
            Reach::Heard | Reach::Unknown => false,
        }
    }

    /// A login of the last `lasts` is accepted from memory; `cause` is why its server gave no answer.
    pub(super) fn note_accepted(&self, server: ServerName, lasts: Duration, cause: &Cause) {
        let called = self.called(&server);
        let is_news = self.with(server, |outage| {
            let is_news = outage.accepted.is_none();
            outage.accepted.get_or_insert((0, Instant::now())).0 += 1;
            is_news
        });
        if is_news {
            tracing::warn!(
                "{called}: logins that were good within the last {} are accepted from the cache, since it gives no answer \
                 (cache.credentials.stale): {cause}",
                spoken(lasts)
            );
        }
    }

    /// Logins that were accepted from memory since their servers last replied to one, and when the first of them was.
    pub(super) fn accepted(&self) -> Option<(u64, Instant)> {
        let servers = self.servers.lock();
        let accepted = servers.values().filter_map(|outage| outage.accepted);
        accepted.reduce(|(some, one), (more, other)| (some + more, one.min(other)))
    }

    /// How the log calls a server.
    fn called(&self, server: &ServerName) -> String {
        match server {
            Some(server) => format!("{} ({server})", self.name),
            None => self.name.to_string(),
        }
    }

    fn with<T>(&self, server: ServerName, change: impl FnOnce(&mut Outage) -> T) -> T {
        let mut servers = self.servers.lock();
        if servers.len() >= SERVERS_KNOWN && !servers.contains_key(&server) {
            servers.retain(|_, outage| !outage.says_nothing());
        }
        change(servers.entry(server).or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verdict::Class;

    #[tokio::test(start_paused = true)]
    async fn what_one_server_of_a_map_replies_says_nothing_of_another() {
        let outages = Outages::new("m".into());
        let (a, b) = (Some("a".to_owned()), Some("b".to_owned()));
        let asked = Instant::now();
        tokio::time::advance(Duration::from_secs(1)).await;
        outages.note(a.clone(), Reach::Heard);
        outages.note(b.clone(), Reach::Silent);
        for (server, away, silent) in [(&a, false, false), (&b, true, true), (&None, true, false)] {
            assert_eq!(outages.is_down(server, Reach::Away, asked), away, "{server:?}");
            assert_eq!(
                outages.is_down(server, Reach::Silent, asked),
                silent,
                "{server:?}"
            );
        }
        let cause = Cause::ours(Class::Unreachable, "it is not there");
        outages.note_accepted(b.clone(), Duration::from_secs(60), &cause);
        outages.note(a, Reach::Heard);
        assert_eq!(outages.accepted().map(|(count, _)| count), Some(1));
        outages.note(b, Reach::Heard);
        assert_eq!(outages.accepted(), None);
    }

    // Fills SERVERS_KNOWN, REPLY_KNOWN.
    #[tokio::test(start_paused = true)]
    async fn servers_of_former_maps_are_forgotten() {
        let outages = Outages::new("m".into());
        for number in 0..SERVERS_KNOWN + 10 {
            outages.note(Some(number.to_string()), Reach::Heard);
        }
        tokio::time::advance(REPLY_KNOWN).await;
        outages.note(Some("new".to_owned()), Reach::Heard);
        assert_eq!(outages.servers.lock().len(), 1);
    }
}
