//! The last hour, in steps: what the status page draws.
//!
//! The parts count since the start of the process. Twice a minute the difference to the
//! look before is kept, and an hour later it is forgotten. Nothing is done for it on
//! the way of a question.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use super::{Watched, WatchedDoor};
use crate::engine::Member;
use crate::telemetry::histogram::Durations;

/// From one step to the next.
pub(crate) const EVERY: Duration = Duration::from_secs(30);

/// Steps that are kept: an hour. A step of a listener takes some 200 bytes, and one of a directory.
pub(crate) const STEPS: usize = 120;

/// Verdicts, in the order of [`DoorCounts::took`](crate::server::counts::DoorCounts::took).
pub(super) const VERDICTS: usize = 4;

/// What happened lately. It begins empty, and anew with each reload of the configuration.
pub(crate) struct History(Mutex<Kept>);

struct Kept {
    since: Instant,
    /// The oldest first; at most [`STEPS`].
    steps: VecDeque<Arc<Step>>,
}

/// What happened from one look to the next.
#[derive(Debug)]
pub(super) struct Step {
    /// The time of the later look.
    pub(super) at: Instant,
    /// How long it was since the look before.
    pub(super) took: Duration,
    /// Of each listener, in their order.
    pub(super) doors: Vec<DoorStep>,
    /// Of each directory, in their order.
    pub(super) directories: Vec<DirectoryStep>,
}

/// What a listener did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct DoorStep {
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
    pub(super) fn new() -> Self {
        Self(Mutex::new(Kept::new()))
    }

    /// Since when it is kept.
    pub(super) fn since(&self) -> Instant {
        self.kept().since
    }

    /// The steps of the last hour, the oldest first.
    pub(super) fn steps(&self) -> Vec<Arc<Step>> {
        self.kept().steps.iter().cloned().collect()
    }

    /// Looks at what is `watched` twice a minute, while there is something to watch.
    pub(super) async fn keep(&self, mut watched: watch::Receiver<Arc<Watched>>) {
        loop {
            let now = watched.borrow_and_update().clone();
            tokio::select! {
                () = self.follow(&now) => {}
                changed = watched.changed() => if changed.is_err() { return },
            }
        }
    }

    /// Begins anew, and looks at the same for ever.
    async fn follow(&self, watched: &Watched) {
        *self.kept() = Kept::new();
        let (mut last, mut before) = (self.since(), Counted::of(watched));
        let mut pace = interval_at(last + EVERY, EVERY);
        // A look that comes late makes a longer step, not two.
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            pace.tick().await;
            let (now, counted) = (Instant::now(), Counted::of(watched));
            self.kept().add(counted.since(&before, now, now - last));
            (last, before) = (now, counted);
        }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        // Nothing panics while holding it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn new() -> Self {
        Self {
            since: Instant::now(),
            steps: VecDeque::new(),
        }
    }

    fn add(&mut self, step: Step) {
        if self.steps.len() == STEPS {
            self.steps.pop_front();
        }
        self.steps.push_back(Arc::new(step));
    }
}

/// What was counted since the start of the process.
struct Counted {
    doors: Vec<DoorStep>,
    directories: Vec<DirectoryStep>,
}

impl Counted {
    fn of(watched: &Watched) -> Self {
        Self {
            doors: watched.doors.iter().map(DoorStep::of).collect(),
            directories: watched
                .members
                .iter()
                .map(|member| DirectoryStep::of(member))
                .collect(),
        }
    }

    fn since(&self, before: &Self, at: Instant, took: Duration) -> Step {
        let doors = self.doors.iter().zip(&before.doors);
        let directories = self.directories.iter().zip(&before.directories);
        Step {
            at,
            took,
            doors: doors.map(|(now, before)| now.since(before)).collect(),
            directories: directories.map(|(now, before)| now.since(before)).collect(),
        }
    }
}

impl DoorStep {
    fn of(door: &WatchedDoor) -> Self {
        let mut step = Self::default();
        for (count, (_, took)) in step.verdicts.iter_mut().zip(door.counts.took()) {
            *count = took.count();
            step.took.add(&took);
        }
        step
    }

