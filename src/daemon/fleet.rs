//! The fleet of a configuration: opened at the start, and anew where a reload has changed it.

use std::path::Path;
use std::sync::Arc;

use nix::unistd::Uid;

use super::DaemonError;
use super::directories::{Version, version};
use crate::chance::Chance;
use crate::config::{self, Config};
use crate::fleet::key::{FleetKey, KeyError};
use crate::fleet::{Fleet, FleetError, Outside, Secrets, StoreReport};
use crate::service::privilege::account;
use crate::session::tls;
use crate::settings::process::DEFAULT_USER;

/// A fleet, and what it was opened by.
pub(super) struct Opened {
    pub(super) fleet: Arc<Fleet>,
    from: config::Fleet,
    files: Vec<Option<Version>>,
}

/// The fleet of a configuration; of `old` if it has not changed.
///
/// # Errors
/// A file of it cannot be used.
pub(super) fn open(config: &Config, old: Option<&Opened>) -> Result<Option<Opened>, DaemonError> {
    let Some(from) = &config.fleet else {
        return Ok(None);
    };
    let files = from.files().map(version).collect();
    if let Some(old) = old.filter(|old| old.from == *from && old.files == files) {
        let (fleet, from) = (old.fleet.clone(), from.clone());
        return Ok(Some(Opened { fleet, from, files }));
    }
    let fleet = Fleet::open(from, read(from)?, &Outside::default());
    Ok(Some(Opened {
        fleet: Arc::new(fleet),
        from: from.clone(),
        files,
    }))
}

/// Whether its files can be used.
///
/// # Errors
/// One cannot.
pub fn check_fleet(config: &Config) -> Result<(), DaemonError> {
    if let Some(from) = &config.fleet {
        read(from)?;
    }
    Ok(())
}

fn read(from: &config::Fleet) -> Result<Secrets, FleetError> {
    Secrets::read(from, &tls::Roots::of_system())
}

/// Tries every store of the fleet of a configuration, if it has one. Needs a runtime.
///
/// # Errors
/// A file of it cannot be used.
pub async fn try_fleet(config: &Config) -> Result<Vec<StoreReport>, DaemonError> {
    let Some(opened) = open(config, None)? else {
        return Ok(Vec::new());
    };
    opened.fleet.try_out().await;
    Ok(opened.fleet.report())
}

/// Makes a key for a fleet. Made by root, it is of the user that a daemon becomes by default, if there is such a user; gives
/// the user's name then.
///
/// # Errors
/// There is a file of that name already, or it cannot be written.
pub fn make_fleet_key(path: &Path) -> Result<Option<String>, KeyError> {
    let owner = if Uid::effective().is_root() {
        account(DEFAULT_USER).ok().flatten()
    } else {
        None
    };
    let ids = owner.as_ref().map(|owner| (owner.uid, owner.gid));
    FleetKey::make(path, ids, &Chance::default())?;
    Ok(owner.map(|owner| owner.name))
}
