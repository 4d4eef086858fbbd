//! SIGHUP: the configuration is read again. What it does not change goes on; one that cannot be served as a whole
//! changes nothing.

use std::path::Path;
use std::time::Instant;

use super::confine::{DENIED, unreadable};
use super::running::Running;
use super::{DaemonError, tell};
use crate::config::{self, Config, read};
use crate::service::activation::Units;
use crate::settings::socket::ListenAddress;
use crate::telemetry::file::reopen;
use crate::telemetry::{addresses, level};

/// Why the configuration of before stays in force.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReloadError {
    #[error("it was read from no file")]
    NoFile,
    #[error("{0}, or restart vouch")]
    Unreadable(String),
    #[error("{}{}", .0.brief(), hint(.0.is_denied()))]
    Configuration(read::Error),
    #[error("it has no listener, so no client could connect")]
    NoListener,
    #[error("{}{}", .0, hint(.0.is_denied()))]
    NotServed(DaemonError),
}

fn hint(denied: bool) -> &'static str {
    if denied { DENIED } else { "" }
}

/// Reads `file` again, and serves what it says. Says in the log what came of it.
///
/// # Errors
/// Why the configuration of before stays in force.
pub(super) async fn reload(
    running: &mut Running,
    file: Option<&Path>,
    units: &Units,
) -> Result<(), ReloadError> {
    let (began, level) = (Instant::now(), running.config.log.level);
    // The new log records the outcome.
    reopen();
    match try_to(running, file, units).await {
        Ok(changes) => {
            tracing::info!(ms = began.elapsed().as_millis() as u64, "reloaded: {changes}");
            addresses::configure(running.config.log.addresses);
            let now = running.config.log.level;
            // One that a signal has changed stays, where the file says the same as before.
            if now != level {
                level::configure(now);
            }
            Ok(())
        }
        Err(why) => {
            running.note_refusal(&why.to_string());
            tracing::error!("not reloaded, the previous configuration stays in force: {why}");
            Err(why)
        }
    }
}

async fn try_to(running: &mut Running, file: Option<&Path>, units: &Units) -> Result<String, ReloadError> {
    let file = file.ok_or(ReloadError::NoFile)?;
    let (config, notes) = read::load(file).map_err(|error| match unreadable(file) {
        Some(hint) => ReloadError::Unreadable(hint),
        None => ReloadError::Configuration(error),
    })?;
    if config.listener.is_empty() {
        return Err(ReloadError::NoListener);
    }
    let later = at_the_next_start(&running.config, &config);
    let changes = running.change_to(config, units).await;
    let changes = changes.map_err(ReloadError::NotServed)?;
    tell(&notes);
    for key in later {
        tracing::warn!("{key} has changed: this takes effect at the next start (systemctl restart vouch)");
    }
    Ok(changes.to_string())
}

/// Keys that are heeded before the daemon gives up what it would need to heed them again.
fn at_the_next_start(old: &Config, new: &Config) -> Vec<String> {
    let mut keys = Vec::new();
    let mut note = |changed: bool, key: &str| {
        if changed {
            keys.push(key.to_owned());
        }
    };
    note(old.metrics != new.metrics, "metrics.listen");
    note(old.control != new.control, "control.socket");
    note(old.service != new.service, "service");
    note(old.log.format != new.log.format, "log.format");
    note(old.log.file != new.log.file, "log.file");
    for listener in &new.listener {
        let owned =
            |listener: &config::Listener| (listener.mode, listener.owner.clone(), listener.group.clone());
        let path = matches!(listener.socket, ListenAddress::Path(_));
        let before = old
            .listener
            .iter()
            .find(|before| before.socket == listener.socket);
        if before.is_some_and(|before| path && owned(before) != owned(listener)) {
            note(
                true,
                &format!("listener.\"{}\".mode, owner or group", listener.name),
            );
        }
    }
    keys
}
