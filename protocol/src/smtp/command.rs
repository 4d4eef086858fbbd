//! What we say, and its two forms: bytes for the wire, text for a trace.

use core::net::IpAddr;
use std::fmt;

use bytes::{BufMut, BytesMut};

use crate::error::EncodeError;
use crate::sasl::RelayedMechanism;
use crate::secret::Secret;
use crate::unseen::printable;

/// Bound (replies): characters of an address in a trace. Beyond: the rest is cut off. Why: no address is longer: a
/// path has at most 256 octets (RFC 5321 section 4.5.3.1.3).
pub const MAX_SHOWN: usize = 256;

/// One command line, or one line of an AUTH exchange.
///
/// `Display` is for a trace: secrets are masked, control characters replaced.
#[derive(Debug, Clone)]
pub enum Command {
    /// `EHLO` and our name: a domain or an address literal (RFC 5321 §4.1.1.1).
    Ehlo(String),
    /// `LHLO`, the same in LMTP (RFC 2033 §4.1).
    Lhlo(String),
    /// `XCLIENT` (Postfix `XCLIENT_README`): the client on whose behalf we ask. The session
    /// begins anew with it.
    XClient {
        /// Its address.
        address: IpAddr,
        /// Its port.
        port: Option<u16>,
    },
    /// `STARTTLS` (RFC 3207 §4).
    StartTls,
    /// `AUTH PLAIN`, with or without the credentials (RFC 4954 §4, RFC 4616).
    AuthPlain {
        /// The PLAIN message in base64.
        initial: Option<Secret<[u8]>>,
    },
    /// `AUTH LOGIN`. Never with an initial response: not every server takes it.
    AuthLogin,
    /// `AUTH` with a mechanism that is carried.
    AuthCarried {
        /// The mechanism.
        mechanism: RelayedMechanism,
        /// The initial response in base64; an empty one is written `=` (RFC 4954 §4).
        initial: Option<Secret<[u8]>>,
    },
    /// The answer to a challenge, in base64.
    AuthData(Secret<[u8]>),
    /// `*`: ends an AUTH exchange before its time (RFC 4954 §4).
    AuthCancel,
    /// `MAIL` (RFC 5321 §4.1.1.2).
    Mail {
        /// The sender in wire form, quoted where needed, without `<>`; empty is `<>`.
        from: Vec<u8>,
        /// Announces addresses that are not ASCII (RFC 6531 §3.4).
        smtputf8: bool,
    },
    /// `RCPT` (RFC 5321 §4.1.1.3).
    Rcpt {
        /// The recipient in wire form, quoted where needed, without `<>`.
        to: Vec<u8>,
        /// Cyrus's extension: a full mailbox is a mailbox.
        ignore_quota: bool,
    },
    /// `RSET`: ends the transaction.
    Rset,
    /// `QUIT`: ends the session.
    Quit,
}

