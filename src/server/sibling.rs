//! Other processes of ours behind the same Dovecot.
//!
//! When Dovecot reloads, a new process takes over its sockets, and the old one goes
//! on to answer those who are connected. A mail process may then ask the one for a
//! login that the other has accepted. So each cookie names its process
//! ([`Handover`](super::handover::Handover)), and a process that gets another's
//! cookie asks that one, at a socket without a path, as the mail process would.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use nix::unistd::geteuid;
use tokio::net::{UnixListener, UnixStream};
use tokio::time::Instant;
use vouch_protocol::auth::master::Claim;
use vouch_protocol::error::DecodeError;

use super::counts::ListenerCounts;
use super::{Caller, Listener};
use crate::wire::{Lines, Stream, Wire, WireError};

/// Bound (questions): wait for another vouch that has accepted a login (Dovecot reloads). Beyond: the mail process is
/// refused. Why: that process looks into its memory only.
const REPLY_TIMEOUT: Duration = Duration::from_secs(5);

/// Bound (questions, bytes): line of another vouch that has accepted a login. Beyond: the mail process is refused.
/// Why: the protocol's own limit.
const MAX_LINE_BYTES: usize = 8192;

/// The socket at which other processes of ours reach this one.
///
/// # Errors
/// When the system gives none. Needs a runtime.
pub fn listen() -> io::Result<UnixListener> {
    UnixListener::bind(address(std::process::id()))
}

/// A name in Linux's abstract namespace begins with a zero byte (unix(7)).
fn address(pid: u32) -> String {
    format!("\0vouch-dovecot-{pid}")
}

/// A master listener, open only to processes of vouch's own user.
pub struct SiblingListener {
    listener: String,
    master: Arc<dyn Listener>,
}

impl SiblingListener {
    /// The same as `master`, which serves `listener`.
    pub fn new(listener: &str, master: Arc<dyn Listener>) -> Self {
        let listener = listener.to_owned();
        Self { listener, master }
    }
}

impl Listener for SiblingListener {
    fn counts(&self) -> Arc<ListenerCounts> {
        self.master.counts()
    }

    fn serve(self: Arc<Self>, caller: Caller) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        let uid = caller.peer.map(|peer| peer.uid);
        if uid != Some(geteuid().as_raw()) {
            tracing::warn!(
                listener = self.listener,
                uid,
                "turned away: this socket is for processes of vouch; see which program of that user asks there"
            );
            return Box::pin(async {});
        }
        // It asks for another process, which it has looked at itself.
        let caller = Caller { peer: None, ..caller };
        self.master.clone().serve(caller)
    }
}

/// Asks the process `pid` for a login. The line that answers.
///
/// # Errors
/// When there is no such process any more, or it is not ours, or has no answer.
pub(super) async fn ask(pid: u32, claim: &Claim) -> io::Result<Vec<u8>> {
    let stream = UnixStream::connect(address(pid)).await?;
    let peer = stream.peer_cred()?;
    // Once a process has ended, anybody may take the name of its socket.
    let same_pid = peer.pid().is_some_and(|other| i64::from(other) == i64::from(pid));
    if peer.uid() != geteuid().as_raw() || !same_pid {
        return Err(io::Error::other("another process has its socket"));
    }
    let request = [b"VERSION\t1\t1\n".as_slice(), claim.to_line().expose()].concat();
    exchange(Box::new(stream), &request, claim.id)
        .await
        .map_err(io::Error::other)
}

