//! What a remote offers, as its last session told.

use std::sync::Arc;

use parking_lot::RwLock;
use vouch_protocol::sasl::RelayedMechanism;

/// The mechanisms that can be carried to a remote. Its clones are one memory.
#[derive(Debug, Clone, Default)]
pub(super) struct Offers(Arc<RwLock<Option<Vec<RelayedMechanism>>>>);

impl Offers {
    /// A session was opened, and this is what it was offered.
    pub(super) fn note(&self, offered: Vec<RelayedMechanism>) {
        *self.0.write() = Some(offered);
    }

    /// What was offered last; `None` before any session was open.
    pub(super) fn last(&self) -> Option<Vec<RelayedMechanism>> {
        self.0.read().clone()
    }
}
