//! What a client asks.

use crate::auth::{Parameters, fields, next, number, parameter};
use crate::error::DecodeError;
use crate::secret::Secret;

/// A line from a client. Ids are the client's to choose.
#[derive(Debug, Clone)]
pub enum Request {
    /// Does this user exist, and with which fields?
    User(Lookup),
    /// What is known of this user's login, short of a password?
    Pass(Lookup),
    /// Which users are there?
    List {
        /// The request's.
        id: u32,
        /// A mask with `*` and `?`, without case. Dovecot 2.4's `doveadm` leaves it to the server to apply it.
        mask: Option<Vec<u8>>,
    },
    /// A mail process asks for the login that it was handed.
    Request(Claim),
    /// What is remembered of these users, or of all where there are none, is to
    /// be forgotten.
    CacheFlush {
        /// The request's.
        id: u32,
        /// The users, as they were given.
        users: Vec<Vec<u8>>,
    },
    /// How full is what is remembered, and what was it good for?
    CacheStatus {
        /// The request's.
        id: u32,
        /// Hits and misses are to be counted from zero again, once they were said.
        reset: bool,
    },
    /// A command of a client that knows more of them: answered, so that what else it has asked
    /// is answered, too.
    Unknown {
        /// The request's.
        id: u32,
        /// The command.
        command: Vec<u8>,
    },
}

/// USER and PASS.
#[derive(Debug, Clone)]
pub struct Lookup {
    /// The request's.
    pub id: u32,
    /// The user's name, as it was given: maybe empty.
    pub user: Vec<u8>,
    /// The service that asks, and the user.
    pub parameters: Box<Parameters>,
}

/// REQUEST.
#[derive(Debug, Clone)]
pub struct Claim {
    /// The request's.
    pub id: u32,
    /// The process id that the login process gave.
    pub cpid: u32,
    /// The id of its AUTH.
    pub client_id: u32,
    /// The cookie that the login process was greeted with: 16 bytes, where it is one.
    pub cookie: Secret<[u8]>,
    /// The process id of the mail process.
    pub session_pid: Option<u32>,
    /// Another process asks on its behalf, and vouches for that id (Dovecot after 2.4.4).
    pub session_pid_trusted: bool,
    /// The mail process wants a token, to act for the user at other services.
    pub request_auth_token: bool,
}

impl Claim {
    /// The line that [`Request`] reads it from, for a server that asks another one.
    pub fn to_line(&self) -> Secret<[u8]> {
        let Self {
            id, cpid, client_id, ..
        } = self;
        let mut line = format!("REQUEST\t{id}\t{cpid}\t{client_id}\t");
        line.extend(self.cookie.expose().iter().map(|byte| format!("{byte:02x}")));
        if let Some(pid) = self.session_pid {
            line += &format!("\tsession_pid={pid}");
        }
        if self.session_pid_trusted {
            line += "\tsession_pid_trusted";
        }
        if self.request_auth_token {
            line += "\trequest_auth_token";
        }
        line.push('\n');
        Secret::from(line.into_bytes())
    }
}

/// The first line of a client.
///
/// ```text
/// version = "VERSION" TAB "1" *(TAB field)
/// ```
pub(super) fn version(line: &mut [u8]) -> Result<(), DecodeError> {
    let mut fields = fields(line);
    if fields.next() != Some(b"VERSION") {
        return Err(DecodeError::Malformed("a command before VERSION"));
    }
    match fields.next().and_then(number) {
        Some(1) => Ok(()),
        _ => Err(DecodeError::Malformed("a major version other than 1")),
    }
}

