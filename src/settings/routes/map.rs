//! A map of routes: which server knows the recipients and users of a domain.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::Arc;

use aws_lc_rs::digest;

use crate::address::Domain;
use crate::settings::address::Addresses;
use crate::settings::kind::Kind;

/// A server that routes lead to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Server {
    /// Its protocol, where the route names one; else that of the directory's `type`.
    pub kind: Option<Kind>,
    /// Its hosts, in the order in which they are to be tried.
    pub hosts: Addresses,
    /// The port of hosts that DNS names, where the route names one.
    pub port: Option<u16>,
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(kind) = self.kind {
            write!(f, "{kind}:")?;
        }
        match self.port {
            Some(port) => write!(f, "{}:{port}", self.hosts),
            None => write!(f, "{}", self.hosts),
        }
    }
}

/// Why patterns keep their domains from every server: the mail goes another way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// What leads another way: `local:`, `no transport`.
    pub way: String,
    /// Patterns with it.
    pub count: usize,
    /// The line of the first of these, from 1.
    pub line: usize,
    /// The first of these.
    pub pattern: String,
    /// It takes a look-up of MX.
    pub by_mx: bool,
}

/// Where a pattern leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Target {
    /// The place of a server.
    Server(u32),
    /// The place of a reason.
    Kept(u32),
}

/// What a map says of a domain or an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route<'m> {
    /// This server knows.
    Server(&'m Arc<Server>),
    /// The map keeps it from every server.
    Kept(&'m Kept),
}

/// A line that has no effect, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unused {
    /// Its number, from 1.
    pub line: usize,
    /// The pattern there.
    pub pattern: String,
    /// In a few words.
    pub why: String,
}

/// Which server knows whom. A pattern is a domain, `.parent` for what is below one, `*` for the rest, or an address;
/// each in lower case.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Map {
    targets: HashMap<Box<str>, Target>,
    servers: Vec<Arc<Server>>,
    kept: Vec<Kept>,
    /// Labels of the longest `.parent`: a longer one need not be looked up.
    deepest: usize,
    /// Patterns that are addresses.
    addresses: usize,
    /// The protocols that lines name, each with the first of them.
    kinds: Vec<(Kind, usize)>,
    /// The first line that takes a look-up of MX.
    by_mx: Option<usize>,
    /// Delimiters in addresses.
    details: BTreeSet<char>,
    /// Lines that have no effect: the first of them.
    pub unused: Vec<Unused>,
    /// How many there are.
    pub unused_count: usize,
}

/// So many lines without an effect are shown.
const MOST_UNUSED: usize = 5;

