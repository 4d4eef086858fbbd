//! Clients: how many, how long their lines, how much at once.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use socket2::{Domain, SockAddr, Socket, Type};
use tokio::io::{
    AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader, DuplexStream, ReadBuf,
};
use tokio::time::{Instant, sleep, timeout};
use vouch::address::Address;
use vouch::engine::CachedDirectory;
use vouch::server::Listener;
use vouch::service::bind::{Ownership, bind_path};
use vouch::service::folder_lock::FolderLocks;
use vouch::service::limits::raise_descriptors;
use vouch::verdict::{Client, Kind, Question};

use crate::number;
use crate::stub::{
    Stub, auth_socket, connect, member, policy_socket, serve, settle, socketmap_socket, userdb_socket,
};

/// Room in a pipe for whatever a test says.
const ROOM: usize = 4 << 20;

// Fills BACKLOG.
#[tokio::test]
async fn callers_wait_in_the_backlog_up_to_its_length() {
    raise_descriptors(0, 0);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("listener");
    let ownership = Ownership {
        mode: 0o600,
        ..Ownership::default()
    };
    let _bound = bind_path(&path, ownership, &mut FolderLocks::default()).unwrap();
    let of_kernel: usize = std::fs::read_to_string("/proc/sys/net/core/somaxconn")
        .unwrap()
        .trim()
        .parse()
        .unwrap();
    let limit = number("service::bind::BACKLOG").min(of_kernel);
    let mut callers = Vec::new();
    let refused = loop {
        let caller = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
        caller.set_nonblocking(true).unwrap();
        match caller.connect(&SockAddr::unix(&path).unwrap()) {
            Ok(()) => callers.push(caller),
            Err(error) => break error,
        }
    };
    assert_eq!(refused.kind(), io::ErrorKind::WouldBlock);
    // The kernel lets in one more than it was told.
    assert!((limit..=limit + 1).contains(&callers.len()), "{}", callers.len());
}

/// Every listener, and the longest line that it reads.
fn listeners(stub: &Arc<Stub>) -> [(Arc<dyn Listener>, usize); 3] {
    let member = member(stub.clone(), false);
    [
        (policy_socket(&member), number("policy::LINE_LIMIT")),
        (auth_socket(&member), number("auth::LINE_LIMIT")),
        (userdb_socket(&member), number("auth::master::LINE_LIMIT")),
    ]
}

// Fills auth::LINE_LIMIT, master::LINE_LIMIT.
#[tokio::test]
async fn lines_of_every_listener_have_an_end() {
    let stub = Stub::new();
    for (listener, limit) in listeners(&stub) {
        let (mut client, served) = connect(&listener, ROOM);
        client.write_all(&vec![b'x'; limit - 1]).await.unwrap();
        settle().await;
        assert!(!served.is_finished(), "it may end yet");
        client.write_all(b"x").await.unwrap();
        served.await.unwrap();
        assert_eq!(stub.asked(), 0);
    }
}

// Fills WRITE_TIMEOUT.
#[tokio::test(start_paused = true)]
async fn a_client_that_reads_nothing_is_left_after_a_minute() {
    let minute = Duration::from_secs(60);
    let stub = Stub::new();
    let [(policy, _), greeting @ ..] = listeners(&stub);
    let map = socketmap_socket(&member(stub.clone(), false));
    for (listener, request) in [
        (policy, "request=smtpd_access_policy\nprotocol_state=DATA\n\n"),
        (map, "19:domains example.org,"),
    ] {
        let (mut client, served) = connect(&listener, 300);
        let asking = async { while client.write_all(request.as_bytes()).await.is_ok() {} };
        // Until the pipe is full in both directions.
        let _ = timeout(minute / 2, asking).await;
        let began = Instant::now();
        served.await.unwrap();
        assert_eq!(began.elapsed(), minute / 2);
    }
    // The others greet, and who does not read that asks nothing.
    for (listener, _) in greeting {
        let (_client, served) = connect(&listener, 1);
        let began = Instant::now();
        served.await.unwrap();
        assert_eq!(began.elapsed(), minute);
    }
}

/// Reads lines until so many begin with this word.
async fn read_lines(client: &mut BufReader<DuplexStream>, word: &str, count: usize) {
    let (mut line, mut seen) = (String::new(), 0);
    while seen < count {
        line.clear();
        assert!(
            client.read_line(&mut line).await.unwrap() > 0,
            "{seen} of {count}"
        );
        seen += usize::from(line.starts_with(word));
    }
}

/// As many questions are asked as there may be; the others when there is room.
async fn are_asked_up_to(
    limit: usize,
    stub: &Stub,
    listener: &Arc<dyn Listener>,
    requests: String,
    answer: &str,
    count: usize,
) {
    let (mut client, served) = connect(listener, ROOM);
    client.write_all(requests.as_bytes()).await.unwrap();
    while stub.asked() < limit {
        tokio::task::yield_now().await;
    }
    settle().await;
    assert_eq!(stub.asked(), limit, "the others wait unread");
    stub.open();
    let mut client = BufReader::new(client);
    read_lines(&mut client, answer, count).await;
    assert_eq!(stub.asked(), count);
    drop(client);
    served.await.unwrap();
}

