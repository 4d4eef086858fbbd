//! Admission of clients to a listener: only those in its list of peers, if there is
//! one, and only as many at once as the listener serves and the process has descriptors
//! for.

use std::fmt::Display;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::Peer;
use crate::telemetry::counter::Counter;
use crate::telemetry::faults::{Fault, Faults, Wording};

/// Descriptors that the clients of all listeners may use together.
#[derive(Debug, Clone)]
pub struct Descriptors {
    free: Arc<Semaphore>,
    most: usize,
}

impl Descriptors {
    /// At most so many.
    pub fn new(most: usize) -> Self {
        let most = most.min(Semaphore::MAX_PERMITS);
        let free = Arc::new(Semaphore::new(most));
        Self { free, most }
    }
}

/// Processes that may connect, by the credentials that the kernel gives of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Peers {
    /// Users.
    pub uids: Vec<u32>,
    /// Groups that a process may run as.
    pub gids: Vec<u32>,
}

impl Peers {
    fn have(&self, peer: &Peer) -> bool {
        self.uids.contains(&peer.uid) || self.gids.contains(&peer.gid)
    }
}

/// The peers that are admitted, and the number of clients.
pub struct Admission {
    listener: String,
    peers: Option<Peers>,
    max_connections: usize,
    descriptors: Descriptors,
    /// The clients of the listener, across all reloads.
    pub clients: Arc<Clients>,
    /// Why others are not let in.
    faults: Faults,
}

/// The clients of a listener, counted.
#[derive(Debug, Default)]
pub struct Clients {
    inside: AtomicUsize,
    /// Those that were let in since the start of the process.
    pub accepted: Counter,
    /// Those that found no place, or no descriptor.
    pub turned_away: Counter,
    /// Those that are none of its peers.
    pub strangers: Counter,
}

