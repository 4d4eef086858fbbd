//! A client's dialog with the remote, as the listener sees it: turn by turn.
//!
//! What a SCRAM server says last reaches the client as a challenge too, never by `resp=` in OK:
//! neither IMAP nor SMTP has room for it beside their yes.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};
use vouch_protocol::sasl::relayed::Unreadable;
use vouch_protocol::secret::Secret;

use super::{AuthListener, Decided, RequestContext};
use crate::dialog::{Asker, Dialog};
use crate::engine::{Decision, Source};
use crate::server::login::Login;
use crate::verdict::{Cause, Class, Kind, Proof, UserName, Verdict};

/// Bound (questions): time of a whole dialog. Beyond: the dialog is cancelled, no answer. Why: two or three answers
/// of each side, which a client has at hand.
pub(super) const DIALOG_TIME: Duration = Duration::from_secs(60);

/// A dialog under way. Dropping it ends it at the remote, too.
pub(crate) struct Relay {
    listener: Arc<AuthListener>,
    asked: RequestContext,
    login: Login,
    asker: Asker,
    deciding: Pin<Box<dyn Future<Output = Decided> + Send>>,
    /// Whether it counts against its client when it ends now.
    abandoned: bool,
}

/// How a turn of the remote ended.
pub(crate) enum Turn {
    /// The question was decided on.
    Decided(Box<Decided>),
    /// The answer was held back, and is due.
    Due(Box<Decided>),
    /// The client waits for it no more.
    GivenUp,
    /// The client is to answer this.
    Challenge {
        /// The serial number of the turn.
        serial: u64,
        relay: Box<Relay>,
        challenge: Vec<u8>,
    },
}

impl Relay {
    /// A dialog that begins.
    pub(super) fn new(
        listener: Arc<AuthListener>,
        connection: u64,
        asked: RequestContext,
        (asker, dialog): (Asker, Dialog),
    ) -> Self {
        let user = UserName::new(asker.user().unwrap_or_default());
        let kind = Kind::Login {
            user: user.clone(),
            proof: Proof::Relay(dialog),
        };
        let login = listener.login(&kind, &asked, connection);
        let deciding = listener
            .clone()
            .decide(asked.clone(), user, kind, login.clone(), DIALOG_TIME);
        Self {
            listener,
            asked,
            login,
            asker,
            deciding: Box::pin(deciding),
            abandoned: false,
        }
    }

    pub(super) fn asked(&self) -> &RequestContext {
        &self.asked
    }

    /// Hands the client's answer on, if it may be.
    ///
    /// # Errors
    /// The decision against it; the dialog is over.
    pub(super) fn answer(&mut self, message: Secret<[u8]>) -> Result<(), Box<Decided>> {
        let known = self.asker.user().is_some();
        if let Err(error) = self.asker.read(&message) {
            let cause = Cause::ours(Class::Syntax, error.to_string());
            let verdict = match error {
                Unreadable::TooLong => Verdict::Defer(cause),
                _ => Verdict::Reject(cause),
            };
            return Err(self.decided(verdict, Source::Local));
        }
        let user = self.user();
        if !known {
            if let Some(verdict) = self.listener.gate.denies(&user, &self.asked.client) {
                return Err(self.decided(verdict, Source::Access));
            }
            if let Some(Decision { verdict, source, .. }) = self.listener.gate.engine.refuse(&user) {
                return Err(self.decided(verdict, source));
            }
        }
        self.asker.respond(message);
        Ok(())
    }

    /// Waits until the remote has said something, for as long as the client has patience.
    pub(super) async fn turn(mut self: Box<Self>, serial: u64) -> Turn {
        let patience = Instant::now() + self.listener.patience(&self.asked.client);
        let mut decided = tokio::select! {
            biased;
            Some(challenge) = self.asker.challenge() => {
                self.abandoned = true;
                return Turn::Challenge { serial, relay: self, challenge };
            }
            decided = &mut self.deciding => Box::new(decided),
            () = sleep_until(patience) => {
                let cause = Cause::ours(Class::Timeout, "no answer in time");
                self.decided(Verdict::Defer(cause), Source::Probe)
            }
        };
        self.abandoned = false;
        decided.serial = serial;
        decided.user = self.user();
        decided.given = self.user();
        decided.patience = patience;
        Turn::Decided(decided)
    }

    fn user(&self) -> UserName {
        UserName::new(self.asker.user().unwrap_or_default())
    }

    fn decided(&self, verdict: Verdict, source: Source) -> Box<Decided> {
        let decision = Decision {
            verdict,
            source,
            directory: self.listener.gate.engine.only_directory(),
        };
        let (listener, asked, login) = (self.listener.clone(), self.asked.clone(), self.login.clone());
        let patience = Instant::now() + listener.patience(&asked.client);
        Box::new(Decided {
            patience,
            ..Decided::new(listener, asked, self.user(), login, decision)
        })
    }
}

impl Drop for Relay {
    /// A dialog that its client leaves in the middle held a session of the remote and proved
    /// nothing: it counts as a failure, or guessing and probing for names would cost nothing.
    fn drop(&mut self) {
        if self.abandoned {
            self.login.is_abandoned();
        }
    }
}
