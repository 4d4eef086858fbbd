//! What happened to the sessions of a pool, and to the questions asked on them.

use strum::{IntoStaticStr, VariantArray};

use crate::session::error::{Error, Kind};
use crate::telemetry::counter::Counter;
use crate::telemetry::histogram::Histogram;

/// What is counted. All of it since the start of the process.
#[derive(Debug, Default)]
pub struct Counts {
    /// From a question's arrival to its being asked on a session.
    pub queued: Histogram,
    /// From its being asked to the remote's answer.
    pub probed: Histogram,
    /// Questions that got no answer, by why.
    pub errors: ByKind,
    /// How long it took to open the sessions that were opened.
    pub opened: Histogram,
    /// Sessions that could not be opened, by why.
    pub not_opened: ByKind,
    /// Questions asked on a session that had been asked before.
    pub reused: Counter,
    /// Sessions that ended.
    closed: [Counter; Closed::VARIANTS.len()],
}

/// Why a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, VariantArray, IntoStaticStr)]
#[strum(serialize_all = "kebab-case")]
pub enum Closed {
    /// It was asked, or refused, as often as the directory's limits or the remote's own allow.
    Limit,
    /// It reached `pool.max-age`.
    Age,
    /// It was asked nothing for `pool.idle-timeout`.
    Idle,
    /// It accepted a login, after which nothing else can be asked on it.
    Spent,
    /// The remote ended it, by a goodbye or without a word, while nothing was asked.
    Goodbye,
    /// The remote's answer left no trust in it, or was about the session itself.
    Answer,
    /// It broke while something was asked.
    Error,
}

impl Closed {
    /// The name used in metrics.
    pub fn name(self) -> &'static str {
        self.into()
    }
}

impl Counts {
    pub(super) fn close(&self, why: Closed) {
        if let Some(counter) = self.closed.get(why as usize) {
            counter.count();
        }
    }

    /// Sessions that ended, by why.
    pub fn closed(&self) -> impl Iterator<Item = (Closed, u64)> {
        Closed::VARIANTS
            .iter()
            .copied()
            .zip(self.closed.iter().map(Counter::get))
    }
}

/// Errors by their kind.
#[derive(Debug, Default)]
pub struct ByKind([Counter; Kind::ALL.len()]);

impl ByKind {
    /// That a client leaves its dialog is no error of the remote, and has no place here.
    pub(super) fn count(&self, error: &Error) {
        if let Some(counter) = self.0.get(error.kind() as usize) {
            counter.count();
        }
    }

    /// How many there were of each kind.
    pub fn get(&self) -> impl Iterator<Item = (Kind, u64)> {
        Kind::ALL.into_iter().zip(self.0.iter().map(Counter::get))
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::pin::Pin;
    use std::sync::Arc;
    use std::time::Duration;

    use tokio::time::{Instant, sleep};

    use super::*;
    use crate::session::pool::{Asker, Limits, Pool};
    use crate::session::{After, Judged, Session};
    use crate::settings::directory::{MaxSessions, Pool as Keys};

    /// Takes 300 ms to open and 20 ms to answer, with what is to become of it then. Asked for a
    /// goodbye, it gives up after a second without a question.
    struct Slow {
        leaves: bool,
    }

    /// What a question is to bring about.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    enum Ask {
        End(After),
        Break,
    }

    impl Session for Slow {
        type Question = Ask;
        type Answer = ();

        fn about(_: &Ask) -> &[u8] {
            &[]
        }

        async fn ask(
            &mut self,
            questions: &[Ask],
            tell: &mut (dyn FnMut(()) + Send),
            _: Instant,
        ) -> Result<(), Error> {
            sleep(Duration::from_millis(20)).await;
            if questions.contains(&Ask::Break) {
                return Err(Error::new(
                    Kind::Protocol,
                    &"remote".into(),
                    "question",
                    "nonsense",
                ));
            }
            tell(());
            Ok(())
        }

        async fn goodbye(&mut self) {
            if self.leaves {
                sleep(Duration::from_secs(1)).await;
            } else {
                pending::<()>().await;
            }
        }

        async fn close(self) {}
    }

