//! What the edges of a fleet tell each other of recipients: which findings this one gives away, and in which form it takes
//! those of others.
//!
//! A yes is given away as it is. A no might be of this edge alone, whose host the remote has put on a blocklist: it is given
//! away only if the remote has accepted a recipient of the domain shortly before, and held back until it has accepted one
//! that it was asked about later. One of both is not enough: a blocklist begins after a yes, and ends before one.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::kept::{Said, read};
use crate::address::{Address, Domain};
use crate::fleet::{self, Finding, Share};
use crate::settings::directory::Ttl;
use crate::verdict::{Cause, Class};

/// Bound (cache): refusals of one directory that are held back from the other edges until the remote has accepted
/// somebody of their domain. Beyond: the oldest is never told. Why: the other edges ask for themselves.
const HELD_REFUSALS: usize = 1000;

/// Bound (cache): time within which a recipient of the domain must be accepted before a refusal, and another after it, so
/// that other edges learn of that. Beyond: they never do. Why: in between, the remote may have refused this edge alone.
const CONFIRMED_WITHIN: Duration = Duration::from_secs(60);

/// Which share a recipient belongs to: that of the server that knows it.
#[derive(Clone)]
pub struct Sharing {
    /// `None` where all are of the one.
    of: Option<Arc<ShareOf>>,
    all: Arc<[Share]>,
}

type ShareOf = dyn Fn(&Address) -> Option<Share> + Send + Sync;

impl Sharing {
    /// One share for all recipients.
    pub fn one(share: Share) -> Self {
        Self {
            of: None,
            all: [share].into(),
        }
    }

    /// Of `all` shares that of each recipient, if it has one.
    pub fn several(
        all: impl IntoIterator<Item = Share>,
        of: impl Fn(&Address) -> Option<Share> + Send + Sync + 'static,
    ) -> Self {
        Self {
            of: Some(Arc::new(of)),
            all: all.into_iter().collect(),
        }
    }

    pub(super) fn all(&self) -> &[Share] {
        &self.all
    }

    /// That of a recipient.
    fn of(&self, address: &Address) -> Option<Share> {
        match &self.of {
            Some(of) => of(address),
            None => self.all.first().cloned(),
        }
    }

    /// That of a recipient by its one form.
    pub(super) fn of_key(&self, key: &[u8]) -> Option<Share> {
        match &self.of {
            Some(of) => of(&read(key)?),
            None => self.all.first().cloned(),
        }
    }
}

impl fmt::Debug for Sharing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sharing")
    }
}

/// What one directory shares.
pub(super) struct Shared {
    sharing: Sharing,
    ttl: Ttl,
    held: Mutex<VecDeque<Held>>,
}

/// A refusal that is not told yet.
struct Held {
    address: Address,
    what: What,
    at: Instant,
    answered: Instant,
}

/// What was found, and the remote's reply code.
type What = (fleet::Said, Option<u16>);

impl Shared {
    /// What a directory shares whose findings are kept so long.
    pub(super) fn new(sharing: Sharing, ttl: Ttl) -> Self {
        Self {
            sharing,
            ttl,
            held: Mutex::default(),
        }
    }

    /// What some edge has found of this recipient, and how long ago.
    pub(super) async fn look(&self, address: &Address) -> Option<(Said, Duration)> {
        let Finding { said, code, age } = self.sharing.of(address)?.look(&address.to_wire()).await?;
        let said = match said {
            fleet::Said::Yes => Said::Yes(None),
            fleet::Said::Full => Said::Yes(Some(Box::new(cause(Class::Full, code)))),
            fleet::Said::No => Said::No(Box::new(cause(Class::UnknownUser, code))),
            fleet::Said::Disabled => Said::No(Box::new(cause(Class::Disabled, code))),
        };
        Some((said, age))
    }

    /// Whether this edge is the one that asks about the recipient again.
    pub(super) async fn claim(&self, address: &Address, time: Duration) -> bool {
        match self.sharing.of(address) {
            Some(share) => share.claim(&address.to_wire(), time).await,
            None => true,
        }
    }