// Fills auth::connection::IN_FLIGHT.
#[tokio::test]
async fn logins_beyond_what_a_connection_may_have_wait_unread() {
    let limit = number("server::auth::connection::IN_FLIGHT");
    let (stub, count) = (Stub::new(), limit + 100);
    let listener = auth_socket(&member(stub.clone(), false));
    let mut requests = "VERSION\t1\t2\nCPID\t7\n".to_owned();
    for id in 1..=count {
        let resp = STANDARD.encode(format!("\0u{id}@example.org\0pw"));
        requests.push_str(&format!("AUTH\t{id}\tPLAIN\tservice=imap\tresp={resp}\n"));
    }
    are_asked_up_to(limit, &stub, &listener, requests, "OK\t", count).await;
}

// Fills userdb::connection::IN_FLIGHT.
#[tokio::test]
async fn users_beyond_what_a_connection_may_have_wait_unread() {
    let limit = number("server::userdb::connection::IN_FLIGHT");
    let (stub, count) = (Stub::new(), limit + 100);
    let listener = userdb_socket(&member(stub.clone(), false));
    let mut requests = "VERSION\t1\t1\n".to_owned();
    for id in 1..=count {
        requests.push_str(&format!("USER\t{id}\tu{id}@example.org\tservice=lmtp\n"));
    }
    are_asked_up_to(limit, &stub, &listener, requests, "USER\t", count).await;
}

/// A stream that knows the largest write.
struct Measured {
    stream: DuplexStream,
    largest: Arc<AtomicUsize>,
}

impl AsyncRead for Measured {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Measured {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.largest.fetch_max(bytes.len(), Ordering::Relaxed);
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

const USERS: usize = 20_000;

/// A directory of which so many recipients are remembered.
async fn remembering(users: usize) -> Arc<CachedDirectory> {
    let stub = Stub::new();
    stub.open();
    let member = member(stub.clone(), false);
    for number in 0..users {
        let address = Address::from_typed(&format!("u{number}@example.org")).unwrap();
        let question = Question {
            kind: Kind::Recipient(address),
            client: Client::default(),
        };
        member
            .decide(question, Instant::now() + Duration::from_secs(60))
            .await;
    }
    member
}

/// However long it takes in all: a client that reads something within a minute gets all of it.
#[tokio::test(start_paused = true)]
async fn a_list_is_whole_for_a_slow_reader() {
    let listener = userdb_socket(&remembering(USERS).await);
    let (mut client, served) = connect(&listener, 16 << 10);
    let request = b"VERSION\t1\t1\nLIST\t1\tservice=doveadm\n";
    client.write_all(request).await.unwrap();
    let minute = Duration::from_secs(60);
    let (began, mut heard, mut chunk) = (Instant::now(), Vec::new(), vec![0; 16 << 10]);
    while !heard.ends_with(b"DONE\t1\t\n") {
        sleep(minute - Duration::from_secs(1)).await;
        let read = timeout(minute, client.read(&mut chunk)).await;
        let count = read.expect("the next piece").unwrap();
        assert!(count > 0, "cut off after {} bytes", heard.len());
        heard.extend_from_slice(&chunk[..count]);
    }
    let listed = heard
        .split(|&byte| byte == b'\n')
        .filter(|line| line.starts_with(b"LIST\t1\tu"));
    assert_eq!(listed.count(), USERS);
    assert!(began.elapsed() > 10 * minute);
    // And one that reads nothing more is left.
    client.write_all(b"LIST\t2\tservice=doveadm\n").await.unwrap();
    served.await.unwrap();
}

// Fills LIST_PIECE.
#[tokio::test]
async fn a_list_goes_out_in_pieces() {
    let member = remembering(USERS).await;
    let (client, stream) = tokio::io::duplex(1024);
    let largest = Arc::new(AtomicUsize::new(0));
    let measured = Measured {
        stream,
        largest: largest.clone(),
    };
    let served = serve(&userdb_socket(&member), Box::new(measured));
    let mut client = BufReader::new(client);
    client
        .write_all(b"VERSION\t1\t1\nLIST\t1\tservice=doveadm\n")
        .await
        .unwrap();
    read_lines(&mut client, "LIST\t1\tu", USERS).await;
    read_lines(&mut client, "DONE\t1", 1).await;
    let piece = number("server::conversation::LIST_PIECE");
    let largest = largest.load(Ordering::Relaxed);
    assert!((piece..piece + 100).contains(&largest), "{largest}");
    drop(client);
    served.await.unwrap();
}
