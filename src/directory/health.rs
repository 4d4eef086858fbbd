//! How a directory is: what its remote answered last, and what its sessions do.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;
use vouch_protocol::sasl::RelayedMechanism;

use super::{Directory, Report, Terms};
use crate::report::State;
use crate::verdict::{Cause, Class, Kind, Proof, Question, Verdict};

/// With an answer within this time, a directory is not silent: it fails in part.
pub(crate) const RECENT_ANSWER: Duration = Duration::from_secs(300);

/// So many answers in a row that are "later" are not about one mailbox any more.
pub(crate) const LATER_IN_A_ROW: u64 = 10;

/// What a directory's remote answered last, and how often since the start of the process.
#[derive(Debug, Clone, Default)]
pub struct Health {
    /// When it last answered: yes, no, or "later" for this mailbox or user.
    pub answered: Option<Instant>,
    /// When there was last neither yes nor no, and why.
    pub failed: Option<(Instant, Cause)>,
    /// Questions that it answered.
    pub answers: u64,
    /// Questions to which it gave no answer.
    pub failures: u64,
    /// How many of these came since it last answered, and when the first of them did.
    pub unanswered: Option<(u64, Instant)>,
    /// How often it said "later" since it last said yes or no, and when the first time was.
    pub later: Option<(u64, Instant)>,
    /// Of several servers: what is unanswered is so of some, while others answer.
    pub in_part: bool,
}

impl Health {
    /// How the directory is.
    pub fn state(&self) -> State {
        let answered_lately = self
            .answered
            .is_some_and(|answered| answered.elapsed() <= RECENT_ANSWER);
        let unanswered = self.unanswered.map_or(0, |(count, _)| count);
        match (unanswered, answered_lately) {
            (0, _) if self.answered.is_none() => State::Unasked,
            (0, _) if self.says_later() => State::Falters,
            (0, _) => State::Answers,
            (_, _) if self.in_part => State::Falters,
            (_, false) => State::Silent,
            (_, true) => State::Falters,
        }
    }

    /// Whether all that it says is "later".
    pub fn says_later(&self) -> bool {
        self.later.is_some_and(|(count, _)| count >= LATER_IN_A_ROW)
    }

    fn note(&mut self, verdict: &Verdict) {
        let now = Instant::now();
        let cause = match verdict {
            Verdict::Accept(_) | Verdict::Reject(_) => None,
            // What it cannot be asked, such as an address that needs SMTPUTF8, says nothing of it.
            Verdict::Defer(cause) if cause.class == Class::Policy && cause.status.is_none() => return,
            Verdict::Defer(cause) => Some(cause),
            Verdict::Abstain(_) => return,
        };
        if let Some(cause) = cause {
            self.failed = Some((now, cause.clone()));
        }
        if cause.is_none_or(is_answer) {
            self.answered = Some(now);
            self.answers += 1;
            self.unanswered = None;
        } else {
            self.failures += 1;
            self.unanswered.get_or_insert((0, now)).0 += 1;
        }
        match cause {
            None => self.later = None,
            Some(cause) if is_answer(cause) => self.later.get_or_insert((0, now)).0 += 1,
            Some(_) => {}
        }
    }
}

