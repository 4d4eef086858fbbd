//! What a fleet takes from the system: chance, the time of day, the way to a store. Tests have theirs.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use nix::unistd::gethostname;

use crate::chance::Chance;
use crate::session::connect::{Dial, Endpoint};
use crate::session::lookup::Host;

/// Twice in the second within which all edges are to forget.
const READINGS: Duration = Duration::from_millis(500);

/// The system around a fleet. By default it is the real one.
#[derive(Clone)]
pub struct Outside {
    /// The name of this edge, which the others show.
    pub edge: String,
    /// Pauses before a store is called again are drawn from it.
    pub chance: Chance,
    /// The time of day.
    pub clock: Clock,
    /// The ways to stores and Sentinels.
    pub way: Arc<WayTo>,
    /// How often an edge reads what others have purged, where no store announces it.
    pub readings: Duration,
}

/// Gives the way to a store or a Sentinel.
pub type WayTo = dyn Fn(Place<'_>) -> Arc<dyn Dial> + Send + Sync;

/// Where one listens.
#[derive(Debug, Clone, Copy)]
pub enum Place<'a> {
    /// At a Unix socket.
    Unix(&'a Path),
    /// At a port of a host.
    Tcp(&'a str, u16),
}

impl Default for Outside {
    fn default() -> Self {
        Self {
            edge: gethostname()
                .ok()
                .and_then(|name| name.into_string().ok())
                .unwrap_or_default(),
            chance: Chance::default(),
            clock: Clock::default(),
            way: Arc::new(endpoint),
            readings: READINGS,
        }
    }
}

fn endpoint(place: Place<'_>) -> Arc<dyn Dial> {
    Arc::new(match place {
        Place::Unix(path) => Endpoint::Unix(path.to_path_buf()),
        Place::Tcp(host, port) => Endpoint::Tcp(Host::new(host, port)),
    })
}

/// A clock that says the time of day. Its clones are the same.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> SystemTime + Send + Sync>);

impl Clock {
    /// One that says what `now` gives.
    pub fn new(now: impl Fn() -> SystemTime + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    pub(super) fn now(&self) -> SystemTime {
        (self.0)()
    }
}

/// That of the system.
impl Default for Clock {
    fn default() -> Self {
        Self::new(SystemTime::now)
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}
