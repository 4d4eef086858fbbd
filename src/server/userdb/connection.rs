//! One connection of an auth-master client: what becomes of its requests, by id.

use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::task::yield_now;
use vouch_protocol::auth::master::{Reply, Request};

use super::mask::Mask;
use super::{UserdbListener, Wanted};
use crate::engine::entry::PIECE;
use crate::server::{Peer, conversation};
use crate::settings::protocol;

/// Bound (questions): users of one connection asked for at once. Beyond: further ones wait unread until one is
/// answered. Why: Dovecot 2.3 asks for one, 2.4 for several.
pub(super) const IN_FLIGHT: usize = 1024;

/// Names of a list that are looked up ahead of the client that reads them.
const NAMES_AHEAD: usize = 64;

/// So much of a command that is not known is logged, as by Dovecot.
const COMMAND_SHOWN: usize = 80;

pub(super) type Answer = conversation::Answer<Reply, Reply>;

pub(crate) struct Connection {
    pub(super) peer: Option<Peer>,
    /// A command that is not known was complained of.
    pub(super) complained: bool,
}

impl Connection {
    pub(super) fn answer(&mut self, listener: Arc<UserdbListener>, request: Request) -> Answer {
        let peer = self.peer;
        match request {
            Request::User(lookup) => Answer::Later(Box::pin(listener.look_up(Wanted::Fields, lookup, peer))),
            Request::Pass(lookup) => Answer::Later(Box::pin(listener.look_up(Wanted::Name, lookup, peer))),
            Request::List { id, mask } => list(listener, id, Mask::new(mask), peer),
            Request::Request(_) | Request::CacheFlush { .. } | Request::CacheStatus { .. }
                if listener.keys.protocol != protocol::Protocol::Master =>
            {
                tracing::warn!(
                    listener = listener.keys.name,
                    "closed: the client's request is one for a master socket; give it a listener with protocol = \"master\""
                );
                Answer::HangUp
            }
            Request::Request(claim) => match listener.handover.owner_pid(claim.cookie.expose()) {
                Some(pid) => Answer::Later(Box::pin(listener.ask_for(claim, pid, peer))),
                None => Answer::Reply(listener.hand_over(&claim, peer)),
            },
            Request::CacheFlush { id, users } => Answer::Reply(listener.flush(id, &users)),
            Request::CacheStatus { id, reset } => {
                Answer::Later(Box::pin(async move { listener.status(id, reset).await }))
            }
            Request::Unknown { id, command } => {
                self.note_unknown(&listener, &command);
                Answer::Reply(Reply::Fail { id })
            }
        }
    }

    /// Once a connection: a client that does not take FAIL for an answer asks it again.
    fn note_unknown(&mut self, listener: &UserdbListener, command: &[u8]) {
        if !self.complained {
            self.complained = true;
            let command =
                String::from_utf8_lossy(command.get(..COMMAND_SHOWN).unwrap_or(command)).into_owned();
            tracing::warn!(
                listener = listener.keys.name,
                command,
                "answered FAIL: vouch does not know this command; is this Dovecot newer than vouch?"
            );
        }
    }
}

/// The answer to LIST, as fast as its client reads it.
fn list(listener: Arc<UserdbListener>, id: u32, mask: Mask, peer: Option<Peer>) -> Answer {
    let (sender, replies) = mpsc::channel(NAMES_AHEAD);
    tokio::spawn(async move {
        let names = listener.list(peer, mask);
        let success = names.is_some();
        for (looked, name) in names.into_iter().flatten().enumerate() {
            if let Some(name) = name
                && sender.send(Reply::Listed { id, name }).await.is_err()
            {
                return;
            }
            if looked % PIECE == 0 {
                yield_now().await;
            }
        }
        let _ = sender.send(Reply::Done { id, success }).await;
    });
    Answer::List(replies)
}