impl Request {
    /// ```text
    /// request = "USER" TAB lookup
    ///         / "PASS" TAB lookup
    ///         / "LIST" TAB number *(TAB parameter)
    ///         / "REQUEST" TAB claim
    ///         / "CACHE-FLUSH" TAB number *(TAB user)
    ///         / "CACHE-STATUS" TAB number [TAB "reset"]
    ///         / unknown TAB number *(TAB field)
    /// ```
    /// `unknown` is any other word but those of the handshake and of the auth-client protocol,
    /// which show that client and server do not speak the same.
    pub(super) fn parse(line: &mut [u8]) -> Result<Self, DecodeError> {
        if line.contains(&0) {
            return Err(DecodeError::Malformed("a NUL in a line"));
        }
        let mut fields = fields(line);
        let fields = &mut fields;
        match fields.next() {
            Some(b"USER") => lookup(fields).map(Self::User),
            Some(b"PASS") => lookup(fields).map(Self::Pass),
            Some(b"LIST") => {
                let id = next(fields, number)?;
                let mut mask = None;
                for field in fields {
                    if let (b"user", value) = parameter(field) {
                        mask = Some(value.unwrap_or_default().to_vec());
                    }
                }
                Ok(Self::List { id, mask })
            }
            Some(b"REQUEST") => claim(fields).map(Self::Request),
            Some(b"CACHE-FLUSH") => Ok(Self::CacheFlush {
                id: next(fields, number)?,
                users: fields.map(<[u8]>::to_vec).collect(),
            }),
            Some(b"CACHE-STATUS") => Ok(Self::CacheStatus {
                id: next(fields, number)?,
                reset: fields.any(|field| field == b"reset"),
            }),
            Some(b"CPID" | b"AUTH" | b"CONT" | b"CANCEL") => Err(DecodeError::Malformed(
                "of the auth-client protocol, and this is a master socket",
            )),
            Some(b"VERSION") => Err(DecodeError::Malformed("a second VERSION")),
            Some(command) if !command.is_empty() => Ok(Self::Unknown {
                id: next(fields, number).map_err(|_| DecodeError::Malformed("an unknown command"))?,
                command: command.to_vec(),
            }),
            _ => Err(DecodeError::Malformed("a line without a command")),
        }
    }
}

/// ```text
/// lookup = number TAB user *(TAB parameter)
/// ```
/// One of the parameters is `service=` or `protocol=`.
fn lookup<'a>(fields: &mut impl Iterator<Item = &'a [u8]>) -> Result<Lookup, DecodeError> {
    let id = next(fields, number)?;
    let user = fields
        .next()
        .ok_or(DecodeError::Malformed("a lookup without a user"))?;
    let mut lookup = Lookup {
        id,
        user: user.to_vec(),
        parameters: Box::default(),
    };
    let mut has_service = false;
    for field in fields {
        let (name, value) = parameter(field);
        has_service |= lookup.parameters.note(name, value.unwrap_or_default());
    }
    if has_service {
        Ok(lookup)
    } else {
        Err(DecodeError::Malformed("a lookup without a service"))
    }
}

/// ```text
/// claim = number TAB cpid TAB client-id TAB cookie *(TAB parameter)
/// cookie = *(2HEXDIG)
/// ```
fn claim<'a>(fields: &mut impl Iterator<Item = &'a [u8]>) -> Result<Claim, DecodeError> {
    let mut claim = Claim {
        id: next(fields, number)?,
        cpid: next(fields, number)?,
        client_id: next(fields, number)?,
        cookie: fields
            .next()
            .and_then(hex)
            .ok_or(DecodeError::Malformed("REQUEST without a cookie in hex"))?,
        session_pid: None,
        session_pid_trusted: false,
        request_auth_token: false,
    };
    for field in fields {
        match parameter(field) {
            (b"session_pid", Some(pid)) => claim.session_pid = number(pid),
            (b"session_pid_trusted", _) => claim.session_pid_trusted = true,
            (b"request_auth_token", _) => claim.request_auth_token = true,
            _ => {}
        }
    }
    Ok(claim)
}

