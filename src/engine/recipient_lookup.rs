//! How a directory is asked about a recipient: what it says is weighed before
//! it is believed and kept.

use std::future::Future;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::Source;
use super::cached_directory::{SharedProbe, of_question, share};
use super::catch_all::{CatchAll, Change};
use super::credibility::Subject;
use super::credibility::canaries::Canaries;
use super::epoch::Generation;
use super::flight::{Flights, Late};
use super::not_understood::NotUnderstood;
use super::recipients::{Recipients, Remembered};
use super::unknown_rate::{Rate, UnknownRate};
use crate::address::{Address, Domain};
use crate::directory::{Directory, Terms};
use crate::verdict::{Abstention, Cause, Class, Client, Kind, Question, Verdict};
use crate::waiting::Waiters;

/// Bound (questions): wait for a new answer about a recipient with an old one (cache.ttl.stale). Beyond: the old
/// answer is used. Why: a server that hangs must not delay known recipients.
const STALE_PATIENCE: Duration = Duration::from_secs(2);

/// Bound (questions): time of a question that no client waits for. Beyond: it is given up, and the old answer stays.
/// Why: enough for a slow server; a stuck one is given up.
pub(super) const BACKGROUND: Duration = Duration::from_secs(30);

/// A directory's recipients: the one who knows, and what is known of them.
pub(super) struct RecipientLookup {
    pub(super) directory: Arc<dyn Directory>,
    pub(super) memory: Arc<Recipients>,
    pub(super) not_understood: Arc<NotUnderstood>,
    /// None is shared with a question after a purge, nor with another client if its address is forwarded.
    pub(super) flights: Flights<(Generation, Address, Option<IpAddr>), Verdict>,
    /// What the remote has refused lately; `None` where it may refuse any number.
    pub(super) unknown_rate: Option<Arc<UnknownRate>>,
    /// The client's address is handed on.
    pub(super) forward_client: bool,
    pub(super) canaries: Canaries,
    /// Questions about witnesses, by their domains.
    pub(super) checks: Flights<Domain, ()>,
    /// `None` where nobody looks for domains that accept everything.
    pub(super) catch_all: Option<CatchAll>,
}

impl RecipientLookup {
    /// What is remembered of `address`, or what the directory says now.
    pub(super) async fn known_or_asked(
        self: &Arc<Self>,
        address: Address,
        client: Client,
        deadline: Instant,
        late: Option<Arc<Late<Verdict>>>,
    ) -> (Verdict, Source) {
        let lookups = &self.memory.lookups;
        match self.memory.recall(&address) {
            Some(Remembered::Fresh(verdict)) if !self.needs_confirmation(address.domain(), &verdict) => {
                lookups.fresh.count();
                (verdict, Source::Cache)
            }
            Some(Remembered::Ageing(verdict)) => {
                lookups.ageing.count();
                let deadline = Instant::now() + BACKGROUND;
                let asked = self.memory.epoch.current();
                let key = (asked, address.clone(), of_question(self.forward_client, &client));
                let probe = |waiters: Waiters| {
                    // Nobody else does.
                    let waiter = waiters.join(deadline);
                    let probe = self.probe(address.clone(), client, asked, deadline, waiters);
                    async move {
                        let _waiter = waiter;
                        probe.await
                    }
                };
                self.flights.start(key, probe);
                (verdict, Source::Cache)
            }
            Some(Remembered::Stale(known)) => {
                lookups.stale.count();
                let patience = deadline.min(Instant::now() + STALE_PATIENCE);
                match self.join(address, client, (patience, deadline), None).await {
                    // Nobody is let in whom the remote refuses by now: its mail would be bounced.
                    (Verdict::Defer(cause), source) if cause.class == Class::NotBelieved => {
                        (Verdict::Defer(cause), source)
                    }
                    (Verdict::Defer(_), _) => (known, Source::Cache),
                    answered => answered,
                }
            }
            Some(Remembered::Fresh(_)) | None => {
                lookups.miss.count();
                if let Some(verdict) = self.put_off(&address) {
                    return (verdict, Source::UnknownRate);
                }
                self.join(address, client, (deadline, deadline), late).await
            }
        }
    }

