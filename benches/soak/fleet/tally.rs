//! What became of the questions, by what had befallen the store.

use std::fmt::Write;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::Value;

use super::suffers::Suffering;

/// Complaints that are kept in words; beyond, they are counted.
const KEPT: usize = 10;

/// Counts of the whole day.
#[derive(Default)]
pub(super) struct Tally(Mutex<Counts>);

#[derive(Default)]
struct Counts {
    now: usize,
    times: [Times; Suffering::ALL.len()],
    words: Vec<String>,
}

/// Of the times in which the store suffered the same.
#[derive(Default)]
struct Times {
    often: u64,
    later: u64,
    wrong: u64,
    lost: u64,
    /// How long each answer took, in microseconds.
    took: Vec<u32>,
}

impl Tally {
    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on the store suffers this, or gets well again from it.
    pub(super) fn begins(&self, suffering: Suffering) {
        let mut counts = self.counts();
        counts.now = suffering as usize;
        let now = counts.now;
        counts.times[now].often += 1;
    }

    pub(super) fn answered(&self, later: bool, took: Duration) {
        let mut counts = self.counts();
        let now = counts.now;
        let times = &mut counts.times[now];
        times.later += u64::from(later);
        times
            .took
            .push(u32::try_from(took.as_micros()).unwrap_or(u32::MAX));
    }

    /// An answer was not the truth.
    pub(super) fn wrong(&self, what: String) {
        self.complain(what, |times| times.wrong += 1);
    }

    /// A question had no answer.
    pub(super) fn lost(&self, what: String) {
        self.complain(what, |times| times.lost += 1);
    }

    fn complain(&self, what: String, count: impl FnOnce(&mut Times)) {
        let mut counts = self.counts();
        let now = counts.now;
        count(&mut counts.times[now]);
        if counts.words.len() < KEPT {
            let suffering = Suffering::ALL[now].name();
            counts.words.push(format!("the store {suffering}: {what}"));
        }
    }

    /// What is not as it should be.
    pub(super) fn complaints(&self, stores: &[Value]) -> Vec<String> {
        let counts = self.counts();
        let mut complaints = counts.words.clone();
        let sum = |count: fn(&Times) -> u64| counts.times.iter().map(count).sum::<u64>();
        let (wrong, lost) = (sum(|times| times.wrong), sum(|times| times.lost));
        if wrong + lost > 0 {
            complaints.push(format!("{wrong} answers were wrong, and {lost} questions lost"));
        }
        for store in stores {
            if store["found"].as_u64().is_none_or(|found| found == 0) {
                complaints.push(format!("the store was of no use to an edge: {store}"));
            }
        }
        complaints
    }

    /// The figures.
    pub(super) fn report(&self, stores: &[Value], probes: u64) -> String {
        let mut counts = self.counts();
        let mut text = String::from(
            "\n| the store, for 20 s each | times | answers | later | wrong | lost | median | p99 | longest |\n\
             |---|---|---|---|---|---|---|---|---|\n",
        );
        let mut all = 0;
        for (suffering, times) in Suffering::ALL.into_iter().zip(&mut counts.times) {
            times.took.sort_unstable();
            all += times.took.len() as u64;
            let at = |percent: usize| {
                let place = (times.took.len() * percent / 100).min(times.took.len().saturating_sub(1));
                f64::from(times.took.get(place).copied().unwrap_or_default()) / 1000.0
            };
            let _ = writeln!(
                text,
                "| {} | {} | {} | {} | {} | {} | {:.2} ms | {:.1} ms | {:.0} ms |",
                suffering.name(),
                times.often,
                times.took.len(),
                times.later,
                times.wrong,
                times.lost,
                at(50),
                at(99),
                at(100),
            );
        }
        text.push_str(
            "\n| edge | look-ups answered | findings of use | failed | spared | written | not written |\n\
             |---|---|---|---|---|---|---|\n",
        );
        for (number, store) in stores.iter().enumerate() {
            let figures = ["answered", "found", "failed", "spared", "written", "unwritten"];
            let figures = figures.map(|name| store[name].to_string());
            let _ = writeln!(text, "| {number} | {} |", figures.join(" | "));
        }
        let _ = writeln!(
            text,
            "\n{all} answers, for which the remote was asked {probes} times\n"
        );
        text
    }
}
