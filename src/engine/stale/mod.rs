//! Earlier good logins, which are accepted while the remote itself is down (`cache.credentials.stale`).
//!
//! Of each user the password that the remote accepted last is kept, as a hash under a key of its own, in memory alone. It
//! is no answer while the remote gives one: a reply about the user, be it "locked, come back later", is the answer. It is
//! over once the remote refuses it or accepts another, or says that the account is closed. Tokens have a lifetime of their
//! own, which only the remote knows, and of a dialog the secret is never seen: neither is kept.
//!
//! A guesser that could compare passwords with this memory would guess at its speed, and learn whose it has. So while the
//! remote is down, a password that is not the remembered one counts against its client as a refusal would, whether or not anything
//! is remembered of the user; the answer stays "later", for nobody has said anything about that password. Equal failures
//! count once, and each client and session has its own count: a person whose login is not remembered gets "later" as
//! without this memory, and nobody else's guesses count for that. Where nothing is remembered of anybody, as when vouch
//! started while the remote was down, there is nothing to guess, and nothing counts.

mod outage;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac;
use quick_cache::sync::{Cache, EntryAction, EntryResult};
use tokio::time::Instant;
use vouch_protocol::secret::Secret;

use super::entry::{ADDRESSES, Entry, State};
use super::hash;
use crate::verdict::{Cause, Class, Reach, UserName, Verdict};
use outage::Outages;
pub(super) use outage::ServerName;

/// The last accepted password of each user of a directory.
pub(super) struct StaleLogins {
    key: hmac::Key,
    lasts: Duration,
    /// By the user's name in lower case: the password of an account is changed for all spellings of its name.
    known: Cache<UserName, Known>,
    outages: Outages,
}

/// What is known of a user.
#[derive(Clone)]
struct Known {
    hash: [u8; 32],
    /// How the remote accepted it. None at all once it was refused.
    accepted: Vec<Accepted>,
    /// When another took the place of it, or none did. What was asked before may have been answered by then.
    changed: Instant,
}

/// A login that the remote accepted.
#[derive(Clone)]
struct Accepted {
    /// The name as it was spelled: in another case it may be another account.
    user: UserName,
    /// From where; `None` where no address is handed on.
    client: Option<IpAddr>,
    at: Instant,
}

/// What is accepted from memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Report {
    /// Users whose last password is remembered.
    pub users: usize,
    /// Logins that were accepted from memory since the remote last replied to one, and when the first of them was.
    pub accepted: Option<(u64, Instant)>,
}

impl StaleLogins {
    /// Of at most `entries` users, each for so long. `key` is random, and used for nothing else.
    pub(super) fn new(name: Arc<str>, entries: usize, lasts: Duration, key: &[u8; 32]) -> Self {
        Self {
            outages: Outages::new(name),
            key: hmac::Key::new(hmac::HMAC_SHA256, key),
            lasts,
            known: Cache::new(entries),
        }
    }

    /// Whether the remote accepted this very login, from this client's address where that counts, and has said nothing else
    /// since.
    pub(super) fn knows(&self, user: &UserName, password: &Secret<[u8]>, client: Option<IpAddr>) -> bool {
        // Computed in any case: the time that it takes tells nothing of the user.
        let hash = self.hash(user, password);
        let known = self.known.get(&folded(user));
        known.is_some_and(|known| {
            let is_recent = |one: &Accepted| one.is_of(user, client) && one.at.elapsed() < self.lasts;
            known.is_of(&hash) && known.accepted.iter().any(is_recent)
        })
    }

    /// Keeps what the remote said of a login that it was asked about at that time.
    pub(super) fn keep(
        &self,
        user: &UserName,
        password: &Secret<[u8]>,
        client: Option<IpAddr>,
        asked: Instant,
        verdict: &Verdict,
    ) {
        let hash = self.hash(user, password);
        match verdict {
            Verdict::Accept(_) => {
                let accepted = Accepted {
                    user: user.clone(),
                    client,
                    at: Instant::now(),
                };
                let found = self.known.entry(&folded(user), None, |_, known| {
                    known.accept(&hash, &accepted, asked);
                    EntryAction::Retain(())
                });
                if let EntryResult::Vacant(place) = found {
                    // It is refused where the user was forgotten at this moment.
                    let _ = place.insert(Known::new(hash, accepted));
                }
            }
            Verdict::Reject(_) => self.end(user, |known| known.is_of(&hash)),
            Verdict::Defer(_) | Verdict::Abstain(_) => {}
        }
    }

    /// Ends what is remembered of a user who was accepted elsewhere since.
    pub(super) fn end_all(&self, user: &UserName) {
        self.end(user, |_| true);
    }

