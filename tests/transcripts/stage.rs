//! Where a transcript is played: the listeners and directories of its configuration, with pipes in memory for
//! clients and remotes.

use std::collections::BTreeMap;
use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use futures_util::FutureExt;
use rustls::pki_types::PrivateKeyDer;
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use vouch::chance::Chance;
use vouch::config::{Config, read};
use vouch::daemon;
use vouch::server::handover::Handover;
use vouch::server::{self, Caller, Listener};
use vouch::session::connect::{Dial, Dialled};
use vouch::session::{Error, Kind};
use vouch::wire::Stream;

use crate::log::Log;
use crate::script::{Act, Party, Pattern, Script, Step};

/// What is due must be heard within this time: more than the pause that a question is given behind its deadline,
/// less than anything that a transcript tells apart.
const AT_ONCE: Duration = Duration::from_millis(200);

/// The id of the daemon that every listener tells.
const SPID: u32 = 4711;

/// Room in a pipe for whatever is said at once.
const PIPE: usize = 1 << 20;

/// Plays a transcript to its end, or tells the first thing that went otherwise.
pub(crate) async fn play(path: &Path, script: &Script) -> Result<(), String> {
    let mut log = Log::default();
    let _keeps_log = log.keep();
    let mut stage = Stage::new(path, &script.config)?;
    for (number, step) in &script.steps {
        let done = match step {
            Step::Of(party, act) => stage.act(*party, act).await,
            Step::Wait(time) => stage.wait(*time).await,
            Step::Drain => {
                stage.draining.cancel();
                Ok(())
            }
            Step::Log(level, words) => log.hear(level, words, AT_ONCE).await,
        };
        done.map_err(|why| format!("{}:{number}: {why}", path.display()))?;
    }
    stage
        .wait(AT_ONCE)
        .await
        .map_err(|why| format!("{}: at its end: {why}", path.display()))
}

struct Stage {
    /// By the names of their listeners.
    listeners: Vec<(String, Arc<dyn Listener>)>,
    draining: CancellationToken,
    calls: mpsc::UnboundedReceiver<Call>,
    /// Sessions that were opened or refused.
    taken: usize,
    clients: BTreeMap<usize, Peer>,
    remotes: BTreeMap<usize, Peer>,
    /// Calls that are never taken.
    ignored: Vec<Call>,
    /// What was heard and is to be said again.
    kept: BTreeMap<String, Vec<u8>>,
}

/// vouch opens a session.
struct Call {
    directory: String,
    answer: oneshot::Sender<Result<Stream, ()>>,
}

/// Somebody at our end of a pipe.
struct Peer {
    /// `None` once the connection is over.
    stream: Option<Stream>,
    heard: BytesMut,
    /// The directory, of a remote.
    of: String,
}

impl Stage {
    fn new(path: &Path, config: &str) -> Result<Self, String> {
        let (config, _) = read::parse(path, config).map_err(|error| error.to_string())?;
        let (caller, calls) = mpsc::unbounded_channel();
        let dial = move |directory: &vouch::config::Directory, remote: &mut vouch::session::Remote| {
            remote.dial = Arc::new(Telephone {
                directory: directory.name.clone(),
                calls: caller.clone(),
            });
        };
        let members = daemon::members_by(&config, None, None, &Chance::default(), dial);
        let members = members.map_err(|error| error.to_string())?;
        Ok(Self {
            listeners: listeners(&config, &members),
            draining: CancellationToken::new(),
            calls,
            taken: 0,
            clients: BTreeMap::new(),
            remotes: BTreeMap::new(),
            ignored: Vec::new(),
            kept: BTreeMap::new(),
        })
    }

    async fn act(&mut self, party: Party, act: &Act) -> Result<(), String> {
        match (party, act) {
            (Party::Client(number), Act::Connect { to, pid, stranger }) => {
                return self.connect(number, to.as_deref(), peer(*pid, *stranger));
            }
            (Party::Remote(number), Act::RefuseCall) => {
                // A caller that has given up is not told.
                let _ = self.call(number).await?.answer.send(Err(()));
                return Ok(());
            }
            (Party::Remote(number), Act::IgnoreCall) => {
                let call = self.call(number).await?;
                self.ignored.push(call);
                return Ok(());
            }
            _ => {}
        }
        let peer = match party {
            Party::Client(number) => {
                if !self.clients.contains_key(&number) {
                    self.connect(number, None, None)?;
                }
                self.clients.get_mut(&number)
            }
            Party::Remote(number) => {
                if !self.remotes.contains_key(&number) {
                    self.take_call(number).await?;
                }
                self.remotes.get_mut(&number)
            }
        };
        let peer = peer.ok_or_else(|| format!("there is no {party}"))?;
        let done = match act {
            Act::Say(bytes) => peer.say(&filled(bytes, &self.kept)).await,
            Act::Hear(pattern) => peer.hear(pattern).await.map(|kept| {
                let (Party::Client(number) | Party::Remote(number)) = party;
                let named = |(name, value): (&str, _)| (format!("{name} {number}"), value);
                self.kept.extend(kept.into_iter().map(named));
            }),
            act => peer.act(act).await,
        };
        done.map_err(|why| format!("{party} {why}"))
    }

