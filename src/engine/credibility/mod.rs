//! Whether a refusal is believed.
//!
//! A remote that has lost its users refuses everybody with the best of words. So a refusal is held against others
//! that the remote must know:
//!
//! 1. the [canaries] of its domain, where the configuration names some;
//! 2. a [witness](super::witnesses): a recipient of the domain that was accepted lately. It is asked before a recipient is
//!    refused that was accepted lately itself, and before a run of refusals without a yes between goes on being
//!    believed.
//!
//! If one of these is refused as well, the refusals are deferred until it, or any recipient of the domain,
//! is accepted again. So they are while a canary of the domain is refused at another edge of the fleet.

pub(crate) mod canaries;
#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::sync::Arc;

use futures_util::future::join_all;
use tokio::time::Instant;

use super::epoch::Generation;
use super::flight::Flights;
use super::lookup::{Asked, BACKGROUND};
use super::not_understood::NotUnderstood;
use super::recipients::Recipients;
use super::unknown_rate::UnknownRate;
use super::witnesses::{Assessment, Credibility};
use crate::address::{Address, Domain};
use crate::directory::{Directory, Terms};
use crate::fleet::health::Health;
use crate::verdict::{Cause, Class, Client, Kind, Question, Verdict};
use crate::waiting::Waiters;
use canaries::Canaries;

/// The mailbox that a question is about; and the client's address where it is handed on, as the answer may be of that
/// address alone.
pub(super) type RecipientKey = (Address, Option<IpAddr>);

/// Asks about recipients, and confirms refusals or does not.
pub(super) struct Confirmer {
    pub(super) directory: Arc<dyn Directory>,
    pub(super) memory: Arc<Recipients>,
    pub(super) not_understood: Arc<NotUnderstood>,
    /// What the remote has refused lately; `None` where it may refuse any number.
    pub(super) unknown_rate: Option<Arc<UnknownRate>>,
    pub(super) canaries: Canaries,
    /// What other edges doubt, and are told of; `None` where this is the only edge.
    pub(super) health: Option<Health>,
    /// Questions about recipients that are under way, canaries among them.
    pub(super) flights: Flights<(Generation, RecipientKey), Verdict>,
    /// Questions about witnesses, by their domains.
    pub(super) checks: Flights<Domain, ()>,
}

impl Confirmer {
    /// Asks for those who wait.
    pub(super) async fn ask(&self, question: &Question, waiters: Waiters) -> Verdict {
        let terms = Terms {
            trusted: false,
            waiters,
        };
        let verdict = self.directory.probe(question, terms).await;
        self.not_understood.note(&question.kind, &verdict);
        if let (Verdict::Reject(_), Some(unknown)) = (&verdict, &self.unknown_rate) {
            unknown.refused();
        }
        verdict
    }

    /// Asks for nobody in particular, until `deadline`: to learn something of the remote, which what a backup MX says does
    /// not show.
    pub(super) async fn ask_until(&self, address: &Address, client: Client, deadline: Instant) -> Verdict {
        let waiters = Waiters::default();
        let _waiter = waiters.join(deadline);
        let kind = Kind::Recipient(address.clone());
        let verdict = self.ask(&Question { kind, client }, waiters).await;
        if verdict.is_by_backup() {
            let why = "a backup MX answered, which may take or refuse anybody";
            return Verdict::Defer(Cause::ours(Class::Temporary, why));
        }
        verdict
    }

