//! What is logged: the level by order of the administrator, and addresses by the configuration.

use crate::config;
use crate::service::signals::{Detail, Details};
use crate::settings::process::LogAddresses;
use crate::telemetry::addresses::{self, Addresses};
use crate::telemetry::level;

use super::DaemonError;

/// Has signals change the level of the log for as long as the runtime lasts.
///
/// # Errors
/// When the runtime cannot register a handler.
pub(super) fn follow_signals() -> Result<(), DaemonError> {
    let mut details = Details::new().map_err(DaemonError::System)?;
    tokio::spawn(async move {
        loop {
            match details.next().await {
                Detail::More => level::more(),
                Detail::Configured => level::reset(),
            }
        }
    });
    Ok(())
}

/// Has the log show as much of addresses as the configuration allows.
pub fn show_addresses(log: &config::Log) {
    addresses::configure(match log.addresses {
        LogAddresses::Full => Addresses::Full,
        LogAddresses::Hashed => Addresses::Hashed,
        LogAddresses::Domain => Addresses::Domain,
    });
}