/// Whether the remote has answered "later": it was heard, and speaks of this mailbox or user. A 421 is its goodbye to
/// everybody (RFC 5321 section 3.8).
fn is_answer(cause: &Cause) -> bool {
    let status = cause.status.as_deref();
    cause.class == Class::Temporary && status.is_some_and(|status| !status.starts_with("421"))
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
        self.health.lock().note(verdict);
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

    fn relays(&self) -> Option<Vec<RelayedMechanism>> {
        self.directory.relays()
    }

    fn note_offers(&self, carried: Vec<RelayedMechanism>) {
        self.directory.note_offers(carried);
    }

    fn call<'a>(&'a self, deadline: Instant) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>> {
        self.directory.call(deadline)
    }

    fn is_crowded(&self, kind: &Kind) -> bool {
        self.directory.is_crowded(kind)
    }

    fn away(&self) -> Option<Cause> {
        self.directory.away()
    }

    fn report(&self) -> Option<Report> {
        self.directory.report()
    }

    fn health(&self) -> Health {
        self.health.lock().clone()
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;
    use vouch_protocol::secret::Secret;

    use super::*;
    use crate::dialog::dialog;
    use crate::verdict::{Abstention, Class, Client, UserName};

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
    fn an_address_that_it_cannot_be_asked_says_nothing_of_a_directory() {
        let mut health = Health::default();
        let unasked = Verdict::Defer(Cause::ours(Class::Policy, "it needs SMTPUTF8"));
        for _ in 0..100 {
            health.note(&unasked);
        }
        assert_eq!(health.state(), State::Unasked);
        health.note(&Verdict::accept("jane"));
        health.note(&unasked);
        assert_eq!(health.state(), State::Answers);
    }

    #[tokio::test(start_paused = true)]
    async fn how_a_directory_is_follows_from_its_last_answers() {
        use State::{Answers, Falters, Silent, Unasked};
        let (recent, old) = (RECENT_ANSWER.as_secs(), RECENT_ANSWER.as_secs() + 1);
        advance(RECENT_ANSWER * 2).await;
        // Seconds since it answered, questions without an answer since, answers that were "later" since a yes or no.
        for (answered, unanswered, later, expected) in [
            (None, 0, 0, Unasked),
            (None, 1, 0, Silent),
            (Some(0), 0, 0, Answers),
            (Some(old), 0, 0, Answers),
            (Some(0), 0, LATER_IN_A_ROW - 1, Answers),
            (Some(0), 0, LATER_IN_A_ROW, Falters),
            (Some(recent), 1, 0, Falters),
            (Some(recent), 1000, LATER_IN_A_ROW, Falters),
            (Some(old), 1, 0, Silent),
            (Some(old), 1, LATER_IN_A_ROW, Silent),
        ] {
            let now = Instant::now();
            let health = Health {
                answered: answered.map(|seconds| now - Duration::from_secs(seconds)),
                unanswered: (unanswered > 0).then_some((unanswered, now)),
                later: (later > 0).then_some((later, now)),
                ..Health::default()
            };
            let row = format!("{answered:?} {unanswered} {later}");
            assert_eq!(health.state(), expected, "{row}");
            assert_eq!(serde_json::json!(expected), expected.name(), "{row}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn one_busy_mailbox_is_no_trouble_of_the_directory_and_all_of_them_are() {
        let mut health = Health::default();
        assert_eq!(health.state(), State::Unasked);
        let busy = Verdict::Defer(Cause::said(Class::Temporary, "451 4.3.0", "busy"));
        let goodbye = Verdict::Defer(Cause::said(Class::Temporary, "421 4.3.2", "closing"));
        let silence = Verdict::Defer(Cause::ours(Class::Timeout, "no answer in time"));
        for _ in 1..LATER_IN_A_ROW {
            health.note(&busy);
            assert_eq!(health.state(), State::Answers);
        }
        health.note(&busy);
        assert_eq!(health.state(), State::Falters);
        health.note(&Verdict::accept("jane"));
        assert_eq!(health.state(), State::Answers);
        for unanswered in [&silence, &goodbye] {
            health.note(unanswered);
            assert_eq!(health.state(), State::Falters);
        }
        advance(RECENT_ANSWER + Duration::from_secs(1)).await;
        assert_eq!(health.state(), State::Silent);
        health.note(&busy);
        assert_eq!(health.state(), State::Answers);
        assert_eq!((health.answers, health.failures), (LATER_IN_A_ROW + 2, 2));
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
            let (mut asker, dialog) = dialog(RelayedMechanism::CramMd5, None).unwrap();
            let question = Question {
                kind: Kind::Login {
                    user: UserName::new(b""),
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