    fn connect(&mut self, number: usize, to: Option<&str>, peer: Option<server::Peer>) -> Result<(), String> {
        let found = self
            .listeners
            .iter()
            .find(|(name, _)| to.is_none_or(|to| to == name));
        let (_, listener) = found.ok_or("there is no such listener")?;
        let listener = listener.clone();
        let (ours, theirs) = duplex(PIPE);
        let caller = Caller {
            stream: Box::new(theirs),
            connection: number as u64,
            peer,
            draining: self.draining.clone(),
            deaf: CancellationToken::new(),
        };
        tokio::spawn(listener.serve(caller));
        match self
            .clients
            .insert(number, Peer::new(Box::new(ours), String::new()))
        {
            None => Ok(()),
            Some(_) => Err(format!("client {number} is connected already")),
        }
    }

    async fn take_call(&mut self, number: usize) -> Result<(), String> {
        let call = self.call(number).await?;
        let (ours, theirs) = duplex(PIPE);
        self.remotes
            .insert(number, Peer::new(Box::new(ours), call.directory));
        call.answer
            .send(Ok(Box::new(theirs)))
            .map_err(|_| format!("remote {number}: vouch has given up the call"))
    }

    /// The next session that vouch wants to open, which must be this one.
    async fn call(&mut self, number: usize) -> Result<Call, String> {
        self.taken += 1;
        if number != self.taken {
            return Err(format!("remote {number} is named before remote {}", self.taken));
        }
        match timeout(AT_ONCE, self.calls.recv()).await {
            Ok(Some(call)) => Ok(call),
            Ok(None) | Err(_) => Err(format!("remote {number} is not called")),
        }
    }

    /// Lets time pass in which nobody may hear anything.
    async fn wait(&mut self, time: Duration) -> Result<(), String> {
        sleep(time).await;
        if let Ok(call) = self.calls.try_recv() {
            return Err(format!(
                "remote {} ({}) is called",
                self.taken + 1,
                call.directory
            ));
        }
        for (number, peer) in &mut self.clients {
            peer.heard_nothing()
                .map_err(|why| format!("client {number} {why}"))?;
        }
        for (number, peer) in &mut self.remotes {
            peer.heard_nothing()
                .map_err(|why| format!("remote {number} {why}"))?;
        }
        Ok(())
    }
}

impl Peer {
    fn new(stream: Stream, of: String) -> Self {
        Self {
            stream: Some(stream),
            heard: BytesMut::new(),
            of,
        }
    }

    async fn act(&mut self, act: &Act) -> Result<(), String> {
        match act {
            Act::HearEnd => self.hear_end().await,
            Act::EndHalf => {
                let ended = self.stream()?.shutdown().await;
                ended.map_err(|error| format!("cannot end its half: {error}"))
            }
            Act::HangUp => {
                self.heard_nothing()?;
                self.stream = None;
                Ok(())
            }
            Act::StartTls => self.start_tls().await,
            Act::FailTls => match self.start_tls().await {
                Ok(()) => self.hear_end().await,
                Err(_) => Ok(()),
            },
            // Naming it took it.
            Act::TakeCall => Ok(()),
            Act::IsOf(name) if *name == self.of => Ok(()),
            Act::IsOf(_) => Err(format!("is {}", self.of)),
            Act::Say(_) | Act::Hear(_) | Act::Connect { .. } | Act::RefuseCall | Act::IgnoreCall => {
                Err("cannot do that".into())
            }
        }
    }

    fn stream(&mut self) -> Result<&mut Stream, String> {
        self.stream
            .as_mut()
            .ok_or_else(|| "is not connected any more".into())
    }

    async fn say(&mut self, bytes: &[u8]) -> Result<(), String> {
        match timeout(AT_ONCE, self.stream()?.write_all(bytes)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return Err(format!("cannot speak: {error}")),
            Err(_) => return Err("is not listened to".into()),
        }
        let flushed = self.stream()?.flush().await;
        flushed.map_err(|error| format!("cannot speak: {error}"))
    }

