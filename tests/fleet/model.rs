//! The model whose figures are in `docs/fleet.md` finds what edges do that are played question by question.

#[path = "../../benches/fleet_model/savings.rs"]
mod savings;
#[path = "../../benches/fleet_model/tables.rs"]
mod tables;

use std::collections::HashMap;

use savings::{Rates, Site};

/// Chance that is the same in each run (SplitMix64), from 0 to 1.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let bits = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (bits >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// The same site, with each recipient of its own: its recipients by the sum of the shares up to them.
fn shares(recipients: u64) -> Vec<f64> {
    let mut sum = 0.0;
    let sums = (1..=recipients).map(|rank| {
        sum += (rank as f64).powf(-0.8);
        sum
    });
    let sums: Vec<f64> = sums.collect();
    sums.iter().map(|upto| upto / sum).collect()
}

/// Plays so many questions; what is done a second, with a store or without one.
fn played(site: &Site, with_store: bool, questions: u64) -> Rates {
    let (mut chance, shares) = (Chance(7), shares(site.recipients));
    // When what an edge knows, or the store, was found.
    let (mut own, mut store) = (HashMap::new(), HashMap::new());
    let (mut now, mut done) = (0.0, Rates::default());
    for _ in 0..questions {
        now -= (1.0 - chance.next()).ln() / site.questions;
        let drawn = chance.next();
        let recipient = shares.partition_point(|upto| *upto < drawn);
        let edge = (chance.next() * site.edges) as u64;
        let known = own.entry((edge, recipient)).or_insert(f64::MIN);
        if now - *known < site.refresh {
            continue;
        }
        if with_store {
            done.looks += 1.0;
            *known = store.get(&recipient).copied().unwrap_or(f64::MIN);
            if now - *known < site.refresh {
                continue;
            }
        }
        done.probes += 1.0;
        if now - *known >= site.positive {
            done.waits += 1.0;
        }
        *known = now;
        store.insert(recipient, now);
    }
    Rates {
        probes: done.probes / now,
        waits: done.waits / now,
        looks: done.looks / now,
    }
}

#[test]
fn it_finds_what_edges_do_that_are_played() {
    let like = |found: f64, played: f64| (found / played - 1.0).abs() < 0.02;
    for (edges, questions, refresh, positive) in [
        (3.0, 5.0, 20.0, 60.0),
        (10.0, 5.0, 20.0, 160.0),
        (4.0, 1.0, 60.0, 60.0),
    ] {
        let site = Site {
            edges,
            recipients: 60,
            questions,
            refresh,
            positive,
        };
        let (alone, together) = (played(&site, false, 300_000), played(&site, true, 300_000));
        for (found, played) in [(site.alone(), alone), (site.fleet(), together)] {
            assert!(
                like(found.probes, played.probes) && (found.waits - played.waits).abs() < 0.02 * found.probes,
                "{site:?}: {found:?}, {played:?}"
            );
        }
        assert!(like(site.fleet().looks, together.looks), "{site:?}: {together:?}");
    }
}

#[test]
fn recipients_that_are_taken_together_count_as_they_would_alone() {
    let site = Site {
        edges: 10.0,
        recipients: 300_000,
        questions: 100.0,
        refresh: 1800.0,
        positive: 14_400.0,
    };
    let sum: f64 = (1..=site.recipients).map(|rank| (rank as f64).powf(-0.8)).sum();
    let probes: f64 = (1..=site.recipients)
        .map(|rank| {
            let rate = site.questions * (rank as f64).powf(-0.8) / sum;
            rate / (1.0 + rate * site.refresh)
        })
        .sum();
    assert!((site.fleet().probes / probes - 1.0).abs() < 1e-4);
    assert!((site.seen_by_all(1e9) / site.recipients as f64 - 1.0).abs() < 1e-4);
}

#[test]
fn the_page_has_its_figures() {
    let page = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/fleet.md");
    let page = std::fs::read_to_string(page).unwrap();
    for table in [tables::saved(), tables::sizes()] {
        assert!(page.contains(&table), "docs/fleet.md is to have\n{table}");
    }
}
