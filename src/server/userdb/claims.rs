//! The mail processes' claims: a login goes to the process that proves that it is meant for it.

use std::fmt;
use std::sync::Arc;

use vouch_protocol::auth::master::{Claim, Reply};

use super::UserdbListener;
use crate::server::fields;
use crate::server::{Peer, sibling};

impl UserdbListener {
    /// The answer to REQUEST.
    pub(super) fn hand_over(&self, claim: &Claim, peer: Option<Peer>) -> Reply {
        let (listener, id) = (&self.keys.name, claim.id);
        let (cpid, client_id) = (claim.cpid, claim.client_id);
        let refused = |why: &dyn fmt::Display| {
            tracing::warn!(
                listener = listener,
                cpid,
                request = client_id,
                "REQUEST refused: {why}; the user must log in again, and login and master sockets must belong to one vouch"
            );
            Reply::Fail { id }
        };
        let accepted = match self.handover.claim(cpid, client_id, claim.cookie.expose()) {
            Ok(accepted) => accepted,
            Err(why) => return refused(&why),
        };
        // As Dovecot has it, a login whose process is not the one that asks is lost.
        if let Err(impostor) = is_itself(claim, peer) {
            return refused(&impostor);
        }
        let user = self.gate.engine.account(&accepted.user);
        let filled = fields::fill_paths(&self.keys.fields, user.as_bytes(), &accepted.client);
        let mut fields = match filled {
            Ok(fields) => fields,
            Err(error) => {
                tracing::error!(listener = listener, about = %user, "no fields for a user: {error}; see the listener's fields and default-domain");
                return Reply::Fail { id };
            }
        };
        // The login listener's fields for this login come before those for all users.
        fields.retain(|(name, _)| !accepted.fields.iter().any(|(own, _)| own == name));
        fields.extend(accepted.fields);
        fields.push(("auth_mech".into(), accepted.mechanism.into()));
        if claim.request_auth_token && claim.session_pid.is_some() {
            match self.token() {
                Some(token) => fields.push(("auth_token".into(), token.into_bytes())),
                None => return refused(&"the system gives no random bytes"),
            }
        }
        if accepted.given != user {
            fields.push(("auth_user".into(), accepted.given.as_bytes().to_vec()));
        }
        tracing::info!(listener = listener, about = %user, cpid, request = client_id, "REQUEST answered");
        let name = user.as_bytes().to_vec();
        Reply::User { id, name, fields }
    }

    /// The answer to REQUEST where another process of ours has accepted the login.
    pub(super) async fn ask_for(self: Arc<Self>, claim: Claim, pid: u32, peer: Option<Peer>) -> Reply {
        let (listener, cpid, request) = (&self.keys.name, claim.cpid, claim.client_id);
        let refused = |why: &dyn fmt::Display| {
            tracing::warn!(
                listener = listener,
                cpid,
                request,
                "REQUEST refused: the cookie is of process {pid}, which does not answer as a vouch process: {why}; the \
                 user must log in again"
            );
            Reply::Fail { id: claim.id }
        };
        if let Err(impostor) = is_itself(&claim, peer) {
            return refused(&impostor);
        }
        match sibling::ask(pid, &claim).await {
            Ok(line) => {
                tracing::info!(
                    listener = listener,
                    cpid,
                    request,
                    pid,
                    "REQUEST answered by another process of vouch"
                );
                Reply::Relayed(line)
            }
            Err(error) => refused(&error),
        }
    }

    /// A token opens nothing here: the sockets that Dovecot would show it at are not
    /// served. So it need not be one that we know again.
    fn token(&self) -> Option<String> {
        let mut token = [0; 20];
        getrandom::fill(&mut token).ok()?;
        Some(token.iter().map(|byte| format!("{byte:02x}")).collect())
    }
}

/// A process that asks as another.
#[derive(Debug, thiserror::Error)]
#[error("process {pid} asks, and says that it is {said}")]
struct Impostor {
    pid: i32,
    said: u32,
}

/// Whether the mail process is the one that it claims to be, or may act for it.
fn is_itself(claim: &Claim, peer: Option<Peer>) -> Result<(), Impostor> {
    if claim.session_pid_trusted && peer.is_some_and(|peer| peer.owner) {
        return Ok(());
    }
    let pid = peer.and_then(|peer| peer.pid);
    match (claim.session_pid, pid) {
        (Some(said), Some(pid)) if i64::from(said) != i64::from(pid) => Err(Impostor { pid, said }),
        _ => Ok(()),
    }
}
