//! Delays for clients and users with repeated failures.
//!
//! A failure is what a remote refused, now or lately; what nobody could answer is none,
//! nor is what needed no remote. It is held against the client's network address and
//! against the user. Of equal ones only one counts while it is remembered: a telephone
//! that goes on trying an old password does not guess.
//!
//! Every answer to an offending address is delayed, good ones too, so that response
//! time reveals nothing. A user attacked from many addresses is different: if good answers for the
//! user were delayed or deferred, anyone could lock the user out remotely. So only its refusals are.
//!
//! The edges of a fleet count together: the larger of the own count and theirs holds. Theirs is asked for beside the
//! question, and a refusal alone waits for it, no longer than `fleet.patience`. It is of no matter to a client that has not
//! failed here: what a store says, true or not, delays and refuses nobody by itself.

use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::elsewhere::Elsewhere;
use super::failures::{Counted, Table};
use crate::address::network::Network;
use crate::fleet::guesses::{Guesses, Mark, Of};
use crate::settings::penalty as keys;
use crate::verdict::Client;

/// The failures of one listener.
pub struct Penalty {
    /// The listener's name, for the log.
    listener: String,
    keys: keys::Penalty,
    here: Arc<Here>,
    elsewhere: Option<Elsewhere>,
}

/// What was counted at this edge.
struct Here {
    clients: Table,
    users: Table,
    /// Its keys are drawn anew in each life of the process.
    hasher: RandomState,
    /// What tells failures apart that are equal to no other.
    unique: AtomicU64,
}

/// To whom failures are laid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Offender(Network);

/// What a remote refused: `what` marks equal failures, where there can be equal ones.
#[derive(Debug)]
pub struct Failure<'a, T> {
    /// The user, by the one name of the account; `None` if no user is named.
    pub user: Option<&'a [u8]>,
    /// What was refused.
    pub what: Option<T>,
    /// What marks equal failures at all edges of a fleet, likewise.
    pub mark: Option<Mark>,
}

impl Penalty {
    /// Nobody has failed yet.
    pub fn new(listener: &str, keys: keys::Penalty) -> Self {
        Self {
            here: Arc::new(Here::new(&keys)),
            elsewhere: None,
            listener: listener.to_owned(),
            keys,
        }
    }

    /// The failures of a listener that had `before`, which continue if its settings are the same; counted with those of
    /// other edges, where there are any.
    pub fn under(
        listener: &str,
        keys: Option<keys::Penalty>,
        guesses: Option<Guesses>,
        before: Option<&Arc<Self>>,
    ) -> Option<Arc<Self>> {
        let mut penalty = Self::new(listener, keys?);
        if let Some(before) = before.filter(|before| before.keys == penalty.keys) {
            penalty.here = before.here.clone();
        }
        penalty.elsewhere = guesses.map(Elsewhere::new);
        Some(Arc::new(penalty))
    }

    /// The address that a client's failures count for: none if it reports no address, or one
    /// that is exempt.
    pub fn offender(&self, client: &Client) -> Option<Offender> {
        let address = client.address?;
        let exempt = self.keys.exempt.iter().any(|network| network.has(address));
        (!exempt).then(|| Offender(Network::of_host(address)))
    }

    /// What counts failures with other edges, if there are any.
    pub(super) fn guesses(&self) -> Option<&Guesses> {
        Some(&self.elsewhere.as_ref()?.guesses)
    }

    /// Asks what all edges have counted of the offender and the user; in vain where there is no store, or a slow one.
    pub(super) async fn look(&self, offender: Offender, user: Option<&[u8]>) {
        let Some(elsewhere) = &self.elsewhere else {
            return;
        };
        let client = offender.name();
        let client = elsewhere.look(Of::Client, client.as_bytes());
        match user {
            Some(user) => drop(tokio::join!(client, elsewhere.look(Of::User, user))),
            None => client.await,
        }
    }

    /// Whether a question of the offender is deferred without contacting the remote.
    pub fn refuses(&self, offender: Offender) -> bool {
        let most = self.keys.refuse_after;
        most.is_some_and(|most| self.failures(offender) >= most)
    }

    /// How often the offender has failed.
    fn failures(&self, offender: Offender) -> u32 {
        match self.here.clients.count(self.here.hasher.hash_one(offender.0)) {
            0 => 0,
            here => here.max(self.elsewhere(Of::Client, offender.name().as_bytes())),
        }
    }

