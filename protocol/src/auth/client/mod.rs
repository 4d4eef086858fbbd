//! The Dovecot auth-client protocol (`auth_protocol.md`), server side.
//!
//! On connect the server sends its [`Greeting`] and the client says its
//! version and process id, neither waiting for the other. Then the client
//! sends requests, each with an id of its own, and any number of them may be
//! pending; a [`Reply`] names the request that it answers.
//!
//! ```
//! use bytes::BytesMut;
//! use tokio_util::codec::{Decoder, Encoder};
//! use vouch_protocol::auth::client::{Codec, Command, Failure, Greeting, Reply};
//! use vouch_protocol::sasl::{self, Mechanism};
//!
//! let greeting = Greeting {
//!     mechanisms: vec![Mechanism::Plain.into()],
//!     spid: 1,
//!     cuid: 1,
//!     cookie: [0; 16], // 16 random bytes
//! };
//! assert!(greeting.to_bytes().starts_with(b"VERSION\t1\t2\nMECH\tPLAIN\tplaintext\n"));
//!
//! let mut codec = Codec::default();
//! let mut received = BytesMut::from(
//!     "VERSION\t1\t1\nCPID\t4711\nAUTH\t1\tPLAIN\tservice=smtp\tresp=AGphbmUAc2VjcmV0\n",
//! );
//! let mut reply = BytesMut::new();
//! let mut version = 0;
//! while let Some(command) = codec.decode(&mut received)? {
//!     let auth = match command {
//!         Command::Version { minor, .. } => {
//!             version = minor;
//!             continue;
//!         }
//!         Command::Auth(auth) => auth,
//!         _ => continue,
//!     };
//!     let message = auth.initial_response(version)?.ok_or("no initial response")?;
//!     let login = sasl::parse_plain(message.expose())?;
//!     assert_eq!(login.user, b"jane");
//!     assert_eq!(login.password.expose(), b"secret");
//!     let refusal = Reply::Fail {
//!         id: auth.id,
//!         user: Some(login.user),
//!         original_user: None,
//!         failure: Failure::Credentials,
//!         reason: None,
//!     };
//!     codec.encode(refusal, &mut reply)?;
//! }
//! assert_eq!(&reply[..], b"FAIL\t1\tuser=jane\n");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod command;
mod handshake;
mod reply;

use bytes::BytesMut;
use tokio_util::codec::{Decoder, Encoder};
use zeroize::Zeroize;

pub use command::{Auth, Command};
pub use handshake::{Greeting, Mech};
pub use reply::{Failure, REPLY_LIMIT, Reply};

use crate::auth::LINE_LIMIT;
use crate::error::{DecodeError, EncodeError, at_end};
use crate::line::LineCutter;

/// Reads commands and writes replies, one connection's worth.
///
/// It holds the client to the order of the handshake. What it cannot know is
/// the server's to check: whether an id is pending, whether a mechanism was
/// offered. Every [`DecodeError`] is the end of the connection, without a reply.
///
/// A line is overwritten once it is read, for it may hold a password; so is
/// all that was received when reading fails.
#[derive(Debug, Default)]
pub struct Codec {
    cutter: LineCutter,
    expected: Expected,
}

/// How far the client is in its handshake.
#[derive(Debug, Clone, Copy, Default)]
enum Expected {
    #[default]
    Version,
    Cpid,
    Requests,
}

impl Codec {
    fn read(&mut self, buffer: &mut BytesMut) -> Result<Option<Command>, DecodeError> {
        let Some(mut line) = self.cutter.cut(buffer, LINE_LIMIT)? else {
            return Ok(None);
        };
        let command = Command::parse(&mut line)?;
        self.advance(&command)?;
        Ok(Some(command))
    }