/// What a client who was let in holds while it is served.
pub(super) struct Place {
    clients: Arc<Clients>,
    _descriptor: OwnedSemaphorePermit,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.clients.inside.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Admission {
    /// For `listener`: at most `max_connections` at once, and for all listeners together
    /// no more than there are `descriptors`; only `peers`, if there is a list.
    pub fn new(
        listener: &str,
        max_connections: usize,
        peers: Option<Peers>,
        descriptors: Descriptors,
    ) -> Self {
        let wording = Wording {
            again: "takes connections again",
            without: "connections not taken",
        };
        Self {
            listener: listener.to_owned(),
            peers,
            max_connections,
            descriptors,
            clients: Arc::default(),
            faults: Faults::new(format!("listener \"{listener}\"").into(), wording),
        }
    }

    /// The same with other terms, for those who come from now on. Those who are inside stay, and count.
    pub fn succeeded_by(&self, listener: &str, max_connections: usize, peers: Option<Peers>) -> Self {
        Self {
            clients: self.clients.clone(),
            ..Self::new(listener, max_connections, peers, self.descriptors.clone())
        }
    }

    /// Clients that may be connected at once.
    pub fn max_connections(&self) -> usize {
        self.max_connections
    }

    /// Clients that are connected.
    pub fn connections(&self) -> usize {
        self.clients.inside.load(Ordering::Relaxed)
    }

    /// A place for a client, or a fault that says why there is none. It is free again
    /// when it is dropped.
    pub(super) fn admit(&self, peer: Option<&Peer>) -> Option<Place> {
        if let Some(peers) = &self.peers
            && !peer.is_some_and(|peer| peers.have(peer))
        {
            self.clients.strangers.count();
            self.turn_away_stranger(peer);
            return None;
        }
        // Nothing else accepts clients on this listener.
        if self.connections() >= self.max_connections {
            self.clients.turned_away.count();
            let most = self.max_connections;
            self.fault(
                "limit",
                format_args!("all {most} connections (max-connections) are taken"),
                "the clients keep more open than that: raise max-connections, or run fewer client processes",
                false,
            );
            return None;
        }
        let Ok(descriptor) = self.descriptors.free.clone().try_acquire_owned() else {
            self.clients.turned_away.count();
            let most = self.descriptors.most;
            self.fault(
                "descriptors",
                format_args!("all {most} file descriptors for clients are taken"),
                "raise LimitNOFILE= (systemd) or ulimit -n",
                false,
            );
            return None;
        };
        self.clients.accepted.count();
        self.faults.worked();
        self.clients.inside.fetch_add(1, Ordering::Relaxed);
        Some(Place {
            clients: self.clients.clone(),
            _descriptor: descriptor,
        })
    }

    /// Notes that the system gave no connection.
    pub(super) fn cannot_accept(&self, error: &io::Error) {
        self.fault(
            "system",
            format_args!("cannot accept a connection, trying on: {error}"),
            "where descriptors are lacking, raise LimitNOFILE= (systemd) or ulimit -n",
            false,
        );
    }

    fn turn_away_stranger(&self, peer: Option<&Peer>) {
        let advice = "if it is one of yours, add its user or group to peers";
        let tell = |who: &dyn Display| {
            self.fault(
                "peer",
                format_args!("closed: {who} is none of its peers"),
                advice,
                true,
            );
        };
        match peer {
            Some(Peer {
                pid: Some(pid),
                uid,
                gid,
                ..
            }) => tell(&format_args!("process {pid} of user {uid} and group {gid}")),
            Some(Peer { uid, gid, .. }) => tell(&format_args!("a process of user {uid} and group {gid}")),
            None => tell(&"a process that the system does not name"),
        }
    }

    /// `lasting`: until somebody changes something.
    fn fault(&self, class: &'static str, text: impl Display, advice: &str, lasting: bool) {
        let listener = &self.listener;
        self.faults.failed(&Fault {
            step: "accept",
            class,
            text: &format_args!("listener \"{listener}\": {text}"),
            advice,
            lasting,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(uid: u32, gid: u32) -> Peer {
        Peer {
            pid: Some(7),
            uid,
            gid,
            owner: false,
            stranger: false,
        }
    }

    #[tokio::test]
    async fn peers_are_let_in_by_user_or_group_and_nobody_else() {
        let peers = Peers {
            uids: vec![0, 107],
            gids: vec![8],
        };
        let listener = Admission::new("listener", 10, Some(peers), Descriptors::new(10));
        for (uid, gid) in [(0, 0), (107, 65534), (5000, 8)] {
            assert!(listener.admit(Some(&peer(uid, gid))).is_some(), "{uid} {gid}");
        }
        assert!(listener.admit(Some(&peer(8, 107))).is_none());
        assert!(listener.admit(None).is_none());
        let clients = &listener.clients;
        let counted = [&clients.accepted, &clients.strangers, &clients.turned_away];
        assert_eq!(counted.map(Counter::get), [3, 2, 0]);
        assert!(
            Admission::new("listener", 1, None, Descriptors::new(1))
                .admit(None)
                .is_some()
        );
    }

    #[tokio::test]
    async fn a_place_is_free_again_when_its_client_has_left() {
        let listener = Admission::new("listener", 1, None, Descriptors::new(1));
        let place = listener.admit(None).unwrap();
        assert_eq!(listener.connections(), 1);
        assert!(listener.admit(None).is_none());
        drop(place);
        assert_eq!(listener.connections(), 0);
        assert!(listener.admit(None).is_some());
        let clients = &listener.clients;
        let counted = [&clients.accepted, &clients.strangers, &clients.turned_away];
        assert_eq!(counted.map(Counter::get), [2, 0, 1]);
    }

    #[tokio::test]
    async fn those_inside_count_under_other_terms_too() {
        let listener = Admission::new("listener", 2, None, Descriptors::new(10));
        let (first, second) = (listener.admit(None), listener.admit(None));
        assert!(first.is_some() && second.is_some());
        let fewer = listener.succeeded_by("listener", 1, None);
        assert_eq!((fewer.connections(), fewer.max_connections()), (2, 1));
        drop(first);
        assert!(fewer.admit(None).is_none());
        drop(second);
        let third = fewer.admit(None);
        assert!(third.is_some() && listener.connections() == 1);
        assert_eq!(fewer.clients.accepted.get(), 3);
    }

    #[tokio::test]
    async fn listeners_share_the_descriptors_and_places_come_back() {
        let descriptors = Descriptors::new(3);
        let one = Admission::new("one", 2, None, descriptors.clone());
        let other = Admission::new("other", 2, None, descriptors);
        let first = one.admit(None);
        let second = one.admit(None);
        assert!(first.is_some() && second.is_some() && one.admit(None).is_none());
        let third = other.admit(None);
        assert!(third.is_some() && other.admit(None).is_none());
        drop(first);
        let fourth = other.admit(None);
        assert!(fourth.is_some() && one.admit(None).is_none());
        drop((second, third, fourth));
        assert!(one.admit(None).is_some() && other.admit(None).is_some());
    }
}
