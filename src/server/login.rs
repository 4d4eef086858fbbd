//! A login that is asked about, and what its outcome counts for.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::counts::Entry;
use super::gate::Gate;
use super::login_limits::{Attempt, Sessions};
use super::penalty::{Failure, Offender};
use crate::dialog::Dialog;
use crate::engine::Decision;
use crate::fleet::guesses::{Guesses, Hint};
use crate::verdict::{Client, Kind, Proof, Question, UserName, Verdict};

/// The gate of a listener for logins.
pub(super) type LoginGate = Gate<Sessions>;

/// A login at the gate.
#[derive(Clone)]
pub(super) struct Login {
    pub(super) gate: Arc<LoginGate>,
    name: Name,
    pub(super) client: Client,
    pub(super) began: Instant,
    offender: Option<Offender>,
    attempt: Attempt,
    /// By which other edges tell its failure from others.
    hint: Option<Hint>,
}

/// The user of a login.
#[derive(Clone)]
enum Name {
    /// This user.
    Known(UserName),
    /// The user that this dialog names.
    Of(Dialog),
}

impl Login {
    /// A login that begins. Its failure counts as one of the connection of that number, and as a guess unless its client
    /// says that there is none (`no_penalty`).
    pub(super) fn new(
        gate: &Arc<LoginGate>,
        kind: &Kind,
        client: Client,
        connection: u64,
        no_penalty: bool,
    ) -> Self {
        let is_guess = !no_penalty;
        let session = is_guess.then(|| gate.limits.of(connection, &client)).flatten();
        let offender = is_guess.then(|| gate.offender(&client)).flatten();
        let is_counted = session.is_some() || offender.is_some();
        Self {
            gate: gate.clone(),
            name: match kind {
                Kind::Login {
                    proof: Proof::Relay(dialog),
                    ..
                } => Name::Of(dialog.clone()),
                Kind::Login { user, .. } => Name::Known(user.clone()),
                Kind::Recipient(address) => Name::Known(UserName::new(&address.to_unquoted())),
            },
            client,
            began: Instant::now(),
            offender,
            attempt: Attempt {
                session,
                // Before the password is the engine's.
                tag: is_counted.then(|| gate.engine.tag(kind)).flatten(),
            },
            hint: offender.and_then(|_| hint(gate.guesses()?, kind)),
        }
    }

    /// The decision on it within `time`.
    pub(super) async fn decide(&self, kind: Kind, time: Duration) -> Decision {
        let client = self.client.clone();
        let (question, attempt) = (Question { kind, client }, self.attempt.clone());
        let (late, deadline) = (self.clone(), self.began + time);
        let late = Box::new(move |decision| late.hear_late(&decision));
        self.gate
            .ask(question, self.offender, attempt, deadline, Some(late))
            .await
    }

    /// How late the penalty has the answer; a failure of the user is counted.
    pub(super) fn delay(&self, user: &UserName, decision: &Decision) -> Duration {
        let counts = self.offender.is_some() && decision.is_failed_attempt();
        let account = counts.then(|| self.gate.engine.account(user));
        let failure = account.as_ref().map(|account| Failure {
            user: Some(account.as_bytes()),
            what: self.attempt.tag.as_ref(),
            mark: self
                .gate
                .guesses()
                .zip(self.hint)
                .map(|(guesses, hint)| guesses.login(account.as_bytes(), hint)),
        });
        self.gate.delay(self.offender, failure)
    }

    /// Counts it as a failure of its session: its client left in the middle of it.
    pub(super) fn is_abandoned(&self) {
        if let Some(session) = self.attempt.session {
            self.gate.limits.failed(session, None);
        }
    }

    /// Counts and logs a decision. `delayed` is how long the answer was held back behind
    /// the verdict.
    pub(super) fn log(
        &self,
        user: &UserName,
        decision: &Decision,
        (took, delayed): (Duration, Option<Duration>),
        answer: &str,
    ) {
        self.gate.tell(&Entry {
            question: "login",
            about: user.as_bytes(),
            client: &self.client,
            instance: None,
            decision,
            took,
            delayed,
            answer,
        });
    }

    /// Counts and logs a remote's answer after its client stopped waiting: it got "later", has cancelled, or has gone. The
    /// remote has counted the attempt, so we do.
    fn hear_late(self, decision: &Decision) {
        if !decision.is_failed_attempt() && !matches!(decision.verdict, Verdict::Accept(_)) {
            return;
        }
        let user = match &self.name {
            Name::Known(user) => user.clone(),
            Name::Of(dialog) => UserName::new(dialog.user().unwrap_or_default()),
        };
        self.gate.limits.count(&self.attempt, decision);
        // Nobody hears the answer, so there is nothing to hold back.
        let _ = self.delay(&user, decision);
        self.log(&user, decision, (self.began.elapsed(), None), "too late");
    }
}

/// By which other edges tell a failed login from others; `None` for a dialog, which is like no other.
fn hint(guesses: &Guesses, kind: &Kind) -> Option<Hint> {
    match kind {
        Kind::Login {
            proof: Proof::Password(secret) | Proof::Token { rest: secret, .. },
            ..
        } => Some(guesses.hint(secret.expose())),
        Kind::Login { .. } | Kind::Recipient(_) => None,
    }
}
