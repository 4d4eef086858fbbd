//! The protocol of Cyrus SASL's `saslauthd` (`saslauthd/ipc_unix.c`, `lib/checkpw.c` of 2.1.28), server side.
//!
//! A client connects, asks one question, and gets one answer; the connection then ends. Each message is a
//! row of counted strings: a length of two bytes, the higher one first, and so many bytes.
//!
//! ```
//! use bytes::BytesMut;
//! use tokio_util::codec::{Decoder, Encoder};
//! use vouch_protocol::saslauthd::{Codec, Reply};
//!
//! let mut codec = Codec;
//! let mut received = BytesMut::from(&b"\0\x04jane\0\x06secret\0\x04smtp\0\x0bexample.org"[..]);
//! let request = codec.decode(&mut received)?.ok_or("no question")?;
//! assert_eq!(request.login, b"jane");
//! assert_eq!(request.password.expose(), b"secret");
//! assert_eq!(request.realm, b"example.org");
//!
//! let mut reply = BytesMut::new();
//! codec.encode(Reply::Ok, &mut reply)?;
//! assert_eq!(&reply[..], b"\0\x10OK authenticated");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use bytes::BytesMut;
use tokio_util::codec::{Decoder, Encoder};
use zeroize::Zeroize;

use crate::error::{DecodeError, EncodeError, at_end};
use crate::secret::Secret;

/// Bound (clients, bytes): question of a saslauthd client. Beyond: the connection is closed, with a warning in the
/// log. Why: what Cyrus SASL's library sends at most (`lib/checkpw.c`).
pub const REQUEST_LIMIT: usize = 8192;

/// Is this login good?
#[derive(Debug)]
pub struct Request {
    /// The user's name, without what stands behind its last `@`.
    pub login: Vec<u8>,
    /// The password, any bytes.
    pub password: Secret<[u8]>,
    /// The service that asks: `smtp`, `imap`, `ldap`, …
    pub service: Vec<u8>,
    /// What stood behind the `@`, or the realm of the service; may be empty.
    pub realm: Vec<u8>,
    /// The end user's address and port as `address;port`. Sent by the library's development version alone, and
    /// taken only where it came together with the rest.
    pub client: Option<Vec<u8>>,
}

/// The answer. The protocol cannot express "not now": a server without an answer closes the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reply {
    /// The login is good.
    Ok,
    /// It is not.
    No,
}

impl Reply {
    /// Its word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::No => "NO",
        }
    }

    /// The text of the reply. Clients look at its first two bytes.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Ok => "OK authenticated",
            Self::No => "NO authentication failed",
        }
    }
}

/// Reads the question and writes the answer of one connection.
///
/// A question is overwritten in the buffer when it was read, and when it cannot be.
#[derive(Debug, Default)]
pub struct Codec;

/// Where the string that begins at `start` ends, once it is whole; so many more are to follow.
fn end_of(buffer: &[u8], start: usize, more: usize) -> Result<Option<usize>, DecodeError> {
    let Some(&[high, low]) = buffer.get(start..).and_then(|rest| rest.first_chunk()) else {
        return Ok(None);
    };
    let end = start + 2 + usize::from(u16::from_be_bytes([high, low]));
    if end + 2 * more > REQUEST_LIMIT {
        return Err(DecodeError::TooLong { limit: REQUEST_LIMIT });
    }
    Ok((end <= buffer.len()).then_some(end))
}

/// The ends of the strings, once they are whole.
fn ends(buffer: &[u8]) -> Result<Option<[usize; 4]>, DecodeError> {
    let (mut ends, mut start) = ([0; 4], 0);
    for (more, end) in (0..4).rev().zip(&mut ends) {
        let Some(at) = end_of(buffer, start, more)? else {
            return Ok(None);
        };
        (*end, start) = (at, at);
    }
    Ok(Some(ends))
}

impl Decoder for Codec {
    type Item = Request;
    type Error = DecodeError;

