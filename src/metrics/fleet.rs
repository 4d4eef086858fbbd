//! How the stores of a fleet are.

use super::text::{Named, Text};
use crate::report::{Doubting, Store};

pub(super) fn write(text: &mut Text, stores: &[Store], doubting: &[Doubting]) {
    let stores: Named<'_, Store> = stores
        .iter()
        .map(|it| (vec![("store", &*it.store)], it))
        .collect();
    text.gauge(
        "vouch_fleet_store_used",
        "0 while a store of the fleet is left alone, as it gives no answer; else 1.",
    );
    text.each(&stores, |it| u64::from(it.used));
    text.gauge(
        "vouch_fleet_doubts",
        "Domains whose refusals are deferred here, since a canary of theirs is refused at another edge of the fleet.",
    );
    text.sample(&[], doubting.iter().map(|it| it.domains).sum::<u64>());
    text.histogram(
        "vouch_fleet_lookup_duration_seconds",
        "Time from a question to a store of the fleet to its answer.",
    );
    text.each_took(&stores, |it| &it.round_trip.took);
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
