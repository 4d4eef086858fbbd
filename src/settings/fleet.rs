//! `[fleet]`: the store in which several edges remember recipients together.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use super::host::{host_name, host_of, is_local, split_port};
use super::key::{Item, keys};
use super::scalar::{INSTANT, SECOND, Wrong, unix_socket};
use super::table::{Field, Findings, strings};

/// The port of a store whose address names none (Redis and Valkey).
const PORT: u16 = 6379;

/// That of a Sentinel.
const SENTINEL_PORT: u16 = 26379;

keys! {
    /// One memory of recipients for many edges: a server that speaks the Redis protocol, such as Valkey or Redis. What one
    /// edge has found the others need not ask. While the store gives no answer, each edge answers as it would alone.
    /// `vouch serve` alone shares.
    pub struct Fleet(store: Vec<StoreAddress>, key_file: PathBuf) {
        /// Where the store is: `unix:PATH`, `tls://HOST:PORT`, or `tcp://HOST:PORT` on this machine; or
        /// `sentinel:NAME@HOST:PORT,HOST:PORT`, the Sentinels that name its primary: TLS goes to each of them and to the
        /// primary, but for those at a loopback address of this machine, and with `sentinel+tls:` to these as well. In a list
        /// of several, each recipient has its place in one of them: name them on every edge in the same words.
        "store" store: Vec<StoreAddress> = store,
            required "an address such as `\"unix:/run/redis/redis.sock\"` or `\"tls://store.example.org:6380\"`",
            example "[\"unix:/run/redis/redis.sock\"]", hint "or tls://HOST:PORT, or sentinel:NAME@HOST,HOST; a list: recipients are spread over it";
        /// Absolute path of the file with the key of the fleet, the same on every edge, which `vouch fleet key` makes. The
        /// store sees no address, but marks under this key.
        "key-file" key_file: PathBuf = key_file,
            required "the path of the file that `vouch fleet key` has made", example "\"/etc/vouch/fleet.key\"";
        /// The user of the store's access list, and of that of Sentinels that want one.
        "user" user: Option<String> = None,
            unset "the store's default user", example "\"vouch\"";
        /// Absolute path of a file with that user's password, in one line.
        "password-file" password_file: Option<PathBuf> = None,
            unset "none: the store asks for no password", example "\"/etc/vouch/fleet.password\"";
        /// Absolute path of a PEM file with the authority that has signed the certificates of stores and Sentinels, besides
        /// those of the system.
        "ca-file" ca_file: Option<PathBuf> = None,
            unset "the system's authorities", example "\"/etc/vouch/fleet-ca.pem\"";
        /// The name that the certificates of stores and Sentinels must have, whatever their addresses. Sentinels name a
        /// primary by its IP address, unless their `resolve-hostnames` is on.
        "server-name" server_name: Option<String> = None,
            parse |value, _| host_name(value).map(Some), unset "the host of the address; of a primary, what its Sentinels call it",
            example "\"store.example.org\"";
        /// How long a question waits for the store, at most.
        // Bound (cache, fleet.patience): look-up in the store of the fleet. Beyond: the remote is asked. Why: a store in the
        // same building answers in less than one; a slow one must not slow mail down.
        "patience" patience: Duration = 5 * INSTANT, within INSTANT..=SECOND,
            hint "of a look-up in the store; then as if there were none";
    }
}

/// Bound (cache): stores of a fleet. Beyond: they are refused at the start. Why: each has a connection of every edge, and far
/// fewer hold the recipients of the whole internet.
const STORES: usize = 64;

/// Bound (cache): Sentinels of one store. Beyond: they are refused at the start. Why: each that is silent takes a part of the
/// time that a connection has; three or five are usual.
const SENTINELS: usize = 8;

impl Fleet {
    /// The files that it names.
    pub fn files(&self) -> impl Iterator<Item = &PathBuf> {
        let files = [
            Some(&self.key_file),
            self.password_file.as_ref(),
            self.ca_file.as_ref(),
        ];
        files.into_iter().flatten()
    }
}

/// Where a store is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum StoreAddress {
    /// A Unix socket: its absolute path.
    Unix(PathBuf),
    /// A host, and whether TLS protects the way to it.
    Tcp {
        /// A domain name, or an IP address without brackets.
        host: String,
        /// Its port.
        port: u16,
        /// From the first byte on.
        tls: bool,
    },
    /// The primary that Sentinels name.
    Sentinel(Sentinels),
}

/// The Sentinels of a primary.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Sentinels {
    /// What they call it.
    pub name: String,
    /// The host and the port of each.
    pub each: Vec<(String, u16)>,
    /// TLS on this machine as well.
    pub tls_here: bool,
}

