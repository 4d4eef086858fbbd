//! The stores of a fleet in the report.

use crate::fleet::{Fleet, StoreReport};
use crate::report::Store;

pub(super) fn report(fleet: &Fleet) -> Vec<Store> {
    let store = |it: StoreReport| Store {
        store: it.store,
        used: it.used,
        trouble: it.trouble,
        answered: it.answered,
        found: it.found,
        unusable: it.unusable,
        failed: it.failed,
        spared: it.spared,
        written: it.written,
        unwritten: it.unwritten,
    };
    fleet.report().into_iter().map(store).collect()
}
