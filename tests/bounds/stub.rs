//! A directory that answers when it is let, and listeners to it in memory.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::DuplexStream;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use vouch::address::Domain;
use vouch::chance::Chance;
use vouch::directory::{Directory, Terms};
use vouch::engine::cached_directory::Settings;
use vouch::engine::{CachedDirectory, Engine};
use vouch::server::auth::AuthListener;
use vouch::server::current::Current;
use vouch::server::handover::Handover;
use vouch::server::policy::Policy;
use vouch::server::socketmap::Socketmap;
use vouch::server::userdb::UserdbListener;
use vouch::server::{Caller, Listener};
use vouch::settings::address::Addresses;
use vouch::settings::limit::Limit;
use vouch::settings::listener::{self, Deadline, TempFail};
use vouch::settings::protocol::Protocol;
use vouch::settings::socket::ListenAddress;
use vouch::settings::{directory, kind};
use vouch::verdict::{Kind, Question, Verdict};
use vouch::wire::Stream;

/// Says yes to everything, once the gate is open.
pub(crate) struct Stub {
    pub(crate) asked: AtomicUsize,
    gate: Semaphore,
}

impl Stub {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            asked: AtomicUsize::new(0),
            gate: Semaphore::new(0),
        })
    }

    pub(crate) fn open(&self) {
        self.gate.add_permits(Semaphore::MAX_PERMITS / 2);
    }

    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }
}

impl Directory for Stub {
    fn can_answer(&self, _: &Kind) -> bool {
        true
    }

    fn probe<'a>(
        &'a self,
        question: &'a Question,
        _: Terms,
    ) -> Pin<Box<dyn Future<Output = Verdict> + Send + 'a>> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        Box::pin(async {
            drop(self.gate.acquire().await);
            match &question.kind {
                Kind::Login { user, .. } => Verdict::accept(user.as_bytes()),
                Kind::Recipient(address) => Verdict::accept(address.to_unquoted()),
            }
        })
    }
}

/// A directory of example.org that remembers recipients.
pub(crate) fn member(asked: Arc<dyn Directory>, detect_catch_all: bool) -> Arc<CachedDirectory> {
    let hour = Duration::from_secs(3600);
    let mut keys = directory::Directory::new("stub", kind::Kind::Smtp, Addresses::nowhere());
    keys.lookup.domains.all = [Domain::parse("example.org").unwrap()].into();
    if detect_catch_all {
        keys.lookup.catch_all = directory::CatchAll::Detect;
    }
    keys.cache.ttl = directory::Ttl {
        positive: hour,
        refresh: hour,
        negative: hour,
        stale: hour,
    };
    keys.cache.credentials.negative = Duration::ZERO;
    let settings = Settings::from(&keys);
    Arc::new(CachedDirectory::new(settings, asked, [7; 32], Chance::default()))
}

fn engine(member: &Arc<CachedDirectory>) -> Engine {
    Engine::new(vec![member.clone()], None)
}

/// A listener's keys, without limits and with a deadline that is longer than any test takes.
fn keys(protocol: Protocol) -> listener::Listener {
    let mut keys = listener::Listener::new("in", protocol, ListenAddress::Dovecot, Vec::new());
    keys.deadline = Deadline::each(Duration::from_secs(3600));
    keys.limits.rcpt = Limit::Unlimited;
    keys.limits.rcpt_errors = Limit::Unlimited;
    keys.limits.auth_errors = Limit::Unlimited;
    keys.penalty = None;
    keys
}

pub(crate) fn auth_socket(member: &Arc<CachedDirectory>) -> Arc<dyn Listener> {
    let mut keys = keys(Protocol::Auth);
    keys.tempfail = TempFail::Fail;
    Arc::new(Current::new(AuthListener::new(
        keys,
        engine(member),
        (Arc::new(Handover::new(1)), None),
        None,
    )))
}

pub(crate) fn userdb_socket(member: &Arc<CachedDirectory>) -> Arc<dyn Listener> {
    Arc::new(Current::new(UserdbListener::new(
        keys(Protocol::Userdb),
        engine(member),
        Arc::new(Handover::new(1)),
        None,
    )))
}

pub(crate) fn policy_socket(member: &Arc<CachedDirectory>) -> Arc<dyn Listener> {
    let policy = Policy::new(keys(Protocol::Policy), engine(member), None, None);
    Arc::new(Current::new(policy))
}

pub(crate) fn socketmap_socket(member: &Arc<CachedDirectory>) -> Arc<dyn Listener> {
    let socketmap = Socketmap::new(keys(Protocol::Socketmap), engine(member), None);
    Arc::new(Current::new(socketmap))
}

/// A client of a listener, and the listener's side of it.
pub(crate) fn connect(listener: &Arc<dyn Listener>, room: usize) -> (DuplexStream, JoinHandle<()>) {
    let (client, ours) = tokio::io::duplex(room);
    (client, serve(listener, Box::new(ours)))
}

/// Has a listener serve this stream.
pub(crate) fn serve(listener: &Arc<dyn Listener>, stream: Stream) -> JoinHandle<()> {
    let caller = Caller {
        stream,
        connection: 1,
        peer: None,
        draining: CancellationToken::new(),
        deaf: CancellationToken::new(),
    };
    tokio::spawn(listener.clone().serve(caller))
}

/// Lets everything run that can.
pub(crate) async fn settle() {
    for _ in 0..1000 {
        tokio::task::yield_now().await;
    }
}
