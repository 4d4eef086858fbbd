//! Postfix's socketmap protocol (`socketmap_table(5)`, `src/util/dict_sockmap.c`), server side.
//!
//! A question names a map and a key, an answer says what the map has for it; each is a netstring. Questions on a
//! connection come one after the other.
//!
//! ```
//! use bytes::BytesMut;
//! use tokio_util::codec::{Decoder, Encoder};
//! use vouch_protocol::socketmap::{Codec, Data, Reply};
//!
//! let mut codec = Codec;
//! let mut received = BytesMut::from("27:recipients jane@example.org,");
//! let request = codec.decode(&mut received)?.ok_or("no question")?;
//! assert_eq!(request.map, "recipients");
//! assert_eq!(request.key, "jane@example.org");
//!
//! let mut reply = BytesMut::new();
//! let found = Data::new("OK").map_or(Reply::NotFound, Reply::Ok);
//! codec.encode(found, &mut reply)?;
//! codec.encode(Reply::NotFound, &mut reply)?;
//! assert_eq!(&reply[..], b"5:OK OK,9:NOTFOUND ,");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::fmt;

use bytes::{Buf, Bytes, BytesMut};
use memchr::memchr;
use tokio_util::codec::{Decoder, Encoder};

use crate::error::{DecodeError, EncodeError, at_end};

/// Bound (clients, bytes): question of a socketmap client, without its count and its comma. Beyond: the connection is
/// closed, with a warning in the log. Why: what Postfix sends at most (3.12).
pub const REQUEST_LIMIT: usize = 10_000;

/// What does this map have for this key?
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The name of the map, as the client's configuration has it.
    pub map: Bytes,
    /// The key: any bytes.
    pub key: Bytes,
}

/// What a map has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// This. Never empty: Postfix reads an empty reply as "not found", and then rejects mail.
    Ok(Data),
    /// Nothing.
    NotFound,
    /// It cannot be said now, for this reason. There is no `PERM`: Sendmail reads it as "not found", and then rejects mail.
    Temp(&'static str),
}

/// What a map has for a key: one line of printable text that is not empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Data(String);

