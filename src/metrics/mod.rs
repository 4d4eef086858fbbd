//! What is counted, for monitoring: as text ([`Watched::text`]), and where it is
//! served ([`http`]).
//!
//! The parts count by themselves, with atomics that they hold (see [`DoorCounts`],
//! [`Admission`], [`pool::counts`](crate::session::pool::counts)); all else is done when somebody
//! looks. A family's name begins with `vouch_`, and what only goes up ends in
//! `_total`; seconds and bytes are the only units, and end the name. What is said of
//! the process itself has the names that every exporter gives it. The values of
//! labels come from the configuration or from lists in the code, so that their number
//! is bounded: no user, address or domain is among them.

mod directories;
mod doors;
pub mod http;
pub(crate) mod process;
pub mod text;

use std::sync::Arc;

use crate::engine::Member;
use crate::server::admission::Admission;
use crate::server::counts::DoorCounts;
use process::Started;
use text::{Format, Text};

/// What is looked at when somebody asks.
pub struct Watched {
    doors: Vec<WatchedDoor>,
    members: Vec<Arc<Member>>,
    started: Started,
}

/// A listener.
pub struct WatchedDoor {
    /// Its name.
    pub name: Arc<str>,
    /// What it counts.
    pub counts: Arc<DoorCounts>,
    /// Who is let in.
    pub admission: Arc<Admission>,
}

impl Watched {
    /// These listeners and directories, of a process that starts now.
    pub fn new(doors: Vec<WatchedDoor>, members: Vec<Arc<Member>>) -> Self {
        Self {
            doors,
            members,
            started: Started::now(),
        }
    }

    /// The same process, with these listeners and directories from now on.
    #[must_use]
    pub fn succeeded_by(&self, doors: Vec<WatchedDoor>, members: Vec<Arc<Member>>) -> Self {
        Self {
            doors,
            members,
            started: self.started,
        }
    }

    /// All that is counted, as it is now.
    pub fn text(&self, format: Format) -> String {
        let mut text = Text::new(format);
        doors::write(&mut text, self);
        directories::write(&mut text, self);
        process::write(&mut text, self.started);
        text.end()
    }
}
