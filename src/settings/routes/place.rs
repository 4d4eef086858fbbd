//! The words of a map: patterns, hosts and ports.

use super::mistake::Mistake;
use crate::address::Domain;
use crate::settings::address::{Addresses, MAX_SERVERS, RemoteAddress};
use crate::settings::host::{split_port, unbracketed};

/// A domain, `.domain` or `*`, in its one form.
pub(super) fn pattern_of(word: &str) -> Option<String> {
    if word == "*" {
        return Some(word.to_owned());
    }
    let (dot, domain) = match word.strip_prefix('.') {
        Some(parent) => (".", parent),
        None => ("", word),
    };
    let domain = Domain::parse(domain).ok()?;
    Some(format!("{dot}{domain}"))
}

/// `HOST`, `HOST:PORT`, `[HOST]` or `[HOST]:PORT`; an IPv6 address with a port stands in brackets.
///
/// # Errors
/// What is wrong with it.
pub(super) fn host_of(word: &str) -> Result<RemoteAddress, Mistake> {
    let (host, port) = split_port(word);
    let host = unbracketed(host);
    // As Postfix writes an address literal.
    let host = match host.get(..5) {
        Some(tag) if tag.eq_ignore_ascii_case("IPv6:") => host.get(5..).unwrap_or_default(),
        _ => host,
    };
    let Ok(RemoteAddress::Host { name, port: None }) = RemoteAddress::parse(host) else {
        return Err(Mistake::Host(word.to_owned()));
    };
    let port = port.map(|port| port_of(port).ok_or_else(|| bad_port(word, port)));
    let port = port.transpose()?;
    Ok(RemoteAddress::Host { name, port })
}

fn bad_port(word: &str, port: &str) -> Mistake {
    if port.bytes().all(|byte| byte.is_ascii_digit()) {
        Mistake::PortRange(word.to_owned())
    } else {
        Mistake::PortWord(word.to_owned())
    }
}

/// A port, by number or by a name that Postfix's configurations have.
fn port_of(word: &str) -> Option<u16> {
    match word {
        "smtp" => Some(25),
        "lmtp" => Some(24),
        "submission" => Some(587),
        "smtps" | "submissions" => Some(465),
        number => number.parse().ok().filter(|port| *port > 0),
    }
}

/// The hosts of a server, in order; `pattern` is what leads to it.
///
/// # Errors
/// There are too many, or one twice.
pub(super) fn hosts_of(pattern: &str, hosts: Vec<RemoteAddress>) -> Result<Addresses, Mistake> {
    let count = hosts.len();
    Addresses::listed(hosts).map_err(|_| {
        if count > MAX_SERVERS {
            Mistake::TooManyHosts(pattern.to_owned(), count)
        } else {
            Mistake::HostTwice(pattern.to_owned())
        }
    })
}
