//! The daemon while it runs: its listeners and directories, and how they change.

mod changes;
mod listener;
pub(super) mod sockets;

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::directories::{Built, build_all};
use super::listeners::{AnyListener, asked};
use super::prepare::{Opened, open, peers_of};
use super::troubles::Troubles;
use super::{DaemonError, ServiceUser, drain, files, fleet, longest_deadline, status};
use crate::config::{self, Config};
use crate::engine::CachedDirectory;
use crate::fleet::Fleet;
use crate::server::admission::{Admission, Descriptors, Peers};
use crate::server::handover::Handover;
use crate::server::{self, Closing, Socket};
use crate::service::activation::Units;
use crate::service::bind::BindError;
use crate::service::bound_path::BoundPath;
use crate::service::folder_lock::FolderLocks;
use crate::settings::protocol::Protocol;
use changes::Changes;
use listener::{OpenListener, close};

/// A client that was let in just before the end has so long to read the greeting and to send its question: enough for
/// one on a busy machine. Refused, Postfix tries no third connection.
const JUST_ACCEPTED: Duration = Duration::from_millis(250);

/// What all listeners share, for as long as the daemon lives.
pub(super) struct Common {
    pub(super) started: Instant,
    pub(super) handover: Arc<Handover>,
    pub(super) descriptors: Descriptors,
    pub(super) tasks: TaskTracker,
    pub(super) draining: CancellationToken,
    pub(super) troubles: Troubles,
}

impl Common {
    /// No listener is open yet, and no directory known.
    fn starting(&self) -> status::Daemon {
        status::Daemon {
            started: self.started,
            draining: self.draining.clone(),
            configured: Instant::now(),
            refused: None,
            listeners: Vec::new(),
            directories: Vec::new(),
            fleet: None,
            troubles: self.troubles.clone(),
        }
    }

    /// Accepts clients on the listener's socket, until told to stop.
    fn accept(&self, listener: &OpenListener) {
        let closing = Closing {
            accepting: listener.accepting.clone(),
            draining: listener.closing.clone(),
            takes_backlog: listener.path.is_some(),
        };
        self.tasks.spawn(server::serve(
            listener.socket.clone(),
            listener.listener.as_listener(),
            listener.admission.clone(),
            self.tasks.clone(),
            closing,
        ));
    }

    /// Ends `closing` once clients that were just let in had the time to ask.
    fn part_with_clients(&self, closing: CancellationToken) {
        self.tasks.spawn(async move {
            sleep(JUST_ACCEPTED).await;
            closing.cancel();
        });
    }
}

/// The daemon's listeners and directories as the configuration has them now.
pub(super) struct Running {
    common: Common,
    pub(super) config: Config,
    fleet: Option<fleet::Opened>,
    directories: Vec<Built>,
    listeners: Vec<OpenListener>,
    /// What monitoring and the control socket tell of.
    daemon: watch::Sender<Arc<status::Daemon>>,
}

/// What becomes of a listener's socket.
enum Plan {
    /// It is served as before.
    Same,
    /// Its clients stay, and are answered by other keys or directories; with the peers that may connect.
    Changed(Option<Peers>),
    /// It is served anew, in another protocol; with the peers that may connect.
    Anew(Option<Peers>),
    /// It is listened on from now on.
    New(Arc<Socket>, Option<BoundPath>, Option<Peers>),
}

impl Running {
    /// Serves `config` on the sockets that were opened for it.
    ///
    /// # Errors
    /// What the configuration names cannot be used, or the system refuses the sockets.
    pub(super) fn start(config: &Config, sockets: Vec<Opened>, common: Common) -> Result<Self, DaemonError> {
        let fleet = fleet::open(config, None)?;
        let mut running = Self {
            directories: build_all(config, &[], fleet.as_ref().map(|opened| &opened.fleet))?,
            fleet,
            listeners: Vec::new(),
            daemon: watch::Sender::new(Arc::new(common.starting())),
            config: config.clone(),
            common,
        };
        files::open(running.files_to_open());
        let members = running.members();
        for (keys, opened) in config.listener.iter().zip(sockets) {
            let socket = Arc::new(opened.socket.listen().map_err(DaemonError::System)?);
            let listener = running.open_listener(keys, &members, socket, opened.path, opened.peers);
            running.listeners.push(listener);
        }
        running.show();
        Ok(running)
    }

