//! The last hour, in steps: what the status page draws.
//!
//! The parts count since the start of the process. Twice a minute the difference to the
//! look before is kept, and an hour later it is forgotten. Nothing is done for it on
//! the way of a question.

use std::collections::{BTreeMap, VecDeque};
use std::ops::AddAssign;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use super::Reports;
use crate::report::{Directory, Listener, Report};
use crate::telemetry::histogram::Durations;

/// Bound (process): time of a step of the history that the status page shows. Beyond: the next step begins. Why: a
/// line of 120 points fits a page.
pub(super) const EVERY: Duration = Duration::from_secs(30);

/// Bound (process): steps of the history that the status page shows. Beyond: the oldest is dropped. Why: an hour;
/// some 250 bytes a step for each listener and each directory, 30 KiB in all.
const STEPS: usize = 120;

/// Verdicts, in the order of the report.
pub(super) const VERDICTS: usize = 4;

/// What happened lately. It begins empty. A reload of the configuration does not end it: listeners and directories are
/// identified by name.
pub(crate) struct History {
    /// Since when it is kept.
    since: Instant,
    /// The oldest first; at most [`STEPS`].
    steps: Mutex<VecDeque<Arc<Step>>>,
}

/// What happened from one look to the next.
#[derive(Debug)]
pub(super) struct Step {
    /// The time of the later look.
    pub(super) at: Instant,
    /// How long it was since the look before.
    pub(super) took: Duration,
    /// Of each listener that there was.
    pub(super) listeners: BTreeMap<String, ListenerStep>,
    /// Of each directory that there was.
    pub(super) directories: BTreeMap<String, DirectoryStep>,
}

/// What a listener did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct ListenerStep {
    /// Answers by verdict: accept, reject, defer, abstain.
    pub(super) verdicts: [u64; VERDICTS],
    /// How long they took, whatever the verdict.
    pub(super) took: Durations,
}

/// How a directory was.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct DirectoryStep {
    /// Questions to which it said yes or no.
    pub(super) answers: u64,
    /// Questions to which it gave no answer.
    pub(super) failures: u64,
    /// From a question's going out to its answer.
    pub(super) probed: Durations,
}

impl History {
    /// From now on.
    pub(super) fn new() -> Self {
        Self {
            since: Instant::now(),
            steps: Mutex::default(),
        }
    }

    /// Since when it is kept.
    pub(super) fn since(&self) -> Instant {
        self.since
    }

    /// The steps of the last hour, the oldest first.
    pub(super) fn steps(&self) -> Vec<Arc<Step>> {
        let steps = self.steps.lock();
        steps.iter().cloned().collect()
    }

    /// Looks at the `reports` twice a minute, for ever.
    pub(super) async fn keep(&self, reports: &Reports) {
        let look = || Counted::of(reports());
        let (mut last, mut before) = (self.since, look());
        let mut pace = interval_at(last + EVERY, EVERY);
        // A look that comes late makes a longer step, not two.
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            pace.tick().await;
            let (now, counted) = (Instant::now(), look());
            self.add(Step {
                at: now,
                took: now - last,
                listeners: since(&counted.listeners, &before.listeners, ListenerStep::since),
                directories: since(&counted.directories, &before.directories, DirectoryStep::since),
            });
            (last, before) = (now, counted);
        }
    }

    fn add(&self, step: Step) {
        let mut steps = self.steps.lock();
        if steps.len() == STEPS {
            steps.pop_front();
        }
        steps.push_back(Arc::new(step));
    }
}

/// What was counted since they were there.
struct Counted {
    listeners: BTreeMap<String, ListenerStep>,
    directories: BTreeMap<String, DirectoryStep>,
}

impl Counted {
    fn of(report: Report) -> Self {
        let listeners = report.listeners.into_iter();
        let directories = report.directories.into_iter();
        Self {
            listeners: listeners
                .map(|it| (it.name.clone(), ListenerStep::of(&it)))
                .collect(),
            directories: directories
                .map(|it| (it.name.clone(), DirectoryStep::of(&it)))
                .collect(),
        }
    }
}

/// The differences, by name. A new one has counted from zero.
fn since<T: Default>(
    now: &BTreeMap<String, T>,
    before: &BTreeMap<String, T>,
    difference: impl Fn(&T, &T) -> T,
) -> BTreeMap<String, T> {
    let nothing = T::default();
    let since = |(name, now): (&String, &T)| {
        let before = before.get(name).unwrap_or(&nothing);
        (name.clone(), difference(now, before))
    };
    now.iter().map(since).collect()
}

impl ListenerStep {
    fn of(listener: &Listener) -> Self {
        let mut step = Self::default();
        for (count, answers) in step.verdicts.iter_mut().zip(&listener.verdicts) {
            *count = answers.count;
            step.took.add(&answers.took);
        }
        step
    }

    fn since(&self, before: &Self) -> Self {
        // A reload has put another listener of that name in its place.
        if self.answers() < before.answers() {
            return self.clone();
        }
        let mut step = Self {
            verdicts: self.verdicts,
            took: self.took.since(&before.took),
        };
        for (count, before) in step.verdicts.iter_mut().zip(before.verdicts) {
            *count = count.saturating_sub(before);
        }
        step
    }

