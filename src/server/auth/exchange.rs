//! The steps of each mechanism, from a client's first message to a question for the engine.

use vouch_protocol::auth::client::{Failure, Mech};
use vouch_protocol::sasl::relayed::Unreadable;
use vouch_protocol::sasl::{self, RelayedMechanism};
use vouch_protocol::secret::Secret;

use super::Decided;
use super::relay::Relay;
use crate::dialog::{Asker, Dialog, dialog};
use crate::settings::mechanism::Mechanism;
use crate::verdict::{Proof, UserName};

impl From<Mechanism> for Mech {
    fn from(spoken: Mechanism) -> Self {
        match spoken {
            Mechanism::Password(mechanism) => mechanism.into(),
            Mechanism::Relayed(mechanism) => mechanism.into(),
        }
    }
}

/// A request that waits for its client.
pub(super) enum Exchange {
    /// We ask for a name and a password.
    Password(sasl::Exchange),
    /// The first message of a mechanism that is carried.
    First(RelayedMechanism),
    /// The client has a challenge of the remote.
    Relay(Box<Relay>),
    /// The client got the reason why its token is not good. Only after that, it gets the "no" (RFC
    /// 7628 §3.2.3).
    Refused(Box<Decided>, Failure),
}

/// What comes next.
pub(super) enum Step {
    /// The client is to answer this.
    Challenge(Exchange, Vec<u8>),
    /// It has said all.
    Ask(UserName, Proof),
    /// It begins a dialog with the remote.
    Begin(Asker, Dialog),
    /// It goes on with that, and said this.
    GoOn(Box<Relay>, Secret<[u8]>),
    /// It has heard why.
    Refused(Box<Decided>, Failure),
    /// Its message is no login of anybody.
    Malformed(String),
    /// Its message may be good, and is longer than what we carry.
    TooLong(String),
}

impl Exchange {
    /// Begins an exchange. `initial` is the decoded initial response, if there was one.
    pub(super) fn start(spoken: Mechanism, initial: Option<Secret<[u8]>>) -> Step {
        match spoken {
            Mechanism::Password(mechanism) => {
                let (exchange, step) = sasl::Exchange::start(mechanism, initial);
                password(exchange, step)
            }
            Mechanism::Relayed(mechanism) if mechanism.client_first() => match initial {
                Some(message) => first(mechanism, message),
                None => Step::Challenge(Self::First(mechanism), Vec::new()),
            },
            // The server speaks first, so whatever was said was no answer to its challenge.
            Mechanism::Relayed(_) if initial.is_some_and(|said| !said.expose().is_empty()) => {
                Step::Malformed("an initial response where the mechanism has none".into())
            }
            Mechanism::Relayed(mechanism) => begin(mechanism, None),
        }
    }

    /// The step after the client's message, decoded.
    pub(super) fn next(self, message: Secret<[u8]>) -> Step {
        match self {
            Self::Password(mut exchange) => {
                let step = exchange.next(message);
                password(exchange, step)
            }
            Self::First(mechanism) => first(mechanism, message),
            Self::Relay(relay) => Step::GoOn(relay, message),
            Self::Refused(decided, failure) => Step::Refused(decided, failure),
        }
    }
}

fn password(exchange: sasl::Exchange, step: sasl::Step) -> Step {
    match step {
        sasl::Step::Challenge(prompt) => Step::Challenge(Exchange::Password(exchange), prompt.to_vec()),
        sasl::Step::Credentials(credentials) => {
            let sasl::Credentials { user, password } = credentials;
            Step::Ask(UserName::new(&user), Proof::Password(password))
        }
        sasl::Step::Failed(error) => Step::Malformed(error.to_string()),
    }
}

fn first(mechanism: RelayedMechanism, message: Secret<[u8]>) -> Step {
    if !mechanism.is_token() {
        return begin(mechanism, Some(message));
    }
    match mechanism.bearer(message.expose()) {
        Ok(bearer) => {
            let rest = bearer.rest;
            Step::Ask(UserName::new(&bearer.user), Proof::Token { mechanism, rest })
        }
        Err(error) => unreadable(error),
    }
}

fn begin(mechanism: RelayedMechanism, initial: Option<Secret<[u8]>>) -> Step {
    match dialog(mechanism, initial) {
        Ok((asker, dialog)) => Step::Begin(asker, dialog),
        Err(error) => unreadable(error),
    }
}

fn unreadable(error: Unreadable) -> Step {
    match error {
        Unreadable::TooLong => Step::TooLong(error.to_string()),
        _ => Step::Malformed(error.to_string()),
    }
}
