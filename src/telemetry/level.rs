//! How much is logged. It can be changed while the daemon runs.

use std::sync::atomic::{AtomicUsize, Ordering};

use tracing::level_filters::LevelFilter;
use tracing::subscriber::Interest;
use tracing::{Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

/// The levels, each with more detail than those before it.
const LEVELS: [(LevelFilter, &str); 5] = [
    (LevelFilter::ERROR, "error"),
    (LevelFilter::WARN, "warn"),
    (LevelFilter::INFO, "info"),
    (LevelFilter::DEBUG, "debug"),
    (LevelFilter::TRACE, "trace"),
];

/// The place of `info` in [`LEVELS`].
const INFO: usize = 2;

/// A change of the level is logged at every level.
const TARGET: &str = "vouch::level";

static LEVEL: Steps = Steps::new();

/// Two places in [`LEVELS`].
struct Steps {
    configured: AtomicUsize,
    now: AtomicUsize,
}

impl Steps {
    const fn new() -> Self {
        Self {
            configured: AtomicUsize::new(INFO),
            now: AtomicUsize::new(INFO),
        }
    }

    fn now(&self) -> (LevelFilter, &'static str) {
        at(self.now.load(Ordering::Relaxed))
    }

    fn set(&self, level: LevelFilter) {
        self.now.store(place(level), Ordering::Relaxed);
    }

    fn configure(&self, level: LevelFilter) {
        self.configured.store(place(level), Ordering::Relaxed);
        self.set(level);
    }

    fn more(&self) {
        let more = self.now.load(Ordering::Relaxed) + 1;
        self.now.store(more.min(LEVELS.len() - 1), Ordering::Relaxed);
    }

    fn configured(&self) -> (LevelFilter, &'static str) {
        at(self.configured.load(Ordering::Relaxed))
    }
}

fn at(place: usize) -> (LevelFilter, &'static str) {
    LEVELS
        .get(place)
        .copied()
        .unwrap_or((LevelFilter::TRACE, "trace"))
}

/// A level that is none of ours (`OFF`) is `error`: a log that says nothing at all is
/// of no use to anybody.
fn place(level: LevelFilter) -> usize {
    let found = LEVELS.iter().position(|(known, _)| *known == level);
    found.unwrap_or_default()
}

/// The level of what is logged now.
pub fn get() -> LevelFilter {
    LEVEL.now().0
}

/// Its name: `error`, `warn`, `info`, `debug` or `trace`.
pub fn name() -> &'static str {
    LEVEL.now().1
}

/// The name of the level that the configuration asks for.
pub fn configured() -> &'static str {
    LEVEL.configured().1
}

/// The level of this name.
pub fn named(name: &str) -> Option<LevelFilter> {
    LEVELS
        .iter()
        .find(|(_, known)| *known == name)
        .map(|(level, _)| *level)
}

/// Logs events of `level` and above from now on, and says so.
pub fn set(level: LevelFilter) {
    LEVEL.set(level);
    changed();
}

/// One step more detail, and says so.
pub fn more() {
    LEVEL.more();
    changed();
}

/// Back to the level of the configuration, and says so.
pub fn reset() {
    LEVEL.set(LEVEL.configured().0);
    changed();
}

/// Takes `level` as the one of the configuration, and logs by it.
pub fn configure(level: LevelFilter) {
    LEVEL.configure(level);
    tracing::callsite::rebuild_interest_cache();
}

fn changed() {
    tracing::callsite::rebuild_interest_cache();
    let (level, configured) = (name(), configured());
    tracing::info!(target: TARGET, level, configured, "the log level is now {level}");
}

/// Lets our events of the level and above pass, and the warnings of others. It asks
/// for the level where an event is met for the first time, and again after a change.
pub(super) struct Filter;

impl Filter {
    fn lets_pass(metadata: &Metadata<'_>) -> bool {
        let target = metadata.target();
        let least = if target.starts_with("vouch") {
            get()
        } else {
            LevelFilter::WARN
        };
        *metadata.level() <= least || target == TARGET
    }
}

impl<S: Subscriber> Layer<S> for Filter {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if Self::lets_pass(metadata) {
            Interest::always()
        } else {
            Interest::never()
        }
    }

    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        Self::lets_pass(metadata)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        // What is said at every level is an info.
        Some(get().max(LevelFilter::INFO))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_at_a_time_up_to_the_end_and_back() {
        let steps = Steps::new();
        assert_eq!(steps.now().1, "info");
        steps.configure(LevelFilter::WARN);
        let mut seen = Vec::new();
        for _ in 0..5 {
            steps.more();
            seen.push(steps.now().1);
        }
        assert_eq!(seen, ["info", "debug", "trace", "trace", "trace"]);
        steps.set(steps.configured().0);
        assert_eq!(steps.now(), (LevelFilter::WARN, "warn"));
        steps.set(LevelFilter::OFF);
        assert_eq!(steps.now().1, "error");
    }

    #[test]
    fn a_level_has_one_name() {
        for (level, name) in LEVELS {
            assert_eq!(named(name), Some(level));
            assert_eq!(at(place(level)), (level, name));
        }
        assert_eq!(named("off"), None);
    }
}
