//! A client's conversation: the one loop that reads what a client asks, and the one place that writes what it is answered.
//!
//! A [`Protocol`] hears a message and returns what comes of it: one [`Answer`], by the shape of its functions.

use std::future::{Future, pending};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::sync::mpsc;
use tokio::task::yield_now;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::codec::{Decoder, Encoder};
use tokio_util::sync::CancellationToken;
use vouch_protocol::error::{DecodeError, EncodeError};

use super::counts::ListenerCounts;
use super::current::Current;
use super::gate::{Gate, SessionLimits};
use super::{Caller, Listener, REQUEST_TIMEOUT, WRITE_TIMEOUT};
use crate::wire::{LEFT_CHECK, Wire, WireError};

/// While the listener closes, how often to check whether a question of a connection is still under way.
const QUIET_CHECK: Duration = Duration::from_millis(20);

/// Bound (questions): time for a login process to close its side. Beyond: the connection is closed. Why: it only has
/// to close.
const FAREWELL: Duration = Duration::from_secs(1);

/// Bound (questions, bytes): names of a LIST that are written together. Beyond: the rest waits until the client has
/// read them. Why: a client that does not read occupies no more memory.
const LIST_PIECE: usize = 64 << 10;

/// What comes of a request, or of a question that was decided on.
#[must_use]
pub(crate) enum Answer<R, N> {
    /// It is answered.
    Reply(R),
    /// It is answered, and with it the conversation is over.
    Last(R),
    /// It is answered by a list, which ends with the channel.
    List(mpsc::Receiver<R>),
    /// It is answered once this has ended.
    Later(Pin<Box<dyn Future<Output = N> + Send>>),
    /// It is answered by closing the connection.
    HangUp,
}

/// What comes of a message of this protocol.
pub(crate) type AnswerOf<P> = Answer<<P as Protocol>::Reply, <P as Protocol>::News>;

/// A listener's protocol, with its settings.
pub(crate) trait Protocol: Sized + Send + Sync + 'static {
    /// What is known of one client.
    type Client: Send;
    /// What a client sends.
    type Message: Send;
    /// What it is sent.
    type Reply: Send;
    /// What an [`Answer::Later`] ends with.
    type News: Send;
    /// How both are written.
    type Codec: Decoder<Item = Self::Message, Error = DecodeError>
        + Encoder<Self::Reply, Error = EncodeError>
        + Default
        + Send;
    /// The limits of a client's session.
    type Limits: SessionLimits;
    /// What an administrator is asked whose client sends nonsense.
    const HINT: &'static str;
    /// Answers of a connection that may be under way; further messages wait unread until one is given.
    fn in_flight() -> usize {
        1
    }

    /// What each question passes.
    fn gate(&self) -> &Gate<Self::Limits>;

    /// A client, and its greeting, in one write: some wait for it, and some read only once. `None` where it cannot be
    /// served.
    fn greet(listener: &Arc<Current<Self>>, caller: &Caller) -> Option<(Self::Client, Vec<u8>)>;

    /// The answer to a message; `None` where it wants none. It is dropped once the client has gone: nobody asks the remote
    /// for one that has.
    fn heard(
        self: Arc<Self>,
        client: &mut Self::Client,
        message: Self::Message,
    ) -> impl Future<Output = Option<AnswerOf<Self>>> + Send;

    /// The answer to an earlier message; `None` where its client has given it up.
    fn decided(_: &mut Self::Client, _: Self::News) -> Option<AnswerOf<Self>> {
        None
    }

    /// Those of the answers under way that are decided on, and held back.
    fn held(_: &Self::Client) -> usize {
        0
    }

    /// When something of the client is to be forgotten.
    fn forgets(_: &mut Self::Client) -> Option<Instant> {
        None
    }

    /// Forgets what its time is over of; `false` where the client is left.
    fn forget(_: &mut Self::Client) -> bool {
        false
    }

    /// Whether the client is in the middle of something that a listener that closes lets it end.
    fn is_under_way(_: &Self::Client) -> bool {
        false
    }

    /// Whether the client is to close the connection, where the listener does.
    fn closes_itself(_: &Self::Client) -> bool {
        false
    }
}

impl<P: Protocol> Listener for Current<P> {
    fn counts(&self) -> Arc<ListenerCounts> {
        self.get().gate().counts.clone()
    }

    fn serve(self: Arc<Self>, caller: Caller) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(async move {
            if let Some((client, greeting)) = P::greet(&self, &caller) {
                converse(&self, client, &greeting, caller).await;
            }
        })
    }
}

/// Serves one client until it leaves, breaks the protocol, or the listener closes and nothing is under way.
async fn converse<P: Protocol>(
    listener: &Current<P>,
    mut client: P::Client,
    greeting: &[u8],
    caller: Caller,
) {
    let mut wire = Wire::new(caller.stream, P::Codec::default()).with_patience(REQUEST_TIMEOUT);
    wire.push_bytes(greeting);
    let ended = exchange(listener, &mut client, &mut wire, &caller.draining, &caller.deaf).await;
    if let Err(error) = ended {
        return note_end(&listener.get().gate().listener, &error, P::HINT);
    }
    // A login process of Dovecot treats a socket that it cannot write to as a wrong password: vouch signals the end, and
    // the process closes the socket itself.
    if caller.draining.is_cancelled() && P::closes_itself(&client) {
        let _ = Box::pin(timeout(FAREWELL, wire.finish())).await;
    }
}

