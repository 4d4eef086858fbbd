//! The stores of a fleet in the report.

use crate::fleet::{Fleet, StoreReport};
use crate::report::{Doubting, Store};

pub(super) fn report(fleet: &Fleet) -> Vec<Store> {
    let store = |it: StoreReport| Store {
        store: it.store,
        used: it.used,
        trouble: it.trouble,
        answered: it.answered,
        round_trip: it.took.into(),
        found: it.found,
        unusable: it.unusable,
        failed: it.failed,
        spared: it.spared,
        written: it.written,
        unwritten: it.unwritten,
    };
    fleet.report().into_iter().map(store).collect()
}

pub(super) fn doubting(fleet: &Fleet) -> Vec<Doubting> {
    let edges = fleet.doubting().into_iter().map(|it| Doubting {
        edge: it.edge,
        domains: it.domains,
        ago: it.ago.as_secs(),
    });
    edges.collect()
}
