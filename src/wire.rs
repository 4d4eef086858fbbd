//! A stream with a codec: read one message, write some, each with a deadline.

use std::io;
use std::time::Duration;

use bytes::BytesMut;
use futures_util::FutureExt;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_util::codec::{Decoder, Encoder};
use vouch_protocol::error::{DecodeError, EncodeError};
use vouch_protocol::line::LineCutter;
use zeroize::Zeroize;

/// Bound (clients, bytes): room made for one more read. Beyond: a buffer grows to twice the longest message and this,
/// and is given back. Why: a whole policy request or EHLO reply fits.
const READ_CHUNK: usize = 2048;

/// Bound (questions): interval of checks for a client that has closed its half of the connection. Beyond: its
/// questions are dropped if it has gone. Why: nothing else reveals it.
pub(crate) const LEFT_CHECK: Duration = Duration::from_secs(1);

/// Anything that bytes go in and out of: TCP, a Unix socket, TLS over either,
/// or a pipe in memory.
pub trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// A stream of any kind.
pub type Stream = Box<dyn Io>;

/// Why a message was not read or written.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// The peer closed the connection between two messages.
    #[error("closed the connection")]
    Closed,
    /// The deadline passed first.
    #[error("no answer in time")]
    Timeout,
    /// The peer took none of what it is to read for so long.
    #[error("read nothing of what was written to it")]
    Unread(Duration),
    /// The peer has begun a message and did not end it within so long.
    #[error("began a message and did not end it")]
    Unfinished(Duration),
    /// The connection broke.
    #[error("the connection broke: {0}")]
    Io(io::Error),
    /// What came is not of the protocol.
    #[error("sent something {0}")]
    Decode(DecodeError),
    /// What was to be sent has no form in the protocol.
    #[error("{0}")]
    Encode(EncodeError),
}

impl From<DecodeError> for WireError {
    fn from(error: DecodeError) -> Self {
        match error {
            DecodeError::Io(error) => Self::Io(error),
            other => Self::Decode(other),
        }
    }
}

impl From<EncodeError> for WireError {
    fn from(error: EncodeError) -> Self {
        match error {
            EncodeError::Io(error) => Self::Io(error),
            other => Self::Encode(other),
        }
    }
}

/// Lines of any bytes, without their ends.
pub struct Lines {
    cutter: LineCutter,
    limit: usize,
}

impl Lines {
    /// Lines of at most so many bytes, with their ends.
    pub fn new(limit: usize) -> Self {
        let cutter = LineCutter::default();
        Self { cutter, limit }
    }
}

impl Decoder for Lines {
    type Item = BytesMut;
    type Error = DecodeError;

    fn decode(&mut self, buffer: &mut BytesMut) -> Result<Option<BytesMut>, DecodeError> {
        self.cutter.cut(buffer, self.limit)
    }
}

/// A stream, its codec and their buffers.
pub struct Wire<C> {
    stream: Stream,
    codec: C,
    input: Wiped,
    output: Wiped,
    heard: bool,
    /// How long a message may take from its first byte to its last.
    patience: Option<Duration>,
    /// When the first byte of a message that is not whole yet was here.
    begun: Option<Instant>,
}

/// A buffer that may have held a password: what it held is overwritten before its
/// memory goes back.
#[derive(Default)]
struct Wiped(BytesMut);

impl Wiped {
    /// Makes room for one more read, without leaving a copy of what is there.
    fn make_room(&mut self) {
        if self.0.is_empty() && self.0.capacity() > 4 * READ_CHUNK {
            // One long message must not cost an idle connection its memory for ever.
            *self = Self::default();
        }
        if self.0.is_empty() {
            self.0.reserve(READ_CHUNK);
        } else if self.0.capacity() - self.0.len() < READ_CHUNK / 2 {
            let mut larger = Self(BytesMut::with_capacity(2 * self.0.len() + READ_CHUNK));
            larger.0.extend_from_slice(&self.0);
            *self = larger;
        }
    }

