//! Logins whose proof is not ours: tokens, and dialogs of clients.

use tokio::time::Instant;
use vouch_protocol::secret::Secret;
use vouch_protocol::smtp::auth::Outcome;
use vouch_protocol::smtp::relay::{Relay, Step};

use super::Secrecy;
use super::auth::AuthSession;
use crate::session::error::Error;
use crate::session::relaying::{CANCEL_TIMEOUT, Relaying, given_up};
use crate::session::{Answer, Attempt, cannot_carry, would_seem_attacked};

impl AuthSession {
    pub(super) async fn relay(
        &mut self,
        attempt: &Attempt,
        mut deadline: Instant,
    ) -> Result<Answer<Outcome>, Error> {
        let opened = &mut self.opened;
        let peer = opened.remote.peer.clone();
        opened.remote.check_password_may_leave(opened.tls.is_some())?;
        let mut client = Relaying::new(attempt, &peer).await?;
        let (mechanism, offered) = (client.mechanism, &opened.capabilities.auth);
        if !offered.relays(mechanism) {
            return Err(cannot_carry(&peer, mechanism));
        }
        let first = client.initial.as_ref().map(Secret::expose);
        if offered.binds_channels(mechanism)
            && first.is_some_and(|message| mechanism.wants_no_binding_remote(message))
        {
            return Err(would_seem_attacked(&peer, mechanism));
        }
        opened.wire.listen();
        opened.secrets.note(attempt);
        if let Some(message) = &client.initial {
            opened.secrets.note_message(mechanism, message);
        }
        let mut dialog = Relay::new(mechanism, client.initial.take());
        let mut step = dialog.start();
        let mut gave_up = false;
        let mut secret = Secrecy::default();
        loop {
            step = match step {
                Step::Send(command) => {
                    secret.ends = dialog.has_said_proof();
                    let reply = opened.exchange_secret(&command, &mut secret, deadline);
                    dialog.on_reply(reply.await?)
                }
                Step::Challenge(challenge) => match client.answer(challenge, deadline).await {
                    Some(message) => {
                        opened.secrets.note_message(mechanism, &message);
                        dialog.respond(&message)
                    }
                    None => {
                        gave_up = true;
                        deadline = Instant::now() + CANCEL_TIMEOUT;
                        dialog.cancel()
                    }
                },
                Step::Done(_) if gave_up => return Err(given_up(&peer)),
                Step::Done(outcome) => {
                    return Ok(client.ended(outcome, (secret.sent, false), &opened.secrets));
                }
            };
        }
    }
}
