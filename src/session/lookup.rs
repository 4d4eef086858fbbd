//! The addresses of a host's name.

use std::io;
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::net::lookup_host;
use tokio::time::Instant;

/// What a look-up found is used again for so long: with a session for each login,
/// the resolver would be asked hundreds of times a second.
const KNOWN: Duration = Duration::from_secs(1);

/// A host by name or address, and a port.
#[derive(Debug)]
pub struct Host {
    name: String,
    port: u16,
    known: Mutex<Option<(Vec<SocketAddr>, Instant)>>,
}

impl Host {
    /// A host that was not looked up yet; `port` is 1 to 65535.
    pub fn new(name: &str, port: u16) -> Self {
        Self {
            name: name.to_owned(),
            port,
            known: Mutex::default(),
        }
    }

    /// Its addresses in the order of the system's resolver, found within the last
    /// second.
    ///
    /// # Errors
    /// What the resolver said.
    pub(super) async fn addresses(&self) -> io::Result<Vec<SocketAddr>> {
        if let Some((addresses, since)) = &*self.known()
            && since.elapsed() < KNOWN
        {
            return Ok(addresses.clone());
        }
        let addresses: Vec<_> = lookup_host((&*self.name, self.port)).await?.collect();
        *self.known() = Some((addresses.clone(), Instant::now()));
        Ok(addresses)
    }

    /// None of the addresses answered: the next look-up is a new one.
    pub(super) fn forget(&self) {
        *self.known() = None;
    }

    fn known(&self) -> MutexGuard<'_, Option<(Vec<SocketAddr>, Instant)>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
