//! How the stores of a fleet are.

use super::text::{Named, Text};
use crate::report::Store;

pub(super) fn write(text: &mut Text, stores: &[Store]) {
    let stores: Named<'_, Store> = stores
        .iter()
        .map(|it| (vec![("store", &*it.store)], it))
        .collect();
    text.gauge(
        "vouch_fleet_store_used",
        "0 while a store of the fleet is left alone, as it gives no answer; else 1.",
    );
    text.each(&stores, |it| u64::from(it.used));
    text.counter(
        "vouch_fleet_lookups_total",
        "Questions to a store of the fleet: answered, without an answer in time (failed), not asked as it is left alone (spared).",
    );
    text.each_by(&stores, "result", |it| {
        [
            ("answered", it.answered),
            ("failed", it.failed),
            ("spared", it.spared),
        ]
    });
    text.counter(
        "vouch_fleet_findings_total",
        "Findings for a store of the fleet: written, or not (unwritten) as it took none or too many waited.",
    );
    text.each_by(&stores, "result", |it| {
        [("written", it.written), ("unwritten", it.unwritten)]
    });
    text.counter(
        "vouch_fleet_values_total",
        "Values of a store of the fleet: findings (found), and what was too old or not of this fleet (unusable).",
    );
    text.each_by(&stores, "result", |it| {
        [("found", it.found), ("unusable", it.unusable)]
    });
}
