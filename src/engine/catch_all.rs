//! Domains whose remote accepts every address: its yes says nothing there, so
//! vouch neither accepts nor rejects. Found out with addresses that nobody
//! has.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::domains::Domains;
use crate::address::{Address, Domain};
use crate::chance::Chance;
use crate::verdict::Verdict;

/// Bound (cache): time between tests whether a domain takes every address. Beyond: it is tested again. Why: such
/// settings change a few times in a server's life.
const TESTED: Duration = Duration::from_secs(6 * 3600);

/// Bound (cache): time that is added at random to the time between such tests. Beyond: it is tested again. Why:
/// domains that were all first asked about in one minute are not tested in one minute ever after.
const JITTER: Duration = Duration::from_secs(3600);

/// Bound (cache): time between tests of a domain after one without an answer. Beyond: it is tested again. Why: longer
/// than a test takes, so that a domain has one under way at a time.
const RETEST_INTERVAL: Duration = Duration::from_secs(60);

/// Letters of a local part that nobody has: 94 bits.
const LETTERS: usize = 20;

/// Which domains of one directory accept everything.
pub(super) struct CatchAll {
    directory: Arc<str>,
    ours: Domains,
    chance: Chance,
    /// One entry a domain of the directory at most.
    domains: Mutex<HashMap<Domain, Tested>>,
}

/// What a test changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    /// Nothing.
    None,
    /// The domain accepts everything.
    Begins,
    /// It does not any more: what it accepted meanwhile was never known.
    Ends,
}

#[derive(Debug)]
struct Tested {
    accepts_everything: bool,
    next: Instant,
}

impl CatchAll {
    /// For the directory called `directory`, of which nothing is known. Only its own domains, `ours`, are tested.
    pub(super) fn new(directory: Arc<str>, ours: Domains, chance: Chance) -> Self {
        Self {
            directory,
            ours,
            chance,
            domains: Mutex::default(),
        }
    }

    /// Whether an Accept of `domain` says nothing.
    pub(super) fn accepts_everything(&self, domain: &Domain) -> bool {
        self.with(|domains| {
            domains
                .get(domain)
                .is_some_and(|tested| tested.accepts_everything)
        })
    }

    /// Domains that accept everything, as far as is known.
    pub(super) fn domains(&self) -> usize {
        self.with(|domains| domains.values().filter(|it| it.accepts_everything).count())
    }

    /// The first `most` of these by their names.
    pub(super) fn first(&self, most: usize) -> Vec<Domain> {
        let mut found: Vec<Domain> = self.with(|domains| {
            let found = domains.iter().filter(|(_, it)| it.accepts_everything);
            found.map(|(domain, _)| domain.clone()).collect()
        });
        found.sort();
        found.truncate(most);
        found
    }

    /// An address to test `domain` with, if a test is due. It is counted as under
    /// way.
    pub(super) fn due(&self, domain: &Domain) -> Option<Address> {
        if !self.ours.has(domain) {
            return None;
        }
        let now = Instant::now();
        let due = self.with(|domains| {
            let tested = domains.entry(domain.clone()).or_insert(Tested {
                accepts_everything: false,
                next: now,
            });
            let due = tested.next <= now;
            if due {
                tested.next = now + RETEST_INTERVAL;
            }
            due
        });
        due.then(|| nobody(domain, &self.chance)).flatten()
    }

    /// Takes down the verdict on an address that nobody has. One without an answer
    /// changes nothing.
    pub(super) fn note(&self, domain: &Domain, verdict: &Verdict) -> Change {
        let accepts_everything = match verdict {
            Verdict::Accept(_) => true,
            Verdict::Reject(_) => false,
            Verdict::Defer(_) | Verdict::Abstain(_) => return Change::None,
        };
        let next = Instant::now() + TESTED + self.chance.up_to(JITTER);
        let before = self.with(|domains| {
            let tested = Tested {
                accepts_everything,
                next,
            };
            let before = domains.insert(domain.clone(), tested);
            before.is_some_and(|before| before.accepts_everything)
        });
        let directory = &*self.directory;
        match (before, accepts_everything) {
            (false, true) => {
                let known = self.domains();
                tracing::warn!(
                    directory,
                    %domain,
                    domains = known,
                    "the remote accepts every address of the domain: vouch neither accepts nor rejects its \
                     recipients; the remote must refuse unknown recipients at RCPT to be of use"
                );
                Change::Begins
            }
            (true, false) => {
                tracing::info!(
                    directory,
                    %domain,
                    "the remote accepts every address of the domain no more: its answers count again"
                );
                Change::Ends
            }
            _ => Change::None,
        }
    }

    fn with<T>(&self, action: impl FnOnce(&mut HashMap<Domain, Tested>) -> T) -> T {
        action(&mut self.domains.lock())
    }
}

/// An address of `domain` that nobody has and nobody has seen. `None` where
/// the system gives no random bytes: a guessable one would prove nothing.
fn nobody(domain: &Domain, chance: &Chance) -> Option<Address> {
    let letters = chance.bytes::<LETTERS>()?.map(|byte| b'a' + byte % 26);
    let address = [&letters, &b"@"[..], domain.as_str().as_bytes()].concat();
    Address::from_unquoted(&address).ok()
}
