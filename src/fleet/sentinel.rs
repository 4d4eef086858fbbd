//! Sentinels watch over a primary and its replicas, and tell which is the primary now. They are asked before each
//! connection: after a failover the next one goes to the new primary.
//!
//! One that lies can lead us to another server, with TLS to one whose certificate is good; what is read there is believed by
//! its checksum alone.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use tokio::time::{Instant, timeout_at};
use vouch_protocol::secret::Secret;

use super::client;
use super::outside::{Place, WayTo};
use super::wrong::{Step, Wrong};
use crate::session::connect::{Dial, Dialled};
use crate::session::{Error, Kind, bare, tls};
use crate::settings::address::RemoteAddress;
use crate::settings::fleet::{self as settings, HostPort};

/// The step at which there is no primary, for errors.
const QUESTION: &str = "question to the Sentinels for their primary";

/// The Sentinels of a primary.
pub(super) struct Sentinels {
    /// What they call it.
    name: String,
    each: Vec<Sentinel>,
    /// TLS on this machine, too.
    tls_here: bool,
    tls: Option<tls::Client>,
    identity: Identity,
    way: Arc<WayTo>,
    /// Which is asked first: the one behind the last that answered, which may be cut off from the others.
    next: AtomicUsize,
    /// The primary that was named last.
    last: Mutex<Option<Arc<str>>>,
}

/// The user, where one is named, and the password.
type Identity = (Option<String>, Option<Secret<[u8]>>);

/// One of them.
struct Sentinel {
    /// As errors name it.
    peer: Arc<str>,
    host: String,
    dial: Arc<dyn Dial>,
}

/// A server, and its name for errors.
struct Primary {
    host: String,
    port: u16,
    peer: Arc<str>,
}

impl Sentinels {
    /// These, and what it takes to reach them and their primary.
    pub(super) fn new(
        them: &settings::Sentinels,
        tls: Option<tls::Client>,
        identity: Identity,
        way: Arc<WayTo>,
    ) -> Self {
        let each = them.each.iter().map(|(host, port)| Sentinel {
            peer: format!("Sentinel {}", HostPort(host, *port)).into(),
            host: host.clone(),
            dial: way(Place::Tcp(host, *port)),
        });
        Self {
            name: them.name.clone(),
            each: each.collect(),
            tls_here: them.tls_here,
            tls,
            identity,
            way,
            next: AtomicUsize::new(0),
            last: Mutex::default(),
        }
    }

    /// The primary. They are asked in turn, each for its share of the time: one that is silent leaves enough to the others,
    /// and to the primary.
    async fn primary(&self, peer: &Arc<str>, deadline: Instant) -> Result<Primary, Error> {
        let (many, first) = (self.each.len(), self.next.load(Ordering::Relaxed));
        let (mut reasons, mut kind) = (Vec::new(), Kind::Unreachable);
        for turn in 0..many {
            let place = first.wrapping_add(turn) % many;
            let Some(sentinel) = self.each.get(place) else {
                break;
            };
            let left = deadline.saturating_duration_since(Instant::now());
            let until = Instant::now() + left / (many - turn + 1) as u32;
            let reason = match timeout_at(until, self.ask(sentinel, until)).await {
                Ok(Ok(Some(primary))) => {
                    self.next.store((place + 1) % many, Ordering::Relaxed);
                    return Ok(primary);
                }
                Ok(Ok(None)) => format!("{}: it does not know {}", sentinel.peer, self.name),
                Ok(Err(Failed::Reaching(error))) => {
                    if matches!(error.kind(), Kind::Tls | Kind::Config) {
                        kind = error.kind();
                    }
                    error.to_string()
                }
                Ok(Err(Failed::Asking(wrong))) => format!("{}: {wrong}", sentinel.peer),
                Err(_) => format!("{}: no answer in time", sentinel.peer),
            };
            reasons.push(reason);
        }
        Err(Error::new(kind, peer, QUESTION, reasons.join("; ")))
    }

    /// The password goes to one that wants it, and to no other.
    async fn ask(&self, sentinel: &Sentinel, deadline: Instant) -> Result<Option<Primary>, Failed> {
        let answer = match self.ask_as(sentinel, None, deadline).await {
            Err(Failed::Asking(Wrong::NoPassword | Wrong::NoRight(_))) if self.identity.1.is_some() => {
                self.ask_as(sentinel, self.identity.1.as_ref(), deadline).await?
            }
            answer => answer?,
        };
        let Some((host, port)) = answer else {
            return Ok(None);
        };
        // What is shown of it is a host and no more.
        match RemoteAddress::parse(&host) {
            Ok(RemoteAddress::Host {
                name: host,
                port: None,
            }) if port != 0 => Ok(Some(Primary {
                peer: HostPort(&host, port).to_string().into(),
                host,
                port,
            })),
            _ => Err(Failed::Asking(Wrong::Strange(Step::Primary))),
        }
    }

    async fn ask_as(
        &self,
        sentinel: &Sentinel,
        password: Option<&Secret<[u8]>>,
        deadline: Instant,
    ) -> Result<Option<(String, u16)>, Failed> {
        let tls = self.tls_to(&sentinel.host, &sentinel.peer)?;
        let stream = bare::open(&sentinel.peer, &*sentinel.dial, tls.as_ref(), deadline).await?;
        Ok(client::primary(stream, &self.name, self.identity.0.as_deref(), password).await?)
    }