    fn wipe(&mut self) {
        // What was read and cut off lies in front of it and was overwritten by its codec.
        self.0.resize(self.0.capacity(), 0);
        self.0.as_mut().zeroize();
        self.0.clear();
    }
}

impl Drop for Wiped {
    fn drop(&mut self) {
        self.wipe();
    }
}

impl<C> Wire<C> {
    /// A wire over `stream` on which nothing was read or written yet.
    pub fn new(stream: Stream, codec: C) -> Self {
        Self {
            stream,
            codec,
            input: Wiped::default(),
            output: Wiped::default(),
            heard: false,
            patience: None,
            begun: None,
        }
    }

    /// From here on a message may take so long from its first byte to its last, however many pieces it comes in. Nothing
    /// bounds the time until it begins.
    #[must_use]
    pub fn with_patience(mut self, patience: Duration) -> Self {
        self.patience = Some(patience);
        self
    }

    /// Whether any byte arrived since [`Wire::listen`].
    pub fn heard(&self) -> bool {
        self.heard
    }

    /// From here on, [`Wire::heard`] tells whether the peer still spoke to us.
    pub fn listen(&mut self) {
        self.heard = false;
    }

    /// Whether bytes arrived that no message has used up. Before TLS starts
    /// there must be none: they would be taken for protected ones.
    pub fn has_residue(&self) -> bool {
        !self.input.0.is_empty()
    }

    /// The same bytes.
    pub fn unread(&self) -> &[u8] {
        &self.input.0
    }

    /// Whether the peer has closed its end, as far as the system tells: of a Unix socket at once, of TCP
    /// when it was written to. One that has closed no more than its half still hears.
    pub fn is_closed(&mut self) -> bool {
        // No byte is written; where nobody could read it, that fails all the same.
        let written = self.stream.write(&[]).now_or_never();
        matches!(written, Some(Err(_)))
    }

    /// Waits until the peer [has left](Self::is_closed).
    pub async fn left(&mut self) {
        while !self.is_closed() {
            sleep(LEFT_CHECK).await;
        }
    }

    /// Says that nothing more is written, and waits until the peer has closed its end as well. What comes
    /// meanwhile is not looked at. The caller bounds it.
    pub async fn finish(mut self) {
        if self.stream.shutdown().await.is_err() {
            return;
        }
        let mut rest = [0; READ_CHUNK];
        while matches!(self.stream.read(&mut rest).await, Ok(1..)) {}
    }

    /// The stream, for TLS to be put over it.
    pub fn into_stream(self) -> Stream {
        self.stream
    }

    /// Sends what was pushed, by `deadline`.
    ///
    /// # Errors
    /// [`WireError::Timeout`], [`WireError::Io`].
    pub async fn flush(&mut self, deadline: Instant) -> Result<(), WireError> {
        let sent = timeout_at(deadline, async {
            self.stream.write_all(&self.output.0).await?;
            self.stream.flush().await
        })
        .await;
        self.output.wipe();
        match sent {
            Ok(result) => result.map_err(WireError::Io),
            Err(_) => Err(WireError::Timeout),
        }
    }

    /// Sends what was pushed to a peer that takes some of it within `patience`, again and again.
    ///
    /// # Errors
    /// [`WireError::Unread`], [`WireError::Io`].
    pub async fn flush_within(&mut self, patience: Duration) -> Result<(), WireError> {
        let sent = write_within(&mut self.stream, &self.output.0, patience).await;
        self.output.wipe();
        sent
    }

    /// Puts a message into the output buffer.
    ///
    /// # Errors
    /// [`WireError::Encode`]; nothing of the message is then in the buffer.
    pub fn push<M>(&mut self, message: M) -> Result<(), WireError>
    where
        C: Encoder<M>,
        WireError: From<C::Error>,
    {
        Ok(self.codec.encode(message, &mut self.output.0)?)
    }

    /// Puts bytes into the output buffer that were encoded before.
    pub fn push_bytes(&mut self, bytes: &[u8]) {
        self.output.0.extend_from_slice(bytes);
    }

    /// Bytes that wait to be flushed.
    pub fn pending_output(&self) -> usize {
        self.output.0.len()
    }
}

