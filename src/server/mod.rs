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
pub mod socketmap;
pub mod userdb;

use std::future::Future;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use nix::unistd::Uid;
use socket2::SockRef;
use tokio::net::{TcpListener, UnixListener, UnixStream};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::verdict::Client;
use crate::wire::Stream;
use admission::Admission;
use counts::ListenerCounts;
use draining_stream::DrainingStream;

/// When the system has no descriptor left for one more connection, others must
/// be given time to end.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

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

/// A process at the other end of a Unix socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// Its id; not known where it is of another pid namespace.
    pub pid: Option<i32>,
    /// Its user's.
    pub uid: u32,
    /// Its group's.
    pub gid: u32,
    /// Root, or the socket's owner.
    pub owner: bool,
    /// Everybody may connect (mode 0666), and it is neither an owner nor of the socket's
    /// group.
    pub stranger: bool,
}

/// The patience of those who ask about logins and users differs by service: Postfix
/// drops the connection after ten seconds (`src/xsasl/xsasl_dovecot_server.c`),
/// Dovecot after 150.
#[derive(Debug, Clone, Copy)]
pub struct Deadline {
    /// For `service=smtp`.
    pub smtp: Duration,
    /// For every other service.
    pub other: Duration,
}

impl Deadline {
    fn of(self, client: &Client) -> Duration {
        if is_smtp(client) { self.smtp } else { self.other }
    }
}

/// Whether Postfix or another SMTP server asks; maddy writes it in capitals.
fn is_smtp(client: &Client) -> bool {
    client
        .service
        .as_deref()
        .is_some_and(|service| service.eq_ignore_ascii_case("smtp"))
}

/// A listening socket.
pub enum Socket {
    /// Of a path.
    Unix(UnixListener),
    /// Of an address.
    Tcp(TcpListener),
}

impl Socket {
    async fn accept(&self, access: Option<&Access>) -> io::Result<Accepted> {
        match self {
            Self::Unix(listener) => {
                let (stream, _) = listener.accept().await?;
                Ok(accepted(stream, access))
            }
            Self::Tcp(listener) => {
                let (stream, _) = listener.accept().await?;
                // A client that is gone already fails this; it will fail its first read as well.
                let _ = stream.set_nodelay(true);
                Ok(Accepted {
                    stream: Box::new(stream),
                    peer: None,
                    deaf: CancellationToken::new(),
                })
            }
        }
    }

    /// The next client in the backlog, if one is there. The kernel is asked: the runtime may not have heard of it yet.
    fn accept_waiting(&self) -> io::Result<UnixStream> {
        let Self::Unix(listener) = self else {
            return Err(io::ErrorKind::WouldBlock.into());
        };
        let (socket, _) = SockRef::from(listener).accept()?;
        socket.set_nonblocking(true)?;
        UnixStream::from_std(socket.into())
    }

    /// The peers that may connect, if the socket has a path.
    fn access(&self) -> Option<Access> {
        let Self::Unix(listener) = self else { return None };
        let address = listener.local_addr().ok()?;
        let metadata = std::fs::metadata(address.as_pathname()?).ok()?;
        Some(Access {
            mode: metadata.mode() & 0o777,
            uid: metadata.uid(),
            gid: metadata.gid(),
        })
    }
}

/// A client that has connected, see [`Caller`].
struct Accepted {
    stream: Stream,
    peer: Option<Peer>,
    deaf: CancellationToken,
}

fn accepted(stream: UnixStream, access: Option<&Access>) -> Accepted {
    let peer = stream.peer_cred().ok().map(|peer| {
        let (uid, gid) = (peer.uid(), peer.gid());
        Peer {
            // A process in another pid namespace shows as 0.
            pid: peer.pid().filter(|&pid| pid > 0),
            uid,
            gid,
            owner: access.map_or(is_root(uid), |access| access.is_owner(uid)),
            stranger: access.is_some_and(|access| access.is_stranger(uid, gid)),
        }
    });
    let deaf = CancellationToken::new();
    Accepted {
        stream: Box::new(DrainingStream::new(stream, deaf.clone())),
        peer,
        deaf,
    }
}

/// A socket's owner, group and mode.
struct Access {
    mode: u32,
    uid: u32,
    gid: u32,
}

impl Access {
    /// Root may do what the owner may.
    fn is_owner(&self, uid: u32) -> bool {
        is_root(uid) || uid == self.uid
    }

    /// As Dovecot has it (`auth-master-connection.c`): any mode other than 0666 is
    /// the administrator's own choice of clients, and root, as which LMTP and
    /// `doveadm` ask, is never restricted.
    fn is_stranger(&self, uid: u32, gid: u32) -> bool {
        self.mode == 0o666 && !self.is_owner(uid) && gid != self.gid
    }
}

fn is_root(uid: u32) -> bool {
    Uid::from_raw(uid).is_root()
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
    let access = socket.access();
    let inside = Inside {
        listener,
        admission,
        tasks,
        closing,
    };
    loop {
        let accepted = tokio::select! {
            accepted = socket.accept(access.as_ref()) => accepted,
            () = inside.closing.accepting.cancelled() => break,
        };
        match accepted {
            Ok(accepted) => inside.let_in(accepted),
            // It hung up while it waited: no fault of ours, and nothing to wait for.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => {
                inside.admission.cannot_accept(&error);
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    // Only the last to hold the socket closes it with those who wait in it: a reload gives it to a successor.
    if inside.closing.takes_backlog
        && let Some(socket) = Arc::into_inner(socket)
    {
        while let Ok(stream) = socket.accept_waiting() {
            inside.let_in(accepted(stream, access.as_ref()));
        }
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
    fn let_in(&self, Accepted { stream, peer, deaf }: Accepted) {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stranger_is_one_whom_only_the_mode_lets_in() {
        let access = |mode| Access {
            mode,
            uid: 1,
            gid: 10,
        };
        assert!(access(0o666).is_stranger(2, 20));
        assert!(!access(0o666).is_stranger(1, 20) && !access(0o666).is_stranger(2, 10));
        for mode in [0o600, 0o660, 0o777] {
            assert!(!access(mode).is_stranger(2, 20), "{mode:o}");
        }
    }

    #[test]
    fn root_is_an_owner_of_every_socket_and_a_stranger_at_none() {
        for mode in 0..=0o777 {
            let access = Access {
                mode,
                uid: 110,
                gid: 118,
            };
            assert!(access.is_owner(0) && access.is_owner(110), "{mode:o}");
            assert!(
                !access.is_stranger(0, 0) && !access.is_stranger(0, 20),
                "{mode:o}"
            );
            assert!(!access.is_owner(118) && !access.is_owner(20), "{mode:o}");
        }
    }
}
