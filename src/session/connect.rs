//! A name becomes a connection: look-up, each address in turn, keep-alive.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpStream, UnixStream, lookup_host};
use tokio::time::{Instant, timeout_at};

use super::error::{Error, Kind};
use crate::wire::Stream;

/// One address is given this long: a host that swallows our packets must leave
/// time for the next.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A resolver that does not answer is given up on after this long.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(5);

/// A peer that vanished without a word is noticed after about two minutes.
const KEEPALIVE_TIME: Duration = Duration::from_secs(60);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(20);

/// Opens connections to one remote. The second implementation is the remote in
/// memory that the tests play with.
pub trait Dial: Send + Sync {
    /// A new connection by `deadline`; `peer` is its name in errors.
    fn dial<'a>(
        &'a self,
        peer: &'a Arc<str>,
        deadline: Instant,
    ) -> Pin<Box<dyn Future<Output = Result<Dialled, Error>> + Send + 'a>>;
}

/// A connection that was opened.
pub struct Dialled {
    /// The bytes' way.
    pub stream: Stream,
    /// The other end is this machine: loopback or a Unix socket.
    pub local: bool,
}

/// Where a remote listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Endpoint {
    /// A host by name or address, and a port.
    Tcp {
        /// Looked up anew at each connection.
        host: String,
        /// 1 to 65535.
        port: u16,
    },
    /// A Unix stream socket.
    Unix(PathBuf),
}

impl Dial for Endpoint {
    fn dial<'a>(
        &'a self,
        peer: &'a Arc<str>,
        deadline: Instant,
    ) -> Pin<Box<dyn Future<Output = Result<Dialled, Error>> + Send + 'a>> {
        Box::pin(async move {
            match self {
                Self::Tcp { host, port } => dial_tcp(host, *port, peer, deadline).await,
                Self::Unix(path) => {
                    let deadline = deadline.min(Instant::now() + CONNECT_TIMEOUT);
                    let stream = within(deadline, UnixStream::connect(path))
                        .await
                        .map_err(|(kind, detail)| Error::new(kind, peer, "connect", detail))?;
                    Ok(Dialled {
                        stream: Box::new(stream),
                        local: true,
                    })
                }
            }
        })
    }
}

async fn dial_tcp(host: &str, port: u16, peer: &Arc<str>, deadline: Instant) -> Result<Dialled, Error> {
    let addresses = within(
        deadline.min(Instant::now() + LOOKUP_TIMEOUT),
        lookup_host((host, port)),
    )
    .await
    .map_err(|(kind, detail)| Error::new(kind, peer, "look-up of its name", detail))?;
    let mut failures = Vec::new();
    for address in addresses {
        let deadline = deadline.min(Instant::now() + CONNECT_TIMEOUT);
        match within(deadline, TcpStream::connect(address)).await {
            Ok(stream) => {
                set_options(&stream);
                let local = stream.peer_addr().is_ok_and(|address| is_loopback(&address));
                return Ok(Dialled {
                    stream: Box::new(stream),
                    local,
                });
            }
            Err((kind, detail)) => failures.push((kind, format!("{address}: {detail}"))),
        }
    }
    let Some(&(kind, _)) = failures.first() else {
        return Err(Error::new(
            Kind::Unreachable,
            peer,
            "look-up of its name",
            "it has no address",
        ));
    };
    let details: Vec<String> = failures.into_iter().map(|(_, detail)| detail).collect();
    Err(Error::new(kind, peer, "connect", details.join("; ")))
}

async fn within<T>(
    deadline: Instant,
    step: impl Future<Output = io::Result<T>>,
) -> Result<T, (Kind, String)> {
    match timeout_at(deadline, step).await {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(error)) => Err((Kind::Unreachable, error.to_string())),
        Err(_) => Err((Kind::Timeout, "no answer in time".into())),
    }
}

/// Commands are small and answers are waited for, so none may be held back;
/// dead peers must be noticed. A kernel that refuses either is no reason to
/// give up the connection.
fn set_options(stream: &TcpStream) {
    let keepalive = TcpKeepalive::new()
        .with_time(KEEPALIVE_TIME)
        .with_interval(KEEPALIVE_INTERVAL);
    let socket = SockRef::from(stream);
    if let Err(error) = stream
        .set_nodelay(true)
        .and_then(|()| socket.set_tcp_keepalive(&keepalive))
    {
        tracing::debug!("cannot set socket options: {error}");
    }
}

fn is_loopback(address: &SocketAddr) -> bool {
    address.ip().to_canonical().is_loopback()
}
