//! What is done before any thread starts: sockets are bound, and then all is given up
//! that is not needed any more.

use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::time::Instant;

use nix::unistd::getegid;

use super::confine::{ServiceUser, confine, unwritable};
use super::{DaemonError, metrics, served};
use crate::config::listener::Peer;
use crate::config::{self, Config, ListenAddress};
use crate::server::Socket;
use crate::server::admission::Peers;
use crate::service::bind::{BindError, Bound, BoundPath, Ownership, bind_address, bind_path, handed_over};
use crate::service::user;

/// Sockets that listen already, and nobody accepts yet.
pub struct Prepared {
    pub(super) started: Instant,
    /// One for each listener that is served, in their order.
    pub(super) sockets: Vec<Opened>,
    pub(super) paths: Vec<BoundPath>,
    pub(super) control: Option<Bound>,
    pub(super) metrics: Option<metrics::Opened>,
    /// What is in force, in words; nothing where nothing was given up.
    confined: Option<String>,
    /// What is to be told once there is a log.
    remarks: Vec<String>,
}

/// A listener's socket, and who may connect.
pub(super) struct Opened {
    pub(super) socket: Listening,
    pub(super) peers: Option<Peers>,
}

/// A socket that no runtime knows of yet.
pub(super) enum Listening {
    Unix(UnixListener),
    Tcp(TcpListener),
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

/// Opens the sockets, for whom the daemon is to become. No runtime is needed.
///
/// # Errors
/// Which of them cannot be listened on, and why.
pub fn bind(config: &Config, user: &ServiceUser) -> Result<Prepared, DaemonError> {
    let mut prepared = Prepared {
        started: Instant::now(),
        sockets: Vec::new(),
        paths: Vec::new(),
        control: None,
        metrics: None,
        confined: None,
        remarks: Vec::new(),
    };
    for listener in served(config) {
        let opened = open(listener, user, &mut prepared);
        let opened = opened.map_err(|error| DaemonError::Bind(listener.name.clone(), error))?;
        prepared.sockets.push(opened);
    }
    if let Some(config::Metrics { listen }) = &config.metrics {
        let opened = open_metrics(listen, user, &mut prepared).map_err(DaemonError::Metrics)?;
        prepared.metrics = Some(opened);
    }
    match bind_control(config, user) {
        Ok(control) => prepared.control = Some(control),
        Err(error) if config.control.socket.is_some() => return Err(DaemonError::Control(error)),
        Err(error) => prepared.remarks.push(format!(
            "`vouch status` will find nobody: {error}; or give another path by control.socket"
        )),
    }
    Ok(prepared)
}

/// For root and the daemon's user alone.
fn bind_control(config: &Config, user: &ServiceUser) -> Result<Bound, BindError> {
    let account = user.account.as_ref();
    let group = account.map_or_else(|| getegid().as_raw(), |account| account.gid);
    let ownership = Ownership {
        mode: 0o600,
        owner: account.map(|account| account.uid),
        group: Some(group),
    };
    bind_path(config.control.path(), ownership)
}

impl Prepared {
    /// Becomes `user`, and gives up what is not needed any more. To be called by a
    /// process that has one thread. `file` is the configuration.
    ///
    /// # Errors
    /// When the user cannot be become.
    pub fn confine(mut self, config: &Config, file: &Path, user: &ServiceUser) -> Result<Self, DaemonError> {
        let metrics = config.metrics.iter().map(|metrics| &metrics.listen);
        let addresses = served(config).map(|listener| &listener.socket).chain(metrics);
        let paths = addresses.filter_map(|address| match address {
            ListenAddress::Path(path) => Some(path.clone()),
            _ => None,
        });
        let sockets = paths.chain([config.control.path().to_path_buf()]);
        let (force, remarks) = confine(config, file, user, sockets)?;
        self.confined = Some(force);
        self.remarks.extend(remarks);
        Ok(self)
    }

    /// Says what there is to say, once there is a log.
    pub(super) fn tell(&self) {
        for remark in &self.remarks {
            tracing::warn!("{remark}");
        }
        if let Some(confined) = &self.confined {
            tracing::info!("{confined}");
        }
    }
}

/// Looks into what a start would stumble over on this machine, as the user that it
/// would become: this process is that user from here on. Gives what its administrator
/// should know.
///
/// # Errors
/// Why the daemon could not start.
pub fn check(config: &Config) -> Result<Vec<String>, DaemonError> {
    // Without a listener there is nothing to start; and Dovecot decides for its own.
    if served(config).next().is_none() {
        return Ok(Vec::new());
    }
    let user = ServiceUser::of(config)?;
    for listener in served(config) {
        let named = ownership(listener, &user).and_then(|_| peers_of(listener));
        named.map_err(|error| DaemonError::Bind(listener.name.clone(), error))?;
    }
    user.enter()?;
    let mut remarks: Vec<String> = user.remark().map(str::to_owned).into_iter().collect();
    remarks.extend(unwritable(config));
    Ok(remarks)
}

fn open(
    listener: &config::Listener,
    user: &ServiceUser,
    prepared: &mut Prepared,
) -> Result<Opened, BindError> {
    Ok(Opened {
        peers: peers_of(listener)?,
        socket: bind_one(listener, user, prepared)?,
    })
}

fn peers_of(listener: &config::Listener) -> Result<Option<Peers>, BindError> {
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

fn bind_one(
    listener: &config::Listener,
    user: &ServiceUser,
    prepared: &mut Prepared,
) -> Result<Listening, BindError> {
    let ownership = ownership(listener, user)?;
    let (socket, path) = bind_address_or_path(&listener.socket, ownership, &mut prepared.remarks)?;
    prepared.paths.extend(path);
    Ok(socket)
}

/// Whose a socket of metrics is: the daemon's own, and it is for the group of its folder.
fn open_metrics(
    listen: &ListenAddress,
    user: &ServiceUser,
    prepared: &mut Prepared,
) -> Result<metrics::Opened, BindError> {
    let ownership = Ownership {
        mode: metrics::MODE,
        owner: user.account.as_ref().map(|account| account.uid),
        group: None,
    };
    let (socket, path) = bind_address_or_path(listen, ownership, &mut prepared.remarks)?;
    Ok(metrics::Opened {
        listen: listen.clone(),
        socket,
        path,
    })
}

fn bind_address_or_path(
    address: &ListenAddress,
    ownership: Ownership,
    remarks: &mut Vec<String>,
) -> Result<(Listening, Option<BoundPath>), BindError> {
    match address {
        ListenAddress::Path(path) => {
            let bound = bind_path(path, ownership)?;
            remarks.extend(bound.remark);
            Ok((Listening::Unix(bound.listener), Some(bound.path)))
        }
        ListenAddress::Tcp(address) => Ok((Listening::Tcp(bind_address(*address)?), None)),
        ListenAddress::Systemd(_) | ListenAddress::Dovecot => Err(handed_over(&address.to_string())),
    }
}

/// A socket is the daemon's own where the configuration gives it to nobody.
fn ownership(listener: &config::Listener, user: &ServiceUser) -> Result<Ownership, BindError> {
    let known = |number: Option<Result<u32, user::UserError>>| {
        let known = number.transpose();
        known.map_err(|error| BindError::new(&listener.socket, error.to_string()))
    };
    Ok(Ownership {
        mode: listener.mode,
        owner: known(listener.owner.as_deref().map(user::uid))?.or(user.account.as_ref().map(|it| it.uid)),
        group: known(listener.group.as_deref().map(user::gid))?,
    })
}
