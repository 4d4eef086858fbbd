//! The client's part of a dialog that a session carries: a token has one message, which we
//! have; of a relayed dialog each message is fetched from the client.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use vouch_protocol::sasl::RelayedMechanism;
use vouch_protocol::secret::Secret;

use super::error::{Error, Kind, LOGIN};
use super::link::Link;
use super::secrets::SentSecrets;
use super::{Answer, Attempt};
use crate::dialog::Dialog;

/// Bound (questions): wait for a mail server to accept a cancelled dialog. Beyond: the session is closed. Why: no
/// client waits for the answer.
pub(super) const CANCEL_TIMEOUT: Duration = Duration::from_secs(1);

/// The client of one dialog.
pub(super) struct Relaying {
    pub(super) mechanism: RelayedMechanism,
    /// The first message, where the client speaks first.
    initial: Option<Secret<[u8]>>,
    dialog: Option<Dialog>,
    /// The last challenge of the remote. To a token it says why it is refused.
    challenge: Option<Vec<u8>>,
}

impl Relaying {
    /// The client of `attempt`; the remote is `peer`.
    ///
    /// # Errors
    /// Another session was lost when the client had a challenge from it already: no remote can
    /// go on with that.
    pub(super) async fn new(attempt: &Attempt, peer: &Arc<str>) -> Result<Self, Error> {
        match attempt {
            Attempt::Relay(dialog) if !dialog.has_begun().await => Ok(Self {
                mechanism: dialog.mechanism(),
                initial: dialog.initial().cloned(),
                dialog: Some(dialog.clone()),
                challenge: None,
            }),
            Attempt::Token(token) => Ok(Self {
                mechanism: token.mechanism,
                initial: Some(token.message.clone()),
                dialog: None,
                challenge: None,
            }),
            Attempt::Relay(_) | Attempt::Password(_) => {
                let detail = "the session was lost in the middle of the client's dialog";
                Err(Error::new(Kind::Unreachable, peer, LOGIN, detail))
            }
        }
    }

    /// The first message to a remote, which `offers` the mechanism, and whose variant with channel binding it may offer, too.
    /// The link knows the secrets from here on.
    ///
    /// # Errors
    /// The remote cannot have the dialog.
    pub(super) fn begins<C>(
        &mut self,
        attempt: &Attempt,
        (offers, binds): (bool, bool),
        link: &mut Link<C>,
    ) -> Result<Option<Secret<[u8]>>, Error> {
        let (mechanism, peer) = (self.mechanism, &link.remote.peer);
        if !offers {
            return Err(cannot_carry(peer, mechanism));
        }
        let initial = self.initial.take();
        let wants_none = |message: &Secret<[u8]>| mechanism.wants_no_binding_remote(message.expose());
        if binds && initial.as_ref().is_some_and(wants_none) {
            return Err(would_seem_attacked(peer, mechanism));
        }
        link.secrets.note(attempt);
        if let Some(message) = &initial {
            link.secrets.note_message(mechanism, message);
        }
        Ok(initial)
    }

    /// What the client answers to a challenge; `None` when it gives up.
    pub(super) async fn answer(&mut self, challenge: Vec<u8>, deadline: Instant) -> Option<Secret<[u8]>> {
        self.challenge = Some(challenge.clone());
        let Some(dialog) = &self.dialog else {
            // The remote says no only when it was heard out.
            return Some(Secret::copy_from(self.mechanism.after_refusal()));
        };
        dialog.answer(challenge, deadline).await
    }

    /// How it ended.
    pub(super) fn ended<O>(
        self,
        outcome: O,
        (secret_sent, goodbye): (bool, bool),
        secrets: &SentSecrets,
    ) -> Answer<O> {
        Answer {
            outcome,
            challenge: self.challenge.map(|challenge| (self.mechanism, challenge)),
            secret_sent,
            goodbye,
            secrets: secrets.clone(),
        }
    }
}

/// The client left its dialog unfinished.
pub(super) fn given_up(peer: &Arc<str>) -> Error {
    let detail = "the client did not answer a challenge; its dialog was cancelled";
    Error::new(Kind::Abandoned, peer, LOGIN, detail)
}

/// The remote does not offer the mechanism that is to be carried.
fn cannot_carry(peer: &Arc<str>, mechanism: RelayedMechanism) -> Error {
    let detail = format!("it does not offer {}", mechanism.name());
    let advice = "many servers offer it only with TLS, or need it enabled; or remove it from the listener's mechanisms";
    Error::new(Kind::Config, peer, LOGIN, detail).advise(advice)
}

/// The client would see an attack where there is none.
fn would_seem_attacked(peer: &Arc<str>, mechanism: RelayedMechanism) -> Error {
    let mechanism = mechanism.name();
    let detail = format!(
        "the client and the remote can bind {mechanism} to their TLS channels, and vouch in between cannot: \
         it would look like an attack (RFC 5802 section 6)"
    );
    let advice = format!(
        "let the remote not offer {mechanism}-PLUS, or remove {mechanism} from the listener's mechanisms"
    );
    Error::new(Kind::Config, peer, LOGIN, detail).advise(advice)
}
