//! What a directory says of logins. A user that it accepts is trusted from then on.

use std::sync::Arc;

use tokio::time::Instant;

use super::Source;
use super::entry::State;
use super::epoch::{Epoch, Generation};
use super::flight::{Flights, Late};
use super::logins::{LoginKey, Logins, Tag};
use super::lookup::{self, Answer, Lookup};
use super::lookups::Lookups;
use super::not_understood::NotUnderstood;
use super::trust::Trust;
use crate::directory::{Directory, Terms};
use crate::verdict::{Abstention, Kind, Proof, Question, UserName, Verdict};
use crate::waiting::Waiters;

/// A directory's logins.
pub(super) struct LoginLookup {
    pub(super) directory: Arc<dyn Directory>,
    pub(super) not_understood: Arc<NotUnderstood>,
    pub(super) memory: Arc<Logins>,
    pub(super) trust: Arc<Trust>,
    /// The client's address is handed on.
    pub(super) forward_client: bool,
    pub(super) flights: Flights<(Generation, (UserName, LoginKey)), Verdict>,
}

impl LoginLookup {
    /// What is remembered of a login, or what the directory says now.
    pub(super) async fn decide(
        self: &Arc<Self>,
        question: Question,
        deadline: Instant,
        late: Option<Arc<Late<Verdict>>>,
    ) -> (Verdict, Source) {
        match lookup::decide(self, self.key(&question), question, deadline, late) {
            Answer::Known(decided) => decided,
            Answer::Waits(decided) => decided.await,
        }
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
        let terms = Terms {
            trusted: self.trust.has(user, &sign),
            waiters,
        };
        let verdict = self.directory.probe(question, terms).await;
        self.not_understood.note(&question.kind, &verdict);
        self.trust.note(user, &sign, &verdict);
        // A dialog may have named nobody before it was asked: it is known by its network alone then.
        if let Proof::Relay(dialog) = proof
            && let Some(named) = dialog.user().map(UserName::new)
            && named != *user
        {
            self.trust.note(&named, &sign, &verdict);
        }
        verdict
    }

    fn keep(&self, (user, key): &Self::Key, verdict: &Verdict) {
        self.memory.keep(user, key, verdict);
    }
}
