//! Witnesses: recipients of a domain that were accepted lately. A remote that refuses one of them together with
//! others has lost its users, or some of them were deleted; while nobody of the domain is accepted, neither is
//! believed.
//!
//! All times of answers are those at which their questions were asked: an answer that was long on its way tells
//! nothing of what was said meanwhile.

mod record;

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::domains::Domains;
use crate::address::{Address, Domain};
use crate::telemetry::addresses::without;
use crate::verdict::{Cause, Class, Verdict};
pub(super) use record::Assessment;
use record::{Check, CheckResult, Record, Witness};

/// Bound (cache): witnesses of a domain: recipients that were accepted last. Beyond: the one that was accepted first
/// makes room. Why: if three are deleted on one day, a fourth remains.
///
/// Each takes some hundred bytes, and there are none but of domains in `lookup.domains`.
pub(super) const WITNESSES_PER_DOMAIN: usize = 4;

/// Bound (cache): different recipients of a domain refused without a yes between. Beyond: a witness is asked before
/// they are believed. Why: guesses at a healthy server come in runs as well.
pub(super) const REFUSALS_IN_A_ROW: usize = 10;

/// Bound (cache): time between questions about witnesses of a domain. Beyond: another one is asked, if needed. Why:
/// refusals must not double the questions.
pub(super) const CHECK_INTERVAL: Duration = Duration::from_secs(60);

/// Bound (cache): time for which an accepted recipient is a witness. Beyond: it is none any more; without any,
/// refusals are believed. Why: mail waits elsewhere for five days (Postfix); as long as cache.ttl.stale.
pub(super) const WITNESS_LIFE: Duration = Duration::from_secs(7 * 24 * 3600);

/// Bound (cache): time for which a refusal of a domain's only witness is not believed. Beyond: it is refused, as
/// deleted. Why: there is no other evidence whether the mailbox was deleted or the server has lost its users; in a
/// day somebody may see the error in the log, and mail waits longer elsewhere.
pub(super) const ONLY_WITNESS_REFUSED: Duration = Duration::from_secs(24 * 3600);

/// Bound (cache): time between two refusals of a known recipient that belong together. Beyond: the second counts as
/// the first. Why: mail servers try again within an hour or so (Postfix: within some 67 minutes,
/// `maximal_backoff_time`; most come far sooner).
pub(super) const REFUSED_AGAIN_WITHIN: Duration = Duration::from_secs(3600);

/// The recipients that were accepted lately, by domain, and what they say of refusals.
#[derive(Debug, Default)]
pub(super) struct Witnesses {
    state: Mutex<State>,
    hasher: RandomState,
}

/// What a refusal is worth.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Credibility {
    /// It is believed.
    Believed,
    /// It is deferred, for this reason.
    Doubted(Cause),
}

impl Credibility {
    /// The verdict that is left of a refusal.
    pub(super) fn of(self, refusal: Verdict) -> Verdict {
        match self {
            Self::Believed => refusal,
            Self::Doubted(cause) => Verdict::Defer(cause),
        }
    }
}

/// A domain whose refusals are deferred.
#[derive(Debug, Clone)]
pub struct Doubt {
    /// Since when.
    pub since: Instant,
    /// The recipient that is refused, though accepted lately.
    pub witness: Address,
    /// In which words of the remote.
    pub words: String,
}

#[derive(Debug, Default)]
struct State {
    directory: Arc<str>,
    /// No other domain has a record.
    domains: Domains,
    records: HashMap<Domain, Record>,
}

/// What a look at a record has changed, for the log.
pub(super) enum Change {
    Begins(Doubt),
    Ends(Domain, &'static str),
}

impl Witnesses {
    /// Has records of these domains alone. They are logged under the directory's name.
    pub(super) fn serve(&self, directory: Arc<str>, domains: Domains) {
        let mut state = self.state.lock();
        state.records.retain(|domain, _| domains.has(domain));
        (state.directory, state.domains) = (directory, domains);
    }

