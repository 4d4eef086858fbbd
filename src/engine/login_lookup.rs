//! What a directory says of logins. A user that it accepts is trusted from then on.

use std::pin::pin;
use std::sync::Arc;

use tokio::time::{Instant, timeout_at};
use vouch_protocol::secret::Secret;

use super::Source;
use super::entry::State;
use super::epoch::{Epoch, Generation};
use super::flight::{Flights, Late};
use super::logins::{LoginKey, Logins, Tag};
use super::lookup::{self, Answer, Asked, Decided, Lookup, STALE_PATIENCE};
use super::lookups::Lookups;
use super::not_understood::NotUnderstood;
use super::stale::{ServerName, StaleLogins};
use super::trust::{Sign, Trust};
use super::trusted_elsewhere::TrustedElsewhere;
use crate::directory::routed::Lead;
use crate::directory::{Directory, Terms};
use crate::verdict::{Abstention, Cause, Kind, Proof, Question, UserName, Verdict};
use crate::waiting::Waiters;

/// Of a login that nobody could be asked about, for the log.
const NOT_REMEMBERED: &str =
    "counts as a failed login, since it is not a remembered one (cache.credentials.stale)";

/// A directory's logins.
pub(super) struct LoginLookup {
    pub(super) directory: Arc<dyn Directory>,
    pub(super) not_understood: Arc<NotUnderstood>,
    pub(super) memory: Arc<Logins>,
    pub(super) trust: Arc<Trust>,
    /// Whom other edges trust; `None` where this is the only one.
    pub(super) trusted_elsewhere: Option<TrustedElsewhere>,
    /// The client's address is handed on.
    pub(super) forward_client: bool,
    pub(super) flights: Flights<(Generation, (UserName, LoginKey)), Verdict>,
}

impl LoginLookup {
    /// What is remembered of a login, or what the directory says now.
    pub(super) fn decide(
        self: &Arc<Self>,
        question: Question,
        deadline: Instant,
        late: Option<Arc<Late<Verdict>>>,
    ) -> Answer<'_> {
        lookup::decide(self, self.key(&question), question, deadline, late)
    }

    /// `None` for a dialog, whose answer is to the challenges of this very one.
    fn key(&self, question: &Question) -> Option<(UserName, LoginKey)> {
        let Kind::Login { user, proof } = &question.kind else {
            return None;
        };
        let key = LoginKey {
            tag: self.tag(user, proof)?,
            client: question.client.address.filter(|_| self.forward_client),
        };
        Some((user.clone(), key))
    }

    /// The memory for a remote that is down, and the password that it may know; `None` for another proof.
    fn stale<'a>(&'a self, question: &'a Question) -> Option<(&'a StaleLogins, &'a Secret<[u8]>)> {
        let stale = self.memory.stale.as_ref()?;
        match &question.kind {
            Kind::Login {
                proof: Proof::Password(password),
                ..
            } => Some((stale, password)),
            Kind::Login { .. } | Kind::Recipient(_) => None,
        }
    }

    /// The server of a map that is asked; `None` without a map.
    fn server(&self, question: &Question) -> ServerName {
        match self.directory.server_for(&question.kind)? {
            Lead::Server(server) => Some(server),
            Lead::Nowhere(_) => None,
        }
    }

    /// Why a question that waits cannot be asked, where no session lives and none can be opened.
    fn away(&self, asked: &Asked<(UserName, LoginKey)>) -> Option<Cause> {
        let of = (asked.generation, asked.key.clone());
        if self.flights.is_sent(&of) {
            return None;
        }
        self.directory.away()
    }

    /// Whether another edge has accepted the user lately. That is of no matter, and not asked, to a login that need not wait.
    async fn is_trusted_elsewhere(&self, question: &Question, user: &UserName) -> bool {
        match &self.trusted_elsewhere {
            Some(elsewhere) if self.directory.is_crowded(&question.kind) => {
                elsewhere.has(user, &question.client).await
            }
            _ => false,
        }
    }

    /// Notes what came of a login, here and for other edges.
    fn note_trust(&self, question: &Question, user: &UserName, sign: &Sign, verdict: &Verdict) {
        self.trust.note(user, sign, verdict);
        if let Some(elsewhere) = &self.trusted_elsewhere {
            elsewhere.note(user, &question.client, verdict);
        }
    }

    /// What a login is known by; `None` for a dialog.
    pub(super) fn tag(&self, user: &UserName, proof: &Proof) -> Option<Tag> {
        match proof {
            Proof::Password(password) => Some(self.memory.tag(user, b"", password)),
            Proof::Token { mechanism, rest } => {
                Some(self.memory.tag(user, mechanism.name().as_bytes(), rest))
            }
            Proof::Relay(_) => None,
        }
    }
}

