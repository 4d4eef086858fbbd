//! Sockets of ours: where they are, and what may connect to them.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use toml::de::DeValue;

use super::key::{Item, Shown, Value};
use super::protocol::Protocol;
use super::scalar::{Bound, Scalar, Wrong, filled, quoted, socket_path};
use super::table::{Field, Findings, Place};

/// Where clients connect.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ListenAddress {
    /// A Unix socket: its absolute path, at most 107 bytes (`sun_path`, unix(7)).
    Path(PathBuf),
    /// TCP: loopback only, but for the policy protocol. The port is never 0.
    Tcp(SocketAddr),
    /// A socket that systemd hands over, by its `FileDescriptorName=`.
    Systemd(String),
    /// One that Dovecot hands over to `vouch dovecot-service`; in no file.
    Dovecot,
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => write!(f, "{}", path.display()),
            Self::Tcp(address) => address.fmt(f),
            Self::Systemd(name) => write!(f, "systemd:{name}"),
            Self::Dovecot => f.write_str("of Dovecot"),
        }
    }
}

impl Value for ListenAddress {
    fn read(&mut self, found: &mut Findings, field: &Field<'_>, _: &Bound) {
        match listen_address(field.value, field.context.protocol.unwrap_or(Protocol::Policy)) {
            Ok(address) => *self = address,
            Err(wrong) => field.wrong(found, wrong),
        }
    }

    fn show(&self) -> Shown {
        Shown::Set(quoted(self))
    }
}

/// `socket = absolute-path / "systemd:" name / IP ":" port`
fn listen_address(value: &DeValue<'_>, protocol: Protocol) -> Result<ListenAddress, Wrong> {
    let text = filled(value)?;
    if text.starts_with('/') {
        return socket_path(value).map(ListenAddress::Path);
    }
    if let Some(name) = text.strip_prefix("systemd:") {
        if name.is_empty() || name.contains(':') {
            return Err(
                Wrong::new("has no name for systemd", "must be as in `\"systemd:policy\"`")
                    .help("the name is `FileDescriptorName=` of the socket unit"),
            );
        }
        return Ok(ListenAddress::Systemd(name.to_owned()));
    }
    let address: SocketAddr = text.parse().map_err(|_| {
        Wrong::new(
            "is no socket",
            "neither an absolute path, nor `systemd:NAME`, nor an IP address with port",
        )
        .help("write `\"/run/vouch/policy\"`, `\"systemd:policy\"` or `\"127.0.0.1:10040\"`")
    })?;
    if address.port() == 0 {
        return Err(Wrong::new("cannot have port 0", "a port from 1 to 65535, please"));
    }
    if !address.ip().is_loopback() && !protocol.row().on_networks {
        return Err(Wrong::new(
            "must be on loopback",
            format!("protocol `{protocol}` says too much for a network"),
        )
        .help("write `127.0.0.1` or `[::1]`, or the path of a Unix socket"));
    }
    Ok(ListenAddress::Tcp(address))
}

/// Where the metrics are: `IP ":" port`, or an absolute path.
pub(super) fn address_or_path(value: &DeValue<'_>, _: &Bound) -> Result<ListenAddress, Wrong> {
    let text = filled(value)?;
    if text.starts_with('/') {
        return socket_path(value).map(ListenAddress::Path);
    }
    match text.parse::<SocketAddr>() {
        Ok(address) if address.port() != 0 => Ok(ListenAddress::Tcp(address)),
        Ok(_) => Err(Wrong::new("cannot have port 0", "a port from 1 to 65535, please")),
        Err(_) => Err(Wrong::new(
            "is no address", "neither an IP address with port nor an absolute path",
        )
        .help("write `\"127.0.0.1:9143\"` or `\"/run/vouch/metrics\"`")),
    }
}

/// Permissions of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mode(pub u32);

