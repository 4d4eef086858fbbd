//! Where a directory's remote is, and names of hosts.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;

use toml::de::DeValue;

use super::key::{Shown, Value};
use super::kind::Kind;
use super::scalar::{Bound, Wrong, filled, quoted, socket_path};
use super::table::{Field, Findings};
use crate::address::{Domain, MAX_DOMAIN};

/// Where a remote is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum RemoteAddress {
    /// A domain name (A-labels) or an IP address, without brackets.
    Host(String),
    /// A Unix socket: its absolute path.
    Socket(PathBuf),
}

impl RemoteAddress {
    /// Whether data sent there stays on this machine: a Unix socket, a loopback address, or
    /// `localhost` (RFC 6761 §6.3). Another name never does, even if it resolves to loopback now: its address may change.
    pub fn is_local(&self) -> bool {
        match self {
            Self::Socket(_) => true,
            Self::Host(host) => {
                host.eq_ignore_ascii_case("localhost")
                    || host
                        .parse()
                        .is_ok_and(|address: IpAddr| address.to_canonical().is_loopback())
            }
        }
    }

    /// The port there that the file need not name.
    pub(crate) fn port(&self, kind: Kind, implicit_tls: bool) -> Option<u16> {
        match self {
            Self::Socket(_) => None,
            Self::Host(_) => Some(kind.default_port(implicit_tls)),
        }
    }
}

impl fmt::Display for RemoteAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host(host) => f.write_str(host),
            Self::Socket(path) => write!(f, "{}", path.display()),
        }
    }
}

impl Value for RemoteAddress {
    fn read(&mut self, found: &mut Findings, field: &Field<'_>, _: &Bound) {
        // Without a usable type there is an error already.
        let kind = field.context.kind.unwrap_or(Kind::Smtp);
        let read = match field.value.as_str() {
            Some(text) if text.starts_with('/') => match socket_path(field.value) {
                Ok(_) if kind != Kind::Lmtp => Err(Wrong::new(
                    "cannot be a path",
                    format!("type `{kind}` is reached by TCP"),
                )
                .help("give a host name or an IP address; a socket is for `lmtp`")),
                path => path.map(Self::Socket),
            },
            _ => host_name(field.value).map(Self::Host),
        };
        match read {
            Ok(address) => *self = address,
            Err(wrong) => field.wrong(found, wrong),
        }
    }

    fn show(&self) -> Shown {
        Shown::Set(quoted(self))
    }
}

/// A host name as A-labels, or an IP address without brackets.
pub(super) fn host_name(value: &DeValue<'_>) -> Result<String, Wrong> {
    let text = filled(value)?;
    let bare = text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'))
        .unwrap_or(&text);
    if let Ok(address) = bare.parse::<IpAddr>() {
        return Ok(address.to_string());
    }
    if let Some((host, port)) = text.rsplit_once(':')
        && port.parse::<u16>().is_ok()
        && !host.contains("//")
    {
        return Err(
            Wrong::new("cannot hold a port", "only the host, please").help(format!(
                "write `\"{host}\"`, and `port = {port}` on a line of its own"
            )),
        );
    }
    // A host of a private network may bear a name that no domain may, such as `mail_1`.
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    if text.bytes().all(plain)
        && text.len() <= MAX_DOMAIN
        && text.bytes().any(|byte| byte.is_ascii_alphanumeric())
    {
        return Ok(text.to_ascii_lowercase());
    }
    Domain::parse(&text)
        .map(|domain| domain.to_string())
        .map_err(|_| {
            Wrong::new("is not a host", "neither a host name nor an IP address")
                .help("write it as in `\"mail.example.org\"` or `\"192.0.2.1\"`")
        })
}

/// A domain, or an address literal in brackets (RFC 5321 §4.1.1.1).
pub(super) fn ehlo_name(value: &DeValue<'_>) -> Result<String, Wrong> {
    let text = filled(value)?;
    let fits =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b':' | b'[' | b']');
    if text.bytes().all(fits) && text.len() <= 255 {
        return Ok(text);
    }
    Err(Wrong::new(
        "is not a name for EHLO", "neither a host name nor an address in brackets",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts() {
        for (text, host) in [
            ("'Mail.Example.ORG'", "mail.example.org"),
            ("'mail_1'", "mail_1"),
            ("'192.0.2.1'", "192.0.2.1"),
            ("'::1'", "::1"),
            ("'[2001:db8::1]'", "2001:db8::1"),
            ("'b\u{fc}cher.example'", "xn--bcher-kva.example"),
        ] {
            let value = DeValue::parse(text).unwrap().into_inner();
            assert_eq!(host_name(&value).unwrap(), host, "{text}");
        }
        for text in [
            "''", "' '", "'a b'", "'a:1'", "'[::1]:25'", "'a/b'", "'...'", "'a@b'", "1",
        ] {
            let value = DeValue::parse(text).unwrap().into_inner();
            assert!(host_name(&value).is_err(), "{text}");
        }
    }
}
