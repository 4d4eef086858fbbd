//! How much is logged. It can be changed while the daemon runs.

use std::sync::OnceLock;

use parking_lot::Mutex;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::Registry;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::reload;

use crate::settings::process::LogLevel;

/// A change of the level is logged at every level.
const TARGET: &str = "vouch::level";

static LEVEL: Mutex<Levels> = Mutex::new(Levels::at(LogLevel::Info));

/// What lets events pass, once there is a log.
static FILTER: OnceLock<reload::Handle<Targets, Registry>> = OnceLock::new();

/// The level that the configuration asks for, and that of now.
#[derive(Debug, Clone, Copy)]
struct Levels {
    configured: LogLevel,
    now: LogLevel,
}

impl Levels {
    const fn at(level: LogLevel) -> Self {
        Self {
            configured: level,
            now: level,
        }
    }

    fn more(&mut self) {
        let levels = LogLevel::ALL.iter().map(|(_, level)| *level);
        let mut more = levels.skip_while(|level| *level != self.now).skip(1);
        self.now = more.next().unwrap_or(self.now);
    }

    /// Lets our events of the level and above pass, and the warnings of others.
    fn filter(self) -> Targets {
        let level = match self.now {
            LogLevel::Error => LevelFilter::ERROR,
            LogLevel::Warn => LevelFilter::WARN,
            LogLevel::Info => LevelFilter::INFO,
            LogLevel::Debug => LevelFilter::DEBUG,
            LogLevel::Trace => LevelFilter::TRACE,
        };
        Targets::new()
            .with_default(LevelFilter::WARN)
            .with_target("vouch", level)
            .with_target(TARGET, LevelFilter::INFO)
    }
}

/// The level of what is logged now.
pub(crate) fn now() -> LogLevel {
    LEVEL.lock().now
}

/// The level that the configuration asks for.
pub(crate) fn configured() -> LogLevel {
    LEVEL.lock().configured
}

/// Logs events of `level` and above from now on, and says so.
pub(crate) fn set(level: LogLevel) {
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
pub(crate) fn configure(level: LogLevel) {
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
    let (level, configured) = (now().as_str(), configured().as_str());
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
        let mut levels = Levels::at(LogLevel::Warn);
        let mut seen = Vec::new();
        for _ in 0..5 {
            levels.more();
            seen.push(levels.now.as_str());
        }
        assert_eq!(seen, ["info", "debug", "trace", "trace", "trace"]);
        assert_eq!(levels.configured, LogLevel::Warn);
    }

    #[test]
    fn our_events_pass_by_the_level_and_others_as_warnings() {
        use tracing::Level;
        let passes = |level, target, of| Levels::at(level).filter().would_enable(target, &of);
        for (level, target, of, expected) in [
            (LogLevel::Error, "vouch::a", Level::WARN, false),
            (LogLevel::Error, "rustls", Level::WARN, true),
            (LogLevel::Error, TARGET, Level::INFO, true),
            (LogLevel::Info, "vouch::a", Level::INFO, true),
            (LogLevel::Info, "vouch_protocol::a", Level::DEBUG, false),
            (LogLevel::Trace, "vouch_protocol::a", Level::TRACE, true),
            (LogLevel::Trace, "rustls", Level::INFO, false),
        ] {
            assert_eq!(passes(level, target, of), expected, "{level} {target} {of}");
        }
    }
}
