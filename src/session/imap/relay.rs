//! Logins whose proof is not ours: tokens, and dialogs of clients.

use tokio::time::Instant;
use vouch_protocol::imap::login::Outcome;
use vouch_protocol::imap::relay::{Relay, Step};

use super::{LoginSession, goodbye, hear};
use crate::session::error::{Error, LOGIN};
use crate::session::relaying::{CANCEL_TIMEOUT, Relaying, given_up};
use crate::session::{Answer, Attempt};

impl LoginSession {
    pub(super) async fn relay(
        &mut self,
        attempt: &Attempt,
        mut deadline: Instant,
    ) -> Result<Answer<Outcome>, Error> {
        self.link.check_password_may_leave()?;
        let mut client = Relaying::new(attempt, &self.link.remote.peer).await?;
        self.link.wire.listen();
        self.hear_remarks(LOGIN, deadline).await?;
        let Self {
            link,
            confirm,
            capabilities,
            tags,
            ..
        } = self;
        let (mechanism, auth) = (client.mechanism, &capabilities.auth);
        let offered = (auth.relays(mechanism), auth.binds_channels(mechanism));
        let initial = client.begins(attempt, offered, link)?;
        let mut dialog = Relay::new(capabilities, tags, mechanism, initial, *confirm);
        let mut step = dialog.start();
        let (mut secret_sent, mut gave_up, mut by) = (false, false, deadline);
        loop {
            match step {
                Step::Read => {}
                Step::Send(command) => {
                    let sent = link.send(&command, LOGIN, deadline).await;
                    by = sent.map_err(|error| error.after(secret_sent))?;
                    secret_sent |= dialog.has_said_proof();
                }
                Step::Challenge(challenge) => {
                    step = match client.answer(challenge, deadline).await {
                        Some(message) => {
                            link.secrets.note_message(mechanism, &message);
                            dialog.respond(&message)
                        }
                        None => {
                            gave_up = true;
                            deadline = Instant::now() + CANCEL_TIMEOUT;
                            dialog.cancel()
                        }
                    };
                    continue;
                }
                Step::Done(_) if gave_up => return Err(given_up(&link.remote.peer)),
                Step::Done(outcome) => {
                    let goodbye = dialog.goodbye().is_some();
                    return Ok(client.ended(outcome, (secret_sent, goodbye), &link.secrets));
                }
            }
            let heard = hear(link, dialog.goodbye(), by).await;
            let response = heard.map_err(|error| error.after(secret_sent))?;
            step = dialog.on_response(response);
            if let Some(status) = dialog.goodbye().filter(|_| !secret_sent) {
                return Err(goodbye(link, status));
            }
        }
    }
}
