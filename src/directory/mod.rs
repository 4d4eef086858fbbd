//! Directories: what each kind of remote can be asked, and how its answers are
//! read.
//!
//! [`judge`] turns replies into verdicts by the tables of the protocols; a
//! directory owns the sessions and hands questions to them.

mod challenge;
pub mod health;
pub mod imap;
pub mod judge;
mod offers;
pub mod routed;
pub mod smtp;

use std::future::{Future, ready};
use std::pin::Pin;
use std::sync::Arc;

use tokio::time::Instant;
use vouch_protocol::sasl::RelayedMechanism;

use crate::address::network::Network;
use crate::dialog::HalfDone;
use crate::session::pool::counts::Counts;
use crate::session::pool::{self, Asker, Priority};
use crate::session::{self, After, Answer, Attempt, Credentials, Judged, Origin, Pool, Session, Token, tls};
use crate::template::{Filling, Template};
use crate::verdict::{Cause, Class, Client, Kind, Proof, Question, UserName, Verdict};
use crate::waiting::{Waiter, Waiters};
use health::Health;
use offers::Offers;

/// A remote that knows users or mailboxes.
pub trait Directory: Send + Sync {
    /// Whether this kind of remote can be asked this kind of question at all.
    fn can_answer(&self, kind: &Kind) -> bool;

    /// Asks the remote, on these terms. Whatever goes wrong on the way is a
    /// [`Verdict::Defer`].
    fn probe<'a>(
        &'a self,
        question: &'a Question,
        terms: Terms,
    ) -> Pin<Box<dyn Future<Output = Verdict> + Send + 'a>>;

    /// The mechanisms that can be carried to the remote, as far as is known; `None` before
    /// it was heard of.
    fn relays(&self) -> Option<Vec<RelayedMechanism>> {
        None
    }

    /// The remote was heard to take these mechanisms before this directory was there. What it says itself counts more.
    fn note_offers(&self, _carried: Vec<RelayedMechanism>) {}

    /// Calls the remote, by `deadline`, to hear what it offers.
    fn call<'a>(&'a self, _deadline: Instant) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>> {
        Box::pin(ready(()))
    }

    /// How its remote and the sessions with it are; `None` where there is no remote.
    fn report(&self) -> Option<Report> {
        None
    }

    /// Why it cannot be asked about a login at present: no session lives, and the last could not be opened since the remote
    /// is not there. `None` as well where that is not known.
    fn away(&self) -> Option<Cause> {
        None
    }

    /// Whether a login would have to wait behind others.
    fn is_crowded(&self, _kind: &Kind) -> bool {
        false
    }

    /// What its remote answered last, where that is noted.
    fn health(&self) -> Health {
        Health::default()
    }

    /// The server that a map leads a question to, or why it leads to none; `None` where there is no map.
    fn server_for(&self, _kind: &Kind) -> Option<routed::Lead> {
        None
    }

    /// How the servers are that a map leads to; `None` where there is no map.
    fn servers(&self) -> Option<crate::report::Routed> {
        None
    }
}

/// On which terms a remote is asked.
#[derive(Debug, Clone, Default)]
pub struct Terms {
    /// Such a login was accepted lately: it goes before others. It is no less asked for that.
    pub trusted: bool,
    /// Those who wait for the answer. While no client waits, a question is not sent; once it was sent,
    /// its answer is awaited in any case.
    pub waiters: Waiters,
}

impl Terms {
    /// Those of one who waits until `deadline`, as long as the second is kept.
    pub fn until(deadline: Instant) -> (Self, Waiter) {
        let terms = Self::default();
        let waiter = terms.waiters.join(deadline);
        (terms, waiter)
    }
}

/// What is counted of the sessions with one remote, or with several together.
#[derive(Debug, Clone, Default)]
pub struct Counted {
    /// Of those for recipients.
    pub recipients: Arc<Counts>,
    /// Of those for logins.
    pub logins: Arc<Counts>,
}

/// How a remote and the sessions with it are, and what was counted of them.
#[derive(Debug, Clone)]
pub struct Report {
    /// The sessions, by what is asked on them: `login`, `recipient`.
    pub pools: Vec<(&'static str, pool::Report)>,
    /// The handshakes.
    pub tls: tls::Report,
}

/// How logins are asked, whatever the protocol.
struct Logins<S: Session<Question = session::Login>> {
    pool: Pool<S, Verdict>,
    username: Template,
    half_done: Arc<HalfDone>,
    offers: Offers,
}

impl<S: Session<Question = session::Login>> Logins<S> {
    /// `offers` is what the sessions of `pool` note when they open.
    fn new(pool: Pool<S, Verdict>, username: Template, offers: Offers) -> Self {
        Self {
            half_done: Arc::new(HalfDone::new(pool.dialogs())),
            pool,
            username,
            offers,
        }
    }

