//! What is wrong with a store at present, and the lines of the log when that changes.

use std::sync::Arc;

use parking_lot::Mutex;

use super::wrong::{Step, Wrong};

/// What is wrong at present.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Troubles {
    pub(super) connection: Option<Wrong>,
    pub(super) writing: Option<Wrong>,
    pub(super) besides: Option<Wrong>,
}

impl Troubles {
    /// The most pressing.
    pub(super) fn first(self) -> Option<Wrong> {
        self.connection.or(self.writing).or(self.besides)
    }
}

/// The troubles of one store.
pub(super) struct Noted {
    /// As errors and the log name it.
    store: Arc<str>,
    present: Mutex<Troubles>,
}

impl Noted {
    /// Nothing is wrong yet.
    pub(super) fn new(store: Arc<str>) -> Self {
        Self {
            store,
            present: Mutex::default(),
        }
    }

    /// What is wrong at present.
    pub(super) fn present(&self) -> Troubles {
        self.present.lock().clone()
    }

    /// Notes how a step besides reading and writing findings ended.
    pub(super) fn note_step(&self, step: Step, wrong: Option<Wrong>) {
        self.note(|troubles| match (&troubles.besides, wrong) {
            // What has ended the connection is noted with that.
            (_, Some(Wrong::Ended)) => {}
            // What it lacks first stands until it has that.
            (Some(Wrong::NoRight(lacks)), None | Some(Wrong::NoRight(_))) if *lacks != step => {}
            (_, wrong) => troubles.besides = wrong,
        });
    }

    /// Notes what is wrong or right again, and logs what is news.
    pub(super) fn note(&self, change: impl FnOnce(&mut Troubles)) {
        let (before, now) = {
            let mut troubles = self.present.lock();
            let before = troubles.clone();
            change(&mut troubles);
            (before, troubles.clone())
        };
        let store = &*self.store;
        match (&before.connection, &now.connection) {
            (before, Some(wrong)) if before.as_ref() != Some(wrong) => tracing::warn!(
                store,
                "the store of the fleet is not used: {wrong}. Until then, this edge answers as it would alone"
            ),
            (Some(_), None) => tracing::info!(store, "the store of the fleet is used again"),
            _ => {}
        }
        match (&before.writing, &now.writing) {
            (before, Some(wrong)) if before.as_ref() != Some(wrong) => tracing::warn!(
                store,
                "the store of the fleet keeps nothing new: {wrong}. Until then, other edges ask what this one has found"
            ),
            (Some(_), None) => tracing::info!(store, "the store of the fleet keeps new findings again"),
            _ => {}
        }
        match (&before.besides, &now.besides) {
            (before, Some(wrong)) if before.as_ref() != Some(wrong) => tracing::warn!(
                store,
                "the store of the fleet serves in part: {wrong}. Until then, each edge does that by itself: it counts failures, doubts refusals, and reads twice a second what others have purged"
            ),
            (Some(_), None) => tracing::info!(store, "the store of the fleet serves in full again"),
            _ => {}
        }
    }
}
