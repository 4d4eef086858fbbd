//! The text of Postfix's transport(5) table, as it is given to postmap(1).
//!
//! What vouch can ask are servers of SMTP and LMTP. A line with any other transport keeps its domain: Postfix has
//! its mail go a way on which no server is asked for a recipient, and neither `.parent` nor `*` would be right.

use std::borrow::Cow;
use std::net::IpAddr;

use super::map::{Builder, Map, Server};
use super::mistake::{Fault, Mistake, shown};
use super::place::{host_of, hosts_of, pattern_of};
use crate::address::{Address, Domain};
use crate::settings::address::{Addresses, RemoteAddress};
use crate::settings::kind::Kind;

/// Where a relative path of a socket begins: Postfix's `queue_directory`, which its services may be confined to.
const QUEUE_DIRECTORY: &str = "/var/spool/postfix";

/// Reads a table.
///
/// # Errors
/// Every line that cannot be used.
pub(super) fn parse(text: &str) -> Result<Map, Vec<Fault>> {
    let (mut builder, mut faults) = (Builder::default(), Vec::new());
    for (number, line) in logical_lines(text) {
        if let Err(why) = read(&mut builder, number, &line) {
            faults.push(Fault { line: number, why });
        }
    }
    if faults.is_empty() {
        Ok(builder.finish())
    } else {
        Err(faults)
    }
}

/// Lines without comments, each with the number of its first one; what begins with white space goes on with the line
/// before, across comments and empty lines (Postfix `src/util/readlline.c`).
fn logical_lines(text: &str) -> Vec<(usize, Cow<'_, str>)> {
    let mut lines: Vec<(usize, Cow<'_, str>)> = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let trimmed = line.trim_ascii();
        if trimmed.is_empty() || trimmed.starts_with('#') {
            continue;
        }
        match lines.last_mut() {
            Some((_, last)) if line.starts_with(|first: char| first.is_ascii_whitespace()) => {
                let whole = last.to_mut();
                whole.push(' ');
                whole.push_str(trimmed);
            }
            // postmap takes the first line so, whatever it begins with.
            _ => lines.push((number, trimmed.into())),
        }
    }
    lines
}

/// Reads one logical line.
fn read(builder: &mut Builder, number: usize, line: &str) -> Result<(), Mistake> {
    let (key, value) = split_key(line)?;
    if value.is_empty() {
        return Err(Mistake::NoTransport(key.into_owned()));
    }
    if key.starts_with('/') || key.starts_with('!') || key == "if" || key == "endif" {
        return Err(Mistake::Regexp(key.into_owned()));
    }
    let Some(pattern) = pattern(&key) else {
        builder.pass_over(
            number,
            key.into_owned(),
            "no recipient in a domain matches it".to_owned(),
        );
        return Ok(());
    };
    if let Some(first) = builder.line_of(&pattern) {
        let why = format!("given on line {first} already, which Postfix uses");
        builder.pass_over(number, pattern, why);
        return Ok(());
    }
    let (transport, nexthop) = value.split_once(':').unwrap_or((value, ""));
    let kind = match transport {
        // It names no transport: Postfix takes that of the domain's class, which for a server elsewhere is SMTP.
        "smtp" | "relay" | "" => Kind::Smtp,
        "lmtp" => Kind::Lmtp,
        other => {
            builder.keep(pattern, number, &format!("{}:", shown(other)), false);
            return Ok(());
        }
    };
    let words = nexthop.split(|c: char| c == ',' || c.is_ascii_whitespace());
    let words: Vec<_> = words.filter(|word| !word.is_empty()).collect();
    let found = match words[..] {
        [] if transport.is_empty() => {
            // "Do not change": it may be local as well as elsewhere.
            builder.keep(pattern, number, ":", false);
            return Ok(());
        }
        [] if kind == Kind::Lmtp => Err("lmtp: with no next hop".to_owned()),
        [] => own_mx(&pattern).ok_or_else(|| format!("{transport}: with no next hop (each domain's own MX)")),
        [one] => next_hop(one, kind, &pattern).map(Ok)?,
        _ => listed(&words, kind, &pattern)?
            .map(|hosts| (hosts, None))
            .ok_or_else(|| format!("{transport}: with several next hops, one by its MX")),
    };
    match found {
        Ok((hosts, port)) => {
            let kind = Some(kind);
            builder.lead(pattern, number, Server { kind, hosts, port });
        }
        Err(way) => builder.keep(pattern, number, &way, kind == Kind::Smtp),
    }
    Ok(())
}

