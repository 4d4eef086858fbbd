//! SMTP and LMTP as a client, as far as asking needs them.
//!
//! [`Codec`] turns bytes into [`Reply`] values and [`Command`] values into bytes.
//! Dialogs say what to send next: [`opening`] until the session is usable, [`auth`] for
//! one login, [`relay`] for one that is a client's own, [`recipients`] for the recipients
//! of one transaction.
//! None of them ever sends `DATA`.
//!
//! RFC 5321 (SMTP), RFC 2033 (LMTP), RFC 3207 (STARTTLS), RFC 4954 (AUTH).
//!
//! Does the server know `jane@example.org`? The bytes of both directions are the caller's to carry:
//!
//! ```
//! use bytes::BytesMut;
//! use tokio_util::codec::{Decoder, Encoder};
//! use vouch_protocol::encryption::Encryption;
//! use vouch_protocol::smtp::opening::{Opening, Settings, Step};
//! use vouch_protocol::smtp::recipients::{Answer, Recipients};
//! use vouch_protocol::smtp::{Codec, Protocol};
//!
//! let mut received = BytesMut::from(
//!     "220 mx.example.org ESMTP\r\n250-mx.example.org\r\n250 PIPELINING\r\n\
//!      250 2.1.0 Ok\r\n550 5.1.1 User unknown\r\n",
//! );
//! let mut sent = BytesMut::new();
//! let mut codec = Codec::default();
//!
//! let mut opening = Opening::new(Settings {
//!     protocol: Protocol::Smtp,
//!     name: "client.example.com".to_owned(),
//!     encryption: Encryption::Never,
//! });
//! let mut step = opening.start();
//! let capabilities = loop {
//!     match step {
//!         Step::Read => {}
//!         Step::Send(command) => codec.encode(&command, &mut sent)?,
//!         Step::StartTls => return Err("asked for with another Encryption only".into()),
//!         Step::Ready(capabilities) => break capabilities,
//!         Step::Failed(error) => return Err(error.into()),
//!     }
//!     let reply = codec.decode(&mut received)?.ok_or("no reply")?;
//!     step = opening.on_reply(reply);
//! };
//!
//! let mut recipients = Recipients::new(&capabilities, Vec::new());
//! let commands = recipients
//!     .ask(vec![b"jane@example.org".to_vec()], false, false)
//!     .map_err(|_| "the question cannot be asked here")?;
//! let mut answer = None;
//! for command in &commands {
//!     codec.encode(command, &mut sent)?;
//!     let reply = codec.decode(&mut received)?.ok_or("no reply")?;
//!     answer = recipients.on_reply(reply).map_err(|_| "replies out of turn")?;
//! }
//! let Some(Answer::Recipient(reply)) = answer else {
//!     return Err("no answer about the recipient".into());
//! };
//! assert_eq!(reply.code(), 550);
//! assert_eq!(
//!     &sent[..],
//!     b"EHLO client.example.com\r\nMAIL FROM:<>\r\nRCPT TO:<jane@example.org>\r\n",
//! );
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use bytes::BytesMut;
use tokio_util::codec::{Decoder, Encoder};

use crate::error::{DecodeError, EncodeError};
use crate::line::LineCutter;

pub mod auth;
pub mod capability;
pub mod command;
pub mod named;
pub mod opening;
pub mod recipients;
pub mod relay;
pub mod reply;

pub use capability::{Capabilities, Limits};
pub use command::Command;
pub use reply::{EnhancedCode, Reply};

/// Bound (replies, bytes): line of an SMTP or LMTP reply, with its line end. Beyond: the session is closed, no
/// answer. Why: RFC 5321 section 4.5.3.1.5 grants 512 bytes; some servers take more in EHLO and in explanations.
pub const MAX_LINE: usize = 4096;

/// Bound (replies): lines of one reply. Beyond: the session is closed, no answer. Why: replies to EHLO have fewer
/// than 30.
pub const MAX_LINES: usize = 128;

/// Bound (replies, bytes): SMTP or LMTP reply, without its line ends. Beyond: the session is closed, no answer. Why:
/// what one session may make vouch hold.
pub const MAX_REPLY: usize = 64 * 1024;

/// Which of the two sister protocols a remote speaks. To us they differ in the
/// word of the first command only (RFC 2033 §4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// RFC 5321: `EHLO`.
    Smtp,
    /// RFC 2033: `LHLO`.
    Lmtp,
}

