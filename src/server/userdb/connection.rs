//! One connection of an auth-master client: requests in, answers out, by id.

use std::future::Future;
use std::ops::ControlFlow;
use std::pin::Pin;
use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::task::yield_now;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use vouch_protocol::auth::master::{Codec, Lookup, Reply, Request};

use super::mask::Mask;
use super::{UserdbListener, Wanted};
use crate::engine::entry::PIECE;
use crate::server::current::Current;
use crate::server::{Peer, REQUEST_TIMEOUT, WRITE_TIMEOUT, note_end};
use crate::wire::{LEFT_CHECK, Stream, Wire, WireError};

/// Bound (questions): users of one connection asked for at once. Beyond: further ones wait unread until one is
/// answered. Why: Dovecot 2.3 asks for one, 2.4 for several.
const IN_FLIGHT: usize = 1024;

/// Bound (questions, bytes): names of a LIST that are written together. Beyond: the rest waits until the client has
/// read them. Why: a client that does not read occupies no more memory.
const LIST_PIECE: usize = 64 << 10;

/// So much of a command that is not known is logged, as by Dovecot.
const COMMAND_SHOWN: usize = 80;

type Deciding = FuturesUnordered<Pin<Box<dyn Future<Output = Reply> + Send>>>;

/// A connection.
pub(super) struct Connection {
    listener: Arc<Current<UserdbListener>>,
    peer: Option<Peer>,
    wire: Wire<Codec>,
    deciding: Deciding,
    /// A command that is not known was complained of.
    complained: bool,
}

/// Whether a connection goes on.
type Flow = ControlFlow<()>;

const GO_ON: Flow = Flow::Continue(());
const HANG_UP: Flow = Flow::Break(());

impl Connection {
    /// A connection that was greeted.
    pub(super) fn new(listener: Arc<Current<UserdbListener>>, stream: Stream, peer: Option<Peer>) -> Self {
        Self {
            listener,
            peer,
            wire: Wire::new(stream, Codec::new()).with_patience(REQUEST_TIMEOUT),
            deciding: FuturesUnordered::new(),
            complained: false,
        }
    }

    /// Serves the client until it leaves, breaks the protocol, or the daemon drains.
    pub(super) async fn serve(&mut self, draining: &CancellationToken) {
        let mut client_done = false;
        loop {
            let flow = tokio::select! {
                biased;
                Some(reply) = self.deciding.next(), if !self.deciding.is_empty() => self.reply(reply),
                request = self.wire.next(), if !client_done && self.deciding.len() < IN_FLIGHT => match request {
                    Ok(Some(request)) => self.request(request).await,
                    Ok(None) => {
                        // A half-closed connection still wants its answers.
                        client_done = true;
                        GO_ON
                    }
                    Err(error) => self.complain(&error),
                },
                // Nobody asks the remote for a client that has gone.
                () = sleep(LEFT_CHECK), if client_done => if self.wire.is_closed() { HANG_UP } else { GO_ON },
                () = draining.cancelled(), if self.deciding.is_empty() => HANG_UP,
            };
            let flow = if flow == GO_ON { self.flush().await } else { flow };
            if flow == HANG_UP || (client_done && self.deciding.is_empty()) {
                return;
            }
        }
    }

    async fn request(&mut self, request: Request) -> Flow {
        let listener = self.listener.get();
        match request {
            Request::User(lookup) => self.look_up(Wanted::Fields, lookup),
            Request::Pass(lookup) => self.look_up(Wanted::Name, lookup),
            Request::List { id, mask } => self.list(id, Mask::new(mask)).await,
            Request::Request(_) | Request::CacheFlush { .. } | Request::CacheStatus { .. }
                if !listener.settings.master =>
            {
                tracing::warn!(
                    listener = listener.settings.name,
                    "closed: the client's request is one for a master socket; give it a listener with protocol = \"master\""
                );
                HANG_UP
            }
            Request::Request(claim) => match listener.handover.owner_pid(claim.cookie.expose()) {
                Some(pid) => {
                    let asking = listener.ask_for(claim, pid, self.peer);
                    self.deciding.push(Box::pin(asking));
                    GO_ON
                }
                None => {
                    let reply = listener.hand_over(&claim, self.peer);
                    self.reply(reply)
                }
            },
            Request::CacheFlush { id, users } => {
                let reply = listener.flush(id, &users);
                self.reply(reply)
            }
            Request::CacheStatus { id, reset } => {
                self.deciding
                    .push(Box::pin(async move { listener.status(id, reset).await }));
                GO_ON
            }
            Request::Unknown { id, command } => {
                self.note_unknown(&command);
                self.reply(Reply::Fail { id })
            }
        }
    }

    /// Once a connection: a client that does not take FAIL for an answer asks it again.
    fn note_unknown(&mut self, command: &[u8]) {
        if !self.complained {
            self.complained = true;
            let listener = self.listener.get();
            let command =
                String::from_utf8_lossy(command.get(..COMMAND_SHOWN).unwrap_or(command)).into_owned();
            tracing::warn!(
                listener = listener.settings.name,
                command,
                "answered FAIL: vouch does not know this command; is this Dovecot newer than vouch?"
            );
        }
    }

    fn look_up(&mut self, wanted: Wanted, lookup: Lookup) -> Flow {
        let looking = self.listener.get().look_up(wanted, lookup, self.peer);
        self.deciding.push(Box::pin(looking));
        GO_ON
    }

    async fn list(&mut self, id: u32, mask: Mask) -> Flow {
        let listener = self.listener.get();
        let names = listener.list(self.peer, mask);
        let success = names.is_some();
        for (looked, name) in names.into_iter().flatten().enumerate() {
            if let Some(name) = name {
                self.reply(Reply::Listed { id, name })?;
            }
            if self.wire.pending_output() >= LIST_PIECE
                && let Err(error) = self.wire.flush_within(WRITE_TIMEOUT).await
            {
                tracing::warn!(
                    listener = listener.settings.name,
                    "LIST cut off after {looked} names: {error}; see whether its client hangs, and ask again"
                );
                return HANG_UP;
            }
            if looked % PIECE == 0 {
                yield_now().await;
            }
        }
        self.reply(Reply::Done { id, success })
    }

    fn reply(&mut self, reply: Reply) -> Flow {
        match self.wire.push(reply) {
            Ok(()) => GO_ON,
            Err(error) => self.complain(&error),
        }
    }

    async fn flush(&mut self) -> Flow {
        if self.wire.pending_output() == 0 {
            return GO_ON;
        }
        match self.wire.flush_within(WRITE_TIMEOUT).await {
            Ok(()) => GO_ON,
            Err(error) => self.complain(&error),
        }
    }

    fn complain(&self, error: &WireError) -> Flow {
        note_end(
            &self.listener.get().settings.name,
            error,
            "does it speak Dovecot auth-master?",
        );
        HANG_UP
    }
}