    fn elsewhere(&self, of: Of, who: &[u8]) -> u32 {
        self.elsewhere.as_ref().map_or(0, |it| it.count(of, who))
    }

    /// How late the answer to a question of the offender is to be, by the failures before
    /// it; a failure is counted then.
    pub fn delay<T: Hash>(&self, offender: Offender, failure: Option<Failure<'_, T>>) -> Duration {
        let Some(Failure { user, what, mark }) = failure else {
            return self.after(self.failures(offender));
        };
        let here = &self.here;
        // Two that are marked alike are taken for equal: with 64 bits, that does not happen.
        let once = || here.hasher.hash_one(here.unique.fetch_add(1, Ordering::Relaxed));
        let what = what.map_or_else(once, |what| here.hasher.hash_one(what));
        let marks = (what, mark.unwrap_or_else(|| Mark::once(what)));
        let client = offender.name();
        let of_client = self.count(
            Of::Client,
            client.as_bytes(),
            here.hasher.hash_one(offender.0),
            marks,
        );
        if of_client.begins {
            let (listener, after) = (&self.listener, self.keys.after);
            tracing::info!(
                listener = listener,
                client,
                failures = after,
                "penalty: answers to this client are delayed from now on"
            );
        }
        let of_user = user.map_or_else(Counted::default, |user| {
            let counted = self.count(Of::User, user, here.hasher.hash_one(user), marks);
            if counted.begins {
                let (listener, after) = (&self.listener, self.keys.after);
                let about = &*String::from_utf8_lossy(user);
                tracing::info!(
                    listener = listener,
                    about,
                    failures = after,
                    "penalty: refusals of this user are delayed from now on"
                );
            }
            counted
        });
        self.after(of_client.before.max(of_user.before))
    }

    /// Counts a failure of a client or user, here and elsewhere.
    fn count(&self, of: Of, who: &[u8], hash: u64, (here, mark): (u64, Mark)) -> Counted {
        let table = match of {
            Of::Client => &self.here.clients,
            Of::User => &self.here.users,
        };
        let counted = table.add_beside(hash, here, self.elsewhere(of, who));
        if let Some(elsewhere) = self.elsewhere.as_ref().filter(|_| counted.is_new) {
            elsewhere.add(of, who, mark);
        }
        counted
    }

    /// How late the answer is behind so many failures.
    fn after(&self, failures: u32) -> Duration {
        let more = failures.checked_sub(self.keys.after);
        more.map_or(Duration::ZERO, |more| late(&self.keys, more))
    }
}

impl Offender {
    /// Its network, in words.
    fn name(self) -> String {
        self.0.to_string()
    }
}

impl Here {
    fn new(keys: &keys::Penalty) -> Self {
        let doublings = (0..u32::BITS).find(|&more| late(keys, more) >= keys.max_delay);
        let telling = keys.after.saturating_add(doublings.unwrap_or(u32::BITS));
        let most = telling.max(keys.refuse_after.unwrap_or(0)).max(1) as usize;
        let table = || Table::new(keys.forget, keys.after, most);
        Self {
            clients: table(),
            users: table(),
            hasher: RandomState::new(),
            unique: AtomicU64::new(0),
        }
    }
}

