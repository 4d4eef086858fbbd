//! The places of a pool: as many sessions as there may be, each in one of its phases.

use std::sync::Arc;

use super::count::{Count, Held};
use super::gate::{Connection, Gate};

/// How many places are taken, and in which phase their sessions are.
#[derive(Debug, Default)]
pub(super) struct Places {
    taken: Count,
    phases: Phases,
}

/// Places by the phase of their sessions. Those that ask are in none.
#[derive(Debug, Default, Clone)]
struct Phases {
    opening: Count,
    idle: Count,
    closing: Count,
    calling: Count,
    /// Those that wait at the gate, among those that are being opened.
    waiting: Count,
    /// Those that have passed it.
    connected: Count,
}

/// One place, from the beginning of an opening until the remote has seen the end of the session. It
/// is given back when this is dropped.
#[derive(Debug)]
pub(super) struct Place {
    phases: Phases,
    /// What the session is counted under now; nothing while it asks.
    phase: Option<Held>,
    /// From the gate on.
    connection: Option<(Connection, Held)>,
    _taken: Held,
}

impl Places {
    /// A place for a session that is being opened.
    pub(super) fn take(&self) -> Place {
        Place {
            phase: Some(self.phases.opening.hold(1)),
            connection: None,
            phases: self.phases.clone(),
            _taken: self.taken.hold(1),
        }
    }

    /// Places that are taken, whatever for.
    pub(super) fn taken(&self) -> usize {
        self.taken.get()
    }

    /// Of these, those of sessions that are being opened.
    pub(super) fn opening(&self) -> usize {
        self.phases.opening.get()
    }

    /// Of these, those of sessions that wait for a question.
    pub(super) fn idle(&self) -> usize {
        self.phases.idle.get()
    }

    /// Of these, those of sessions that say goodbye.
    pub(super) fn closing(&self) -> usize {
        self.phases.closing.get()
    }

    /// Of these, those of sessions that serve questions, or will.
    pub(super) fn serving(&self) -> usize {
        let others = self.closing() + self.phases.calling.get();
        self.taken().saturating_sub(others)
    }

    /// Of these, those whose opening waits at the gate.
    pub(super) fn waiting(&self) -> usize {
        self.phases.waiting.get()
    }

    /// Of these, those that have passed the gate.
    pub(super) fn connected(&self) -> usize {
        self.phases.connected.get()
    }
}

impl Place {
    /// Waits until the remote bears one more connection. Whether it had to wait.
    pub(super) async fn passes(&mut self, gate: &Arc<Gate>) -> bool {
        if gate.waiting() == 0
            && let Some(connection) = gate.try_pass()
        {
            self.connects(connection);
            return false;
        }
        let _waiting = self.phases.waiting.hold(1);
        let connection = gate.pass().await;
        self.connects(connection);
        true
    }

    /// It is connected to the remote.
    pub(super) fn connects(&mut self, connection: Connection) {
        self.connection = Some((connection, self.phases.connected.hold(1)));
    }

    /// Its session waits for a question.
    pub(super) fn waits(&mut self) {
        self.lives();
        self.phase = Some(self.phases.idle.hold(1));
    }

    /// Its session asks.
    pub(super) fn asks(&mut self) {
        self.lives();
        self.phase = None;
    }

    /// Its session says goodbye.
    pub(super) fn closes(&mut self) {
        self.lives();
        self.phase = Some(self.phases.closing.hold(1));
    }

    fn lives(&mut self) {
        if let Some((connection, _)) = &mut self.connection {
            connection.lives();
        }
    }

    /// Its session serves no question: only what the remote offers on opening matters.
    pub(super) fn calls(&mut self) {
        self.phase = Some(self.phases.calling.hold(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_in_one_phase_at_a_time_and_given_back_from_each() {
        type Phase = fn(&mut Place);
        let (places, gate) = (Places::default(), Arc::new(Gate::default()));
        let counts = || {
            let phases = (places.opening(), places.idle(), places.closing());
            (places.taken(), phases, places.serving(), gate.living())
        };
        let phases: [(Phase, _); 5] = [
            (Place::waits, (1, (0, 1, 0), 1, 1)),
            (Place::waits, (1, (0, 1, 0), 1, 1)),
            (Place::asks, (1, (0, 0, 0), 1, 1)),
            (Place::closes, (1, (0, 0, 1), 0, 1)),
            (Place::calls, (1, (0, 0, 0), 0, 1)),
        ];
        for last in 0..=phases.len() {
            let mut place = places.take();
            place.connects(gate.try_pass().unwrap());
            assert_eq!(counts(), (1, (1, 0, 0), 1, 0));
            for (phase, counted) in phases.iter().take(last) {
                phase(&mut place);
                assert_eq!(counts(), *counted);
            }
            assert_eq!((places.connected(), gate.connections()), (1, 1));
            drop(place);
            assert_eq!(counts(), (0, (0, 0, 0), 0, 0));
            assert_eq!((places.connected(), gate.connections()), (0, 0));
        }
    }
}
