//! Cuts lines: the one place that counts bytes before anything is parsed.

use bytes::{Buf, BytesMut};
use memchr::memchr;

use crate::error::DecodeError;

/// Cuts lines that end with LF or CRLF from a growing buffer.
///
/// Bytes that were searched once are not searched again, so a peer that sends
/// one byte at a time costs no more than one that sends whole lines.
#[derive(Debug, Default)]
pub struct LineCutter {
    searched: usize,
}

impl LineCutter {
    /// The next line without its line end, or `None` until it is complete. Lines have at most `limit` bytes, line end
    /// included.
    ///
    /// # Errors
    /// [`DecodeError::TooLong`] as soon as a line cannot end within the limit.
    pub fn cut(&mut self, buffer: &mut BytesMut, limit: usize) -> Result<Option<BytesMut>, DecodeError> {
        let too_long = DecodeError::TooLong { limit };
        let unread = buffer.get(self.searched..).unwrap_or_default();
        let Some(at) = memchr(b'\n', unread) else {
            self.searched = buffer.len();
            return if buffer.len() >= limit {
                Err(too_long)
            } else {
                Ok(None)
            };
        };
        let end = self.searched + at;
        if end >= limit {
            return Err(too_long);
        }
        self.searched = 0;
        let mut line = buffer.split_to(end);
        buffer.advance(1);
        if line.last() == Some(&b'\r') {
            line.truncate(end - 1);
        }
        Ok(Some(line))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::assert_cuts_read_alike;

    fn lines(limit: usize, pieces: &[&[u8]]) -> Result<Vec<Vec<u8>>, DecodeError> {
        let mut cutter = LineCutter::default();
        let mut buffer = BytesMut::new();
        let mut out = Vec::new();
        for piece in pieces {
            buffer.extend_from_slice(piece);
            while let Some(line) = cutter.cut(&mut buffer, limit)? {
                out.push(line.to_vec());
            }
        }
        Ok(out)
    }

    #[test]
    fn cuts_both_line_ends_and_keeps_a_lone_cr() {
        let cut = lines(64, &[b"a\nb\r\n\r\n\nc\rd\nrest"]).unwrap();
        assert_eq!(cut, [&b"a"[..], b"b", b"", b"", b"c\rd"]);
    }

    #[test]
    fn every_cut_reads_the_same() {
        let whole = b"one\r\ntwo\nthree\r\n";
        assert_eq!(lines(16, &[whole]).unwrap(), [&b"one"[..], b"two", b"three"]);
        assert_cuts_read_alike(whole, |pieces| lines(16, pieces));
    }

    #[test]
    fn the_limit_counts_the_line_end() {
        assert_eq!(lines(4, &[b"abc\n"]).unwrap(), [b"abc"]);
        assert!(matches!(
            lines(4, &[b"abcd\n"]),
            Err(DecodeError::TooLong { limit: 4 })
        ));
        assert!(matches!(
            lines(4, &[b"abcd"]),
            Err(DecodeError::TooLong { limit: 4 })
        ));
        assert!(lines(4, &[b"abc"]).unwrap().is_empty());
    }
}
