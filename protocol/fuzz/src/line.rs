//! The line cutter, against one that has all of the input at hand.

use bytes::BytesMut;
use tokio_util::codec::Decoder;
use vouch_protocol::error::DecodeError;
use vouch_protocol::line::LineCutter;

use crate::pieces;

struct Lines(LineCutter, usize);

impl Decoder for Lines {
    type Item = Vec<u8>;
    type Error = DecodeError;

    fn decode(&mut self, buffer: &mut BytesMut) -> Result<Option<Vec<u8>>, DecodeError> {
        let line = self.0.cut(buffer, self.1)?;
        Ok(line.map(|line| line.to_vec()))
    }
}

/// The limit in the first byte, then the lines.
pub fn run(input: &[u8]) {
    let Some((&limit, text)) = input.split_first() else {
        return;
    };
    let limit = usize::from(limit).max(1);
    let read = pieces::read(
        || Lines(LineCutter::default(), limit),
        text,
        limit,
        false,
        |line| format!("{line:?}"),
    );

    let mut expected = Vec::new();
    let mut fits = true;
    let mut rest = text;
    while let Some(at) = rest.iter().position(|&byte| byte == b'\n') {
        fits = at < limit;
        if !fits {
            break;
        }
        let line = &rest[..at];
        expected.push(line.strip_suffix(b"\r").unwrap_or(line));
        rest = &rest[at + 1..];
    }
    assert_eq!(read.messages, expected);
    let fits = fits && rest.len() < limit;
    assert_eq!(read.error.is_none(), fits && rest.is_empty(), "{:?}", read.error);
}
