//! Guesses at passwords, counted over all edges: what an edge counts of a client or a user it counts in the store as well, and
//! the larger of the two counts.
//!
//! What is counted has a HyperLogLog for each window of time, under a name that is a hash of it; what is put in are marks, of
//! which equal failures have equal ones. A mark goes over the wire, so whoever has the key of the fleet and reads along sees
//! all that it is made of. So no mark is made of a password, but of [a hint](Hint): eight bits of its hash, always
//! the same ones of a password, whoever's it is and whenever it is tried. Who collects marks for years knows no more of it
//! than that: one of 256 passwords has the same, as good as none of a guess is told by them. Two wrong passwords of a user
//! with the same bits count once, which a guesser cannot choose and is no help to him.
//!
//! Nothing here is believed of those who have not failed at this edge, see [`crate::server::penalty`]: a store that lies
//! delays nobody else.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;

use tokio::sync::mpsc;
use tokio::time::timeout;

use super::Fleet;
use super::exchange::Put;
use super::key::Purpose;
use super::link::{IN_TIME, Link, State};
use super::outside::Clock;
use super::wrong::{Step, Wrong};
use crate::settings::penalty::LEAST_FORGET;

/// Bound (cache): bits of a wrong password's hash that edges share, so that equal failures at several edges count once.
/// Beyond: there are no more. Why: they tell two guesses apart, and who reads them and has the key nearly nothing: one
/// password in 256 has the same.
const HINT_BITS: u32 = 8;

/// Bound (cache): failures that wait to be counted by the store. Beyond: only the edge where they were counts them. Why: an
/// outage takes no memory, and soon they are forgotten.
pub(super) const GUESSES_QUEUE: usize = 1000;

/// Marks that are written in one go.
const BATCH: usize = 100;

/// Bytes of the hash of what is counted.
const COUNTED: usize = 12;

/// What a listener counts together with the same listener of other edges.
#[derive(Clone)]
pub struct Guesses {
    fleet: Arc<Fleet>,
    scope: Arc<[u8]>,
    window: Duration,
}

/// Whose failures are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Of {
    /// Those of a client's network.
    Client = 1,
    /// Those of a user.
    User = 2,
}

/// A few bits of a wrong password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hint(u8);

/// A failure, as it is counted: equal ones have one mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark([u8; 8]);

/// What is counted: a hash of it, in the letters of Base64.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Counted([u8; COUNTED]);

/// One failure, on its way to the store.
#[derive(Debug)]
pub(super) struct Uncounted {
    name: String,
    mark: Mark,
    /// When the store may forget it.
    until: SystemTime,
}

impl Guesses {
    /// What the listener of that name counts, where a failure is forgotten after so long; `None` where that is too short.
    /// Listeners of different edges count together where both are the same.
    pub fn new(fleet: Arc<Fleet>, listener: &str, forget: Duration) -> Option<Self> {
        let scope = format!("{} {listener}", forget.as_millis());
        (forget >= LEAST_FORGET).then(|| Self {
            fleet,
            scope: scope.into_bytes().into(),
            window: Duration::from_millis((forget.as_millis() / 2) as u64),
        })
    }

    /// What a listener counts in a fleet without a store.
    #[cfg(test)]
    pub(crate) fn of_nobody(listener: &str, forget: Duration) -> Option<Self> {
        Self::new(Arc::new(Fleet::of_nobody()), listener, forget)
    }

    /// What a wrong password is told apart by. `secret` may be any proof that is sent as it is.
    pub fn hint(&self, secret: &[u8]) -> Hint {
        let [first, ..] = self.fleet.key.hash(Purpose::Hint, &[secret]);
        Hint(first >> (u8::BITS - HINT_BITS))
    }

    /// The mark of a failed login.
    pub fn login(&self, user: &[u8], Hint(hint): Hint) -> Mark {
        self.mark(&[user, &[hint]])
    }