    /// Tells that a recipient was accepted that was asked about `at` that time; and who was refused in its domain before,
    /// unless `doubted` then.
    pub(super) fn accepted(
        &self,
        address: &Address,
        remark: Option<&Cause>,
        at: Instant,
        doubted: impl Fn(Instant) -> bool,
    ) {
        let said = match remark.map(|cause| cause.class) {
            Some(Class::Full) => fleet::Said::Full,
            _ => fleet::Said::Yes,
        };
        let longest = self.ttl.positive.max(self.ttl.stale);
        self.tell(address, (said, remark.and_then(code)), longest, at);
        let confirmed = self.confirmed(address.domain(), at).into_iter();
        for held in confirmed.filter(|held| !doubted(held.at)) {
            self.tell(&held.address, held.what, self.ttl.negative, held.at);
        }
    }

    /// Tells that a recipient was refused that was asked about `at` that time, and the remote has `answered` then: at once,
    /// if it has accepted one of the domain that was asked about after that; or once it does, if it has accepted one shortly
    /// before. `accepted` is when the last of those was asked about. One that was asked about in between may have overtaken
    /// the other in the queue for a session, and says nothing of what came later.
    pub(super) fn refused(
        &self,
        address: &Address,
        cause: &Cause,
        [at, answered]: [Instant; 2],
        accepted: Option<Instant>,
    ) {
        let said = match cause.class {
            Class::UnknownUser => fleet::Said::No,
            Class::Disabled => fleet::Said::Disabled,
            _ => return,
        };
        let what = (said, code(cause));
        match accepted {
            Some(accepted) if accepted > at && accepted >= answered => {
                return self.tell(address, what, self.ttl.negative, at);
            }
            Some(accepted) if at.saturating_duration_since(accepted) < CONFIRMED_WITHIN => {}
            _ => return,
        }
        let mut held = self.held.lock();
        if held.len() >= HELD_REFUSALS {
            held.pop_front();
        }
        held.push_back(Held {
            address: address.clone(),
            what,
            at,
            answered,
        });
    }

    /// Takes out the refusals of a domain in which somebody was accepted who was asked about `at` that time.
    fn confirmed(&self, domain: &Domain, at: Instant) -> Vec<Held> {
        let mut held = self.held.lock();
        if held.is_empty() {
            return Vec::new();
        }
        let mut confirmed = Vec::new();
        for one in std::mem::take(&mut *held) {
            let within = at
                .checked_duration_since(one.answered)
                .filter(|time| !time.is_zero());
            match within {
                Some(time) if time >= CONFIRMED_WITHIN => {}
                Some(_) if one.address.domain() == domain => confirmed.push(one),
                _ => held.push_back(one),
            }
        }
        confirmed
    }

    fn tell(&self, address: &Address, what: What, kept: Duration, at: Instant) {
        if let (false, Some(share)) = (kept.is_zero(), self.sharing.of(address)) {
            share.tell(&address.to_wire(), what, kept, at);
        }
    }
}

/// The code of the remote's reply.
fn code(cause: &Cause) -> Option<u16> {
    cause.status.as_ref()?.get(..3)?.parse().ok()
}

