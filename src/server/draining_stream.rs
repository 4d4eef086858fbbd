//! How a client on a Unix socket is parted with, so that no question is lost between it and us.

use std::io::{self, ErrorKind, Read};
use std::net::Shutdown;
use std::pin::Pin;
use std::task::{Context, Poll};

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::UnixStream;
use tokio_util::sync::CancellationToken;

/// A client's stream. Once it is to be deaf, the kernel takes nothing more from the client: its next write fails at
/// once, and it asks on a new connection (Postfix does, `xsasl_dovecot_server.c` and `attr_clnt.c`). What it had sent
/// before is still read; behind that, the stream is at its end. Without this, a question that arrives while vouch
/// closes would be lost, and its sender would get an error.
pub(super) struct DrainingStream {
    stream: UnixStream,
    deaf: CancellationToken,
    is_deaf: bool,
}

impl DrainingStream {
    pub(super) fn new(stream: UnixStream, deaf: CancellationToken) -> Self {
        Self {
            stream,
            deaf,
            is_deaf: false,
        }
    }

    /// What was sent before it could be sent no more.
    fn read_rest(&mut self, buffer: &mut ReadBuf<'_>) -> io::Result<()> {
        let socket = SockRef::from(&self.stream);
        if !self.is_deaf {
            // It fails where the client has gone, and then nothing more comes either.
            let _ = socket.shutdown(Shutdown::Read);
            self.is_deaf = true;
        }
        // Not by the runtime, which would wait for news of a socket that has none any more.
        match (&*socket).read(buffer.initialize_unfilled()) {
            Ok(count) => buffer.advance(count),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

impl AsyncRead for DrainingStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.deaf.is_cancelled() {
            return Poll::Ready(self.read_rest(buffer));
        }
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for DrainingStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test]
    async fn what_was_sent_is_read_and_nothing_more_is_taken() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let draining = CancellationToken::new();
        let mut ours = DrainingStream::new(ours, draining.clone());
        theirs.write_all(b"asked").await.unwrap();
        draining.cancel();
        let mut sent = [0; 3];
        ours.read_exact(&mut sent).await.unwrap();
        assert_eq!(&sent, b"ask");
        let refused = theirs.write_all(b"too late").await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::BrokenPipe);
        let mut rest = Vec::new();
        ours.read_to_end(&mut rest).await.unwrap();
        assert_eq!(rest, b"ed");
        ours.write_all(b"answer").await.unwrap();
        drop(ours);
        let mut answer = String::new();
        theirs.read_to_string(&mut answer).await.unwrap();
        assert_eq!(answer, "answer");
    }
}
