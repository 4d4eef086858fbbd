//! Whether a refusal is believed.
//!
//! A remote that has lost its users refuses everybody with the best of words. So a refusal is held against others
//! that the remote must know:
//!
//! 1. the [canaries] of its domain, where the configuration names some;
//! 2. a [witness](witnesses): a recipient of the domain that was accepted lately. It is asked before a recipient is
//!    refused that was accepted lately itself, and before a run of refusals without a yes between goes on being
//!    believed.
//!
//! If one of these is refused as well, the refusals are deferred until it, or any recipient of the domain,
//! is accepted again.

pub mod canaries;
mod record;
#[cfg(test)]
mod tests;
pub mod witnesses;

use std::sync::Arc;

use futures_util::future::join_all;
use tokio::time::Instant;

use super::epoch::Generation;
use super::recipient_lookup::{BACKGROUND, RecipientLookup};
use crate::address::{Address, Domain};
use crate::verdict::{Cause, Client, Verdict};

/// What a refusal is worth.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Credibility {
    /// It is believed.
    Believed,
    /// It is deferred, for this reason.
    Doubted(Cause),
}

impl Credibility {
    /// The verdict that is left of a refusal.
    fn of(self, refusal: Verdict) -> Verdict {
        match self {
            Self::Believed => refusal,
            Self::Doubted(cause) => Verdict::Defer(cause),
        }
    }
}

/// A recipient that was asked about.
pub(super) struct Subject<'a> {
    pub(super) address: &'a Address,
    pub(super) client: Client,
    /// When the question was asked that has the verdict.
    pub(super) at: Instant,
    /// Between which purges.
    pub(super) epoch: Generation,
    pub(super) deadline: Instant,
}

impl RecipientLookup {
    /// The verdict on a recipient, unless it is a refusal that is not to be believed: then it is deferred.
    pub(super) async fn confirm(self: &Arc<Self>, subject: Subject<'_>, verdict: Verdict) -> Verdict {
        match verdict {
            Verdict::Accept(_) => {
                let witnesses = &self.memory.witnesses;
                let note = || witnesses.accepted(subject.address, subject.at);
                self.memory.epoch.keep(subject.epoch, note);
                verdict
            }
            Verdict::Reject(_) => {
                let domain = subject.address.domain();
                match self.confirm_by_canaries(domain, verdict, subject.deadline).await {
                    refusal @ Verdict::Reject(_) => self.confirm_by_witness(subject, refusal).await,
                    doubted => doubted,
                }
            }
            Verdict::Defer(_) | Verdict::Abstain(_) => verdict,
        }
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
            refusal @ Verdict::Reject(_) => self.memory.witnesses.credibility(domain).of(refusal),
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
                let key = (asked, canary.clone(), None);
                self.flights
                    .join(key, deadline, None, move |_| self.probe_canary(canary, asked))
            });
            join_all(answers).await;
        } else {
            for canary in canaries {
                let key = (asked, canary.clone(), None);
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
            let verdict = this.ask(&canary, Client::default(), deadline).await;
            this.note_canary(&canary, verdict, asked)
        }
    }

    pub(super) fn note_canary(&self, canary: &Address, verdict: Verdict, asked: Generation) -> Verdict {
        let refused = matches!(verdict, Verdict::Reject(_));
        let verdict = self.canaries.note(canary, verdict);
        if refused {
            // Some of them may be from the time since the canary was last accepted.
            self.memory.forget_refusals(canary.domain());
        }
        self.memory
            .epoch
            .keep(asked, || self.memory.keep(canary, &verdict));
        verdict
    }

    /// A refusal that may show that the remote has lost its users is believed on the word of a witness.
    async fn confirm_by_witness(self: &Arc<Self>, subject: Subject<'_>, refusal: Verdict) -> Verdict {
        let Subject {
            address, at, epoch, ..
        } = subject;
        let known_until = self.memory.note_refusal(address, at);
        let assessed = self.memory.witnesses.assess(address, known_until, at);
        let (refused_since, ask_again) = match assessed {
            record::Assessment::Is(credibility) => return credibility.of(refusal),
            record::Assessment::NeedsWitness {
                refused_since,
                ask_again,
            } => (refused_since, ask_again),
        };
        let domain = address.domain();
        let check = |_| self.check(address.clone());
        // Where it has no result in time, the witnesses say so.
        let _ = self
            .checks
            .join(domain.clone(), subject.deadline, None, check)
            .await;
        if let Credibility::Doubted(cause) = self.memory.witnesses.finding(domain, refused_since) {
            return Verdict::Defer(cause);
        }
        if !ask_again {
            return refusal;
        }
        // The first refusal may be from before the remote had its users back.
        let at = Instant::now();
        let verdict = self.ask(address, subject.client, subject.deadline).await;
        if let Verdict::Accept(_) = verdict {
            let note = || self.memory.witnesses.accepted(address, at);
            self.memory.epoch.keep(epoch, note);
        }
        verdict
    }

    /// Asks about a witness of the domain of `refused`, in time of its own, unless one was asked within
    /// [`witnesses::CHECK_INTERVAL`]. Its refusal is held against nothing else.
    fn check(self: &Arc<Self>, refused: Address) -> impl Future<Output = ()> + Send + 'static {
        let this = self.clone();
        async move {
            let memory = &this.memory;
            let Some(witness) = memory.witnesses.begin_check(&refused) else {
                return;
            };
            let (epoch, at) = (memory.epoch.current(), Instant::now());
            let verdict = this.ask(&witness, Client::default(), at + BACKGROUND).await;
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