    /// Ends what is remembered of a user, where it `is` what has ended.
    fn end(&self, user: &UserName, is: impl Fn(&Known) -> bool) {
        let user = folded(user);
        // Looked up first: of most that are refused, nothing is known.
        if self.known.get(&user).is_some_and(|known| is(&known)) {
            self.known.entry(&user, None, |_, known| {
                if is(known) {
                    known.is_over();
                }
                EntryAction::Retain(())
            });
        }
    }

    fn hash(&self, user: &UserName, password: &Secret<[u8]>) -> [u8; 32] {
        hash::keyed(&self.key, &[folded(user).as_bytes(), password.expose()])
    }

    /// Notes what came of a question about a user's login at a server, whatever the proof was.
    pub(super) fn note(&self, server: ServerName, user: &UserName, verdict: &Verdict) {
        let reach = match verdict {
            Verdict::Accept(_) | Verdict::Reject(_) => Reach::Heard,
            Verdict::Defer(cause) => cause.reach,
            Verdict::Abstain(_) => Reach::Unknown,
        };
        if let Verdict::Reject(cause) = verdict
            && matches!(cause.class, Class::Disabled | Class::Expired)
        {
            self.end_all(user);
        }
        self.outages.note(server, reach);
    }

    /// Whether nothing is remembered of anybody.
    pub(super) fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// Whether a server is down, by the question that was asked at that time and got no answer: it is away, or silent to
    /// everybody. One that has replied to anybody meanwhile is there.
    pub(super) fn is_down(&self, server: &ServerName, reach: Reach, asked: Instant) -> bool {
        self.outages.is_down(server, reach, asked)
    }

    /// A login is accepted from memory; `cause` is why its server gave no answer.
    pub(super) fn note_accepted(&self, server: ServerName, cause: &Cause) {
        self.outages.note_accepted(server, self.lasts, cause);
    }

    /// What is accepted from memory.
    pub(super) fn report(&self) -> Report {
        Report {
            users: self.known.len(),
            accepted: self.outages.accepted(),
        }
    }

    /// The most users.
    pub(super) fn capacity(&self) -> u64 {
        self.known.capacity()
    }

    /// The remembered login of a user, of each address that it was accepted from where that counts.
    pub(super) fn entries_of(&self, user: &UserName) -> Vec<Entry> {
        let known = self.known.get(&folded(user)).into_iter();
        let accepted = known.flat_map(|known| known.accepted);
        accepted
            .filter(|one| one.user == *user)
            .filter_map(|one| self.entry(&one))
            .collect()
    }

    /// Every remembered login, as [`Self::entries_of`] gives it.
    pub(super) fn entries(&self) -> impl Iterator<Item = (UserName, Entry)> + Send {
        let accepted = self.known.iter().flat_map(|(_, known)| known.accepted);
        accepted.filter_map(|one| self.entry(&one).map(|entry| (one.user, entry)))
    }

    fn entry(&self, accepted: &Accepted) -> Option<Entry> {
        let age = accepted.at.elapsed();
        let left = self.lasts.checked_sub(age)?;
        (!left.is_zero()).then_some(Entry {
            verdict: "accept",
            cause: None,
            client: accepted.client,
            age,
            state: State::Stale,
            refresh_in: None,
            ends_in: left,
        })
    }

    /// Forgets a user; whether anything was remembered.
    pub(super) fn forget(&self, user: &UserName) -> bool {
        self.known
            .remove(&folded(user))
            .is_some_and(|(_, known)| !known.accepted.is_empty())
    }

    /// Forgets everybody.
    pub(super) fn forget_all(&self) {
        self.known.clear();
    }
}

impl Accepted {
    fn is_of(&self, user: &UserName, client: Option<IpAddr>) -> bool {
        self.user == *user && self.client == client
    }
}

impl Known {
    fn new(hash: [u8; 32], accepted: Accepted) -> Self {
        Self {
            hash,
            changed: accepted.at,
            accepted: vec![accepted],
        }
    }

    fn is_of(&self, hash: &[u8; 32]) -> bool {
        verify_slices_are_equal(&self.hash, hash).is_ok()
    }

    /// Accepted now, by a remote that was asked then.
    fn accept(&mut self, hash: &[u8; 32], accepted: &Accepted, asked: Instant) {
        let is_known = self.is_of(hash) && !self.accepted.is_empty();
        if !is_known && asked < self.changed {
            // Which of the two answers the remote gave last, nobody knows.
            self.is_over();
        } else if !is_known {
            *self = Self::new(*hash, accepted.clone());
        } else {
            self.accepted
                .retain(|one| !one.is_of(&accepted.user, accepted.client));
            if self.accepted.len() >= ADDRESSES {
                self.accepted.remove(0);
            }
            self.accepted.push(accepted.clone());
        }
    }

    /// It is good no more.
    fn is_over(&mut self) {
        self.accepted.clear();
        self.changed = Instant::now();
    }
}

fn folded(user: &UserName) -> UserName {
    UserName::new(&user.as_bytes().to_ascii_lowercase())
}

#[cfg(test)]
mod tests;