    /// The verdict on a recipient that is not remembered, where the remote has refused too many. A canary is known to exist.
    fn put_off(&self, address: &Address) -> Option<Verdict> {
        let unknown = self.unknown_rate.as_ref()?;
        if self.canaries.has(address) || !unknown.is_spent() {
            return None;
        }
        let Rate { most, within } = unknown.rate();
        let why = format!(
            "{most} recipients were refused within {} s (limits.unknown-rate), and this one is not remembered",
            within.as_secs()
        );
        Some(Verdict::Defer(Cause::ours(Class::Limit, why)))
    }

    /// Asks, or joins who asks; waits until `patience` for a probe that has until
    /// `deadline`.
    async fn join(
        self: &Arc<Self>,
        address: Address,
        client: Client,
        (patience, deadline): (Instant, Instant),
        late: Option<Arc<Late<Verdict>>>,
    ) -> (Verdict, Source) {
        let asked = self.memory.epoch.current();
        let of = of_question(self.forward_client, &client);
        let probe = |waiters| self.probe(address.clone(), client.clone(), asked, deadline, waiters);
        let flight = SharedProbe {
            flights: &self.flights,
            key: (asked, address.clone(), of),
            patience,
            late,
        };
        share(flight, probe).await
    }

    /// A probe of `address` for those who wait for it, its verdict weighed and kept.
    fn probe(
        self: &Arc<Self>,
        address: Address,
        client: Client,
        asked: Generation,
        deadline: Instant,
        waiters: Waiters,
    ) -> impl Future<Output = Verdict> + Send + 'static {
        let this = self.clone();
        async move {
            // Somebody's probe may have landed since the memory was looked into.
            if let Some(Remembered::Fresh(verdict)) = this.memory.recall(&address)
                && !this.canaries.has(&address)
                && !this.needs_confirmation(address.domain(), &verdict)
            {
                return verdict;
            }
            let at = Instant::now();
            let verdict = this.ask_for(&address, client.clone(), waiters).await;
            if this.canaries.has(&address) {
                return this.note_canary(&address, verdict, asked);
            }
            let subject = Subject {
                address: &address,
                client,
                at,
                epoch: asked,
                deadline,
            };
            let verdict = this.confirm(subject, verdict).await;
            let memory = &this.memory;
            memory.epoch.keep(asked, || memory.keep(&address, &verdict));
            verdict
        }
    }

    /// Whether a refusal that is remembered must be asked for again.
    fn needs_confirmation(&self, domain: &Domain, verdict: &Verdict) -> bool {
        matches!(verdict, Verdict::Reject(_))
            && (self.canaries.any_refused(domain) || self.memory.witnesses.is_doubted(domain))
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
        let verdict = self.ask(&nobody, Client::default(), deadline).await;
        let domain = nobody.domain();
        let verdict = self.confirm_of_nobody(&nobody, verdict, deadline).await;
        let change = self.catch_all.as_ref().map(|it| it.note(domain, &verdict));
        if change == Some(Change::Ends) {
            self.memory.forget_accepts(domain);
        }
    }

    /// Asks for nobody in particular, until `deadline`.
    pub(super) async fn ask(&self, address: &Address, client: Client, deadline: Instant) -> Verdict {
        let waiters = Waiters::default();
        let _waiter = waiters.join(deadline);
        self.ask_for(address, client, waiters).await
    }

    async fn ask_for(&self, address: &Address, client: Client, waiters: Waiters) -> Verdict {
        let kind = Kind::Recipient(address.clone());
        let question = Question { kind, client };
        let terms = Terms {
            trusted: false,
            waiters,
        };
        let verdict = self.directory.probe(&question, terms).await;
        self.not_understood.note(&question.kind, &verdict);
        if let (Verdict::Reject(_), Some(unknown)) = (&verdict, &self.unknown_rate) {
            unknown.refused();
        }
        verdict
    }
}
