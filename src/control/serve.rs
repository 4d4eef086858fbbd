//! The daemon's side of the control socket.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use nix::unistd::Uid;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use super::{LONGEST_REQUEST, MOST_CLIENTS, PATIENCE};

/// When the system has no descriptor left, others must be given time to end.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Answers what `ask` names, from the whole request, or says why not. It is called on
/// a thread that serves doors as well: it looks, and waits for nothing.
pub type Answer = dyn Fn(&str, &Value) -> Result<Value, String> + Send + Sync;

/// Answers root and our own user, and nobody else, until it is dropped.
pub async fn serve(listener: UnixListener, answer: Arc<Answer>) {
    let places = Arc::new(Semaphore::new(MOST_CLIENTS));
    loop {
        // Who comes when all places are taken waits in the kernel's queue.
        let Ok(place) = places.clone().acquire_owned().await else {
            return;
        };
        let Ok((stream, _)) = listener.accept().await else {
            sleep(ACCEPT_PAUSE).await;
            continue;
        };
        if !is_ours(&stream) {
            continue;
        }
        let answer = answer.clone();
        tokio::spawn(async move {
            // A client that left, or that says nothing, is no matter to anybody.
            let _ = timeout(PATIENCE, converse(stream, &*answer)).await;
            drop(place);
        });
    }
}

/// The mode of the socket lets nobody else in either; but a mode can be changed.
fn is_ours(stream: &UnixStream) -> bool {
    let Ok(peer) = stream.peer_cred() else {
        return false;
    };
    let ours = peer.uid() == 0 || peer.uid() == Uid::effective().as_raw();
    if !ours {
        tracing::warn!("control socket: closed: user {} may not ask", peer.uid());
    }
    ours
}

async fn converse(mut stream: UnixStream, answer: &Answer) -> io::Result<()> {
    let mut line = Vec::new();
    let mut reader = BufReader::new((&mut stream).take(LONGEST_REQUEST as u64));
    reader.read_until(b'\n', &mut line).await?;
    let answered = if line.ends_with(b"\n") {
        told(&line, answer)
    } else if line.len() >= LONGEST_REQUEST {
        Err("the request is too long".to_owned())
    } else {
        return Ok(());
    };
    let answer = answered.unwrap_or_else(|error| json!({ "error": error }));
    stream.write_all(format!("{answer}\n").as_bytes()).await?;
    stream.shutdown().await
}

fn told(line: &[u8], answer: &Answer) -> Result<Value, String> {
    let request: Value = serde_json::from_slice(line).map_err(|_| "the request is not JSON".to_owned())?;
    match request.get("ask").and_then(Value::as_str) {
        Some(ask) => answer(ask, &request),
        None => Err("the request asks nothing".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;

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

    #[tokio::test]
    async fn a_line_is_answered_with_a_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("control");
        let answer: Arc<Answer> = Arc::new(|ask, request| match ask {
            "name" => Ok(json!({ "name": request["of"] })),
            _ => Err(format!("cannot answer \"{ask}\"")),
        });
        tokio::spawn(serve(UnixListener::bind(&path).unwrap(), answer));
        let ours = say(&path, b"{\"ask\":\"name\",\"of\":\"a\\nb\"}\n").await;
        assert_eq!(ours, "{\"name\":\"a\\nb\"}\n");
        for (bytes, error) in [
            (&b"{\"ask\":\"else\"}\n"[..], "cannot answer \\\"else\\\""),
            (b"{}\n", "the request asks nothing"),
            (b"status\n", "the request is not JSON"),
            (b"\n", "the request is not JSON"),
            (&[b'x'; LONGEST_REQUEST], "the request is too long"),
        ] {
            assert_eq!(say(&path, bytes).await, format!("{{\"error\":\"{error}\"}}\n"));
        }
        assert_eq!(say(&path, b"{\"ask\":\"na").await, "");
    }

    #[tokio::test]
    async fn those_who_say_nothing_do_not_keep_others_out_for_long() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("control");
        let answer: Arc<Answer> = Arc::new(|_, _| Ok(json!({})));
        tokio::spawn(serve(UnixListener::bind(&path).unwrap(), answer));
        let mut silent = Vec::new();
        for _ in 0..MOST_CLIENTS {
            silent.push(UnixStream::connect(&path).await.unwrap());
        }
        assert_eq!(say(&path, b"{\"ask\":\"status\"}\n").await, "{}\n");
    }
}
