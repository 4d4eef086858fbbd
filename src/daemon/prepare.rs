//! What is done before any thread starts: sockets are bound, and then all is given up
//! that is not needed any more.

use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::DaemonError;
use super::confine::{ServiceUser, confine, unreadable, unwritable};
use super::folders;
use super::ownership::{control_ownership, metrics_ownership, ownership};
use crate::config::{self, Config};
use crate::server::Socket;
use crate::server::admission::Peers;
use crate::service::activation::{Inherited, Units};
use crate::service::bind::{BindError, Bound, Ownership, bind_address, bind_path};
use crate::service::bound_path::BoundPath;
use crate::service::folder_lock::FolderLocks;
use crate::service::user;
use crate::settings::socket::{ListenAddress, Peer};

/// Sockets that listen already, and nobody accepts yet.
pub struct Prepared {
    pub(super) started: Instant,
    /// One for each listener that is served, in their order.
    pub(super) sockets: Vec<Opened>,
    /// Sockets that were there before us.
    pub(super) units: Units,
    /// The file that the configuration was read from, where it may be read again.
    pub(super) file: Option<PathBuf>,
    pub(super) control: Option<Bound>,
    pub(super) metrics: Option<MetricsSocket>,
    /// What is in force, in words; nothing where nothing was given up.
    confined: Option<String>,
    /// What to log once there is a log.
    remarks: Vec<String>,
}

/// A listener's socket, its path if vouch created it, and the peers that may connect.
pub(super) struct Opened {
    pub(super) socket: Listening,
    pub(super) path: Option<BoundPath>,
    pub(super) peers: Option<Peers>,
}

/// The socket of `[metrics]` as the configuration names it, and its place in the file system where it has one.
pub(super) struct MetricsSocket {
    pub(super) listen: ListenAddress,
    pub(super) socket: Listening,
    pub(super) path: Option<BoundPath>,
}

/// A socket that no runtime knows of yet.
pub(super) enum Listening {
    Unix(UnixListener),
    Tcp(TcpListener),
}

impl From<Inherited> for Listening {
    fn from(socket: Inherited) -> Self {
        match socket {
            Inherited::Unix(socket, _) => Self::Unix(socket),
            Inherited::Tcp(socket) => Self::Tcp(socket),
        }
    }
}

impl Listening {
    /// Needs a runtime.
    pub(super) fn listen(self) -> std::io::Result<Socket> {
        Ok(match self {
            Self::Unix(listener) => Socket::Unix(tokio::net::UnixListener::from_std(listener)?),
            Self::Tcp(listener) => Socket::Tcp(tokio::net::TcpListener::from_std(listener)?),
        })
    }
}

/// Whether there is anything to listen on, which is the first that a start wants.
///
/// # Errors
/// There is not.
pub fn has_listeners(config: &Config) -> Result<(), DaemonError> {
    if config.listener.is_empty() {
        return Err(DaemonError::NoListener);
    }
    Ok(())
}

/// Opens the sockets, for the user that the daemon will run as. No runtime is needed.
///
/// # Errors
/// Which of them cannot be listened on, and why.
pub fn bind(config: &Config, user: &ServiceUser) -> Result<Prepared, DaemonError> {
    let mut prepared = Prepared {
        started: Instant::now(),
        sockets: Vec::new(),
        units: Units::of_environment().map_err(DaemonError::Units)?,
        file: None,
        control: None,
        metrics: None,
        confined: None,
        remarks: Vec::new(),
    };
    let mut locks = FolderLocks::default();
    for listener in &config.listener {
        let opened = open(listener, user, &prepared.units, &mut prepared.remarks, &mut locks)?;
        prepared.sockets.push(opened);
    }
    if let Some(config::Metrics { listen }) = &config.metrics {
        let opened = open_metrics(listen, user, &prepared.units, &mut prepared.remarks, &mut locks);
        let opened = opened.map_err(DaemonError::Metrics)?;
        prepared.metrics = Some(opened);
    }
    for name in prepared.units.besides(systemd_names(config)) {
        prepared.remarks.push(format!(
            "systemd handed over a socket \"{name}\" that no listener names: its clients wait in vain; write \
             socket = \"systemd:{name}\", or disable its unit"
        ));
    }
    match bind_path(config.control.path(), control_ownership(user), &mut locks) {
        Ok(control) => prepared.control = Some(control),
        Err(error) if config.control.socket.is_some() => return Err(DaemonError::Control(error)),
        Err(error) => prepared.remarks.push(format!(
            "control socket not available ({error}): `vouch status` will not work; set control.socket to another path"
        )),
    }
    prepared.remarks.extend(locks.into_remarks());
    Ok(prepared)
}

/// The units that the configuration names.
fn systemd_names(config: &Config) -> impl Iterator<Item = &str> {
    config.addresses().filter_map(|address| match address {
        ListenAddress::Systemd(name) => Some(name.as_str()),
        _ => None,
    })
}

