//! What the store suffers, one after another.

use std::fs;
use std::sync::PoisonError;
use std::thread;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::site::Site;
use super::tally::Tally;
use crate::redis::Redis;

/// From the beginning of one to that of the next.
const EVERY: Duration = Duration::from_secs(20);

/// How long one lasts that does not pass at once.
const LASTS: Duration = Duration::from_secs(8);

/// In their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Suffering {
    Nothing,
    Killed,
    Stopped,
    Filled,
    Flushed,
    Restored,
}

impl Suffering {
    pub(crate) const ALL: [Self; 6] = [
        Self::Nothing,
        Self::Killed,
        Self::Stopped,
        Self::Filled,
        Self::Flushed,
        Self::Restored,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Nothing => "well",
            Self::Killed => "killed, and started again",
            Self::Stopped => "stopped (SIGSTOP)",
            Self::Filled => "filled (noeviction)",
            Self::Flushed => "flushed",
            Self::Restored => "restored from an old copy",
        }
    }
}

/// Until the evening.
pub(super) fn all_day(site: &Site, tally: &Tally, evening: &CancellationToken) {
    for suffering in Suffering::ALL.into_iter().cycle() {
        let until = Instant::now() + EVERY;
        tally.begins(suffering);
        let mut redis = site.redis.lock().unwrap_or_else(PoisonError::into_inner);
        befalls(&mut redis, suffering, || wait(Instant::now() + LASTS, evening));
        drop(redis);
        wait(until, evening);
        if evening.is_cancelled() {
            return;
        }
    }
}

fn wait(until: Instant, evening: &CancellationToken) {
    while Instant::now() < until && !evening.is_cancelled() {
        thread::sleep(Duration::from_millis(20));
    }
}

fn befalls(redis: &mut Redis, suffering: Suffering, lasts: impl Fn()) {
    let (dump, copy) = (redis.scratch().path("dump.rdb"), redis.scratch().path("copy.rdb"));
    match suffering {
        Suffering::Nothing => {}
        Suffering::Killed => {
            redis.crash();
            lasts();
            redis.start_again();
        }
        Suffering::Stopped => {
            redis.freeze(true);
            lasts();
            redis.freeze(false);
        }
        Suffering::Filled => {
            redis.order(&[
                "CONFIG", "SET", "maxmemory-policy", "noeviction", "maxmemory", "1",
            ]);
            lasts();
            redis.order(&["CONFIG", "SET", "maxmemory", "0"]);
        }
        Suffering::Flushed => {
            redis.dump();
            fs::rename(&dump, &copy).unwrap();
            redis.order(&["FLUSHALL"]);
        }
        // What it had before it was flushed.
        Suffering::Restored => {
            redis.crash();
            fs::copy(&copy, &dump).unwrap();
            redis.start_again();
            fs::remove_file(&dump).unwrap();
        }
    }
}
