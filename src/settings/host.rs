//! Names of hosts.

use std::net::IpAddr;

use toml::de::DeValue;

use super::scalar::{Wrong, filled};
use crate::address::{Domain, MAX_DOMAIN};

/// A host name as A-labels, or an IP address without brackets.
pub(super) fn host_name(value: &DeValue<'_>) -> Result<String, Wrong> {
    let text = filled(value)?;
    if let Some((host, port)) = text.rsplit_once(':')
        && text.parse::<IpAddr>().is_err()
        && port.parse::<u16>().is_ok()
        && !host.contains("//")
    {
        let wrong = Wrong::new("cannot hold a port", "only the host, please");
        return Err(wrong.help(format!("write `\"{host}\"`")));
    }
    host_of(&text)
}

/// A host, and its port where one stands behind it: `HOST`, `HOST:PORT`, `[HOST]` or `[HOST]:PORT`. An IPv6 address without
/// brackets has no port.
pub(super) fn split_port(text: &str) -> (&str, Option<&str>) {
    match text.rsplit_once(':') {
        Some((host, port)) if text.parse::<IpAddr>().is_err() && !text.ends_with(']') => (host, Some(port)),
        _ => (text, None),
    }
}

/// What stands in brackets, or all of it where there are none.
pub(super) fn unbracketed(text: &str) -> &str {
    let inner = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
    inner.unwrap_or(text)
}

/// As [`host_name`], of a text.
pub(super) fn host_of(text: &str) -> Result<String, Wrong> {
    if let Ok(address) = unbracketed(text).parse::<IpAddr>() {
        return Ok(address.to_string());
    }
    // A host of a private network may bear a name that no domain may, such as `mail_1`.
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    if text.bytes().all(plain)
        && text.len() <= MAX_DOMAIN
        && text.bytes().any(|byte| byte.is_ascii_alphanumeric())
    {
        return Ok(text.to_ascii_lowercase());
    }
    Domain::parse(text).map(|domain| domain.to_string()).map_err(|_| {
        Wrong::new("is not a host", "neither a host name nor an IP address")
            .help("write it as in `\"mail.example.org\"` or `\"192.0.2.1\"`")
    })
}

/// Whether data sent there stays on this machine: a loopback address, or `localhost` (RFC 6761 §6.3). Another name never
/// does, even if it resolves to loopback now: its address may change.
pub(super) fn is_local(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost")
        || host
            .parse()
            .is_ok_and(|address: IpAddr| address.to_canonical().is_loopback())
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
