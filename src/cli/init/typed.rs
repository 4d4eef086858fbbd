//! What is typed, or given as an option: read as the configuration will read it.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use crate::address::{Domain, DomainError};
use crate::config::{Config, read};
use crate::settings::address::RemoteAddress;

/// What an answer is not.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Mistyped {
    #[error("neither a host name nor an IP address nor (lmtp) the absolute path of a socket")]
    Host,
    #[error("neither a host name nor an IP address")]
    Name,
    #[error("{0}: {1}")]
    Domain(String, DomainError),
    #[error("a number from 1 to 65535, please")]
    Port,
    #[error("{0} is no file; enter none if there is none")]
    File(String),
}

/// A host name, an IP address or an absolute path, as the configuration takes them.
pub(super) fn host(text: &str) -> Result<String, Mistyped> {
    let quoted = crate::settings::scalar::quoted(text);
    let sample = format!("[directory.sample]\ntype = \"lmtp\"\naddress = {quoted}\n");
    // A port has an option of its own.
    let has_port = |config: &Config| {
        let mut servers = config
            .directory
            .iter()
            .flat_map(|directory| directory.address.servers());
        servers.any(|server| matches!(server, RemoteAddress::Host { port: Some(_), .. }))
    };
    match read::parse(Path::new("sample"), &sample) {
        Ok((config, _)) if !has_port(&config) && !text.chars().any(char::is_control) => Ok(text.to_owned()),
        _ => Err(Mistyped::Host),
    }
}

/// The name in a certificate.
pub(super) fn name(text: &str) -> Result<String, Mistyped> {
    let is_name = text.parse::<IpAddr>().is_ok() || Domain::parse(text).is_ok();
    is_name.then(|| text.to_owned()).ok_or(Mistyped::Name)
}

/// A domain, in its one form.
pub(super) fn domain(text: &str) -> Result<String, Mistyped> {
    let domain = Domain::parse(text).map_err(|error| Mistyped::Domain(text.to_owned(), error))?;
    Ok(domain.to_string())
}

pub(super) fn port(text: &str) -> Result<u16, Mistyped> {
    let port = text.parse().ok().filter(|port| *port != 0);
    port.ok_or(Mistyped::Port)
}

/// The path of a file that is there, or none.
pub(super) fn ca_file(text: &str) -> Result<Option<PathBuf>, Mistyped> {
    let path = Path::new(text);
    match text {
        "none" => Ok(None),
        _ if path.is_file() => Ok(Some(path.to_owned())),
        _ => Err(Mistyped::File(text.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_typed_is_held_to_what_a_configuration_takes() {
        for good in ["mail.example.org", "192.0.2.7", "::1", "/run/dovecot/lmtp"] {
            assert_eq!(host(good).as_deref(), Ok(good));
        }
        for bad in [
            "", "a b", "mail.example.org:25", "run/lmtp", "a\"b", "a\nport = 1", "/run/a\n[b]",
        ] {
            assert!(host(bad).is_err(), "{bad:?}");
        }
        assert_eq!(
            domain("B\u{fc}cher.Example").as_deref(),
            Ok("xn--bcher-kva.example")
        );
        for bad in ["", "[192.0.2.7]", "a@b"] {
            assert!(domain(bad).is_err(), "{bad}");
        }
        assert_eq!((port("25"), port("65535")), (Ok(25), Ok(65535)));
        for bad in ["", "0", "65536", "smtp"] {
            assert!(port(bad).is_err(), "{bad}");
        }
    }
}
