//! How much is logged. It can be changed while the daemon runs.

use std::sync::OnceLock;

use parking_lot::Mutex;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::Registry;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::reload;

/// The levels, each with more detail than those before it.
const LEVELS: [(LevelFilter, &str); 5] = [
    (LevelFilter::ERROR, "error"),
    (LevelFilter::WARN, "warn"),
    (LevelFilter::INFO, "info"),
    (LevelFilter::DEBUG, "debug"),
    (LevelFilter::TRACE, "trace"),
];

/// A change of the level is logged at every level.
const TARGET: &str = "vouch::level";

static LEVEL: Mutex<Levels> = Mutex::new(Levels::at(LevelFilter::INFO));

/// What lets events pass, once there is a log.
static FILTER: OnceLock<reload::Handle<Targets, Registry>> = OnceLock::new();

/// The level that the configuration asks for, and that of now.
#[derive(Debug, Clone, Copy)]
struct Levels {
    configured: LevelFilter,
    now: LevelFilter,
}

impl Levels {
    const fn at(level: LevelFilter) -> Self {
        Self {
            configured: level,
            now: level,
        }
    }

    fn more(&mut self) {
        let more = LEVELS
            .into_iter()
            .map(|(level, _)| level)
            .find(|level| *level > self.now);
        self.now = more.unwrap_or(self.now);
    }

    /// Lets our events of the level and above pass, and the warnings of others. A log that says nothing at all (`OFF`)
    /// is of no use to anybody.
    fn filter(self) -> Targets {
        Targets::new()
            .with_default(LevelFilter::WARN)
            .with_target("vouch", self.now.max(LevelFilter::ERROR))
            .with_target(TARGET, LevelFilter::INFO)
    }
}

fn name_of(level: LevelFilter) -> &'static str {
    let found = LEVELS.iter().find(|(known, _)| *known == level);
    found.map_or("error", |(_, name)| name)
}

/// The name of the level of what is logged now: `error`, `warn`, `info`, `debug` or `trace`.
pub(crate) fn name() -> &'static str {
    name_of(LEVEL.lock().now)
}

/// The name of the level that the configuration asks for.
pub(crate) fn configured() -> &'static str {
    name_of(LEVEL.lock().configured)
}

/// The level of this name.
pub(crate) fn named(name: &str) -> Option<LevelFilter> {
    let found = LEVELS.iter().find(|(_, known)| *known == name);
    found.map(|(level, _)| *level)
}

/// Logs events of `level` and above from now on, and says so.
pub(crate) fn set(level: LevelFilter) {
    change(|levels| levels.now = level);
    tell();
}

/// One step more detail, and says so.
pub(crate) fn more() {
    change(Levels::more);
    tell();
}

/// Back to the level of the configuration, and says so.
pub(crate) fn reset() {
    change(|levels| levels.now = levels.configured);
    tell();
}

/// Takes `level` as the one of the configuration, and logs by it.
pub(crate) fn configure(level: LevelFilter) {
    change(|levels| *levels = Levels::at(level));
}

fn change(change: impl FnOnce(&mut Levels)) {
    let mut levels = LEVEL.lock();
    change(&mut levels);
    if let Some(filter) = FILTER.get() {
        // It fails where the log is gone.
        let _ = filter.reload(levels.filter());
    }
}

fn tell() {
    let (level, configured) = (name(), configured());
    tracing::info!(target: TARGET, level, configured, "the log level is now {level}");
}

/// What lets events pass by the level of each time. A process has one log.
pub(super) fn filter() -> reload::Layer<Targets, Registry> {
    let (layer, handle) = reload::Layer::new(LEVEL.lock().filter());
    let _ = FILTER.set(handle);
    layer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_at_a_time_up_to_the_end() {
        let mut levels = Levels::at(LevelFilter::WARN);
        let mut seen = Vec::new();
        for _ in 0..5 {
            levels.more();
            seen.push(name_of(levels.now));
        }
        assert_eq!(seen, ["info", "debug", "trace", "trace", "trace"]);
        assert_eq!(name_of(levels.configured), "warn");
    }

    #[test]
    fn a_level_has_one_name() {
        for (level, name) in LEVELS {
            assert_eq!((named(name), name_of(level)), (Some(level), name));
        }
        assert_eq!(named("off"), None);
    }

    #[test]
    fn our_events_pass_by_the_level_and_others_as_warnings() {
        use tracing::Level;
        let passes = |level, target, of| Levels::at(level).filter().would_enable(target, &of);
        for (level, target, of, expected) in [
            (LevelFilter::OFF, "vouch::a", Level::ERROR, true),
            (LevelFilter::ERROR, "vouch::a", Level::WARN, false),
            (LevelFilter::ERROR, "rustls", Level::WARN, true),
            (LevelFilter::ERROR, TARGET, Level::INFO, true),
            (LevelFilter::INFO, "vouch::a", Level::INFO, true),
            (LevelFilter::INFO, "vouch_protocol::a", Level::DEBUG, false),
            (LevelFilter::TRACE, "vouch_protocol::a", Level::TRACE, true),
            (LevelFilter::TRACE, "rustls", Level::INFO, false),
        ] {
            assert_eq!(passes(level, target, of), expected, "{level} {target} {of}");
        }
    }
}
