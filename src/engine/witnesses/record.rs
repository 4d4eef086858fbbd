//! What is known of a domain: its witnesses, the refusals since one of its recipients was accepted, and what the last
//! question about a witness has shown.

use tokio::time::Instant;

use super::{
    CHECK_INTERVAL, Change, Credibility, Doubt, ONLY_WITNESS_REFUSED, REFUSALS_IN_A_ROW,
    REFUSED_AGAIN_WITHIN, WITNESS_LIFE, WITNESSES_PER_DOMAIN,
};
use crate::address::{Address, Domain};
use crate::engine::lookup::BACKGROUND;
use crate::verdict::{Cause, Class};

/// What is known of a refusal's worth.
#[derive(Debug)]
pub(in crate::engine) enum Assessment {
    /// So much.
    Is(Credibility),
    /// A witness must be asked.
    NeedsWitness {
        /// Of a known recipient, when it was refused for the first time of late.
        refused_since: Option<Instant>,
        /// If it is accepted, the refused one must be asked again.
        ask_again: bool,
    },
}

/// What is known of a domain.
#[derive(Debug, Default)]
pub(super) struct Record {
    /// At most [`WITNESSES_PER_DOMAIN`].
    pub(super) witnesses: Vec<Witness>,
    /// When somebody was accepted last.
    pub(super) accepted: Option<Instant>,
    /// Hashes of those that were refused since; at most [`REFUSALS_IN_A_ROW`].
    pub(super) refused: Vec<u64>,
    pub(super) check: Option<Check>,
    pub(super) doubt: Option<Doubt>,
    /// When doubts ended the last time: a refusal from before tells nothing.
    pub(super) doubted_until: Option<Instant>,
}

#[derive(Debug)]
pub(super) struct Witness {
    pub(super) address: Address,
    pub(super) accepted: Instant,
    /// Since when it is refused.
    pub(super) refused: Option<Instant>,
    /// When it was asked as a witness, and not accepted.
    pub(super) asked: Option<Instant>,
}

#[derive(Debug)]
pub(super) struct Check {
    pub(super) at: Instant,
    pub(super) result: CheckResult,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CheckResult {
    UnderWay,
    Accepted,
    Refused,
    /// No answer, for a reason of this class.
    Silent(Class),
}

impl Record {
    /// Adds a witness, in the place of the one that was accepted the longest ago where there are enough.
    pub(super) fn remember(&mut self, address: &Address, at: Instant) {
        let others = self.witnesses.iter();
        let place = others.clone().position(|it| it.address == *address).or_else(|| {
            let full = self.witnesses.len() >= WITNESSES_PER_DOMAIN;
            let oldest = others.enumerate().min_by_key(|(_, it)| it.accepted);
            oldest.filter(|_| full).map(|(place, _)| place)
        });
        let witness = Witness {
            address: address.clone(),
            accepted: at,
            refused: None,
            asked: None,
        };
        match place.and_then(|place| self.witnesses.get_mut(place)) {
            Some(oldest) if oldest.accepted > at => {}
            Some(oldest) => *oldest = witness,
            None => self.witnesses.push(witness),
        }
    }

    /// A recipient that was accepted too long ago is no witness any more, nor is the only one, once it was refused
    /// for long enough.
    pub(super) fn forget_old(&mut self, change: &mut Option<Change>) {
        self.witnesses.retain(|it| it.accepted.elapsed() < WITNESS_LIFE);
        if let [only] = &self.witnesses[..]
            && only
                .refused
                .is_some_and(|since| since.elapsed() >= ONLY_WITNESS_REFUSED)
        {
            self.witnesses.clear();
        }
        if self.witnesses.is_empty()
            && let Some(doubt) = self.doubt.take()
        {
            let domain = doubt.witness.domain().clone();
            *change = Some(Change::Ends(
                domain, "it has no recipient left that was accepted recently",
            ));
        }
    }