    /// `session = version cpid *(auth / cont / cancel)`
    fn advance(&mut self, command: &Command) -> Result<(), DecodeError> {
        self.expected = match (self.expected, command) {
            (Expected::Version, Command::Version { major: 1, .. }) => Expected::Cpid,
            (Expected::Version, Command::Version { .. }) => {
                return Err(DecodeError::Malformed("a major version other than 1"));
            }
            (Expected::Version, _) => return Err(DecodeError::Malformed("a command before VERSION")),
            (_, Command::Version { .. }) => return Err(DecodeError::Malformed("a second VERSION")),
            (Expected::Cpid, Command::Cpid(_)) => Expected::Requests,
            (Expected::Cpid, _) => return Err(DecodeError::Malformed("a request before CPID")),
            (Expected::Requests, Command::Cpid(_)) => return Err(DecodeError::Malformed("a second CPID")),
            (Expected::Requests, _) => Expected::Requests,
        };
        Ok(())
    }
}

impl Decoder for Codec {
    type Item = Command;
    type Error = DecodeError;

    fn decode(&mut self, buffer: &mut BytesMut) -> Result<Option<Command>, DecodeError> {
        let read = self.read(buffer);
        if read.is_err() {
            buffer.as_mut().zeroize();
        }
        read
    }

    fn decode_eof(&mut self, buffer: &mut BytesMut) -> Result<Option<Command>, DecodeError> {
        let decoded = self.decode(buffer)?;
        at_end(decoded, buffer)
    }
}

impl Encoder<Reply> for Codec {
    type Error = EncodeError;

