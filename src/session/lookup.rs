//! The addresses of a host's name.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::net::lookup_host;
use tokio::sync::Mutex as Turn;
use tokio::time::Instant;

/// What a look-up found is used again for so long: with a session for each login,
/// the resolver would be asked hundreds of times a second.
pub(crate) const KNOWN: Duration = Duration::from_secs(1);

/// Addresses of one name that are tried, in the resolver's order; the others are left. Whoever answers for the
/// name could else have us call thousands.
pub(crate) const ADDRESSES: usize = 16;

/// An address that was of no use when another was comes last for so long.
pub(crate) const WORSE: Duration = Duration::from_secs(60);

/// A host by name or address, and a port.
#[derive(Debug)]
pub struct Host {
    name: String,
    port: u16,
    /// Whose turn it is to ask the resolver: a thread waits for it for as long as it takes, and whoever asked may
    /// be gone by then. One thread is enough.
    turn: Arc<Turn<()>>,
    known: Mutex<Option<(Vec<SocketAddr>, Instant)>>,
    /// Addresses that accepted and were of no use when another was, and when that was.
    worse: Mutex<Vec<(SocketAddr, Instant)>>,
}

impl Host {
    /// A host that was not looked up yet; `port` is 1 to 65535.
    pub fn new(name: &str, port: u16) -> Self {
        Self {
            name: name.to_owned(),
            port,
            turn: Arc::default(),
            known: Mutex::default(),
            worse: Mutex::default(),
        }
    }

    /// Its addresses in the order of the system's resolver, found within the last
    /// second; those that were [worse](Self::is_worse) come last.
    ///
    /// # Errors
    /// What the resolver said.
    pub(super) async fn addresses(&self) -> io::Result<Vec<SocketAddr>> {
        let mut addresses = self.in_order().await?;
        let mut worse = self.worse.lock().unwrap_or_else(PoisonError::into_inner);
        worse.retain(|(_, since)| since.elapsed() < WORSE);
        addresses.sort_by_key(|address| worse.iter().any(|(one, _)| one == address));
        Ok(addresses)
    }

    /// An address accepted and was of no use, and another was: it comes last for a while.
    pub(super) fn is_worse(&self, address: SocketAddr) {
        let mut worse = self.worse.lock().unwrap_or_else(PoisonError::into_inner);
        worse.retain(|(one, since)| *one != address && since.elapsed() < WORSE);
        if worse.len() < ADDRESSES {
            worse.push((address, Instant::now()));
        }
    }

    async fn in_order(&self) -> io::Result<Vec<SocketAddr>> {
        if let Some(addresses) = self.found_lately() {
            return Ok(addresses);
        }
        let turn = self.turn.clone().lock_owned().await;
        if let Some(addresses) = self.found_lately() {
            return Ok(addresses);
        }
        let (name, port) = (self.name.clone(), self.port);
        let asking = tokio::spawn(async move {
            let found = lookup_host((name, port)).await;
            drop(turn);
            found.map(tried)
        });
        let addresses = asking.await.map_err(io::Error::other)??;
        *self.known() = Some((addresses.clone(), Instant::now()));
        Ok(addresses)
    }

    fn found_lately(&self) -> Option<Vec<SocketAddr>> {
        let known = self.known();
        let (addresses, since) = known.as_ref()?;
        (since.elapsed() < KNOWN).then(|| addresses.clone())
    }

    /// None of the addresses answered: the next look-up is a new one.
    pub(super) fn forget(&self) {
        *self.known() = None;
    }

    fn known(&self) -> MutexGuard<'_, Option<(Vec<SocketAddr>, Instant)>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn tried(found: impl Iterator<Item = SocketAddr>) -> Vec<SocketAddr> {
    found.take(ADDRESSES).collect()
}

#[cfg(test)]
impl Host {
    /// One whose addresses need not be asked for.
    pub(super) fn at(addresses: Vec<SocketAddr>) -> Self {
        let host = Self::new("nobody.invalid", 1);
        *host.known() = Some((addresses, Instant::now() + Duration::from_secs(86_400)));
        host
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use tokio::time::timeout;

    use super::*;

    #[test]
    fn of_a_name_with_thousands_of_addresses_a_few_are_tried() {
        let all = (1..=10_000).map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
        let tried = tried(all);
        assert_eq!(tried.len(), ADDRESSES);
        assert_eq!(tried.first().map(SocketAddr::port), Some(1));
    }

    #[tokio::test(start_paused = true)]
    async fn one_look_up_at_a_time_and_who_waits_has_its_answer() {
        let host = Host::new("127.0.0.1", 25);
        let turn = host.turn.clone().lock_owned().await;
        let waiting = timeout(Duration::from_secs(60), host.addresses()).await;
        assert!(waiting.is_err(), "a look-up is under way");
        let found = Ok(vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 25))]);
        let ended = async {
            drop(turn);
        };
        let (addresses, ()) = tokio::join!(host.addresses(), ended);
        assert_eq!(addresses.map_err(|error| error.to_string()), found);
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_is_used_again_for_a_second() {
        let host = Host::new("127.0.0.1", 25);
        let elsewhere = vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 26))];
        *host.known() = Some((elsewhere.clone(), Instant::now()));
        assert_eq!(host.addresses().await.unwrap(), elsewhere);
        tokio::time::advance(KNOWN).await;
        assert_eq!(
            host.addresses().await.unwrap(),
            [SocketAddr::from((Ipv4Addr::LOCALHOST, 25))]
        );
    }
}