    async fn hear<'p>(&mut self, pattern: &'p Pattern) -> Result<Vec<(&'p str, Vec<u8>)>, String> {
        let deadline = Instant::now() + AT_ONCE;
        let line = loop {
            let end = match pattern.length() {
                Some(length) => (self.heard.len() >= length).then_some(length),
                None => self.heard.iter().position(|&byte| byte == b'\n').map(|at| at + 1),
            };
            if let Some(end) = end {
                break self.heard.split_to(end);
            }
            match timeout_at(deadline, self.listen()).await {
                Ok(true) => {}
                Ok(false) => return Err(format!("is hung up on, instead of hearing {pattern}")),
                Err(_) => return Err(format!("hears nothing more, instead of {pattern}")),
            }
        };
        if let Some(kept) = pattern.matches(&line) {
            return Ok(kept);
        }
        Err(format!(
            "heard      {}\n    instead of {pattern}",
            line.escape_ascii()
        ))
    }

    async fn hear_end(&mut self) -> Result<(), String> {
        let ended = timeout(AT_ONCE, self.listen()).await;
        if !self.heard.is_empty() {
            return Err(format!("heard {}, instead of the end", self.heard.escape_ascii()));
        }
        match ended {
            Ok(_) => self.stream = None,
            Err(_) => return Err("is not hung up on".into()),
        }
        Ok(())
    }

    /// Reads on; false at the end of the connection.
    async fn listen(&mut self) -> bool {
        let Some(stream) = &mut self.stream else {
            return false;
        };
        self.heard.reserve(4096);
        // A TLS session that ends without a goodbye has ended.
        stream
            .read_buf(&mut self.heard)
            .await
            .is_ok_and(|count| count > 0)
    }

    fn heard_nothing(&mut self) -> Result<(), String> {
        let alive = self.stream.is_none() || self.listen().now_or_never().unwrap_or(true);
        if !self.heard.is_empty() {
            Err(format!("heard {}, unexpected", self.heard.escape_ascii()))
        } else if alive {
            Ok(())
        } else {
            Err("is hung up on, unexpected".into())
        }
    }

    async fn start_tls(&mut self) -> Result<(), String> {
        let stream = self.stream.take().ok_or("is not connected any more")?;
        let acceptor = acceptor().map_err(|error| format!("has no certificate: {error}"))?;
        match timeout(AT_ONCE, acceptor.accept(stream)).await {
            Ok(Ok(stream)) => {
                self.stream = Some(Box::new(stream));
                Ok(())
            }
            Ok(Err(error)) => Err(format!("cannot start TLS: {error}")),
            Err(_) => Err("is not spoken TLS to".into()),
        }
    }
}

/// A process by its number, which the socket's owner runs, or a stranger to the socket by the number of its user.
fn peer(pid: Option<i32>, stranger: Option<u32>) -> Option<server::Peer> {
    (pid.is_some() || stranger.is_some()).then(|| server::Peer {
        pid,
        uid: stranger.unwrap_or_default(),
        gid: stranger.unwrap_or_default(),
        owner: stranger.is_none(),
        stranger: stranger.is_some(),
    })
}

/// What is said, with what was heard in the places of `{the NAME}`.
fn filled(bytes: &[u8], kept: &BTreeMap<String, Vec<u8>>) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for (name, value) in kept {
        let place = format!("{{the {name}}}").into_bytes();
        while let Some(at) = bytes.windows(place.len()).position(|window| window == place) {
            bytes.splice(at..at + place.len(), value.iter().copied());
        }
    }
    bytes
}

/// TLS with a certificate that nobody has signed but itself.
fn acceptor() -> Result<TlsAcceptor, Box<dyn std::error::Error>> {
    let made = rcgen::generate_simple_self_signed(["remote.test".to_owned()])?;
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der())?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

fn listeners(
    config: &Config,
    members: &[Arc<vouch::engine::CachedDirectory>],
) -> Vec<(String, Arc<dyn Listener>)> {
    let handover = Arc::new(Handover::new(SPID));
    config
        .listener
        .iter()
        .map(|keys| {
            let listener = daemon::listener(keys, members, &handover);
            (keys.name.clone(), listener)
        })
        .collect()
}

/// Calls the stage instead of a remote.
struct Telephone {
    directory: String,
    calls: mpsc::UnboundedSender<Call>,
}

impl Dial for Telephone {
    fn dial<'a>(
        &'a self,
        peer: &'a Arc<str>,
        deadline: Instant,
    ) -> Pin<Box<dyn Future<Output = Result<Dialled, Error>> + Send + 'a>> {
        Box::pin(async move {
            let (answer, answered) = oneshot::channel();
            let directory = self.directory.clone();
            // The stage outlives every call; were it gone, the answer would not come either.
            let _ = self.calls.send(Call { directory, answer });
            match timeout_at(deadline, answered).await {
                Ok(Ok(Ok(stream))) => Ok(Dialled {
                    stream,
                    reached: None,
                }),
                Ok(_) => Err(Error::new(Kind::Unreachable, peer, "connect", "refused")),
                Err(_) => Err(Error::new(Kind::Timeout, peer, "connect", "no answer in time")),
            }
        })
    }
}