/// Writes all of it to a peer that takes some within `patience`, again and again: a slow reader is waited for, one
/// that reads nothing is not.
///
/// # Errors
/// [`WireError::Unread`], [`WireError::Io`].
pub async fn write_within(
    stream: &mut (impl AsyncWrite + Unpin),
    bytes: &[u8],
    patience: Duration,
) -> Result<(), WireError> {
    let unread = |_| WireError::Unread(patience);
    let mut rest = bytes;
    while !rest.is_empty() {
        // Nearly every peer has room: for these no clock is read.
        let written = match stream.write(rest).now_or_never() {
            Some(written) => written,
            None => timeout(patience, stream.write(rest)).await.map_err(unread)?,
        };
        let count = written.map_err(WireError::Io)?;
        if count == 0 {
            return Err(WireError::Io(io::ErrorKind::WriteZero.into()));
        }
        rest = rest.get(count..).unwrap_or_default();
    }
    let flushed = match stream.flush().now_or_never() {
        Some(flushed) => flushed,
        None => timeout(patience, stream.flush()).await.map_err(unread)?,
    };
    flushed.map_err(WireError::Io)
}

impl<C: Decoder> Wire<C>
where
    WireError: From<C::Error>,
{
    /// The next message, or `None` when the peer has closed its side. May be
    /// dropped and called again without losing a byte.
    ///
    /// # Errors
    /// [`WireError::Io`], [`WireError::Decode`], [`WireError::Unfinished`].
    pub async fn next(&mut self) -> Result<Option<C::Item>, WireError> {
        loop {
            if !self.input.0.is_empty()
                && let Some(message) = self.codec.decode(&mut self.input.0)?
            {
                self.begun = None;
                return Ok(Some(message));
            }
            self.input.make_room();
            let between = self.input.0.is_empty();
            let reading = self.stream.read_buf(&mut self.input.0);
            let read = match self.patience {
                Some(patience) if !between => {
                    let end = *self.begun.get_or_insert_with(Instant::now) + patience;
                    let read = timeout_at(end, reading).await;
                    read.map_err(|_| WireError::Unfinished(patience))?
                }
                _ => {
                    self.begun = None;
                    reading.await
                }
            };
            let count = read.map_err(WireError::Io)?;
            if count == 0 {
                return Ok(self.codec.decode_eof(&mut self.input.0)?);
            }
            self.heard = true;
        }
    }

    /// What there is of the next message, once there is some, by `deadline`. Nothing of it is used up; it is empty at the
    /// end.
    ///
    /// # Errors
    /// [`WireError::Io`], [`WireError::Timeout`].
    pub async fn beginning(&mut self, deadline: Instant) -> Result<&[u8], WireError> {
        if self.input.0.is_empty() {
            self.input.make_room();
            let reading = timeout_at(deadline, self.stream.read_buf(&mut self.input.0)).await;
            let count = reading.map_err(|_| WireError::Timeout)?.map_err(WireError::Io)?;
            self.heard |= count > 0;
        }
        Ok(&self.input.0)
    }

    /// The next message by `deadline`.
    ///
    /// # Errors
    /// As [`Wire::next`], and [`WireError::Closed`], [`WireError::Timeout`].
    pub async fn read(&mut self, deadline: Instant) -> Result<C::Item, WireError> {
        match timeout_at(deadline, self.next()).await {
            Ok(Ok(Some(message))) => Ok(message),
            Ok(Ok(None)) => Err(WireError::Closed),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(WireError::Timeout),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::duplex;

    use super::*;

    impl Encoder<&str> for Lines {
        type Error = EncodeError;
        fn encode(&mut self, line: &str, buffer: &mut BytesMut) -> Result<(), EncodeError> {
            buffer.extend_from_slice(format!("{line}\n").as_bytes());
            Ok(())
        }
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(1)
    }

    #[tokio::test(start_paused = true)]
    async fn messages_deadlines_and_the_end() {
        let (ours, mut theirs) = duplex(1024);
        let mut wire = Wire::new(Box::new(ours), Lines::new(1 << 20));
        theirs.write_all(b"one\ntwo\npart").await.unwrap();
        assert_eq!(wire.read(soon()).await.unwrap(), "one");
        assert!(wire.has_residue() && wire.heard());
        assert_eq!(wire.read(soon()).await.unwrap(), "two");
        assert!(matches!(wire.read(soon()).await, Err(WireError::Timeout)));
        wire.push("hello").unwrap();
        wire.listen();
        wire.flush(soon()).await.unwrap();
        assert!(!wire.heard());
        theirs.write_all(b"ial\n").await.unwrap();
        assert_eq!(wire.read(soon()).await.unwrap(), "partial");
        drop(theirs);
        assert!(matches!(wire.read(soon()).await, Err(WireError::Closed)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_never_reads_costs_one_deadline() {
        let (ours, _theirs) = duplex(4);
        let mut wire = Wire::new(Box::new(ours), Lines::new(1 << 20));
        wire.push("longer than the pipe").unwrap();
        assert!(matches!(wire.flush(soon()).await, Err(WireError::Timeout)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_message_that_has_begun_ends_in_time_however_many_pieces_it_comes_in() {
        const PATIENCE: Duration = Duration::from_secs(60);
        let (ours, mut theirs) = duplex(1024);
        let mut wire = Wire::new(Box::new(ours), Lines::new(1 << 20)).with_patience(PATIENCE);
        // Nobody is hurried to begin.
        assert!(timeout(10 * PATIENCE, wire.next()).await.is_err());
        let pieces = async {
            theirs.write_all(b"whole\nbeg").await.unwrap();
            let began = Instant::now();
            while theirs.write_all(b"x").await.is_ok() {
                sleep(Duration::from_secs(7)).await;
            }
            began.elapsed()
        };
        let reading = async {
            assert_eq!(wire.next().await.unwrap().unwrap(), "whole");
            // It may be given up and begun again.
            for _ in 0..5 {
                assert!(timeout(Duration::from_secs(10), wire.next()).await.is_err());
            }
            let began = Instant::now();
            assert!(matches!(wire.next().await, Err(WireError::Unfinished(PATIENCE))));
            assert_eq!(began.elapsed(), Duration::from_secs(10));
            drop(wire);
        };
        let (elapsed, ()) = tokio::join!(pieces, reading);
        assert!(elapsed < PATIENCE + Duration::from_secs(8));
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_reader_is_waited_for_and_one_that_reads_nothing_is_not() {
        const PATIENCE: Duration = Duration::from_secs(60);
        let (mut ours, mut theirs) = duplex(1);
        let written = write_within(&mut ours, b"ten bytes!", PATIENCE);
        let read = async {
            for _ in 0..9 {
                sleep(PATIENCE - Duration::from_secs(1)).await;
                theirs.read_u8().await.unwrap();
            }
        };
        let (written, ()) = tokio::join!(written, read);
        written.unwrap();
        let written = write_within(&mut ours, b"more", PATIENCE).await;
        assert!(matches!(written, Err(WireError::Unread(PATIENCE))));
    }

    // Fills READ_CHUNK.
    #[tokio::test]
    async fn one_long_message_does_not_keep_its_buffer() {
        const LONG: usize = 100 * READ_CHUNK;
        let (ours, mut theirs) = duplex(LONG);
        let mut wire = Wire::new(Box::new(ours), Lines::new(1 << 20));
        theirs.write_all(&[b'x'; LONG]).await.unwrap();
        let half = timeout(Duration::from_millis(100), wire.next()).await;
        assert!(half.is_err(), "its end has not come");
        assert!(wire.input.0.capacity() <= 2 * LONG + READ_CHUNK);
        theirs.write_all(b"\n").await.unwrap();
        assert_eq!(wire.read(soon()).await.unwrap().len(), LONG);
        theirs.write_all(b"short\n").await.unwrap();
        assert_eq!(wire.read(soon()).await.unwrap(), "short");
        assert!(
            wire.input.0.capacity() <= 4 * READ_CHUNK,
            "{}",
            wire.input.0.capacity()
        );
    }
}
