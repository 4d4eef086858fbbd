//! Serves what is counted over HTTP: as numbers at `/metrics`, as a page for people at `/`.
//!
//! One short request per connection, within a time limit: the client is a
//! monitoring system, or an administrator.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{
    ACCEPT, ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderValue, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS,
};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::text::Format;
use super::{Served, host, page};
use crate::server::{Accepted, Socket};
use crate::wire::Stream;

/// Bound (clients): clients that read the metrics. Beyond: one more waits. Why: two Prometheus servers that watch
/// each other's work, and a few people.
const CONNECTIONS: usize = 16;

/// Bound (clients): time for a request for metrics and its answer. Beyond: the connection is closed. Why: Prometheus
/// waits no longer by default (`scrape_timeout`).
const WHOLE: Duration = Duration::from_secs(10);

/// Bound (clients): time for a request for metrics. Beyond: the connection is closed. Why: it is one packet.
const HEAD: Duration = Duration::from_secs(5);

/// Bound (clients, bytes): request for metrics. Beyond: it is refused, and the connection closed. Why: Prometheus
/// sends some 400 bytes, and hyper takes no lower limit.
const HEAD_BYTES: usize = 8192;

/// Bound (clients): header fields of a request for metrics. Beyond: it is refused, and the connection closed. Why:
/// Prometheus sends six, a browser some twenty.
const HEAD_FIELDS: usize = 64;

/// The answer to a request for another host.
const OF_ANOTHER: &str = "vouch answers here for localhost, a loopback address or this host's name, and the Host of this \
                          request is none of them. A proxy in front of it must send one of these as Host.\n";

/// Answers the clients of `socket`, until it is dropped.
pub async fn serve(socket: Socket, served: Arc<Served>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let let_in = |client: Accepted| {
        let served = served.clone();
        tokio::spawn(async move {
            converse(client.stream, served, client.on_loopback).await;
            drop(client.place);
        });
    };
    let failed =
        |error: &io::Error| tracing::debug!("metrics: cannot accept a connection, trying on: {error}");
    socket.accept_each(Some(&places), let_in, failed).await;
}

/// One request and its answer.
async fn converse(stream: Stream, served: Arc<Served>, on_loopback: bool) {
    let answer = service_fn(|request| {
        let response = if on_loopback && !host::is_ours(&request) {
            say(StatusCode::MISDIRECTED_REQUEST, OF_ANOTHER)
        } else {
            answer(&request, &served)
        };
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

fn answer(request: &Request<Incoming>, served: &Served) -> Response<Full<Bytes>> {
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
    match request.uri().path() {
        "/metrics" => numbers(request, served),
        "/" => page(request, served),
        _ => say(
            StatusCode::NOT_FOUND,
            "vouch has its metrics at /metrics, and a page about its state at /.\n",
        ),
    }
}

fn numbers(request: &Request<Incoming>, served: &Served) -> Response<Full<Bytes>> {
    let accept = request.headers().get(ACCEPT);
    let accept = accept.and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    let format = Format::accepted_by(accept);
    respond(StatusCode::OK, format.content_type(), served.text(format))
}

fn page(request: &Request<Incoming>, served: &Served) -> Response<Full<Bytes>> {
    let page = served.page(request.uri().query() != Some("still"));
    let mut response = respond(StatusCode::OK, "text/html; charset=utf-8", page);
    if let Ok(policy) = HeaderValue::try_from(page::policy()) {
        response.headers_mut().insert(CONTENT_SECURITY_POLICY, policy);
    }
    response
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
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
    use tokio::time::Instant;

    use super::*;
    use crate::report::Report;

    fn served() -> Arc<Served> {
        Arc::new(Served::new(Box::new(Report::default)))
    }

    // Fills HEAD.
    #[tokio::test(start_paused = true)]
    async fn who_sends_no_whole_request_is_left_after_a_while() {
        let (ours, mut theirs) = duplex(64);
        theirs.write_all(b"GET /metrics HTTP/1.1\r\n").await.unwrap();
        let began = Instant::now();
        converse(Box::new(ours), served(), true).await;
        assert!((HEAD..WHOLE).contains(&began.elapsed()), "{:?}", began.elapsed());
    }

    // Fills WHOLE.
    #[tokio::test(start_paused = true)]
    async fn who_reads_no_answer_is_left_after_a_while() {
        let (ours, mut theirs) = duplex(64);
        theirs
            .write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
            .await
            .unwrap();
        let began = Instant::now();
        converse(Box::new(ours), served(), true).await;
        assert_eq!(began.elapsed(), WHOLE);
        let mut begin = String::new();
        theirs.read_to_string(&mut begin).await.unwrap();
        assert!(begin.starts_with("HTTP/1.1 200 OK"), "{begin}");
    }
}