    /// The mark of a refused recipient.
    pub fn recipient(&self, address: &[u8]) -> Mark {
        self.mark(&[address])
    }

    fn mark(&self, parts: &[&[u8]]) -> Mark {
        let mut mark = [0; 8];
        for (to, from) in mark.iter_mut().zip(self.fleet.key.hash(Purpose::Guess, parts)) {
            *to = from;
        }
        Mark(mark)
    }

    /// What failures of this client or user are counted under.
    pub fn counted(&self, of: Of, who: &[u8]) -> Counted {
        let hash = self
            .fleet
            .key
            .hash(Purpose::Counted, &[&self.scope, &[of as u8], who]);
        let mut counted = [0; COUNTED];
        for (to, from) in counted.iter_mut().zip(hash) {
            *to = from;
        }
        Counted(counted)
    }

    /// Counts a failure. Waits for nothing.
    pub fn add(&self, counted: &Counted, mark: Mark) {
        if let Some(store) = self.fleet.store_of(counted.spread()) {
            store.count(self.uncounted(counted, mark));
        }
    }

    pub(super) fn uncounted(&self, counted: &Counted, mark: Mark) -> Uncounted {
        let window = self.window(self.fleet.clock.now());
        Uncounted {
            name: counted.name(window),
            mark,
            until: UNIX_EPOCH + self.window * window.saturating_add(2),
        }
    }

    /// How many different failures of a client or user the edges have counted, if the store tells it within the patience:
    /// those of this window of time and of the one before.
    pub async fn count(&self, counted: &Counted) -> Option<u32> {
        let window = self.window(self.fleet.clock.now());
        let names = [window, window.saturating_sub(1)].map(|window| counted.name(window));
        let link = &self.fleet.store_of(counted.spread())?.link;
        let count = link.count(&names).await?;
        Some(u32::try_from(count).unwrap_or(u32::MAX))
    }

    /// The number of the window of time. A failure is forgotten no later than its listener would, and no earlier than in half
    /// of that time.
    fn window(&self, now: SystemTime) -> u32 {
        let since = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        u32::try_from(since / self.window.as_millis().max(1)).unwrap_or(u32::MAX - 2)
    }
}

impl Mark {
    /// The mark of a failure that is equal to no other, by a number that is drawn for it.
    pub fn once(number: u64) -> Self {
        Self(number.to_be_bytes())
    }
}

impl Counted {
    /// The name of its count in a window. What is in braces decides at which node of a cluster it would be: both windows are
    /// at one.
    fn name(&self, window: u32) -> String {
        format!("vouch1:{{{}}}:{window}", STANDARD_NO_PAD.encode(self.0))
    }

    /// Of what is evenly spread over all that is counted.
    fn spread(&self) -> u64 {
        let mut bytes = [0; 8];
        for (to, from) in bytes.iter_mut().zip(self.0) {
            *to = from;
        }
        u64::from_le_bytes(bytes)
    }
}

impl Uncounted {
    /// How it is written at that time; `None` where it is too old by then.
    fn put(&self, now: SystemTime) -> Option<Put> {
        let kept = self.until.duration_since(now).ok()?;
        (kept.as_millis() > 0).then(|| Put {
            name: self.name.clone(),
            mark: self.mark.0,
            kept,
        })
    }
}

/// Has what comes counted in a store.
pub(super) async fn write(link: Arc<Link>, clock: Clock, mut queue: mpsc::Receiver<Uncounted>) {
    let (mut batch, mut state) = (Vec::with_capacity(BATCH), link.state.subscribe());
    while queue.recv_many(&mut batch, BATCH).await > 0 {
        let connection = match state.wait_for(|state| matches!(state, State::Up(_))).await {
            Ok(state) => state.clone(),
            Err(_) => return,
        };
        let State::Up(mut connection) = connection else {
            continue;
        };
        let now = clock.now();
        let marks: Vec<Put> = batch.drain(..).filter_map(|one| one.put(now)).collect();
        if marks.is_empty() {
            continue;
        }
        match timeout(IN_TIME, connection.put(&marks)).await {
            Ok(done) => link.troubles.note_step(Step::Put, done.err()),
            Err(_) => link.give_up(Wrong::Slow),
        }
    }
}

