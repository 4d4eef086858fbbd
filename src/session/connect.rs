//! An endpoint becomes a connection: each address of its name is given a short start
//! before the next.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::net::{TcpStream, UnixStream};
use tokio::time::{Instant, sleep, timeout_at};

use super::error::{CONNECT, Error, Kind, LOOK_UP};
use super::lookup::Host;
use crate::wire::Stream;

/// Bound (sessions): connecting to one address. Beyond: no answer, or the next address's. Why: a server that swallows
/// packets must leave time for the next.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Bound (sessions): time before the next address is tried as well. Beyond: the next is tried in parallel. Why: RFC
/// 8305 section 5.
const HEAD_START: Duration = Duration::from_millis(250);

/// Bound (sessions): look-up of a server's name. Beyond: no answer. Why: one look-up of each name runs at a time, in
/// its own thread.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(5);

/// Opens connections to one remote. The second implementation is the remote in
/// memory that the tests play with.
pub trait Dial: Send + Sync {
    /// A new connection by `deadline`; `peer` is its name in errors.
    fn dial<'a>(
        &'a self,
        peer: &'a Arc<str>,
        deadline: Instant,
    ) -> Pin<Box<dyn Future<Output = Result<Dialled, Error>> + Send + 'a>>;

    /// The same by another address than those that were `tried`. Where a remote has no addresses, none was.
    fn dial_another<'a>(
        &'a self,
        peer: &'a Arc<str>,
        _tried: &'a [SocketAddr],
        deadline: Instant,
    ) -> Pin<Box<dyn Future<Output = Result<Dialled, Error>> + Send + 'a>> {
        self.dial(peer, deadline)
    }

    /// An address accepted, and another was of more use: it comes last for a while.
    fn is_worse(&self, _address: SocketAddr) {}
}

/// A connection that was opened.
pub struct Dialled {
    /// The bytes' way.
    pub stream: Stream,
    /// By which of the remote's addresses, where it has any.
    pub reached: Option<Reached>,
}

/// An address that accepted.
#[derive(Debug, Clone, Copy)]
pub struct Reached {
    /// Which.
    pub address: SocketAddr,
    /// There are others, which were not tried.
    pub others: bool,
}

/// Where a remote listens.
#[derive(Debug)]
pub enum Endpoint {
    /// A port of a host.
    Tcp(Host),
    /// A Unix stream socket.
    Unix(PathBuf),
}

impl Dial for Endpoint {
    fn dial<'a>(
        &'a self,
        peer: &'a Arc<str>,
        deadline: Instant,
    ) -> Pin<Box<dyn Future<Output = Result<Dialled, Error>> + Send + 'a>> {
        self.dial_another(peer, &[], deadline)
    }

    fn dial_another<'a>(
        &'a self,
        peer: &'a Arc<str>,
        tried: &'a [SocketAddr],
        deadline: Instant,
    ) -> Pin<Box<dyn Future<Output = Result<Dialled, Error>> + Send + 'a>> {
        Box::pin(async move {
            match self {
                Self::Tcp(host) => dial_tcp(host, peer, tried, deadline).await,
                Self::Unix(path) => {
                    let deadline = deadline.min(Instant::now() + CONNECT_TIMEOUT);
                    let stream =
                        within(deadline, UnixStream::connect(path))
                            .await
                            .map_err(|(kind, detail)| {
                                // By the mode of its socket the server has said which users may connect.
                                let ours = kind == Kind::Config;
                                let kind = if ours { Kind::Unreachable } else { kind };
                                Error::new(kind, peer, CONNECT, detail)
                            })?;
                    Ok(Dialled {
                        stream: Box::new(stream),
                        reached: None,
                    })
                }
            }
        })
    }

    fn is_worse(&self, address: SocketAddr) {
        if let Self::Tcp(host) = self {
            host.is_worse(address);
        }
    }
}

async fn dial_tcp(
    host: &Host,
    peer: &Arc<str>,
    tried: &[SocketAddr],
    deadline: Instant,
) -> Result<Dialled, Error> {
    let lookup_by = deadline.min(Instant::now() + LOOKUP_TIMEOUT);
    let addresses = within(lookup_by, host.addresses())
        .await
        .map_err(|(kind, detail)| Error::new(kind, peer, LOOK_UP, detail))?;
    let addresses: Vec<_> = addresses
        .into_iter()
        .filter(|address| !tried.contains(address))
        .collect();
    let others = addresses.len() > 1;
    match first_of(addresses, deadline).await {
        Ok(stream) => {
            // Commands are small and answers are waited for, so none may be held back. A kernel that refuses
            // is no reason to give up the connection.
            if let Err(error) = stream.set_nodelay(true) {
                tracing::debug!("cannot set TCP_NODELAY: {error}");
            }
            let peer = stream.peer_addr().ok();
            Ok(Dialled {
                stream: Box::new(stream),
                reached: peer.map(|address| Reached { address, others }),
            })
        }
        Err(failures) => {
            host.forget();
            Err(all_failed(peer, failures))
        }
    }
}

/// What became of an address that did not answer.
type Failure = (SocketAddr, Kind, String);

