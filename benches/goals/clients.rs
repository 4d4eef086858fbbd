//! Clients of the listeners, and of the yardsticks that speak the same.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use base64::prelude::{BASE64_STANDARD, Engine};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;

use crate::stage::{PASSWORD, rate, user};

/// What a Postfix 3.7 sends for a recipient (`src/smtpd/smtpd_check.c`).
pub(crate) fn policy_request(recipient: &str) -> Vec<u8> {
    format!(
        "request=smtpd_access_policy\nprotocol_state=RCPT\nprotocol_name=ESMTP\nclient_address=192.0.2.7\n\
         client_name=unknown\nclient_port=50918\nreverse_client_name=unknown\nserver_address=127.0.0.1\n\
         server_port=25\nhelo_name=client.example.net\nsender=alice@example.net\nrecipient={recipient}\n\
         recipient_count=0\nqueue_id=\ninstance=58d9.6b0369c5.90a1c.0\nsize=12345\netrn_domain=\nstress=\n\
         sasl_method=\nsasl_username=\nsasl_sender=\nccert_subject=\nccert_issuer=\nccert_fingerprint=\n\
         ccert_pubkey_fingerprint=\nencryption_protocol=\nencryption_cipher=\nencryption_keysize=0\n\
         policy_context=\n\n"
    )
    .into_bytes()
}

/// Sends a request and reads to the empty line that ends its answer.
pub(crate) async fn ask(stream: &mut UnixStream, request: &[u8], answer: &mut Vec<u8>) {
    answer.clear();
    stream.write_all(request).await.unwrap();
    while !answer.ends_with(b"\n\n") {
        assert_ne!(stream.read_buf(answer).await.unwrap(), 0, "hung up on");
    }
}

/// Requests a second on so many connections, each of which waits for its answers.
pub(crate) async fn policy_load(
    socket: &Path,
    connections: usize,
    time: Duration,
    recipient: impl Fn(usize) -> String + Send + Sync + 'static,
    expected: Option<&'static [u8]>,
) -> (u64, f64) {
    let (count, recipient) = (Arc::new(AtomicU64::new(0)), Arc::new(recipient));
    let (next, began) = (Arc::new(AtomicUsize::new(0)), Instant::now());
    let clients = (0..connections).map(|_| {
        let (count, next, recipient) = (count.clone(), next.clone(), recipient.clone());
        let socket = socket.to_owned();
        tokio::spawn(async move {
            let mut stream = UnixStream::connect(socket).await.unwrap();
            let mut answer = Vec::new();
            while began.elapsed() < time {
                let request = policy_request(&recipient(next.fetch_add(1, Ordering::Relaxed)));
                ask(&mut stream, &request, &mut answer).await;
                assert!(expected.is_none_or(|expected| answer == expected));
                count.fetch_add(1, Ordering::Relaxed);
            }
        })
    });
    for client in clients.collect::<Vec<_>>() {
        client.await.unwrap();
    }
    let count = count.load(Ordering::Relaxed);
    (count, rate(count, began))
}

/// Good logins a second at a socket of the auth-client protocol, so many at a time on one connection, as Dovecot's
/// login processes ask.
pub(crate) async fn auth_load(socket: &Path, at_once: usize, time: Duration) -> f64 {
    let (reading, mut writing) = UnixStream::connect(socket).await.unwrap().into_split();
    let mut lines = BufReader::new(reading).lines();
    writing.write_all(b"VERSION\t1\t2\nCPID\t77\n").await.unwrap();
    while lines.next_line().await.unwrap().unwrap() != "DONE" {}
    let (mut sent, mut answered, began) = (0, 0, Instant::now());
    loop {
        while sent < answered + at_once && began.elapsed() < time {
            sent += 1;
            writing.write_all(login(sent).as_bytes()).await.unwrap();
        }
        if answered == sent {
            return rate(answered as u64, began);
        }
        let line = lines.next_line().await.unwrap().unwrap();
        assert!(line.starts_with("OK\t"), "{line}");
        answered += 1;
    }
}

fn login(id: usize) -> String {
    let resp = BASE64_STANDARD.encode(format!("\0{}\0{PASSWORD}", user(id)));
    format!("AUTH\t{id}\tPLAIN\tservice=imap\tsecured\tno-penalty\tresp={resp}\n")
}

/// Good logins a second at a socket of saslauthd, each on a connection of its own, so many at a time.
pub(crate) async fn saslauthd_load(socket: &Path, at_once: usize, time: Duration) -> f64 {
    let (count, began) = (Arc::new(AtomicU64::new(0)), Instant::now());
    let next = Arc::new(AtomicUsize::new(0));
    let clients = (0..at_once).map(|_| {
        let (count, next, socket) = (count.clone(), next.clone(), socket.to_owned());
        tokio::spawn(async move {
            while began.elapsed() < time {
                let mut stream = UnixStream::connect(&socket).await.unwrap();
                let user = user(next.fetch_add(1, Ordering::Relaxed));
                let (name, realm) = user.split_once('@').unwrap();
                let mut request = Vec::new();
                for part in [name, PASSWORD, "smtp", realm] {
                    request.extend_from_slice(&(part.len() as u16).to_be_bytes());
                    request.extend_from_slice(part.as_bytes());
                }
                stream.write_all(&request).await.unwrap();
                let mut answer = Vec::new();
                stream.read_to_end(&mut answer).await.unwrap();
                let said = String::from_utf8_lossy(answer.get(2..).unwrap_or_default());
                assert!(said.starts_with("OK"), "{said}");
                count.fetch_add(1, Ordering::Relaxed);
            }
        })
    });
    for client in clients.collect::<Vec<_>>() {
        client.await.unwrap();
    }
    rate(count.load(Ordering::Relaxed), began)
}
