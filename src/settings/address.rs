//! Where a directory's servers are.

use std::fmt;
use std::path::PathBuf;

use toml::de::DeValue;

use super::host::{host_of, is_local, split_port};
use super::key::{Shown, Value, array};
use super::kind::Kind;
use super::scalar::{Bound, Wrong, filled, quoted, socket_path};
use super::table::{Field, Findings, Place, strings};
use crate::address::Domain;

/// Bound (sessions): servers of one directory. Beyond: a list in the configuration is refused. Why: each that hangs takes
/// a part of the time that an answer has.
pub const MAX_SERVERS: usize = 8;

/// One server.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum RemoteAddress {
    /// A port of a host.
    Host {
        /// A domain name (A-labels) or an IP address, without brackets.
        name: String,
        /// Its own port, where it has one; else that of `port`.
        port: Option<u16>,
    },
    /// A Unix socket: its absolute path.
    Socket(PathBuf),
}

impl RemoteAddress {
    /// Reads `HOST`, `HOST:PORT`, `[IPV6]:PORT`, or the path of a socket.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, Wrong> {
        if text.starts_with('/') {
            return socket_path(&DeValue::String(text.into())).map(Self::Socket);
        }
        // A path that is not absolute is no host with a bad port.
        let (host, port) = if text.contains('/') {
            (text, None)
        } else {
            split_port(text)
        };
        let port = port.map(|port| {
            let digits = port.bytes().all(|byte| byte.is_ascii_digit());
            let number = port.parse().ok().filter(|port| *port > 0 && digits);
            number.ok_or_else(|| {
                Wrong::new("has no usable port", "a port is a number from 1 to 65535")
                    .help("write it as in `\"mail.example.org:2525\"` or `\"[2001:db8::1]:2525\"`")
            })
        });
        Ok(Self::Host {
            name: host_of(host)?,
            port: port.transpose()?,
        })
    }

    /// Whether data sent there stays on this machine: a Unix socket, a loopback address, or `localhost`.
    pub fn is_local(&self) -> bool {
        match self {
            Self::Socket(_) => true,
            Self::Host { name, .. } => is_local(name),
        }
    }

    /// The host's name or IP address.
    pub fn host(&self) -> Option<&str> {
        match self {
            Self::Socket(_) => None,
            Self::Host { name, .. } => Some(name),
        }
    }

    /// Where it is reached, with `port` if it has none of its own: `HOST:PORT`, or the path of a socket.
    pub fn endpoint(&self, port: Option<u16>) -> String {
        match self {
            Self::Socket(path) => path.display().to_string(),
            Self::Host { name, port: own } => match own.or(port) {
                Some(port) if name.contains(':') => format!("[{name}]:{port}"),
                Some(port) => format!("{name}:{port}"),
                None => name.clone(),
            },
        }
    }
}

/// As the file writes it.
impl fmt::Display for RemoteAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.endpoint(None))
    }
}

/// Where a directory's servers are.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Addresses {
    /// These, in the order in which they are tried. [`Self::listed`] makes it: one at least, [`MAX_SERVERS`] at most.
    Listed(Vec<RemoteAddress>),
    /// Those in the MX records of a domain: for recipients alone.
    Mx(Domain),
    /// Those in the SRV records of a name.
    Srv(Service),
}

/// The name of SRV records.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Service {
    /// `_submission._tcp`
    pub service: String,
    /// The domain that offers it, whose name is in the servers' certificates (RFC 6186 section 6).
    pub domain: Domain,
}

impl Service {
    /// Reads `_submission._tcp.example.org`.
    fn parse(text: &str) -> Option<Self> {
        let (service, rest) = text.split_once('.')?;
        let (protocol, domain) = rest.split_once('.')?;
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        let name = service.strip_prefix('_')?;
        let fits = !name.is_empty() && name.bytes().all(plain) && protocol.eq_ignore_ascii_case("_tcp");
        let domain = Domain::parse(domain).ok().filter(|_| fits)?;
        Some(Self {
            service: format!("{}._tcp", service.to_ascii_lowercase()),
            domain,
        })
    }

    /// What it must be used with: the type of directory, and TLS from the first byte (RFC 6186, RFC 8314). Nothing of a
    /// service that is not registered.
    fn of(&self) -> Option<(Kind, bool)> {
        match &*self.service {
            "_imap._tcp" => Some((Kind::Imap, false)),
            "_imaps._tcp" => Some((Kind::Imap, true)),
            "_submission._tcp" => Some((Kind::Smtp, false)),
            "_submissions._tcp" => Some((Kind::Smtp, true)),
            "_lmtp._tcp" => Some((Kind::Lmtp, false)),
            _ => None,
        }
    }

