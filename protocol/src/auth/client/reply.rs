//! What the server answers.

use std::io;

use bytes::BytesMut;
use zeroize::Zeroize;

use crate::auth::push_parameter;
use crate::error::EncodeError;
use crate::sasl::base64_encode;
use crate::secret::Secret;

/// Bound (clients, bytes): line sent to an auth client, with its line end. Beyond: fields are left out, or the
/// connection is closed. Why: Exim reads no more; Dovecot would read 16384.
pub const REPLY_LIMIT: usize = 8191;

/// The answer to one [`Auth`](super::Auth) or [`Cont`](super::Command::Cont).
#[derive(Debug, Clone)]
pub enum Reply {
    /// A challenge; the request goes on.
    Cont {
        /// The request's.
        id: u32,
        /// The challenge, not yet in base64; maybe empty.
        data: Vec<u8>,
    },
    /// The login is good; the request is over.
    Ok {
        /// The request's.
        id: u32,
        /// The name that it is good for.
        user: Vec<u8>,
        /// More for the client, in this order: names, with values unless they
        /// are bare words. They are printed; nothing secret belongs here.
        fields: Vec<(String, Option<Vec<u8>>)>,
        /// `pass=`: what a proxy needs to log in to the server behind it.
        pass: Option<Secret<[u8]>>,
    },
    /// The login was not found good; the request is over.
    Fail {
        /// The request's.
        id: u32,
        /// The name, when it is known.
        user: Option<Vec<u8>>,
        /// The name that was given, where it was another.
        original_user: Option<Vec<u8>>,
        /// Why, for programs.
        failure: Failure,
        /// Why, for the end user: several clients show it.
        reason: Option<String>,
    },
    /// A request was given up, as its client asked: for clients of minor version
    /// 4 and above, which wait for it. Others take it for an error.
    Cancelled {
        /// The request's.
        id: u32,
    },
}

/// Why a login was not found good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// The name or the password is wrong; which of them is not said.
    Credentials,
    /// Nobody knows now; ask again later. Postfix, Exim and chasquid take it
    /// for a refusal: for them, close the connection.
    Temporary,
    /// The user may not log in.
    Disabled,
    /// The password was right once.
    Expired,
    /// The client's message was not base64.
    InvalidBase64,
}

impl Failure {
    /// The words that say so: the bare one of Dovecot 2.2, which Prosody
    /// knows, and the `code=` of 2.3.
    const fn words(self) -> &'static str {
        match self {
            Self::Credentials => "",
            Self::Temporary => "\ttemp\tcode=temp_fail",
            Self::Disabled => "\tuser_disabled\tcode=user_disabled",
            Self::Expired => "\tpass_expired\tcode=pass_expired",
            Self::InvalidBase64 => "\tcode=invalid_base64",
        }
    }
}

impl Reply {
    /// Appends the reply's line to `out`.
    ///
    /// ```text
    /// reply = "CONT" TAB id TAB [base64] LF
    ///       / "OK" TAB id TAB "user=" value *(TAB parameter) LF
    ///       / "FAIL" TAB id [TAB "user=" value] [TAB "original_user=" value] [words] [TAB "reason=" value] LF
    ///       / "CANCELLED" TAB id LF
    /// ```
    /// `user=` is always the first parameter: Exim reads no more than 16 fields.
    ///
    /// A FAIL that would be too long leaves its name and reason out, for a
    /// client chooses the name, and must not end a connection that others use.
    pub(super) fn encode(&self, out: &mut BytesMut) -> Result<(), EncodeError> {
        let mut line = self.line()?;
        if line.len() > REPLY_LIMIT
            && let &Self::Fail { id, failure, .. } = self
        {
            line = Self::Fail {
                id,
                user: None,
                original_user: None,
                failure,
                reason: None,
            }
            .line()?;
        }
        if line.len() > REPLY_LIMIT {
            line.as_mut().zeroize();
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "a reply longer than 8191 bytes").into());
        }
        out.extend_from_slice(&line);
        line.as_mut().zeroize();
        Ok(())
    }

    fn line(&self) -> Result<BytesMut, EncodeError> {
        // Room for all of it at once where it holds a password: growing would leave copies behind.
        let room = matches!(self, Self::Ok { pass: Some(_), .. }).then_some(4 * REPLY_LIMIT);
        let mut line = BytesMut::with_capacity(room.unwrap_or_default());
        match self {
            Self::Cont { id, data } => {
                start(&mut line, "CONT", *id);
                // The TAB stays when there is no data: clients count fields.
                line.extend_from_slice(b"\t");
                line.extend_from_slice(base64_encode(data).expose());
            }
            Self::Ok {
                id,
                user,
                fields,
                pass,
            } => {
                start(&mut line, "OK", *id);
                push_parameter(&mut line, "user", Some(user));
                for (name, value) in fields {
                    if name.is_empty() || name.contains('=') {
                        return Err(EncodeError::Unsendable("the name of a field of OK"));
                    }
                    push_parameter(&mut line, name, value.as_deref());
                }
                if let Some(pass) = pass {
                    push_parameter(&mut line, "pass", Some(pass.expose()));
                }
            }
            Self::Fail {
                id,
                user,
                original_user,
                failure,
                reason,
            } => {
                start(&mut line, "FAIL", *id);
                if let Some(user) = user {
                    push_parameter(&mut line, "user", Some(user));
                }
                if let Some(user) = original_user {
                    push_parameter(&mut line, "original_user", Some(user));
                }
                line.extend_from_slice(failure.words().as_bytes());
                if let Some(reason) = reason {
                    push_parameter(&mut line, "reason", Some(reason.as_bytes()));
                }
            }
            Self::Cancelled { id } => start(&mut line, "CANCELLED", *id),
        }
        line.extend_from_slice(b"\n");
        Ok(line)
    }
}