impl Map {
    /// The keys to look up, in Postfix's order, for a domain, and for a user of it where one is named.
    fn keys<'a>(
        &self,
        local: Option<&'a [u8]>,
        domain: &'a Domain,
    ) -> impl Iterator<Item = std::borrow::Cow<'a, str>> + use<'a> {
        let domain = domain.as_str();
        let address = local
            .filter(|_| self.addresses > 0)
            .and_then(|local| str::from_utf8(local).ok())
            .map(|local| format!("{}@{domain}", local.to_ascii_lowercase()).into());
        // Of `a.b.example.org` with a deepest pattern of two labels, `.example.org` and `.org`.
        let dots = domain.match_indices('.').map(|(at, _)| at);
        let skipped = dots.clone().count().saturating_sub(self.deepest);
        let parents = dots.skip(skipped).filter_map(|at| domain.get(at..));
        address
            .into_iter()
            .chain([domain.into()])
            .chain(parents.map(Into::into))
            .chain(["*".into()])
    }

    /// What it says of a user of a domain; `None` where it says nothing.
    pub fn find(&self, local: &[u8], domain: &Domain) -> Option<Route<'_>> {
        self.first(self.keys(Some(local), domain))
    }

    /// What it says of a domain, but for users who have a line of their own.
    pub fn find_domain(&self, domain: &Domain) -> Option<Route<'_>> {
        self.first(self.keys(None, domain))
    }

    /// Whether it leads a user of a domain to a server.
    pub fn leads(&self, local: &[u8], domain: &Domain) -> bool {
        matches!(self.find(local, domain), Some(Route::Server(_)))
    }

    /// The first line that leads to a server of this protocol by naming it.
    pub fn first_of(&self, kind: Kind) -> Option<usize> {
        let named = self.kinds.iter().find(|(named, _)| *named == kind);
        named.map(|(_, line)| *line)
    }

    /// The first line that takes a look-up of MX, whether it leads to a server or not.
    pub fn first_by_mx(&self) -> Option<usize> {
        let kept = self.kept.iter().filter(|kept| kept.by_mx).map(|kept| kept.line);
        self.by_mx.into_iter().chain(kept).min()
    }

    /// Whether a pattern is an address with this sign in its local part.
    pub fn has_detail(&self, delimiter: char) -> bool {
        self.details.contains(&delimiter)
    }

    /// Whether it says where the rest goes.
    pub fn has_rest(&self) -> bool {
        matches!(self.targets.get("*"), Some(Target::Server(_)))
    }

    /// Whether a user has a line of his own.
    pub fn has_own_line(&self, local: &[u8], domain: &Domain) -> bool {
        let mut keys = self.keys(Some(local), domain);
        let first = keys.next().filter(|_| self.addresses > 0);
        first.is_some_and(|key| key.contains('@') && self.targets.contains_key(&*key))
    }

    fn first<'a>(&self, mut keys: impl Iterator<Item = std::borrow::Cow<'a, str>>) -> Option<Route<'_>> {
        let target = keys.find_map(|key| self.targets.get(&*key))?;
        match *target {
            Target::Server(place) => self.servers.get(place as usize).map(Route::Server),
            Target::Kept(place) => self.kept.get(place as usize).map(Route::Kept),
        }
    }

    /// Patterns with a server or a way of their own.
    pub fn len(&self) -> usize {
        self.targets.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.targets.is_empty()
    }

    /// The servers that it leads to.
    pub fn servers(&self) -> &[Arc<Server>] {
        &self.servers
    }

    /// What keeps patterns from every server, by way.
    pub fn kept(&self) -> &[Kept] {
        &self.kept
    }

    /// A digest of what it says, the same in every life of the process.
    pub fn digest(&self) -> String {
        let target = |target: &Target| match *target {
            Target::Server(place) => self.servers.get(place as usize).map(ToString::to_string),
            Target::Kept(_) => None,
        };
        let mut lines: Vec<_> = self.targets.iter().collect();
        lines.sort_unstable_by_key(|(pattern, _)| *pattern);
        let mut context = digest::Context::new(&digest::SHA256);
        for (pattern, of) in lines {
            context.update(format!("{pattern} {}\n", target(of).unwrap_or_default()).as_bytes());
        }
        let digest = context.finish();
        digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Whether it leads a user of a domain to the same server as `other` does.
    pub fn agrees(&self, other: &Self, local: &[u8], domain: &Domain) -> bool {
        let server = |map: &Self| match map.find(local, domain) {
            Some(Route::Server(server)) => Some(server.clone()),
            Some(Route::Kept(_)) | None => None,
        };
        server(self) == server(other)
    }
}

/// Puts a map together.
#[derive(Debug, Default)]
pub(super) struct Builder {
    map: Map,
    servers: HashMap<Server, u32>,
    ways: HashMap<String, u32>,
    /// The line of each pattern.
    lines: HashMap<Box<str>, usize>,
}

impl Builder {
    /// The line on which a pattern stands already.
    pub(super) fn line_of(&self, pattern: &str) -> Option<usize> {
        self.lines.get(pattern).copied()
    }

    pub(super) fn lead(&mut self, pattern: String, line: usize, server: Server) {
        let next = self.map.servers.len() as u32;
        let place = *self.servers.entry(server).or_insert_with_key(|server| {
            self.map.servers.push(Arc::new(server.clone()));
            next
        });
        let kind = self
            .map
            .servers
            .get(place as usize)
            .and_then(|server| server.kind);
        if let Some(kind) = kind.filter(|kind| self.map.first_of(*kind).is_none()) {
            self.map.kinds.push((kind, line));
        }
        let by_mx = |server: &Arc<Server>| matches!(server.hosts, Addresses::Mx(_));
        if self.map.servers.get(place as usize).is_some_and(by_mx) {
            self.map.by_mx = self.map.by_mx.or(Some(line));
        }
        self.put(pattern, line, Target::Server(place));
    }

    /// A pattern keeps what it matches from every server.
    pub(super) fn keep(&mut self, pattern: String, line: usize, way: &str, by_mx: bool) {
        let next = self.map.kept.len() as u32;
        let place = *self.ways.entry(way.to_owned()).or_insert_with(|| {
            self.map.kept.push(Kept {
                way: way.to_owned(),
                count: 0,
                line,
                pattern: pattern.clone(),
                by_mx,
            });
            next
        });
        if let Some(kept) = self.map.kept.get_mut(place as usize) {
            kept.count += 1;
        }
        self.put(pattern, line, Target::Kept(place));
    }

