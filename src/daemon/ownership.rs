//! Whose sockets are, and which permissions they have.

use nix::unistd::getegid;

use super::confine::ServiceUser;
use crate::config;
use crate::service::bind::{BindError, Ownership};
use crate::service::user;

/// Permissions of a socket of metrics: clients that may ask about users may know the number of questions.
const METRICS_MODE: u32 = 0o660;

/// A socket is the daemon's own where the configuration gives it to nobody.
pub(super) fn ownership(listener: &config::Listener, user: &ServiceUser) -> Result<Ownership, BindError> {
    let known = |number: Option<Result<u32, user::UserError>>| {
        let known = number.transpose();
        known.map_err(|error| BindError::new(&listener.socket, error.to_string()))
    };
    Ok(Ownership {
        mode: listener.mode.0,
        owner: known(listener.owner.as_deref().map(user::uid))?.or(user.account.as_ref().map(|it| it.uid)),
        group: known(listener.group.as_deref().map(user::gid))?,
    })
}

/// Whose a socket of metrics is: the daemon's own, and it is for the group of its folder.
pub(super) fn metrics_ownership(user: &ServiceUser) -> Ownership {
    Ownership {
        mode: METRICS_MODE,
        owner: user.account.as_ref().map(|account| account.uid),
        group: None,
    }
}

/// For root and the daemon's user alone.
pub(super) fn control_ownership(user: &ServiceUser) -> Ownership {
    let account = user.account.as_ref();
    let group = account.map_or_else(|| getegid().as_raw(), |account| account.gid);
    Ownership {
        mode: 0o600,
        owner: account.map(|account| account.uid),
        group: Some(group),
    }
}