    pub(super) fn assess(
        &mut self,
        address: &Address,
        known_until: Option<Instant>,
        at: Instant,
        change: &mut Option<Change>,
    ) -> Assessment {
        let in_doubt = self.doubt.is_some();
        let refused_since = known_until.map(|first| self.refused_since(first, at));
        match refused_since {
            // It was refused before and after somebody was accepted a moment ago.
            Some(since) if !in_doubt && self.accepted_between(since, at) => {
                return Assessment::Is(Credibility::Believed);
            }
            None if !in_doubt && self.refused.len() < REFUSALS_IN_A_ROW => {
                return Assessment::Is(Credibility::Believed);
            }
            _ => {}
        }
        if self.witnesses.iter().all(|it| it.address == *address) {
            return Assessment::Is(self.assess_only_witness(address, known_until, change));
        }
        if self.check.as_ref().is_none_or(Check::is_due_or_under_way) {
            let ask_again = in_doubt || known_until.is_some();
            return Assessment::NeedsWitness {
                refused_since,
                ask_again,
            };
        }
        match self.finding(address.domain(), refused_since) {
            // The refusal may be from before the yes that followed it.
            Credibility::Believed if known_until.is_some() => Assessment::NeedsWitness {
                refused_since,
                ask_again: true,
            },
            found => Assessment::Is(found),
        }
    }

    /// A refusal where no other recipient of the domain was accepted recently.
    fn assess_only_witness(
        &mut self,
        address: &Address,
        known_until: Option<Instant>,
        change: &mut Option<Change>,
    ) -> Credibility {
        let Some(since) = known_until else {
            return Credibility::Believed;
        };
        if since.elapsed() >= ONLY_WITNESS_REFUSED {
            return Credibility::Believed;
        }
        let doubt = Doubt {
            since: Instant::now(),
            witness: address.clone(),
            words: "no other recipient of the domain was accepted recently".to_owned(),
        };
        let cause = doubt.cause();
        // Where it is too old to be a witness, nothing would end doubts in its domain.
        if self.witnesses.iter().any(|it| it.address == *address) {
            self.note_doubt(doubt, change);
        }
        Credibility::Doubted(cause)
    }

    /// When a known recipient, refused `at` that time and a `first` time, was first refused of late.
    fn refused_since(&self, first: Instant, at: Instant) -> Instant {
        let before_doubts_ended = self.doubted_until.is_some_and(|until| first <= until);
        if before_doubts_ended || at - first >= REFUSED_AGAIN_WITHIN {
            at
        } else {
            first
        }
    }

    /// Whether somebody was accepted between two refusals, and not long before the second.
    fn accepted_between(&self, first: Instant, second: Instant) -> bool {
        self.accepted
            .is_some_and(|at| first < at && at < second && second - at < CHECK_INTERVAL)
    }

    pub(super) fn finding(&self, domain: &Domain, refused_since: Option<Instant>) -> Credibility {
        if let Some(doubt) = &self.doubt {
            return Credibility::Doubted(doubt.cause());
        }
        let doubted = |text| Credibility::Doubted(Cause::ours(Class::NotBelieved, text));
        let result = self.check.as_ref().map(|check| check.result);
        match result {
            Some(CheckResult::UnderWay) => doubted(format!(
                "refused, but no other recipient of {domain} got an answer in time that would confirm it"
            )),
            Some(CheckResult::Silent(class)) => doubted(format!(
                "refused, but another recipient of {domain} got no answer that would confirm it ({class})"
            )),
            _ if refused_since.is_some_and(|since| self.accepted.is_none_or(|at| at <= since)) => {
                doubted(format!(
                    "it was accepted recently; its refusal is not believed before another recipient of {domain} is accepted"
                ))
            }
            _ => Credibility::Believed,
        }
    }

    /// Doubts begin, or go on with another witness.
    pub(super) fn note_doubt(&mut self, doubt: Doubt, change: &mut Option<Change>) -> bool {
        if let Some(known) = &mut self.doubt {
            (known.witness, known.words) = (doubt.witness, doubt.words);
            return false;
        }
        *change = Some(Change::Begins(doubt.clone()));
        self.doubt = Some(doubt);
        true
    }

    pub(super) fn ends_check(&mut self, result: CheckResult) {
        // A yes that was heard meanwhile stands.
        if let Some(check) = &mut self.check
            && check.result == CheckResult::UnderWay
        {
            check.result = result;
        }
    }

    pub(super) fn forget(&mut self, is: impl Fn(&Address) -> bool, change: &mut Option<Change>) {
        self.witnesses.retain(|it| !is(&it.address));
        if let Some(doubt) = self.doubt.take_if(|doubt| is(&doubt.witness)) {
            let domain = doubt.witness.domain().clone();
            *change = Some(Change::Ends(
                domain, "the recipient that was refused is forgotten",
            ));
        }
    }
}

impl Check {
    pub(super) fn is_due(&self) -> bool {
        self.at.elapsed() >= CHECK_INTERVAL
    }

    fn is_due_or_under_way(&self) -> bool {
        self.is_due() || self.result == CheckResult::UnderWay && self.at.elapsed() < BACKGROUND
    }
}
