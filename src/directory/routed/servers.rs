//! The servers that are in use: made when one is asked, gone when none has asked it for a while.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::{Instant, sleep};

use super::{Counted, Directory, no_room};
use crate::report::State;
use crate::session::tls;
use crate::settings::routes::map::Server;
use crate::verdict::{Cause, Class};

/// Bound (sessions): time for which a server of a map is known that nobody asks. Beyond: its sessions are closed, and
/// its pauses and its health are forgotten. Why: as long as sessions are kept ready for logins.
const SERVER_KEPT: Duration = Duration::from_secs(600);

/// How often it is looked for such servers.
const LOOK: Duration = Duration::from_secs(60);

/// Makes the directory of one server.
pub type Make = Box<dyn Fn(&Server) -> Result<Arc<dyn Directory>, tls::SettingsError> + Send + Sync>;

/// The servers in use of one directory.
pub struct Servers {
    make: Make,
    pub(super) most: usize,
    pub(super) counted: Counted,
    pub(super) tls: Arc<tls::Client>,
    pub(super) table: Mutex<Table>,
}

#[derive(Default)]
pub(super) struct Table {
    pub(super) entries: HashMap<Arc<Server>, Entry>,
    /// Of those that are not there any more.
    pub(super) gone: Gone,
    /// Questions for which there was no room.
    pub(super) refused: u64,
    /// A task looks for servers that nobody asks.
    is_watched: bool,
}

pub(super) struct Entry {
    pub(super) directory: Arc<dyn Directory>,
    /// Questions that are being asked.
    pub(super) asked: usize,
    /// The end of the last one.
    last: Instant,
}

/// What was counted of servers that are not there any more.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Gone {
    pub(super) answers: u64,
    pub(super) failures: u64,
}

impl Gone {
    fn add(&mut self, directory: &dyn Directory) {
        let health = directory.health();
        self.answers += health.answers;
        self.failures += health.failures;
    }
}

impl Servers {
    /// No server is in use yet; at most so many will be. What happens in the sessions with all of them is in `counted`, and
    /// in the report of `tls`, where the directories that `make` makes count it.
    pub fn new(make: Make, most: usize, counted: Counted, tls: Arc<tls::Client>) -> Self {
        Self {
            make,
            most,
            counted,
            tls,
            table: Mutex::default(),
        }
    }

    /// A server, for as long as a question is asked.
    pub(super) fn lease(self: &Arc<Self>, server: &Arc<Server>) -> Result<Lease, Cause> {
        let mut table = self.table.lock();
        let mut makes_room = None;
        if !table.entries.contains_key(server) {
            let is_full = table.entries.len() >= self.most;
            if is_full && table.entries.values().all(|entry| entry.asked > 0) {
                table.refused += 1;
                return Err(no_room(self.most));
            }
            // One that cannot be made takes nobody's place.
            let made = (self.make)(server).map_err(|why| Cause::ours(Class::Config, why.to_string()))?;
            if is_full {
                makes_room = table.evict();
            }
            let entry = Entry {
                directory: made,
                asked: 0,
                last: Instant::now(),
            };
            table.entries.insert(server.clone(), entry);
            if !std::mem::replace(&mut table.is_watched, true) {
                tokio::spawn(watch(Arc::downgrade(self)));
            }
        }
        let entry = table.entries.get_mut(server);
        let directory = entry.map(|entry| {
            entry.asked += 1;
            entry.directory.clone()
        });
        drop(table);
        drop(makes_room);
        Ok(Lease {
            servers: self.clone(),
            server: server.clone(),
            directory: directory.ok_or_else(|| no_room(self.most))?,
        })
    }
}

impl Table {
    /// Takes out the server that nobody has asked for the longest time, one that answers before one that does not: what
    /// is known of trouble is of more use. `None` where all are being asked.
    fn evict(&mut self) -> Option<Entry> {
        let idle = self.entries.iter().filter(|(_, entry)| entry.asked == 0);
        let (server, _) = idle.min_by_key(|(_, entry)| {
            let sick = entry.directory.health().state() > State::Answers;
            (sick, entry.last)
        })?;
        let server = server.clone();
        let entry = self.entries.remove(&server)?;
        self.gone.add(&*entry.directory);
        Some(entry)
    }

    /// Takes out those that nobody has asked for a while.
    fn expire(&mut self) -> Vec<Entry> {
        let is_old =
            |_: &Arc<Server>, entry: &mut Entry| entry.asked == 0 && entry.last.elapsed() >= SERVER_KEPT;
        let expired: Vec<_> = self.entries.extract_if(is_old).map(|(_, entry)| entry).collect();
        for entry in &expired {
            self.gone.add(&*entry.directory);
        }
        expired
    }
}

/// Looks for servers that nobody asks, until there is none, or nobody needs them any more.
async fn watch(servers: Weak<Servers>) {
    loop {
        sleep(LOOK).await;
        let Some(servers) = servers.upgrade() else {
            return;
        };
        let mut table = servers.table.lock();
        let expired = table.expire();
        if table.entries.is_empty() {
            table.is_watched = false;
        }
        let ends = !table.is_watched;
        drop(table);
        // Closes its sessions.
        drop(expired);
        if ends {
            return;
        }
    }
}

/// A server while a question is asked: it stays.
pub(super) struct Lease {
    servers: Arc<Servers>,
    server: Arc<Server>,
    directory: Arc<dyn Directory>,
}

impl Lease {
    pub(super) fn directory(&self) -> &dyn Directory {
        &*self.directory
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(entry) = self.servers.table.lock().entries.get_mut(&self.server) {
            entry.asked = entry.asked.saturating_sub(1);
            entry.last = Instant::now();
        }
    }
}

#[cfg(test)]
mod tests;
