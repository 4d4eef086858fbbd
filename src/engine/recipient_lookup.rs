//! What a directory says of recipients: weighed before it is believed and kept, and of no use where its remote accepts
//! everybody.

use std::sync::Arc;

use tokio::time::Instant;

use super::Source;
use super::catch_all::{CatchAll, Change};
use super::credibility::{Confirmer, RecipientKey};
use super::entry::State;
use super::epoch::{Epoch, Generation};
use super::flight::{Flights, Late};
use super::lookup::{self, Answer, Asked, BACKGROUND, Lookup};
use super::lookups::Lookups;
use super::unknown_rate::Rate;
use crate::address::{Address, Domain};
use crate::verdict::{Abstention, Cause, Class, Client, Kind, Question, Verdict};
use crate::waiting::Waiters;

/// A directory's recipients.
pub(super) struct RecipientLookup {
    pub(super) confirmer: Arc<Confirmer>,
    /// `None` where nobody looks for domains that accept everything.
    pub(super) catch_all: Option<CatchAll>,
    /// The client's address is handed on.
    pub(super) forward_client: bool,
}

impl RecipientLookup {
    /// What is remembered of `address`, or what the directory says now.
    pub(super) async fn decide(
        self: &Arc<Self>,
        address: Address,
        client: Client,
        deadline: Instant,
        late: Option<Arc<Late<Verdict>>>,
    ) -> (Verdict, Source) {
        let domain = self.catch_all.as_ref().map(|_| address.domain().clone());
        let key = (address.clone(), client.address.filter(|_| self.forward_client));
        let kind = Kind::Recipient(address);
        let answer = lookup::decide(self, Some(key), Question { kind, client }, deadline, late);
        let (verdict, source) = match answer {
            Answer::Known(decided) => decided,
            Answer::Waits(decided) => decided.await,
        };
        match domain {
            Some(domain) => (self.opinion(&domain, verdict), source),
            None => (verdict, source),
        }
    }

    /// What an Accept of `domain` is worth. The first one does not wait for the
    /// test whether the domain accepts everything.
    fn opinion(self: &Arc<Self>, domain: &Domain, verdict: Verdict) -> Verdict {
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

    async fn weigh(&self, asked: &Asked<Self::Key>, verdict: Verdict) -> Verdict {
        self.confirmer.confirm(asked, verdict).await
    }

    fn keep(&self, asked: &Asked<Self::Key>, verdict: &Verdict) {
        let (address, _) = &asked.key;
        self.confirmer.memory.keep(address, verdict);
    }
}