    /// Tries a login. An accepted user is known by the name that was asked
    /// about, whatever the remote calls the user.
    async fn ask(
        &self,
        user: &UserName,
        proof: &Proof,
        client: (&Client, Option<Origin>),
        terms: Terms,
    ) -> Verdict {
        let (client, origin) = client;
        let attempt = self.attempt(user, proof);
        let question = session::Login { attempt, origin };
        let asker = Asker {
            standing: standing(proof, terms.trusted),
            network: client.address.map(Network::of_host),
            waiters: terms.waiters,
        };
        let answer = self.pool.ask(question, asker).await;
        // By now a dialog has said whom it is about.
        let user = match proof {
            Proof::Relay(dialog) => &UserName::new(dialog.user().unwrap_or_default()),
            Proof::Password(_) | Proof::Token { .. } => user,
        };
        match answer {
            Ok(Verdict::Accept(_)) => Verdict::accept(user.as_bytes()),
            Ok(verdict) => verdict,
            Err(error) => judge::no_answer(&error),
        }
    }

    /// See [`Directory::is_crowded`].
    fn is_crowded(&self) -> bool {
        self.pool.sessions().waiting > 0
    }

    /// See [`Directory::away`].
    fn away(&self) -> Option<Cause> {
        let error = self.pool.away()?;
        judge::no_answer(&error).cause().cloned()
    }

    /// What is sent to the remote as the user name. A template that wants a domain where the login has none would make a
    /// name of nobody.
    fn name(&self, user: &UserName) -> Vec<u8> {
        let from = Filling {
            user: user.as_bytes(),
            ..Filling::default()
        };
        self.username.fill(&from).unwrap_or_else(|_| from.user.to_vec())
    }

    fn attempt(&self, user: &UserName, proof: &Proof) -> Attempt {
        match proof {
            Proof::Password(password) => Attempt::Password(Credentials {
                user: self.name(user),
                password: password.clone(),
            }),
            Proof::Token { mechanism, rest } => {
                let user = self.name(user);
                Attempt::Token(Token {
                    mechanism: *mechanism,
                    message: mechanism.bearer_message(&user, rest),
                    user,
                })
            }
            Proof::Relay(dialog) => Attempt::Relay(dialog.among(&self.half_done)),
        }
    }
}

/// What a login is worth while sessions are few.
const fn standing(proof: &Proof, trusted: bool) -> Priority {
    match (proof, trusted) {
        (Proof::Relay(_), true) => Priority::TrustedDialog,
        (Proof::Relay(_), false) => Priority::Dialog,
        (_, true) => Priority::Trusted,
        (_, false) => Priority::Stranger,
    }
}

/// The host of a client whose address is to be handed on.
fn origin(client: &Client) -> Option<Origin> {
    Some(Origin {
        address: client.address?,
        port: client.port,
    })
}

/// A verdict on an answer, in a text that repeats no secret, with the message for a refused client.
fn judged_answer<O>(answer: Answer<O>, judge: impl Fn(O) -> Judged<Verdict>) -> Judged<Verdict> {
    let Judged {
        mut verdict,
        mut after,
    } = judge(answer.outcome);
    // To ask again is to try the same secret twice.
    let again = matches!(after, After::RetryPolicy | After::Goodbye);
    if answer.goodbye || (answer.secret_sent && again) {
        after = After::Close;
    }
    if let (Verdict::Reject(cause), Some((mechanism, said))) = (&mut verdict, answer.challenge) {
        if let Some(trouble) = challenge::trouble(mechanism, &said) {
            let text = format!("{trouble}; then {}", cause.detail());
            verdict = Verdict::Defer(Cause::ours(Class::Temporary, text));
        } else if mechanism.is_token() {
            cause.challenge = Some(said);
        }
    }
    if let Verdict::Reject(cause) | Verdict::Defer(cause) = &mut verdict {
        cause.text = answer.secrets.withheld_from(std::mem::take(&mut cause.text));
    }
    Judged { verdict, after }
}
