//! The Dovecot auth-master protocol (`auth_protocol.md`), server side; on a
//! userdb socket, the part of it that asks about users.
//!
//! On connect the server sends its [`greeting`], and the client says its
//! version together with its first request. Requests carry an id, and a
//! [`Reply`] names the request that it answers.
//!
//! ```
//! use bytes::BytesMut;
//! use tokio_util::codec::{Decoder, Encoder};
//! use vouch_protocol::auth::master::{Codec, Reply, Request, greeting};
//!
//! assert_eq!(greeting(1), b"VERSION\t1\t1\nSPID\t1\n");
//!
//! let mut codec = Codec::default();
//! let mut received = BytesMut::from("VERSION\t1\t1\nUSER\t7\tjane@example.org\tservice=lmtp\n");
//! let Some(Request::User(lookup)) = codec.decode(&mut received)? else {
//!     return Err("no lookup of a user".into());
//! };
//! assert_eq!(lookup.user, b"jane@example.org");
//! assert_eq!(lookup.parameters.service, "lmtp");
//!
//! let mut reply = BytesMut::new();
//! let found = Reply::User {
//!     id: lookup.id,
//!     name: lookup.user,
//!     fields: vec![("home".to_owned(), b"/var/mail/jane".to_vec())],
//! };
//! codec.encode(found, &mut reply)?;
//! assert_eq!(&reply[..], b"USER\t7\tjane@example.org\thome=/var/mail/jane\n");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod reply;
mod request;

use bytes::BytesMut;
use tokio_util::codec::{Decoder, Encoder};

pub use reply::{CacheCounters, Field, Reply};
pub use request::{Claim, Lookup, Request};

use crate::error::{DecodeError, EncodeError, at_end};
use crate::line::LineCutter;

/// Bound (clients, bytes): line of a Dovecot userdb or master client, with its line end. Beyond: the connection is
/// closed, with a warning in the log. Why: what Dovecot's clients read (`AUTH_MAX_INBUF_SIZE`); its server reads
/// 1024.
pub const LINE_LIMIT: usize = 8192;

/// What the server says first.
///
/// ```text
/// handshake = "VERSION" TAB "1" TAB "1" LF "SPID" TAB number LF
/// ```
/// Nothing else: a client takes any other line for that of another kind of
/// socket. `spid` is the one of [`client::Greeting`](super::client::Greeting).
pub fn greeting(spid: u32) -> Vec<u8> {
    format!("VERSION\t1\t1\nSPID\t{spid}\n").into_bytes()
}

/// Reads requests and writes replies, one connection's worth.
///
/// Lines end in LF or CRLF (Dovecot 2.4). Every [`DecodeError`] is the end of
/// the connection, without a reply, as Dovecot ends it.
#[derive(Debug, Default)]
pub struct Codec {
    cutter: LineCutter,
    version_read: bool,
}

impl Decoder for Codec {
    type Item = Request;
    type Error = DecodeError;

    fn decode(&mut self, buffer: &mut BytesMut) -> Result<Option<Request>, DecodeError> {
        while let Some(mut line) = self.cutter.cut(buffer, LINE_LIMIT)? {
            if self.version_read {
                return Request::parse(&mut line).map(Some);
            }
            request::version(&mut line)?;
            self.version_read = true;
        }
        Ok(None)
    }

    fn decode_eof(&mut self, buffer: &mut BytesMut) -> Result<Option<Request>, DecodeError> {
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

    /// The lines of a mail process, of LMTP 2.4 and of doveadm.
    const SESSION: &[u8] =
        b"VERSION\t1\t4\nREQUEST\t1096548353\t28528\t1\t439f43ddfff7cafc3adf897ceea969da\t\
        session_pid=28531\trequest_auth_token\nUSER\t1\tbob@example.com\tprotocol=lmtp\r\nLIST\t4\n\
        PASS\t5\tbob\tservice=doveadm\r\nCACHE-FLUSH\t6\tbob\nCACHE-STATUS\t7\treset\r\nNEW\t8\tx\n";

    /// The requests in words.
    fn read(pieces: &[&[u8]]) -> Result<Vec<String>, DecodeError> {
        let requests = testing::read(Codec::default(), pieces)?;
        Ok(requests.iter().map(|request| format!("{request:?}")).collect())
    }

    #[test]
    fn greets_as_clients_expect() {
        assert_eq!(greeting(14815), b"VERSION\t1\t1\nSPID\t14815\n");
    }

    #[test]
    fn reads_a_session() {
        let requests = read(&[SESSION]).unwrap();
        let starts = [
            "Request(Claim { id: 1096548353, cpid: 28528, client_id: 1, cookie: [secret]",
            "User(Lookup { id: 1",
            "List { id: 4",
            "Pass(Lookup { id: 5",
            "CacheFlush { id: 6",
            "CacheStatus { id: 7, reset: true }",
            "Unknown { id: 8",
        ];
        assert_eq!(requests.len(), starts.len());
        for (request, start) in requests.iter().zip(starts) {
            assert!(request.starts_with(start), "{request}");
        }
    }

    #[test]
    fn every_cut_reads_the_same() {
        assert_cuts_read_alike(SESSION, read);
    }

    #[test]
    fn begins_with_a_version_of_ours() {
        assert!(read(&[b"VERSION\t1\nLIST\t1\n"]).is_ok(), "as Dovecot takes it");
        for lines in [
            "USER\t1\tbob\tservice=x\n", "VERSION\t2\t0\n", "VERSION\n", "VERSION\tx\t1\n", "\n",
            "VERSION\t1\t1\nVERSION\t1\t1\n", "VERSION\t1\t1\nCPID\t1\n",
            "VERSION\t1\t1\nAUTH\t1\tPLAIN\tservice=x\n", "VERSION\t1\t1\n\n",
        ] {
            let found = read(&[lines.as_bytes()]);
            assert!(
                matches!(found, Err(DecodeError::Malformed(_))),
                "{lines:?}: {found:?}"
            );
        }
        assert!(matches!(read(&[b"VERSION\t1"]), Err(DecodeError::Truncated)));
    }

    #[test]
    fn holds_no_more_than_a_line() {
        let filled = |length: usize| {
            let mut line = b"USER\t1\tbob\tservice=x\tsession=".to_vec();
            line.resize(length - 1, b'A');
            [b"VERSION\t1\t1\n", &line[..], b"\n"].concat()
        };
        assert_eq!(read(&[&filled(LINE_LIMIT)]).unwrap().len(), 1);
        let found = read(&[&filled(LINE_LIMIT + 1)]);
        assert!(matches!(found, Err(DecodeError::TooLong { limit: LINE_LIMIT })));
    }

    proptest! {
        #[test]
        fn no_bytes_break_it(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let _ = read(&[&bytes]);
            let _ = read(&[b"VERSION\t1\t1\n", &bytes, b"\n"]);
        }

        #[test]
        fn no_lines_break_it(
            lines in "((USER|PASS|LIST|REQUEST|CACHE-FLUSH|CACHE-STATUS|NEW)(\t[a-f0-9=\x01]{0,5}){0,6}\n){0,6}",
        ) {
            let _ = read(&[b"VERSION\t1\t1\n", lines.as_bytes()]);
        }
    }
}