impl Prepared {
    /// Becomes `user`, and gives up what is not needed any more. To be called by a
    /// process that has one thread. `file` is the configuration.
    ///
    /// # Errors
    /// When the user cannot be become.
    pub fn confine(mut self, config: &Config, file: &Path, user: &ServiceUser) -> Result<Self, DaemonError> {
        let paths = config.addresses().filter_map(|address| match address {
            ListenAddress::Path(path) => Some(path.clone()),
            _ => None,
        });
        let sockets = paths.chain([config.control.path().to_path_buf()]);
        let (force, remarks) = confine(config, file, user, sockets)?;
        self.confined = Some(force);
        self.file = Some(file.to_path_buf());
        self.remarks.extend(remarks);
        Ok(self)
    }

    /// Says what there is to say, once there is a log.
    pub(super) fn tell(self) -> Self {
        for remark in &self.remarks {
            tracing::warn!("{remark}");
        }
        if let Some(confined) = &self.confined {
            tracing::info!("{confined}");
        }
        self
    }
}

/// Looks into what a start would stumble over on this machine, as the user that it
/// would become: this process is that user from here on. `file` is the configuration. Gives what its administrator
/// should know.
///
/// # Errors
/// Why the daemon could not start.
pub fn check(config: &Config, file: &Path) -> Result<Machine, DaemonError> {
    // Dovecot decides for its own.
    if config.listener.is_empty() {
        return Ok(Machine::default());
    }
    let user = ServiceUser::of(config)?;
    for listener in &config.listener {
        let named = ownership(listener, &user).and_then(|_| peers_of(listener));
        named.map_err(|error| DaemonError::Bind(listener.name.clone(), error))?;
    }
    // Sockets are bound before the daemon becomes its user; as that one it could not bind them anew.
    let unbindable = folders::unbindable(config, &user);
    user.enter()?;
    let mut remarks: Vec<String> = user.remark().map(str::to_owned).into_iter().collect();
    remarks.extend(unwritable(config));
    if unbindable.is_empty() {
        remarks.extend(folders::lost_once_removed(config));
    }
    remarks.extend(unreadable(file).map(|hint| format!("SIGHUP will change nothing: {hint}")));
    Ok(Machine { remarks, unbindable })
}

/// What this machine would say to a start.
#[derive(Debug, Default)]
pub struct Machine {
    /// What the daemon would start in spite of.
    pub remarks: Vec<String>,
    /// Sockets that it could not bind, and would not start without.
    pub unbindable: Vec<String>,
}

/// Opens the socket of one listener.
///
/// # Errors
/// Why it cannot be listened on.
pub(super) fn open(
    listener: &config::Listener,
    user: &ServiceUser,
    units: &Units,
    remarks: &mut Vec<String>,
    locks: &mut FolderLocks,
) -> Result<Opened, DaemonError> {
    let mut opened = || -> Result<Opened, BindError> {
        let peers = peers_of(listener)?;
        let ownership = ownership(listener, user)?;
        let (socket, path) = take(&listener.socket, ownership, units, remarks, locks)?;
        Ok(Opened { socket, path, peers })
    };
    opened().map_err(|error| DaemonError::Bind(listener.name.clone(), error))
}

/// The peers that may connect to a listener, if it names any.
pub(super) fn peers_of(listener: &config::Listener) -> Result<Option<Peers>, BindError> {
    let peers = listener.peers.as_deref().map(peers).transpose();
    peers.map_err(|error| BindError::new(&listener.socket, format!("peers: {error}")))
}

fn peers(named: &[Peer]) -> Result<Peers, user::UserError> {
    let mut peers = Peers::default();
    for peer in named {
        match peer {
            Peer::User(name) => peers.uids.push(user::uid(name)?),
            Peer::Group(name) => {
                let gid = user::gid(name)?;
                peers.gids.push(gid);
                peers.uids.extend(user::members(gid)?);
            }
        }
    }
    Ok(peers)
}

fn open_metrics(
    listen: &ListenAddress,
    user: &ServiceUser,
    units: &Units,
    remarks: &mut Vec<String>,
    locks: &mut FolderLocks,
) -> Result<MetricsSocket, BindError> {
    let (socket, path) = take(listen, metrics_ownership(user), units, remarks, locks)?;
    Ok(MetricsSocket {
        listen: listen.clone(),
        socket,
        path,
    })
}

/// Binds a socket, or takes it as systemd has bound it.
fn take(
    address: &ListenAddress,
    ownership: Ownership,
    units: &Units,
    remarks: &mut Vec<String>,
    locks: &mut FolderLocks,
) -> Result<(Listening, Option<BoundPath>), BindError> {
    match address {
        ListenAddress::Path(path) => {
            let bound = bind_path(path, ownership, locks)?;
            remarks.extend(bound.remark);
            Ok((Listening::Unix(bound.listener), Some(bound.path)))
        }
        ListenAddress::Tcp(address) => Ok((Listening::Tcp(bind_address(*address)?), None)),
        ListenAddress::Systemd(name) => {
            let socket = units.socket(name);
            let socket = socket.map_err(|problem| BindError::new(address, problem.to_string()))?;
            Ok((socket.into(), None))
        }
        // In no file.
        ListenAddress::Dovecot => Err(BindError::new(address, "it is Dovecot's to hand over")),
    }
}