/// What a conversation waits for.
enum Event<M, A> {
    /// A message; `None` once the client sends no more.
    Message(Option<M>),
    /// What comes of anything else.
    Answer(Option<A>),
}

async fn exchange<P: Protocol>(
    listener: &Current<P>,
    client: &mut P::Client,
    wire: &mut Wire<P::Codec>,
    draining: &CancellationToken,
    deaf: &CancellationToken,
) -> Result<(), WireError> {
    let mut later = FuturesUnordered::new();
    let mut quiet_now = pin!(quiet(draining));
    let (mut client_done, mut over) = (false, false);
    loop {
        if wire.pending_output() > 0 {
            wire.flush_within(WRITE_TIMEOUT).await?;
        }
        if over || (client_done && later.is_empty()) {
            return Ok(());
        }
        let closes = draining.is_cancelled();
        let under_way = !later.is_empty() || P::is_under_way(client);
        if closes && !under_way && !P::closes_itself(client) {
            // What was sent before is still read.
            deaf.cancel();
        }
        let reads = !client_done && later.len() < P::in_flight() + P::held(client);
        let answer = 'answer: {
            // In a block of its own, so that an idle connection has room for one message, not for each step of it.
            let message = {
                let event = tokio::select! {
                    // What time has come for does not wait until a busy client pauses, and what was asked before the
                    // listener closes is answered first.
                    biased;
                    () = until(P::forgets(client)) => {
                        over = !P::forget(client);
                        Event::Answer(None)
                    }
                    Some(news) = later.next(), if !later.is_empty() => Event::Answer(P::decided(client, news)),
                    message = wire.next(), if reads => Event::Message(message?),
                    // From here on it is looked for a quiet moment.
                    () = &mut quiet_now, if !closes || !under_way => {
                        over = closes;
                        quiet_now.set(quiet(draining));
                        Event::Answer(None)
                    }
                    // Of a connection of which one half is closed, nothing tells that the other is, but that it is tried.
                    () = async { sleep(if closes { QUIET_CHECK } else { LEFT_CHECK }).await }, if client_done || closes => {
                        over = client_done && wire.is_closed();
                        Event::Answer(None)
                    }
                };
                match event {
                    Event::Message(Some(message)) => message,
                    // A half-closed connection still wants its answers.
                    Event::Message(None) => {
                        client_done = true;
                        over = wire.is_closed();
                        break 'answer None;
                    }
                    Event::Answer(answer) => break 'answer answer,
                }
            };
            tokio::select! {
                biased;
                answer = listener.get().heard(client, message) => answer,
                () = wire.left() => return Ok(()),
            }
        };
        match answer {
            None => {}
            Some(Answer::Reply(reply)) => wire.push(reply)?,
            Some(Answer::Last(reply)) => {
                wire.push(reply)?;
                over = true;
            }
            Some(Answer::List(replies)) => over = !list(listener, wire, replies).await?,
            Some(Answer::Later(decided)) => later.push(decided),
            Some(Answer::HangUp) => over = true,
        }
    }
}

/// Writes a list as it comes; `false` where its client does not read it.
async fn list<P: Protocol>(
    listener: &Current<P>,
    wire: &mut Wire<P::Codec>,
    mut replies: mpsc::Receiver<P::Reply>,
) -> Result<bool, WireError> {
    let mut names = 0;
    while let Some(reply) = replies.recv().await {
        wire.push(reply)?;
        names += 1;
        if wire.pending_output() >= LIST_PIECE
            && let Err(error) = wire.flush_within(WRITE_TIMEOUT).await
        {
            tracing::warn!(
                listener = listener.get().gate().listener,
                "LIST cut off after {names} names: {error}; see whether its client hangs, and ask again"
            );
            return Ok(false);
        }
    }
    Ok(true)
}

/// The listener closes, and the runtime has heard of what had arrived by then.
async fn quiet(draining: &CancellationToken) {
    draining.cancelled().await;
    yield_now().await;
}

/// Nothing is made of a time that is not waited for.
async fn until(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => pending().await,
    }
}

/// Notes why a connection ended. A client that disconnects is normal; one that
/// sends nonsense is reported to the administrator, with `hint`.
fn note_end(listener: &str, error: &WireError, hint: &str) {
    match error {
        WireError::Decode(error) => {
            tracing::warn!(
                listener = listener,
                "closed: the client's request is {error}; {hint}"
            );
        }
        WireError::Unread(patience) => {
            let seconds = patience.as_secs();
            tracing::warn!(
                listener = listener,
                "closed: the client read none of its answers for {seconds} s; does it hang?"
            );
        }
        WireError::Unfinished(patience) => {
            let seconds = patience.as_secs();
            tracing::warn!(
                listener = listener,
                "closed: the client began a request and did not end it within {seconds} s; {hint}"
            );
        }
        error => tracing::debug!(listener = listener, "closed: {error}"),
    }
}
