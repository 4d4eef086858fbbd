//! A server that listens, stops, starts again, and tells what it was asked.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpSocket, UnixListener};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use crate::conn::Stream;
use crate::directory::Directory;
use crate::fault::{Fault, Planned};
use crate::log::{Ledger, MAX_SESSIONS, SessionLog, lock};
use crate::options::{Account, Listen, Options};
use crate::session::{self, Shared};

/// Connections that the kernel holds for a busy server.
const BACKLOG: u32 = 4096;

/// A running server. Dropping it ends its tasks and frees its address.
pub struct Server {
    shared: Arc<Shared>,
    address: Address,
    /// A bound socket that never listens: it keeps the port while the server is stopped.
    _reserved: Option<TcpSocket>,
    task: Mutex<Option<JoinHandle<()>>>,
}

/// Where a server can be reached. As text: `127.0.0.1:PORT`, or the path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// On loopback.
    Tcp(SocketAddr),
    /// At a path.
    Unix(PathBuf),
    /// Only by [`Server::serve`].
    Nowhere,
}

impl Server {
    /// Starts a server, inside a tokio runtime. Fails if it cannot bind.
    pub fn start(options: Options) -> io::Result<Self> {
        let (address, reserved) = match &options.listen {
            Listen::Tcp => {
                let socket = bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
                (Address::Tcp(socket.local_addr()?), Some(socket))
            }
            Listen::At(address) => {
                let socket = bind(*address)?;
                (Address::Tcp(socket.local_addr()?), Some(socket))
            }
            Listen::Unix(path) => (Address::Unix(path.clone()), None),
            Listen::Nowhere => (Address::Nowhere, None),
        };
        let shared = Arc::new(Shared {
            directory: Directory::new(&options),
            options,
            ledger: Ledger::default(),
            fault: Mutex::new(Planned {
                fault: Fault::None,
                left: None,
            }),
            hang_up: watch::Sender::new((0, false)),
        });
        let server = Self {
            shared,
            address,
            _reserved: reserved,
            task: Mutex::new(None),
        };
        server.start_again()?;
        Ok(server)
    }

