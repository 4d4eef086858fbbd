//! The sockets at which clients connect, and the one loop that accepts them.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;
use std::time::Duration;

use nix::unistd::Uid;
use socket2::SockRef;
use tokio::net::{TcpListener, UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::draining_stream::DrainingStream;
use crate::wire::Stream;

/// When the system has no descriptor left for one more connection, others must
/// be given time to end.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A listening socket.
pub enum Socket {
    /// Of a path.
    Unix(UnixListener),
    /// Of an address.
    Tcp(TcpListener),
}

/// A client that has connected.
pub struct Accepted {
    /// The bytes' way.
    pub stream: Stream,
    /// The process at the other end of a Unix socket.
    pub peer: Option<Peer>,
    /// Of a Unix socket: once this is cancelled, the client can send nothing more.
    pub deaf: CancellationToken,
    /// It connected to a loopback address, as any browser on this machine can.
    pub on_loopback: bool,
    /// Its place among those that are served at once; free again when this is dropped.
    pub place: Option<OwnedSemaphorePermit>,
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

impl Socket {
    /// Accepts clients for ever. With `places` each takes one; where none is free, a new client waits in the kernel's queue.
    pub async fn accept_each(
        &self,
        places: Option<&Arc<Semaphore>>,
        mut let_in: impl FnMut(Accepted),
        failed: impl Fn(&io::Error),
    ) {
        let access = self.access();
        loop {
            let place = match places {
                Some(places) => places.clone().acquire_owned().await.ok(),
                None => None,
            };
            match self.accept(access.as_ref()).await {
                Ok(client) => let_in(Accepted { place, ..client }),
                // It hung up while it waited: no fault of ours, and nothing to wait for.
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) => {
                    failed(&error);
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    async fn accept(&self, access: Option<&Access>) -> io::Result<Accepted> {
        match self {
            Self::Unix(listener) => Ok(accepted(listener.accept().await?.0, access)),
            Self::Tcp(listener) => {
                let (stream, _) = listener.accept().await?;
                // A client that is gone already fails this; it will fail its first read as well.
                let _ = stream.set_nodelay(true);
                let at = stream.local_addr().map(|at| at.ip().to_canonical());
                Ok(Accepted {
                    stream: Box::new(stream),
                    peer: None,
                    deaf: CancellationToken::new(),
                    on_loopback: at.is_ok_and(|at| at.is_loopback()),
                    place: None,
                })
            }
        }
    }

    /// The clients in the backlog. The kernel is asked: the runtime may not have heard of them yet.
    pub(super) fn waiting(&self) -> impl Iterator<Item = Accepted> {
        let access = self.access();
        std::iter::from_fn(move || {
            let Self::Unix(listener) = self else { return None };
            let (socket, _) = SockRef::from(listener).accept().ok()?;
            socket.set_nonblocking(true).ok()?;
            let stream = UnixStream::from_std(socket.into()).ok()?;
            Some(accepted(stream, access.as_ref()))
        })
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
        on_loopback: false,
        place: None,
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
