//! How a directory is: what its remote answered last, and what its sessions do.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use protocol::sasl::Carried;
use tokio::time::Instant;

use super::{Directory, Report, Terms};
use crate::verdict::{Cause, Kind, Proof, Question, Verdict};

/// What a directory's remote answered last, and how often since the start of the process.
#[derive(Debug, Clone, Default)]
pub struct Health {
    /// When it last said yes or no.
    pub answered: Option<Instant>,
    /// When it last gave no answer, and why.
    pub failed: Option<(Instant, Cause)>,
    /// Questions to which it said yes or no.
    pub answers: u64,
    /// Questions to which it gave no answer.
    pub failures: u64,
    /// How many of these came since it last answered, and when the first of them did.
    pub unanswered: Option<(u64, Instant)>,
}

/// A directory whose answers are noted.
pub struct Watched {
    directory: Arc<dyn Directory>,
    health: Mutex<Health>,
}

impl Watched {
    /// Nothing was asked yet.
    pub fn new(directory: Arc<dyn Directory>) -> Self {
        Self {
            directory,
            health: Mutex::default(),
        }
    }

    fn note(&self, verdict: &Verdict) {
        let now = Instant::now();
        let failed = match verdict {
            Verdict::Accept(_) | Verdict::Reject(_) => None,
            Verdict::Defer(cause) => Some((now, cause.clone())),
            Verdict::Abstain(_) => return,
        };
        let mut health = self.health.lock().unwrap_or_else(PoisonError::into_inner);
        if failed.is_none() {
            health.answered = Some(now);
            health.answers += 1;
            health.unanswered = None;
        } else {
            health.failed = failed;
            health.failures += 1;
            health.unanswered.get_or_insert((0, now)).0 += 1;
        }
    }
}

impl Directory for Watched {
    fn can_answer(&self, kind: &Kind) -> bool {
        self.directory.can_answer(kind)
    }

    fn probe<'a>(
        &'a self,
        question: &'a Question,
        terms: Terms,
    ) -> Pin<Box<dyn Future<Output = Verdict> + Send + 'a>> {
        Box::pin(async move {
            let waiters = terms.waiters.clone();
            let verdict = self.directory.probe(question, terms).await;
            // Where all have left, it may not have been asked at all.
            let nobody_waits = waiters.until().is_none() && matches!(verdict, Verdict::Defer(_));
            let left_by_client = match &question.kind {
                Kind::Login {
                    proof: Proof::Relay(dialog),
                    ..
                } => dialog.was_left().await,
                _ => false,
            };
            if !left_by_client && !nobody_waits {
                self.note(&verdict);
            }
            verdict
        })
    }

    fn carries(&self) -> Option<Vec<Carried>> {
        self.directory.carries()
    }

    fn expect(&self, carried: Vec<Carried>) {
        self.directory.expect(carried);
    }

    fn call<'a>(&'a self, deadline: Instant) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>> {
        self.directory.call(deadline)
    }

    fn report(&self) -> Option<Report> {
        self.directory.report()
    }

    fn health(&self) -> Health {
        self.health.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use protocol::secret::Secret;

    use super::*;
    use crate::dialog::dialog;
    use crate::verdict::{Abstention, Class, Client, Login};

    struct Nobody;

    impl Directory for Nobody {
        fn can_answer(&self, _: &Kind) -> bool {
            true
        }

        fn probe<'a>(
            &'a self,
            _: &'a Question,
            _: Terms,
        ) -> Pin<Box<dyn Future<Output = Verdict> + Send + 'a>> {
            Box::pin(async { Verdict::Abstain(Abstention::NoOpinion) })
        }
    }

    #[test]
    fn yes_and_no_are_answers_and_no_opinion_is_neither() {
        let watched = Watched::new(Arc::new(Nobody));
        let cause = |text| Cause::ours(Class::Timeout, text);
        for verdict in [
            Verdict::accept("jane"),
            Verdict::Reject(cause("no such user")),
            Verdict::Abstain(Abstention::NoOpinion),
            Verdict::Defer(cause("first")),
            Verdict::Defer(cause("last")),
            Verdict::Defer(cause("last")),
        ] {
            watched.note(&verdict);
        }
        let health = watched.health();
        assert_eq!((health.answers, health.failures), (2, 3));
        let (at, why) = health.failed.unwrap();
        assert_eq!(why, cause("last"));
        assert!(health.answered.unwrap() <= at);
        let (count, since) = health.unanswered.unwrap();
        assert!(count == 3 && since <= at);
        watched.note(&Verdict::accept("jane"));
        assert_eq!(watched.health().unanswered, None);
    }

    /// Gives no answer to a dialog, whose client has left or else should be asked one thing more.
    struct Cancelled;

    impl Directory for Cancelled {
        fn can_answer(&self, _: &Kind) -> bool {
            true
        }

        fn probe<'a>(
            &'a self,
            question: &'a Question,
            terms: Terms,
        ) -> Pin<Box<dyn Future<Output = Verdict> + Send + 'a>> {
            Box::pin(async move {
                if let Kind::Login {
                    proof: Proof::Relay(dialog),
                    ..
                } = &question.kind
                {
                    let deadline = terms.waiters.until().unwrap();
                    dialog.answer(Vec::new(), deadline).await;
                }
                Verdict::Defer(Cause::ours(Class::Timeout, "no answer"))
            })
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_leaves_is_no_failure_of_the_remote() {
        let watched = Watched::new(Arc::new(Cancelled));
        let later = Instant::now() + Duration::from_secs(60);
        for (leaves, failures) in [(true, 0), (false, 1)] {
            let (mut asker, dialog) = dialog(Carried::CramMd5, None).unwrap();
            let question = Question {
                kind: Kind::Login {
                    user: Login::new(b""),
                    proof: Proof::Relay(dialog),
                },
                client: Client::default(),
            };
            let client = async {
                asker.challenge().await.unwrap();
                if !leaves {
                    asker.respond(Secret::copy_from(b"jane b913a602c7eda7a495b4e6e7334d3890"));
                }
            };
            let (terms, _waiter) = Terms::until(later);
            tokio::join!(watched.probe(&question, terms), client);
            assert_eq!(watched.health().failures, failures);
        }
    }
}