    /// Why a directory of this type, with TLS from the first byte or not, cannot use it.
    pub(crate) fn contradicts(&self, kind: Kind, implicit_tls: bool) -> Option<String> {
        let (wanted, implicit) = self.of()?;
        let service = &self.service;
        if wanted != kind {
            return Some(format!("`{service}` is for type `{wanted}`"));
        }
        (implicit != implicit_tls).then(|| format!("`{service}` is for `tls.implicit = {implicit}`"))
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.service, self.domain)
    }
}

impl Addresses {
    /// A list of servers.
    ///
    /// # Errors
    /// There are none, too many, or one twice.
    pub fn listed(servers: Vec<RemoteAddress>) -> Result<Self, Wrong> {
        if servers.is_empty() {
            return Err(Wrong::new("is empty", "no server")
                .help("give a host name, an IP address, or a list of them"));
        }
        if servers.len() > MAX_SERVERS {
            let label = format!("{} servers, of at most {MAX_SERVERS}", servers.len());
            return Err(Wrong::new("is too long", label)
                .help("each server that hangs takes a part of the time that an answer has"));
        }
        if let Some(twice) = twice(&servers) {
            return Err(Wrong::new(
                "names a server twice",
                format!("`{}` is there already", servers[twice]),
            ));
        }
        Ok(Self::Listed(servers))
    }

    /// A server without a name, for the keys of a directory that is never asked.
    pub fn nowhere() -> Self {
        let nowhere = RemoteAddress::Host {
            name: String::new(),
            port: None,
        };
        nowhere.into()
    }

    /// Whether it is none of a server.
    fn is_nowhere(&self) -> bool {
        matches!(self.servers(), [RemoteAddress::Host { name, .. }] if name.is_empty())
    }

    /// Reads `mx:DOMAIN` or `srv:_SERVICE._tcp.DOMAIN`; `None` for a text that begins otherwise.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn from_dns(text: &str) -> Option<Result<Self, Wrong>> {
        if let Some(domain) = text.strip_prefix("mx:") {
            let domain = Domain::parse(domain).map(Self::Mx);
            return Some(domain.map_err(|_| {
                Wrong::new("has no domain behind `mx:`", "not a domain name")
                    .help("write it as in `\"mx:example.org\"`")
            }));
        }
        let service = Service::parse(text.strip_prefix("srv:")?).map(Self::Srv);
        Some(service.ok_or_else(|| {
            Wrong::new(
                "has no service behind `srv:`", "a service, `_tcp` and a domain are wanted",
            )
            .help("write it as in `\"srv:_submission._tcp.example.org\"`")
        }))
    }

    /// The servers, in the order of the list; none where DNS names them.
    pub fn servers(&self) -> &[RemoteAddress] {
        match self {
            Self::Listed(servers) => servers,
            Self::Mx(_) | Self::Srv(_) => &[],
        }
    }

    /// The only server, where there is one.
    pub fn only(&self) -> Option<&RemoteAddress> {
        match self.servers() {
            [only] => Some(only),
            _ => None,
        }
    }

    /// Whether all are Unix sockets.
    pub fn are_sockets(&self) -> bool {
        let servers = self.servers();
        !servers.is_empty() && servers.iter().all(|one| matches!(one, RemoteAddress::Socket(_)))
    }

    /// Whether one of them is reached at `port`.
    pub fn take_port(&self) -> bool {
        let takes = |one: &RemoteAddress| matches!(one, RemoteAddress::Host { port: None, .. });
        matches!(self, Self::Mx(_)) || self.servers().iter().any(takes)
    }

    /// Where each is reached, with `port` where it has none of its own.
    pub fn endpoints(&self, port: Option<u16>) -> Vec<String> {
        match (self, port) {
            (Self::Listed(servers), _) => servers.iter().map(|server| server.endpoint(port)).collect(),
            (Self::Mx(domain), Some(port)) => vec![format!("mx:{domain}:{port}")],
            (Self::Mx(_) | Self::Srv(_), _) => vec![self.to_string()],
        }
    }

    /// The port there that the file need not name.
    pub(crate) fn port(&self, kind: Kind, implicit_tls: bool) -> Option<u16> {
        self.take_port().then(|| kind.default_port(implicit_tls))
    }
}

/// The first that was there before.
fn twice(servers: &[RemoteAddress]) -> Option<usize> {
    (1..servers.len()).find(|at| servers[..*at].contains(&servers[*at]))
}

/// In one line.
impl fmt::Display for Addresses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Listed(servers) => {
                let servers: Vec<_> = servers.iter().map(ToString::to_string).collect();
                f.write_str(&servers.join(", "))
            }
            Self::Mx(domain) => write!(f, "mx:{domain}"),
            Self::Srv(service) => write!(f, "srv:{service}"),
        }
    }
}