    /// The verdict on a recipient, unless it is a refusal that is not to be believed: then it is deferred.
    pub(super) async fn confirm(self: &Arc<Self>, asked: &Asked<RecipientKey>, verdict: Verdict) -> Verdict {
        let (address, _) = &asked.key;
        let is_canary = self.canaries.has(address);
        match verdict {
            verdict if verdict.is_by_backup() && (is_canary || matches!(verdict, Verdict::Accept(_))) => {
                verdict
            }
            verdict if is_canary => self.weigh_canary(address, verdict),
            Verdict::Accept(_) => {
                let witnesses = &self.memory.witnesses;
                let note = || witnesses.accepted(address, asked.at);
                self.memory.epoch.keep(asked.generation, note);
                verdict
            }
            Verdict::Reject(_) => {
                let domain = address.domain();
                match self.confirm_by_canaries(domain, verdict, asked.deadline).await {
                    refusal @ Verdict::Reject(_) => {
                        let verdict = self.confirm_by_witness(asked, refusal).await;
                        self.confirm_by_edges(domain, verdict)
                    }
                    doubted => doubted,
                }
            }
            Verdict::Defer(_) | Verdict::Abstain(_) => verdict,
        }
    }

    /// Whether a refusal in this domain that is remembered is not believed any more.
    pub(super) fn doubts(&self, domain: &Domain) -> bool {
        self.canaries.any_refused(domain)
            || self.memory.witnesses.is_doubted(domain)
            || self.doubted_at(domain).is_some()
    }

    /// Another edge at which a canary of this domain is refused.
    fn doubted_at(&self, domain: &Domain) -> Option<Arc<str>> {
        self.health.as_ref()?.doubted_at(domain.as_str())
    }

    /// A refusal is believed unless another edge doubts it.
    fn confirm_by_edges(&self, domain: &Domain, verdict: Verdict) -> Verdict {
        match (&verdict, self.doubted_at(domain)) {
            (Verdict::Reject(_), Some(edge)) => {
                let text = format!(
                    "no refusal of {domain} is believed while a canary of it is refused at another edge, {edge}: see vouch \
                     status there"
                );
                Verdict::Defer(Cause::ours(Class::NotBelieved, text))
            }
            _ => verdict,
        }
    }

    /// Whether a refusal in this domain that another edge has heard is believed, by what is known here.
    pub(super) fn believes_others(&self, domain: &Domain) -> bool {
        let here = [
            self.canaries.credibility(domain),
            self.memory.witnesses.credibility(domain),
        ];
        here.iter().all(|here| *here == Credibility::Believed) && self.doubted_at(domain).is_none()
    }

    /// When the remote was asked last about a recipient of this domain that it has accepted.
    pub(super) fn last_accepted(&self, domain: &Domain) -> Option<Instant> {
        let canary = self.canaries.last_accepted(domain);
        canary.max(self.memory.witnesses.last_accepted(domain))
    }

    /// As [`Self::confirm`], for an address that nobody has: its verdict tells nothing of others.
    pub(super) async fn confirm_of_nobody(
        self: &Arc<Self>,
        nobody: &Address,
        verdict: Verdict,
        deadline: Instant,
    ) -> Verdict {
        let domain = nobody.domain();
        match self.confirm_by_canaries(domain, verdict, deadline).await {
            refusal @ Verdict::Reject(_) => {
                let refusal = self.memory.witnesses.credibility(domain).of(refusal);
                self.confirm_by_edges(domain, refusal)
            }
            verdict => verdict,
        }
    }

    /// A refusal is believed on the word of the domain's canaries.
    async fn confirm_by_canaries(
        self: &Arc<Self>,
        domain: &Domain,
        verdict: Verdict,
        deadline: Instant,
    ) -> Verdict {
        if !matches!(verdict, Verdict::Reject(_)) {
            return verdict;
        }
        let due = self.canaries.due(domain);
        let asked = self.memory.epoch.current();
        let canaries = due.canaries.into_iter();
        if due.wait {
            let answers = canaries.map(|canary| {
                let key = (asked, (canary.clone(), None));
                self.flights
                    .join(key, deadline, None, move |_| self.probe_canary(canary, asked))
            });
            join_all(answers).await;
        } else {
            for canary in canaries {
                let key = (asked, (canary.clone(), None));
                self.flights.start(key, |_| self.probe_canary(canary, asked));
            }
        }
        self.canaries.credibility(domain).of(verdict)
    }

