//! Logins by IMAP.

use std::future::{Future, ready};
use std::pin::Pin;
use std::sync::Arc;

use tokio::time::Instant;
use vouch_protocol::sasl::RelayedMechanism;

use super::judge::replies::Replies;
use super::{Counted, Directory, Logins, Offers, Report, Terms, judge, judged_answer, origin};
use crate::session::imap::LoginSession;
use crate::session::pool::{Gate, Limits};
use crate::session::{self, Pool, Servers, tls};
use crate::settings::directory as keys;
use crate::verdict::{Abstention, Cause, Kind, Question, UserName, Verdict};

/// An IMAP server that is asked whether logins are good.
pub struct Imap {
    logins: Logins<LoginSession>,
    forward_client: bool,
    tls: Arc<tls::Client>,
}

impl Imap {
    /// A directory that has not called its remote yet. What happens is counted in `counted`.
    pub fn new(servers: Arc<Servers>, keys: &keys::Directory, counted: &Counted) -> Self {
        let (peer, tls) = (servers.peer.clone(), servers.tls.clone());
        let gate = Arc::new(Gate::new(servers.chance.clone()));
        let offers = Offers::default();
        let (heard, auth) = (offers.clone(), Arc::new(keys.auth.clone()));
        let open = Box::new(move |deadline| {
            let (servers, auth, heard) = (servers.clone(), auth.clone(), heard.clone());
            let opening = async move {
                let session = LoginSession::open(&servers, &auth, deadline).await?;
                heard.note(session.relays());
                Ok(session)
            };
            Box::pin(opening) as Pin<Box<dyn Future<Output = _> + Send>>
        });
        let replies = Replies::from(&keys.replies);
        let judge = Box::new(move |question: &session::Login, answer| {
            let user = UserName::new(question.attempt.user());
            judged_answer(answer, |outcome| judge::imap::judge(&replies, &user, outcome))
        });
        let pool = Pool::new(
            peer,
            Limits::of_logins(keys),
            (&gate, &counted.logins),
            open,
            judge,
        );
        Self {
            logins: Logins::new(pool, keys.auth.username.clone(), offers),
            forward_client: keys.auth.forward_client,
            tls,
        }
    }
}

impl Directory for Imap {
    fn can_answer(&self, kind: &Kind) -> bool {
        matches!(kind, Kind::Login { .. })
    }

    fn probe<'a>(
        &'a self,
        question: &'a Question,
        terms: Terms,
    ) -> Pin<Box<dyn Future<Output = Verdict> + Send + 'a>> {
        match &question.kind {
            Kind::Login { user, proof } => {
                let origin = origin(&question.client).filter(|_| self.forward_client);
                let client = (&question.client, origin);
                Box::pin(self.logins.ask(user, proof, client, terms))
            }
            Kind::Recipient(_) => Box::pin(ready(Verdict::Abstain(Abstention::NotOurs))),
        }
    }

    fn relays(&self) -> Option<Vec<RelayedMechanism>> {
        self.logins.offers.last()
    }

    fn note_offers(&self, carried: Vec<RelayedMechanism>) {
        self.logins.offers.note(carried);
    }

    fn call<'a>(&'a self, deadline: Instant) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>> {
        Box::pin(self.logins.pool.call(deadline))
    }

    fn is_crowded(&self, _: &Kind) -> bool {
        self.logins.is_crowded()
    }

    fn away(&self) -> Option<Cause> {
        self.logins.away()
    }

    fn report(&self) -> Option<Report> {
        Some(Report {
            pools: vec![("login", self.logins.pool.report())],
            tls: self.tls.report(),
        })
    }
}
