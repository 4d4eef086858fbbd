//! The connections of one host to one remote: what all pools of a directory share.
//!
//! A remote that bears few connections counts all of ours, whatever they are for. So each opening passes this gate, and
//! what one pool has learned holds for the other. Where no more are borne, the openings wait in turn, and sessions of
//! the other pool give way to them.

use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::futures::Notified;
use tokio::sync::{Mutex as Turn, Notify};
use tokio::time::timeout;

use super::ceiling::Ceiling;
use super::count::{Count, Held};
use crate::chance::Chance;

/// What the pools of a directory share of its remote.
#[derive(Debug, Default)]
pub struct Gate {
    pub(super) chance: Chance,
    ceiling: Mutex<Ceiling>,
    connections: Count,
    living: Count,
    waiting: Count,
    turn: Turn<()>,
    freed: Notify,
    wanted: Notify,
}

/// A connection, from the beginning of its opening until the remote has seen the end of it.
#[derive(Debug)]
pub(super) struct Connection {
    gate: Arc<Gate>,
    held: Option<Held>,
    living: Option<Held>,
}

impl Gate {
    /// Draws the pauses from `chance`.
    pub fn new(chance: Chance) -> Self {
        Self {
            chance,
            ..Self::default()
        }
    }

    /// Waits for its turn, and until the remote bears one more.
    pub(super) async fn pass(self: &Arc<Self>) -> Connection {
        let _waiting = self.waiting.hold(1);
        let _turn = self.turn.lock().await;
        loop {
            let freed = self.freed.notified();
            if let Some(connection) = self.try_pass() {
                return connection;
            }
            self.wanted.notify_waiters();
            let rises_in = self.ceiling().rises_in();
            let _ = timeout(rises_in, freed).await;
        }
    }

    /// A connection, if the remote bears one more.
    pub(super) fn try_pass(self: &Arc<Self>) -> Option<Connection> {
        // Held while it is counted: two that ask at once are no more than two.
        let ceiling = self.ceiling();
        (self.connections() < ceiling.of(usize::MAX)).then(|| Connection {
            gate: self.clone(),
            held: Some(self.connections.hold(1)),
            living: None,
        })
    }

    /// Told when openings wait and no more connections are borne.
    pub(super) fn wanted(&self) -> Notified<'_> {
        self.wanted.notified()
    }

    /// Whether no more connections are borne.
    pub(super) fn is_full(&self) -> bool {
        self.connections() >= self.ceiling().of(usize::MAX)
    }

    /// Connections of all pools.
    pub(super) fn connections(&self) -> usize {
        self.connections.get()
    }

    /// Of these, those that the remote has greeted.
    pub(super) fn living(&self) -> usize {
        self.living.get()
    }

    /// Openings of all pools that wait.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.get()
    }

    /// What was learned.
    pub(super) fn ceiling(&self) -> MutexGuard<'_, Ceiling> {
        self.ceiling.lock()
    }
}

impl Connection {
    /// The remote has greeted.
    pub(super) fn lives(&mut self) {
        self.living.get_or_insert_with(|| self.gate.living.hold(1));
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.living = None;
        self.held = None;
        self.gate.freed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::task::yield_now;
    use tokio::time::advance;

    use super::super::ceiling::RAISED;
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_is_not_borne_waits_in_turn() {
        let gate = Arc::new(Gate::default());
        let mut connections = vec![gate.pass().await, gate.pass().await];
        connections.iter_mut().for_each(Connection::lives);
        gate.ceiling().turned_away(gate.living());
        assert!(gate.is_full() && gate.try_pass().is_none());
        let waits = |number| {
            let gate = gate.clone();
            tokio::spawn(async move { (number, gate.pass().await) })
        };
        let (first, second) = (waits(1), waits(2));
        yield_now().await;
        assert_eq!(gate.waiting(), 2);
        drop(connections.pop());
        let (number, connection) = first.await.unwrap();
        assert_eq!((number, gate.connections(), gate.waiting()), (1, 2, 1));
        // One more is tried after a while.
        advance(RAISED - Duration::from_millis(1)).await;
        assert!(!second.is_finished());
        let (_, another) = second.await.unwrap();
        assert_eq!((gate.connections(), gate.living()), (3, 1));
        drop((connections, connection, another));
        assert_eq!((gate.connections(), gate.living()), (0, 0));
    }
}