    fn since(&self, before: &Self) -> Self {
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

    /// This, and what another step has of the same listener.
    pub(super) fn add(&mut self, other: &Self) {
        for (count, more) in self.verdicts.iter_mut().zip(other.verdicts) {
            *count += more;
        }
        self.took.add(&other.took);
    }
}

impl DirectoryStep {
    fn of(member: &Member) -> Self {
        let directory = member.directory();
        let health = directory.health();
        let mut probed = Durations::default();
        for (_, pool) in directory.report().into_iter().flat_map(|report| report.pools) {
            probed.add(&pool.counts.probed.get());
        }
        Self {
            answers: health.answers,
            failures: health.failures,
            probed,
        }
    }

    fn since(&self, before: &Self) -> Self {
        Self {
            answers: self.answers.saturating_sub(before.answers),
            failures: self.failures.saturating_sub(before.failures),
            probed: self.probed.since(&before.probed),
        }
    }

    /// This, and what another step has of the same directory.
    pub(super) fn add(&mut self, other: &Self) {
        self.answers += other.answers;
        self.failures += other.failures;
        self.probed.add(&other.probed);
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::sleep;

    use super::*;
    use crate::engine::{Decision, Source};
    use crate::metrics::tests::door;
    use crate::verdict::{Abstention, Verdict};

    fn decision(verdict: Verdict) -> Decision {
        Decision {
            verdict,
            source: Source::Probe,
            directory: None,
        }
    }

    /// A history that is kept, of a listener that is returned with what watches it.
    fn kept() -> (Arc<History>, WatchedDoor, watch::Sender<Arc<Watched>>) {
        let door = door("in");
        let counts = door.counts.clone();
        counts.answered(&decision(Verdict::accept("a")), Duration::from_millis(1), None);
        let (sender, watched) = watch::channel(watched(&door));
        let history = Arc::new(History::new());
        let keeping = history.clone();
        tokio::spawn(async move { keeping.keep(watched).await });
        (history, door, sender)
    }

    fn watched(door: &WatchedDoor) -> Arc<Watched> {
        let same = WatchedDoor {
            name: door.name.clone(),
            counts: door.counts.clone(),
            admission: door.admission.clone(),
        };
        Arc::new(Watched::new(vec![same], Vec::new()))
    }

    #[tokio::test(start_paused = true)]
    async fn a_step_has_what_came_since_the_step_before() {
        let (history, door, _sender) = kept();
        sleep(EVERY - Duration::from_millis(1)).await;
        assert!(history.steps().is_empty());
        for verdict in [
            Verdict::accept("a"),
            Verdict::accept("b"),
            Verdict::Abstain(Abstention::NotOurs),
        ] {
            door.counts
                .answered(&decision(verdict), Duration::from_secs(2), None);
        }
        sleep(EVERY * 2).await;
        let steps = history.steps();
        let verdicts: Vec<_> = steps.iter().map(|step| step.doors[0].verdicts).collect();
        assert_eq!(verdicts, [[2, 0, 0, 1], [0; 4]]);
        assert_eq!(steps[0].took, EVERY);
        assert!(steps[0].doors[0].took.quantile(0.01) > Some(Duration::from_secs(1)));
    }

    #[tokio::test(start_paused = true)]
    async fn an_hour_is_kept_and_no_more() {
        let (history, _door, _sender) = kept();
        sleep(Duration::from_secs(2 * 3600 + 1)).await;
        let steps = history.steps();
        assert_eq!(steps.len(), STEPS);
        assert_eq!(EVERY * u32::try_from(STEPS).unwrap(), Duration::from_secs(3600));
        let (first, last) = (steps[0].at, steps[STEPS - 1].at);
        assert_eq!(last - first, Duration::from_secs(3600) - EVERY);
        assert_eq!(first - history.since(), Duration::from_secs(3600) + EVERY);
        // What the table of bounds says of it.
        assert!(size_of::<DoorStep>() <= 200 && size_of::<DirectoryStep>() <= 200);
    }

    #[tokio::test(start_paused = true)]
    async fn it_begins_anew_with_each_reload() {
        let (history, door, sender) = kept();
        sleep(EVERY * 3 + Duration::from_millis(1)).await;
        assert_eq!(history.steps().len(), 3);
        sender.send_replace(watched(&door));
        sleep(Duration::from_millis(1)).await;
        assert!(history.steps().is_empty());
        assert!(history.since().elapsed() <= Duration::from_millis(1));
        sleep(EVERY).await;
        // Not what was counted before.
        assert_eq!(history.steps()[0].doors[0].verdicts, [0; 4]);
        drop(sender);
        sleep(EVERY * 2).await;
        assert_eq!(history.steps().len(), 1);
    }
}