fn start(line: &mut BytesMut, word: &str, id: u32) {
    line.extend_from_slice(word.as_bytes());
    line.extend_from_slice(b"\t");
    line.extend_from_slice(id.to_string().as_bytes());
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::auth;
    use crate::sasl::base64_decode;

    fn wire(reply: &Reply) -> String {
        let mut out = BytesMut::new();
        reply.encode(&mut out).unwrap();
        String::from_utf8(out.to_vec()).unwrap()
    }

    fn fail(user: Option<&str>, failure: Failure, reason: Option<&str>) -> Reply {
        Reply::Fail {
            id: 7,
            user: user.map(Into::into),
            original_user: None,
            failure,
            reason: reason.map(Into::into),
        }
    }

    #[test]
    fn writes_challenges() {
        let cont = |id, data: &[u8]| {
            wire(&Reply::Cont {
                id,
                data: data.to_vec(),
            })
        };
        assert_eq!(cont(4, b""), "CONT\t4\t\n");
        assert_eq!(cont(1, b"Username:"), "CONT\t1\tVXNlcm5hbWU6\n");
        assert_eq!(cont(u32::MAX, b"Password:"), "CONT\t4294967295\tUGFzc3dvcmQ6\n");
    }

    #[test]
    fn writes_success() {
        let ok = |user: &[u8], fields| {
            wire(&Reply::Ok {
                id: 1,
                user: user.to_vec(),
                fields,
                pass: None,
            })
        };
        assert_eq!(ok(b"bob@example.com", vec![]), "OK\t1\tuser=bob@example.com\n");
        let fields = vec![
            ("original_user".into(), Some(b"Bob".to_vec())),
            ("anonymous".into(), None),
            ("x".into(), Some(vec![])),
        ];
        assert_eq!(
            ok(b"bob", fields),
            "OK\t1\tuser=bob\toriginal_user=Bob\tanonymous\tx=\n"
        );
        assert_eq!(ok(b"b\tob\n\x01", vec![]), "OK\t1\tuser=b\x01tob\x01n\x011\n");
    }

    #[test]
    fn writes_a_password_last_and_prints_it_never() {
        let reply = Reply::Ok {
            id: 1,
            user: b"bob".to_vec(),
            fields: vec![("proxy".into(), None)],
            pass: Some(Secret::copy_from(b"hun\tter2")),
        };
        assert_eq!(wire(&reply), "OK\t1\tuser=bob\tproxy\tpass=hun\x01tter2\n");
        assert!(format!("{reply:?}").contains("[secret]"));
    }

    #[test]
    fn writes_what_was_given_up() {
        assert_eq!(wire(&Reply::Cancelled { id: 7 }), "CANCELLED\t7\n");
    }

    #[test]
    fn writes_failures_that_every_client_digests() {
        let bob = Some("bob@example.com");
        for (reply, line) in [
            (
                fail(bob, Failure::Credentials, None),
                "FAIL\t7\tuser=bob@example.com\n",
            ),
            (fail(None, Failure::Credentials, None), "FAIL\t7\n"),
            (
                fail(bob, Failure::Temporary, None),
                "FAIL\t7\tuser=bob@example.com\ttemp\tcode=temp_fail\n",
            ),
            (
                fail(bob, Failure::Disabled, Some("Suspended")),
                "FAIL\t7\tuser=bob@example.com\tuser_disabled\tcode=user_disabled\treason=Suspended\n",
            ),
            (
                fail(bob, Failure::Expired, None),
                "FAIL\t7\tuser=bob@example.com\tpass_expired\tcode=pass_expired\n",
            ),
            (
                fail(
                    None,
                    Failure::InvalidBase64,
                    Some("Invalid base64 data in initial response"),
                ),
                "FAIL\t7\tcode=invalid_base64\treason=Invalid base64 data in initial response\n",
            ),
            (
                fail(Some("a\tcode=x"), Failure::Credentials, Some("b\r\nOK\t7")),
                "FAIL\t7\tuser=a\x01tcode=x\treason=b\x01r\x01nOK\x01t7\n",
            ),
        ] {
            assert_eq!(wire(&reply), line);
        }
    }

    #[test]
    fn refuses_a_field_name_that_would_read_as_another() {
        for name in ["", "user=root"] {
            let fields = vec![(name.to_owned(), None)];
            let mut out = BytesMut::new();
            let written = Reply::Ok {
                id: 1,
                user: b"bob".to_vec(),
                fields,
                pass: None,
            }
            .encode(&mut out);
            assert!(matches!(written, Err(EncodeError::Unsendable(_))));
            assert!(out.is_empty());
        }
    }

    // Fills reply::REPLY_LIMIT.
    #[test]
    fn stays_within_the_shortest_buffer() {
        let long = "\t".repeat(5000);
        assert_eq!(
            wire(&fail(Some(&long), Failure::Temporary, Some("x"))),
            "FAIL\t7\ttemp\tcode=temp_fail\n"
        );
        let mut out = BytesMut::new();
        let ok = Reply::Ok {
            id: 7,
            user: long.into_bytes(),
            fields: vec![],
            pass: None,
        };
        assert!(matches!(ok.encode(&mut out), Err(EncodeError::Io(_))));
        assert!(out.is_empty());
    }

    /// Reads a reply as a client would.
    fn read(line: &[u8]) -> Reply {
        let mut line = line.strip_suffix(b"\n").unwrap().to_vec();
        assert!(!line.iter().any(|byte| b"\0\r\n".contains(byte)));
        let mut fields = auth::fields(&mut line);
        let word = fields.next().unwrap();
        let id = auth::id(fields.next().unwrap()).unwrap();
        let rest: Vec<&[u8]> = fields.collect();
        if word == b"CANCELLED" {
            return Reply::Cancelled { id };
        }
        if word == b"CONT" {
            let data = base64_decode(rest[0]).unwrap().expose().to_vec();
            return Reply::Cont { id, data };
        }
        let mut found = rest.iter().map(|field| {
            let (name, value) = auth::parameter(field);
            (
                String::from_utf8(name.to_vec()).unwrap(),
                value.map(<[u8]>::to_vec),
            )
        });
        if word == b"OK" {
            let user = found.next().unwrap().1.unwrap();
            let mut fields: Vec<_> = found.collect();
            let last = fields.pop_if(|(name, _)| name == "pass");
            return Reply::Ok {
                id,
                user,
                fields,
                pass: last.and_then(|(_, value)| value).map(Secret::from),
            };
        }
        let found: Vec<_> = found.collect();
        let value = |wanted: &str| {
            let hit = found
                .iter()
                .find(|(name, value)| name == wanted && value.is_some());
            hit.and_then(|(_, value)| value.clone())
        };
        let failure = match value("code").as_deref() {
            None => Failure::Credentials,
            Some(b"temp_fail") => Failure::Temporary,
            Some(b"user_disabled") => Failure::Disabled,
            Some(b"pass_expired") => Failure::Expired,
            Some(b"invalid_base64") => Failure::InvalidBase64,
            Some(other) => panic!("{}", other.escape_ascii()),
        };
        let reason = value("reason").map(|reason| String::from_utf8(reason).unwrap());
        Reply::Fail {
            id,
            user: value("user"),
            original_user: value("original_user"),
            failure,
            reason,
        }
    }

    fn bytes() -> impl Strategy<Value = Vec<u8>> {
        prop::collection::vec(prop_oneof![0u8..16, any::<u8>()], 0..40)
    }

    fn reply() -> impl Strategy<Value = Reply> {
        let field = ("[a-z_]{5,9}", prop::option::of(bytes()));
        let failure = prop::sample::select(vec![
            Failure::Credentials,
            Failure::Temporary,
            Failure::Disabled,
            Failure::Expired,
            Failure::InvalidBase64,
        ]);
        prop_oneof![
            (1u32.., bytes()).prop_map(|(id, data)| Reply::Cont { id, data }),
            (1u32..).prop_map(|id| Reply::Cancelled { id }),
            (
                1u32..,
                bytes(),
                prop::collection::vec(field, 0..4),
                prop::option::of(bytes())
            )
                .prop_map(|(id, user, fields, pass)| Reply::Ok {
                    id,
                    user,
                    fields,
                    pass: pass.map(Secret::from),
                }),
            (
                1u32..,
                prop::option::of(bytes()),
                prop::option::of(bytes()),
                failure,
                prop::option::of(any::<String>())
            )
                .prop_map(|(id, user, original_user, failure, reason)| Reply::Fail {
                    id,
                    user,
                    original_user,
                    failure,
                    reason
                }),
        ]
    }

    proptest! {
        #[test]
        fn what_was_written_is_read(reply in reply()) {
            let mut out = BytesMut::new();
            reply.encode(&mut out).unwrap();
            let shown = |reply: &Reply| match reply {
                Reply::Ok { pass: Some(pass), .. } => format!("{reply:?} {}", pass.expose().escape_ascii()),
                _ => format!("{reply:?}"),
            };
            prop_assert_eq!(shown(&read(&out)), shown(&reply));
        }
    }
}
