//! A map in lines of our own: `DOMAIN HOST[:PORT] [HOST[:PORT] …]`.

use super::map::{Builder, Map, Server};
use super::mistake::{Fault, Mistake};
use super::place::{host_of, hosts_of, pattern_of};
use crate::settings::address::RemoteAddress;
use crate::settings::kind::Kind;

/// Reads a map. `#` starts a comment; a domain on a line, `.example.org` for what is below one, `*` for the rest;
/// behind it the hosts, in order.
///
/// # Errors
/// Every line that cannot be used.
pub(super) fn parse(text: &str, kind: Kind) -> Result<Map, Vec<Fault>> {
    let (mut builder, mut faults) = (Builder::default(), Vec::new());
    for (number, line) in (1..).zip(text.lines()) {
        let mut words = line
            .split('#')
            .next()
            .unwrap_or_default()
            .split_ascii_whitespace();
        let Some(pattern) = words.next() else {
            continue;
        };
        let server = server(&builder, pattern, words, kind);
        match server {
            Ok((pattern, server)) => builder.lead(pattern, number, server),
            Err(why) => faults.push(Fault { line: number, why }),
        }
    }
    if faults.is_empty() {
        Ok(builder.finish())
    } else {
        Err(faults)
    }
}

/// The pattern of a line in its one form, and the server that it leads to.
fn server<'w>(
    before: &Builder,
    pattern: &str,
    hosts: impl Iterator<Item = &'w str>,
    kind: Kind,
) -> Result<(String, Server), Mistake> {
    let pattern = pattern_of(pattern).ok_or_else(|| Mistake::Pattern(pattern.to_owned()))?;
    if let Some(first) = before.line_of(&pattern) {
        return Err(Mistake::Twice(pattern, first));
    }
    let hosts = hosts
        .map(|word| host(word, kind))
        .collect::<Result<Vec<_>, _>>()?;
    if hosts.is_empty() {
        return Err(Mistake::NoHost(pattern));
    }
    let hosts = hosts_of(&pattern, hosts)?;
    Ok((
        pattern,
        Server {
            kind: None,
            hosts,
            port: None,
        },
    ))
}

/// A host of ours: a name or an address, with a port or without; of `lmtp`, also the path of a socket.
fn host(word: &str, kind: Kind) -> Result<RemoteAddress, Mistake> {
    if !word.starts_with('/') {
        return host_of(word);
    }
    if kind != Kind::Lmtp {
        return Err(Mistake::Socket(word.to_owned(), kind));
    }
    Ok(RemoteAddress::Socket(word.into()))
}

#[cfg(test)]
mod tests {
    use super::super::map::Route;
    use super::*;
    use crate::address::Domain;

    fn found(text: &str, domain: &str) -> String {
        let map = parse(text, Kind::Lmtp).unwrap();
        match map.find_domain(&Domain::parse(domain).unwrap()) {
            Some(Route::Server(server)) => server.to_string(),
            _ => "-".to_owned(),
        }
    }

    #[test]
    fn a_line_is_a_domain_and_its_hosts() {
        let text = "# ours\n\nExample.ORG mail1.example.net:2424\tMAIL2.example.net # both\n  .example.org [2001:db8::1]:24 192.0.2.1\r\n\
                    b\u{fc}cher.example /run/lmtp\n";
        for (domain, expected) in [
            ("example.org", "mail1.example.net:2424, mail2.example.net"),
            ("a.example.org", "[2001:db8::1]:24, 192.0.2.1"),
            ("xn--bcher-kva.example", "/run/lmtp"),
            ("example.net", "-"),
        ] {
            assert_eq!(found(text, domain), expected, "{domain}");
        }
        assert_eq!(found("* rest.example", "example.net"), "rest.example");
        assert!(parse("", Kind::Smtp).unwrap().is_empty());
    }

    #[test]
    fn every_wrong_line_is_told_with_its_number() {
        let text = "jane@example.org h\na..b h\nexample.org\nexample.net h1\nexample.net h2\nexample.com h:0\n\
                    a.example /run/lmtp\nb.example h:99999\nc.example a/b\nd.example ::1\ne.example [h]\nf.example h h\n";
        let faults: Vec<_> = parse(text, Kind::Smtp)
            .unwrap_err()
            .into_iter()
            .map(|fault| format!("{}: {}", fault.line, fault.why))
            .collect();
        assert_eq!(
            faults,
            [
                "1: `jane@example.org` is neither a domain, nor `.domain`, nor `*`",
                "2: `a..b` is neither a domain, nor `.domain`, nor `*`",
                "3: `example.org` has no host behind it",
                "5: `example.net` stands on line 4 already",
                "6: `h:0`: the port must be 1 to 65535",
                "7: `/run/lmtp`: type `smtp` is reached by TCP",
                "8: `h:99999`: the port must be 1 to 65535",
                "9: `a/b` is neither a host name nor an IP address",
                "12: `f.example`: a host stands there twice",
            ]
        );
    }
}