impl Command {
    /// Appends the line with its CRLF, or nothing at all.
    pub(super) fn encode(&self, buffer: &mut BytesMut) -> Result<(), EncodeError> {
        match self {
            Self::Ehlo(name) => line(buffer, &[b"EHLO ", checked_name(name)?]),
            Self::Lhlo(name) => line(buffer, &[b"LHLO ", checked_name(name)?]),
            Self::XClient { .. } => line(buffer, &[self.to_string().as_bytes()]),
            Self::StartTls => line(buffer, &[b"STARTTLS"]),
            Self::AuthPlain { initial: None } => line(buffer, &[b"AUTH PLAIN"]),
            Self::AuthPlain { initial: Some(data) } => line(buffer, &[b"AUTH PLAIN ", checked_base64(data)?]),
            Self::AuthLogin => line(buffer, &[b"AUTH LOGIN"]),
            Self::AuthCarried { mechanism, initial } => {
                let mut parts = vec![&b"AUTH "[..], mechanism.name().as_bytes()];
                if let Some(data) = initial {
                    let data = checked_base64(data)?;
                    parts.extend([&b" "[..], if data.is_empty() { b"=" } else { data }]);
                }
                line(buffer, &parts);
            }
            Self::AuthData(data) => line(buffer, &[checked_base64(data)?]),
            Self::AuthCancel => line(buffer, &[b"*"]),
            Self::Mail { from, smtputf8 } => {
                let from = checked_path(from, "the sender")?;
                line(
                    buffer,
                    &[b"MAIL FROM:<", from, b">", parameter(*smtputf8, b" SMTPUTF8")],
                );
            }
            Self::Rcpt { to, ignore_quota } => {
                let to = checked_path(to, "the recipient")?;
                line(
                    buffer,
                    &[b"RCPT TO:<", to, b">", parameter(*ignore_quota, b" IGNOREQUOTA")],
                );
            }
            Self::Rset => line(buffer, &[b"RSET"]),
            Self::Quit => line(buffer, &[b"QUIT"]),
        }
        Ok(())
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ehlo(name) => write!(f, "EHLO {}", printable(name.chars(), MAX_SHOWN)),
            Self::Lhlo(name) => write!(f, "LHLO {}", printable(name.chars(), MAX_SHOWN)),
            Self::XClient { address, port } => {
                let v6 = if address.is_ipv6() { "IPV6:" } else { "" };
                write!(f, "XCLIENT ADDR={v6}{address}")?;
                port.map_or(Ok(()), |port| write!(f, " PORT={port}"))
            }
            Self::StartTls => f.write_str("STARTTLS"),
            Self::AuthPlain { initial: None } => f.write_str("AUTH PLAIN"),
            Self::AuthPlain { initial: Some(_) } => f.write_str("AUTH PLAIN [secret]"),
            Self::AuthLogin => f.write_str("AUTH LOGIN"),
            Self::AuthCarried { mechanism, initial } => {
                let secret = if initial.is_some() { " [secret]" } else { "" };
                write!(f, "AUTH {}{secret}", mechanism.name())
            }
            Self::AuthData(_) => f.write_str("[secret]"),
            Self::AuthCancel => f.write_str("*"),
            Self::Mail { from, smtputf8 } => {
                let parameter = if *smtputf8 { " SMTPUTF8" } else { "" };
                write!(f, "MAIL FROM:<{}>{parameter}", shown(from))
            }
            Self::Rcpt { to, ignore_quota } => {
                let parameter = if *ignore_quota { " IGNOREQUOTA" } else { "" };
                write!(f, "RCPT TO:<{}>{parameter}", shown(to))
            }
            Self::Rset => f.write_str("RSET"),
            Self::Quit => f.write_str("QUIT"),
        }
    }
}

fn shown(path: &[u8]) -> String {
    printable(String::from_utf8_lossy(path).chars(), MAX_SHOWN)
}