/// One server.
impl From<RemoteAddress> for Addresses {
    fn from(server: RemoteAddress) -> Self {
        Self::Listed(vec![server])
    }
}

impl Value for Addresses {
    fn read(&mut self, found: &mut Findings, field: &Field<'_>, _: &Bound) {
        // Without a usable type there is an error already.
        let kind = field.context.kind.unwrap_or(Kind::Smtp);
        let texts = match field.value {
            DeValue::Array(_) => strings(
                found, field, "`[\"mail1.example.org\", \"mail2.example.org\"]`", false,
            ),
            one => match filled(one) {
                Ok(text) => vec![(text, field.place.clone())],
                Err(wrong) => return field.wrong(found, wrong),
            },
        };
        if let [(text, place)] = &texts[..]
            && let Some(read) = Self::from_dns(text)
        {
            match read.and_then(|addresses| fitting(addresses, kind)) {
                Ok(addresses) => *self = addresses,
                Err(wrong) => found.problem(field.problem(place.clone(), wrong)),
            }
            return;
        }
        let mut servers: Vec<RemoteAddress> = Vec::with_capacity(texts.len());
        let mut places: Vec<Place> = Vec::with_capacity(texts.len());
        let broken = found.problems.len();
        for (text, place) in texts {
            match server(&text, kind) {
                Ok(server) => {
                    servers.push(server);
                    places.push(place);
                }
                Err(wrong) => found.problem(field.problem(place, wrong)),
            }
        }
        if found.problems.len() > broken {
            return;
        }
        let again = twice(&servers).map(|at| places[at].clone());
        match Self::listed(servers) {
            Ok(addresses) => *self = addresses,
            Err(wrong) => found.problem(field.problem(again.unwrap_or_else(|| field.place.clone()), wrong)),
        }
    }

    fn show(&self) -> Shown {
        if self.is_nowhere() {
            return Shown::Unset("`lookup.routes`".to_owned());
        }
        Shown::Set(match self {
            Self::Listed(servers) if servers.len() != 1 => array(servers),
            one => quoted(one),
        })
    }
}

/// What DNS names, for a directory of this type.
fn fitting(addresses: Addresses, kind: Kind) -> Result<Addresses, Wrong> {
    match addresses {
        Addresses::Mx(_) if kind != Kind::Smtp => {
            let label = format!("MX records name servers for SMTP, and this is of type `{kind}`");
            Err(Wrong::new("cannot be `mx:`", label).help("list its servers"))
        }
        addresses => Ok(addresses),
    }
}

/// A server of a directory of this type.
fn server(text: &str, kind: Kind) -> Result<RemoteAddress, Wrong> {
    if Addresses::from_dns(text).is_some() {
        return Err(Wrong::new(
            "cannot hold `mx:` or `srv:` among others", "DNS names all servers, or none",
        )
        .help("give this alone, as a string"));
    }
    match RemoteAddress::parse(text)? {
        RemoteAddress::Socket(_) if kind != Kind::Lmtp => Err(Wrong::new(
            "cannot be a path",
            format!("type `{kind}` is reached by TCP"),
        )
        .help("give a host name or an IP address; a socket is for `lmtp`")),
        server => Ok(server),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers() {
        for (text, endpoint) in [
            ("Mail.Example.ORG", "mail.example.org:25"),
            ("mail.example.org:2525", "mail.example.org:2525"),
            ("192.0.2.1:26", "192.0.2.1:26"),
            ("::1", "[::1]:25"),
            ("[2001:db8::1]", "[2001:db8::1]:25"),
            ("[2001:db8::1]:2525", "[2001:db8::1]:2525"),
            ("/run/lmtp", "/run/lmtp"),
        ] {
            let server = RemoteAddress::parse(text).unwrap();
            assert_eq!(server.endpoint(Some(25)), endpoint, "{text}");
            assert_eq!(
                RemoteAddress::parse(&server.to_string()).unwrap(),
                server,
                "{text}"
            );
        }
        for text in [
            "", "a:", "a:0", "a:65536", "a:+1", "a:b", "a b:25", ":25", "[::1]25", "::1:x", "a:1:2",
        ] {
            assert!(RemoteAddress::parse(text).is_err(), "{text}");
        }
    }

    // Fills MAX_SERVERS.
    #[test]
    fn a_list_has_an_end_and_names_nobody_twice() {
        let named = |number: usize| RemoteAddress::parse(&format!("mail{number}.example.org")).unwrap();
        let list = |count| Addresses::listed((0..count).map(named).collect());
        assert_eq!(list(MAX_SERVERS).unwrap().servers().len(), MAX_SERVERS);
        for wrong in [
            list(MAX_SERVERS + 1),
            list(0),
            Addresses::listed(vec![named(1), named(2), named(1)]),
        ] {
            assert!(wrong.is_err());
        }
    }
}
