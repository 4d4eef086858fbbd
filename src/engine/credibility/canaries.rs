//! Canaries: addresses that must exist, by the configuration. While the remote refuses one, no refusal of its domain
//! is believed.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::address::{Address, Domain};
use crate::engine::witnesses::Credibility;
use crate::telemetry::addresses::without;
use crate::verdict::{Cause, Class, Verdict};

/// Bound (cache): time for which an accepted canary confirms refusals. Beyond: a refusal waits for the canary. Why: a
/// server that loses its users is noticed within it.
const CANARY_CONFIRMS_FOR: Duration = Duration::from_secs(5 * 60);

/// Bound (cache): age at which a canary is asked again in the background. Beyond: it is asked when the next refusal
/// comes. Why: no refusal has to wait.
const CANARY_REFRESH_AGE: Duration = Duration::from_secs(60);

/// Bound (cache): time for which a refused or unanswered canary is not asked again. Beyond: it is asked again. Why:
/// otherwise it would take every second question.
const CANARY_RETRY_INTERVAL: Duration = Duration::from_secs(5);

/// The canaries of one directory, and what was said of each.
pub(crate) struct Canaries {
    directory: Arc<str>,
    by_domain: HashMap<Domain, Vec<Address>>,
    /// One entry a canary at most, and those are in the configuration.
    told: Mutex<HashMap<Address, Told>>,
}

/// Canaries to ask before, or while, a refusal is answered.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Due {
    /// Not asked, or too long ago.
    pub canaries: Vec<Address>,
    /// Their answers decide what the refusal is worth: wait for them.
    pub wait: bool,
}

/// How a canary is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// Nobody was refused in its domain yet, so it was not asked about.
    Unasked,
    /// It was accepted then.
    Accepted(Instant),
    /// It is refused, in these words.
    Refused(String),
    /// It got no answer, for a reason of this class.
    Silent(Class),
}

/// What was said of one canary.
#[derive(Debug, Default)]
struct Told {
    asked: Option<Instant>,
    accepted: Option<Instant>,
    /// The remote's words, from the refusal until it is accepted again.
    refused: Option<String>,
    /// Why its last question got no answer.
    silent: Option<Class>,
}

impl Canaries {
    /// Canaries of the directory called `directory`, each in the one form under
    /// which its mailbox is asked about.
    pub(crate) fn new(directory: Arc<str>, canaries: impl IntoIterator<Item = Address>) -> Self {
        let mut by_domain: HashMap<_, Vec<_>> = HashMap::new();
        for canary in canaries {
            let of_domain = by_domain.entry(canary.domain().clone()).or_default();
            if !of_domain.contains(&canary) {
                of_domain.push(canary);
            }
        }
        Self {
            directory,
            by_domain,
            told: Mutex::default(),
        }
    }

    /// Whether this address is one.
    pub(crate) fn has(&self, address: &Address) -> bool {
        self.of(address.domain()).contains(address)
    }

    /// Those to ask now that a refusal of `domain` came.
    pub(crate) fn due(&self, domain: &Domain) -> Due {
        let canaries = self.of(domain);
        if canaries.is_empty() {
            return Due::default();
        }
        let told = self.told.lock();
        let is = |canary: &Address, what: fn(&Told) -> bool| told.get(canary).is_some_and(what);
        let due = |canary: &&Address| told.get(*canary).is_none_or(Told::is_due);
        let refused = |canary: &Address| is(canary, |told| told.refused.is_some());
        let accepted = |canary: &Address| is(canary, |told| told.accepted_within(CANARY_CONFIRMS_FOR));
        Due {
            canaries: canaries.iter().filter(due).cloned().collect(),
            wait: canaries.iter().any(refused) || !canaries.iter().any(accepted),
        }
    }

    /// What a refusal of `domain` is worth, as far as is known.
    pub(super) fn credibility(&self, domain: &Domain) -> Credibility {
        let canaries = self.of(domain);
        if canaries.is_empty() {
            return Credibility::Believed;
        }
        let told = self.told.lock();
        let known = || {
            canaries
                .iter()
                .filter_map(|canary| Some((canary, told.get(canary)?)))
        };
        if let Some((canary, words)) =
            known().find_map(|(canary, told)| Some((canary, told.refused.as_ref()?)))
        {
            return Credibility::Doubted(doubt(canary, words));
        }
        if known().any(|(_, told)| told.accepted_within(CANARY_CONFIRMS_FOR)) {
            return Credibility::Believed;
        }
        // A canary that nobody has heard of yet is still being waited for.
        let class = known()
            .find_map(|(_, told)| told.silent)
            .unwrap_or(Class::Timeout);
        let text = format!("refused, but no canary of {domain} got an answer that would confirm it");
        Credibility::Doubted(Cause::ours(class, text))
    }

