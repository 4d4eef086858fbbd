//! Listeners: sockets on which clients ask, each in its own protocol.
//!
//! [`serve`] accepts, as [`admission`] has it; `conversation` reads and writes, and the module of each protocol has its
//! answers. Each question passes a `gate`: access, [`penalty`] for guesses, what a client's session has used up
//! ([`recipient_limits`], [`login_limits`]), then the engine. A reload changes a listener under its clients ([`current`]). A
//! login goes from a login process to a mail process by way of
//! [`handover`], and of [`sibling`] while Dovecot replaces one vouch process by another.

pub mod actions;
pub mod admission;
pub mod auth;
pub(crate) mod conversation;
pub mod counts;
pub mod current;
mod draining_stream;
mod elsewhere;
pub(crate) mod failures;
pub mod fields;
mod gate;
pub mod handover;
mod login;
pub mod login_limits;
pub mod penalty;
pub mod policy;
pub mod recipient_limits;
pub(crate) mod refused_share;
pub mod saslauthd;
pub mod sibling;
mod socket;
pub mod socketmap;
pub mod userdb;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use vouch_protocol::auth::Parameters;

use crate::verdict::Client;
use crate::wire::Stream;
use admission::Admission;
use counts::ListenerCounts;
pub use socket::{Accepted, Peer, Socket};

/// Bound (clients): time in which a client reads no byte of what is written to it. Beyond: its connection is closed,
/// with a warning in the log. Why: Postfix and Dovecot read at once; a client that does not is gone or stuck.
const WRITE_TIMEOUT: Duration = Duration::from_secs(60);

/// Bound (clients): time from the first byte of a request to its last. Beyond: its connection is closed, with a
/// warning in the log. Why: clients write it at once; one that sends piece after piece holds a place for nothing.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);

// Bound (clients, none): time that a client may ask nothing. Why: Postfix and Dovecot keep theirs open; max-connections
// bounds their number.

/// A protocol spoken to clients.
pub trait Listener: Send + Sync + 'static {
    /// What it has answered.
    fn counts(&self) -> Arc<ListenerCounts>;

    /// Serves one client until it leaves or the listener closes.
    fn serve(self: Arc<Self>, caller: Caller) -> Pin<Box<dyn Future<Output = ()> + Send>>;
}

/// A client that connected.
pub struct Caller {
    /// The bytes' way.
    pub stream: Stream,
    /// Unique in this life of the daemon.
    pub connection: u64,
    /// The process at the other end of a Unix socket.
    pub peer: Option<Peer>,
    /// Cancelled when the listener closes: questions under way are answered,
    /// then the connection is closed.
    pub draining: CancellationToken,
    /// Of a Unix socket: once this is cancelled, the client can send nothing more. What serves it chooses the moment, so
    /// that a client's words in several messages are not cut off in the middle.
    pub deaf: CancellationToken,
}

/// The client that a request of either Dovecot protocol is about.
fn client(parameters: Parameters) -> Client {
    let ip = parameters.remote_ip;
    Client {
        address: ip.and_then(|ip| Client::address_in(ip.as_bytes())),
        port: parameters.remote_port,
        session: parameters.session,
        service: Some(parameters.service),
    }
}

/// Whether Postfix or another SMTP server asks; maddy writes it in capitals.
fn is_smtp(client: &Client) -> bool {
    client
        .service
        .as_deref()
        .is_some_and(|service| service.eq_ignore_ascii_case("smtp"))
}

/// Holds an answer back; not beyond the end of the daemon, which nobody that guesses holds up.
async fn hold_back(delay: Duration, draining: &CancellationToken) {
    tokio::select! {
        biased;
        () = sleep(delay) => {}
        () = draining.cancelled() => {}
    }
}

/// Numbers of connections, over all listeners.
static CONNECTIONS: AtomicU64 = AtomicU64::new(1);

/// When a listener closes.
#[derive(Debug, Clone)]
pub struct Closing {
    /// Cancelled when nobody new is to be let in.
    pub accepting: CancellationToken,
    /// Cancelled when the daemon drains, see [`Caller`].
    pub draining: CancellationToken,
    /// Nobody else accepts at this socket later: clients in its backlog are let in before it closes.
    pub takes_backlog: bool,
}

/// Accepts clients until `closing` ends it. A client without `admission` is closed, with one line in the log.
pub async fn serve(
    socket: Arc<Socket>,
    listener: Arc<dyn Listener>,
    admission: Arc<Admission>,
    tasks: TaskTracker,
    closing: Closing,
) {
    let inside = Inside {
        listener,
        admission,
        tasks,
        closing,
    };
    let let_in = |client| inside.let_in(client);
    tokio::select! {
        () = socket.accept_each(None, let_in, |error| inside.admission.cannot_accept(error)) => {}
        () = inside.closing.accepting.cancelled() => {}
    }
    // Only the last to hold the socket closes it with those who wait in it: a reload gives it to a successor.
    if inside.closing.takes_backlog
        && let Some(socket) = Arc::into_inner(socket)
    {
        socket.waiting().for_each(let_in);
    }
}

/// What each client of a listener gets.
struct Inside {
    listener: Arc<dyn Listener>,
    admission: Arc<Admission>,
    tasks: TaskTracker,
    closing: Closing,
}

impl Inside {
    fn let_in(&self, client: Accepted) {
        let Accepted {
            stream, peer, deaf, ..
        } = client;
        let Some(place) = self.admission.admit(peer.as_ref()) else {
            return;
        };
        let served = self.listener.clone().serve(Caller {
            stream,
            connection: CONNECTIONS.fetch_add(1, Ordering::Relaxed),
            peer,
            draining: self.closing.draining.clone(),
            deaf,
        });
        self.tasks.spawn(async move {
            served.await;
            drop(place);
        });
    }
}