    /// A line has no effect.
    pub(super) fn pass_over(&mut self, line: usize, pattern: String, why: String) {
        self.map.unused_count += 1;
        if self.map.unused.len() < MOST_UNUSED {
            self.map.unused.push(Unused { line, pattern, why });
        }
    }

    fn put(&mut self, pattern: String, line: usize, target: Target) {
        if let Some((local, _)) = pattern.rsplit_once('@') {
            self.map.addresses += 1;
            let signs = local.chars().skip(1).filter(|sign| !sign.is_alphanumeric());
            self.map.details.extend(signs);
        } else if let Some(parent) = pattern.strip_prefix('.') {
            self.map.deepest = self.map.deepest.max(parent.split('.').count());
        }
        let pattern = pattern.into_boxed_str();
        self.lines.insert(pattern.clone(), line);
        self.map.targets.insert(pattern, target);
    }

    pub(super) fn finish(mut self) -> Map {
        self.map.targets.shrink_to_fit();
        self.map.servers.shrink_to_fit();
        self.map
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::address::RemoteAddress;

    fn server(host: &str) -> Server {
        Server {
            kind: None,
            hosts: RemoteAddress::Host {
                name: host.to_owned(),
                port: None,
            }
            .into(),
            port: None,
        }
    }

    fn map(patterns: &[&str]) -> Map {
        let mut builder = Builder::default();
        for (number, pattern) in patterns.iter().enumerate() {
            match pattern.strip_suffix('!') {
                Some(pattern) => builder.keep(pattern.to_owned(), number + 1, "local:", false),
                None => builder.lead((*pattern).to_owned(), number + 1, server(pattern)),
            }
        }
        builder.finish()
    }

    fn found(map: &Map, address: &str) -> String {
        let (local, domain) = address.split_once('@').unwrap();
        match map.find(local.as_bytes(), &Domain::parse(domain).unwrap()) {
            Some(Route::Server(server)) => server.to_string(),
            Some(Route::Kept(kept)) => kept.way.clone(),
            None => "-".to_owned(),
        }
    }

    #[test]
    fn the_most_exact_pattern_wins() {
        let map = map(&[
            "*", ".org", ".example.org", "example.org", "here.example.org!", "jane@example.org",
            ".own.example!",
        ]);
        for (address, expected) in [
            ("Jane@Example.ORG", "jane@example.org"),
            ("joe@example.org", "example.org"),
            ("joe@a.example.org", ".example.org"),
            ("joe@b.a.example.org", ".example.org"),
            ("joe@here.example.org", "local:"),
            ("joe@below.here.example.org", ".example.org"),
            ("joe@other.org", ".org"),
            ("joe@org", "*"),
            ("joe@net", "*"),
            ("joe@a.own.example", "local:"),
            ("joe@own.example", "*"),
        ] {
            assert_eq!(found(&map, address), expected, "{address}");
        }
        assert_eq!(found(&Map::default(), "a@b.example"), "-");
    }

    #[test]
    fn a_look_up_is_a_few_looks_into_one_table() {
        let domain = Domain::parse(&format!("{}example.org", "a.".repeat(100))).unwrap();
        let looks = |map: &Map| map.keys(Some(b"jane"), &domain).count();
        // The domain itself and `*`; a parent where there are such patterns; an address where there are such.
        assert_eq!(looks(&map(&["example.org", "example.net"])), 2);
        assert_eq!(looks(&map(&["example.org", ".example.org"])), 4);
        assert_eq!(looks(&map(&[".example.org", "jane@example.org"])), 5);
    }

    #[test]
    fn equal_servers_are_one() {
        let mut builder = Builder::default();
        for number in 0..1000 {
            let host = server(&format!("mail{}.example", number % 7));
            builder.lead(format!("d{number}.example"), number, host);
        }
        let map = builder.finish();
        assert_eq!((map.len(), map.servers().len()), (1000, 7));
        assert_eq!(found(&map, "a@d8.example"), "mail1.example");
    }

    #[test]
    fn maps_agree_on_a_domain_where_both_lead_to_one_server() {
        let (one, other) = (
            map(&["a.example", "b.example", "*"]),
            map(&["b.example", "*", "c.example!"]),
        );
        for (domain, agree) in [
            ("a.example", false),
            ("b.example", true),
            ("c.example", false),
            ("d.example", true),
        ] {
            let domain = Domain::parse(domain).unwrap();
            assert_eq!(one.agrees(&other, b"jane", &domain), agree, "{domain}");
        }
    }
}