    /// Takes down that a question that was asked `at` that time was answered with yes.
    pub(super) fn accepted(&self, address: &Address, at: Instant) {
        if self.is_apart(address) {
            return;
        }
        self.with(address.domain(), |record, change| {
            record.remember(address, at);
            record.accepted = record.accepted.max(Some(at));
            record.refused.clear();
            // Those that it refuses all the same were deleted, and would raise doubts again and again.
            record
                .witnesses
                .retain(|it| it.refused.is_none_or(|since| since >= at));
            if let Some(check) = &mut record.check
                && check.at <= at
            {
                check.result = CheckResult::Accepted;
            }
            if let Some(doubt) = record.doubt.take_if(|doubt| doubt.since < at) {
                record.doubted_until = Some(Instant::now());
                let domain = doubt.witness.domain().clone();
                *change = Some(Change::Ends(domain, "a recipient of it is accepted again"));
            }
        });
    }

    /// Takes in that a recipient was accepted so long ago, by what was remembered of it.
    pub(super) fn restore(&self, address: &Address, at: Instant) {
        if at.elapsed() < WITNESS_LIFE && !self.is_apart(address) {
            self.with(address.domain(), |record, _| record.remember(address, at));
        }
    }

    /// What the refusal of `address` is worth that was asked about `at` that time. `known_until` is when a recipient
    /// that was accepted lately was refused first since; `None` for any other.
    pub(super) fn assess(&self, address: &Address, known_until: Option<Instant>, at: Instant) -> Assessment {
        let hash = self.hasher.hash_one(address);
        let assess = |record: &mut Record, change: &mut Option<Change>| {
            record.forget_old(change);
            if !record.refused.contains(&hash) && record.refused.len() < REFUSALS_IN_A_ROW {
                record.refused.push(hash);
            }
            if let Some(witness) = record.witnesses.iter_mut().find(|it| it.address == *address) {
                witness.refused.get_or_insert(at);
            }
            record.assess(address, known_until, at, change)
        };
        let believed = Assessment::Is(Credibility::Believed);
        if self.is_apart(address) {
            return believed;
        }
        self.with(address.domain(), assess).unwrap_or(believed)
    }

    /// A witness to ask about, other than `refused` if there is one. `None` where one was asked lately.
    pub(super) fn begin_check(&self, refused: &Address) -> Option<Address> {
        self.with(refused.domain(), |record, _| {
            let now = Instant::now();
            if record.check.as_ref().is_some_and(|check| !check.is_due()) {
                return None;
            }
            // One that was asked in vain is asked again behind all others.
            let in_turn = |witness: &&mut Witness| {
                (
                    witness.address == *refused,
                    witness.asked,
                    witness.accepted.elapsed(),
                )
            };
            let witness = record.witnesses.iter_mut().min_by_key(in_turn)?;
            witness.asked = Some(now);
            record.check = Some(Check {
                at: now,
                result: CheckResult::UnderWay,
            });
            Some(witness.address.clone())
        })
        .flatten()
    }

    /// Takes down that a witness was refused in these words; whether doubts begin with that.
    pub(super) fn refused(&self, witness: &Address, at: Instant, words: &str) -> bool {
        let begins = self.with(witness.domain(), |record, change| {
            record.ends_check(CheckResult::Refused);
            let mut known = record.witnesses.iter_mut();
            // A purge may have forgotten it meanwhile.
            let Some(known) = known.find(|it| it.address == *witness) else {
                return false;
            };
            known.refused.get_or_insert(at);
            // It may have been deleted: somebody who was asked about no earlier was accepted.
            if record.accepted.is_some_and(|accepted| accepted >= at) {
                return false;
            }
            let doubt = Doubt {
                since: Instant::now(),
                witness: witness.clone(),
                words: without(words, &[&witness.to_string()]).into_owned(),
            };
            record.note_doubt(doubt, change)
        });
        begins.unwrap_or_default()
    }

    /// Takes down that a witness had no answer.
    pub(super) fn note_no_answer(&self, witness: &Address, class: Class) {
        self.with(witness.domain(), |record, _| {
            record.ends_check(CheckResult::Silent(class));
        });
    }

    /// What was found of `domain`, for refusals that wait for it. Of a known recipient that is refused since that time,
    /// somebody must have been accepted later.
    pub(super) fn finding(&self, domain: &Domain, refused_since: Option<Instant>) -> Credibility {
        let found = self.with(domain, |record, _| record.finding(domain, refused_since));
        found.unwrap_or(Credibility::Believed)
    }

