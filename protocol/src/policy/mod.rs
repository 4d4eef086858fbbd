//! Postfix policy delegation (`SMTPD_POLICY_README`), our half being the server.
//!
//! Postfix sends what it knows about an SMTP session as a list of attributes,
//! waits, and does what one [`Action`] says. Requests on a connection come one
//! after the other; a client that sends several at once gets its answers in
//! the same order.
//!
//! ```
//! use bytes::BytesMut;
//! use tokio_util::codec::{Decoder, Encoder};
//! use vouch_protocol::policy::{Action, Codec};
//!
//! let mut codec = Codec::default();
//! let mut received = BytesMut::from(
//!     "request=smtpd_access_policy\nprotocol_state=RCPT\nrecipient=jane@example.org\n",
//! );
//! // The empty line that ends a request has not arrived.
//! assert!(codec.decode(&mut received)?.is_none());
//! received.extend_from_slice(b"\n");
//! let request = codec.decode(&mut received)?.ok_or("no request")?;
//! assert_eq!(request.recipient, "jane@example.org");
//!
//! let mut reply = BytesMut::new();
//! codec.encode(Action::new("550 5.1.1 No such user here")?, &mut reply)?;
//! assert_eq!(&reply[..], b"action=550 5.1.1 No such user here\n\n");
//!
//! // A text that Postfix would take for OK does not become an action.
//! assert!(Action::new("550").is_err());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod action;
mod request;

use bytes::BytesMut;
use memchr::memchr_iter;
use tokio_util::codec::{Decoder, Encoder};

pub use action::{ACTION_LIMIT, Action, ActionError, REPLY_LIMIT};
pub use request::Request;

use crate::error::{DecodeError, EncodeError, at_end};
use request::Attributes;

/// Bound (clients, bytes): line of a policy request, with its line end. Beyond: the connection is closed, with a
/// warning in the log. Why: Postfix takes SMTP commands of 2048 bytes; names in certificates may be longer.
pub const LINE_LIMIT: usize = 8 * 1024;

/// Bound (clients, bytes): policy request, with the empty line at its end. Beyond: the connection is closed, with a
/// warning in the log. Why: what one connection may make vouch hold.
pub const REQUEST_LIMIT: usize = 64 * 1024;

/// Reads requests and writes actions, one connection's worth.
///
/// Every [`DecodeError`] is the end of the connection, and nothing is to be
/// sent before it is closed: Postfix then asks again on a new one.
#[derive(Debug, Default)]
pub struct Codec {
    attributes: Attributes,
    /// Bytes of the current request that were read as lines; 0 between requests.
    read: usize,
    /// Bytes of it that were searched.
    searched: usize,
}

impl Codec {
    /// Reads lines up to the empty one. The length of the request, once it is whole.
    fn read_lines(&mut self, buffer: &[u8]) -> Result<Option<usize>, DecodeError> {
        let from = self.searched;
        self.searched = buffer.len();
        let unread = buffer.get(from..).unwrap_or_default();
        for at in memchr_iter(b'\n', unread).map(|found| from + found) {
            let start = std::mem::replace(&mut self.read, at + 1);
            within_limits(start, at)?;
            let line = buffer.get(start..at).unwrap_or_default();
            let end = start + line.strip_suffix(b"\r").unwrap_or(line).len();
            // Names are short: to look at each byte takes less than to begin a search.
            match line.iter().position(|&byte| byte == b'=') {
                Some(equals) => {
                    let name = line.get(..equals).unwrap_or_default();
                    self.attributes.add(name, start + equals + 1..end);
                }
                None if start == end => return Ok(Some(self.read)),
                None => return Err(DecodeError::Malformed("an attribute without \"=\"")),
            }
        }
        within_limits(self.read, buffer.len())?;
        Ok(None)
    }
}

/// Whether a line that began at `start` may go on at `end`. Where it may not, the limit
/// that was met first is named, however the bytes came.
fn within_limits(start: usize, end: usize) -> Result<(), DecodeError> {
    let (line, request) = (start + LINE_LIMIT, REQUEST_LIMIT);
    if end < line.min(request) {
        return Ok(());
    }
    let limit = if line <= request {
        LINE_LIMIT
    } else {
        REQUEST_LIMIT
    };
    Err(DecodeError::TooLong { limit })
}

