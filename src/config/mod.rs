//! The configuration: the tables of `vouch.toml`, whose keys are those of [`crate::settings`].
//!
//! [`read`] makes a [`Config`] of a file or says what is wrong with it, line by line;
//! [`show`] says what a [`Config`] will do. Nothing here opens a connection.

pub mod read;
pub mod show;

pub use crate::settings::directory::Directory;
pub use crate::settings::dovecot::Dovecot;
pub use crate::settings::fleet::Fleet;
pub use crate::settings::listener::Listener;
pub use crate::settings::process::{Control, Log, Metrics, Service};
use crate::settings::socket::ListenAddress;

/// The whole file.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Config {
    /// `[directory."NAME"]`: the remote servers to ask, in the order of the file.
    pub directory: Vec<Directory>,
    /// `[listener."NAME"]`: the sockets on which clients ask, in the order of the file. May be empty:
    /// `vouch check` and `vouch probe` need none.
    pub listener: Vec<Listener>,
    /// `[dovecot]`; absent: `vouch dovecot-service` does not start.
    pub dovecot: Option<Dovecot>,
    /// `[fleet]`; absent: what is found is shared with nobody.
    pub fleet: Option<Fleet>,
    /// `[metrics]`; absent: none are served.
    pub metrics: Option<Metrics>,
    /// `[control]`.
    pub control: Control,
    /// `[log]`.
    pub log: Log,
    /// `[service]`.
    pub service: Service,
}

impl Config {
    /// The directory of that name.
    pub fn directory(&self, name: &str) -> Option<&Directory> {
        self.directory.iter().find(|directory| directory.name == name)
    }

    /// Where listeners listen, and the metrics.
    pub fn addresses(&self) -> impl Iterator<Item = &ListenAddress> {
        let listeners = self.listener.iter().map(|listener| &listener.socket);
        listeners.chain(self.metrics.iter().map(|metrics| &metrics.listen))
    }

    /// Whether any listener asks that directory.
    fn is_asked(&self, name: &str) -> bool {
        let by_listeners = self.listener.iter().flat_map(|listener| &listener.directory);
        let by_dovecot = self
            .dovecot
            .iter()
            .flat_map(|it| it.logins.iter().chain(&it.users));
        by_listeners.chain(by_dovecot).any(|asked| asked == name)
    }
}
