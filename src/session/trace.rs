//! The dialog with a remote, as events for `vouch probe --trace` and the log at
//! level `trace`.
//!
//! Commands mask their secrets in their own `Display`. A remote may still send
//! a password back to us ("BAD unknown command: hunter2"), so all its replies on a session are searched for secrets
//! sent there.

use std::fmt::Display;

use super::secrets::SentSecrets;
use crate::telemetry::addresses::Withheld;

/// The name under which the dialog is logged.
pub const TARGET: &str = "vouch::dialog";

/// We sent this.
pub(super) fn said(peer: &str, what: &dyn Display) {
    tracing::trace!(target: TARGET, "{peer} C: {}", Withheld(what));
}

/// The remote sent this on a session on which `secrets` were sent.
pub(super) fn heard(peer: &str, what: &dyn Display, secrets: &SentSecrets) {
    if tracing::enabled!(target: TARGET, tracing::Level::TRACE) {
        let shown = secrets.withheld_from(what.to_string());
        tracing::trace!(target: TARGET, "{peer} S: {}", Withheld(&shown));
    }
}

/// The remote ended the connection.
pub(super) fn ended(peer: &str) {
    tracing::trace!(target: TARGET, "{peer} S: [end of connection]");
}
