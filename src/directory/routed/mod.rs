//! Many servers, of which a map says which one knows whom: each with sessions, pauses and a health of its own, so that
//! a dead one delays no question to another.

mod report;
mod servers;

use std::future::{Future, ready};
use std::pin::Pin;
use std::sync::Arc;

use super::health::Health;
use super::{Counted, Directory, Terms};
use crate::address::Address;
use crate::settings::kind::Kind as Type;
use crate::settings::routes::map::{Map, Route, Server};
use crate::verdict::{Abstention, Cause, Class, Kind, Question, Verdict};
pub use servers::{Make, Servers};

/// Where a map leads a question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lead {
    /// To this server.
    Server(String),
    /// To none, for this reason.
    Nowhere(String),
}

/// The servers of a map.
pub struct Routed {
    kind: Type,
    map: Arc<Map>,
    servers: Arc<Servers>,
}

impl Routed {
    /// A directory of this type, whose map leads to these servers. They may be those of another directory, whose
    /// sessions then go on.
    pub fn new(kind: Type, map: Arc<Map>, servers: Arc<Servers>) -> Self {
        Self { kind, map, servers }
    }

    /// Where the map leads the user or recipient of a question.
    fn route_of(&self, kind: &Kind) -> Option<Route<'_>> {
        match kind {
            Kind::Recipient(address) => self.map.find(address.local(), address.domain()),
            Kind::Login { user, .. } => {
                let address = Address::from_unquoted(user.as_bytes()).ok()?;
                self.map.find(address.local(), address.domain())
            }
        }
    }

    async fn ask(&self, server: &Arc<Server>, question: &Question, terms: Terms) -> Verdict {
        match self.servers.lease(server) {
            Ok(lease) => lease.directory().probe(question, terms).await,
            Err(why) => Verdict::Defer(why),
        }
    }
}

impl Directory for Routed {
    fn can_answer(&self, kind: &Kind) -> bool {
        match kind {
            Kind::Recipient(_) => self.kind.knows_recipients(),
            Kind::Login { .. } => self.kind.knows_logins(),
        }
    }

    fn probe<'a>(
        &'a self,
        question: &'a Question,
        terms: Terms,
    ) -> Pin<Box<dyn Future<Output = Verdict> + Send + 'a>> {
        match self.route_of(&question.kind) {
            Some(Route::Server(server)) if self.can_answer(&question.kind) => {
                Box::pin(self.ask(server, question, terms))
            }
            _ => Box::pin(ready(Verdict::Abstain(Abstention::NotOurs))),
        }
    }

    fn is_crowded(&self, kind: &Kind) -> bool {
        match self.route_of(kind) {
            Some(Route::Server(server)) => {
                let lease = self.servers.lease(server);
                lease.is_ok_and(|lease| lease.directory().is_crowded(kind))
            }
            _ => false,
        }
    }

    fn report(&self) -> Option<super::Report> {
        Some(self.servers.sums(self.kind))
    }

    fn health(&self) -> Health {
        self.servers.health()
    }

    fn servers(&self) -> Option<crate::report::Routed> {
        Some(self.servers.report(&self.map))
    }

    fn server_for(&self, kind: &Kind) -> Option<Lead> {
        Some(match self.route_of(kind) {
            Some(Route::Server(server)) => Lead::Server(server.to_string()),
            Some(Route::Kept(kept)) => Lead::Nowhere(format!("its map leads there by {}", kept.way)),
            None => Lead::Nowhere("its map has no route there".to_owned()),
        })
    }
}

/// There is no room for one more server.
fn no_room(most: usize) -> Cause {
    let text = format!("{most} servers are being asked (pool.max-servers), and none of them is idle");
    Cause::ours(Class::Overload, text)
}
