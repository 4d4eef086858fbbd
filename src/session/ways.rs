//! Which of a remote's addresses a session is opened by: one that accepts and then says 421, hangs up or stays
//! silent is passed by for another.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::time::{Instant, sleep};

use super::connect::{Dial, Reached};
use super::error::Error;

/// Bound (sessions): wait for an address that accepted the connection, where there are others. Beyond: the next is
/// tried in parallel, sooner if a third of the time is up. Why: a server that delays unknown clients has not failed.
const OTHER_ADDRESS_DELAY: Duration = Duration::from_secs(2);

/// One try to open a session.
#[derive(Debug)]
pub(super) struct Way {
    /// Addresses that were tried already.
    pub(super) tried: Vec<SocketAddr>,
    /// The one that accepted now.
    pub(super) reached: OnceLock<Reached>,
}

/// The first session that `open` opens, by deadline. As long as an address fails, or is slow, and there is another,
/// that is tried.
///
/// # Errors
/// Why none was opened: the first failure.
pub(super) async fn by_any_address<S, F>(
    dial: &dyn Dial,
    deadline: Instant,
    open: impl Fn(Arc<Way>) -> F,
) -> Result<S, Error>
where
    F: Future<Output = Result<S, Error>>,
{
    let patience = OTHER_ADDRESS_DELAY.min(deadline.saturating_duration_since(Instant::now()) / 3);
    let mut trying = FuturesUnordered::new();
    let mut ways: Vec<Arc<Way>> = Vec::new();
    let mut failure = None;
    let mut goes_on = true;
    loop {
        if goes_on {
            let tried = ways.iter().filter_map(|way| way.reached.get());
            let way = Arc::new(Way {
                tried: tried.map(|reached| reached.address).collect(),
                reached: OnceLock::new(),
            });
            let opening = open(way.clone());
            ways.push(way.clone());
            trying.push(async move { (way, opening.await) });
        }
        // A connection that has reached no address tries all of them by itself.
        let last = ways.last().and_then(|way| way.reached.get().copied());
        let has_more = || {
            ways.last()
                .and_then(|way| way.reached.get())
                .is_some_and(|reached| reached.others)
        };
        goes_on = tokio::select! {
            biased;
            opened = trying.next() => match opened {
                Some((way, Ok(session))) => {
                    prefer(dial, &ways, &way);
                    return Ok(session);
                }
                Some((_, Err(error))) => {
                    failure.get_or_insert(error);
                    has_more()
                }
                None => match failure {
                    Some(error) => return Err(error),
                    None => false,
                },
            },
            () = sleep(patience), if last.is_none_or(|reached| reached.others) => has_more(),
        };
    }
}

/// The addresses that were tried before the one that was good are the worse ones, for a while.
fn prefer(dial: &dyn Dial, ways: &[Arc<Way>], good: &Arc<Way>) {
    let Some(good) = good.reached.get() else { return };
    let before = ways.iter().filter_map(|way| way.reached.get());
    for worse in before.take_while(|way| way.address != good.address) {
        dial.is_worse(worse.address);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::AsyncWriteExt;
    use tokio::net::TcpListener;
    use tokio::time::timeout;
    use vouch_protocol::encryption::Encryption;

    use super::*;
    use crate::chance::Chance;
    use crate::session::connect::Endpoint;
    use crate::session::imap::{LoginSession, Options};
    use crate::session::lookup::Host;
    use crate::session::remote::Remote;
    use crate::session::tls;

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

    fn remote(addresses: Vec<SocketAddr>) -> Arc<Remote> {
        let keys = crate::settings::directory::Tls {
            allow_invalid_certs: true,
            ..Default::default()
        };
        let roots = tls::Roots::from(rustls::RootCertStore::empty());
        Arc::new(Remote {
            peer: "remote".into(),
            dial: Arc::new(Endpoint::Tcp(Host::at(addresses))),
            tls: Arc::new(tls::Client::new(&keys, "localhost", &roots).unwrap()),
            encryption: Encryption::Never,
            timeout: Duration::from_secs(30),
            password_in_clear: false,
            chance: Chance::default(),
        })
    }

    async fn open(remote: &Arc<Remote>, time: Duration) -> Result<(), Error> {
        let deadline = Instant::now() + time;
        let session = LoginSession::open(remote.clone(), Options::default(), deadline).await;
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
            let remote = remote(vec![worse, better]);
            let opened = timeout(Duration::from_secs(10), open(&remote, Duration::from_secs(6))).await;
            opened.expect("in time").unwrap();
            let calls = || called.load(std::sync::atomic::Ordering::Relaxed);
            assert_eq!(calls(), 1, "{greeting:?}");
            // From then on the other is called first.
            for _ in 0..3 {
                open(&remote, Duration::from_secs(6)).await.unwrap();
            }
            assert_eq!(calls(), 1, "{greeting:?}");
        }
    }

    #[tokio::test]
    async fn where_all_are_of_no_use_the_first_says_why() {
        let (first, calls) = server(Some("* BYE busy\r\n")).await;
        let (second, _) = server(None).await;
        let (third, _) = server(Some("* PREAUTH hello\r\n")).await;
        let remote = remote(vec![first, second, third]);
        for _ in 0..2 {
            let error = open(&remote, Duration::from_secs(6)).await.unwrap_err();
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
        let remote = remote(vec![silent]);
        let error = open(&remote, Duration::from_millis(900)).await.unwrap_err();
        assert_eq!(error.kind(), crate::session::Kind::Timeout);
        assert_eq!(calls.load(std::sync::atomic::Ordering::Relaxed), 1);
    }
}
