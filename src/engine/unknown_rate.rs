//! A budget for harvests: how many recipients a remote may refuse within a time. Beyond it, recipients without a
//! cached answer are not asked about, so that a remote that bans clients for many unknown recipients does not ban
//! this host.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};
use tokio::time::Instant;

pub(super) use crate::settings::limit::Rate;

/// What one directory's remote has refused lately. Questions under way count once they are answered: a burst of good
/// ones is not deferred on suspicion.
#[derive(Debug)]
pub(crate) struct UnknownRate {
    directory: Arc<str>,
    rate: Rate,
    refused: Mutex<Refused>,
}

#[derive(Debug, Default)]
struct Refused {
    /// When each was, the oldest first; no more than make a difference.
    times: VecDeque<Instant>,
    /// The log has it that they are too many.
    told: bool,
}

impl UnknownRate {
    /// Nobody was refused yet.
    pub(crate) fn new(directory: Arc<str>, rate: Rate) -> Self {
        Self {
            directory,
            rate,
            refused: Mutex::default(),
        }
    }

    /// How many are allowed, and within how long.
    pub(crate) const fn rate(&self) -> Rate {
        self.rate
    }

    /// The remote refused a recipient.
    pub(crate) fn refused(&self) {
        let mut refused = self.now();
        if refused.times.len() >= self.rate.most as usize {
            refused.times.pop_front();
        }
        refused.times.push_back(Instant::now());
        let is_news = refused.times.len() >= self.rate.most as usize && !refused.told;
        refused.told |= is_news;
        drop(refused);
        if is_news {
            let (directory, Rate { most, within }) = (&*self.directory, self.rate);
            tracing::warn!(
                directory,
                "{most} recipients were refused within {} s (limits.unknown-rate): recipients without a cached answer \
                 are deferred without asking, known ones are served",
                within.as_secs()
            );
        }
    }

    /// Whether there were too many.
    pub(crate) fn is_spent(&self) -> bool {
        self.count() >= self.rate.most as usize
    }

    /// How many there were within the time. The log has it that they are few again once they are half as many: near
    /// the limit each question may go either way.
    pub(crate) fn count(&self) -> usize {
        let mut refused = self.now();
        let count = refused.times.len();
        let ends = refused.told && count <= self.rate.most as usize / 2;
        refused.told &= !ends;
        drop(refused);
        if ends {
            let directory = &*self.directory;
            tracing::info!(
                directory,
                "recipients that are not remembered are asked about again (limits.unknown-rate)"
            );
        }
        count
    }

    fn now(&self) -> MutexGuard<'_, Refused> {
        let mut refused = self.refused.lock();
        while refused
            .times
            .front()
            .is_some_and(|since| since.elapsed() >= self.rate.within)
        {
            refused.times.pop_front();
        }
        refused
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn within_any_such_time_so_many_are_refused_and_no_more_are_kept() {
        let minute = Duration::from_secs(60);
        let rate = UnknownRate::new(
            "m".into(),
            Rate {
                most: 3,
                within: minute,
            },
        );
        for expected in [1, 2, 3, 3, 3] {
            rate.refused();
            assert_eq!((rate.count(), rate.is_spent()), (expected, expected == 3));
        }
        advance(minute / 2).await;
        rate.refused();
        advance(minute / 2).await;
        assert_eq!((rate.count(), rate.is_spent()), (1, false));
        assert!(!rate.now().told, "that it is over was told");
        advance(minute / 2).await;
        assert_eq!(rate.count(), 0);
    }
}
