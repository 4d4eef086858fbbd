//! The places of a pool: as many sessions as there may be, each in one of its phases.

use super::count::{Count, Held};

/// How many places are taken, and in which phase their sessions are.
#[derive(Debug, Default)]
pub(super) struct Places {
    taken: Count,
    opening: Count,
    idle: Count,
}

/// One place, from the beginning of an opening until the session has ended. It is given back when
/// this is dropped.
#[derive(Debug)]
pub(super) struct Place {
    idle: Count,
    _taken: Held,
    /// What the session is counted under now; nothing while it asks.
    phase: Option<Held>,
}

impl Places {
    /// A place for a session that is being opened.
    pub(super) fn take(&self) -> Place {
        Place {
            idle: self.idle.clone(),
            _taken: self.taken.hold(1),
            phase: Some(self.opening.hold(1)),
        }
    }

    /// Places that are taken, whatever for.
    pub(super) fn taken(&self) -> usize {
        self.taken.get()
    }

    /// Of these, those of sessions that are being opened.
    pub(super) fn opening(&self) -> usize {
        self.opening.get()
    }

    /// Of these, those of sessions that wait for a question.
    pub(super) fn idle(&self) -> usize {
        self.idle.get()
    }
}

impl Place {
    /// Its session waits for a question.
    pub(super) fn waits(&mut self) {
        self.phase = None;
        self.phase = Some(self.idle.hold(1));
    }

    /// Its session asks.
    pub(super) fn asks(&mut self) {
        self.phase = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_in_one_phase_at_a_time_and_given_back_from_each() {
        let places = Places::default();
        let counts = || (places.taken(), places.opening(), places.idle());
        for last in 0..4 {
            let mut place = places.take();
            assert_eq!(counts(), (1, 1, 0));
            let phases: [(fn(&mut Place), _); 3] = [
                (Place::waits, (1, 0, 1)),
                (Place::waits, (1, 0, 1)),
                (Place::asks, (1, 0, 0)),
            ];
            for (phase, counted) in phases.into_iter().take(last) {
                phase(&mut place);
                assert_eq!(counts(), counted);
            }
            drop(place);
            assert_eq!(counts(), (0, 0, 0));
        }
    }
}