/// Bytes to [`Reply`], [`Command`] to bytes.
///
/// A reply may come in any number of pieces. After an error the connection is of
/// no use any more. Commands that may leave in one write are encoded one after
/// another into the same buffer.
#[derive(Debug, Default)]
pub struct Codec {
    cutter: LineCutter,
    lines: Vec<String>,
    first_code: Option<u16>,
    codes_differ: bool,
    size: usize,
}

impl Decoder for Codec {
    type Item = Reply;
    type Error = DecodeError;

    fn decode(&mut self, buffer: &mut BytesMut) -> Result<Option<Reply>, DecodeError> {
        while let Some(line) = self.cutter.cut(buffer, MAX_LINE)? {
            self.size += line.len();
            if self.size > MAX_REPLY {
                return Err(DecodeError::TooLong { limit: MAX_REPLY });
            }
            if self.lines.len() == MAX_LINES {
                return Err(DecodeError::Malformed("a reply of more than 128 lines"));
            }
            let line = reply::parse_line(&line)?;
            self.lines.push(line.text);
            self.codes_differ |= *self.first_code.get_or_insert(line.code) != line.code;
            if line.is_last {
                self.size = 0;
                self.first_code = None;
                let reply = Reply::new(line.code, std::mem::take(&mut self.lines));
                return Ok(Some(if std::mem::take(&mut self.codes_differ) {
                    reply.inconsistent()
                } else {
                    reply
                }));
            }
        }
        Ok(None)
    }

    fn decode_eof(&mut self, buffer: &mut BytesMut) -> Result<Option<Reply>, DecodeError> {
        match self.decode(buffer)? {
            None if !buffer.is_empty() || !self.lines.is_empty() => Err(DecodeError::Truncated),
            reply => Ok(reply),
        }
    }
}

impl Encoder<&Command> for Codec {
    type Error = EncodeError;

