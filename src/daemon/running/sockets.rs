//! Sockets that somebody removed: noted in the log and in the report, and bound anew.
//!
//! A daemon that drains looks after none: its sockets are to be gone. One that Dovecot or systemd has bound is theirs to
//! make anew.

use std::os::unix::net::UnixListener;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::spawn_blocking;

use super::{OpenListener, Running};
use crate::config;
use crate::daemon::confine::DENIED;
use crate::daemon::ownership::ownership;
use crate::daemon::troubles::{Looked, Trouble};
use crate::daemon::{DaemonError, ServiceUser};
use crate::server::Socket;
use crate::service::bind::{BindError, Bound, Ownership, bind_free_path, bind_path};
use crate::service::bound_path::{BoundPath, Found, Place};
use crate::service::folder_lock::FolderLocks;

/// How often it is looked whether each socket is where its clients look for it.
pub(crate) const LOOK: Duration = Duration::from_secs(5);

/// A socket beside those of listeners, and how it is served anew.
pub(in crate::daemon) struct Beside {
    /// The key that names it.
    pub(in crate::daemon) of: &'static str,
    pub(in crate::daemon) path: BoundPath,
    pub(in crate::daemon) ownership: Ownership,
    /// Serves this one in the place of the one before.
    pub(in crate::daemon) serve: Box<dyn FnMut(UnixListener) -> std::io::Result<()> + Send>,
}

impl Running {
    /// Looks after every socket. One that is gone is bound anew where nothing is in its place; by `order` also where
    /// something else is, if that is a socket on which nobody listens.
    pub(in crate::daemon) async fn look_after_sockets(&mut self, beside: &mut [Beside], order: bool) {
        let mut locks = FolderLocks::default();
        for number in 0..self.listeners.len() {
            let Some(listener) = self.listeners.get(number) else {
                break;
            };
            let of = format!("listener \"{}\"", listener.keys.name);
            let looked = match (&listener.path, &listener.handed_over) {
                (Some(path), _) => look_after(path.place(), owned(&listener.keys), order, &mut locks).await,
                (None, Some(place)) => look_at(place),
                (None, None) => continue,
            };
            self.common.troubles.note(&of, &looked, order);
            if let Looked::Anew(bound) = looked
                && let Err(error) = self.serve_anew(number, bound)
            {
                tracing::error!("{of}: no client can connect: {error}");
            }
        }
        for socket in beside {
            let looked = look_after(socket.path.place(), Ok(socket.ownership), order, &mut locks).await;
            self.common.troubles.note(socket.of, &looked, order);
            if let Looked::Anew(bound) = looked {
                socket.path = bound.path;
                if let Err(error) = (socket.serve)(bound.listener) {
                    tracing::error!("{}: no client can connect: {error}", socket.of);
                }
            }
        }
    }

    /// Lets clients of a listener in by another socket. Those who are inside stay.
    fn serve_anew(&mut self, number: usize, bound: Bound) -> std::io::Result<()> {
        let socket = tokio::net::UnixListener::from_std(bound.listener)?;
        let Some(listener) = self.listeners.get_mut(number) else {
            return Ok(());
        };
        // First: clients in the backlog of the socket that was removed are let in by its last holder.
        listener.socket = Arc::new(Socket::Unix(socket));
        listener.path = Some(bound.path);
        listener.accepting.cancel();
        listener.accepting = listener.closing.child_token();
        self.common.accept(listener);
        Ok(())
    }
}

impl OpenListener {
    /// The place of a socket that others have bound for us, where it has one that we can see.
    pub(super) fn place_of(socket: &Socket) -> Option<Place> {
        let Socket::Unix(keys) = socket else {
            return None;
        };
        let address = keys.local_addr().ok()?;
        Place::of(address.as_pathname()?).ok()
    }
}

fn owned(keys: &config::Listener) -> Result<Ownership, BindError> {
    // Privileges were already dropped at startup.
    ownership(keys, &ServiceUser::ours())
}

async fn look_after(
    place: &Place,
    ownership: Result<Ownership, BindError>,
    order: bool,
    locks: &mut FolderLocks,
) -> Looked {
    let found = place.look();
    let lost = |why| Looked::Lost(Trouble { found, why });
    match found {
        Found::Socket => return Looked::There,
        Found::Other if !order => {
            let path = place.path().display();
            return lost(format!(
                "somebody has put something else in the place of its socket {path}: remove that, or have vouch do so \
                 (systemctl reload vouch), if it is a socket on which nobody listens"
            ));
        }
        Found::Nothing | Found::Other => {}
    }
    let path = place.path().to_path_buf();
    let mut used = std::mem::take(locks);
    let bind = move || {
        let bound = ownership.and_then(|ownership| {
            if order {
                bind_path(&path, ownership, &mut used)
            } else {
                bind_free_path(&path, ownership, &mut used)
            }
        });
        (bound, used)
    };
    // Another process may hold the lock of the folder: this waits for it.
    let bound = match spawn_blocking(bind).await {
        Ok((bound, used)) => {
            *locks = used;
            bound
        }
        Err(error) => return lost(DaemonError::System(error.into()).to_string()),
    };
    match bound {
        Ok(bound) => Looked::Anew(bound),
        Err(error) => lost(format!(
            "somebody removed its socket, and it cannot be bound anew: {error}{}",
            if error.is_denied() { DENIED } else { "" }
        )),
    }
}

/// Of a socket that systemd has bound.
fn look_at(place: &Place) -> Looked {
    let found = place.look();
    if found == Found::Socket {
        return Looked::There;
    }
    let path = place.path().display();
    Looked::Lost(Trouble {
        found,
        why: format!(
            "somebody removed its socket {path}, which systemd has bound: systemctl restart its .socket unit"
        ),
    })
}