fn parameter(wanted: bool, text: &'static [u8]) -> &'static [u8] {
    if wanted { text } else { b"" }
}

/// Reserves the whole line first: a buffer that moves while it grows would leave
/// a copy of what it holds, and that may be a password.
fn line(buffer: &mut BytesMut, parts: &[&[u8]]) {
    buffer.reserve(parts.iter().map(|part| part.len()).sum::<usize>() + 2);
    for part in parts {
        buffer.put_slice(part);
    }
    buffer.put_slice(b"\r\n");
}

/// A name is one word; it comes from the configuration.
fn checked_name(name: &str) -> Result<&[u8], EncodeError> {
    let fits = name.bytes().all(|byte| byte > b' ' && byte != 0x7f);
    fits.then_some(name.as_bytes())
        .ok_or(EncodeError::Unsendable("our name"))
}

/// Base64 has no use for any byte that could end the line.
fn checked_base64(data: &Secret<[u8]>) -> Result<&[u8], EncodeError> {
    let data = data.expose();
    let fits = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/=".contains(byte);
    data.iter()
        .all(fits)
        .then_some(data)
        .ok_or(EncodeError::Unsendable("the credentials"))
}

/// `Path = "<" Mailbox ">"`, `Mailbox = Local-part "@" Domain`, `Local-part =
/// Dot-string / Quoted-string` (RFC 5321 §4.1.2), held to what keeps the path
/// closed: nothing in it may end it early and let parameters or commands follow.
/// The quoted string stands first or nowhere, so that no server can see its
/// beginning or end elsewhere than we do.
fn checked_path<'a>(path: &'a [u8], what: &'static str) -> Result<&'a [u8], EncodeError> {
    let (mut quoted, mut escaped) = (false, false);
    for (at, &byte) in path.iter().enumerate() {
        let fits = match byte {
            0..=0x1f | 0x7f => false,
            _ if escaped => {
                escaped = false;
                true
            }
            b'\\' => {
                escaped = quoted;
                quoted
            }
            b'"' => {
                let fits = quoted || at == 0;
                quoted = !quoted;
                fits
            }
            b'<' | b'>' | b' ' => quoted,
            _ => true,
        };
        if !fits {
            return Err(EncodeError::Unsendable(what));
        }
    }
    if quoted {
        Err(EncodeError::Unsendable(what))
    } else {
        Ok(path)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn wire(command: &Command) -> Result<Vec<u8>, EncodeError> {
        let mut buffer = BytesMut::from(&b"before"[..]);
        let result = command.encode(&mut buffer);
        let written = buffer.strip_prefix(b"before").unwrap().to_vec();
        assert!(
            result.is_ok() || written.is_empty(),
            "{command} was written in part"
        );
        result.map(|()| written)
    }

    fn secret(bytes: &[u8]) -> Secret<[u8]> {
        Secret::copy_from(bytes)
    }

    fn rcpt(to: &[u8]) -> Command {
        Command::Rcpt {
            to: to.to_vec(),
            ignore_quota: false,
        }
    }

    #[test]
    fn xclient_names_the_client() {
        let line = |address: &str, port| {
            let address = address.parse().unwrap();
            let mut buffer = BytesMut::new();
            Command::XClient { address, port }.encode(&mut buffer).unwrap();
            String::from_utf8(buffer.to_vec()).unwrap()
        };
        assert_eq!(
            line("192.0.2.7", Some(50123)),
            "XCLIENT ADDR=192.0.2.7 PORT=50123\r\n"
        );
        assert_eq!(line("2001:db8::7", None), "XCLIENT ADDR=IPV6:2001:db8::7\r\n");
    }

    // Fills MAX_SHOWN.
    #[test]
    fn each_command_has_its_line_and_its_trace() {
        let name = || "vouch.example.net".to_owned();
        let plain = b"AGphbmVAZXhhbXBsZS5vcmcAczNjcmV0";
        for (command, line, trace) in [
            (Command::Ehlo(name()), "EHLO vouch.example.net", None),
            (Command::Ehlo("[127.0.0.1]".into()), "EHLO [127.0.0.1]", None),
            (Command::Lhlo(name()), "LHLO vouch.example.net", None),
            (Command::StartTls, "STARTTLS", None),
            (Command::AuthPlain { initial: None }, "AUTH PLAIN", None),
            (
                Command::AuthPlain {
                    initial: Some(secret(plain)),
                },
                "AUTH PLAIN AGphbmVAZXhhbXBsZS5vcmcAczNjcmV0",
                Some("AUTH PLAIN [secret]"),
            ),
            (Command::AuthLogin, "AUTH LOGIN", None),
            (
                Command::AuthData(secret(b"czNjcmV0")),
                "czNjcmV0",
                Some("[secret]"),
            ),
            (Command::AuthData(secret(b"")), "", Some("[secret]")),
            (Command::AuthCancel, "*", None),
            (
                Command::Mail {
                    from: Vec::new(),
                    smtputf8: false,
                },
                "MAIL FROM:<>",
                None,
            ),
            (
                Command::Mail {
                    from: b"a@b.example".to_vec(),
                    smtputf8: true,
                },
                "MAIL FROM:<a@b.example> SMTPUTF8",
                None,
            ),
            (rcpt(b"jane@example.org"), "RCPT TO:<jane@example.org>", None),
            (
                rcpt(br#""a > \" b"@example.org"#),
                r#"RCPT TO:<"a > \" b"@example.org>"#,
                None,
            ),
            (
                rcpt("jürgen@example.org".as_bytes()),
                "RCPT TO:<jürgen@example.org>",
                None,
            ),
            (
                Command::Rcpt {
                    to: b"o'brien+x@example.org".to_vec(),
                    ignore_quota: true,
                },
                "RCPT TO:<o'brien+x@example.org> IGNOREQUOTA",
                None,
            ),
            (Command::Rset, "RSET", None),
            (Command::Quit, "QUIT", None),
        ] {
            assert_eq!(
                wire(&command).unwrap(),
                format!("{line}\r\n").as_bytes(),
                "{command}"
            );
            assert_eq!(command.to_string(), trace.unwrap_or(line));
        }
    }

    #[test]
    fn no_form_shows_a_secret() {
        let data = || secret(b"czNjcmV0");
        for command in [
            Command::AuthData(data()),
            Command::AuthPlain {
                initial: Some(data()),
            },
        ] {
            assert!(!format!("{command} {command:?}").contains("czNj"));
        }
        assert_eq!(rcpt(b"a\x1b[31m\r\n@b").to_string(), "RCPT TO:<a?[31m??@b>");
    }

    #[test]
    fn injections_are_refused() {
        for path in [
            &b"a@b\r\nRSET"[..],
            b"a@b\n",
            b"a@b\r",
            b"a\0@b",
            b"a\t@b",
            b"a\x7f@b",
            b"a@b> IGNOREQUOTA",
            b"a@b>",
            b"<a@b",
            b"a b@c",
            b"\"a\r\n\"@b",
            b"\"a\\\n\"@b",
            b"\"a\0\"@b",
            b"\"a",
            b"\"a\\\"@b",
            b"\"",
            b"a\">\"@b",
            b"a\\\">\"@b",
            b"\\\">\"@b",
            b"\"a\"> \"b\"@c",
            b"\"a\"\">\"@c",
        ] {
            assert!(wire(&rcpt(path)).is_err(), "{}", path.escape_ascii());
            let mail = Command::Mail {
                from: path.to_vec(),
                smtputf8: false,
            };
            assert!(wire(&mail).is_err(), "{}", path.escape_ascii());
        }
        for name in ["a\r\nQUIT", "a\nb", "a\0b", "a b", "a\x7f"] {
            assert!(wire(&Command::Ehlo(name.into())).is_err(), "{name:?}");
            assert!(wire(&Command::Lhlo(name.into())).is_err(), "{name:?}");
        }
        for data in [&b"YQ==\r\nQUIT"[..], b"YQ==\n", b"\0", b"*", b"YQ ==", b"Y\xffQ="] {
            assert!(wire(&Command::AuthData(secret(data))).is_err());
            assert!(
                wire(&Command::AuthPlain {
                    initial: Some(secret(data))
                })
                .is_err()
            );
        }
    }

    proptest! {
        #[test]
        fn a_path_never_ends_early(path in prop::collection::vec(prop_oneof![
            any::<u8>(), Just(b'"'), Just(b'\\'), Just(b'>'), Just(b'<'), Just(b' '), Just(b'a'), Just(b'@')
        ], 0..12)) {
            if let Ok(line) = wire(&rcpt(&path)) {
                prop_assert_eq!(&line, &[b"RCPT TO:<", &path[..], b">\r\n"].concat());
                prop_assert_eq!(line.iter().filter(|byte| **byte < b' ').count(), 2);
                // As a server would look for the end of the path: the first `>` outside a quoted string.
                let (mut quoted, mut at) = (false, 9);
                while quoted || line[at] != b'>' {
                    match line[at] {
                        b'"' => quoted = !quoted,
                        b'\\' => at += 1,
                        _ => {}
                    }
                    at += 1;
                }
                prop_assert_eq!(at, line.len() - 3);
            }
        }
    }
}
