//! The gate in front of the engine, for the questions of every listener: access, penalty, the limits of the client's
//! session, the engine, and then what came of it is counted and logged.

use std::future::poll_fn;
use std::hash::Hash;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::counts::{Entry, ListenerCounts};
use super::penalty::{Failure, Offender, Penalty};
use crate::address::Domain;
use crate::address::access::Access;
use crate::address::network::Network;
use crate::engine::{Decision, Engine, Source};
use crate::fleet::guesses::Guesses;
use crate::settings::penalty;
use crate::verdict::{Abstention, Cause, Class, Client, Kind, Question, UserName, Verdict};

/// The limit of a client's session that is used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum UsedUp {
    /// [`ClientLimits::rcpt`](crate::settings::client_limits::ClientLimits::rcpt), by what is named.
    #[error("the {0} has used up listener limit rcpt")]
    Rcpt(&'static str),
    /// [`ClientLimits::rcpt_errors`](crate::settings::client_limits::ClientLimits::rcpt_errors), likewise.
    #[error("the {0} has used up listener limit rcpt-errors")]
    RcptErrors(&'static str),
    /// [`ClientLimits::auth_errors`](crate::settings::client_limits::ClientLimits::auth_errors)
    #[error("the client's session has used up listener limit auth-errors")]
    AuthErrors,
}

/// How much a client's session may ask, or fail.
pub(crate) trait SessionLimits: Send + Sync + 'static {
    /// How much that is.
    type Settings: PartialEq;
    /// A question, and whose it is.
    type Attempt<'a>: Send;
    /// The same, once it may be asked.
    type Ticket: Send;

    /// Nothing is counted yet.
    fn new(settings: Self::Settings) -> Self;

    /// How much that is.
    fn settings(&self) -> &Self::Settings;

    /// Counts a question.
    ///
    /// # Errors
    /// The limit that is used up.
    fn admit(&self, attempt: Self::Attempt<'_>) -> Result<Self::Ticket, UsedUp>;

    /// Counts what came of it.
    fn note(&self, ticket: Self::Ticket, decision: &Decision);
}

/// The limits where there are none.
pub(crate) struct Unlimited;

impl SessionLimits for Unlimited {
    type Settings = ();
    type Attempt<'a> = ();
    type Ticket = ();

    fn new((): ()) -> Self {
        Self
    }

    fn settings(&self) -> &() {
        &()
    }

    fn admit(&self, (): ()) -> Result<(), UsedUp> {
        Ok(())
    }

    fn note(&self, (): (), _: &Decision) {}
}

/// What else stands before a listener's engine; by default nothing does.
#[derive(Default)]
pub(super) struct Guards {
    pub(super) penalty: Option<penalty::Penalty>,
    /// What counts failures with other edges.
    pub(super) guesses: Option<Guesses>,
    pub(super) access: Access,
    /// Where logins may come from; everywhere, where it is `None`.
    pub(super) networks: Option<Vec<Network>>,
}

/// A listener's gate.
pub(crate) struct Gate<L> {
    pub(super) listener: String,
    pub(super) engine: Engine,
    pub(super) limits: Arc<L>,
    pub(super) penalty: Option<Arc<Penalty>>,
    pub(super) counts: Arc<ListenerCounts>,
    access: Access,
    networks: Option<Vec<Network>>,
}

impl<L: SessionLimits> Gate<L> {
    /// The gate of a listener that had `before`: what was counted under limits that are still the same counts on, and
    /// where users were accepted last is known on.
    pub(super) fn new(
        listener: &str,
        limits: L::Settings,
        guards: Guards,
        engine: Engine,
        before: Option<&Self>,
    ) -> Arc<Self> {
        let same = before.filter(|before| *before.limits.settings() == limits);
        let penalty = before.and_then(|before| before.penalty.as_ref());
        Arc::new(Self {
            listener: listener.to_owned(),
            limits: same.map_or_else(|| Arc::new(L::new(limits)), |same| same.limits.clone()),
            penalty: Penalty::under(listener, guards.penalty, guards.guesses, penalty),
            counts: before.map(|before| before.counts.clone()).unwrap_or_default(),
            access: guards.access,
            networks: guards.networks,
            engine: match before {
                Some(before) => engine.succeeding(&before.engine),
                None => engine,
            },
        })
    }

    /// The decision on a question by `deadline`. What the remote says once nobody waits any more, `late` hears.
    pub(super) fn ask(
        &self,
        question: Question,
        offender: Option<Offender>,
        attempt: L::Attempt<'_>,
        deadline: Instant,
        late: Option<Box<dyn FnOnce(Decision) + Send>>,
    ) -> impl Future<Output = Decision> + Send + use<'_, L> {
        let admitted = self.admit(&question, offender, attempt);
        let counting = offender.filter(|_| self.guesses().is_some());
        let counting = counting.map(|offender| (offender, user(&question.kind)));
        // An idle connection has room for the question once: what is borrowed above would be held twice here.
        async move {
            let ticket = match admitted {
                Ok(ticket) => ticket,
                Err(refused) => return *refused,
            };
            let decide = self.engine.decide_or_late(question, deadline, late);
            let decision = match counting {
                Some((offender, user)) => {
                    let decide = Box::pin(decide);
                    self.count_beside(offender, user, deadline, decide).await
                }
                None => decide.await,
            };
            self.limits.note(ticket, &decision);
            decision
        }
    }

    /// The decision, and beside the question to the remote the one to other edges, how often the client and the user have
    /// failed. What is known at once waits for nothing; of what the remote says, a refusal alone does.
    async fn count_beside(
        &self,
        offender: Offender,
        user: Option<UserName>,
        deadline: Instant,
        mut decide: Pin<Box<impl Future<Output = Decision> + Send>>,
    ) -> Decision {
        if let Poll::Ready(decision) = poll_fn(|cx| Poll::Ready(decide.as_mut().poll(cx))).await {
            return decision;
        }
        let mut look = Box::pin(async {
            let Some(penalty) = &self.penalty else { return };
            let account = user.map(|user| self.engine.account(&self.engine.complete(&user)));
            let account = account.as_ref().map(UserName::as_bytes);
            let _ = timeout_at(deadline, penalty.look(offender, account)).await;
        });
        tokio::select! {
            biased;
            decision = &mut decide => {
                if decision.is_refusal() || decision.is_failed_attempt() {
                    look.await;
                }
                decision
            }
            () = &mut look => decide.await,
        }
    }

    /// Lets a question through to the engine, or decides on it: nobody is asked for this client then.
    fn admit(
        &self,
        Question { kind, client }: &Question,
        offender: Option<Offender>,
        attempt: L::Attempt<'_>,
    ) -> Result<L::Ticket, Box<Decision>> {
        let directory = self.engine.directory_for(kind);
        let no = |verdict, source, directory| {
            Box::new(Decision {
                verdict,
                source,
                directory,
            })
        };
        // What is not ours costs nothing and counts for nothing. Whether to refuse a client is for Postfix to know.
        let not_ours = |source| no(Verdict::Abstain(Abstention::NotOurs), source, None);
        let login = match kind {
            Kind::Recipient(address) => {
                let access = &self.access;
                if access.client(client.address).is_err() || access.domain(Some(address.domain())).is_err() {
                    return Err(not_ours(Source::Access));
                }
                if directory.is_none() {
                    return Err(not_ours(Source::Local));
                }
                false
            }
            Kind::Login { user, .. } => {
                if let Some(verdict) = self.denies(user, client) {
                    return Err(no(verdict, Source::Access, directory));
                }
                true
            }
        };
        let put_off = |why: String| Verdict::Defer(Cause::ours(Class::Limit, why));
        let penalty = self.penalty.as_ref().zip(offender);
        if penalty.is_some_and(|(penalty, offender)| penalty.refuses(offender)) {
            let why = "the client has failed as often as listener penalty refuse-after says";
            return Err(no(put_off(why.to_owned()), Source::Penalty, directory));
        }
        let ticket = match self.limits.admit(attempt) {
            Ok(ticket) => ticket,
            Err(used_up) => return Err(no(put_off(used_up.to_string()), Source::Limit, directory)),
        };
        if login && !self.allows(client) {
            let why = "the client's address is not in ok.allow_nets";
            let verdict = Verdict::Reject(Cause::ours(Class::Policy, why));
            return Err(no(verdict, Source::Local, directory));
        }
        Ok(ticket)
    }

    /// The verdict on a login where the listener does not answer this client, or nothing about this
    /// user. Its login may be good, so it is no refusal: our administrator has decided this,
    /// and nobody has said anything about the password. The name of a dialog may be empty as
    /// yet; it is asked about once it is known.
    pub(super) fn denies(&self, user: &UserName, client: &Client) -> Option<Verdict> {
        let access = &self.access;
        let mut denied = access.client(client.address).err();
        if denied.is_none() && access.names_domains() && !user.as_bytes().is_empty() {
            let domain = user.domain().and_then(|domain| str::from_utf8(domain).ok());
            let domain = domain.and_then(|domain| Domain::parse(domain).ok());
            denied = access.domain(domain.as_ref()).err();
        }
        denied.map(|why| Verdict::Defer(Cause::ours(Class::Policy, why.to_string())))
    }

    /// Whether a login may come from there. A client without a known address is in
    /// no allowed network.
    fn allows(&self, client: &Client) -> bool {
        let Some(networks) = &self.networks else {
            return true;
        };
        client
            .address
            .is_some_and(|address| networks.iter().any(|network| network.has(address)))
    }

    /// To whom the failures of a client are laid.
    pub(super) fn offender(&self, client: &Client) -> Option<Offender> {
        self.penalty.as_ref()?.offender(client)
    }

    /// What counts failures with other edges, if there are any.
    pub(super) fn guesses(&self) -> Option<&Guesses> {
        self.penalty.as_ref()?.guesses()
    }

    /// How late the penalty has the answer; a failure is counted.
    pub(super) fn delay<T: Hash>(
        &self,
        offender: Option<Offender>,
        failure: Option<Failure<'_, T>>,
    ) -> Duration {
        let penalty = self.penalty.as_ref().zip(offender);
        penalty.map_or(Duration::ZERO, |(penalty, offender)| {
            penalty.delay(offender, failure)
        })
    }

    /// Counts and logs a decision.
    pub(super) fn tell(&self, entry: &Entry<'_>) {
        self.counts.tell(&self.listener, entry);
    }
}

/// The user of a login; `None` for a dialog, which names it later.
fn user(kind: &Kind) -> Option<UserName> {
    match kind {
        Kind::Login { user, .. } if !user.as_bytes().is_empty() => Some(user.clone()),
        Kind::Login { .. } | Kind::Recipient(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_must_be_known_and_allowed() {
        let gate = |networks: Option<&[&str]>| {
            let networks = networks.map(|networks| {
                let networks = networks.iter().map(|network| Network::parse(network).unwrap());
                networks.collect()
            });
            let guards = Guards {
                networks,
                ..Guards::default()
            };
            Gate::<Unlimited>::new("logins", (), guards, Engine::new(Vec::new(), None), None)
        };
        let some = gate(Some(&["192.0.2.0/24", "::1"]));
        let client = |address: Option<&str>| Client {
            address: address.and_then(|address| Client::address_in(address.as_bytes())),
            ..Client::default()
        };
        assert!(some.allows(&client(Some("192.0.2.9"))) && some.allows(&client(Some("::1"))));
        for address in [Some("198.51.100.1"), Some("NULL"), Some(""), None] {
            assert!(!some.allows(&client(address)), "{address:?}");
            assert!(gate(None).allows(&client(address)));
        }
    }
}
