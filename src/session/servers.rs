//! The servers of a directory, any of which can answer, and which of them is called first.

use std::sync::Arc;

use tokio::time::{Instant, timeout_at};

use super::discovery::{Discovery, Make, Source};
use super::dns::Resolver;
use super::error::{Error, Kind, LOOK_UP};
use super::remote::Remote;
use super::server::Server;
use super::tls;
use crate::chance::Chance;

/// The servers of a directory: each has the same accounts.
pub struct Servers {
    /// How errors that are of no one server name them all: `mailbox (mail1.example.org:25, mail2.example.org:25)`.
    pub peer: Arc<str>,
    /// TLS of one of them, whose report is that of all.
    pub tls: Arc<tls::Client>,
    /// Draws the pauses between tries.
    pub chance: Chance,
    /// A map of routes names them, and no key of the directory.
    pub(super) by_map: bool,
    source: Which,
}

enum Which {
    /// Those of the configuration.
    Listed(Vec<Arc<Server>>),
    /// Those that DNS names.
    Found(Arc<Discovery>),
}

impl Servers {
    /// These servers, in the order in which they are called.
    pub fn new(peer: Arc<str>, first: Remote, others: Vec<Remote>) -> Self {
        let (tls, chance) = (first.tls.clone(), first.chance.clone());
        let all = [first].into_iter().chain(others);
        Self {
            peer,
            tls,
            chance,
            by_map: false,
            source: Which::Listed(all.map(|remote| Arc::new(Server::new(remote))).collect()),
        }
    }

    /// Those that DNS names at `source`; `make` makes the remote of each, with what it shares with `tls`.
    pub fn found(
        peer: Arc<str>,
        tls: Arc<tls::Client>,
        source: Source,
        resolver: Resolver,
        make: Make,
    ) -> Self {
        let chance = Chance::default();
        Self {
            peer,
            tls,
            chance: chance.clone(),
            by_map: false,
            source: Which::Found(Arc::new(Discovery::new(source, resolver, chance, make))),
        }
    }

    /// The same, where a map of routes names them: what to do about an error is then said of its line.
    #[must_use]
    pub fn of_a_map(self) -> Self {
        Self { by_map: true, ..self }
    }

    /// Each server by itself, in the order in which they are called; and of DNS records, which name no server that is
    /// called, and why.
    ///
    /// # Errors
    /// DNS names none, or gives no answer by `deadline`.
    pub async fn each(&self, deadline: Instant) -> Result<(Vec<Self>, Vec<String>), Error> {
        let servers = self.in_order(deadline).await?.into_iter().map(|server| Self {
            peer: server.remote.peer.clone(),
            tls: self.tls.clone(),
            chance: self.chance.clone(),
            by_map: self.by_map,
            source: Which::Listed(vec![server]),
        });
        let not_called = match &self.source {
            Which::Listed(_) => Vec::new(),
            Which::Found(discovery) => discovery.not_called().await,
        };
        Ok((servers.collect(), not_called))
    }

    /// There is no server to call.
    pub(super) fn none(&self) -> Error {
        Error::new(Kind::Unreachable, &self.peer, LOOK_UP, "there is no server")
    }

    /// In the order in which they are called now.
    ///
    /// # Errors
    /// DNS names none, or gives no answer by `deadline`.
    pub(super) async fn in_order(&self, deadline: Instant) -> Result<Vec<Arc<Server>>, Error> {
        let mut list = match &self.source {
            Which::Listed(list) => list.clone(),
            Which::Found(discovery) => match timeout_at(deadline, discovery.servers(&self.peer)).await {
                Ok(servers) => servers?,
                Err(_) => {
                    return Err(Error::new(
                        Kind::Timeout,
                        &self.peer,
                        LOOK_UP,
                        "no answer in time",
                    ));
                }
            },
        };
        // Each is asked once: time goes on, and so do the others that open sessions.
        list.sort_by_cached_key(|server| server.is_worse());
        Ok(list)
    }
}

/// The only server.
impl From<Remote> for Servers {
    fn from(remote: Remote) -> Self {
        Self::new(remote.peer.clone(), remote, Vec::new())
    }
}