    /// Answers, whatever the verdict.
    pub(super) fn answers(&self) -> u64 {
        self.verdicts.iter().sum()
    }
}

impl AddAssign<&Self> for ListenerStep {
    fn add_assign(&mut self, other: &Self) {
        for (count, more) in self.verdicts.iter_mut().zip(other.verdicts) {
            *count += more;
        }
        self.took.add(&other.took);
    }
}

impl DirectoryStep {
    fn of(directory: &Directory) -> Self {
        let mut probed = Durations::default();
        directory
            .sessions
            .values()
            .for_each(|pool| probed.add(&pool.probed.took));
        Self {
            answers: directory.answers,
            failures: directory.failures,
            probed,
        }
    }

    fn since(&self, before: &Self) -> Self {
        // A reload has changed it.
        if self.answers + self.failures < before.answers + before.failures {
            return self.clone();
        }
        Self {
            answers: self.answers.saturating_sub(before.answers),
            failures: self.failures.saturating_sub(before.failures),
            probed: self.probed.since(&before.probed),
        }
    }
}

impl AddAssign<&Self> for DirectoryStep {
    fn add_assign(&mut self, other: &Self) {
        self.answers += other.answers;
        self.failures += other.failures;
        self.probed.add(&other.probed);
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::sleep;

    use super::*;
    use crate::report::Answers;
    use crate::telemetry::histogram::Histogram;

    /// Listeners, by name: the answers of each, by verdict.
    type Counts = Arc<Mutex<BTreeMap<&'static str, [Histogram; VERDICTS]>>>;

    fn report(counts: &Counts) -> Report {
        let counts = counts.lock();
        let listener = |(name, verdicts): (&&str, &[Histogram; VERDICTS])| Listener {
            name: (*name).to_owned(),
            verdicts: verdicts
                .iter()
                .map(|verdict| Answers {
                    count: verdict.get().count(),
                    took: verdict.get(),
                    ..Answers::default()
                })
                .collect(),
            ..Listener::default()
        };
        Report {
            listeners: counts.iter().map(listener).collect(),
            ..Report::default()
        }
    }

    fn count(counts: &Counts, name: &'static str, verdict: usize, times: usize) {
        let mut counts = counts.lock();
        let verdicts = counts.entry(name).or_default();
        (0..times).for_each(|_| verdicts[verdict].observe(Duration::from_secs(2)));
    }

    /// A history that is kept, of a listener that has counted something.
    fn kept() -> (Arc<History>, Counts) {
        let counts = Counts::default();
        count(&counts, "in", 0, 1);
        let history = Arc::new(History::new());
        let (keeping, looked_at) = (history.clone(), counts.clone());
        tokio::spawn(async move { keeping.keep(&move || report(&looked_at)).await });
        (history, counts)
    }

    #[tokio::test(start_paused = true)]
    async fn a_step_has_what_came_since_the_step_before() {
        let (history, counts) = kept();
        sleep(EVERY - Duration::from_millis(1)).await;
        assert!(history.steps().is_empty());
        count(&counts, "in", 0, 2);
        count(&counts, "in", 3, 1);
        sleep(EVERY * 2).await;
        let steps = history.steps();
        let verdicts: Vec<_> = steps.iter().map(|step| step.listeners["in"].verdicts).collect();
        assert_eq!(verdicts, [[2, 0, 0, 1], [0; 4]]);
        assert_eq!(steps[0].took, EVERY);
        assert!(steps[0].listeners["in"].took.quantile(0.01) > Some(Duration::from_secs(1)));
    }

    // Fills history::STEPS, history::EVERY.
    #[tokio::test(start_paused = true)]
    async fn an_hour_is_kept_and_no_more() {
        let (history, _counts) = kept();
        sleep(Duration::from_secs(2 * 3600 + 1)).await;
        let steps = history.steps();
        assert_eq!(steps.len(), STEPS);
        assert_eq!(EVERY * u32::try_from(STEPS).unwrap(), Duration::from_secs(3600));
        let (first, last) = (steps[0].at, steps[STEPS - 1].at);
        assert_eq!(last - first, Duration::from_secs(3600) - EVERY);
        assert_eq!(first - history.since(), Duration::from_secs(3600) + EVERY);
        // What the table of bounds says of it.
        assert!(size_of::<ListenerStep>() <= 200 && size_of::<DirectoryStep>() <= 200);
    }

    #[tokio::test(start_paused = true)]
    async fn it_goes_on_over_a_reload() {
        let (history, counts) = kept();
        sleep(EVERY + Duration::from_millis(1)).await;
        count(&counts, "in", 0, 5);
        sleep(EVERY).await;
        // Another of its name counts from nothing; a third one is there as well.
        counts.lock().clear();
        count(&counts, "in", 0, 2);
        count(&counts, "other", 0, 3);
        sleep(EVERY).await;
        let steps = history.steps();
        let accepted = |name: &str| -> Vec<_> {
            let of = steps.iter().map(|step| step.listeners.get(name));
            of.map(|step| step.map(|step| step.verdicts[0])).collect()
        };
        assert_eq!(accepted("in"), [Some(0), Some(5), Some(2)]);
        assert_eq!(accepted("other"), [None, None, Some(3)]);
    }
}
