//! The little of IMAP that a login needs (RFC 9051, RFC 3501), client side.
//!
//! [`Codec`] makes [`response::Response`]s of bytes and bytes of [`command::Command`]s;
//! [`opening::Opening`] leads a session from the greeting to the capabilities that
//! count, [`login::Login`] asks about one user name and password, [`relay::Relay`] relays a
//! client's own dialog.
//!
//! Is the password of `jane` right? The bytes of both directions are the caller's to carry:
//!
//! ```
//! use bytes::BytesMut;
//! use tokio_util::codec::{Decoder, Encoder};
//! use vouch_protocol::encryption::Encryption;
//! use vouch_protocol::imap::login::{self, Login, Outcome};
//! use vouch_protocol::imap::opening::{self, Opening};
//! use vouch_protocol::imap::response::{Code, StatusKind};
//! use vouch_protocol::imap::Codec;
//! use vouch_protocol::secret::Secret;
//!
//! let mut received = BytesMut::from(
//!     "* OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=PLAIN] ready\r\n\
//!      v1 NO [AUTHENTICATIONFAILED] Authentication failed.\r\n",
//! );
//! let mut sent = BytesMut::new();
//! let mut codec = Codec::default();
//!
//! // TLS was on before the first byte.
//! let mut dialog = Opening::new(Encryption::AlreadyOn);
//! let mut step = dialog.start();
//! let mut session = loop {
//!     match step {
//!         opening::Step::Read => {}
//!         opening::Step::Send(command) => codec.encode(&command, &mut sent)?,
//!         opening::Step::StartTls => return Err("asked for with another Encryption only".into()),
//!         opening::Step::Ready(session) => break session,
//!         opening::Step::Failed(error) => return Err(error.into()),
//!     }
//!     let response = codec.decode(&mut received)?.ok_or("no response")?;
//!     step = dialog.on_response(response);
//! };
//!
//! let password = Secret::copy_from(b"secret");
//! let mut dialog = Login::new(&session.capabilities, &mut session.tags, None, b"jane", &password, false)?;
//! let mut step = dialog.start();
//! let outcome = loop {
//!     match step {
//!         login::Step::Read => {}
//!         login::Step::Send(command) => codec.encode(&command, &mut sent)?,
//!         login::Step::Done(outcome) => break outcome,
//!     }
//!     let response = codec.decode(&mut received)?.ok_or("no response")?;
//!     step = dialog.on_response(response);
//! };
//! let Outcome::Status { status, .. } = outcome else {
//!     return Err("no answer about the password".into());
//! };
//! assert_eq!(status.kind, StatusKind::No);
//! assert_eq!(status.code, Some(Code::AuthenticationFailed));
//! assert_eq!(&sent[..], b"v1 AUTHENTICATE PLAIN AGphbmUAc2VjcmV0\r\n");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod capability;
pub mod command;
mod exchange;
pub mod login;
pub mod opening;
pub mod relay;
pub mod response;

use bytes::{Buf, BytesMut};
use tokio_util::codec::{Decoder, Encoder};

use self::command::Command;
use self::response::{Response, Untagged};
use crate::error::{DecodeError, EncodeError};
use crate::line::LineCutter;
use crate::unseen;

/// Bound (replies, bytes): line of an IMAP response, with its line end. Beyond: the session is closed, no answer.
/// Why: lists of capabilities stay below 2 KiB; RFC 2683 section 3.2.1.5 has servers read commands of 8,000 octets.
pub const LINE_LIMIT: usize = 8 * 1024;

/// Bound (replies, bytes): IMAP response with its literals. Beyond: the session is closed, no answer. Why: literals
/// are skipped and not kept, so this bounds patience rather than memory.
pub const RESPONSE_LIMIT: usize = 64 * 1024;

/// Bound (replies): IMAP responses before the expected one. Beyond: the session is closed, no answer. Why: a login
/// sees a handful.
pub const UNTAGGED_LIMIT: usize = 100;

/// Bound (replies): characters kept of an IMAP response's text. Beyond: the rest is cut off of the log. Why: one line
/// of a log, generously.
pub const TEXT_LIMIT: usize = 200;

/// `text` fit for a log or a terminal.
fn printable(text: &str) -> String {
    unseen::printable(text.chars(), TEXT_LIMIT)
}

/// Cuts responses from the bytes of the server, and writes commands.
///
/// Use a new one after STARTTLS: what was half read in cleartext must not be
/// finished by what comes after.
#[derive(Debug, Default)]
pub struct Codec {
    cutter: LineCutter,
    /// Bytes of a literal that are still to be skipped.
    literal: usize,
    /// Bytes of this response so far.
    size: usize,
    /// Whether the next line goes on with a response whose first line was read.
    continued: bool,
}