async fn exchange(stream: Stream, request: &[u8], id: u32) -> Result<Vec<u8>, WireError> {
    let deadline = Instant::now() + REPLY_TIMEOUT;
    let mut wire = Wire::new(stream, Lines::new(MAX_LINE_BYTES));
    wire.push_bytes(request);
    wire.flush(deadline).await?;
    // VERSION and SPID stand before the answer.
    for _ in 0..2 {
        wire.read(deadline).await?;
    }
    let mut line = wire.read(deadline).await?;
    line.extend_from_slice(b"\n");
    let known = [format!("USER\t{id}\t"), format!("FAIL\t{id}\n")];
    if known.iter().any(|known| line.starts_with(known.as_bytes())) {
        Ok(line.to_vec())
    } else {
        Err(WireError::Decode(DecodeError::Malformed(
            "an answer to another request",
        )))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use bytes::BytesMut;
    use tokio::io::AsyncWriteExt;
    use tokio_util::codec::Decoder;
    use tokio_util::sync::CancellationToken;
    use tokio_util::task::TaskTracker;
    use vouch_protocol::auth::master::{Codec, Request};

    use super::*;
    use crate::server::admission::{Admission, Descriptors};
    use crate::server::{Closing, Socket, serve};

    /// Greets, and answers every connection with the next of its lines.
    struct Master {
        lines: Vec<&'static str>,
        served: AtomicUsize,
        counts: Arc<ListenerCounts>,
    }

    impl Listener for Master {
        fn counts(&self) -> Arc<ListenerCounts> {
            self.counts.clone()
        }

        fn serve(self: Arc<Self>, mut caller: Caller) -> Pin<Box<dyn Future<Output = ()> + Send>> {
            assert!(caller.peer.is_none());
            let line = self.lines[self.served.fetch_add(1, Ordering::Relaxed)];
            Box::pin(async move {
                let answer = format!("VERSION\t1\t1\nSPID\t1\n{line}");
                caller.stream.write_all(answer.as_bytes()).await.unwrap();
            })
        }
    }

    fn claim() -> Claim {
        let mut line = BytesMut::from("VERSION\t1\t1\nREQUEST\t9\t77\t5\t00ff\tsession_pid=4\n");
        match Codec::default().decode(&mut line).unwrap().unwrap() {
            Request::Request(claim) => claim,
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn a_process_is_asked_for_a_login() {
        let pid = std::process::id();
        assert!(ask(pid, &claim()).await.is_err());
        let lines = vec![
            "USER\t9\tjane\thome=/j\n", "FAIL\t9\n", "USER\t8\tjoe\n", "NOTFOUND\t9\n", "USER\t9\tcut off",
            "",
        ];
        let master = Master {
            lines: lines.clone(),
            served: AtomicUsize::new(0),
            counts: Arc::default(),
        };
        let closing = Closing {
            accepting: CancellationToken::new(),
            draining: CancellationToken::new(),
            takes_backlog: false,
        };
        let listener = Arc::new(SiblingListener::new("master", Arc::new(master)));
        tokio::spawn(serve(
            Arc::new(Socket::Unix(listen().unwrap())),
            listener,
            Arc::new(Admission::new("kin", 10, None, Descriptors::new(10))),
            TaskTracker::new(),
            closing,
        ));
        for line in lines {
            let answer = ask(pid, &claim()).await;
            // Another's answer, or half of one, is none.
            let expected = ["USER\t9\tjane\thome=/j\n", "FAIL\t9\n"].contains(&line);
            assert_eq!(answer.ok(), expected.then(|| line.as_bytes().to_vec()), "{line}");
        }
    }

    /// What `exchange` makes of a process that says these bytes, over and over where `endless`.
    async fn told(bytes: &'static [u8], endless: bool) -> Result<Vec<u8>, WireError> {
        let (ours, mut theirs) = tokio::io::duplex(1024);
        let talking = tokio::spawn(async move {
            while theirs.write_all(bytes).await.is_ok() && endless {}
            std::future::pending::<()>().await;
        });
        let answer = exchange(Box::new(ours), b"REQUEST\n", 9).await;
        talking.abort();
        answer
    }

    // Fills REPLY_TIMEOUT.
    #[tokio::test(start_paused = true)]
    async fn a_process_that_says_nothing_is_given_up() {
        let began = Instant::now();
        let error = told(b"VERSION\t1\t1\n", false).await.unwrap_err();
        assert!(matches!(error, WireError::Timeout), "{error}");
        assert_eq!(began.elapsed(), REPLY_TIMEOUT);
    }

    // Fills MAX_LINE_BYTES.
    #[tokio::test(start_paused = true)]
    async fn a_process_that_says_too_much_is_given_up() {
        let error = told(b"xxxxxxxxxxxxxxxx", true).await.unwrap_err();
        assert!(matches!(error, WireError::Decode(_)), "{error}");
    }
}