    const LIMITS: Limits = Limits {
        max_sessions: 1,
        keys: Keys {
            max_sessions: MaxSessions::each(1),
            max_servers: 1,
            warm_sessions: 0,
            queue: 10,
            idle_timeout: Duration::from_secs(10),
            max_age: Duration::from_secs(60),
        },
        timeout: Duration::from_secs(30),
        questions: None,
        refusals: None,
    };

    fn pool(limits: Limits, leaves: bool) -> Pool<Slow, ()> {
        let open = Box::new(move |_| {
            let opening = async move {
                sleep(Duration::from_millis(300)).await;
                Ok(Slow { leaves })
            };
            Box::pin(opening) as Pin<Box<dyn Future<Output = _> + Send>>
        });
        let judge = Box::new(|asked: &Ask, ()| Judged {
            verdict: (),
            after: match asked {
                Ask::End(after) => *after,
                Ask::Break => After::Close,
            },
        });
        Pool::new(
            "remote".into(),
            limits,
            (&Arc::default(), &Arc::default()),
            open,
            judge,
        )
    }

    #[tokio::test(start_paused = true)]
    async fn a_session_ends_for_one_reason() {
        let keep = Ask::End(After::Keep);
        let one = Limits {
            questions: Some(1),
            ..LIMITS
        };
        let short = Limits {
            keys: Keys {
                max_age: Duration::from_secs(5),
                ..LIMITS.keys
            },
            ..LIMITS
        };
        for (limits, leaves, ask, why) in [
            (one, false, keep, Closed::Limit),
            (short, false, keep, Closed::Age),
            (LIMITS, false, keep, Closed::Idle),
            (LIMITS, false, Ask::End(After::Spent), Closed::Spent),
            (LIMITS, true, keep, Closed::Goodbye),
            (LIMITS, false, Ask::End(After::Close), Closed::Answer),
            (LIMITS, false, Ask::Break, Closed::Error),
        ] {
            let pool = pool(limits, leaves);
            let (asker, _waiter) = Asker::until(Instant::now() + LIMITS.keys.max_age);
            let answer = pool.ask(ask, asker).await;
            assert_eq!(answer.is_err(), ask == Ask::Break, "{why:?}");
            sleep(LIMITS.keys.idle_timeout * 2).await;
            let counts = pool.report().counts;
            let closed: Vec<_> = counts.closed().filter(|(_, count)| *count > 0).collect();
            assert_eq!(closed, [(why, 1)]);
            let errors: u64 = counts.errors.get().map(|(_, count)| count).sum();
            assert_eq!(errors, u64::from(ask == Ask::Break), "{why:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_queues_time_is_not_the_remotes() {
        let pool = pool(LIMITS, false);
        let ask = async || {
            let (asker, _waiter) = Asker::until(Instant::now() + LIMITS.keys.max_age);
            pool.ask(Ask::End(After::Keep), asker).await
        };
        let (one, other) = tokio::join!(ask(), ask());
        assert!(one.is_ok() && other.is_ok());
        let report = pool.report();
        let ms = Duration::from_millis;
        // The second waited for the opening, and for the first.
        assert_eq!(report.counts.queued.get().sum, ms(300 + 320));
        assert_eq!(report.counts.probed.get().sum, ms(20 + 20));
        assert_eq!(report.counts.opened.get().sum, ms(300));
        assert_eq!(report.counts.reused.get(), 1);
        assert_eq!(
            (report.sessions.idle, report.sessions.max, report.queue),
            (1, 1, 10)
        );
    }

    #[test]
    fn each_is_counted_under_its_own_name() {
        let counts = Counts::default();
        for (times, why) in Closed::VARIANTS.iter().copied().enumerate() {
            (0..times).for_each(|_| counts.close(why));
        }
        for (times, (why, counted)) in counts.closed().enumerate() {
            assert_eq!((why as usize, counted), (times, times as u64), "{}", why.name());
        }
        for (times, kind) in Kind::ALL.into_iter().enumerate() {
            let error = Error::new(kind, &"remote".into(), "step", "detail");
            (0..times).for_each(|_| counts.errors.count(&error));
        }
        for (times, (kind, counted)) in counts.errors.get().enumerate() {
            assert_eq!((kind as usize, counted), (times, times as u64), "{}", kind.name());
        }
    }
}
