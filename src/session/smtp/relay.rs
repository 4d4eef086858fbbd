//! Logins whose proof is not ours: tokens, and dialogs of clients.

use tokio::time::Instant;
use vouch_protocol::smtp::auth::Outcome;
use vouch_protocol::smtp::relay::{Relay, Step};

use super::Secrecy;
use super::auth::AuthSession;
use crate::session::error::Error;
use crate::session::relaying::{CANCEL_TIMEOUT, Relaying, given_up};
use crate::session::{Answer, Attempt};

impl AuthSession {
    pub(super) async fn relay(
        &mut self,
        attempt: &Attempt,
        mut deadline: Instant,
    ) -> Result<Answer<Outcome>, Error> {
        let opened = &mut self.opened;
        opened.link.check_password_may_leave()?;
        let mut client = Relaying::new(attempt, &opened.link.remote.peer).await?;
        let (mechanism, auth) = (client.mechanism, &opened.capabilities.auth);
        let offered = (auth.relays(mechanism), auth.binds_channels(mechanism));
        let initial = client.begins(attempt, offered, &mut opened.link)?;
        opened.link.wire.listen();
        let mut dialog = Relay::new(mechanism, initial);
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
                        opened.link.secrets.note_message(mechanism, &message);
                        dialog.respond(&message)
                    }
                    None => {
                        gave_up = true;
                        deadline = Instant::now() + CANCEL_TIMEOUT;
                        dialog.cancel()
                    }
                },
                Step::Done(_) if gave_up => return Err(given_up(&opened.link.remote.peer)),
                Step::Done(outcome) => {
                    return Ok(client.ended(outcome, (secret.sent, false), &opened.link.secrets));
                }
            };
        }
    }
}