/// What is remembered of a reply that another edge has heard: no word of the remote is shared.
fn cause(class: Class, code: Option<u16>) -> Cause {
    let text = "in its reply to another edge";
    let subject = match class {
        Class::UnknownUser => "1.1",
        Class::Full => "2.2",
        _ => "2.1",
    };
    match code {
        Some(code) => Cause::said(class, format!("{code} {}.{subject}", code / 100), text),
        None => Cause::ours(class, text),
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    fn shared() -> Shared {
        let share = Share::of_nobody();
        Shared::new(Sharing::one(share), Ttl::new())
    }

    /// Where somebody of the domain was accepted so long before.
    fn refuse_after(shared: &Shared, address: &str, accepted: Option<Duration>) {
        let address = Address::from_typed(address).unwrap();
        let cause = Cause::said(Class::UnknownUser, "550 5.1.1", "x");
        let now = Instant::now();
        shared.refused(&address, &cause, [now; 2], accepted.map(|before| now - before));
    }

    fn refuse(shared: &Shared, address: &str) {
        refuse_after(shared, address, Some(Duration::ZERO));
    }

    fn confirmed(shared: &Shared, domain: &str) -> Vec<String> {
        let held = shared.confirmed(&Domain::parse(domain).unwrap(), Instant::now());
        held.iter().map(|held| held.address.to_string()).collect()
    }

    // Fills CONFIRMED_WITHIN.
    #[tokio::test(start_paused = true)]
    async fn a_refusal_is_told_once_somebody_of_its_domain_is_accepted_soon_after() {
        let shared = shared();
        refuse(&shared, "a@one.example");
        refuse(&shared, "b@two.example");
        assert_eq!(
            confirmed(&shared, "one.example"),
            [""; 0],
            "they were asked at once"
        );
        advance(Duration::from_secs(1)).await;
        assert_eq!(confirmed(&shared, "one.example"), ["a@one.example"]);
        assert_eq!(confirmed(&shared, "one.example"), [""; 0]);
        advance(CONFIRMED_WITHIN).await;
        assert_eq!(confirmed(&shared, "two.example"), [""; 0]);
        assert!(shared.held.lock().is_empty());
    }

    // Fills CONFIRMED_WITHIN.
    #[tokio::test(start_paused = true)]
    async fn a_refusal_before_which_nobody_was_accepted_is_never_told() {
        let shared = shared();
        advance(2 * CONFIRMED_WITHIN).await;
        let millisecond = Duration::from_millis(1);
        refuse_after(&shared, "a@one.example", Some(CONFIRMED_WITHIN - millisecond));
        refuse_after(&shared, "b@one.example", Some(CONFIRMED_WITHIN));
        refuse_after(&shared, "c@one.example", None);
        advance(millisecond).await;
        assert_eq!(confirmed(&shared, "one.example"), ["a@one.example"]);
    }

    /// The newest question is asked first where many wait.
    #[tokio::test(start_paused = true)]
    async fn a_yes_that_overtook_a_refusal_in_the_queue_tells_nothing_of_it() {
        let (shared, began) = (shared(), Instant::now());
        let jane = Address::from_typed("jane@one.example").unwrap();
        let cause = Cause::said(Class::UnknownUser, "550 5.1.1", "x");
        advance(Duration::from_secs(20)).await;
        let (asked, late) = (began + Duration::from_secs(10), Instant::now());
        shared.refused(&jane, &cause, [began, late], Some(asked));
        let domain = jane.domain();
        assert!(
            shared
                .confirmed(domain, asked + Duration::from_secs(1))
                .is_empty()
        );
        assert_eq!(shared.confirmed(domain, late + Duration::from_millis(1)).len(), 1);
    }

    /// It may have been on its way while the remote refused everybody.
    #[tokio::test(start_paused = true)]
    async fn a_yes_that_was_asked_for_before_a_refusal_tells_nothing_of_it() {
        let shared = shared();
        let (began, jane) = (Instant::now(), Address::from_typed("jane@one.example").unwrap());
        advance(Duration::from_secs(1)).await;
        refuse(&shared, "a@one.example");
        advance(Duration::from_secs(1)).await;
        shared.accepted(&jane, None, began, |_| false);
        assert_eq!(confirmed(&shared, "one.example"), ["a@one.example"]);
    }

    // Fills HELD_REFUSALS.
    #[tokio::test(start_paused = true)]
    async fn no_more_refusals_are_held_than_there_is_room_for() {
        let shared = shared();
        for number in 0..=HELD_REFUSALS {
            refuse(&shared, &format!("a{number}@one.example"));
        }
        advance(Duration::from_secs(1)).await;
        let told = confirmed(&shared, "one.example");
        assert_eq!(told.len(), HELD_REFUSALS);
        assert_eq!(told.first().unwrap(), "a1@one.example");
    }

    #[test]
    fn a_reply_to_another_edge_has_its_code_and_none_of_its_words() {
        let detail = |class, code| cause(class, code).detail();
        assert_eq!(
            detail(Class::UnknownUser, Some(550)),
            "550 5.1.1 in its reply to another edge"
        );
        assert_eq!(
            detail(Class::Full, Some(452)),
            "452 4.2.2 in its reply to another edge"
        );
        assert_eq!(detail(Class::Disabled, None), "in its reply to another edge");
        let said = |status: &str| code(&Cause::said(Class::UnknownUser, status, "x"));
        assert_eq!(
            [said("550 5.1.1"), said("550"), said("5"), said("NO x")],
            [Some(550), Some(550), None, None]
        );
    }
}
