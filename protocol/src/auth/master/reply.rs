//! What the server answers.

use bytes::{BufMut, BytesMut};

use super::LINE_LIMIT;
use crate::auth::{escape, push_parameter};
use crate::error::EncodeError;

/// The answer to one [`Request`](super::Request), or a part of it. Each names
/// the request by its id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// The user exists.
    User {
        /// The request's.
        id: u32,
        /// The user's name, maybe another than was asked for.
        name: Vec<u8>,
        /// `uid`, `gid`, `home` and so on. Dovecot takes every name that it does not
        /// know for a setting.
        fields: Vec<Field>,
    },
    /// What is known of the user's login.
    Pass {
        /// The request's.
        id: u32,
        /// The user's name, maybe another than was asked for.
        name: Vec<u8>,
    },
    /// There is no such user.
    NotFound {
        /// The request's.
        id: u32,
    },
    /// Nobody knows now; or the request is not allowed.
    Fail {
        /// The request's.
        id: u32,
    },
    /// One of the users that were asked for.
    Listed {
        /// The request's.
        id: u32,
        /// The user's name.
        name: Vec<u8>,
    },
    /// All users that are known were listed; not so where it is no success.
    Done {
        /// The request's.
        id: u32,
        /// The list is complete.
        success: bool,
    },
    /// What another server has answered, which this one asked: its line, with the end.
    Relayed(Vec<u8>),
    /// So many entries were forgotten.
    Flushed {
        /// The request's.
        id: u32,
        /// Their number.
        count: u32,
    },
    /// What is remembered, and what it was good for.
    CacheStatus {
        /// The request's.
        id: u32,
        /// `None` where nothing is ever remembered.
        counters: Option<CacheCounters>,
    },
}

/// What is known of a cache. Clients read numbers of 32 bits, so none is larger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CacheCounters {
    /// Questions that it answered.
    pub hits: u32,
    /// Questions that it did not.
    pub misses: u32,
    /// Entries that say that a user or a login is good.
    pub positive: u32,
    /// Entries that say that one is not.
    pub negative: u32,
}

/// A field of a user: its name, and its value.
pub type Field = (String, Vec<u8>);

impl Reply {
    /// Appends the reply's line to `out`.
    ///
    /// ```text
    /// reply = "USER" TAB id TAB name *(TAB parameter) LF
    ///       / "PASS" TAB id TAB "user=" name LF
    ///       / "NOTFOUND" TAB id LF
    ///       / "FAIL" TAB id LF
    ///       / "LIST" TAB id TAB name LF
    ///       / "DONE" TAB id TAB ["fail"] LF
    ///       / "OK" TAB id TAB number LF
    ///       / "OK" TAB id [TAB counters] LF
    /// counters = "hits=" number TAB "misses=" number TAB "pos_entries=" number TAB "neg_entries=" number
    /// ```
    /// A USER or PASS that a client could not read becomes a FAIL; so long a name is
    /// in no list.
    pub(super) fn encode(&self, out: &mut BytesMut) -> Result<(), EncodeError> {
        let line = self.line()?;
        if line.len() <= LINE_LIMIT {
            out.extend_from_slice(&line);
        } else if let &(Self::User { id, .. } | Self::Pass { id, .. }) = self {
            out.extend_from_slice(&Self::Fail { id }.line()?);
        }
        Ok(())
    }