    /// `request = login password service realm [client]`, each `count *OCTET`
    fn decode(&mut self, buffer: &mut BytesMut) -> Result<Option<Request>, DecodeError> {
        let ends = match ends(buffer) {
            Ok(Some(ends)) => ends,
            Ok(None) => return Ok(None),
            Err(error) => {
                buffer.as_mut().zeroize();
                return Err(error);
            }
        };
        let [login, password, service, realm] = ends;
        let string = |start: usize, end: usize| buffer.get(start + 2..end).unwrap_or_default();
        // A server that waited for it would wait forever if there is none.
        let client = end_of(buffer, realm, 0).ok().flatten();
        let request = Request {
            login: string(0, login).to_vec(),
            password: Secret::copy_from(string(login, password)),
            service: string(password, service).to_vec(),
            realm: string(service, realm).to_vec(),
            client: client.map(|end| string(realm, end).to_vec()),
        };
        let whole = client.unwrap_or(realm);
        buffer.split_to(whole).as_mut().zeroize();
        Ok(Some(request))
    }

    fn decode_eof(&mut self, buffer: &mut BytesMut) -> Result<Option<Request>, DecodeError> {
        let decoded = self.decode(buffer)?;
        at_end(decoded, buffer)
    }
}

impl Encoder<Reply> for Codec {
    type Error = EncodeError;

