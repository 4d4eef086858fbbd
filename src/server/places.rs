//! Places for clients: as many as a door serves at once, and as many as the process
//! has descriptors for. One more is closed, and the log is told once.

use std::fmt::Display;
use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::telemetry::faults::{Fault, Faults};

/// Descriptors that the clients of all doors may use together.
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

/// The places of one door.
pub(super) struct Places {
    free: Arc<Semaphore>,
    most: usize,
    descriptors: Descriptors,
}

/// What a client who was let in holds while it is served.
pub(super) struct Place {
    _of_door: OwnedSemaphorePermit,
    _descriptor: OwnedSemaphorePermit,
}

impl Places {
    pub(super) fn new(most: usize, descriptors: Descriptors) -> Self {
        Self {
            free: Arc::new(Semaphore::new(most)),
            most,
            descriptors,
        }
    }

    /// A place for one more client of `door`, or a fault that says why there is none.
    pub(super) fn take(&self, door: &str, faults: &Faults) -> Option<Place> {
        let refused = |class, text: &dyn Display, advice| {
            faults.failed(&Fault {
                step: "accept",
                class,
                text,
                advice,
                lasting: false,
            });
        };
        let Ok(of_door) = self.free.clone().try_acquire_owned() else {
            refused(
                "limit",
                &format_args!(
                    "listener \"{door}\": all {} connections (max-connections) are taken",
                    self.most
                ),
                "who asks keeps more open than that: raise max-connections, or let fewer processes ask",
            );
            return None;
        };
        let Ok(descriptor) = self.descriptors.free.clone().try_acquire_owned() else {
            refused(
                "descriptors",
                &format_args!(
                    "listener \"{door}\": all {} file descriptors for clients are taken",
                    self.descriptors.most
                ),
                "raise LimitNOFILE= (systemd) or ulimit -n",
            );
            return None;
        };
        Some(Place {
            _of_door: of_door,
            _descriptor: descriptor,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::faults::Wording;

    #[tokio::test]
    async fn doors_share_the_descriptors_and_places_come_back() {
        let descriptors = Descriptors::new(3);
        let faults = Faults::new("a door".into(), Wording { again: "", without: "" });
        let one = Places::new(2, descriptors.clone());
        let other = Places::new(2, descriptors);
        let first = one.take("one", &faults);
        let second = one.take("one", &faults);
        assert!(first.is_some() && second.is_some() && one.take("one", &faults).is_none());
        let third = other.take("other", &faults);
        assert!(third.is_some() && other.take("other", &faults).is_none());
        drop(first);
        let fourth = other.take("other", &faults);
        assert!(fourth.is_some() && one.take("one", &faults).is_none());
        drop((second, third, fourth));
        assert!(one.take("one", &faults).is_some() && other.take("other", &faults).is_some());
    }
}
