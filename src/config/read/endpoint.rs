//! Reads how a directory is reached: `address`, `port`, `ehlo-name` and `[….tls]`.

use std::net::IpAddr;

use toml::de::DeValue;

use super::{
    directory::KEYS,
    problem::Problem,
    table::{Field, Findings, Place, Table, read_field},
    value::{self, Wrong},
};
use crate::{
    address::{Domain, MAX_DOMAIN},
    config::{
        Endpoint,
        directory::{KeyExchange, Kind, StartTls, Tls},
    },
};

/// Reads `address` and `port` together: the one says whether the other may stand.
pub(super) fn endpoint(
    found: &mut Findings,
    kind: Kind,
    implicit: bool,
    address: Option<&Field<'_>>,
    port: Option<Field<'_>>,
) -> Endpoint {
    let mut host = String::new();
    let mut socket = None;
    if let Some(address) = address {
        match address.value.as_str() {
            Some(text) if text.starts_with('/') => match value::socket_path(address.value) {
                Ok(path) if kind == Kind::Lmtp => socket = Some(path),
                Ok(_) => address.wrong(
                    found,
                    Wrong::new("cannot be a path", format!("type `{kind}` is reached by TCP"))
                        .help("give a host name or an IP address; a socket is for `lmtp`"),
                ),
                Err(wrong) => address.wrong(found, wrong),
            },
            _ => match host_name(address.value) {
                Ok(name) => host = name,
                Err(wrong) => address.wrong(found, wrong),
            },
        }
    }
    if let (Some(path), Some(port)) = (&socket, &port) {
        let title = format!("`{}` does not go with a socket", port.name);
        let mut problem = Problem::new(title, port.key.clone(), "a socket has no port");
        if let Some(address) = address {
            problem = problem.also(address.place.clone(), format!("`{}` is a path", path.display()));
        }
        found.problem(problem);
    }
    let mut number = u32::from(kind.default_port(implicit));
    if let Some(port) = port {
        read_field(found, port, &mut number, value::count(1..=65535));
    }
    // `count` has bounded it; 0 cannot be connected to.
    let port = u16::try_from(number).unwrap_or(0);
    socket.map_or(Endpoint::Host { host, port }, Endpoint::Socket)
}

/// A host name as A-labels, or an IP address without brackets.
fn host_name(value: &DeValue<'_>) -> Result<String, Wrong> {
    let text = value::filled(value)?;
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
    let text = value::filled(value)?;
    let fits =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b':' | b'[' | b']');
    if text.bytes().all(fits) && text.len() <= 255 {
        return Ok(text);
    }
    Err(Wrong::new(
        "is not a name for EHLO", "neither a host name nor an address in brackets",
    ))
}

/// Reads `[….tls]`.
pub(super) fn read_tls(found: &mut Findings, mut table: Table<'_>, tls: &mut Tls) {
    if let Some(field) = table.field_or_alias(found, "implicit", "enable") {
        read_field(found, field, &mut tls.implicit, value::flag);
    }
    table.read(
        found,
        "allow-invalid-certs",
        &mut tls.allow_invalid_certs,
        value::flag,
    );
    let starttls = table.read(found, "starttls", &mut tls.starttls, value::word(StartTls::ALL));
    if let (Some(at), true) = (starttls, tls.implicit) {
        let text = "no effect: with `implicit` the session has TLS from its first byte";
        found.note(&at, format!("`{}`: {text}", table.full("starttls")));
    }
    table.read_some(found, "ca-file", &mut tls.ca_file, value::path);
    table.read_some(found, "server-name", &mut tls.server_name, host_name);
    let cert = table.read_some(found, "cert-file", &mut tls.cert_file, value::path);
    let key = table.read_some(found, "key-file", &mut tls.key_file, value::path);
    match (cert, key) {
        (Some(at), None) => half(found, &table, at, "cert-file", "key-file"),
        (None, Some(at)) => half(found, &table, at, "key-file", "cert-file"),
        _ => {}
    }
    table.read(
        found,
        "key-exchange",
        &mut tls.key_exchange,
        value::word(KeyExchange::ALL),
    );
    table.finish(found, KEYS);
}

/// Of a certificate and its key only one is there.
fn half(found: &mut Findings, table: &Table<'_>, at: Place, have: &str, lack: &str) {
    let title = format!("`{}` is missing", table.full(lack));
    found.problem(Problem::new(
        title,
        at,
        format!("`{have}` needs `{lack}` beside it"),
    ));
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