/// How late the answer is behind so many failures more than cost nothing.
fn late(keys: &keys::Penalty, more: u32) -> Duration {
    let doubled = 2u32
        .checked_pow(more)
        .and_then(|times| keys.delay.checked_mul(times));
    doubled.map_or(keys.max_delay, |delay| delay.min(keys.max_delay))
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn settings() -> keys::Penalty {
        keys::Penalty {
            after: 3,
            delay: SECOND,
            max_delay: 4 * SECOND,
            forget: 600 * SECOND,
            refuse_after: Some(7),
            exempt: vec![Network::parse("127.0.0.0/8").unwrap()],
        }
    }

    fn offender(penalty: &Penalty, address: &str) -> Option<Offender> {
        penalty.offender(&Client {
            address: Client::address_in(address.as_bytes()),
            ..Client::default()
        })
    }

    /// A client of `address` asks, and its answer is so many milliseconds late.
    fn good(penalty: &Penalty, address: &str) -> u128 {
        let offender = offender(penalty, address).unwrap();
        penalty.delay::<()>(offender, None).as_millis()
    }

    fn bad(penalty: &Penalty, address: &str, user: &str, password: &str) -> u128 {
        let offender = offender(penalty, address).unwrap();
        let failure = Failure {
            user: Some(user.as_bytes()),
            what: Some((user, password)),
            mark: None,
        };
        penalty.delay(offender, Some(failure)).as_millis()
    }

    #[tokio::test(start_paused = true)]
    async fn a_guesser_is_answered_later_and_later() {
        let penalty = Penalty::new("in", settings());
        let mallory = "192.0.2.1";
        let late: Vec<_> = (0..7)
            .map(|number| bad(&penalty, mallory, &format!("user{number}"), "x"))
            .collect();
        assert_eq!(late, [0, 0, 0, 1000, 2000, 4000, 4000]);
        assert_eq!(good(&penalty, mallory), 4000);
        assert_eq!(good(&penalty, "192.0.2.2"), 0);
        advance(599 * SECOND).await;
        assert_eq!(good(&penalty, mallory), 4000);
        advance(SECOND).await;
        assert_eq!(good(&penalty, mallory), 0);
        assert_eq!(bad(&penalty, mallory, "jane", "x"), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn the_same_wrong_password_counts_once() {
        let penalty = Penalty::new("in", settings());
        let phone = "192.0.2.1";
        for _ in 0..100 {
            assert_eq!(bad(&penalty, phone, "jane", "old"), 0);
            advance(10 * SECOND).await;
        }
        // Others behind the same address are free to err.
        assert_eq!(bad(&penalty, phone, "joe", "old"), 0);
        assert_eq!(bad(&penalty, phone, "jane", "odl"), 0);
        assert_eq!(bad(&penalty, phone, "joe", "odl"), 1000);
        assert_eq!(
            bad(&penalty, phone, "jane", "old"),
            2000,
            "a repeated one is as late as all"
        );
        assert_eq!(
            bad(&penalty, phone, "jane", "old"),
            2000,
            "and makes nothing worse"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn guesses_from_everywhere_slow_the_refusals_of_a_user_alone() {
        let penalty = Penalty::new("in", settings());
        let late: Vec<_> = (0..6)
            .map(|number| {
                bad(
                    &penalty,
                    &format!("192.0.2.{number}"),
                    "jane",
                    &format!("x{number}"),
                )
            })
            .collect();
        assert_eq!(late, [0, 0, 0, 1000, 2000, 4000]);
        assert_eq!(good(&penalty, "192.0.2.5"), 0, "whoever has guessed at her");
        assert_eq!(good(&penalty, "198.51.100.1"), 0, "and she");
        assert_eq!(bad(&penalty, "198.51.100.1", "joe", "x"), 0);
        assert_eq!(bad(&penalty, "198.51.100.1", "jane", "typo"), 4000);
        assert!(!penalty.refuses(offender(&penalty, "198.51.100.1").unwrap()));
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_is_refused_from_a_number_on() {
        let penalty = Penalty::new("in", settings());
        let refuses = |address| penalty.refuses(offender(&penalty, address).unwrap());
        for number in 0..7 {
            assert!(!refuses("192.0.2.1"));
            bad(&penalty, "192.0.2.1", "jane", &number.to_string());
        }
        assert!(refuses("192.0.2.1") && !refuses("192.0.2.2"));
        advance(600 * SECOND).await;
        assert!(!refuses("192.0.2.1"));
        let never = Penalty::new(
            "in",
            keys::Penalty {
                refuse_after: None,
                ..settings()
            },
        );
        for number in 0..100 {
            bad(&never, "192.0.2.1", "jane", &number.to_string());
        }
        assert!(!never.refuses(offender(&never, "192.0.2.1").unwrap()));
    }

    #[test]
    fn a_64_is_one_client_and_some_are_nobody() {
        let penalty = Penalty::new("in", settings());
        let one = offender(&penalty, "2001:db8:1:2::1");
        assert_eq!(one, offender(&penalty, "2001:db8:1:2:ffff::9"));
        assert_ne!(one, offender(&penalty, "2001:db8:1:3::1"));
        assert_eq!(
            offender(&penalty, "::ffff:192.0.2.1"),
            offender(&penalty, "192.0.2.1")
        );
        for nobody in ["127.0.0.1", "::ffff:127.1.2.3", "NULL", "unknown", ""] {
            assert_eq!(offender(&penalty, nobody), None, "{nobody}");
        }
        assert_eq!(penalty.offender(&Client::default()), None);
    }

    #[test]
    fn failures_that_are_equal_to_no_other_count_each() {
        let penalty = Penalty::new("in", settings());
        let mallory = offender(&penalty, "192.0.2.1").unwrap();
        let late: Vec<_> = (0..5)
            .map(|_| {
                let failure = Failure::<()> {
                    user: None,
                    what: None,
                    mark: None,
                };
                penalty.delay(mallory, Some(failure)).as_secs()
            })
            .collect();
        assert_eq!(late, [0, 0, 0, 1, 2]);
    }

    fn of_a_fleet() -> Penalty {
        let keys = settings();
        let guesses = Guesses::of_nobody("logins in", keys.forget);
        Arc::into_inner(Penalty::under("in", Some(keys), guesses, None).unwrap()).unwrap()
    }

    fn learn(penalty: &Penalty, of: Of, who: &str, count: u32) {
        penalty
            .elsewhere
            .as_ref()
            .unwrap()
            .learn(of, who.as_bytes(), count);
    }

    // Fills COUNT_USED.
    #[tokio::test(start_paused = true)]
    async fn the_larger_count_holds_of_those_who_have_failed_here() {
        let (penalty, mallory) = (of_a_fleet(), "192.0.2.1");
        learn(&penalty, Of::Client, "192.0.2.1/32", 100);
        // Whatever a store says, somebody without a failure is neither late nor put off.
        assert_eq!(good(&penalty, mallory), 0);
        assert!(!penalty.refuses(offender(&penalty, mallory).unwrap()));
        assert_eq!(
            bad(&penalty, mallory, "jane", "x"),
            4000,
            "the first failure here"
        );
        assert_eq!(good(&penalty, mallory), 4000);
        assert!(penalty.refuses(offender(&penalty, mallory).unwrap()));
        assert_eq!(good(&penalty, "192.0.2.2"), 0);
        // A smaller one changes nothing, and an old one is none.
        learn(&penalty, Of::Client, "192.0.2.1/32", 0);
        assert_eq!(
            (good(&penalty, mallory), bad(&penalty, mallory, "jane", "y")),
            (0, 0)
        );
        learn(&penalty, Of::Client, "192.0.2.1/32", 4);
        assert_eq!(good(&penalty, mallory), 2000);
        advance(super::super::elsewhere::COUNT_USED).await;
        assert_eq!(good(&penalty, mallory), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_user_who_is_guessed_at_elsewhere_is_refused_late_and_accepted_at_once() {
        let penalty = of_a_fleet();
        learn(&penalty, Of::User, "jane", 3);
        assert_eq!(bad(&penalty, "192.0.2.1", "jane", "typo"), 1000);
        assert_eq!(good(&penalty, "192.0.2.1"), 0);
        assert_eq!(bad(&penalty, "192.0.2.1", "joe", "typo"), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_counted_goes_on_over_a_change_of_the_fleet() {
        let before = Arc::new(of_a_fleet());
        for number in 0..4 {
            bad(&before, "192.0.2.1", "jane", &number.to_string());
        }
        let now = Penalty::under("in", Some(settings()), None, Some(&before)).unwrap();
        assert_eq!(good(&now, "192.0.2.1"), 2000);
        let stricter = keys::Penalty {
            after: 1,
            ..settings()
        };
        let anew = Penalty::under("in", Some(stricter), None, Some(&before)).unwrap();
        assert_eq!(good(&anew, "192.0.2.1"), 0);
    }

    #[test]
    fn no_delay_is_longer_than_the_longest() {
        for (after, delay, most) in [(1, 1, 1), (1000, 1, 60_000), (5, 60_000, 60_000), (2, 7, 50)] {
            let penalty = Penalty::new(
                "in",
                keys::Penalty {
                    after,
                    delay: Duration::from_millis(delay),
                    max_delay: Duration::from_millis(most),
                    refuse_after: None,
                    ..settings()
                },
            );
            let mut last = 0;
            for number in 0..after + 100 {
                let late = bad(&penalty, "192.0.2.1", "jane", &number.to_string());
                assert!(late >= last && late <= u128::from(most), "{number}: {late}");
                last = late;
            }
            assert_eq!(last, u128::from(most));
        }
    }
}
