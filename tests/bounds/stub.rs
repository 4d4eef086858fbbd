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
use vouch::address::access::Access;
use vouch::chance::Chance;
use vouch::directory::{Directory, Terms};
use vouch::engine::cached_directory::Settings;
use vouch::engine::{CachedDirectory, Engine};
use vouch::server::actions::Actions;
use vouch::server::auth::{self, AuthListener, OfferedMechanism, Tempfail};
use vouch::server::current::Current;
use vouch::server::handover::Handover;
use vouch::server::policy::{self, Policy};
use vouch::server::socketmap::{self, Socketmap};
use vouch::server::userdb::{self, Exists, UserdbListener};
use vouch::server::{Caller, Deadline, Listener, login_limits, recipient_limits};
use vouch::settings::address::RemoteAddress;
use vouch::settings::{directory, kind};
use vouch::verdict::{Kind, Question, Verdict};
use vouch::wire::Stream;
use vouch_protocol::policy::Action;
use vouch_protocol::sasl::Mechanism;

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
    let nowhere = RemoteAddress::Host(String::new());
    let mut keys = directory::Directory::new("stub", kind::Kind::Smtp, nowhere);
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

/// Longer than any test takes.
const DEADLINE: Deadline = Deadline {
    smtp: Duration::from_secs(3600),
    other: Duration::from_secs(3600),
};

pub(crate) fn auth_socket(member: &Arc<CachedDirectory>) -> Arc<dyn Listener> {
    let settings = auth::Settings {
        name: "auth".into(),
        mechanisms: vec![OfferedMechanism::Password(Mechanism::Plain)],
        tempfail: Tempfail::Fail,
        deadline: DEADLINE,
        limits: login_limits::Limits::default(),
        penalty: None,
        access: Access::default(),
        hands_over: false,
        ok: auth::OkFields::default(),
        fields: vouch::server::fields::Fields::default(),
    };
    Arc::new(Current::new(AuthListener::new(
        settings,
        engine(member),
        Arc::new(Handover::new(1)),
        None,
    )))
}

pub(crate) fn userdb_socket(member: &Arc<CachedDirectory>) -> Arc<dyn Listener> {
    let settings = userdb::Settings {
        name: "userdb".into(),
        master: false,
        exists: Exists::Probe,
        fields: vouch::server::fields::Fields::default(),
        deadline: DEADLINE,
    };
    Arc::new(Current::new(UserdbListener::new(
        settings,
        engine(member),
        Arc::new(Handover::new(1)),
        None,
    )))
}

fn actions() -> Actions {
    Actions {
        accept: Action::dunno(),
        full: Action::dunno(),
        reject: Action::dunno(),
        disabled: Action::dunno(),
        defer: Action::dunno(),
        limit: Action::dunno(),
    }
}

pub(crate) fn policy_socket(member: &Arc<CachedDirectory>) -> Arc<dyn Listener> {
    let settings = policy::Settings {
        name: "policy".into(),
        actions: actions(),
        deadline: DEADLINE.other,
        vrfy: false,
        dry_run: false,
        limits: recipient_limits::Limits::default(),
        penalty: None,
        access: Access::default(),
    };
    Arc::new(Current::new(Policy::new(settings, engine(member), None)))
}

pub(crate) fn socketmap_socket(member: &Arc<CachedDirectory>) -> Arc<dyn Listener> {
    let settings = socketmap::Settings {
        name: "socketmap".into(),
        actions: actions(),
        deadline: DEADLINE.other,
        limits: recipient_limits::Limits::default(),
    };
    Arc::new(Current::new(Socketmap::new(settings, engine(member), None)))
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