    /// Serves one session over any stream. The future may be spawned, and resolves to the session's log.
    pub fn serve<S>(&self, stream: S) -> impl Future<Output = SessionLog> + Send + use<S>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        session::run(Arc::clone(&self.shared), Box::new(stream))
    }

    /// Refuses connections and cuts all that it accepted, like a server that was killed. The port stays its
    /// own. Nothing happens if it is stopped already.
    pub async fn stop(&self) {
        let task = lock(&self.task).take();
        if let Some(task) = task {
            task.abort();
            // The sessions end with the task; whether it was aborted or had ended does not matter.
            let _ = task.await;
        }
    }

    /// Listens again at the same address. Nothing happens if it listens already.
    pub fn start_again(&self) -> io::Result<()> {
        let mut task = lock(&self.task);
        if task.is_some() {
            return Ok(());
        }
        *task = match &self.address {
            Address::Tcp(address) => {
                let listener = bind(*address)?.listen(BACKLOG)?;
                Some(tokio::spawn(accept_tcp(listener, Arc::clone(&self.shared))))
            }
            Address::Unix(path) => {
                remove_socket(path);
                let listener = UnixListener::bind(path)?;
                Some(tokio::spawn(accept_unix(listener, Arc::clone(&self.shared))))
            }
            Address::Nowhere => None,
        };
        Ok(())
    }

    /// Where it listens.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// The port on loopback; 0 if it does not listen there.
    pub fn port(&self) -> u16 {
        match &self.address {
            Address::Tcp(address) => address.port(),
            Address::Unix(_) | Address::Nowhere => 0,
        }
    }

    /// Misbehaves so from now on, in open sessions too; [`Fault::None`] ends it.
    pub fn set_fault(&self, fault: Fault) {
        *lock(&self.shared.fault) = Planned { fault, left: None };
    }

    /// Misbehaves so the next `times` times that the fault strikes, then no more.
    pub fn set_fault_times(&self, fault: Fault, times: u32) {
        let fault = if times == 0 { Fault::None } else { fault };
        *lock(&self.shared.fault) = Planned {
            fault,
            left: Some(times),
        };
    }

    /// Adds or replaces an account; its domain becomes one of the server's.
    pub fn set_account(&self, account: Account) {
        self.shared.directory.set(account);
    }

    /// Removes an account; its domain stays.
    pub fn remove_account(&self, user: &str) {
        self.shared.directory.remove(user);
    }

    /// Closes the sessions that wait for a command (or hang), now, with 421 or BYE or without a word.
    pub fn hang_up(&self, goodbye: bool) {
        self.shared
            .hang_up
            .send_modify(|(count, with)| (*count, *with) = (*count + 1, goodbye));
    }

    /// The account of each session, oldest first, the open ones included.
    pub fn sessions(&self) -> Vec<SessionLog> {
        self.shared.ledger.sessions()
    }

    /// How often a verb was received: `RCPT`, `AUTHENTICATE`; `?` is all that it does not know.
    pub fn count(&self, verb: &str) -> u64 {
        self.shared.ledger.count(verb)
    }

    /// The addresses of all RCPT commands, session by session.
    pub fn recipients(&self) -> Vec<String> {
        let sessions = self.sessions();
        sessions
            .into_iter()
            .flat_map(|log| log.recipients)
            .map(|(address, _)| address)
            .collect()
    }

    /// Everything that clients did against the RFCs, session by session.
    pub fn violations(&self) -> Vec<String> {
        self.sessions()
            .into_iter()
            .flat_map(|log| log.violations)
            .collect()
    }

    /// How many sessions there were in all.
    pub fn accepted(&self) -> u64 {
        self.shared.ledger.accepted()
    }

    /// How many sessions are open now.
    pub fn open(&self) -> usize {
        self.shared.ledger.open_and_most().0
    }

    /// The most sessions that were open at once.
    pub fn most_open(&self) -> usize {
        self.shared.ledger.open_and_most().1
    }

    /// Forgets the sessions that have ended, and all counts.
    pub fn forget(&self) {
        self.shared.ledger.clear();
    }

    /// Waits until `done` is true of this server, looking every few milliseconds; false when `patience` ran
    /// out. For what a client causes without waiting for an answer, like closing.
    pub async fn wait_until(&self, patience: Duration, done: impl Fn(&Self) -> bool) -> bool {
        let looking = async {
            while !done(self) {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        tokio::time::timeout(patience, looking).await.is_ok()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(task) = lock(&self.task).take() {
            task.abort();
        }
        if let Address::Unix(path) = &self.address {
            remove_socket(path);
        }
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Server({:?} at {})",
            self.shared.options.protocol, self.address
        )
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => path.display().fmt(f),
            Self::Nowhere => f.write_str("nowhere"),
        }
    }
}

/// Binds, sharing the port with the socket that reserves it: Linux lets one of two such sockets listen.
fn bind(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

fn remove_socket(path: &Path) {
    use std::os::unix::fs::FileTypeExt;
    if std::fs::symlink_metadata(path).is_ok_and(|meta| meta.file_type().is_socket()) {
        // If it cannot be removed, binding will say why.
        let _ = std::fs::remove_file(path);
    }
}

async fn accept_tcp(listener: TcpListener, shared: Arc<Shared>) {
    let mut sessions = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept(), if sessions.len() < MAX_SESSIONS => match accepted {
                Ok((stream, _)) => {
                    // Only delays latency; a socket without the option still works.
                    let _ = stream.set_nodelay(true);
                    begin(&mut sessions, &shared, Box::new(stream));
                }
                Err(_) => exhausted().await,
            },
            Some(_) = sessions.join_next() => {}
        }
    }
}

async fn accept_unix(listener: UnixListener, shared: Arc<Shared>) {
    let mut sessions = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept(), if sessions.len() < MAX_SESSIONS => match accepted {
                Ok((stream, _)) => begin(&mut sessions, &shared, Box::new(stream)),
                Err(_) => exhausted().await,
            },
            Some(_) = sessions.join_next() => {}
        }
    }
}

fn begin(sessions: &mut JoinSet<()>, shared: &Arc<Shared>, stream: Box<dyn Stream>) {
    let served = session::run(Arc::clone(shared), stream);
    sessions.spawn(async move {
        served.await;
    });
}

/// Out of file descriptors, most likely: some will come back.
async fn exhausted() {
    tokio::time::sleep(Duration::from_millis(20)).await;
}