impl std::fmt::Debug for Guesses {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Guesses")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn guesses(listener: &str, forget: Duration) -> Guesses {
        Guesses::of_nobody(listener, forget).unwrap()
    }

    // Fills LEAST_FORGET.
    #[test]
    fn listeners_of_one_name_and_memory_count_together() {
        let edges = [
            guesses("logins", 10 * MINUTE),
            guesses("logins", 10 * MINUTE),
            guesses("other", 10 * MINUTE),
            guesses("logins", MINUTE),
        ];
        let [one, same, other, shorter] = edges.map(|edge| edge.counted(Of::User, b"jane"));
        assert_eq!(one, same);
        assert!(one != other && one != shorter);
        let edge = guesses("logins", MINUTE);
        assert_ne!(edge.counted(Of::User, b"x"), edge.counted(Of::Client, b"x"));
        let least = |forget| Guesses::of_nobody("logins", forget).is_some();
        assert!(least(LEAST_FORGET) && !least(LEAST_FORGET - Duration::from_millis(1)));
    }

    // Fills HINT_BITS.
    #[test]
    fn a_password_has_one_hint_for_everybody_and_for_ever_and_shares_it_with_many() {
        let (one, other) = (guesses("logins", 10 * MINUTE), guesses("other", MINUTE));
        assert_eq!(one.hint(b"s3cret"), other.hint(b"s3cret"));
        let hints = |count: u32| -> Vec<u8> {
            let hint = |number: u32| one.hint(&number.to_be_bytes()).0;
            (0..count).map(hint).collect()
        };
        let different: HashSet<_> = hints(20_000).into_iter().collect();
        assert_eq!(different.len(), 1 << HINT_BITS);
        // Ten guesses are told apart, or nearly so.
        let marks: HashSet<_> = hints(10).into_iter().collect();
        assert!(marks.len() >= 8, "{marks:?}");
        // That is all of it that is in a mark.
        let marks: HashSet<_> = hints(20_000)
            .into_iter()
            .map(|hint| one.login(b"jane", Hint(hint)).0)
            .collect();
        assert_eq!(marks.len(), 1 << HINT_BITS);
        assert_ne!(one.login(b"jane", Hint(0)), one.login(b"joe", Hint(0)));
    }

    proptest! {
        /// A failure counts for half of the time of `penalty.forget` at least, and never for longer than that.
        #[test]
        fn a_failure_is_counted_until_it_is_forgotten(
            forget in 10_000_u64..=86_400_000,
            at in 1_600_000_000_000_u64..=2_600_000_000_000,
            later in 0_u64..=86_400_000,
        ) {
            let guesses = guesses("logins", Duration::from_millis(forget));
            let time = |millis| UNIX_EPOCH + Duration::from_millis(millis);
            let (then, now) = (guesses.window(time(at)), guesses.window(time(at + later)));
            let is_counted = now - then <= 1;
            prop_assert!(is_counted || later >= forget / 2);
            prop_assert!(!is_counted || later <= forget);
        }

        /// Names are of one shape, in which a cluster sees the same place for both windows.
        #[test]
        fn a_name_has_no_other_braces(who: Vec<u8>, window: u32) {
            let name = guesses("logins", MINUTE).counted(Of::Client, &who).name(window);
            let (place, rest) = name.split_at("vouch1:{}".len() + 16);
            let is_good = place.starts_with("vouch1:{") && place.ends_with('}') && rest == format!(":{window}");
            prop_assert!(is_good, "{}", name);
            prop_assert_eq!(name.matches(['{', '}']).count(), 2);
        }
    }
}