impl Decoder for Codec {
    type Item = Request;
    type Error = DecodeError;

    /// `request = 1*attribute LF`
    fn decode(&mut self, buffer: &mut BytesMut) -> Result<Option<Request>, DecodeError> {
        let Some(length) = self.read_lines(buffer)? else {
            return Ok(None);
        };
        let attributes = std::mem::take(self).attributes;
        attributes.of(&buffer.split_to(length).freeze()).map(Some)
    }

    fn decode_eof(&mut self, buffer: &mut BytesMut) -> Result<Option<Request>, DecodeError> {
        let decoded = self.decode(buffer)?;
        at_end(decoded, buffer)
    }
}

impl Encoder<Action> for Codec {
    type Error = EncodeError;

    /// `reply = "action=" text LF LF`
    ///
    /// Never CRLF: Postfix would take CR for a part of the line, and wait for
    /// the empty line until its time is up.
    fn encode(&mut self, action: Action, out: &mut BytesMut) -> Result<(), EncodeError> {
        for part in ["action=", action.as_str(), "\n\n"] {
            out.extend_from_slice(part.as_bytes());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing::{self, assert_cuts_read_alike};

    /// The first request of a message as Postfix 3.7.11 sends it.
    const POSTFIX: &[u8] = b"request=smtpd_access_policy\nprotocol_state=RCPT\nprotocol_name=ESMTP\n\
        client_address=127.0.0.1\nclient_name=unknown\nclient_port=50918\nreverse_client_name=unknown\n\
        server_address=127.0.0.1\nserver_port=2525\nhelo_name=client.example.net\n\
        sender=alice@example.net\nrecipient=bob@example.com\nrecipient_count=0\nqueue_id=\n\
        instance=58d9.6b0369c5.90a1c.0\nsize=12345\netrn_domain=\nstress=\nsasl_method=\nsasl_username=\n\
        sasl_sender=\nccert_subject=\nccert_issuer=\nccert_fingerprint=\nccert_pubkey_fingerprint=\n\
        encryption_protocol=\nencryption_cipher=\nencryption_keysize=0\npolicy_context=\n\n";

    fn read(pieces: &[&[u8]]) -> Result<Vec<Request>, DecodeError> {
        testing::read(Codec::default(), pieces)
    }

    fn postfix() -> Request {
        Request {
            protocol_state: "RCPT".into(),
            client_address: "127.0.0.1".into(),
            client_port: "50918".into(),
            helo_name: "client.example.net".into(),
            recipient: "bob@example.com".into(),
            instance: "58d9.6b0369c5.90a1c.0".into(),
            ..Request::default()
        }
    }

    /// What the fields of `request` look like on the wire.
    fn wire(request: &Request) -> Vec<u8> {
        let mut out = b"request=smtpd_access_policy\n".to_vec();
        for (name, value) in [
            ("protocol_state", &request.protocol_state),
            ("client_address", &request.client_address),
            ("client_port", &request.client_port),
            ("helo_name", &request.helo_name),
            ("recipient", &request.recipient),
            ("instance", &request.instance),
        ] {
            out.extend_from_slice(name.as_bytes());
            out.push(b'=');
            out.extend_from_slice(value);
            out.push(b'\n');
        }
        out.extend_from_slice(if request.stress {
            b"stress=yes\n\n"
        } else {
            b"stress=\n\n"
        });
        out
    }

    #[test]
    fn reads_what_postfix_sends() {
        assert_eq!(read(&[POSTFIX]).unwrap(), [postfix()]);
        assert_eq!(read(&[POSTFIX, POSTFIX]).unwrap(), [postfix(), postfix()]);
        assert!(read(&[]).unwrap().is_empty());
    }

    #[test]
    fn every_cut_reads_the_same() {
        let whole = [POSTFIX, b"request=smtpd_access_policy\r\nstress=yes\r\n\r\n"].concat();
        let stressed = Request {
            stress: true,
            ..Request::default()
        };
        assert_eq!(read(&[&whole]).unwrap(), [postfix(), stressed]);
        assert_cuts_read_alike(&whole, read);
    }

    #[test]
    fn ends_between_requests_only() {
        for at in 1..POSTFIX.len() {
            let cut = read(&[&POSTFIX[..at]]);
            assert!(matches!(cut, Err(DecodeError::Truncated)), "cut at {at}: {cut:?}");
        }
    }

    #[test]
    fn refuses_what_is_no_request() {
        let cases: [&[u8]; 8] = [
            b"\n", b"\r\n\r\n", b"request=smtpd_access_policy\nrecipient\n\n",
            b"request=smtpd_access_policy\nrecipient=a\0b\n\n",
            b"request=smtpd_access_policy\nre\0cipient=a\n\n", b"request=greeting\n\n", b"request=\n\n",
            b"protocol_state=RCPT\nrecipient=bob@example.com\n\n",
        ];
        for case in cases {
            assert!(
                matches!(read(&[case]), Err(DecodeError::Malformed(_))),
                "{}",
                case.escape_ascii()
            );
        }
    }

    // Fills policy::REQUEST_LIMIT.
    #[test]
    fn holds_no_more_than_its_limits() {
        let line = [b"x=".as_slice(), &vec![b'a'; 1 << 20], b"\n"].concat();
        assert!(matches!(
            read(&[&line]),
            Err(DecodeError::TooLong { limit: LINE_LIMIT })
        ));

        let start = b"request=smtpd_access_policy\n".as_slice();
        let attribute = [b"x=".as_slice(), &[b'a'; 1021], b"\n"].concat();
        let full = [start, &attribute.repeat(63), b"\n"].concat();
        assert_eq!(read(&[&full]).unwrap().len(), 1);
        assert_eq!(
            read(&[&full, &full]).unwrap().len(),
            2,
            "each request has a limit of its own"
        );
        // A line that is not over yet counts as well.
        let room = REQUEST_LIMIT - start.len() - 63 * attribute.len();
        let unfinished = [start, &attribute.repeat(63), b"x=", &vec![b'a'; room - 2]].concat();
        assert!(matches!(
            read(&[&unfinished]),
            Err(DecodeError::TooLong { limit: REQUEST_LIMIT })
        ));
        let over = [start, &attribute.repeat(64), b"\n"].concat();
        assert!(matches!(
            read(&[&over]),
            Err(DecodeError::TooLong { limit: REQUEST_LIMIT })
        ));
    }

    #[test]
    fn writes_an_action() {
        let mut out = BytesMut::new();
        let mut codec = Codec::default();
        codec.encode(Action::dunno(), &mut out).unwrap();
        codec
            .encode(Action::new("550 5.1.1 User unknown").unwrap(), &mut out)
            .unwrap();
        assert_eq!(out, &b"action=DUNNO\n\naction=550 5.1.1 User unknown\n\n"[..]);
    }

    fn value() -> impl Strategy<Value = bytes::Bytes> {
        let byte = any::<u8>().prop_filter("not of a value", |byte| !b"\0\n\r".contains(byte));
        prop::collection::vec(byte, 0..40).prop_map(Into::into)
    }

    proptest! {
        #[test]
        fn what_was_sent_is_read(
            values in prop::collection::vec(value(), 6),
            stress: bool,
            at: prop::sample::Index,
        ) {
            let [protocol_state, client_address, client_port, helo_name, recipient, instance] =
                values.try_into().unwrap();
            let request = Request {
                protocol_state, client_address, client_port, helo_name, recipient, instance, stress,
            };
            let wire = wire(&request);
            let (head, tail) = wire.split_at(at.index(wire.len()));
            prop_assert_eq!(read(&[head, tail]).unwrap(), [request]);
        }

        #[test]
        fn no_bytes_break_it(
            pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 0..8),
        ) {
            let pieces: Vec<&[u8]> = pieces.iter().map(Vec::as_slice).collect();
            let _ = read(&pieces);
        }

        #[test]
        fn no_lines_break_it(
            text in "(request=smtpd_access_policy\n|[a-z_]{0,9}=?[ -~]{0,9}\r?\n|\n){0,12}",
        ) {
            let _ = read(&[text.as_bytes()]);
        }
    }
}