impl Codec {
    fn count(&mut self, more: usize) -> Result<usize, DecodeError> {
        let too_long = || DecodeError::TooLong {
            limit: RESPONSE_LIMIT,
        };
        self.size = self.size.saturating_add(more);
        if self.size > RESPONSE_LIMIT {
            Err(too_long())
        } else {
            Ok(more)
        }
    }
}

impl Decoder for Codec {
    type Item = Response;
    type Error = DecodeError;

    fn decode(&mut self, buffer: &mut BytesMut) -> Result<Option<Response>, DecodeError> {
        loop {
            let skipped = self.literal.min(buffer.len());
            buffer.advance(skipped);
            self.literal -= skipped;
            if self.literal > 0 {
                return Ok(None);
            }
            let Some(line) = self.cutter.cut(buffer, LINE_LIMIT)? else {
                return Ok(None);
            };
            self.count(line.len())?;
            let response = if self.continued {
                Response::Untagged(Untagged::Other)
            } else {
                Response::parse(&String::from_utf8_lossy(&line))?
            };
            // A status may end with the same characters, and it is text there.
            if response == Response::Untagged(Untagged::Other)
                && let Some(octets) = response::literal(&line)
            {
                self.literal = self.count(usize::try_from(octets).unwrap_or(usize::MAX))?;
                self.continued = true;
                continue;
            }
            self.size = 0;
            self.continued = false;
            return Ok(Some(response));
        }
    }

    fn decode_eof(&mut self, buffer: &mut BytesMut) -> Result<Option<Response>, DecodeError> {
        match self.decode(buffer)? {
            None if self.continued || !buffer.is_empty() => Err(DecodeError::Truncated),
            read => Ok(read),
        }
    }
}

impl Encoder<&Command> for Codec {
    type Error = EncodeError;