impl Data {
    /// `None` where the text is no such line.
    pub fn new(text: &str) -> Option<Self> {
        let printable = !text.chars().any(char::is_control);
        (printable && !text.trim().is_empty()).then(|| Self(text.to_owned()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Reply {
    /// `reply = "OK " data / "NOTFOUND " / "TEMP " reason`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ok(data) => write!(f, "OK {}", data.as_str()),
            // The space belongs to it (`socketmap_table(5)`).
            Self::NotFound => f.write_str("NOTFOUND "),
            Self::Temp(why) => write!(f, "TEMP {why}"),
        }
    }
}

/// Reads questions and writes answers, one connection's worth.
///
/// Every [`DecodeError`] is the end of the connection, and nothing is to be sent before it is closed: Postfix then
/// asks again on a new one.
#[derive(Debug, Default)]
pub struct Codec;

/// Where the payload begins and how long it is, once its count is whole.
fn count(buffer: &[u8]) -> Result<Option<(usize, usize)>, DecodeError> {
    // Five digits and a colon.
    let head = buffer.get(..6).unwrap_or(buffer);
    let digits = head.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let length = head
        .iter()
        .take(digits)
        .fold(0, |sum, digit| 10 * sum + usize::from(digit - b'0'));
    if length > REQUEST_LIMIT {
        return Err(DecodeError::TooLong { limit: REQUEST_LIMIT });
    }
    match (head.get(digits), digits) {
        (None, 0..6) => Ok(None),
        (Some(b':'), 1..) if digits == 1 || head.first() != Some(&b'0') => Ok(Some((digits + 1, length))),
        _ => Err(DecodeError::Malformed("a netstring has no count")),
    }
}

impl Decoder for Codec {
    type Item = Request;
    type Error = DecodeError;

    /// `request = netstring(map SP key)`, `netstring = count ":" *OCTET ","`
    fn decode(&mut self, buffer: &mut BytesMut) -> Result<Option<Request>, DecodeError> {
        let Some((start, length)) = count(buffer)? else {
            return Ok(None);
        };
        match buffer.get(start + length) {
            None => return Ok(None),
            Some(b',') => {}
            Some(_) => return Err(DecodeError::Malformed("a netstring has no comma at its end")),
        }
        buffer.advance(start);
        let mut payload = buffer.split_to(length).freeze();
        buffer.advance(1);
        let Some(space) = memchr(b' ', &payload) else {
            return Err(DecodeError::Malformed("a question without a map and a key"));
        };
        let map = payload.split_to(space);
        payload.advance(1);
        Ok(Some(Request { map, key: payload }))
    }

    fn decode_eof(&mut self, buffer: &mut BytesMut) -> Result<Option<Request>, DecodeError> {
        let decoded = self.decode(buffer)?;
        at_end(decoded, buffer)
    }
}

impl Encoder<Reply> for Codec {
    type Error = EncodeError;

    /// `netstring(reply)`
    fn encode(&mut self, reply: Reply, out: &mut BytesMut) -> Result<(), EncodeError> {
        let text = reply.to_string();
        out.extend_from_slice(format!("{}:{text},", text.len()).as_bytes());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing::{self, assert_cuts_read_alike};

    fn read(pieces: &[&[u8]]) -> Result<Vec<Request>, DecodeError> {
        testing::read(Codec, pieces)
    }

    fn request(map: &str, key: &str) -> Request {
        let bytes = |text: &str| Bytes::copy_from_slice(text.as_bytes());
        Request {
            map: bytes(map),
            key: bytes(key),
        }
    }

    fn wire(map: &[u8], key: &[u8]) -> Vec<u8> {
        let length = map.len() + 1 + key.len();
        [length.to_string().as_bytes(), b":", map, b" ", key, b","].concat()
    }

    /// As Postfix 3.7.11 asks.
    const POSTFIX: &[u8] = b"22:rcpt bob+x@example.com,22:rcpt \"a b\"@example.com,20:rcpt a b@example.com,";

    fn postfix() -> [Request; 3] {
        ["bob+x@example.com", "\"a b\"@example.com", "a b@example.com"].map(|key| request("rcpt", key))
    }

    #[test]
    fn reads_what_postfix_sends() {
        assert_eq!(read(&[POSTFIX]).unwrap(), postfix());
        assert_eq!(read(&[b"5:rcpt ,"]).unwrap(), [request("rcpt", "")]);
        assert_eq!(read(&[b"1: ,"]).unwrap(), [request("", "")]);
        assert!(read(&[]).unwrap().is_empty());
    }

    #[test]
    fn every_cut_reads_the_same() {
        assert_cuts_read_alike(POSTFIX, read);
    }

    #[test]
    fn ends_between_questions_only() {
        for at in 1..26 {
            let cut = read(&[&POSTFIX[..at]]);
            assert!(matches!(cut, Err(DecodeError::Truncated)), "cut at {at}: {cut:?}");
        }
    }

    #[test]
    fn refuses_what_is_no_netstring_or_no_question() {
        let cases: [&[u8]; 11] = [
            b":rcpt a,", b",", b"a", b" 6:rcpt a,", b"-1:", b"6;rcpt a,", b"06:rcpt a,", b"000000",
            b"6:rcpt a;", b"5:rcpt a,", b"4:rcpt,",
        ];
        for case in cases {
            let said = read(&[case]);
            assert!(
                matches!(said, Err(DecodeError::Malformed(_))),
                "{}: {said:?}",
                case.escape_ascii()
            );
            let single: Vec<&[u8]> = case.chunks(1).collect();
            assert_eq!(
                read(&single).map_err(|error| error.to_string()),
                said.map_err(|error| error.to_string())
            );
        }
    }

    // Fills socketmap::REQUEST_LIMIT.
    #[test]
    fn a_question_is_no_longer_than_its_limit() {
        let longest = wire(b"rcpt", &vec![b'a'; REQUEST_LIMIT - 5]);
        assert_eq!(read(&[&longest]).unwrap().len(), 1);
        for over in [
            &wire(b"rcpt", &vec![b'a'; REQUEST_LIMIT - 4])[..],
            b"10001",
            b"99999",
            b"999999999999999999999",
        ] {
            let said = read(&[over]);
            assert!(
                matches!(said, Err(DecodeError::TooLong { limit: REQUEST_LIMIT })),
                "{said:?}"
            );
        }
    }

    #[test]
    fn writes_what_postfix_reads() {
        for (reply, wire) in [
            (Reply::Ok(Data::new("ok").unwrap()), "5:OK ok,"),
            (Reply::Ok(Data::new("j\u{f6}rg").unwrap()), "8:OK j\u{f6}rg,"),
            (Reply::NotFound, "9:NOTFOUND ,"),
            (Reply::Temp("why?"), "9:TEMP why?,"),
        ] {
            let mut out = BytesMut::new();
            Codec.encode(reply, &mut out).unwrap();
            assert_eq!(out, wire.as_bytes());
        }
    }

    #[test]
    fn there_is_no_ok_without_data() {
        for text in ["", " ", "a\nb", "\t", "\u{85}", "a\0", "a\u{9b}b"] {
            assert_eq!(Data::new(text), None, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn what_was_sent_is_read(
            map in "[!-~]{0,20}",
            key in prop::collection::vec(any::<u8>(), 0..300),
            at: prop::sample::Index,
        ) {
            let whole = wire(map.as_bytes(), &key);
            let (head, tail) = whole.split_at(at.index(whole.len()));
            let expected = Request { map: map.into_bytes().into(), key: key.into() };
            prop_assert_eq!(read(&[head, tail]).unwrap(), [expected]);
        }

        #[test]
        fn no_bytes_break_it(
            pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 0..8),
        ) {
            let pieces: Vec<&[u8]> = pieces.iter().map(Vec::as_slice).collect();
            let _ = read(&pieces);
        }

        #[test]
        fn no_netstrings_break_it(text in "([0-9]{0,6}:?[ -~]{0,12},?){0,6}") {
            let _ = read(&[text.as_bytes()]);
        }
    }
}
