//! The TLS sessions of one server that may be resumed.
//!
//! A ticket of TLS 1.3 is used once, and a server gives new ones behind each handshake: where many sessions are opened at once,
//! as many are on their way. What rustls keeps in memory by itself are eight.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;
use rustls::NamedGroup;
use rustls::client::{ClientSessionStore, Tls12ClientSessionValue, Tls13ClientSessionValue};
use rustls::pki_types::ServerName;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Bound (sessions): TLS tickets kept for one server, where pool.max-sessions is fewer. Beyond: the oldest goes. Why: rustls
/// itself keeps as many.
pub(super) const FEW: usize = 8;

/// Bound (sessions): TLS tickets kept for the servers of one directory, beyond 8 for each. Beyond: the oldest of the server
/// goes. Why: enough for 1,000 sessions that are opened at once, in some megabytes.
pub(super) const MANY: usize = 1000;

/// The sessions of one server, which has one name.
pub(super) struct Tickets {
    /// At most so many.
    most: usize,
    /// For those beyond [`FEW`]: the directory's.
    room: Arc<Semaphore>,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    group: Option<NamedGroup>,
    tls12: Option<Tls12ClientSessionValue>,
    /// The oldest first.
    tls13: VecDeque<Tls13ClientSessionValue>,
    /// For as many as there are beyond [`FEW`].
    room: Vec<OwnedSemaphorePermit>,
}

impl Tickets {
    /// At most so many, and no more than the directory has `room` for.
    pub(super) fn new(most: usize, room: Arc<Semaphore>) -> Self {
        Self {
            most: most.max(FEW),
            room,
            kept: Mutex::default(),
        }
    }
}

/// Secrets are in it.
impl fmt::Debug for Tickets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tickets")
    }
}

impl ClientSessionStore for Tickets {
    fn set_kx_hint(&self, _: ServerName<'static>, group: NamedGroup) {
        self.kept.lock().group = Some(group);
    }

    fn kx_hint(&self, _: &ServerName<'_>) -> Option<NamedGroup> {
        self.kept.lock().group
    }

    fn set_tls12_session(&self, _: ServerName<'static>, session: Tls12ClientSessionValue) {
        self.kept.lock().tls12 = Some(session);
    }

    fn tls12_session(&self, _: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        self.kept.lock().tls12.clone()
    }

    fn remove_tls12_session(&self, _: &ServerName<'static>) {
        self.kept.lock().tls12 = None;
    }

    fn insert_tls13_ticket(&self, _: ServerName<'static>, ticket: Tls13ClientSessionValue) {
        let Kept { tls13, room, .. } = &mut *self.kept.lock();
        if tls13.len() >= FEW {
            let permit = self.room.clone().try_acquire_owned();
            match permit.ok().filter(|_| tls13.len() < self.most) {
                Some(permit) => room.push(permit),
                None => drop(tls13.pop_front()),
            }
        }
        tls13.push_back(ticket);
    }

    fn take_tls13_ticket(&self, _: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        let Kept { tls13, room, .. } = &mut *self.kept.lock();
        let taken = tls13.pop_back();
        room.truncate(tls13.len().saturating_sub(FEW));
        taken
    }
}