/// A host, in brackets where it has colons, and a port.
pub(crate) struct HostPort<'a>(pub(crate) &'a str, pub(crate) u16);

impl fmt::Display for HostPort<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self(host, port) if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self(host, port) => write!(f, "{host}:{port}"),
        }
    }
}

impl fmt::Display for StoreAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Tcp { host, port, tls } => {
                let scheme = if *tls { "tls" } else { "tcp" };
                write!(f, "{scheme}://{}", HostPort(host, *port))
            }
            Self::Sentinel(Sentinels { name, each, tls_here }) => {
                let scheme = if *tls_here { "sentinel+tls" } else { "sentinel" };
                write!(f, "{scheme}:{name}")?;
                each.iter().enumerate().try_for_each(|(place, (host, port))| {
                    let before = if place == 0 { '@' } else { ',' };
                    write!(f, "{before}{}", HostPort(host, *port))
                })
            }
        }
    }
}

impl StoreAddress {
    /// `address = "unix:" path / ("tls" / "tcp") "://" host [":" port] / "sentinel" ["+tls"] ":" name "@" host [":" port]
    /// *("," host [":" port])`
    fn parse(text: &str) -> Result<Self, Wrong> {
        if let Some(path) = text.strip_prefix("unix:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            if !path.starts_with('/') {
                return Err(
                    Wrong::new("is not a path", "`unix:` is followed by an absolute path")
                        .help("write it as in `\"unix:/run/redis/redis.sock\"`"),
                );
            }
            return unix_socket(path.into()).map(Self::Unix);
        }
        for (scheme, tls_here) in [("sentinel:", false), ("sentinel+tls:", true)] {
            if let Some(rest) = text.strip_prefix(scheme) {
                return Sentinels::parse(rest, tls_here).map(Self::Sentinel);
            }
        }
        let (rest, tls) = match text.split_once("://") {
            Some(("tls" | "rediss", rest)) => (rest, true),
            Some(("tcp" | "redis", rest)) => (rest, false),
            _ => {
                let help = "write `\"unix:/PATH\"`, `\"tls://HOST:PORT\"`, `\"sentinel:NAME@HOST,HOST\"`, or on this machine \
                            `\"tcp://127.0.0.1:PORT\"`";
                return Err(Wrong::new("is not an address of a store", "no known scheme").help(help));
            }
        };
        let wrong = || {
            Wrong::new("is not an address of a store", "not a host with a port").help(
                "write it as in `\"tls://store.example.org:6380\"`; user and password have keys of their own",
            )
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (host, port) = host_and_port(rest, PORT).ok_or_else(wrong)?;
        let address = Self::Tcp { host, port, tls };
        if tls || address.is_local() {
            return Ok(address);
        }
        let label = "everybody on the way to it could read the password, and change what the edges are told";
        Err(Wrong::new("has no TLS", label).help(format!(
            "write `\"{}\"`",
            text.replacen("tcp", "tls", 1).replacen("redis:", "tls:", 1)
        )))
    }

    /// Whether data sent there stays on this machine. Of a primary nobody knows that before.
    fn is_local(&self) -> bool {
        match self {
            Self::Unix(_) => true,
            Self::Tcp { host, .. } => is_local(host),
            Self::Sentinel(_) => false,
        }
    }

    /// Whether a certificate may be needed there.
    pub fn may_have_tls(&self) -> bool {
        matches!(self, Self::Tcp { tls: true, .. } | Self::Sentinel(_))
    }
}

impl Sentinels {
    /// What stands behind the scheme. A name is of the characters that Sentinels take.
    fn parse(text: &str, tls_here: bool) -> Result<Self, Wrong> {
        let wrong = |label: String| {
            Wrong::new("names no Sentinels", label).help(
                "write it as in `\"sentinel:mymaster@sentinel1.example.org,sentinel2.example.org:26379\"`",
            )
        };
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
        let (name, hosts) = text.split_once('@').unwrap_or_default();
        if name.is_empty() || !name.bytes().all(plain) {
            return Err(wrong(
                "the name of the primary, `@` and hosts are wanted".to_owned(),
            ));
        }
        let mut each = Vec::new();
        for host in hosts.split(',') {
            match host_and_port(host, SENTINEL_PORT) {
                Some(host) if each.contains(&host) => {
                    return Err(wrong(format!("`{}` is there twice", HostPort(&host.0, host.1))));
                }
                Some(host) => each.push(host),
                None => return Err(wrong("not a host, or no port behind it".to_owned())),
            }
        }
        if each.len() > SENTINELS {
            return Err(wrong(format!("{} Sentinels, of at most {SENTINELS}", each.len())));
        }
        let name = name.to_owned();
        Ok(Self { name, each, tls_here })
    }
}

