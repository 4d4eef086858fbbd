//! Users that other edges of a fleet accepted recently: they have the same priority here, where they come from the same
//! network.
//!
//! What tells an edge that it has accepted a password stays there, be it a few bits of a hash: none leaves it. Another edge
//! learns that a user of that network was accepted, which tells a user from nearly all attackers as well. It is asked only
//! where a login must wait for others anyway.

use quick_cache::sync::Cache;
use tokio::time::Instant;

use super::trust::{TRUST, USERS};
use crate::address::network::Network;
use crate::fleet::{Said, Share};
use crate::verdict::{Client, UserName, Verdict};

/// How many times within [`TRUST`] other edges are told that a user was accepted, at the most.
const TOLD: u32 = 14;

/// Users that the edges accepted recently in one directory.
pub(super) struct TrustedElsewhere {
    share: Share,
    /// When the others were told of a user last.
    told: Cache<(UserName, Network), Instant>,
}

impl TrustedElsewhere {
    /// By what the edges share of this directory's logins.
    pub(super) fn new(share: Share) -> Self {
        let told = Cache::new(USERS);
        Self { share, told }
    }

    /// Whether some edge has accepted that user there lately, if the store tells that within the patience.
    pub(super) async fn has(&self, user: &UserName, client: &Client) -> bool {
        let Some(network) = network(client) else {
            return false;
        };
        let found = self.share.look(&mark(user, network)).await;
        found.is_some_and(|found| found.said.is_yes() && found.age < TRUST)
    }

    /// Has the other edges know of an accepted user. Waits for nothing.
    pub(super) fn note(&self, user: &UserName, client: &Client, verdict: &Verdict) {
        let (Verdict::Accept(_), Some(network)) = (verdict, network(client)) else {
            return;
        };
        let (key, now) = ((user.clone(), network), Instant::now());
        let told = self.told.get(&key);
        if told.is_some_and(|told| now - told < TRUST / TOLD) {
            return;
        }
        self.told.insert(key, now);
        self.share
            .tell(&mark(user, network), (Said::Yes, None), TRUST, now);
    }
}

/// Where a client is. Whoever comes from this machine may be anybody.
fn network(client: &Client) -> Option<Network> {
    let address = client.address.filter(|address| !address.is_loopback())?;
    Some(Network::of_host(address))
}

/// What a user and a network are known by.
fn mark(user: &UserName, network: Network) -> Vec<u8> {
    let network = network.to_string();
    [network.as_bytes(), b" ", user.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    fn from(address: &str) -> Client {
        Client {
            address: Client::address_in(address.as_bytes()),
            ..Client::default()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn others_are_told_of_a_user_now_and_then_and_of_no_more_than_there_is_room_for() {
        let elsewhere = TrustedElsewhere::new(Share::of_nobody());
        let told = |number: usize, client: &str| {
            let (user, client) = (UserName::new(&number.to_be_bytes()), from(client));
            elsewhere.note(&user, &client, &Verdict::accept("jane"));
            let network = network(&client)?;
            elsewhere.told.get(&(user, network)).map(|told| told.elapsed())
        };
        let now = Some(std::time::Duration::ZERO);
        assert_eq!(told(0, "192.0.2.1"), now);
        advance(TRUST / TOLD / 2).await;
        assert_eq!(told(0, "192.0.2.1"), Some(TRUST / TOLD / 2));
        assert_eq!((told(0, "2001:db8::1"), told(0, "2001:db8::2")), (now, now));
        advance(TRUST / TOLD).await;
        assert_eq!(told(0, "192.0.2.1"), now);
        for nowhere in ["127.0.0.1", "::1", "unknown"] {
            assert_eq!(told(0, nowhere), None);
        }
        for number in 0..2 * USERS {
            told(number, "192.0.2.1");
        }
        assert!(elsewhere.told.len() <= USERS);
    }
}
