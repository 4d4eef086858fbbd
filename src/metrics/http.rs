//! Serves what is counted over HTTP.
//!
//! One request a connection, of few bytes, within a bound: who asks is a monitoring
//! system on its round, or an administrator.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{ACCEPT, ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::sync::{Semaphore, watch};
use tokio::time::{sleep, timeout};

use super::Watched;
use super::text::Format;
use crate::server::Socket;
use crate::wire::Stream;

/// Connections that are served at once; one more waits for its turn. Two Prometheus
/// servers that watch each other's work, and a few people.
pub(crate) const CONNECTIONS: usize = 16;

/// From the connection to the end of the answer: as long as Prometheus waits by
/// default for a scrape (`scrape_timeout`).
pub(crate) const WHOLE: Duration = Duration::from_secs(10);

/// A request's head has arrived within this time.
pub(crate) const HEAD: Duration = Duration::from_secs(5);

/// Bytes of a request's head; the least that hyper takes for a limit. Prometheus
/// sends some 400.
pub(crate) const HEAD_BYTES: usize = 8192;

/// Header fields of a request; Prometheus sends six, a browser some twenty.
pub(crate) const HEAD_FIELDS: usize = 64;

/// When the system has no descriptor left for one more connection, others must be
/// given time to end.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Answers whoever connects to `socket` by what is `watched` then, until it is dropped.
pub async fn serve(socket: Socket, watched: watch::Receiver<Arc<Watched>>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    // It is never closed.
    while let Ok(place) = places.clone().acquire_owned().await {
        match accept(&socket).await {
            Ok(stream) => {
                let watched = watched.borrow().clone();
                tokio::spawn(async move {
                    converse(stream, watched).await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::debug!("metrics: cannot accept a connection, trying on: {error}");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn accept(socket: &Socket) -> io::Result<Stream> {
    Ok(match socket {
        Socket::Unix(listener) => Box::new(listener.accept().await?.0),
        Socket::Tcp(listener) => Box::new(listener.accept().await?.0),
    })
}

/// One request and its answer.
async fn converse(stream: Stream, watched: Arc<Watched>) {
    let answer = service_fn(|request| {
        let response = answer(&request, &watched);
        async { Ok::<_, Infallible>(response) }
    });
    let conversation = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_buf_size(HEAD_BYTES)
        .max_headers(HEAD_FIELDS)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), answer);
    match timeout(WHOLE, conversation).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!("metrics: a request was not answered: {error}"),
        Err(_) => tracing::debug!("metrics: a request was not answered in time"),
    }
}

fn answer(request: &Request<Incoming>, watched: &Watched) -> Response<Full<Bytes>> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut response = say(
            StatusCode::METHOD_NOT_ALLOWED,
            "GET and HEAD are understood here.\n",
        );
        response
            .headers_mut()
            .insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    if request.uri().path() != "/metrics" {
        return say(StatusCode::NOT_FOUND, "vouch has its metrics at /metrics.\n");
    }
    let accept = request.headers().get(ACCEPT);
    let accept = accept.and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    let format = Format::accepted_by(accept);
    respond(StatusCode::OK, format.content_type(), watched.text(format))
}

fn say(status: StatusCode, text: &'static str) -> Response<Full<Bytes>> {
    respond(status, "text/plain; charset=utf-8", text)
}

/// hyper leaves the body away where the request was HEAD.
fn respond(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
    use tokio::time::Instant;

    use super::*;

    fn watched() -> Arc<Watched> {
        Arc::new(Watched::new(Vec::new(), Vec::new()))
    }

    #[tokio::test(start_paused = true)]
    async fn who_sends_no_whole_request_is_left_after_a_while() {
        let (ours, mut theirs) = duplex(64);
        theirs.write_all(b"GET /metrics HTTP/1.1\r\n").await.unwrap();
        let began = Instant::now();
        converse(Box::new(ours), watched()).await;
        assert!((HEAD..WHOLE).contains(&began.elapsed()), "{:?}", began.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn who_reads_no_answer_is_left_after_a_while() {
        let (ours, mut theirs) = duplex(64);
        theirs
            .write_all(b"GET /metrics HTTP/1.1\r\nHost: vouch\r\n\r\n")
            .await
            .unwrap();
        let began = Instant::now();
        converse(Box::new(ours), watched()).await;
        assert_eq!(began.elapsed(), WHOLE);
        let mut begin = String::new();
        theirs.read_to_string(&mut begin).await.unwrap();
        assert!(begin.starts_with("HTTP/1.1 200 OK"), "{begin}");
    }
}
