//! The daemon's side of the control socket.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use nix::unistd::Uid;
use serde_json::{Value, json};
use tokio::net::UnixListener;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};
use vouch_protocol::error::DecodeError;

use super::{ANSWER, LONGEST_REQUEST, MOST_CLIENTS, REQUEST_TIMEOUT, Refusal};
use crate::server::{Accepted, Peer, Socket};
use crate::wire::{Lines, Stream, Wire, WireError};

/// Answers what `ask` names, from the whole request, or says why not. It runs on threads that
/// serve listeners as well, and never blocks one for long.
pub(crate) type Answer = dyn Fn(String, Value) -> Answering + Send + Sync;

/// An answer on its way.
pub(crate) type Answering = Pin<Box<dyn Future<Output = Result<Value, Refusal>> + Send>>;

/// Answers root and our own user, and nobody else, until it is dropped.
pub(crate) async fn serve(listener: UnixListener, answer: Arc<Answer>) {
    let places = Arc::new(Semaphore::new(MOST_CLIENTS));
    let let_in = |client: Accepted| {
        let answer = answer.clone();
        if is_ours(client.peer) {
            tokio::spawn(async move {
                converse(client.stream, &*answer).await;
                drop(client.place);
            });
        }
    };
    Socket::Unix(listener)
        .accept_each(Some(&places), let_in, |_| ())
        .await;
}

/// The mode of the socket lets nobody else in either; but a mode can be changed.
fn is_ours(peer: Option<Peer>) -> bool {
    let Some(Peer { uid, .. }) = peer else {
        return false;
    };
    let ours = uid == 0 || uid == Uid::effective().as_raw();
    if !ours {
        tracing::warn!("control socket: closed: user {uid} may not ask");
    }
    ours
}

async fn converse(stream: Stream, answer: &Answer) {
    let mut wire = Wire::new(stream, Lines::new(LONGEST_REQUEST));
    let answered = match wire.read(Instant::now() + REQUEST_TIMEOUT).await {
        Ok(line) => answered(&line, answer).await,
        Err(WireError::Decode(DecodeError::TooLong { .. })) => Err(Refusal::TooLong),
        // A client that left, or that says nothing, needs no answer.
        Err(_) => return,
    };
    let answer = answered.unwrap_or_else(|refusal| json!({ "error": refusal.to_string() }));
    wire.push_bytes(format!("{answer}\n").as_bytes());
    // All names of a large cache are many bytes: a client that reads some of them is waited for.
    match wire.flush_within(REQUEST_TIMEOUT).await {
        Ok(()) => {
            let _ = timeout(REQUEST_TIMEOUT, wire.finish()).await;
        }
        Err(error) => tracing::warn!("control socket: an answer was cut off: {error}"),
    }
}

async fn answered(line: &[u8], answer: &Answer) -> Result<Value, Refusal> {
    let request: Value = serde_json::from_slice(line).map_err(|_| Refusal::NotJson)?;
    let Some(ask) = request.get("ask").and_then(Value::as_str) else {
        return Err(Refusal::AsksNothing);
    };
    let answering = answer(ask.to_owned(), request);
    timeout(ANSWER, answering).await.unwrap_or(Err(Refusal::Late))
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::UnixStream;

    use super::*;

    /// What is answered to bytes after which the client sends no more.
    async fn say(path: &std::path::Path, bytes: &[u8]) -> String {
        let mut stream = UnixStream::connect(path).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        let _ = stream.shutdown().await;
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer).await;
        answer
    }

    // Fills LONGEST_REQUEST.
    #[tokio::test]
    async fn a_line_is_answered_with_a_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("control");
        let answer: Arc<Answer> = Arc::new(|ask, request| {
            Box::pin(async move {
                match &*ask {
                    "name" => Ok(json!({ "name": request["of"] })),
                    _ => Err(Refusal::Unknown(ask)),
                }
            })
        });
        tokio::spawn(serve(UnixListener::bind(&path).unwrap(), answer));
        let ours = say(&path, b"{\"ask\":\"name\",\"of\":\"a\\nb\"}\n").await;
        assert_eq!(ours, "{\"name\":\"a\\nb\"}\n");
        for (bytes, error) in [
            (
                &b"{\"ask\":\"else\"}\n"[..],
                "this version, 0.1.0, cannot answer \\\"else\\\"",
            ),
            (b"{}\n", "the request asks nothing"),
            (b"status\n", "the request is not JSON"),
            (b"\n", "the request is not JSON"),
            (&[b'x'; LONGEST_REQUEST], "the request is too long"),
        ] {
            assert_eq!(say(&path, bytes).await, format!("{{\"error\":\"{error}\"}}\n"));
        }
        assert_eq!(say(&path, b"{\"ask\":\"na").await, "");
    }

    // Fills MOST_CLIENTS, control::REQUEST_TIMEOUT.
    #[tokio::test]
    async fn those_who_say_nothing_do_not_keep_others_out_for_long() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("control");
        let answer: Arc<Answer> = Arc::new(|_, _| Box::pin(async { Ok(json!({})) }));
        tokio::spawn(serve(UnixListener::bind(&path).unwrap(), answer));
        let mut silent = Vec::new();
        for _ in 0..MOST_CLIENTS {
            silent.push(UnixStream::connect(&path).await.unwrap());
        }
        assert_eq!(say(&path, b"{\"ask\":\"status\"}\n").await, "{}\n");
    }

    // Fills ANSWER.
    #[tokio::test(start_paused = true)]
    async fn an_answer_that_takes_too_long_is_given_up() {
        let answer: Arc<Answer> = Arc::new(|_, _| Box::pin(pending()));
        let error = answered(b"{\"ask\":\"x\"}\n", &*answer).await.unwrap_err();
        assert!(matches!(error, Refusal::Late), "{error}");
    }
}
