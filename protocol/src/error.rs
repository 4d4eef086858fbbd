//! What can go wrong between bytes and messages.

use std::io;

use bytes::BytesMut;
use zeroize::Zeroize;

/// Why bytes from a peer could not be read as a message.
///
/// Any of these ends the connection it happened on: after it, the two sides no
/// longer agree where the next message begins.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// The bytes are complete and break the protocol's grammar or order. The
    /// text names the rule; it never holds bytes of the peer.
    #[error("malformed: {0}")]
    Malformed(&'static str),
    /// The message is longer than we are willing to hold.
    #[error("longer than {limit} bytes")]
    TooLong {
        /// The limit that was passed, in bytes.
        limit: usize,
    },
    /// The connection ended inside a message.
    #[error("cut off in the middle of a message")]
    Truncated,
    /// Reading failed. `tokio_util::codec::Decoder` asks for this case.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// What was decoded where a stream ends. What is left then is a message that was cut short; it is overwritten, as
/// it may hold the beginning of a password.
///
/// # Errors
/// [`DecodeError::Truncated`].
pub(crate) fn at_end<T>(decoded: Option<T>, rest: &mut BytesMut) -> Result<Option<T>, DecodeError> {
    if decoded.is_some() || rest.is_empty() {
        return Ok(decoded);
    }
    rest.as_mut().zeroize();
    Err(DecodeError::Truncated)
}

/// Why a message was not written.
#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    /// A part of the message holds CR, LF or NUL, or another byte that has no
    /// form in this protocol. Nothing of the message was written.
    #[error("{0} holds a byte that cannot be sent")]
    Unsendable(&'static str),
    /// Writing failed. `tokio_util::codec::Encoder` asks for this case.
    #[error(transparent)]
    Io(#[from] io::Error),
}