/// The first of the addresses to answer. Each next one is tried as soon as one has
/// failed, or none has answered for a while; the others are given up once one has.
async fn first_of(addresses: Vec<SocketAddr>, deadline: Instant) -> Result<TcpStream, Vec<Failure>> {
    let mut addresses = addresses.into_iter();
    let mut trying = FuturesUnordered::new();
    let mut failures = Vec::new();
    loop {
        if let Some(address) = addresses.next() {
            let deadline = deadline.min(Instant::now() + CONNECT_TIMEOUT);
            trying.push(async move {
                let tried = within(deadline, TcpStream::connect(address)).await;
                tried.map_err(|(kind, detail)| (address, kind, detail))
            });
        }
        let more = addresses.len() > 0;
        tokio::select! {
            biased;
            tried = trying.next() => match tried {
                Some(Ok(stream)) => return Ok(stream),
                Some(Err(failure)) => failures.push(failure),
                None => return Err(failures),
            },
            () = sleep(HEAD_START), if more => {}
        }
    }
}

fn all_failed(peer: &Arc<str>, failures: Vec<Failure>) -> Error {
    let Some(&(_, first, _)) = failures.first() else {
        let detail = "it has no address";
        return Error::new(Kind::Unreachable, peer, LOOK_UP, detail);
    };
    // One that this host did not let us try may be there.
    let ours = |(_, kind, _): &Failure| *kind == Kind::Config;
    let kind = if failures.iter().any(ours) {
        Kind::Config
    } else {
        first
    };
    // What went wrong in the same way is said once, for all of its addresses.
    let mut details: Vec<(String, String)> = Vec::new();
    for (address, _, detail) in failures {
        match details.iter_mut().find(|(_, known)| *known == detail) {
            Some((addresses, _)) => addresses.push_str(&format!(", {address}")),
            None => details.push((address.to_string(), detail)),
        }
    }
    let details: Vec<_> = details
        .iter()
        .map(|(addresses, detail)| format!("{addresses}: {detail}"))
        .collect();
    Error::new(kind, peer, CONNECT, details.join("; "))
}

async fn within<T>(
    deadline: Instant,
    step: impl Future<Output = io::Result<T>>,
) -> Result<T, (Kind, String)> {
    match timeout_at(deadline, step).await {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(error)) => Err((Kind::of_io(&error), error.to_string())),
        Err(_) => Err((Kind::Timeout, "no answer in time".into())),
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use tokio::net::{TcpListener, TcpSocket};

    use super::*;

    /// An address to which no connection is ever made: its queue is full.
    async fn silent() -> (SocketAddr, std::net::TcpListener, Vec<TcpStream>) {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        socket.bind(&any.into()).unwrap();
        socket.listen(0).unwrap();
        let listener: std::net::TcpListener = socket.into();
        let address = listener.local_addr().unwrap();
        let mut waiting = Vec::new();
        while let Ok(Ok(stream)) =
            tokio::time::timeout(Duration::from_millis(200), TcpStream::connect(address)).await
        {
            waiting.push(stream);
        }
        (address, listener, waiting)
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(20)
    }

    // Fills HEAD_START.
    #[tokio::test]
    async fn an_address_that_swallows_packets_holds_up_no_other() {
        let (silent, _listener, _waiting) = silent().await;
        let good = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = good.local_addr().unwrap();
        let began = Instant::now();
        let stream = first_of(vec![silent, address], soon()).await.unwrap();
        assert_eq!(stream.peer_addr().unwrap(), address);
        assert!(began.elapsed() < CONNECT_TIMEOUT);
    }

    #[tokio::test]
    async fn an_address_that_refuses_is_followed_by_the_next_and_all_are_named() {
        // Bound, and never listening: nobody else is given the port meanwhile.
        let refusing = TcpSocket::new_v4().unwrap();
        refusing.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let free = refusing.local_addr().unwrap();
        let good = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = good.local_addr().unwrap();
        let stream = first_of(vec![free, address], soon()).await.unwrap();
        assert_eq!(stream.peer_addr().unwrap(), address);
        let failures = first_of(vec![free, free], soon()).await.unwrap_err();
        assert_eq!(failures.len(), 2);
        let error = all_failed(&"mailbox".into(), failures).to_string();
        assert!(error.matches(&free.to_string()).count() == 2, "{error}");
        assert!(error.matches("refused").count() == 1, "{error}");
        let none = first_of(Vec::new(), soon()).await.unwrap_err();
        assert!(none.is_empty());
    }

    #[tokio::test]
    async fn what_this_host_does_not_permit_says_nothing_of_the_remote() {
        let denied = || async { Err::<(), _>(io::Error::from_raw_os_error(nix::libc::EPERM)) };
        let (kind, _) = within(soon(), denied()).await.unwrap_err();
        assert_eq!(kind, Kind::Config);
        let nobody = SocketAddr::from((Ipv4Addr::LOCALHOST, 9));
        let failures = vec![
            (nobody, Kind::Unreachable, "refused".to_owned()),
            (nobody, Kind::Config, "no descriptor left".to_owned()),
        ];
        assert!(!all_failed(&"mailbox".into(), failures).is_away());
    }

    // Fills CONNECT_TIMEOUT.
    #[tokio::test]
    async fn an_address_that_swallows_packets_is_given_up() {
        let (silent, _listener, _waiting) = silent().await;
        let failures = first_of(vec![silent], soon()).await.unwrap_err();
        assert!(
            matches!(&failures[..], [(address, Kind::Timeout, _)] if *address == silent),
            "{failures:?}"
        );
    }
}