impl Lookup for LoginLookup {
    type Key = (UserName, LoginKey);

    fn lookups(&self) -> &Lookups {
        &self.memory.lookups
    }

    fn epoch(&self) -> &Epoch {
        &self.memory.epoch
    }

    fn flights(&self) -> &Flights<(Generation, Self::Key), Verdict> {
        &self.flights
    }

    fn recall(&self, (user, key): &Self::Key) -> Option<(State, Verdict)> {
        Some((State::Fresh, self.memory.recall(user, key)?))
    }

    async fn ask(&self, question: &Question, waiters: Waiters) -> Verdict {
        let Kind::Login { user, proof } = &question.kind else {
            return Verdict::Abstain(Abstention::NotOurs);
        };
        let sign = self.trust.sign(user, proof, &question.client);
        let trusted = self.trust.has(user, &sign) || self.is_trusted_elsewhere(question, user).await;
        let terms = Terms { trusted, waiters };
        let verdict = self.directory.probe(question, terms).await;
        self.not_understood.note(&question.kind, &verdict);
        self.note_trust(question, user, &sign, &verdict);
        // A dialog may have named nobody before it was asked: it is known by its network alone then.
        let named = match proof {
            Proof::Relay(dialog) => dialog.user().map(UserName::new),
            Proof::Password(_) | Proof::Token { .. } => None,
        };
        if let Some(named) = named.as_ref().filter(|named| *named != user) {
            self.note_trust(question, named, &sign, &verdict);
        }
        if let Some(stale) = &self.memory.stale {
            stale.note(self.server(question), named.as_ref().unwrap_or(user), &verdict);
        }
        verdict
    }

    /// While the remote is down, an earlier good login is accepted, and a password that is not its counts as refused. See
    /// [`super::stale`].
    async fn fall_back(
        &self,
        asked: &Asked<Self::Key>,
        answer: impl Future<Output = Decided> + Send,
    ) -> Decided {
        let Some((stale, password)) = self.stale(&asked.question) else {
            return answer.await;
        };
        let mut answer = pin!(answer);
        let decided = match timeout_at(asked.at + STALE_PATIENCE, &mut answer).await {
            Ok(decided) => decided,
            // Whatever the password is: one that is not remembered would else take longer, and its client might leave
            // before that counts.
            Err(_) => match self.away(asked) {
                Some(cause) => (Verdict::Defer(cause), Source::Probe),
                None => answer.await,
            },
        };
        let (Verdict::Defer(cause), source) = decided else {
            return decided;
        };
        let server = self.server(&asked.question);
        if stale.is_empty() || !stale.is_down(&server, cause.reach, asked.at) {
            return (Verdict::Defer(cause), source);
        }
        let (user, key) = &asked.key;
        if stale.knows(user, password, key.client) {
            stale.note_accepted(server, &cause);
            return (Verdict::accept(user.as_bytes()), Source::Stale);
        }
        let text = format!("{}; {NOT_REMEMBERED}", cause.text);
        (Verdict::Defer(Cause { text, ..cause }.heard()), source)
    }

    fn keep(&self, asked: &Asked<Self::Key>, verdict: &Verdict) {
        let (user, key) = &asked.key;
        self.memory.keep(user, key, verdict);
        if let Some((stale, password)) = self.stale(&asked.question) {
            stale.keep(user, password, key.client, asked.at, verdict);
        }
    }
}