    /// Never fails. `buffer` then holds what the command holds: overwrite it when it was sent.
    fn encode(&mut self, command: &Command, buffer: &mut BytesMut) -> Result<(), EncodeError> {
        buffer.extend_from_slice(command.wire().expose());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::command::Tags;
    use super::*;

    /// What comes of bytes that arrive in pieces, up to the first error or the end.
    fn read<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> (Vec<String>, Option<DecodeError>) {
        let mut codec = Codec::default();
        let mut buffer = BytesMut::new();
        let mut shown = Vec::new();
        for piece in pieces {
            buffer.extend_from_slice(piece);
            loop {
                match codec.decode(&mut buffer) {
                    Ok(Some(response)) => shown.push(response.to_string()),
                    Ok(None) => break,
                    Err(error) => return (shown, Some(error)),
                }
            }
        }
        loop {
            match codec.decode_eof(&mut buffer) {
                Ok(Some(response)) => shown.push(response.to_string()),
                Ok(None) => return (shown, None),
                Err(error) => return (shown, Some(error)),
            }
        }
    }

    const SESSION: &[u8] = b"* OK [CAPABILITY IMAP4rev1 SASL-IR STARTTLS LOGINDISABLED] ready\r\n\
        v1 OK go\n\
        * CAPABILITY IMAP4rev1  SASL-IR LITERAL+ AUTH=PLAIN\r\n\
        * LIST () \"/\" {7}\r\nIN\r\nBOX (\"CHILDINFO\" {3}\r\nv2 )\r\n\
        * ID ({0}\r\n NIL)\r\n\
        v2 OK done {3}\r\n\
        + \r\n\
        v3 NO [AUTHENTICATIONFAILED] Gesperrt f\xfcr heute\r\n\
        * BYE\r\n";

    const SESSION_SHOWN: [&str; 9] = [
        "* OK [CAPABILITY IMAP4rev1 STARTTLS LOGINDISABLED SASL-IR] ready",
        "v1 OK go",
        "* CAPABILITY IMAP4rev1 SASL-IR LITERAL+ AUTH=PLAIN",
        "* …",
        "* …",
        "v2 OK done {3}",
        "+ ",
        "v3 NO [AUTHENTICATIONFAILED] Gesperrt f\u{fffd}r heute",
        "* BYE",
    ];

    #[test]
    fn every_cut_reads_the_same() {
        for at in 0..=SESSION.len() {
            let (head, tail) = SESSION.split_at(at);
            let (shown, error) = read([head, tail]);
            assert_eq!(shown, SESSION_SHOWN, "cut at {at}");
            assert!(error.is_none(), "cut at {at}");
        }
        assert_eq!(read(SESSION.chunks(1)).0, SESSION_SHOWN);
    }

    #[test]
    fn the_end_inside_a_response_is_told() {
        for at in 0..SESSION.len() {
            let (shown, error) = read([&SESSION[..at]]);
            assert_eq!(shown, SESSION_SHOWN[..shown.len()], "end at {at}");
            let whole = at == 0 || SESSION[..at].ends_with(b"\n");
            match error {
                None => assert!(whole, "end at {at}"),
                Some(error) => assert!(matches!(error, DecodeError::Truncated), "end at {at}"),
            }
        }
        for inside in [
            &b"* LIST {5}\r\n"[..],
            b"* LIST {5}\r\nab",
            b"* LIST {2}\r\nab",
            b"* LIST {0}\r\n",
        ] {
            assert!(
                matches!(read([inside]).1, Some(DecodeError::Truncated)),
                "{inside:?}"
            );
        }
    }

    // Fills imap::LINE_LIMIT, RESPONSE_LIMIT.
    #[test]
    fn limits_hold() {
        let just = format!("* OK {}\r\n", "x".repeat(LINE_LIMIT - 7));
        assert!(read([just.as_bytes()]).1.is_none());
        let more = format!("* OK {}\r\n", "x".repeat(LINE_LIMIT - 6));
        assert!(matches!(
            read([more.as_bytes()]).1,
            Some(DecodeError::TooLong { limit: LINE_LIMIT })
        ));

        let endless = b"* LIST {0}\r\n"
            .iter()
            .chain(b"{0}\r\n".iter().cycle().take(200_000));
        let endless: Vec<u8> = endless.copied().collect();
        for bytes in [
            &format!("* 1 FETCH {{{RESPONSE_LIMIT}}}\r\n").into_bytes()[..],
            b"* 1 FETCH {18446744073709551615}\r\n",
            b"* 1 FETCH {99999999999999999999999999}\r\n",
            &endless,
        ] {
            assert!(matches!(
                read([bytes]).1,
                Some(DecodeError::TooLong {
                    limit: RESPONSE_LIMIT
                })
            ));
        }
        let long = [&b"* 1 FETCH {60000}\r\n"[..], &[b'\n'; 60_000], b")\r\nv1 OK\r\n"].concat();
        assert_eq!(read(long.chunks(1000)).0, ["* …", "v1 OK"]);
    }

    #[test]
    fn the_limits_begin_anew_with_each_response() {
        let mut bytes = Vec::new();
        for _ in 0..40 {
            bytes.extend_from_slice(
                format!("* 1 FETCH {{9}}\r\n123456789 {}\r\n", "x".repeat(4000)).as_bytes(),
            );
        }
        let (shown, error) = read([&bytes[..]]);
        assert_eq!((shown.len(), error.is_none()), (40, true));
    }

    #[test]
    fn other_protocols_are_malformed() {
        for bytes in [
            &b"220 mx ESMTP\r\n"[..],
            b"\r\n",
            b"\x16\x03\x01\x02\n",
            b"+OK POP3 ready\r\n* \n",
        ] {
            assert!(
                matches!(read([bytes]).1, Some(DecodeError::Malformed(_))),
                "{bytes:?}"
            );
        }
    }

    #[test]
    fn commands_are_written_as_they_are() {
        let mut buffer = BytesMut::new();
        let mut tags = Tags::new();
        for command in [
            Command::capability(tags.next_tag()),
            Command::logout(tags.next_tag()),
        ] {
            Codec::default().encode(&command, &mut buffer).unwrap();
        }
        assert_eq!(&buffer[..], b"v1 CAPABILITY\r\nv2 LOGOUT\r\n");
    }

    proptest! {
        #[test]
        fn any_bytes_in_any_pieces_end(
            bytes in prop::collection::vec(prop_oneof![
                any::<u8>(),
                prop::sample::select(&b"*+v1 OKNOBAD{}[]5\r\n"[..]),
            ], 0..400),
            size in 1_usize..50,
        ) {
            let (whole, error) = read([&bytes[..]]);
            let (cut, cut_error) = read(bytes.chunks(size));
            prop_assert_eq!(whole, cut);
            prop_assert_eq!(error.map(|e| e.to_string()), cut_error.map(|e| e.to_string()));
        }

        #[test]
        fn lines_that_nearly_mean_something_end(
            lines in prop::collection::vec("(\\*|v1|\\+) (OK|NO|CAPABILITY|LIST)? ?(\\[A\\])?.{0,20}(\\{[0-9]{1,3}\\})?\r?\n", 0..12),
        ) {
            let bytes = lines.concat().into_bytes();
            let (whole, _) = read([&bytes[..]]);
            prop_assert_eq!(whole, read(bytes.chunks(7)).0);
        }
    }
}
