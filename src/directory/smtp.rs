//! Recipients by SMTP or LMTP, and logins by SMTP AUTH.

use std::future::{Future, ready};
use std::pin::Pin;
use std::sync::Arc;

use tokio::time::Instant;
use vouch_protocol::sasl::RelayedMechanism;

use super::judge::recipient;
use super::judge::replies::Replies;
use super::{Counted, Directory, Logins, Offers, Report, Terms, judge, judged_answer, origin};
use crate::address::Address;
use crate::session::pool::counts::Counts;
use crate::session::pool::{Asker, Gate, Limits};
use crate::session::smtp::Hello;
use crate::session::smtp::auth::{AuthSession, InTwo};
use crate::session::smtp::recipients::{Heard, OneEach, Recipient, RecipientSession};
use crate::session::{self, Judged, Origin, Pool, Servers, tls};
use crate::settings::directory as keys;
use crate::verdict::{Abstention, Cause, Kind, Question, UserName, Verdict};

/// An SMTP or LMTP server that is asked about recipients and, by SMTP, logins.
///
/// The two do not share sessions: AUTH is refused inside a mail transaction
/// (RFC 4954 §4), and a session that is logged in answers for that user.
pub struct Smtp {
    knows_logins: bool,
    recipients: Pool<RecipientSession, Verdict>,
    logins: Logins<AuthSession>,
    forward_client: bool,
    tls: Arc<tls::Client>,
}

impl Smtp {
    /// A directory that has not called its remote yet. What happens is counted in `counted`.
    pub fn new(servers: Arc<Servers>, keys: &keys::Directory, counted: &Counted) -> Self {
        let (tls, gate) = (servers.tls.clone(), Arc::new(Gate::new(servers.chance.clone())));
        let hello = Arc::new(Hello::from(keys));
        let asked = (servers.clone(), hello.clone());
        let recipients = recipient_pool(asked, keys, (&gate, &counted.recipients));
        let offers = Offers::default();
        let logins = login_pool((servers, hello), keys, (&gate, &counted.logins), offers.clone());
        Self {
            // RFC 2033 knows AUTH no more than it forbids it; nobody offers it to end users.
            knows_logins: keys.knows_logins(),
            recipients,
            logins: Logins::new(logins, keys.auth.username.clone(), offers),
            forward_client: keys.auth.forward_client,
            tls,
        }
    }

    async fn recipient(&self, address: &Address, origin: Option<Origin>, terms: Terms) -> Verdict {
        let recipient = Recipient {
            wire: address.to_wire(),
            needs_utf8: address.needs_utf8(),
            origin,
        };
        let asker = Asker {
            waiters: terms.waiters,
            ..Asker::default()
        };
        match self.recipients.ask(recipient, asker).await {
            Ok(verdict) => verdict,
            Err(error) => judge::no_answer(&error),
        }
    }
}

fn recipient_pool(
    (servers, hello): (Arc<Servers>, Arc<Hello>),
    keys: &keys::Directory,
    shared: (&Arc<Gate>, &Arc<Counts>),
) -> Pool<RecipientSession, Verdict> {
    let peer = servers.peer.clone();
    let mail_from: Arc<[u8]> = keys.rcpt.mail_from.as_bytes().into();
    let reading = recipient::Settings::from(keys);
    let one_each = OneEach::default();
    let open = Box::new(move |deadline| {
        let (servers, hello) = (servers.clone(), hello.clone());
        let (mail_from, one_each) = (mail_from.clone(), one_each.clone());
        let opening =
            async move { RecipientSession::open(&servers, &hello, mail_from, one_each, deadline).await };
        Box::pin(opening) as Pin<Box<dyn Future<Output = _> + Send>>
    });
    let judge = Box::new(move |recipient: &Recipient, heard: Heard| {
        let judged = recipient::judge(&reading, &recipient.wire, heard.answer);
        match heard.by_backup {
            false => judged,
            true => Judged {
                verdict: judged.verdict.by_backup(),
                ..judged
            },
        }
    });
    Pool::new(peer, Limits::of_recipients(keys), shared, open, judge)
}

fn login_pool(
    (servers, hello): (Arc<Servers>, Arc<Hello>),
    keys: &keys::Directory,
    shared: (&Arc<Gate>, &Arc<Counts>),
    offers: Offers,
) -> Pool<AuthSession, Verdict> {
    let peer = servers.peer.clone();
    let mechanism = keys.auth.mechanism;
    let in_two = InTwo::default();
    let open = Box::new(move |deadline| {
        let (servers, hello) = (servers.clone(), hello.clone());
        let (in_two, offers) = (in_two.clone(), offers.clone());
        let opening = async move {
            let session = AuthSession::open(&servers, &hello, mechanism, in_two, deadline).await?;
            offers.note(session.relays());
            Ok(session)
        };
        Box::pin(opening) as Pin<Box<dyn Future<Output = _> + Send>>
    });
    let replies = Replies::from(&keys.replies);
    let judge = Box::new(move |question: &session::Login, answer| {
        let user = UserName::new(question.attempt.user());
        judged_answer(answer, |outcome| {
            judge::smtp_auth::judge(&replies, &user, outcome)
        })
    });
    Pool::new(peer, Limits::of_logins(keys), shared, open, judge)
}

impl Directory for Smtp {
    fn can_answer(&self, kind: &Kind) -> bool {
        match kind {
            Kind::Recipient(_) => true,
            Kind::Login { .. } => self.knows_logins,
        }
    }

    fn probe<'a>(
        &'a self,
        question: &'a Question,
        terms: Terms,
    ) -> Pin<Box<dyn Future<Output = Verdict> + Send + 'a>> {
        let origin = origin(&question.client).filter(|_| self.forward_client);
        match &question.kind {
            Kind::Recipient(address) => Box::pin(self.recipient(address, origin, terms)),
            kind if !self.can_answer(kind) => Box::pin(ready(Verdict::Abstain(Abstention::NotOurs))),
            Kind::Login { user, proof } => {
                let client = (&question.client, origin);
                Box::pin(self.logins.ask(user, proof, client, terms))
            }
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
        let mut pools = vec![("recipient", self.recipients.report())];
        if self.knows_logins {
            pools.push(("login", self.logins.pool.report()));
        }
        Some(Report {
            pools,
            tls: self.tls.report(),
        })
    }
}