    fn encode(&mut self, reply: Reply, out: &mut BytesMut) -> Result<(), EncodeError> {
        reply.encode(out)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing::{self, assert_cuts_read_alike};

    /// Two clients' bytes in one: Postfix's PLAIN and chasquid's LOGIN flow.
    const SESSION: &[u8] = b"VERSION\t1\t0\nCPID\t23964\r\n\
        AUTH\t4\tPLAIN\tservice=smtp\tnologin\tlip=127.0.0.1\trip=127.0.0.1\nCONT\t4\tAGJvYgBiYWQ=\n\
        AUTH\t5\tLOGIN\tservice=smtp\tno-penalty\r\nCONT\t5\tYm9i\nCONT\t5\t\nCANCEL\t5\n\
        AUTH\t6\tplain\tservice=smtp\tresp=AGJvYgBvaw==\n";

    const START: &str = "VERSION\t1\t1\nCPID\t1\n";

    /// The commands in words, secrets shown.
    fn read(pieces: &[&[u8]]) -> Result<Vec<String>, DecodeError> {
        let commands = testing::read(Codec::default(), pieces)?;
        Ok(commands.iter().map(shown).collect())
    }

    fn shown(command: &Command) -> String {
        let secret = match command {
            Command::Auth(Auth {
                resp: Some(secret), ..
            })
            | Command::Cont { data: secret, .. } => secret.expose().escape_ascii().to_string(),
            _ => String::new(),
        };
        format!("{command:?} {secret}")
    }

    #[test]
    fn reads_a_session() {
        let commands = read(&[SESSION]).unwrap();
        let starts = [
            "Version { major: 1, minor: 0 } ",
            "Cpid(23964) ",
            "Auth(Auth { id: 4, mechanism: \"PLAIN\", parameters: Parameters { service: \"smtp\", session: None",
            "Cont { id: 4, data: [secret] } AGJvYgBiYWQ=",
            "Auth(Auth { id: 5, mechanism: \"LOGIN\"",
            "Cont { id: 5, data: [secret] } Ym9i",
            "Cont { id: 5, data: [secret] } ",
            "Cancel { id: 5 } ",
            "Auth(Auth { id: 6, mechanism: \"PLAIN\"",
        ];
        assert_eq!(commands.len(), starts.len());
        for (command, start) in commands.iter().zip(starts) {
            assert!(command.starts_with(start), "{command}");
        }
        assert!(
            commands[8].ends_with("resp: Some([secret]) }) AGJvYgBvaw=="),
            "{}",
            commands[8]
        );
    }

    #[test]
    fn every_cut_reads_the_same() {
        assert_cuts_read_alike(SESSION, read);
    }

    #[test]
    fn ends_between_lines_only() {
        for at in 0..SESSION.len() {
            let head = &SESSION[..at];
            let whole = head.is_empty() || head.ends_with(b"\n");
            match read(&[head]) {
                Ok(_) => assert!(whole, "cut at {at}"),
                Err(error) => assert!(
                    !whole && matches!(error, DecodeError::Truncated),
                    "cut at {at}: {error}"
                ),
            }
        }
    }

    #[test]
    fn holds_the_client_to_the_order() {
        for lines in [
            "CPID\t1\n", "AUTH\t1\tPLAIN\tservice=x\n", "VERSION\t2\t0\n", "VERSION\t0\t1\n",
            "VERSION\t1\t1\nVERSION\t1\t1\n", "VERSION\t1\t1\nCPID\t1\nVERSION\t1\t1\n",
            "VERSION\t1\t1\nCPID\t1\nCPID\t1\n", "VERSION\t1\t1\nCPID\t0\n",
            "VERSION\t1\t1\nAUTH\t1\tPLAIN\tservice=x\n", "VERSION\t1\t1\nCONT\t1\t\n",
            "VERSION\t1\t1\nCANCEL\t1\n", "\n", "VERSION\t1\t1\n\n", "VERSION\t1\t1\nCPID\t1\n\r\n",
            "VERSION\t1\t1\nCPID\t1\nHELLO\n",
        ] {
            let found = read(&[lines.as_bytes()]);
            assert!(
                matches!(found, Err(DecodeError::Malformed(_))),
                "{lines:?}: {found:?}"
            );
        }
    }

    #[test]
    fn leaves_to_the_server_what_is_its_business() {
        let lines = format!("{START}AUTH\t1\tX-NONE\tservice=x\nAUTH\t1\tPLAIN\tservice=x\nCANCEL\t9\n");
        assert_eq!(read(&[lines.as_bytes()]).unwrap().len(), 5);
    }

    #[test]
    fn holds_no_more_than_a_line() {
        let filled = |length: usize| {
            let mut line = b"AUTH\t1\tPLAIN\tservice=x\tresp=".to_vec();
            line.resize(length - 1, b'A');
            [START.as_bytes(), &line, b"\n"].concat()
        };
        assert_eq!(read(&[&filled(LINE_LIMIT)]).unwrap().len(), 3);
        for length in [LINE_LIMIT + 1, 1 << 20] {
            let found = read(&[&filled(length)]);
            assert!(matches!(found, Err(DecodeError::TooLong { limit: LINE_LIMIT })));
        }
    }

    #[test]
    fn overwrites_what_it_cannot_read() {
        for rest in [
            "HELLO\nCONT\t1\tYm9i\n",
            "CONT\t1\tYm9i",
            &"Ym9i".repeat(LINE_LIMIT / 4),
        ] {
            let mut codec = Codec::default();
            let mut buffer = BytesMut::from(format!("{START}{rest}").as_str());
            assert!(codec.decode(&mut buffer).unwrap().is_some());
            assert!(codec.decode(&mut buffer).unwrap().is_some());
            assert!(codec.decode_eof(&mut buffer).is_err());
            assert!(!buffer.is_empty() && buffer.iter().all(|&byte| byte == 0));
        }
    }

    #[test]
    fn writes_replies_one_after_the_other() {
        let mut codec = Codec::default();
        let mut out = BytesMut::new();
        codec
            .encode(Reply::Cont { id: 4, data: vec![] }, &mut out)
            .unwrap();
        let user = Some(b"bob".to_vec());
        let fail = Reply::Fail {
            id: 4,
            user,
            original_user: None,
            failure: Failure::Credentials,
            reason: None,
        };
        codec.encode(fail, &mut out).unwrap();
        assert_eq!(out, &b"CONT\t4\t\nFAIL\t4\tuser=bob\n"[..]);
    }

    proptest! {
        #[test]
        fn no_bytes_break_it(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let _ = read(&[&bytes]);
            let _ = read(&[START.as_bytes(), &bytes, b"\n"]);
        }

        #[test]
        fn no_lines_break_it(
            lines in "((AUTH|CONT|CANCEL)?(\t[a-z0-9=\x01]{0,5}){0,4}\n){0,6}",
            at in any::<prop::sample::Index>(),
        ) {
            let bytes = [START.as_bytes(), lines.as_bytes()].concat();
            let (head, tail) = bytes.split_at(at.index(bytes.len()));
            let (cut, whole) = (read(&[head, tail]), read(&[&bytes]));
            prop_assert_eq!(format!("{cut:?}"), format!("{whole:?}"));
        }
    }
}
