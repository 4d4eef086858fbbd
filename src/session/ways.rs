//! By which server and which of its addresses a session is opened: one that accepts and then says 421, hangs up or
//! stays silent is passed by for another, and so is one that cannot be reached, or whose TLS fails.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::time::{Instant, sleep};

use super::connect::Reached;
use super::error::Error;
use super::remote::Remote;
use super::server::Server;
use super::servers::Servers;

/// Bound (sessions): wait for a server or address, where there are others. Beyond: the next is tried in parallel; sooner
/// if its part of the time is up, which is a third for the addresses of one server, a quarter with two servers, a tenth
/// with eight. Why: a server that delays unknown clients has not failed.
const OTHER_ADDRESS_DELAY: Duration = Duration::from_secs(2);

/// One try to open a session.
pub(super) struct Way {
    /// The server.
    pub(super) remote: Arc<Remote>,
    /// Which it is, in the order in which they are tried.
    server: usize,
    /// Addresses of it that were tried already.
    pub(super) tried: Vec<SocketAddr>,
    /// The one that accepted now.
    pub(super) reached: OnceLock<Reached>,
}

/// The first session that `open` opens, by deadline. As long as an address or a server fails, or is slow, and there is
/// another, that is tried.
///
/// # Errors
/// Why none was opened: how the first server failed, and then the others.
pub(super) async fn by_any_server<S, F>(
    servers: &Servers,
    deadline: Instant,
    open: impl Fn(Arc<Way>) -> F,
) -> Result<S, Error>
where
    F: Future<Output = Result<S, Error>>,
{
    let placed = |error: Error| if servers.by_map { error.of_a_map() } else { error };
    let mut ways = Ways::new(servers.in_order(deadline).await.map_err(placed)?);
    let parts = u32::try_from(ways.servers.len())
        .unwrap_or(u32::MAX)
        .saturating_add(2);
    let patience = OTHER_ADDRESS_DELAY.min(deadline.saturating_duration_since(Instant::now()) / parts);
    let mut trying = FuturesUnordered::new();
    let mut next = ways.after_a_failure();
    loop {
        if let Some(way) = next.take() {
            let opening = open(way.clone());
            trying.push(async move { (way, opening.await) });
        }
        next = tokio::select! {
            biased;
            opened = trying.next() => match opened {
                Some((way, Ok(session))) => {
                    ways.prefer(&way);
                    return Ok(session);
                }
                Some((way, Err(error))) => {
                    ways.failures.push((way.server, placed(error)));
                    ways.after_a_failure()
                }
                None => return Err(ways.failed(servers)),
            },
            () = sleep(patience), if ways.may_have_more() => ways.after_a_while(),
        };
    }
}

/// The tries to open one session.
struct Ways {
    servers: Vec<Arc<Server>>,
    /// In the order in which they were begun.
    begun: Vec<Arc<Way>>,
    /// Of which server, and how.
    failures: Vec<(usize, Error)>,
}

impl Ways {
    fn new(servers: Vec<Arc<Server>>) -> Self {
        Self {
            servers,
            begun: Vec::new(),
            failures: Vec::new(),
        }
    }

    /// The next one where the last has failed: another address of its server first.
    fn after_a_failure(&mut self) -> Option<Arc<Way>> {
        let last = self.begun.last().map(|way| way.server);
        let server = last.filter(|last| self.has_another_address(*last));
        self.begin(
            server
                .or_else(|| self.next_server())
                .or_else(|| self.any_other_address())?,
        )
    }

    /// The next one where the last is slow: so may be all addresses of its server.
    fn after_a_while(&mut self) -> Option<Arc<Way>> {
        self.begin(self.next_server().or_else(|| self.any_other_address())?)
    }

    fn next_server(&self) -> Option<usize> {
        let next = self.begun.iter().map(|way| way.server + 1).max().unwrap_or(0);
        (next < self.servers.len()).then_some(next)
    }

    fn any_other_address(&self) -> Option<usize> {
        (0..self.servers.len()).find(|server| self.has_another_address(*server))
    }

    /// Whether a server has addresses that were not tried. One of which no address accepted has tried them all by itself.
    fn has_another_address(&self, server: usize) -> bool {
        let mut last = self.begun.iter().rev();
        let last = last.find(|way| way.server == server);
        last.and_then(|way| way.reached.get())
            .is_some_and(|reached| reached.others)
    }

    /// Whether there is another way, or may be once an address accepts.
    fn may_have_more(&self) -> bool {
        let last = self.begun.last().map(|way| way.reached.get());
        self.next_server().is_some()
            || self.any_other_address().is_some()
            || last.is_some_and(|it| it.is_none())
    }

    fn begin(&mut self, server: usize) -> Option<Arc<Way>> {
        let same = self.begun.iter().filter(|way| way.server == server);
        let tried = same
            .filter_map(|way| way.reached.get())
            .map(|reached| reached.address);
        let way = Arc::new(Way {
            remote: self.servers.get(server)?.remote.clone(),
            server,
            tried: tried.collect(),
            reached: OnceLock::new(),
        });
        self.begun.push(way.clone());
        Some(way)
    }