    /// TLS to a host: what leaves this machine has it.
    fn tls_to(&self, host: &str, peer: &Arc<str>) -> Result<Option<tls::Client>, Error> {
        let is_here = RemoteAddress::parse(host).is_ok_and(|host| host.is_local());
        if is_here && !self.tls_here {
            return Ok(None);
        }
        let failed = |why: String| Error::new(Kind::Config, peer, QUESTION, why);
        let template = self
            .tls
            .as_ref()
            .ok_or_else(|| failed("there is no TLS".to_owned()))?;
        template
            .at(host)
            .map(Some)
            .map_err(|error| failed(error.to_string()))
    }

    /// The log has each primary once.
    fn note(&self, store: &Arc<str>, primary: &Arc<str>) {
        let before = self.last.lock().replace(primary.clone());
        if before.as_ref() != Some(primary) {
            let (store, primary) = (&**store, &**primary);
            tracing::info!(
                store, primary, "the Sentinels of the fleet's store name its primary"
            );
        }
    }
}

/// Why a Sentinel gives no answer.
enum Failed {
    Reaching(Error),
    Asking(Wrong),
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self::Reaching(error)
    }
}

impl From<Wrong> for Failed {
    fn from(wrong: Wrong) -> Self {
        Self::Asking(wrong)
    }
}

impl Dial for Sentinels {
    /// A connection to the primary, with its TLS.
    fn dial<'a>(
        &'a self,
        peer: &'a Arc<str>,
        deadline: Instant,
    ) -> Pin<Box<dyn Future<Output = Result<Dialled, Error>> + Send + 'a>> {
        Box::pin(async move {
            let primary = self.primary(peer, deadline).await?;
            self.note(peer, &primary.peer);
            let tls = self.tls_to(&primary.host, &primary.peer)?;
            let way = (self.way)(Place::Tcp(&primary.host, primary.port));
            let stream = bare::open(&primary.peer, &*way, tls.as_ref(), deadline).await?;
            Ok(Dialled {
                stream,
                reached: None,
            })
        })
    }
}

#[cfg(all(test, feature = "fleet"))]
mod tests {
    use std::time::Duration;

    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;
    use crate::fleet::Outside;

    /// A Sentinel that says this to any question; or none that ever takes a connection.
    struct Says(Option<&'static str>);

    impl Dial for Says {
        fn dial<'a>(
            &'a self,
            _: &'a Arc<str>,
            _: Instant,
        ) -> Pin<Box<dyn Future<Output = Result<Dialled, Error>> + Send + 'a>> {
            Box::pin(async {
                let Some(answer) = self.0 else {
                    return std::future::pending().await;
                };
                let (ours, mut theirs) = duplex(1 << 16);
                tokio::spawn(async move {
                    while let Ok(1..) = theirs.read(&mut [0; 4096]).await {
                        let _ = theirs.write_all(answer.as_bytes()).await;
                    }
                });
                let stream = Box::new(ours);
                Ok(Dialled {
                    stream,
                    reached: None,
                })
            })
        }
    }

    fn sentinels(each: &[Option<&'static str>]) -> Sentinels {
        let them = settings::Sentinels {
            name: "fleet".to_owned(),
            each: Vec::new(),
            tls_here: false,
        };
        let mut sentinels = Sentinels::new(&them, None, (None, None), Outside::default().way);
        sentinels.each = each
            .iter()
            .map(|says| Sentinel {
                peer: "Sentinel 127.0.0.1:1".into(),
                host: "127.0.0.1".to_owned(),
                dial: Arc::new(Says(*says)),
            })
            .collect();
        sentinels
    }

    async fn primary(sentinels: &Sentinels, within: Duration) -> Result<String, Error> {
        let found = sentinels.primary(&"store".into(), Instant::now() + within).await;
        found.map(|it| it.peer.to_string())
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_sentinel_costs_its_share_and_the_next_connection_begins_behind_the_last_answer() {
        let (within, began) = (Duration::from_secs(2), Instant::now());
        let answer = "*2\r\n$9\r\n192.0.2.1\r\n$4\r\n6379\r\n";
        let sentinels = sentinels(&[None, Some("*-1\r\n"), Some(answer), Some(answer)]);
        assert_eq!(primary(&sentinels, within).await.unwrap(), "192.0.2.1:6379");
        assert_eq!(began.elapsed(), within / 5);
        let began = Instant::now();
        assert_eq!(primary(&sentinels, within).await.unwrap(), "192.0.2.1:6379");
        assert_eq!(began.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn what_no_sentinel_answers_has_a_reason_of_each_in_words_of_ours() {
        let each = [
            None,
            Some("*-1\r\n"),
            Some("*2\r\n$9\r\n/run/sock\x1b\r\n$4\r\n6379\r\n"),
            Some("*2\r\n$1\r\nh\r\n$1\r\n0\r\n"),
            Some("-NOAUTH Authentication required.\r\n"),
            Some("-ERR unknown command\r\n"),
        ];
        let (within, began) = (Duration::from_secs(2), Instant::now());
        let error = primary(&sentinels(&each), within).await.unwrap_err().to_string();
        assert!(began.elapsed() < within);
        for part in [
            "no answer in time", "it does not know fleet", "it wants a password",
        ] {
            assert!(error.contains(part), "{error}");
        }
        assert_eq!(error.matches("is not understood").count(), 3, "{error}");
        assert!(
            !error.contains("/run") && !error.contains("unknown command"),
            "{error}"
        );
    }

    #[tokio::test]
    async fn what_leaves_this_machine_has_tls() {
        let peer: Arc<str> = "x".into();
        let mut them = sentinels(&[]);
        assert!(them.tls_to("127.0.0.1", &peer).is_ok_and(|tls| tls.is_none()));
        // Without what TLS needs there is no connection.
        assert!(them.tls_to("192.0.2.1", &peer).is_err() && them.tls_to("store.example.org", &peer).is_err());
        them.tls_here = true;
        assert!(them.tls_to("127.0.0.1", &peer).is_err());
    }
}