    /// `reply = count ("OK" / "NO") *OCTET`
    fn encode(&mut self, reply: Reply, out: &mut BytesMut) -> Result<(), EncodeError> {
        let text = reply.text().as_bytes();
        let count = u16::try_from(text.len())
            .map_err(|_| EncodeError::Unsendable("an answer beyond 65,535 bytes"))?;
        out.extend_from_slice(&count.to_be_bytes());
        out.extend_from_slice(text);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What the library of Debian 12 sends (2.1.28).
    const FOUR: &[u8] = b"\0\x03bob\0\x06secret\0\x04smtp\0\x0bexample.com";

    /// The same with a client, as the development version has it.
    const FIVE: &[u8] = b"\0\x03bob\0\x06secret\0\x04smtp\0\x0bexample.com\0\x0f192.0.2.1;50918";

    type Strings = (Vec<u8>, Vec<u8>, Vec<u8>, Vec<u8>);

    fn strings(request: &Request) -> Strings {
        let Request {
            login,
            password,
            service,
            realm,
            ..
        } = request;
        (
            login.clone(),
            password.expose().to_vec(),
            service.clone(),
            realm.clone(),
        )
    }

    fn bob() -> Strings {
        let owned = |text: &str| text.as_bytes().to_vec();
        (owned("bob"), owned("secret"), owned("smtp"), owned("example.com"))
    }

    fn wire(strings: &[&[u8]]) -> Vec<u8> {
        let counted = strings.iter().flat_map(|string| {
            let count = u16::try_from(string.len()).unwrap().to_be_bytes();
            [&count[..], string].concat()
        });
        counted.collect()
    }

    /// The question that comes in these pieces, and what is left in the buffer.
    fn read(pieces: &[&[u8]]) -> Result<(Option<Request>, BytesMut), DecodeError> {
        let (mut codec, mut buffer) = (Codec, BytesMut::new());
        for piece in pieces {
            buffer.extend_from_slice(piece);
            if let Some(request) = codec.decode(&mut buffer)? {
                return Ok((Some(request), buffer));
            }
        }
        Ok((codec.decode_eof(&mut buffer)?, buffer))
    }

    #[test]
    fn reads_what_both_libraries_send() {
        let (request, rest) = read(&[FOUR]).unwrap();
        let request = request.unwrap();
        assert_eq!((strings(&request), request.client, rest.len()), (bob(), None, 0));
        let (request, rest) = read(&[FIVE]).unwrap();
        let request = request.unwrap();
        let client = Some(b"192.0.2.1;50918".to_vec());
        assert_eq!(
            (strings(&request), request.client, rest.len()),
            (bob(), client, 0)
        );
        assert!(read(&[]).unwrap().0.is_none());
        assert!(
            read(&[&[0; 8]])
                .unwrap()
                .0
                .is_some_and(|request| request.login.is_empty())
        );
    }

    #[test]
    fn every_cut_reads_the_same_login() {
        for whole in [FOUR, FIVE] {
            for at in 0..=whole.len() {
                let (head, tail) = whole.split_at(at);
                let request = read(&[head, tail]).unwrap().0.unwrap();
                assert_eq!(strings(&request), bob(), "cut at {at}");
                // The fifth is taken where it came whole, and is not waited for.
                let client = request.client.is_some();
                assert_eq!(
                    client,
                    whole.len() == FIVE.len() && !(FOUR.len()..FIVE.len()).contains(&at)
                );
            }
            let single: Vec<&[u8]> = whole.chunks(1).collect();
            assert_eq!(strings(&read(&single).unwrap().0.unwrap()), bob());
        }
    }

    #[test]
    fn ends_before_a_question_or_behind_it() {
        for at in 1..FOUR.len() {
            let cut = read(&[&FOUR[..at]]);
            assert!(matches!(cut, Err(DecodeError::Truncated)), "cut at {at}");
        }
    }

    // Fills saslauthd::REQUEST_LIMIT.
    #[test]
    fn a_question_has_a_longest_length() {
        let most = REQUEST_LIMIT - 4 * 2;
        let longest = wire(&[b"", &vec![b'p'; most], b"", b""]);
        assert_eq!(longest.len(), REQUEST_LIMIT);
        assert!(read(&[&longest]).unwrap().0.is_some());
        for over in [
            wire(&[b"", &vec![b'p'; most + 1], b"", b""]),
            wire(&[b"", &vec![b'p'; most], b"", b"r"]),
            // It is known by the first count that leaves no room for the others.
            [&[0x1f, 0xf9][..], &vec![b'l'; 0x1ff9]].concat(),
            // It is known by its count, before it has come.
            b"\xff\xff".to_vec(),
        ] {
            let said = read(&[&over]).map(|_| ());
            assert!(matches!(said, Err(DecodeError::TooLong { limit: REQUEST_LIMIT })));
        }
        // What would be too long for a fifth is none.
        let more = [FOUR, b"\xff\xff"].concat();
        assert!(
            read(&[&more])
                .unwrap()
                .0
                .is_some_and(|request| request.client.is_none())
        );
    }

    #[test]
    fn nothing_of_a_password_is_left_in_the_buffer() {
        let mut buffer = BytesMut::from(&[FOUR, b"rest"].concat()[..]);
        let start = buffer.as_ptr();
        Codec.decode(&mut buffer).unwrap().unwrap();
        assert_eq!(&buffer[..], b"rest");
        assert_eq!(buffer.as_ptr() as usize - start as usize, FOUR.len());
        for mut spoiled in [
            BytesMut::from(&[&FOUR[..13], b"\xff\xff"].concat()[..]),
            BytesMut::from(&FOUR[..20]),
        ] {
            assert!(Codec.decode_eof(&mut spoiled).is_err());
            assert!(spoiled.iter().all(|&byte| byte == 0));
        }
    }

    #[test]
    fn writes_the_words_that_clients_look_for() {
        let mut out = BytesMut::new();
        Codec.encode(Reply::Ok, &mut out).unwrap();
        assert_eq!(out, &b"\0\x10OK authenticated"[..]);
        out.clear();
        Codec.encode(Reply::No, &mut out).unwrap();
        assert_eq!(out, &b"\0\x18NO authentication failed"[..]);
    }

    proptest! {
        #[test]
        fn what_was_sent_is_read(
            strings in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 4..=5),
            at: prop::sample::Index,
        ) {
            let parts: Vec<&[u8]> = strings.iter().map(Vec::as_slice).collect();
            let whole = wire(&parts);
            let (head, tail) = whole.split_at(at.index(whole.len() + 1));
            let request = read(&[head, tail]).unwrap().0.unwrap();
            let (login, password, service, realm) = tests::strings(&request);
            prop_assert_eq!(&[login, password, service, realm][..], &strings[..4]);
            if let Some(client) = request.client {
                prop_assert_eq!(Some(&client), strings.get(4));
            }
        }

        #[test]
        fn no_bytes_break_it(
            pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 0..8),
        ) {
            let pieces: Vec<&[u8]> = pieces.iter().map(Vec::as_slice).collect();
            let _ = read(&pieces);
        }
    }
}