    /// Asks about a canary, whose refusal is held against nothing else. The client that waits for it may leave, so
    /// it has its own time limit.
    fn probe_canary(
        self: &Arc<Self>,
        canary: Address,
        asked: Generation,
    ) -> impl Future<Output = Verdict> + Send + 'static {
        let this = self.clone();
        async move {
            let deadline = Instant::now() + BACKGROUND;
            let verdict = this.ask_until(&canary, Client::default(), deadline).await;
            let verdict = this.weigh_canary(&canary, verdict);
            let memory = &this.memory;
            memory.epoch.keep(asked, || memory.keep(&canary, &verdict));
            verdict
        }
    }

    fn weigh_canary(&self, canary: &Address, verdict: Verdict) -> Verdict {
        let refused = matches!(verdict, Verdict::Reject(_));
        let verdict = self.canaries.note(canary, verdict);
        if let Some(health) = &self.health {
            let domain = canary.domain();
            if refused {
                health.refused(domain.as_str());
            } else if !self.canaries.any_refused(domain) {
                health.accepted(domain.as_str());
            }
        }
        if refused {
            // Some of them may be from the time since the canary was last accepted.
            self.memory.forget_refusals(canary.domain());
        }
        verdict
    }

    /// A refusal that may show that the remote has lost its users is believed on the word of a witness.
    async fn confirm_by_witness(self: &Arc<Self>, asked: &Asked<RecipientKey>, refusal: Verdict) -> Verdict {
        let ((address, _), at) = (&asked.key, asked.at);
        let known_until = self.memory.note_refusal(address, at);
        let assessed = self.memory.witnesses.assess(address, known_until, at);
        let (refused_since, ask_again) = match assessed {
            Assessment::Is(credibility) => return credibility.of(refusal),
            Assessment::NeedsWitness {
                refused_since,
                ask_again,
            } => (refused_since, ask_again),
        };
        let domain = address.domain();
        let check = |_| self.check(address.clone());
        // Where it has no result in time, the witnesses say so.
        let _ = self
            .checks
            .join(domain.clone(), asked.deadline, None, check)
            .await;
        if let Credibility::Doubted(cause) = self.memory.witnesses.finding(domain, refused_since) {
            return Verdict::Defer(cause);
        }
        if !ask_again {
            return refusal;
        }
        // The first refusal may be from before the remote had its users back.
        let at = Instant::now();
        let client = asked.question.client.clone();
        let verdict = self.ask_until(address, client, asked.deadline).await;
        if let Verdict::Accept(_) = verdict {
            let note = || self.memory.witnesses.accepted(address, at);
            self.memory.epoch.keep(asked.generation, note);
        }
        verdict
    }

    /// Asks about a witness of the domain of `refused`, in time of its own, unless one was asked within
    /// [`super::witnesses::CHECK_INTERVAL`]. Its refusal is held against nothing else.
    fn check(self: &Arc<Self>, refused: Address) -> impl Future<Output = ()> + Send + 'static {
        let this = self.clone();
        async move {
            let memory = &this.memory;
            let Some(witness) = memory.witnesses.begin_check(&refused) else {
                return;
            };
            let (epoch, at) = (memory.epoch.current(), Instant::now());
            let verdict = this.ask_until(&witness, Client::default(), at + BACKGROUND).await;
            match &verdict {
                Verdict::Accept(_) => memory.epoch.keep(epoch, || {
                    memory.keep(&witness, &verdict);
                    memory.witnesses.accepted(&witness, at);
                }),
                Verdict::Reject(cause) => {
                    memory.note_refusal(&witness, at);
                    let mut begins = false;
                    let doubt = || begins = memory.witnesses.refused(&witness, at, &cause.detail());
                    memory.epoch.keep(epoch, doubt);
                    if begins {
                        // Some of them are from the time since somebody was last accepted.
                        memory.forget_refusals(witness.domain());
                    }
                }
                Verdict::Defer(cause) => memory.witnesses.note_no_answer(&witness, cause.class),
                Verdict::Abstain(_) => {}
            }
        }
    }
}