fn hex(text: &[u8]) -> Option<Secret<[u8]>> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let bytes: Option<Vec<u8>> = text
        .chunks(2)
        .map(|pair| match *pair {
            [high, low] => u8::try_from(digit(high)? * 16 + digit(low)?).ok(),
            _ => None,
        })
        .collect();
    bytes.map(Secret::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Request, DecodeError> {
        Request::parse(&mut line.as_bytes().to_vec())
    }

    #[test]
    fn a_claim_is_written_as_it_was_read() {
        for line in [
            "REQUEST\t1\t2\t3\t00ff439f43ddfff7cafc3adf897ceea9",
            "REQUEST\t4294967295\t2\t3\t00ff439f43ddfff7cafc3adf897ceea9\tsession_pid=7",
            "REQUEST\t1\t2\t3\t\tsession_pid=7\trequest_auth_token",
            "REQUEST\t1\t2\t3\t00\tsession_pid=7\tsession_pid_trusted\trequest_auth_token",
        ] {
            let Ok(Request::Request(claim)) = read(line) else {
                panic!("{line}");
            };
            assert_eq!(claim.to_line().expose(), format!("{line}\n").as_bytes());
        }
    }

    #[test]
    fn reads_lookups() {
        for word in ["USER", "PASS"] {
            let line = format!("{word}\t0\tb\x01tb\tprotocol=lmtp\trip=192.0.2.1\tdebug");
            let (Request::User(found) | Request::Pass(found)) = read(&line).unwrap() else {
                panic!("{line}");
            };
            assert_eq!((found.id, &*found.user), (0, &b"b\tb"[..]));
            assert_eq!(found.parameters.service, "lmtp");
            assert_eq!(found.parameters.remote_ip.as_deref(), Some("192.0.2.1"));
        }
        assert!(matches!(read("USER\t1\t\tservice="), Ok(Request::User(found)) if found.user.is_empty()));
    }

    #[test]
    fn reads_lists_with_and_without_a_mask() {
        let mask = |line: &str| match read(line).unwrap() {
            Request::List { id: 4, mask } => mask,
            other => panic!("{other:?}"),
        };
        assert_eq!(mask("LIST\t4"), None);
        assert_eq!(mask("LIST\t4\tservice=doveadm\tuser=b*"), Some(b"b*".to_vec()));
    }

    #[test]
    fn reads_claims() {
        let claim = |line: &str| match read(line).unwrap() {
            Request::Request(claim) => claim,
            other => panic!("{other:?}"),
        };
        let found = claim("REQUEST\t9\t28528\t1\t439F43ddfff7cafc3adf897ceea969da\tsession_pid=28531\tnew=x");
        assert_eq!((found.id, found.cpid, found.client_id), (9, 28528, 1));
        assert_eq!(
            found.cookie.expose(),
            b"\x43\x9f\x43\xdd\xff\xf7\xca\xfc\x3a\xdf\x89\x7c\xee\xa9\x69\xda"
        );
        assert_eq!(
            (found.session_pid, found.request_auth_token),
            (Some(28531), false)
        );
        let found = claim("REQUEST\t9\t28528\t1\t00\trequest_auth_token");
        assert_eq!(found.cookie.expose(), b"\0");
        assert!(found.request_auth_token && found.session_pid.is_none());
        assert!(!found.session_pid_trusted);
        for word in ["session_pid_trusted", "session_pid_trusted=yes"] {
            assert!(claim(&format!("REQUEST\t9\t28528\t1\t00\tsession_pid=7\t{word}")).session_pid_trusted);
        }
    }

    #[test]
    fn reads_flushes() {
        let users = |line: &str| match read(line).unwrap() {
            Request::CacheFlush { id: 6, users } => users,
            other => panic!("{other:?}"),
        };
        assert_eq!(users("CACHE-FLUSH\t6"), Vec::<Vec<u8>>::new());
        assert_eq!(
            users("CACHE-FLUSH\t6\tbob\ta\x01tb"),
            [b"bob".to_vec(), b"a\tb".to_vec()]
        );
    }

    #[test]
    fn reads_what_is_asked_of_the_cache() {
        for (line, expected) in [
            ("CACHE-STATUS\t6", false),
            ("CACHE-STATUS\t6\treset", true),
            ("CACHE-STATUS\t6\tnew\treset", true),
        ] {
            let found = read(line).unwrap();
            assert!(
                matches!(found, Request::CacheStatus { id: 6, reset } if reset == expected),
                "{line}"
            );
        }
    }

    #[test]
    fn reads_commands_that_it_does_not_know() {
        for (line, expected) in [
            ("NOOP\t7", "NOOP"),
            ("USERS\t7\tx=\t\ty", "USERS"),
            ("user\t7\tbob", "user"),
            ("a\x01tb\t7", "a\tb"),
        ] {
            match read(line).unwrap() {
                Request::Unknown { id: 7, command } => assert_eq!(command, expected.as_bytes()),
                other => panic!("{line}: {other:?}"),
            }
        }
    }

    #[test]
    fn refuses_what_breaks_the_grammar() {
        for line in [
            "", "USER", "USER\t1", "USER\t1\tbob", "USER\tx\tbob\tservice=x",
            "USER\t4294967296\tb\tservice=x", "USER\t-1\tb\tservice=x", "PASS\t1\tbob", "LIST", "LIST\tx",
            "REQUEST\t1\t2\t3", "REQUEST\t1\t2\t3\tzz", "REQUEST\t1\t2\t3\t0", "REQUEST\t1\tx\t3\t00",
            "CACHE-FLUSH", "CACHE-FLUSH\t", "CACHE-STATUS", "CACHE-STATUS\tx", "CPID\t1",
            "AUTH\t1\tPLAIN\tservice=x", "CONT\t1\t", "CANCEL\t1", "VERSION\t1\t1", "NOOP", "NOOP\t",
            "NOOP\tx", "NOOP\t-1", "NOOP\t4294967296", "\t1", "USER\t1\tb\0b\tservice=x",
        ] {
            let found = read(line);
            assert!(
                matches!(found, Err(DecodeError::Malformed(_))),
                "{line:?}: {found:?}"
            );
        }
    }
}
