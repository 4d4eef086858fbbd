//! Users that a directory accepted recently. It decides who goes first where sessions are few, and makes no
//! answer of any kind.
//!
//! Of a password a few bits of a keyed hash are kept, in memory alone: enough to distinguish the user
//! from nearly all attackers, and useless to anyone who reads them, as one in some thousand passwords
//! has the same. Tokens differ from hour to hour, and of a dialog the secret is never seen: there the
//! user and the client's network are what is kept.

use std::collections::VecDeque;
use std::time::Duration;

use aws_lc_rs::hmac;
use quick_cache::sync::Cache;
use tokio::time::Instant;

use super::hash;
use crate::address::network::Network;
use crate::verdict::{Client, Proof, UserName, Verdict};

/// Bound (cache): time for which an accepted user has priority. Beyond: the user waits with all others. Why: nearly
/// every user logs in again within it.
pub(super) const TRUST: Duration = Duration::from_secs(14 * 86_400);

/// Bound (cache): users with priority, and as many of their networks. Beyond: some wait with all others. Why: some
/// megabytes.
pub(super) const USERS: usize = 65_536;

/// Bound (cache): passwords of one user that give priority. Beyond: the oldest is dropped. Why: each device may have
/// its own.
const PASSWORDS: usize = 8;

/// Bound (cache): bits kept of such a password, of a keyed hash, in memory alone. Beyond: about one guess in a
/// hundred gets priority too. Why: of no use to an attacker who reads them: one password in thousands has the same.
const BITS: u32 = 12;

/// Users that one directory accepted recently.
pub(super) struct Trust {
    key: hmac::Key,
    /// A few bits of each of a user's passwords, the latest last.
    passwords: Cache<UserName, VecDeque<(u16, Instant)>>,
    networks: Cache<(UserName, Network), Instant>,
}

/// What a login may be trusted by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Sign {
    /// These bits of the password's hash.
    Password(u16),
    /// Where the client is, if that is known.
    Network(Option<Network>),
}

impl Trust {
    /// Nobody was accepted yet. `key` is random.
    pub(super) fn new(key: &[u8; 32]) -> Self {
        Self {
            key: hmac::Key::new(hmac::HMAC_SHA256, key),
            passwords: Cache::new(USERS),
            networks: Cache::new(USERS),
        }
    }

    /// What this login may be trusted by.
    pub(super) fn sign(&self, user: &UserName, proof: &Proof, client: &Client) -> Sign {
        let Proof::Password(password) = proof else {
            return Sign::Network(client.address.map(Network::of_host));
        };
        let [first, second, ..] = hash::keyed(&self.key, &[user.as_bytes(), password.expose()]);
        let bits = u16::from_be_bytes([first, second]);
        Sign::Password(bits >> (u16::BITS - BITS))
    }

    /// Whether such a login of this user was accepted lately.
    pub(super) fn has(&self, user: &UserName, sign: &Sign) -> bool {
        match sign {
            Sign::Password(bits) => self.passwords.get(user).is_some_and(|known| {
                let is_it = |(mark, since): &(u16, Instant)| mark == bits && since.elapsed() < TRUST;
                known.iter().any(is_it)
            }),
            Sign::Network(Some(network)) => {
                let since = self.networks.get(&(user.clone(), *network));
                since.is_some_and(|since| since.elapsed() < TRUST)
            }
            Sign::Network(None) => false,
        }
    }

    /// Notes what came of such a login.
    pub(super) fn note(&self, user: &UserName, sign: &Sign, verdict: &Verdict) {
        match (verdict, sign) {
            (Verdict::Accept(_), Sign::Password(bits)) => {
                let mut known = self.without(user, *bits);
                if known.len() >= PASSWORDS {
                    known.pop_front();
                }
                known.push_back((*bits, Instant::now()));
                self.passwords.insert(user.clone(), known);
            }
            (Verdict::Accept(_), Sign::Network(Some(network))) => {
                self.networks.insert((user.clone(), *network), Instant::now());
            }
            // A refusal takes nobody's trust: one guess in some thousand has the same bits.
            _ => {}
        }
    }

