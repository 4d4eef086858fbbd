//! How the stores of a fleet are.

use super::text::Text;
use crate::report::Store;

pub(super) fn write(text: &mut Text, stores: &[Store]) {
    text.gauge(
        "vouch_fleet_store_used",
        "0 while a store of the fleet is left alone, as it gives no answer; else 1.",
    );
    for it in stores {
        text.sample(&[("store", &*it.store)], u64::from(it.used));
    }
    text.counter(
        "vouch_fleet_lookups_total",
        "Questions to a store of the fleet: answered, without an answer in time (failed), not asked as it is left alone (spared).",
    );
    let results = |it: &Store| {
        [
            ("answered", it.answered),
            ("failed", it.failed),
            ("spared", it.spared),
        ]
    };
    for it in stores {
        for (result, count) in results(it) {
            text.sample(&[("store", &*it.store), ("result", result)], count);
        }
    }
    text.counter(
        "vouch_fleet_findings_total",
        "Findings for a store of the fleet: written, or not (unwritten) as it took none or too many waited.",
    );
    for it in stores {
        for (result, count) in [("written", it.written), ("unwritten", it.unwritten)] {
            text.sample(&[("store", &*it.store), ("result", result)], count);
        }
    }
    text.counter(
        "vouch_fleet_values_total",
        "Values of a store of the fleet: findings (found), and what was too old or not of this fleet (unusable).",
    );
    for it in stores {
        for (result, count) in [("found", it.found), ("unusable", it.unusable)] {
            text.sample(&[("store", &*it.store), ("result", result)], count);
        }
    }
}