    /// The addresses and servers that were tried before the one that was good are the worse ones, for a while.
    fn prefer(&self, good: &Arc<Way>) {
        let server = &self.servers[good.server];
        server.worked();
        for other in 0..self.servers.len() {
            let was_before = |way: &Arc<Way>| way.server == other && other != good.server;
            let before = self.begun.iter().take_while(|way| !Arc::ptr_eq(way, good));
            if before.clone().any(was_before) {
                let mut failures = self.failures.iter();
                let failure = failures.find(|(failed, _)| *failed == other);
                self.servers[other].stands_back(failure.map(|(_, error)| error), server);
            }
        }
        let Some(reached) = good.reached.get() else { return };
        let same = self.begun.iter().filter(|way| way.server == good.server);
        for worse in same
            .filter_map(|way| way.reached.get())
            .take_while(|it| it.address != reached.address)
        {
            good.remote.dial.is_worse(worse.address);
        }
    }

    /// How each server failed.
    fn failed(mut self, servers: &Servers) -> Error {
        self.failures.sort_by_key(|(server, _)| *server);
        self.failures.dedup_by_key(|(server, _)| *server);
        let mut errors = self.failures.into_iter().map(|(_, error)| error);
        let first = errors.next().unwrap_or_else(|| servers.none());
        errors.fold(first, |first, other| first.and_then(&other))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::AsyncWriteExt;
    use tokio::net::{TcpListener, TcpSocket};
    use tokio::time::timeout;
    use vouch_protocol::encryption::Encryption;

    use super::*;
    use crate::chance::Chance;
    use crate::session::connect::Endpoint;
    use crate::session::imap::LoginSession;
    use crate::session::lookup::Host;
    use crate::session::remote::Remote;
    use crate::session::tls;
    use crate::settings::directory::Auth;

    /// An IMAP server that greets with this, and then says nothing more; `None` is one that hangs up. How often it
    /// was called is the second.
    async fn server(greeting: Option<&'static str>) -> (SocketAddr, Arc<std::sync::atomic::AtomicU32>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let calls = Arc::new(std::sync::atomic::AtomicU32::new(0));
        let counted = calls.clone();
        tokio::spawn(async move {
            let mut open = Vec::new();
            while let Ok((mut stream, _)) = listener.accept().await {
                counted.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                if let Some(greeting) = greeting {
                    stream.write_all(greeting.as_bytes()).await.unwrap();
                    open.push(stream);
                }
            }
        });
        (address, calls)
    }

    /// A directory with a server at each of these lists of addresses.
    fn servers(all: &[&[SocketAddr]]) -> Servers {
        let mut remotes = all
            .iter()
            .enumerate()
            .map(|(at, addresses)| remote(at, addresses.to_vec()));
        Servers::new("mail (all)".into(), remotes.next().unwrap(), remotes.collect())
    }

    fn remote(number: usize, addresses: Vec<SocketAddr>) -> Remote {
        let keys = crate::settings::directory::Tls {
            allow_invalid_certs: true,
            ..Default::default()
        };
        let roots = tls::Roots::from(rustls::RootCertStore::empty());
        Remote {
            peer: format!("mail (server {number})").into(),
            dial: Arc::new(Endpoint::Tcp(Host::at(addresses))),
            tls: Arc::new(tls::Client::new(&keys, "localhost", &roots).unwrap()),
            encryption: Encryption::Never,
            timeout: Duration::from_secs(30),
            password_in_clear: false,
            is_backup: false,
            chance: Chance::default(),
        }
    }

    async fn open(servers: &Servers, time: Duration) -> Result<(), Error> {
        let deadline = Instant::now() + time;
        let session = LoginSession::open(servers, &Auth::new(), deadline).await;
        session.map(|_| ())
    }

    const GOOD: &str = "* OK [CAPABILITY IMAP4rev1 AUTH=PLAIN] ready\r\n";

    // Fills OTHER_ADDRESS_DELAY, WORSE.
    #[tokio::test]
    async fn an_address_that_accepts_and_is_of_no_use_is_passed_by() {
        let bad = [Some("* BYE busy\r\n"), None, Some(""), Some("421 busy\r\n")];
        for greeting in bad {
            let (worse, called) = server(greeting).await;
            let (better, _) = server(Some(GOOD)).await;
            let servers = servers(&[&[worse, better]]);
            let opened = timeout(Duration::from_secs(10), open(&servers, Duration::from_secs(6))).await;
            opened.expect("in time").unwrap();
            let calls = || called.load(std::sync::atomic::Ordering::Relaxed);
            assert_eq!(calls(), 1, "{greeting:?}");
            // From then on the other is called first.
            for _ in 0..3 {
                open(&servers, Duration::from_secs(6)).await.unwrap();
            }
            assert_eq!(calls(), 1, "{greeting:?}");
        }
    }

    #[tokio::test]
    async fn where_all_are_of_no_use_the_first_says_why() {
        let (first, calls) = server(Some("* BYE busy\r\n")).await;
        let (second, _) = server(None).await;
        let (third, _) = server(Some("* PREAUTH hello\r\n")).await;
        let servers = servers(&[&[first, second, third]]);
        for _ in 0..2 {
            let error = open(&servers, Duration::from_secs(6)).await.unwrap_err();
            assert!(error.to_string().contains("busy"), "{error}");
        }
        assert_eq!(
            calls.load(std::sync::atomic::Ordering::Relaxed),
            2,
            "none is better"
        );
    }

    #[tokio::test]
    async fn the_only_address_has_all_the_time() {
        let (silent, calls) = server(Some("")).await;
        let servers = servers(&[&[silent]]);
        let error = open(&servers, Duration::from_millis(900)).await.unwrap_err();
        assert_eq!(error.kind(), crate::session::Kind::Timeout);
        assert_eq!(calls.load(std::sync::atomic::Ordering::Relaxed), 1);
    }

    /// A port where nobody listens, and what keeps it for nobody.
    fn refusing() -> (SocketAddr, TcpSocket) {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        (socket.local_addr().unwrap(), socket)
    }

    /// The names of the servers, as they are called now.
    async fn order(servers: &Servers) -> Vec<String> {
        let servers = servers.in_order(Instant::now()).await.unwrap();
        servers.iter().map(|it| it.remote.peer.to_string()).collect()
    }

    // Fills SERVER_WORSE.
    #[tokio::test]
    async fn a_server_that_fails_in_any_way_is_passed_by_and_called_last_for_a_while() {
        let (refusing, _kept) = refusing();
        let (silent, silent_calls) = server(Some("")).await;
        let (busy, busy_calls) = server(Some("* BYE busy\r\n")).await;
        let (good, good_calls) = server(Some(GOOD)).await;
        let servers = servers(&[&[refusing], &[silent], &[busy], &[good]]);
        let began = Instant::now();
        open(&servers, Duration::from_secs(6)).await.unwrap();
        assert!(
            began.elapsed() < Duration::from_secs(3),
            "only one of them took its part of the time"
        );
        let calls = || {
            [&silent_calls, &busy_calls, &good_calls].map(|it| it.load(std::sync::atomic::Ordering::Relaxed))
        };
        assert_eq!(calls(), [1, 1, 1]);
        for _ in 0..3 {
            open(&servers, Duration::from_secs(6)).await.unwrap();
        }
        assert_eq!(calls(), [1, 1, 4], "the one that works is called first");
        // After a while the order is that of the configuration again.
        assert_eq!(
            order(&servers).await,
            [
                "mail (server 3)", "mail (server 0)", "mail (server 1)", "mail (server 2)"
            ]
        );
        for server in servers.in_order(Instant::now()).await.unwrap() {
            server.age();
        }
        assert_eq!(
            order(&servers).await,
            [
                "mail (server 0)", "mail (server 1)", "mail (server 2)", "mail (server 3)"
            ]
        );
    }

    #[tokio::test]
    async fn where_every_server_fails_each_says_why() {
        let (refusing, _kept) = refusing();
        let (busy, _) = server(Some("* BYE busy\r\n")).await;
        let (other, _) = server(Some("220 mail ESMTP\r\n")).await;
        let servers = servers(&[&[refusing], &[busy], &[other]]);
        let error = open(&servers, Duration::from_secs(6)).await.unwrap_err();
        assert_eq!(error.kind(), crate::session::Kind::Unreachable);
        let text = error.to_string();
        let [first, second, third] = [
            "mail (server 0): connect: ", "; mail (server 1): ", "; mail (server 2): greeting: ",
        ]
        .map(|part| text.find(part).unwrap_or_else(|| panic!("{part} in {text}")));
        assert!(first < second && second < third, "{text}");
        assert!(text.contains("busy") && text.contains("refused"), "{text}");
    }

    #[tokio::test]
    async fn other_addresses_of_a_server_come_before_other_servers_unless_it_is_slow() {
        let (busy, _) = server(Some("* BYE busy\r\n")).await;
        let (beside, _) = server(Some(GOOD)).await;
        let (other, other_calls) = server(Some(GOOD)).await;
        open(&servers(&[&[busy, beside], &[other]]), Duration::from_secs(6))
            .await
            .unwrap();
        let calls = || other_calls.load(std::sync::atomic::Ordering::Relaxed);
        assert_eq!(calls(), 0);
        let (silent, _) = server(Some("")).await;
        open(&servers(&[&[silent, beside], &[other]]), Duration::from_secs(6))
            .await
            .unwrap();
        assert_eq!(calls(), 1);
    }
}
