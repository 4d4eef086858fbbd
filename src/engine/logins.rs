//! Login verdicts kept: in memory only, under a keyed hash, for an absolute time.
//!
//! The key is drawn anew in each life of the process and never leaves it, so the
//! table is useless to anyone who obtains it later. A password that is not
//! the remembered one always goes to the remote: it may be the new one.

use std::net::IpAddr;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac;
use quick_cache::sync::{Cache, EntryAction, EntryResult};
use tokio::time::Instant;
use vouch_protocol::secret::Secret;

use super::entry::{ADDRESSES, Entry, State, in_pieces};
use super::epoch::Epoch;
use super::hash;
use super::lookups::{self, Lookups};
use super::stale::StaleLogins;
use crate::settings::directory::Credentials;
use crate::verdict::{Cause, Class, UserName, Verdict};

/// What a login is known by.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Tag([u8; 32]);

/// What a verdict on a login is about, and what equal questions that share a probe have in common.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct LoginKey {
    /// User and secret.
    pub tag: Tag,
    /// The client's address where the directory hands it on: the remote may let the user in from there alone.
    pub client: Option<IpAddr>,
}

/// Verdicts on the logins of one directory.
pub struct Logins {
    ttl: Credentials,
    key: hmac::Key,
    /// The accepted password of each user.
    accepted: Cache<UserName, Accepted>,
    /// Refused pairs of user and password, of each address where it counts.
    refused: Cache<LoginKey, (Box<Cause>, Instant)>,
    /// What is accepted while the remote is down.
    pub(super) stale: Option<StaleLogins>,
    /// Counted by the caller.
    pub(super) lookups: Lookups,
    /// A question records its time; an answer asked for before a purge is not kept after it.
    pub(super) epoch: Epoch,
}

/// What was accepted of a user.
#[derive(Clone)]
struct Accepted {
    tag: Tag,
    /// From where, and since when; the oldest first. One entry of no address where none is handed on.
    from: Vec<(Option<IpAddr>, Instant)>,
}

impl Accepted {
    fn is_of(&self, tag: &Tag) -> bool {
        verify_slices_are_equal(&self.tag.0, &tag.0).is_ok()
    }

    /// Accepted now.
    fn note(&mut self, key: &LoginKey) {
        if !self.is_of(&key.tag) {
            // A new password takes the place of the old one, from wherever that was accepted.
            *self = Self::new(key);
            return;
        }
        self.from.retain(|(client, _)| *client != key.client);
        if self.from.len() >= ADDRESSES {
            self.from.remove(0);
        }
        self.from.push((key.client, Instant::now()));
    }

    fn new(key: &LoginKey) -> Self {
        Self {
            tag: key.tag.clone(),
            from: vec![(key.client, Instant::now())],
        }
    }
}

