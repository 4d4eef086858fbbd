//! A remote that says what an input says, whatever it is asked.

use bytes::BytesMut;
use tokio_util::codec::Decoder;

/// Stands in an input where the TLS handshake took place, as a line of its own.
pub const SECURED: &[u8] = b"-- TLS --";

/// What a remote says, cut by a codec.
pub struct Remote<D> {
    codec: D,
    said: BytesMut,
}

impl<D: Decoder> Remote<D> {
    /// A remote that says all of `said` and hangs up.
    pub fn new(codec: D, said: &[u8]) -> Self {
        Self {
            codec,
            said: said.into(),
        }
    }

    /// What it says next; `None` once it hung up or said what cannot be read.
    pub fn says(&mut self) -> Option<D::Item> {
        let next = self.codec.decode_eof(&mut self.said).ok().flatten();
        if next.is_none() {
            self.said.clear();
        }
        next
    }
}

/// Whether `text` holds `part`.
pub fn holds(text: &[u8], part: &[u8]) -> bool {
    !part.is_empty() && text.windows(part.len()).any(|window| window == part)
}

/// What stands in front of the CRLF, which is the only one.
pub fn command_line(wire: &[u8]) -> &[u8] {
    let Some(line) = wire.strip_suffix(b"\r\n") else {
        panic!("no line: {wire:?}");
    };
    assert!(
        !line.iter().any(|byte| b"\r\n\0".contains(byte)),
        "more than a line: {wire:?}"
    );
    line
}
