//! Listeners whose clients ask one question after the other, and get the answers in that order.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;

use tokio_util::codec::{Decoder, Encoder};
use tokio_util::sync::CancellationToken;
use vouch_protocol::error::{DecodeError, EncodeError};

use super::current::Current;
use super::{Caller, REQUEST_TIMEOUT, WRITE_TIMEOUT, note_end};
use crate::wire::Wire;

/// Such a listener.
pub(super) trait InTurn: Send + Sync {
    /// What it is asked.
    type Question: Send;
    /// What it says.
    type Answer: Send;
    /// How both are written.
    type Codec: Decoder<Item = Self::Question, Error = DecodeError>
        + Encoder<Self::Answer, Error = EncodeError>
        + Default
        + Send;
    /// What an administrator is asked whose client sends nonsense.
    const HINT: &'static str;

    /// The listener's name, for logs.
    fn name(&self) -> &str;

    /// The one answer to a question. Nothing holds it back once the daemon drains.
    fn answer(
        &self,
        question: Self::Question,
        connection: u64,
        draining: &CancellationToken,
    ) -> impl Future<Output = Self::Answer> + Send;
}

/// Serves one client until it leaves, breaks the protocol, or the daemon drains.
pub(super) async fn serve<D: InTurn>(current: Arc<Current<D>>, caller: Caller) {
    let Caller {
        stream,
        connection,
        draining,
        ..
    } = caller;
    let mut wire = Wire::new(stream, D::Codec::default()).with_patience(REQUEST_TIMEOUT);
    let mut drained = pin!(draining.cancelled());
    loop {
        let question = tokio::select! {
            // What was asked before the drain is answered first.
            biased;
            question = wire.next() => question,
            () = &mut drained => return,
        };
        let question = match question {
            Ok(Some(question)) => question,
            Ok(None) => return,
            Err(error) => return note_end(current.get().name(), &error, D::HINT),
        };
        let listener = current.get();
        let answer = tokio::select! {
            biased;
            answer = listener.answer(question, connection, &draining) => answer,
            // Nobody asks the remote for a client that has gone.
            () = wire.left() => return,
        };
        let sent = match wire.push(answer) {
            Ok(()) => wire.flush_within(WRITE_TIMEOUT).await,
            Err(error) => Err(error),
        };
        if let Err(error) = sent {
            return note_end(listener.name(), &error, D::HINT);
        }
    }
}