/// `mode = 3*4("0" … "7")`, permissions only.
impl Scalar for Mode {
    fn parse(value: &DeValue<'_>, _: &Bound) -> Result<Self, Wrong> {
        const EXAMPLE: &str = "octal digits as text: `\"0660\"`";
        let text = value
            .as_str()
            .ok_or_else(|| Wrong::mistyped("a string", value, EXAMPLE))?;
        let digits = matches!(text.len(), 3 | 4) && text.bytes().all(|byte| matches!(byte, b'0'..=b'7'));
        match u32::from_str_radix(text, 8) {
            Ok(mode) if digits && mode <= 0o777 => Ok(Self(mode)),
            _ => Err(
                Wrong::new("is not a file mode", "must be from `\"0000\"` to `\"0777\"`")
                    .help(format!("write {EXAMPLE}")),
            ),
        }
    }

    fn to_toml(&self) -> String {
        quoted(self)
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04o}", self.0)
    }
}

/// A user or group that may connect, by name or number.
#[derive(Debug, Clone, PartialEq, Eq, strum::Display)]
pub enum Peer {
    /// A user: `"postfix"`, `107`.
    #[strum(transparent)]
    User(String),
    /// A group: `"@mail"`, `"@8"`.
    #[strum(to_string = "@{0}")]
    Group(String),
}

const EXAMPLE: &str = "`[\"postfix\", \"root\", \"@mail\", 107]`";

/// `peers = [ *( user / "@" group ) ]`, each a name or a number.
impl Item for Peer {
    fn read_list(list: &mut Vec<Self>, found: &mut Findings, field: &Field<'_>) {
        let Some(items) = field.value.as_array() else {
            return field.wrong(found, Wrong::mistyped("a list", field.value, EXAMPLE));
        };
        if items.is_empty() {
            let wrong = Wrong::new("names nobody", "nobody could connect");
            return field.wrong(
                found,
                wrong.help("omit the key to admit all that the mode admits"),
            );
        }
        let mut places: Vec<Place> = Vec::new();
        for item in items.iter() {
            let peer = match peer(item.get_ref()) {
                Ok(peer) => peer,
                Err(wrong) => {
                    found.problem(field.problem(item.span(), wrong));
                    continue;
                }
            };
            let first = list.iter().position(|known| *known == peer);
            if let Some(first) = first.and_then(|at| places.get(at)) {
                let wrong = Wrong::new(format!("names `{peer}` twice"), "named again here");
                let problem = field.problem(item.span(), wrong);
                found.problem(problem.also(first.clone(), "first named here"));
            } else {
                list.push(peer);
                places.push(item.span());
            }
        }
    }
}

fn peer(value: &DeValue<'_>) -> Result<Peer, Wrong> {
    if value.as_integer().is_some() {
        let number = u32::parse(value, &(0..=u32::MAX - 1).into())?;
        return Ok(Peer::User(number.to_string()));
    }
    if value.as_str().is_none() {
        return Err(Wrong::mistyped("a list of names and numbers", value, EXAMPLE));
    }
    let text = filled(value)?;
    match text.strip_prefix('@') {
        Some("") => Err(Wrong::new(
            "has a group without a name", "`@` stands before a group's name",
        )),
        Some(group) => Ok(Peer::Group(group.to_owned())),
        None if text.starts_with(['%', ':', '+']) => Err(Wrong::new(
            "has a name that no user has", "a group has `@` before its name",
        )),
        None => Ok(Peer::User(text)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes() {
        for (text, read) in [
            ("'0660'", 0o660),
            ("'600'", 0o600),
            ("'0777'", 0o777),
            ("'0000'", 0),
        ] {
            assert_eq!(Mode::parse(&value(text), &Bound::None).unwrap().0, read, "{text}");
        }
        for text in [
            "660", "0o660", "'0o660'", "'0680'", "'66'", "'1777'", "'00660'", "'+660'", "''", "'rw-rw----'",
        ] {
            assert!(Mode::parse(&value(text), &Bound::None).is_err(), "{text}");
        }
    }

    fn value(text: &str) -> DeValue<'_> {
        DeValue::parse(text).unwrap().into_inner()
    }
}
