//! What a directory says of recipients: weighed before it is believed and kept, and of no use where its remote accepts
//! everybody.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::catch_all::{CatchAll, Change};
use super::credibility::{Confirmer, RecipientKey};
use super::entry::State;
use super::epoch::{Epoch, Generation};
use super::flight::{Flights, Late};
use super::kept::Said;
use super::lookup::{self, Answer, Asked, BACKGROUND, Lookup};
use super::lookups::Lookups;
use super::shared::Shared;
use super::unknown_rate::Rate;
use crate::address::{Address, Domain};
use crate::verdict::{Abstention, Cause, Class, Client, Kind, Question, Verdict};
use crate::waiting::Waiters;

/// A directory's recipients.
pub(super) struct RecipientLookup {
    pub(super) confirmer: Arc<Confirmer>,
    /// `None` where nobody looks for domains that accept everything.
    pub(super) catch_all: Option<CatchAll>,
    /// What other edges are told, and tell; `None` where this is the only edge, or answers are for one client alone.
    pub(super) shared: Option<Shared>,
    /// The client's address is handed on.
    pub(super) forward_client: bool,
}

impl RecipientLookup {
    /// The domain of `address`, if an Accept of it is worth what [`RecipientLookup::opinion`] says.
    pub(super) fn may_accept_everything(&self, address: &Address) -> Option<Domain> {
        self.catch_all.as_ref().map(|_| address.domain().clone())
    }

    /// What is remembered of `address`, or what the directory says now.
    pub(super) fn decide(
        self: &Arc<Self>,
        address: Address,
        client: Client,
        deadline: Instant,
        late: Option<Arc<Late<Verdict>>>,
    ) -> Answer<'_> {
        let key = (address.clone(), client.address.filter(|_| self.forward_client));
        let kind = Kind::Recipient(address);
        lookup::decide(self, Some(key), Question { kind, client }, deadline, late)
    }

    /// What an Accept of `domain` is worth. The first one does not wait for the
    /// test whether the domain accepts everything.
    pub(super) fn opinion(self: &Arc<Self>, domain: &Domain, verdict: Verdict) -> Verdict {
        let (Verdict::Accept(_), Some(catch_all)) = (&verdict, &self.catch_all) else {
            return verdict;
        };
        if let Some(nobody) = catch_all.due(domain) {
            tokio::spawn(self.clone().test(nobody));
        }
        if catch_all.accepts_everything(domain) {
            Verdict::Abstain(Abstention::NoOpinion)
        } else {
            verdict
        }
    }

    /// Asks for an address that nobody has. Neither answer is kept: nobody will
    /// ask for it again.
    async fn test(self: Arc<Self>, nobody: Address) {
        let deadline = Instant::now() + BACKGROUND;
        let confirmer = &self.confirmer;
        let verdict = confirmer.ask_until(&nobody, Client::default(), deadline).await;
        let verdict = confirmer.confirm_of_nobody(&nobody, verdict, deadline).await;
        let domain = nobody.domain();
        let change = self.catch_all.as_ref().map(|it| it.note(domain, &verdict));
        if change == Some(Change::Ends) {
            confirmer.memory.forget_accepts(domain);
        }
    }

    /// Has other edges know what is kept.
    fn share(&self, asked: &Asked<RecipientKey>, verdict: &Verdict) {
        let (Some(shared), (address, _)) = (&self.shared, &asked.key) else {
            return;
        };
        let domain = address.domain();
        let says_nothing = || {
            self.catch_all
                .as_ref()
                .is_some_and(|it| it.accepts_everything(domain))
        };
        match verdict {
            Verdict::Accept(identity) if !says_nothing() => {
                let witnesses = &self.confirmer.memory.witnesses;
                let doubted = |then| witnesses.was_doubted_after(domain, then);
                shared.accepted(address, identity.remark.as_ref(), asked.at, doubted);
            }
            Verdict::Reject(cause) => {
                let accepted = self.confirmer.last_accepted(domain);
                shared.refused(address, cause, [asked.at, asked.answered], accepted);
            }
            _ => {}
        }
    }
}

impl Lookup for RecipientLookup {
    type Key = RecipientKey;

    fn lookups(&self) -> &Lookups {
        &self.confirmer.memory.lookups
    }

    fn epoch(&self) -> &Epoch {
        &self.confirmer.memory.epoch
    }

    fn flights(&self) -> &Flights<(Generation, Self::Key), Verdict> {
        &self.confirmer.flights
    }

    /// A refusal that is doubted by now must be asked for again.
    fn recall(&self, (address, _): &Self::Key) -> Option<(State, Verdict)> {
        let remembered = self.confirmer.memory.recall(address)?;
        let refused = matches!(remembered, (_, Verdict::Reject(_)));
        (!refused || !self.confirmer.doubts(address.domain())).then_some(remembered)
    }

    /// The remote may have refused too many to be asked about one that is not remembered. A canary is known to exist.
    fn put_off(&self, (address, _): &Self::Key) -> Option<Verdict> {
        let unknown = self.confirmer.unknown_rate.as_ref()?;
        if self.confirmer.canaries.has(address) || !unknown.is_spent() {
            return None;
        }
        let Rate { most, within } = unknown.rate();
        let why = format!(
            "{most} recipients were refused within {} s (limits.unknown-rate), and this one is not remembered",
            within.as_secs()
        );
        Some(Verdict::Defer(Cause::ours(Class::Limit, why)))
    }

    async fn ask(&self, question: &Question, waiters: Waiters) -> Verdict {
        self.confirmer.ask(question, waiters).await
    }

    /// At a start, what was purged before is heard of in the moment in which the first finding comes: so it is looked twice.
    async fn learn(&self, asked: &Asked<Self::Key>) -> Option<(State, Verdict)> {
        let (shared, (address, _)) = (self.shared.as_ref()?, &asked.key);
        if self.confirmer.canaries.has(address) {
            return None;
        }
        let memory = &self.confirmer.memory;
        for _ in 0..2 {
            let generation = memory.epoch.current();
            let (said, age) = shared.look(address).await?;
            let since = Instant::now().checked_sub(age)?;
            let is_doubted = matches!(said, Said::No(_)) && !self.confirmer.believes_others(address.domain());
            if is_doubted {
                return None;
            }
            let mut learned = None;
            let learn = || learned = Some(memory.learn(address, said, since));
            memory.epoch.keep(generation, learn);
            match learned {
                Some(learned) => return self.recall(&asked.key).filter(|_| learned),
                // Something was purged meanwhile.
                None => continue,
            }
        }
        None
    }

    async fn claim(&self, (address, _): &Self::Key, time: Duration) -> bool {
        match &self.shared {
            Some(shared) => shared.claim(address, time).await,
            None => true,
        }
    }

    async fn weigh(&self, asked: &Asked<Self::Key>, verdict: Verdict) -> Verdict {
        self.confirmer.confirm(asked, verdict).await
    }

    /// What a backup MX says is neither kept nor shared: it may take or refuse anybody.
    fn keep(&self, asked: &Asked<Self::Key>, verdict: &Verdict) {
        if verdict.is_by_backup() {
            return;
        }
        let (address, _) = &asked.key;
        self.confirmer.memory.keep(address, verdict);
        self.share(asked, verdict);
    }
}