    /// Serves `config` from now on: what it does not change goes on, with its sockets, its sessions and its memory.
    /// Where it cannot be served as a whole, nothing changes.
    ///
    /// # Errors
    /// Why it cannot.
    pub(super) async fn change_to(&mut self, config: Config, units: &Units) -> Result<Changes, DaemonError> {
        let fleet = fleet::open(&config, self.fleet.as_ref())?;
        let opened = fleet.as_ref().map(|opened| &opened.fleet);
        let directories = build_all(&config, &self.directories, opened)?;
        let members: Vec<_> = directories.iter().map(|built| built.member.clone()).collect();
        let (mut plans, mut locks) = (Vec::new(), FolderLocks::default());
        for keys in &config.listener {
            plans.push(self.plan(keys, &members, units, &mut locks)?);
        }
        let remarks = locks.into_remarks();
        remarks.iter().for_each(|remark| tracing::warn!("{remark}"));

        // From here on nothing fails.
        self.fleet = fleet;
        let (mut old, mut changes) = (std::mem::take(&mut self.listeners), Changes::default());
        for (keys, plan) in config.listener.iter().zip(plans) {
            let before = old.iter().position(|old| old.keys.socket == keys.socket);
            let before = before.map(|place| old.swap_remove(place));
            let listener = match (before, plan) {
                (Some(listener), Plan::Same) => listener,
                (Some(mut listener), Plan::Changed(peers)) => {
                    changes.changed.push(keys.name.clone());
                    listener.change(keys, &members, peers, (&self.common, self.fleet()));
                    listener
                }
                (Some(before), Plan::Anew(peers)) => {
                    changes.anew.push(keys.name.clone());
                    let (socket, path) = before.replace(&self.common);
                    self.open_listener(keys, &members, socket, path, peers)
                }
                (None, Plan::New(socket, path, peers)) => {
                    changes.opened.push(keys.name.clone());
                    self.open_listener(keys, &members, socket, path, peers)
                }
                // Each plan was made from what there was.
                _ => continue,
            };
            self.listeners.push(listener);
        }
        for gone in old {
            changes.closed.push(gone.keys.name.clone());
            self.common.part_with_clients(gone.stop_accepting().closing);
        }
        let before = std::mem::replace(&mut self.directories, directories);
        self.config = config;
        self.show();
        // One file may be the next one's.
        let goes_on = |old: &Built| self.members().iter().any(|new| new.remembers_with(&old.member));
        let gone = before.iter().filter(|old| !goes_on(old));
        files::close(gone.map(|old| old.member.clone()).collect()).await;
        files::open(self.files_to_open());
        for built in &mut self.directories {
            built.forget_moved().await;
        }
        Ok(changes)
    }

    fn plan(
        &self,
        keys: &config::Listener,
        members: &[Arc<CachedDirectory>],
        units: &Units,
        locks: &mut FolderLocks,
    ) -> Result<Plan, DaemonError> {
        let Some(before) = self
            .listeners
            .iter()
            .find(|listener| listener.keys.socket == keys.socket)
        else {
            // Privileges were already dropped at startup.
            let mut remarks = Vec::new();
            let opened = open(keys, &ServiceUser::ours(), units, &mut remarks, locks)?;
            remarks.iter().for_each(|remark| tracing::warn!("{remark}"));
            let socket = opened.socket.listen().map_err(DaemonError::System)?;
            return Ok(Plan::New(Arc::new(socket), opened.path, opened.peers));
        };
        let asked = asked(keys, members);
        let same_directories = asked.len() == before.asked.len()
            && asked
                .iter()
                .zip(&before.asked)
                .all(|(new, old)| Arc::ptr_eq(new, old));
        if before.keys == *keys && same_directories {
            return Ok(Plan::Same);
        }
        let peers = peers_of(keys);
        let peers = peers.map_err(|error: BindError| DaemonError::Bind(keys.name.clone(), error))?;
        Ok(if before.keys.protocol == keys.protocol {
            Plan::Changed(peers)
        } else {
            Plan::Anew(peers)
        })
    }

