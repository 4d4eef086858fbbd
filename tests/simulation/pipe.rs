//! vouch's end of a connection, which fails as one of TCP does: what is written is taken in parts, and the other end may
//! reset it. That the other end may close its half is in `DuplexStream` already.
//!
//! Both sides of vouch take any stream (`Dial`, `Caller`), so that this file is all of a network that is needed. A simulated
//! one (`turmoil-net` 0.1) would bring hosts, a clock and addresses of its own, knows no Unix sockets, and does not replay a
//! seed by itself.

use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf, duplex};

use crate::world::World;

/// Room in a pipe for whatever is said at once.
pub(crate) const PIPE: usize = 1 << 16;

/// Writes of a thousand that are taken in part.
const IN_PART: u64 = 100;

/// vouch's end.
pub(crate) struct End {
    stream: DuplexStream,
    state: Arc<State>,
    world: Arc<World>,
    /// A part was taken: the rest has to wait.
    waits: bool,
}

/// What both ends know of the connection.
#[derive(Default)]
pub(crate) struct State {
    reset: AtomicBool,
    /// What vouch has not read by then, it never will.
    lost: AtomicBool,
    writing: AtomicBool,
}

/// The two ends of a connection whose pipes hold so much, and the way to reset it.
pub(crate) fn connection(world: &Arc<World>, room: usize) -> (End, DuplexStream, Arc<State>) {
    let (stream, theirs) = duplex(room);
    let state = Arc::new(State::default());
    let end = End {
        stream,
        state: state.clone(),
        world: world.clone(),
        waits: false,
    };
    (end, theirs, state)
}

impl State {
    /// The end that vouch does not have resets the connection. It is dropped next, of which vouch is awoken.
    pub(crate) fn reset(&self, world: &World) {
        self.lost.store(world.chance.coin(), Ordering::Relaxed);
        self.reset.store(true, Ordering::Relaxed);
    }

    /// vouch has more to say than what was taken.
    pub(crate) fn is_writing(&self) -> bool {
        self.writing.load(Ordering::Relaxed)
    }

    fn check(&self, flag: &AtomicBool, kind: ErrorKind) -> io::Result<()> {
        if flag.load(Ordering::Relaxed) {
            return Err(kind.into());
        }
        Ok(())
    }
}

impl AsyncRead for End {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let state = self.state.clone();
        state.check(&state.lost, ErrorKind::ConnectionReset)?;
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        if buffer.filled().len() == before {
            state.check(&state.reset, ErrorKind::ConnectionReset)?;
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for End {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let state = self.state.clone();
        state.check(&state.reset, ErrorKind::BrokenPipe)?;
        state.writing.store(true, Ordering::Relaxed);
        if std::mem::take(&mut self.waits) {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let chance = &self.world.chance;
        let part = if chance.once_in(IN_PART) {
            chance.among(1, bytes.len().max(1) as u64) as usize
        } else {
            bytes.len()
        };
        let taken = ready!(Pin::new(&mut self.stream).poll_write(context, &bytes[..part.min(bytes.len())]))?;
        self.waits = taken < bytes.len();
        state.writing.store(self.waits, Ordering::Relaxed);
        Poll::Ready(Ok(taken))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.state.check(&self.state.reset, ErrorKind::NotConnected)?;
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