    /// What a refusal of `domain` is worth, by whether it is doubted.
    pub(super) fn credibility(&self, domain: &Domain) -> Credibility {
        let doubted = self.with(domain, |record, _| record.doubt.as_ref().map(Doubt::cause));
        match doubted.flatten() {
            Some(cause) => Credibility::Doubted(cause),
            None => Credibility::Believed,
        }
    }

    /// When the recipient of `domain` was asked about that was accepted last.
    pub(super) fn last_accepted(&self, domain: &Domain) -> Option<Instant> {
        self.with(domain, |record, _| record.accepted).flatten()
    }

    /// Whether doubts about refusals of `domain` have ended after that time.
    pub(super) fn was_doubted_after(&self, domain: &Domain, at: Instant) -> bool {
        let until = self.with(domain, |record, _| record.doubted_until);
        until.flatten().is_some_and(|until| until > at)
    }

    /// Whether refusals of `domain` are deferred.
    pub(super) fn is_doubted(&self, domain: &Domain) -> bool {
        self.credibility(domain) != Credibility::Believed
    }

    /// The number of domains whose refusals are deferred, and the first `most` of them by name.
    pub(super) fn doubted(&self, most: usize) -> (usize, Vec<Doubt>) {
        let state = self.state.lock();
        let doubts = state.records.values().filter_map(|it| it.doubt.clone());
        let mut doubts: Vec<_> = doubts.collect();
        drop(state);
        let count = doubts.len();
        doubts.sort_by_cached_key(|doubt| doubt.witness.domain().clone());
        doubts.truncate(most);
        (count, doubts)
    }

    /// These are no witnesses, and no reason to doubt, any more.
    pub(super) fn forget(&self, is: impl Fn(&Address) -> bool) {
        for record in self.state.lock().records.values_mut() {
            record.forget(&is, &mut None);
        }
    }

    /// As [`Self::forget`], of one recipient.
    pub(super) fn forget_one(&self, address: &Address) {
        self.with(address.domain(), |record, change| {
            record.forget(|it| it == address, change);
        });
    }

    /// As [`Self::forget`], of a domain.
    pub(super) fn forget_domain(&self, domain: &Domain) {
        self.state.lock().records.remove(domain);
    }

    /// Whether another server than the domain's knows a recipient.
    fn is_apart(&self, address: &Address) -> bool {
        self.state.lock().domains.is_apart(address)
    }

    /// Looks at the record of a domain, which is new if need be, and logs what that has changed. `None` where the
    /// domain is none of the directory's.
    fn with<T>(
        &self,
        domain: &Domain,
        action: impl FnOnce(&mut Record, &mut Option<Change>) -> T,
    ) -> Option<T> {
        let mut state = self.state.lock();
        if !state.domains.has(domain) {
            return None;
        }
        let mut change = None;
        let found = if let Some(record) = state.records.get_mut(domain) {
            action(record, &mut change)
        } else {
            let mut record = Record::default();
            let found = action(&mut record, &mut change);
            state.records.insert(domain.clone(), record);
            found
        };
        let directory = state.directory.clone();
        drop(state);
        if let Some(change) = change {
            change.log(&directory);
        }
        Some(found)
    }
}

impl Doubt {
    pub(super) fn cause(&self) -> Cause {
        let Self { witness, words, .. } = self;
        let domain = witness.domain();
        let text = format!(
            "no refusal of {domain} is believed while {witness}, accepted recently, is refused as well ({words})"
        );
        Cause::ours(Class::NotBelieved, text)
    }
}

impl Change {
    fn log(self, directory: &str) {
        match self {
            Self::Begins(Doubt { witness, words, .. }) => {
                let domain = witness.domain();
                tracing::error!(
                    directory,
                    recipient = %witness,
                    "a recipient that was accepted recently is refused ({words}): until one of {domain} is accepted \
                     again, refusals in it are deferred; does the remote still have its users? If the mailbox was deleted \
                     on purpose, run vouch cache purge {witness}"
                );
            }
            Self::Ends(domain, why) => {
                tracing::info!(directory, "{why}: refusals of {domain} are believed again");
            }
        }
    }
}
