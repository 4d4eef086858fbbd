//! A bound for what a store sends unasked.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::wire::Stream;

/// Bound (cache, bytes): what a store may send before anything more is asked of it. Beyond: the connection ends. Why: many
/// times what hundreds of look-ups are answered with; a store that has gone mad takes no more memory.
const UNASKED: usize = 256 << 10;

/// A stream that ends where far more comes than anybody has asked for.
pub(super) struct Bounded {
    stream: Stream,
    unasked: usize,
}

impl Bounded {
    pub(super) fn new(stream: Stream) -> Self {
        Self { stream, unasked: 0 }
    }
}

impl AsyncRead for Bounded {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        self.unasked += buf.filled().len() - before;
        if self.unasked > UNASKED {
            return Poll::Ready(Err(io::ErrorKind::InvalidData.into()));
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Bounded {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.unasked = 0;
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    // Fills UNASKED.
    #[tokio::test]
    async fn a_store_that_sends_without_end_is_given_up() {
        let (ours, mut theirs) = duplex(UNASKED);
        let mut bounded = Bounded::new(Box::new(ours));
        let mut half = vec![0; UNASKED / 2 + 1];
        for _ in 0..3 {
            bounded.write_all(b"x").await.unwrap();
            theirs.write_all(&half).await.unwrap();
            bounded.read_exact(&mut half).await.unwrap();
        }
        theirs.write_all(&half).await.unwrap();
        assert!(bounded.read_exact(&mut half).await.is_err());
    }
}
