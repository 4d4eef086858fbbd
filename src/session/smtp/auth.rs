//! Logins by AUTH.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::time::Instant;
use vouch_protocol::sasl::{Mechanism, RelayedMechanism};
use vouch_protocol::smtp::auth::{self, Auth};

use super::{Hello, Opened, Secrecy};
use crate::session::error::Error;
use crate::session::{self, Answer, Attempt, Credentials, Lacking, Login, Servers, Session};
use crate::settings::directory::LoginMethod;

/// A session on which logins are tried by AUTH.
pub struct AuthSession {
    pub(super) opened: Opened,
    mechanism: Option<Mechanism>,
    in_two: InTwo,
}

/// Set once a remote has refused credentials for being in one line with their command (`500 5.5.6`);
/// shared by all of its sessions.
pub type InTwo = Arc<AtomicBool>;

impl AuthSession {
    /// Opens a session, on which logins are tried by this mechanism.
    ///
    /// # Errors
    /// The step at which the opening failed.
    pub async fn open(
        servers: &Servers,
        hello: &Arc<Hello>,
        mechanism: LoginMethod,
        in_two: InTwo,
        deadline: Instant,
    ) -> Result<Self, Error> {
        let opened = Opened::new(servers, hello, deadline).await?;
        Ok(Self {
            opened,
            mechanism: only(mechanism),
            in_two,
        })
    }

    /// The mechanisms that the remote offers and that can be carried to it.
    pub fn relays(&self) -> Vec<RelayedMechanism> {
        self.opened.capabilities.auth.relayed()
    }
}

impl AuthSession {
    async fn login(
        &mut self,
        attempt: &Attempt,
        credentials: &Credentials,
        deadline: Instant,
    ) -> Result<Answer<auth::Outcome>, Error> {
        let Opened {
            link, capabilities, ..
        } = &mut self.opened;
        link.check_password_may_leave()?;
        let Credentials { user, password } = credentials;
        let Ok(mut dialog) = Auth::new(capabilities, self.mechanism, user, password) else {
            return Err(no_mechanism(&self.opened, self.mechanism));
        };
        if self.in_two.load(Ordering::Relaxed) {
            dialog = dialog.in_two();
        }
        link.wire.listen();
        link.secrets.note(attempt);
        let mut step = dialog.start();
        let mut secret = Secrecy::default();
        loop {
            match step {
                auth::Step::Send(command) => {
                    secret.ends = dialog.has_said_password();
                    let reply = self.opened.exchange_secret(&command, &mut secret, deadline);
                    step = dialog.on_reply(reply.await?);
                }
                auth::Step::Done(outcome) => {
                    self.learn(&outcome);
                    return Ok(Answer {
                        outcome,
                        challenge: None,
                        secret_sent: secret.sent,
                        goodbye: false,
                        secrets: self.opened.link.secrets.clone(),
                    });
                }
            }
        }
    }
}

impl AuthSession {
    fn learn(&self, outcome: &auth::Outcome) {
        if let auth::Outcome::Reply(reply) = outcome
            && reply.code() == 500
            && reply.enhanced() == Some(auth::LINE_TOO_LONG)
        {
            self.in_two.store(true, Ordering::Relaxed);
        }
    }
}

impl Session for AuthSession {
    type Question = Login;
    type Answer = Answer<auth::Outcome>;

    fn about(question: &Login) -> &[u8] {
        question.attempt.user()
    }

    async fn ask(
        &mut self,
        questions: &[Login],
        tell: &mut (dyn FnMut(Answer<auth::Outcome>) + Send),
        deadline: Instant,
    ) -> Result<(), Error> {
        for Login { attempt, origin } in questions {
            self.opened.introduce(*origin, false, deadline).await?;
            tell(match attempt {
                Attempt::Password(credentials) => self.login(attempt, credentials, deadline).await?,
                Attempt::Token(_) | Attempt::Relay(_) => self.relay(attempt, deadline).await?,
            });
        }
        Ok(())
    }

    // Nothing in SMTP takes a login back: there is no `renew`.

    async fn goodbye(&mut self) {
        self.opened.link.unasked().await;
    }

    async fn close(self) {
        self.opened.quit().await;
    }
}

/// The only mechanism to use, if there is to be one. The command LOGIN is of IMAP; the reader of the configuration and
/// `vouch probe` refuse it.
const fn only(mechanism: LoginMethod) -> Option<Mechanism> {
    match mechanism {
        LoginMethod::Auto | LoginMethod::LoginCommand => None,
        LoginMethod::Plain => Some(Mechanism::Plain),
        LoginMethod::Login => Some(Mechanism::Login),
    }
}

/// Whether a password could be tried on a session.
pub(super) fn takes_passwords(opened: &Opened, mechanism: LoginMethod) -> Result<(), Error> {
    let only = only(mechanism);
    opened.link.check_password_may_leave()?;
    let auth = &opened.capabilities.auth;
    let mut ways = [Mechanism::Plain, Mechanism::Login].into_iter();
    if ways.any(|way| auth.offers(way) && only.is_none_or(|only| only == way)) {
        return Ok(());
    }
    Err(no_mechanism(opened, only))
}

/// What is sent for it.
const fn name(mechanism: Mechanism) -> &'static str {
    match mechanism {
        Mechanism::Plain => "AUTH PLAIN",
        Mechanism::Login => "AUTH LOGIN",
    }
}

fn no_mechanism(opened: &Opened, wanted: Option<Mechanism>) -> Error {
    let (offered, link) = (&opened.capabilities, &opened.link);
    let lacking = Lacking {
        offered: &offered.auth,
        command: None,
        starttls: offered.starttls,
        encrypted: link.tls.is_some(),
    };
    session::no_mechanism(&link.remote.peer, &lacking, wanted.map(name))
}
