//! The host that a request is for, by its `Host` field: a foreign page in a browser on this machine must not read what is
//! served at a loopback address under its own name (DNS rebinding).

use std::net::{IpAddr, Ipv6Addr};

use hyper::Request;
use hyper::header::HOST;
use hyper::http::uri::Authority;
use nix::unistd::gethostname;

/// Whether every host that the request names is this machine: a loopback address, `localhost`, or the host's own name. A
/// browser names one always; a request without any is of none.
pub(super) fn is_ours<B>(request: &Request<B>) -> bool {
    let fields = request.headers().get_all(HOST).iter();
    let fields = fields.map(|value| value.to_str().ok().and_then(|text| text.parse().ok()));
    // An absolute form of the target comes before the field (RFC 9112 section 3.2.2).
    let target = request.uri().authority().cloned().map(Some);
    let own = own_names();
    target
        .into_iter()
        .chain(fields)
        .all(|authority: Option<Authority>| authority.is_some_and(|it| names_us(it.host(), &own)))
}

fn names_us(host: &str, own: &[String]) -> bool {
    let literal = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    if let Ok(address) = literal.unwrap_or(host).parse() {
        return match address {
            IpAddr::V4(address) => address.is_loopback(),
            IpAddr::V6(address) => is_loopback(address),
        };
    }
    let host = host.strip_suffix('.').unwrap_or(host);
    host.eq_ignore_ascii_case("localhost") || own.iter().any(|own| host.eq_ignore_ascii_case(own))
}

fn is_loopback(address: Ipv6Addr) -> bool {
    let mapped = address.to_ipv4_mapped();
    mapped.map_or_else(|| address.is_loopback(), |address| address.is_loopback())
}

/// The name that this host has. The resolver is not asked.
pub(super) fn name() -> Option<String> {
    let name = gethostname().ok().and_then(|name| name.into_string().ok());
    name.filter(|name| !name.is_empty())
}

/// The host's name, and its first label. The resolver is what a rebinding speaks through.
fn own_names() -> Vec<String> {
    let Some(name) = name() else {
        return Vec::new();
    };
    let first = name.split('.').next().unwrap_or_default().to_owned();
    vec![name, first]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(target: &str, hosts: &[&str]) -> Request<()> {
        let mut request = Request::builder().uri(target);
        for host in hosts {
            request = request.header(HOST, *host);
        }
        request.body(()).unwrap()
    }

    #[test]
    fn this_machine_is_named_by_loopback_addresses_and_its_own_names() {
        let own = ["mx1.example.org".to_owned(), "mx1".to_owned()];
        for host in [
            "127.0.0.1", "127.8.9.10", "[::1]", "[::ffff:127.0.0.1]", "localhost", "LocalHost.", "mx1",
            "MX1.example.org",
        ] {
            assert!(names_us(host, &own), "{host}");
        }
        for host in [
            "", "192.0.2.1", "0.0.0.0", "[::]", "[2001:db8::1]", "evil.example", "localhost.evil.example",
            "mx1.evil.example", "127.0.0.1.evil.example", "2130706433", "mx2",
        ] {
            assert!(!names_us(host, &own), "{host}");
        }
        assert!(names_us(&own_names()[0], &own_names()));
    }

    #[test]
    fn each_name_that_a_request_has_counts() {
        for (target, hosts) in [
            ("/", &["localhost:9143"][..]),
            ("/metrics", &["127.0.0.1"]),
            ("/", &["[::1]:9143"]),
            ("/", &[]),
            ("http://127.0.0.1:9143/", &["localhost"]),
        ] {
            assert!(is_ours(&request(target, hosts)), "{target} {hosts:?}");
        }
        for (target, hosts) in [
            ("/", &["evil.example:9143"][..]),
            ("/", &["localhost", "evil.example"]),
            ("/", &["not a host"]),
            ("/", &[""]),
            ("http://evil.example:9143/", &["localhost"]),
        ] {
            assert!(!is_ours(&request(target, hosts)), "{target} {hosts:?}");
        }
    }
}