    /// Whether a canary of `domain` is refused at present.
    pub(crate) fn any_refused(&self, domain: &Domain) -> bool {
        let told = self.told.lock();
        self.of(domain)
            .iter()
            .any(|canary| told.get(canary).is_some_and(|told| told.refused.is_some()))
    }

    /// When a canary of `domain` was accepted last.
    pub(super) fn last_accepted(&self, domain: &Domain) -> Option<Instant> {
        let told = self.told.lock();
        let accepted = |canary: &Address| told.get(canary)?.accepted;
        self.of(domain).iter().filter_map(accepted).max()
    }

    /// Every canary, and what was said of it last; those that are refused come first.
    pub(crate) fn states(&self) -> Vec<(Address, State)> {
        let told = self.told.lock();
        let state = |canary: &Address| told.get(canary).map_or(State::Unasked, Told::state);
        let all = self.by_domain.values().flatten();
        let mut states: Vec<_> = all.map(|canary| (canary.clone(), state(canary))).collect();
        drop(told);
        let refused = |state: &State| !matches!(state, State::Refused(_));
        states.sort_by_cached_key(|(canary, state)| (refused(state), canary.to_wire()));
        states
    }

    /// Takes down what the remote said of a canary, and gives back the verdict on
    /// it: a refusal of a canary is believed least of all.
    pub(crate) fn note(&self, canary: &Address, verdict: Verdict) -> Verdict {
        let now = Instant::now();
        let words = without(&verdict.detail(), &[&canary.to_string()]).into_owned();
        let mut table = self.told.lock();
        let told = table.entry(canary.clone()).or_default();
        told.asked = Some(now);
        told.silent = None;
        match verdict {
            Verdict::Accept(identity) => {
                told.accepted = Some(now);
                if told.refused.take().is_some() {
                    drop(table);
                    let (directory, domain) = (&*self.directory, canary.domain());
                    tracing::info!(
                        directory,
                        %canary,
                        "the canary is accepted again: refusals of {domain} are believed once no other canary of it is refused"
                    );
                }
                Verdict::Accept(identity)
            }
            Verdict::Reject(_) => {
                told.accepted = None;
                let begins = told.refused.replace(words.clone()).is_none();
                drop(table);
                if begins {
                    let (directory, domain) = (&*self.directory, canary.domain());
                    tracing::error!(
                        directory,
                        %canary,
                        "the canary is refused ({words}): until it is accepted again, refusals in {domain} are \
                         deferred; does the remote still have its users, and the canary a mailbox?"
                    );
                }
                Verdict::Defer(doubt(canary, &words))
            }
            Verdict::Defer(cause) => {
                told.silent = Some(cause.class);
                Verdict::Defer(cause)
            }
            Verdict::Abstain(abstention) => Verdict::Abstain(abstention),
        }
    }

    fn of(&self, domain: &Domain) -> &[Address] {
        self.by_domain.get(domain).map_or(&[], Vec::as_slice)
    }
}

impl Told {
    fn state(&self) -> State {
        match (&self.refused, self.silent, self.accepted) {
            (Some(words), ..) => State::Refused(words.clone()),
            (None, Some(class), _) => State::Silent(class),
            (None, None, Some(at)) => State::Accepted(at),
            (None, None, None) => State::Unasked,
        }
    }

    fn accepted_within(&self, time: Duration) -> bool {
        self.accepted.is_some_and(|accepted| accepted.elapsed() < time)
    }

    fn is_due(&self) -> bool {
        !self.accepted_within(CANARY_REFRESH_AGE)
            && self
                .asked
                .is_none_or(|asked| asked.elapsed() >= CANARY_RETRY_INTERVAL)
    }
}

fn doubt(canary: &Address, words: &str) -> Cause {
    let domain = canary.domain();
    let text = format!("no refusal of {domain} is believed while its canary {canary} is refused ({words})");
    Cause::ours(Class::NotBelieved, text)
}