    fn without(&self, user: &UserName, bits: u16) -> VecDeque<(u16, Instant)> {
        let mut known = self.passwords.get(user).unwrap_or_default();
        known.retain(|(mark, since)| *mark != bits && since.elapsed() < TRUST);
        known
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;
    use vouch_protocol::secret::Secret;

    use super::*;
    use crate::verdict::{Cause, Class};

    fn jane() -> UserName {
        UserName::new(b"jane@example.org")
    }

    fn from(address: &str) -> Client {
        Client {
            address: Client::address_in(address.as_bytes()),
            ..Client::default()
        }
    }

    fn password(trust: &Trust, password: &str) -> Sign {
        let proof = Proof::Password(Secret::copy_from(password.as_bytes()));
        trust.sign(&jane(), &proof, &from("192.0.2.1"))
    }

    fn no() -> Verdict {
        Verdict::Reject(Cause::said(Class::BadCredentials, "NO", "no"))
    }

    // Fills TRUST, USERS.
    #[tokio::test(start_paused = true)]
    async fn who_was_accepted_is_trusted_with_that_secret_for_a_while() {
        let trust = Trust::new(&[7; 32]);
        let (good, other) = (password(&trust, "s3cret"), password(&trust, "device"));
        assert!(!trust.has(&jane(), &good));
        trust.note(&jane(), &good, &no());
        trust.note(&jane(), &good, &Verdict::accept("jane"));
        trust.note(&jane(), &other, &Verdict::accept("jane"));
        assert!(trust.has(&jane(), &good) && trust.has(&jane(), &other));
        assert!(!trust.has(&UserName::new(b"joe@example.org"), &good));
        trust.note(&jane(), &other, &Verdict::Defer(Cause::ours(Class::Timeout, "x")));
        assert!(trust.has(&jane(), &other));
        // Be it a guess that has the same bits.
        trust.note(&jane(), &other, &no());
        assert!(trust.has(&jane(), &other) && trust.has(&jane(), &good));
        advance(TRUST).await;
        assert!(!trust.has(&jane(), &good));
    }

    // Fills PASSWORDS, BITS.
    #[tokio::test(start_paused = true)]
    async fn a_guess_at_a_known_user_is_a_strangers() {
        let trust = Trust::new(&[7; 32]);
        for number in 0..2 * PASSWORDS {
            let sign = password(&trust, &format!("s3cret{number}"));
            trust.note(&jane(), &sign, &Verdict::accept("jane"));
            assert!(trust.has(&jane(), &sign));
        }
        assert!(
            trust
                .passwords
                .get(&jane())
                .is_some_and(|known| known.len() <= PASSWORDS)
        );
        let guesses = 20_000;
        let taken = (0..guesses).filter(|number| {
            let sign = password(&trust, &format!("guess{number}"));
            trust.has(&jane(), &sign)
        });
        // As many as have the same few bits.
        assert!(taken.count() < (3 * PASSWORDS * guesses) >> BITS);
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_is_trusted_by_user_and_network() {
        let trust = Trust::new(&[7; 32]);
        let sign = |address: &str, rest: &str| {
            let proof = Proof::Token {
                mechanism: vouch_protocol::sasl::RelayedMechanism::XOauth2,
                rest: Secret::copy_from(rest.as_bytes()),
            };
            trust.sign(&jane(), &proof, &from(address))
        };
        trust.note(&jane(), &sign("2001:db8::1", "monday"), &Verdict::accept("jane"));
        assert!(trust.has(&jane(), &sign("2001:db8::2", "tuesday")));
        assert!(!trust.has(&jane(), &sign("2001:db8:0:1::1", "monday")));
        trust.note(&jane(), &sign("unknown", "monday"), &Verdict::accept("jane"));
        assert!(!trust.has(&jane(), &sign("unknown", "monday")));
    }
}
