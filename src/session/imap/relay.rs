//! Logins whose proof is not ours: tokens, and dialogs of clients.

use tokio::time::Instant;
use vouch_protocol::imap::login::Outcome;
use vouch_protocol::imap::relay::{Relay, Step};
use vouch_protocol::secret::Secret;

use super::{LoginSession, goodbye, hear, send};
use crate::session::error::{Error, LOGIN};
use crate::session::relaying::{CANCEL_TIMEOUT, Relaying, given_up};
use crate::session::{Answer, Attempt, cannot_carry, would_seem_attacked};

impl LoginSession {
    pub(super) async fn relay(
        &mut self,
        attempt: &Attempt,
        mut deadline: Instant,
    ) -> Result<Answer<Outcome>, Error> {
        self.remote.check_password_may_leave(self.tls.is_some())?;
        let mut client = Relaying::new(attempt, &self.remote.peer).await?;
        self.wire.listen();
        self.hear_remarks(LOGIN, deadline).await?;
        let Self {
            remote,
            options,
            wire,
            capabilities,
            tags,
            secrets,
            ..
        } = self;
        let mechanism = client.mechanism;
        if !capabilities.relays(mechanism) {
            return Err(cannot_carry(&remote.peer, mechanism));
        }
        let first = client.initial.as_ref().map(Secret::expose);
        if capabilities.binds_channels(mechanism)
            && first.is_some_and(|message| mechanism.wants_no_binding_remote(message))
        {
            return Err(would_seem_attacked(&remote.peer, mechanism));
        }
        secrets.note(attempt);
        let initial = client.initial.take();
        if let Some(message) = &initial {
            secrets.note_message(mechanism, message);
        }
        let mut dialog = Relay::new(capabilities, tags, mechanism, initial, options.confirm);
        let mut step = dialog.start();
        let (mut secret_sent, mut gave_up, mut by) = (false, false, deadline);
        loop {
            match step {
                Step::Read => {}
                Step::Send(command) => {
                    let sent = send(remote, wire, &command, LOGIN, deadline).await;
                    by = sent.map_err(|error| error.after(secret_sent))?;
                    secret_sent |= dialog.has_said_proof();
                }
                Step::Challenge(challenge) => {
                    step = match client.answer(challenge, deadline).await {
                        Some(message) => {
                            secrets.note_message(mechanism, &message);
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
                Step::Done(_) if gave_up => return Err(given_up(&remote.peer)),
                Step::Done(outcome) => {
                    let goodbye = dialog.goodbye().is_some();
                    return Ok(client.ended(outcome, (secret_sent, goodbye), secrets));
                }
            }
            let heard = hear(remote, wire, secrets, dialog.goodbye(), by).await;
            let response = heard.map_err(|error| error.after(secret_sent))?;
            step = dialog.on_response(response);
            if let Some(status) = dialog.goodbye().filter(|_| !secret_sent) {
                return Err(goodbye(&remote.peer, secrets, status));
            }
        }
    }
}
