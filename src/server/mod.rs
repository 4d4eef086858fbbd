//! Doors: sockets on which clients ask, each in its own protocol.
//!
//! [`serve`] accepts; [`policy`] and [`auth`] speak. What a client's session has
//! used up is counted in [`policy_limits`] and [`auth_limits`].

pub mod auth;
pub mod auth_limits;
pub mod policy;
pub mod policy_limits;

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::net::{TcpListener, UnixListener};
use tokio::sync::Semaphore;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::wire::Stream;

/// When the system has no descriptor left for one more connection, others must
/// be given time to end.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A client that does not read its answers is left after this long.
const WRITE_TIMEOUT: Duration = Duration::from_secs(60);

/// A protocol spoken to clients.
pub trait Door: Send + Sync + 'static {
    /// The listener's name, for logs.
    fn name(&self) -> &str;

    /// Serves one client until it leaves or the daemon drains.
    fn serve(self: Arc<Self>, caller: Caller) -> Pin<Box<dyn Future<Output = ()> + Send>>;
}

/// A client that connected.
pub struct Caller {
    /// The bytes' way.
    pub stream: Stream,
    /// Unique in this life of the daemon.
    pub connection: u64,
    /// The process at the other end of a Unix socket.
    pub pid: Option<i32>,
    /// Cancelled when the daemon drains: questions under way are answered, then
    /// the connection is closed.
    pub draining: CancellationToken,
}

/// A listening socket.
pub enum Socket {
    /// Of a path.
    Unix(UnixListener),
    /// Of an address.
    Tcp(TcpListener),
}

impl Socket {
    async fn accept(&self) -> io::Result<(Stream, Option<i32>)> {
        match self {
            Self::Unix(listener) => {
                let (stream, _) = listener.accept().await?;
                // A process in another pid namespace shows as 0.
                let pid = stream
                    .peer_cred()
                    .ok()
                    .and_then(|peer| peer.pid())
                    .filter(|&pid| pid > 0);
                Ok((Box::new(stream), pid))
            }
            Self::Tcp(listener) => {
                let (stream, _) = listener.accept().await?;
                // A client that is gone already fails this; it will fail its first read as well.
                let _ = stream.set_nodelay(true);
                Ok((Box::new(stream), None))
            }
        }
    }
}

/// Numbers of connections, over all doors.
static CONNECTIONS: AtomicU64 = AtomicU64::new(1);

/// Accepts clients until `draining` is cancelled. At most `max_connections` are
/// served at once; one more is closed with a line in the log.
pub async fn serve(
    socket: Socket,
    door: Arc<dyn Door>,
    max_connections: usize,
    tasks: TaskTracker,
    draining: CancellationToken,
) {
    let places = Arc::new(Semaphore::new(max_connections));
    let mut turned_away: u64 = 0;
    let mut failing = false;
    loop {
        let accepted = tokio::select! {
            accepted = socket.accept() => accepted,
            () = draining.cancelled() => return,
        };
        let (stream, pid) = match accepted {
            Ok(accepted) => accepted,
            // It hung up while it waited: no fault of ours, and nothing to wait for.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => continue,
            Err(error) => {
                if !failing {
                    let door = door.name();
                    tracing::error!(door, "cannot accept connections, trying on: {error}");
                }
                failing = true;
                sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        if failing {
            tracing::info!(door = door.name(), "connections are accepted again");
            failing = false;
        }
        let Ok(place) = places.clone().try_acquire_owned() else {
            turned_away += 1;
            if turned_away.is_power_of_two() {
                let door = door.name();
                tracing::warn!(
                    door,
                    turned_away,
                    "all {max_connections} connections (max-connections) are taken"
                );
            }
            continue;
        };
        let connection = CONNECTIONS.fetch_add(1, Ordering::Relaxed);
        let caller = Caller {
            stream,
            connection,
            pid,
            draining: draining.clone(),
        };
        let served = door.clone().serve(caller);
        tasks.spawn(async move {
            served.await;
            drop(place);
        });
    }
}