    fn line(&self) -> Result<BytesMut, EncodeError> {
        let mut line = BytesMut::new();
        let mut start = |word: &str, id: u32| line.extend_from_slice(format!("{word}\t{id}").as_bytes());
        match self {
            Self::User { id, name, fields } => {
                start("USER", *id);
                line.put_u8(b'\t');
                escape(name, &mut line);
                for (name, value) in fields {
                    if name.is_empty() || name.contains('=') {
                        return Err(EncodeError::Unsendable("the name of a field of USER"));
                    }
                    push_parameter(&mut line, name, Some(value));
                }
            }
            Self::Pass { id, name } => {
                start("PASS", *id);
                push_parameter(&mut line, "user", Some(name));
            }
            Self::NotFound { id } => start("NOTFOUND", *id),
            Self::Fail { id } => start("FAIL", *id),
            Self::Listed { id, name } => {
                start("LIST", *id);
                line.put_u8(b'\t');
                escape(name, &mut line);
            }
            // Its end is there already.
            Self::Relayed(answer) => return Ok(answer.as_slice().into()),
            Self::Done { id, success } => {
                start("DONE", *id);
                // The TAB stays without a word behind it: clients count fields.
                line.extend_from_slice(if *success { b"\t" } else { b"\tfail" });
            }
            Self::Flushed { id, count } => {
                start("OK", *id);
                line.extend_from_slice(format!("\t{count}").as_bytes());
            }
            Self::CacheStatus { id, counters } => {
                start("OK", *id);
                // Dovecot has four sizes in bytes besides. Its client takes those that are absent for 0.
                if let Some(known) = counters {
                    for (name, number) in [
                        ("hits", known.hits),
                        ("misses", known.misses),
                        ("pos_entries", known.positive),
                        ("neg_entries", known.negative),
                    ] {
                        push_parameter(&mut line, name, Some(number.to_string().as_bytes()));
                    }
                }
            }
        }
        line.put_u8(b'\n');
        Ok(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wire(reply: &Reply) -> String {
        let mut out = BytesMut::new();
        reply.encode(&mut out).unwrap();
        String::from_utf8(out.to_vec()).unwrap()
    }

    #[test]
    fn writes_what_clients_read() {
        let field = |name: &str, value: &str| (name.to_owned(), value.as_bytes().to_vec());
        let name = b"bob@example.com".to_vec();
        for (reply, line) in [
            (
                Reply::User {
                    id: 1,
                    name: name.clone(),
                    fields: vec![field("uid", "5000"), field("home", "/srv/b\tob")],
                },
                "USER\t1\tbob@example.com\tuid=5000\thome=/srv/b\x01tob\n",
            ),
            (
                Reply::User {
                    id: u32::MAX,
                    name: b"b\tuid=0".to_vec(),
                    fields: vec![],
                },
                "USER\t4294967295\tb\x01tuid=0\n",
            ),
            (
                Reply::Pass {
                    id: 5,
                    name: name.clone(),
                },
                "PASS\t5\tuser=bob@example.com\n",
            ),
            (Reply::NotFound { id: 2 }, "NOTFOUND\t2\n"),
            (Reply::Fail { id: 3 }, "FAIL\t3\n"),
            (Reply::Listed { id: 4, name }, "LIST\t4\tbob@example.com\n"),
            (Reply::Done { id: 4, success: true }, "DONE\t4\t\n"),
            (
                Reply::Done {
                    id: 4,
                    success: false,
                },
                "DONE\t4\tfail\n",
            ),
            (Reply::Flushed { id: 6, count: 2 }, "OK\t6\t2\n"),
            (
                Reply::CacheStatus {
                    id: 7,
                    counters: None,
                },
                "OK\t7\n",
            ),
            (
                Reply::CacheStatus {
                    id: 7,
                    counters: Some(CacheCounters {
                        hits: 1,
                        misses: u32::MAX,
                        positive: 3,
                        negative: 0,
                    }),
                },
                "OK\t7\thits=1\tmisses=4294967295\tpos_entries=3\tneg_entries=0\n",
            ),
            (Reply::Relayed(b"USER\t7\tbob\n".to_vec()), "USER\t7\tbob\n"),
        ] {
            assert_eq!(wire(&reply), line);
        }
    }

    #[test]
    fn no_name_of_a_field_reads_as_another() {
        for name in ["", "uid=0"] {
            let user = Reply::User {
                id: 1,
                name: b"bob".to_vec(),
                fields: vec![(name.to_owned(), Vec::new())],
            };
            let mut out = BytesMut::new();
            assert!(matches!(user.encode(&mut out), Err(EncodeError::Unsendable(_))));
            assert!(out.is_empty());
        }
    }

    #[test]
    fn stays_within_what_clients_read() {
        let fits = |length: usize| {
            wire(&Reply::User {
                id: 1,
                name: vec![b'a'; length],
                fields: vec![],
            })
        };
        assert_eq!(fits(LINE_LIMIT - 8).len(), LINE_LIMIT);
        assert_eq!(fits(LINE_LIMIT - 7), "FAIL\t1\n");
        let listed = Reply::Listed {
            id: 1,
            name: vec![b'\t'; LINE_LIMIT / 2],
        };
        assert_eq!(wire(&listed), "");
    }
}