/// A host, and the port behind it, or this one.
fn host_and_port(text: &str, port: u16) -> Option<(String, u16)> {
    let (host, given) = split_port(text);
    let port = match given {
        Some(given) => given.parse().ok().filter(|port| *port != 0)?,
        None => port,
    };
    Some((host_of(host).ok()?, port))
}

impl Item for StoreAddress {
    fn read_list(list: &mut Vec<Self>, found: &mut Findings, field: &Field<'_>) {
        list.clear();
        for (text, place) in strings(found, field, "`[\"unix:/run/redis/redis.sock\"]`", true) {
            match Self::parse(&text) {
                Ok(address) if list.contains(&address) => {
                    let wrong = Wrong::new("names a store twice", "given before");
                    found.problem(field.problem(place, wrong));
                }
                Ok(address) => list.push(address),
                Err(wrong) => found.problem(field.problem(place, wrong)),
            }
        }
        let wrong = match list.len() {
            // What is wrong with each was said already.
            0 if found.problems.is_empty() => Wrong::new("is empty", "no store"),
            many if many > STORES => Wrong::new("is too long", format!("{many} stores, of at most {STORES}")),
            _ => return,
        };
        field.wrong(found, wrong);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_stores() {
        for (text, shown) in [
            ("unix:/run/redis.sock", "unix:/run/redis.sock"),
            ("unix:///run/redis.sock", "unix:/run/redis.sock"),
            ("tls://Store.example.org", "tls://store.example.org:6379"),
            ("rediss://store.example.org:6380/", "tls://store.example.org:6380"),
            ("tcp://127.0.0.1:6379", "tcp://127.0.0.1:6379"),
            ("tcp://[::1]:1", "tcp://[::1]:1"),
            ("tcp://::1", "tcp://[::1]:6379"),
            ("redis://localhost", "tcp://localhost:6379"),
            ("tls://192.0.2.1:1", "tls://192.0.2.1:1"),
            ("tls://redis_1", "tls://redis_1:6379"),
            ("sentinel:a@S1,s2:7", "sentinel:a@s1:26379,s2:7"),
            (
                "sentinel+tls:My.master-1@::1,[::2]:7", "sentinel+tls:My.master-1@[::1]:26379,[::2]:7",
            ),
        ] {
            assert_eq!(StoreAddress::parse(text).unwrap().to_string(), shown, "{text}");
        }
        for text in [
            "", "/run/redis.sock", "unix:run/redis.sock", "tls://", "tls://a b", "tls://h:0", "tls://h:x",
            "tls://u:p@h:1", "http://h", "tcp://store.example.org", "redis://192.0.2.1:6379", "sentinel:a",
            "sentinel:@b", "sentinel:a@", "sentinel:a@b,", "sentinel:a@b,b:26379", "sentinel:a b@c",
            "sentinel:a@b@c", "sentinel:a@b:0", "sentinel://a@b",
        ] {
            assert!(StoreAddress::parse(text).is_err(), "{text}");
        }
        let long = format!("unix:/{}", "x".repeat(200));
        assert!(StoreAddress::parse(&long).is_err());
    }

    // Fills SENTINELS.
    #[test]
    fn a_store_has_so_many_sentinels() {
        let parsed = |many: usize| {
            let each: Vec<_> = (0..many).map(|number| format!("s{number}")).collect();
            StoreAddress::parse(&format!("sentinel:a@{}", each.join(",")))
        };
        assert!(parsed(SENTINELS).is_ok() && parsed(SENTINELS + 1).is_err());
    }

    // Fills STORES.
    #[test]
    fn a_fleet_has_so_many_stores_and_each_once() {
        let problems = |stores: usize| {
            let stores: Vec<_> = (1..=stores).map(|port| format!("'tcp://[::1]:{port}'")).collect();
            let text = format!("store = [{}]\nkey-file = '/k'\n", stores.join(","));
            let document = toml::de::DeTable::parse(&text).unwrap();
            let (mut found, mut fleet) = (Findings::default(), Fleet::new(Vec::new(), PathBuf::new()));
            let mut table = crate::settings::table::Table::new("fleet", 0..0, document.get_ref());
            crate::settings::key::Keys::read_keys(&mut fleet, &mut found, &mut table);
            found.problems.len()
        };
        assert_eq!((problems(STORES), problems(STORES + 1), problems(0)), (0, 1, 1));
    }
}