impl Logins {
    /// A memory of at most `entries` users, and as many refused logins.
    ///
    /// # Panics
    /// Never: the only error of the key's generation is a system without random
    /// bytes, in which case nothing is remembered.
    pub fn new(entries: usize, ttl: Credentials, key: [u8; 32]) -> Self {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &key);
        Self {
            ttl,
            key,
            accepted: Cache::new(entries),
            refused: Cache::new(entries),
            stale: None,
            lookups: Lookups::default(),
            epoch: Epoch::default(),
        }
    }

    /// The same, with a memory for while the remote is down.
    #[must_use]
    pub(super) fn with_stale(self, stale: Option<StaleLogins>) -> Self {
        Self { stale, ..self }
    }

    /// What a login is known by. `mechanism` tells tokens apart; for a password it is empty.
    pub fn tag(&self, user: &UserName, mechanism: &[u8], secret: &Secret<[u8]>) -> Tag {
        Tag(hash::keyed(
            &self.key,
            &[user.as_bytes(), mechanism, secret.expose()],
        ))
    }

    /// The remembered verdict on this very login.
    pub fn recall(&self, user: &UserName, key: &LoginKey) -> Option<Verdict> {
        if let Some(known) = self.accepted.get(user)
            && known.is_of(&key.tag)
            && let Some((_, since)) = known.from.iter().find(|(client, _)| *client == key.client)
            && since.elapsed() < self.ttl.positive
        {
            return Some(Verdict::accept(user.as_bytes()));
        }
        let (cause, since) = self.refused.get(key)?;
        (since.elapsed() < self.ttl.negative).then_some(Verdict::Reject(*cause))
    }

    /// Keeps what a probe found. A Defer is no finding.
    pub fn keep(&self, user: &UserName, key: &LoginKey, verdict: &Verdict) {
        match verdict {
            Verdict::Accept(_) => {
                self.refused.remove(key);
                if !self.ttl.positive.is_zero() {
                    self.accept(user, key);
                }
            }
            Verdict::Reject(cause) => {
                // Whether it was refused for its password or for its address, nobody says: the next one is asked,
                // wherever it comes from.
                self.accepted.remove_if(user, |known| known.is_of(&key.tag));
                // Why an account is closed may change at any time; a wrong password stays wrong.
                if cause.class == Class::BadCredentials && !self.ttl.negative.is_zero() {
                    self.refused
                        .insert(key.clone(), (Box::new(cause.clone()), Instant::now()));
                }
            }
            Verdict::Defer(_) | Verdict::Abstain(_) => {}
        }
    }

    /// Whether it ever keeps anything.
    pub fn keeps(&self) -> bool {
        !self.ttl.positive.max(self.ttl.negative).is_zero() || self.stale.is_some()
    }

    fn accept(&self, user: &UserName, key: &LoginKey) {
        let found = self.accepted.entry(user, None, |_, known| {
            known.note(key);
            EntryAction::Retain(())
        });
        if let EntryResult::Vacant(place) = found {
            // It is refused where the user was forgotten at this moment.
            let _ = place.insert(Accepted::new(key));
        }
    }

    /// How full it is, and what it was good for. A remembered login that was looked up
    /// with another password is a miss.
    pub fn report(&self) -> lookups::Report {
        let stale = self.stale.as_ref();
        let limit =
            self.accepted.capacity() + self.refused.capacity() + stale.map_or(0, StaleLogins::capacity);
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let entries =
            self.accepted.len() + self.refused.len() + stale.map_or(0, |stale| stale.report().users);
        self.lookups.report(entries, limit)
    }

    /// The accepted login of a user, of each address that it was accepted from where that counts, with its times. Of
    /// a refused one only the hash is known.
    pub fn entries_of(&self, user: &UserName) -> Vec<Entry> {
        let fresh = self.fresh_of(user);
        match &self.stale {
            Some(stale) if fresh.is_empty() => stale.entries_of(user),
            _ => fresh,
        }
    }

    fn fresh_of(&self, user: &UserName) -> Vec<Entry> {
        let known = self.accepted.get(user);
        let from = known.map(|known| known.from).unwrap_or_default();
        from.into_iter().filter_map(|since| self.aged(since)).collect()
    }

    /// Every user with an accepted login, and of each what [`Self::entries_of`] gives; none where that is of no use
    /// any more. No lock is held between two of them.
    pub fn entries(&self) -> impl Iterator<Item = (UserName, Vec<Entry>)> + Send {
        let fresh = self.accepted.iter().map(|(user, known)| {
            let entries = known.from.into_iter().filter_map(|since| self.aged(since));
            (user, entries.collect())
        });
        let stale = self.stale.iter().flat_map(StaleLogins::entries);
        let stale = stale.filter(|(user, _)| self.fresh_of(user).is_empty());
        fresh.chain(stale.map(|(user, entry)| (user, vec![entry])))
    }

    fn aged(&self, (client, since): (Option<IpAddr>, Instant)) -> Option<Entry> {
        let age = since.elapsed();
        let left = self.ttl.positive.checked_sub(age)?;
        (!left.is_zero()).then_some(Entry {
            verdict: "accept",
            cause: None,
            client,
            age,
            state: State::Fresh,
            refresh_in: None,
            ends_in: left,
        })
    }

    /// Refused logins that are remembered, each by its hash.
    pub fn refused(&self) -> usize {
        self.refused.len()
    }

    /// Forgets a user; how many verdicts these were. A refused login is known by its
    /// hash alone, which names no user: all of them go, uncounted.
    pub fn forget(&self, user: &UserName) -> usize {
        self.epoch.end();
        self.refused.clear();
        usize::from(self.remove(user))
    }

    /// Whether anything was remembered of the user.
    fn remove(&self, user: &UserName) -> bool {
        let stale = self.stale.as_ref().is_some_and(|stale| stale.forget(user));
        self.accepted.remove(user).is_some() || stale
    }

    /// Forgets everybody; how many verdicts these were.
    pub fn forget_all(&self) -> usize {
        self.epoch.end();
        let forgotten = self.report().entries;
        if let Some(stale) = &self.stale {
            stale.forget_all();
        }
        self.accepted.clear();
        self.refused.clear();
        forgotten
    }

    /// Forgets the logins of users, one after another, so that nobody waits for long who looks
    /// into the memory meanwhile; and every refused one. Gives how many these were.
    pub async fn purge(&self, whom: impl Fn(&UserName) -> bool) -> (usize, usize) {
        self.epoch.end();
        let refused = self.refused.len();
        self.refused.clear();
        let mut accepted = 0;
        let forget = |user: UserName| {
            accepted += usize::from(whom(&user) && self.remove(&user));
        };
        let stale = self.stale.iter().flat_map(StaleLogins::entries);
        let users = self.accepted.iter().map(|(user, _)| user);
        in_pieces(users.chain(stale.map(|(user, _)| user)), forget).await;
        (accepted, refused)
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use std::time::Duration;

    use super::*;

    const TTL: Credentials = Credentials {
        positive: Duration::from_secs(60),
        negative: Duration::from_secs(30),
        stale: None,
    };

    fn jane() -> UserName {
        UserName::new(b"jane@e.org")
    }

    fn key(memory: &Logins, password: &str) -> LoginKey {
        let tag = memory.tag(&jane(), b"", &Secret::copy_from(password.as_bytes()));
        LoginKey { tag, client: None }
    }

    fn from(key: &LoginKey, client: &str) -> LoginKey {
        LoginKey {
            client: Some(client.parse().unwrap()),
            ..key.clone()
        }
    }

    fn no() -> Verdict {
        Verdict::Reject(Cause::said(Class::BadCredentials, "NO", "no"))
    }

    fn yes() -> Verdict {
        Verdict::accept("jane@e.org")
    }

    // Fills directory.NAME.cache.credentials.positive.
    #[tokio::test(start_paused = true)]
    async fn an_accepted_login_is_kept_for_an_absolute_time() {
        let memory = Logins::new(10, TTL, [7; 32]);
        let good = key(&memory, "good");
        memory.keep(&jane(), &good, &yes());
        for _ in 0..5 {
            assert_eq!(memory.recall(&jane(), &good), Some(yes()));
            advance(TTL.positive / 6).await;
        }
        advance(TTL.positive / 6).await;
        assert_eq!(memory.recall(&jane(), &good), None);
    }

    #[tokio::test(start_paused = true)]
    async fn another_password_always_goes_to_the_remote_and_evicts_the_old() {
        let memory = Logins::new(10, TTL, [7; 32]);
        let (old, new) = (key(&memory, "old"), key(&memory, "new"));
        memory.keep(&jane(), &old, &yes());
        assert_eq!(memory.recall(&jane(), &new), None);
        memory.keep(&jane(), &new, &yes());
        assert_eq!(memory.recall(&jane(), &new), Some(yes()));
        assert_eq!(memory.recall(&jane(), &old), None);
    }

    // Fills directory.NAME.cache.credentials.negative.
    #[tokio::test(start_paused = true)]
    async fn a_refusal_is_of_exactly_this_login() {
        let memory = Logins::new(10, TTL, [7; 32]);
        let (good, bad) = (key(&memory, "good"), key(&memory, "bad"));
        memory.keep(&jane(), &good, &yes());
        memory.keep(&jane(), &bad, &no());
        assert_eq!(memory.recall(&jane(), &bad), Some(no()));
        assert_eq!(memory.recall(&jane(), &good), Some(yes()));
        memory.keep(&jane(), &good, &no());
        assert_eq!(memory.recall(&jane(), &good), Some(no()));
        advance(TTL.negative).await;
        assert_eq!(memory.recall(&jane(), &good), None);
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_that_is_handed_on_is_part_of_it() {
        let memory = Logins::new(10, TTL, [7; 32]);
        let (good, new) = (key(&memory, "good"), key(&memory, "new"));
        let (office, abroad) = (from(&good, "192.0.2.1"), from(&good, "203.0.113.9"));
        memory.keep(&jane(), &abroad, &no());
        assert_eq!(memory.recall(&jane(), &abroad), Some(no()));
        assert_eq!(
            memory.recall(&jane(), &office),
            None,
            "a no is of its address alone"
        );
        memory.keep(&jane(), &office, &yes());
        assert_eq!(memory.recall(&jane(), &office), Some(yes()));
        assert_eq!(memory.recall(&jane(), &abroad), Some(no()), "and so is a yes");
        assert_eq!(memory.recall(&jane(), &from(&good, "2001:db8::1")), None);
        advance(TTL.negative).await;
        assert_eq!(memory.recall(&jane(), &abroad), None);
        memory.keep(&jane(), &abroad, &yes());
        let listed: Vec<_> = memory
            .entries_of(&jane())
            .iter()
            .map(|entry| entry.client)
            .collect();
        assert_eq!(listed, [office.client, abroad.client]);
        memory.keep(&jane(), &from(&new, "192.0.2.1"), &yes());
        assert_eq!(
            memory.recall(&jane(), &abroad),
            None,
            "the old password is over everywhere"
        );
        assert_eq!(memory.entries_of(&jane()).len(), 1);
        // A password that was refused somewhere may be refused everywhere by now.
        memory.keep(&jane(), &from(&new, "192.0.2.2"), &yes());
        memory.keep(&jane(), &from(&new, "192.0.2.3"), &no());
        assert_eq!(memory.recall(&jane(), &from(&new, "192.0.2.2")), None);
    }

    // Fills entry::ADDRESSES.
    #[test]
    fn a_user_is_remembered_from_so_many_addresses() {
        let memory = Logins::new(10, TTL, [7; 32]);
        let good = key(&memory, "good");
        let address = |number: usize| from(&good, &format!("192.0.2.{number}"));
        for number in 0..=ADDRESSES {
            memory.keep(&jane(), &address(number), &yes());
        }
        assert_eq!(memory.entries_of(&jane()).len(), ADDRESSES);
        assert_eq!(memory.recall(&jane(), &address(0)), None);
        assert_eq!(memory.recall(&jane(), &address(ADDRESSES)), Some(yes()));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_no_finding_is_not_kept() {
        let memory = Logins::new(10, TTL, [7; 32]);
        let good = key(&memory, "good");
        memory.keep(&jane(), &good, &Verdict::Defer(Cause::ours(Class::Timeout, "x")));
        memory.keep(
            &jane(),
            &good,
            &Verdict::Reject(Cause::ours(Class::Disabled, "x")),
        );
        assert_eq!(memory.recall(&jane(), &good), None);
        let off = Logins::new(
            10,
            Credentials {
                positive: Duration::ZERO,
                negative: Duration::ZERO,
                stale: None,
            },
            [7; 32],
        );
        off.keep(&jane(), &good, &yes());
        off.keep(&jane(), &good, &no());
        assert_eq!(off.recall(&jane(), &good), None);
    }

    #[test]
    fn no_two_logins_have_one_tag() {
        let memory = Logins::new(10, TTL, [7; 32]);
        let pair = |user: &[u8], password: &[u8]| {
            memory
                .tag(&UserName::new(user), b"", &Secret::copy_from(password))
                .0
        };
        assert_ne!(pair(b"ab", b"c"), pair(b"a", b"bc"));
        assert_ne!(pair(b"ab", b"c"), pair(b"c", b"ab"));
        assert_eq!(pair(b"ab", b"c"), pair(b"ab", b"c"));
        let other = Logins::new(10, TTL, [8; 32]);
        assert_ne!(
            pair(b"ab", b"c"),
            other.tag(&UserName::new(b"ab"), b"", &Secret::copy_from(b"c")).0
        );
        let token = memory.tag(&UserName::new(b"ab"), b"XOAUTH2", &Secret::copy_from(b"c"));
        assert_ne!(pair(b"ab", b"c"), token.0);
    }
}
