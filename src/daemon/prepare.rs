//! What is done before any thread starts: sockets are bound.

use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::time::Instant;

use super::{DaemonError, served};
use crate::config::listener::Peer;
use crate::config::{self, Config, ListenAddress};
use crate::server::Socket;
use crate::server::admission::Peers;
use crate::service::bind::{BindError, BoundPath, Ownership, bind_address, bind_path, handed_over};
use crate::service::user;

/// Sockets that listen already, and nobody accepts yet.
pub struct Prepared {
    pub(super) started: Instant,
    /// One for each listener that is served, in their order.
    pub(super) sockets: Vec<Opened>,
    pub(super) paths: Vec<BoundPath>,
    /// What is to be told once there is a log.
    pub(super) remarks: Vec<String>,
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

/// Opens the sockets. No runtime is needed.
///
/// # Errors
/// Which of them cannot be listened on, and why.
pub fn bind(config: &Config) -> Result<Prepared, DaemonError> {
    let mut prepared = Prepared {
        started: Instant::now(),
        sockets: Vec::new(),
        paths: Vec::new(),
        remarks: Vec::new(),
    };
    for listener in served(config) {
        let opened = open(listener, &mut prepared);
        let opened = opened.map_err(|error| DaemonError::Bind(listener.name.clone(), error))?;
        prepared.sockets.push(opened);
    }
    Ok(prepared)
}

fn open(listener: &config::Listener, prepared: &mut Prepared) -> Result<Opened, BindError> {
    let peers = listener.peers.as_deref().map(peers).transpose();
    let peers = peers.map_err(|error| BindError::new(&listener.socket, format!("peers: {error}")))?;
    Ok(Opened {
        socket: bind_one(listener, prepared)?,
        peers,
    })
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

fn bind_one(listener: &config::Listener, prepared: &mut Prepared) -> Result<Listening, BindError> {
    match &listener.socket {
        ListenAddress::Path(path) => {
            let bound = bind_path(path, ownership(listener)?)?;
            prepared.paths.push(bound.path);
            prepared.remarks.extend(bound.remark);
            Ok(Listening::Unix(bound.listener))
        }
        ListenAddress::Tcp(address) => Ok(Listening::Tcp(bind_address(*address)?)),
        ListenAddress::Systemd(_) | ListenAddress::Dovecot => Err(handed_over(&listener.socket.to_string())),
    }
}

fn ownership(listener: &config::Listener) -> Result<Ownership, BindError> {
    let known = |number: Option<Result<u32, user::UserError>>| {
        let known = number.transpose();
        known.map_err(|error| BindError::new(&listener.socket, error.to_string()))
    };
    Ok(Ownership {
        mode: listener.mode,
        owner: known(listener.owner.as_deref().map(user::uid))?,
        group: known(listener.group.as_deref().map(user::gid))?,
    })
}