    fn open_listener(
        &self,
        keys: &config::Listener,
        members: &[Arc<CachedDirectory>],
        socket: Arc<Socket>,
        path: Option<BoundPath>,
        peers: Option<Peers>,
    ) -> OpenListener {
        let common = &self.common;
        let admission = Arc::new(Admission::new(
            &keys.name,
            keys.max_connections as usize,
            peers,
            common.descriptors.clone(),
        ));
        let listener = AnyListener::new(keys, members, (&common.handover, self.fleet()));
        let closing = common.draining.child_token();
        let open = OpenListener {
            keys: keys.clone(),
            asked: asked(keys, members),
            handed_over: path.is_none().then(|| OpenListener::place_of(&socket)).flatten(),
            socket,
            path,
            listener,
            admission,
            accepting: closing.child_token(),
            closing,
        };
        common.accept(&open);
        tracing::info!(listener = keys.name, socket = %keys.socket, protocol = %keys.protocol, "listening");
        open
    }

    fn fleet(&self) -> Option<&Arc<Fleet>> {
        self.fleet.as_ref().map(|opened| &opened.fleet)
    }

    fn members(&self) -> Vec<Arc<CachedDirectory>> {
        self.directories
            .iter()
            .map(|built| built.member.clone())
            .collect()
    }

    fn files_to_open(&self) -> impl Iterator<Item = (&config::Directory, &Arc<CachedDirectory>)> {
        let both = self.config.directory.iter().zip(&self.directories);
        both.filter(|(_, built)| built.is_new)
            .map(|(directory, built)| (directory, &built.member))
    }

    /// Has monitoring and the control socket tell of what there is now.
    fn show(&self) {
        let members = self.members();
        let listeners = self.listeners.iter();
        let listeners = listeners.map(|listener| {
            let counts = listener.listener.as_listener().counts();
            status::Listener::new(&listener.keys, listener.admission.clone(), counts)
        });
        self.daemon.send_replace(Arc::new(status::Daemon {
            listeners: listeners.collect(),
            directories: status::Remote::all(&self.config, &members),
            fleet: self.fleet().cloned(),
            ..self.common.starting()
        }));
    }

    /// A configuration was refused: that of before is shown to be in force still.
    pub(super) fn note_refusal(&self, why: &str) {
        self.daemon.send_modify(|daemon| {
            let refused = Some((Instant::now(), why.to_owned()));
            *daemon = Arc::new(status::Daemon {
                refused,
                ..(**daemon).clone()
            });
        });
    }

    /// How it is, for `systemctl status`.
    pub(super) fn in_words(&self) -> String {
        self.daemon.borrow().report().in_words()
    }

    /// How the daemon is, as it is at each time.
    pub(super) fn daemon(&self) -> watch::Receiver<Arc<status::Daemon>> {
        self.daemon.subscribe()
    }

    /// Ends: nobody new is let in, what was asked is answered, what was found is written.
    pub(super) async fn end(self, grace: Duration) {
        let patience = longest_deadline(&self.config.listener) + grace;
        let members = self.members();
        let is_login = |listener: &OpenListener| listener.keys.protocol == Protocol::Login;
        let (logins, others): (Vec<_>, Vec<_>) = self.listeners.into_iter().partition(is_login);
        // A mail process fetches its login at a master listener: so the login listeners end first.
        if !logins.is_empty() {
            let _ = timeout(patience, close(logins)).await;
        }
        for listener in others {
            listener.stop_accepting();
        }
        sleep(JUST_ACCEPTED).await;
        drain(self.common.tasks, &self.common.draining, Vec::new(), patience).await;
        files::close(members).await;
    }
}
