//! The level of the log, by order of the administrator.

use crate::service::signals::{Detail, Details};
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
