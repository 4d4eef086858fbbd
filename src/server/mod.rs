//! Doors: sockets on which clients ask, each in its own protocol.
//!
//! [`serve`] accepts, as [`admission`] has it; the module of each protocol speaks. What a
//! client's session has used up is counted in [`recipient_limits`] and [`login_limits`], and
//! who guesses in [`penalty`]; a reload changes a door behind its clients ([`current`]). A login goes from a login process to a mail process by way of
//! [`handover`], and of [`kin`] where Dovecot is about to change one process of ours for
//! another.

pub mod actions;
pub mod admission;
pub mod auth;
pub mod counts;
pub mod current;
pub(crate) mod failures;
pub mod fields;
pub mod handover;
mod in_turn;
pub mod kin;
pub mod login_limits;
mod parting;
pub mod penalty;
pub mod policy;
pub mod recipient_limits;
pub(crate) mod refused_share;
pub mod saslauthd;
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
use tokio::net::{TcpListener, UnixListener};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::verdict::Client;
use crate::wire::{Stream, WireError};
use admission::Admission;
use counts::DoorCounts;
use parting::Parting;

/// When the system has no descriptor left for one more connection, others must
/// be given time to end.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A client that reads nothing of its answers for this long is left.
pub(crate) const WRITE_TIMEOUT: Duration = Duration::from_secs(60);

/// A protocol spoken to clients.
pub trait Door: Send + Sync + 'static {
    /// What it has answered.
    fn counts(&self) -> Arc<DoorCounts>;

    /// Whether it says itself when a client can send nothing more ([`Caller::deaf`]): what a client says in several
    /// messages is not cut off in the middle.
    fn chooses_when_to_part(&self) -> bool {
        false
    }

    /// Serves one client until it leaves or the door closes.
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
    /// Cancelled when the door closes: questions under way are answered, then
    /// the connection is closed.
    pub draining: CancellationToken,
    /// Of a Unix socket: once this is cancelled, the client can send nothing more. It goes with
    /// `draining`, unless the door [chooses the moment](Door::chooses_when_to_part).
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
    async fn accept(
        &self,
        access: Option<&Access>,
        deaf: &CancellationToken,
    ) -> io::Result<(Stream, Option<Peer>)> {
        match self {
            Self::Unix(listener) => {
                let (stream, _) = listener.accept().await?;
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
                Ok((Box::new(Parting::new(stream, deaf.clone())), peer))
            }
            Self::Tcp(listener) => {
                let (stream, _) = listener.accept().await?;
                // A client that is gone already fails this; it will fail its first read as well.
                let _ = stream.set_nodelay(true);
                Ok((Box::new(stream), None))
            }
        }
    }

    /// Who may connect, where the socket has a path.
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

/// Whose a socket is, and who may connect.
struct Access {
    mode: u32,
    uid: u32,
    gid: u32,
}

impl Access {
    /// Root may do what the owner may, whoever that is.
    fn is_owner(&self, uid: u32) -> bool {
        is_root(uid) || uid == self.uid
    }

    /// As Dovecot has it (`auth-master-connection.c`): any other mode than 0666 shows
    /// that its administrator has thought of who may ask, and root, as which LMTP and
    /// `doveadm` ask, is never restricted.
    fn is_stranger(&self, uid: u32, gid: u32) -> bool {
        self.mode == 0o666 && !self.is_owner(uid) && gid != self.gid
    }
}

fn is_root(uid: u32) -> bool {
    Uid::from_raw(uid).is_root()
}

/// Notes why a connection ended. A client that breaks off is its own affair; one
/// that sends nonsense is the administrator's, who is asked `hint`.
fn note_end(door: &str, error: &WireError, hint: &str) {
    match error {
        WireError::Decode(error) => {
            tracing::warn!(listener = door, "closed: the client's request is {error}; {hint}");
        }
        error => tracing::debug!(listener = door, "closed: {error}"),
    }
}

/// Numbers of connections, over all doors.
static CONNECTIONS: AtomicU64 = AtomicU64::new(1);

/// When a door closes.
#[derive(Debug, Clone)]
pub struct Closing {
    /// Cancelled when nobody new is to be let in.
    pub accepting: CancellationToken,
    /// Cancelled when the daemon drains, see [`Caller`].
    pub draining: CancellationToken,
}

/// Accepts clients until `closing` says no more. Who finds no `admission` is
/// closed, which the log is told once.
pub async fn serve(
    socket: Arc<Socket>,
    door: Arc<dyn Door>,
    admission: Arc<Admission>,
    tasks: TaskTracker,
    closing: Closing,
) {
    let access = socket.access();
    loop {
        let deaf = if door.chooses_when_to_part() {
            CancellationToken::new()
        } else {
            closing.draining.clone()
        };
        let accepted = tokio::select! {
            accepted = socket.accept(access.as_ref(), &deaf) => accepted,
            () = closing.accepting.cancelled() => return,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            // It hung up while it waited: no fault of ours, and nothing to wait for.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => continue,
            Err(error) => {
                admission.cannot_accept(&error);
                sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let Some(place) = admission.admit(peer.as_ref()) else {
            continue;
        };
        let connection = CONNECTIONS.fetch_add(1, Ordering::Relaxed);
        let caller = Caller {
            stream,
            connection,
            peer,
            draining: closing.draining.clone(),
            deaf,
        };
        let served = door.clone().serve(caller);
        tasks.spawn(async move {
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