    /// Appends one command line, CRLF included. On an error nothing is appended.
    fn encode(&mut self, command: &Command, buffer: &mut BytesMut) -> Result<(), EncodeError> {
        command.encode(buffer)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing::{self, assert_cuts_read_alike};

    fn read(pieces: &[&[u8]]) -> Result<Vec<Reply>, DecodeError> {
        testing::read(Codec::default(), pieces)
    }

    fn shown(bytes: &[u8]) -> Vec<String> {
        read(&[bytes]).unwrap().iter().map(Reply::to_string).collect()
    }

    const SESSION: &[u8] = b"220 mbox.example.org LMTP\r\n250-mbox.example.org\r\n250-PIPELINING\n\
        250-ENHANCEDSTATUSCODES\r\n250-LIMITS RCPTMAX=50\r\n250 IGNOREQUOTA\r\n\
        250 2.1.0 ok\r\n250 2.1.5 ok\r\n\
        550-Mailbox unknown.  Either there is no mailbox associated with this\r\n\
        550-name or you do not have authorization to see it.\r\n550 5.1.1 User unknown\r\n\
        451 4.3.0 Too many concurrent deliveries for user\r\n334 \r\n334\r\n250\n535 5.7.8 caf\xe9\r\n";

    #[test]
    fn a_session_reads_as_its_replies() {
        let text = "Mailbox unknown.  Either there is no mailbox associated with this \
            name or you do not have authorization to see it. 5.1.1 User unknown";
        assert_eq!(
            shown(SESSION),
            [
                "220 mbox.example.org LMTP",
                "250 mbox.example.org PIPELINING ENHANCEDSTATUSCODES LIMITS RCPTMAX=50 IGNOREQUOTA",
                "250 2.1.0 ok",
                "250 2.1.5 ok",
                &format!("550 {text}"),
                "451 4.3.0 Too many concurrent deliveries for user",
                "334",
                "334",
                "250",
                "535 5.7.8 caf\u{fffd}",
            ]
        );
    }

    #[test]
    fn every_cut_reads_the_same() {
        assert_cuts_read_alike(SESSION, read);
    }

    #[test]
    fn an_end_inside_a_reply_is_told_from_an_end_between_replies() {
        assert!(read(&[b""]).unwrap().is_empty());
        assert_eq!(read(&[b"250 ok\r\n"]).unwrap().len(), 1);
        for cut in [&b"2"[..], b"250 ok", b"250 ok\r", b"250-ok\r\n", b"250-ok\r\n250"] {
            assert!(matches!(read(&[cut]), Err(DecodeError::Truncated)), "{cut:?}");
        }
    }

    #[test]
    fn what_is_no_reply_is_malformed() {
        for line in [
            "", "2", "25", "25x ok", "2500 ok", "250_ok", "099 ok", "+OK", "* OK", " 250 ok", "250\tok",
        ] {
            let bytes = format!("{line}\r\n");
            assert!(
                matches!(read(&[bytes.as_bytes()]), Err(DecodeError::Malformed(_))),
                "{line}"
            );
        }
        assert_eq!(shown(b"100 odd\r\n999 odd\r\n"), ["100 odd", "999 odd"]);
    }

    // Fills MAX_LINE, MAX_LINES, MAX_REPLY.
    #[test]
    fn each_bound_holds() {
        let line = |length: usize| [b"250 ", "x".repeat(length - 6).as_bytes(), b"\r\n"].concat();
        assert_eq!(read(&[&line(MAX_LINE)]).unwrap().len(), 1);
        for long in [line(MAX_LINE + 1), vec![b'2'; MAX_LINE]] {
            assert!(matches!(
                read(&[&long]),
                Err(DecodeError::TooLong { limit: MAX_LINE })
            ));
        }

        let lines = |count: usize| [b"250-x\r\n".repeat(count - 1), b"250 x\r\n".to_vec()].concat();
        assert_eq!(read(&[&lines(MAX_LINES)]).unwrap()[0].lines().len(), MAX_LINES);
        assert!(matches!(
            read(&[&lines(MAX_LINES + 1)]),
            Err(DecodeError::Malformed(_))
        ));

        let wide = format!("250-{}\r\n", "x".repeat(4000)).repeat(17);
        assert!(matches!(
            read(&[wide.as_bytes()]),
            Err(DecodeError::TooLong { limit: MAX_REPLY })
        ));
        // The bounds are those of one reply, not of the connection.
        assert_eq!(read(&[&line(4000).repeat(20)]).unwrap().len(), 20);
    }

    #[test]
    fn a_group_is_commands_one_after_another() {
        let group = [
            Command::Mail {
                from: Vec::new(),
                smtputf8: false,
            },
            Command::Rcpt {
                to: b"jane@example.org".to_vec(),
                ignore_quota: true,
            },
            Command::Rcpt {
                to: b"nosuch@example.org".to_vec(),
                ignore_quota: true,
            },
        ];
        let mut buffer = BytesMut::new();
        for command in &group {
            Codec::default().encode(command, &mut buffer).unwrap();
        }
        assert_eq!(
            &buffer[..],
            b"MAIL FROM:<>\r\nRCPT TO:<jane@example.org> IGNOREQUOTA\r\n\
              RCPT TO:<nosuch@example.org> IGNOREQUOTA\r\n"
        );
    }

    proptest! {
        #[test]
        fn random_bytes_end_in_replies_or_an_error(pieces: Vec<Vec<u8>>) {
            let pieces: Vec<&[u8]> = pieces.iter().map(Vec::as_slice).collect();
            let _ = read(&pieces);
        }

        #[test]
        fn near_replies_stay_within_the_bounds(
            text in "([2-5][0-9]{0,3}[- ]?[ -~\u{80}-\u{ff}\u{202e}\t\r]{0,300}\r?\n?){0,200}"
        ) {
            for reply in read(&[text.as_bytes()]).unwrap_or_default() {
                prop_assert!(reply.lines().len() <= MAX_LINES);
                prop_assert!((100..=999).contains(&reply.code()));
                prop_assert!(!reply.to_string().chars().any(char::is_control));
            }
        }

        #[test]
        fn a_reply_written_is_the_reply_read(
            code in 100u16..=999,
            lines in prop::collection::vec("[^\r\n]{0,80}", 1..20),
        ) {
            let mut wire = String::new();
            for (at, line) in lines.iter().enumerate() {
                let mark = if at + 1 == lines.len() { ' ' } else { '-' };
                wire += &format!("{code}{mark}{line}\r\n");
            }
            prop_assert_eq!(read(&[wire.as_bytes()]).unwrap(), [Reply::new(code, lines)]);
        }
    }
}