/// The MX of the domain that a pattern names. What is below a domain, or the rest, may be anybody's: none of these is
/// called.
fn own_mx(pattern: &str) -> Option<(Addresses, Option<u16>)> {
    let domain = pattern.rsplit_once('@').map_or(pattern, |(_, domain)| domain);
    Some((Addresses::Mx(Domain::parse(domain).ok()?), None))
}

/// A single next hop, with a port where DNS names its hosts: of a name without brackets, the MX is meant.
fn next_hop(word: &str, kind: Kind, pattern: &str) -> Result<(Addresses, Option<u16>), Mistake> {
    if let Some(hosts) = listed(&[word], kind, pattern)? {
        return Ok((hosts, None));
    }
    let wrong = || Mistake::Host(word.to_owned());
    let RemoteAddress::Host { name, port } = host_of(word)? else {
        return Err(wrong());
    };
    Ok((Addresses::Mx(Domain::parse(&name).map_err(|_| wrong())?), port))
}

/// Hosts by name; `None` where one of them names a domain whose MX is meant.
fn listed(words: &[&str], kind: Kind, pattern: &str) -> Result<Option<Addresses>, Mistake> {
    let hosts = words.iter().map(|word| host(word, kind));
    match hosts.collect::<Result<Option<Vec<_>>, _>>()? {
        Some(hosts) => hosts_of(pattern, hosts).map(Some),
        None => Ok(None),
    }
}

/// The key of a line, which may stand in double quotes, and the value (Postfix `src/postmap/postmap.c`).
fn split_key(line: &str) -> Result<(Cow<'_, str>, &str), Mistake> {
    let Some(quoted) = line.strip_prefix('"') else {
        let end = line.find(|c: char| c.is_ascii_whitespace()).unwrap_or(line.len());
        let (key, value) = line.split_at(end);
        return Ok((key.into(), value.trim_ascii()));
    };
    let mut key = String::new();
    let mut rest = quoted.char_indices();
    while let Some((at, c)) = rest.next() {
        match c {
            '"' => return Ok((key.into(), quoted[at + 1..].trim_ascii())),
            '\\' => key.extend(rest.next().map(|(_, c)| c)),
            c => key.push(c),
        }
    }
    Err(Mistake::Quote(line.to_owned()))
}

/// A pattern in its one form; `None` where no recipient in a domain ever matches it.
fn pattern(key: &str) -> Option<String> {
    let Some((local, domain)) = key.rsplit_once('@') else {
        return pattern_of(key);
    };
    let address = Address::from_unquoted(key.as_bytes()).ok()?;
    let domain = (!domain.is_empty() && !local.is_empty()).then(|| address.domain())?;
    Some(format!("{}@{domain}", local.to_ascii_lowercase()))
}

/// A next hop; `None` where it names a domain whose MX is meant.
fn host(word: &str, kind: Kind) -> Result<Option<RemoteAddress>, Mistake> {
    if kind == Kind::Lmtp {
        if let Some(path) = word.strip_prefix("unix:") {
            let path = std::path::Path::new(QUEUE_DIRECTORY).join(path);
            return Ok(Some(RemoteAddress::Socket(path)));
        }
        return host_of(word.strip_prefix("inet:").unwrap_or(word)).map(Some);
    }
    let host = host_of(word)?;
    let is_address = host.host().is_some_and(|name| name.parse::<IpAddr>().is_ok());
    Ok((word.starts_with('[') || is_address).then_some(host))
}

#[cfg(test)]
mod tests;
