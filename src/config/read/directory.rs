//! Reads `[directory."NAME"]`, and checks what its keys say together.

use super::routes;
use crate::settings::address::{Addresses, RemoteAddress};
use crate::settings::directory::{CatchAll, Directory, LoginMethod, StartTls, names};
use crate::settings::key::Keys as _;
use crate::settings::kind::Kind;
use crate::settings::problem::Problem;
use crate::settings::table::{Findings, Place, Table};

/// Reads one directory. What is wrong goes to `found`, and a default stands for it.
pub(super) fn read(found: &mut Findings, name: &str, mut table: Table<'_>) -> Directory {
    let word = table.peek("type").and_then(|field| field.value.as_str());
    // Without a usable type there is an error already; the other keys are checked all the same.
    let kind = word.and_then(Kind::named).unwrap_or(Kind::Smtp);
    table.context.kind = Some(kind);
    table.context.keys = names;
    let mut directory = Directory::new(name, kind, Addresses::nowhere());
    directory.read_keys(found, &mut table);
    let checks = Checks {
        table: table.name.clone(),
        directory: &mut directory,
    };
    checks.run(found);
    table.finish(found);
    directory
}

/// What a directory's keys say together.
struct Checks<'d> {
    /// The name of its table in full.
    table: String,
    directory: &'d mut Directory,
}

impl Checks<'_> {
    fn run(mut self, found: &mut Findings) {
        self.address(found);
        routes::check_keys(found, self.directory, &self.table);
        self.tls(found);
        self.canary(found);
        self.auth(found);
        self.sessions(found);
        self.ttl(found);
    }

    fn full(&self, key: &str) -> String {
        format!("{}.{key}", self.table)
    }

    /// Where a key is given.
    fn at(&self, found: &Findings, key: &str) -> Option<Place> {
        found.given(&self.full(key)).map(|given| given.key.clone())
    }

    /// One says whether the other may stand.
    fn address(&mut self, found: &mut Findings) {
        let implicit = self.directory.tls.implicit;
        let address = found
            .given(&self.full("address"))
            .map(|given| given.value.clone());
        match self.at(found, "port") {
            Some(port) if !self.directory.address.take_port() => {
                let (title, label) = match (&self.directory.address, self.directory.address.only()) {
                    (Addresses::Srv(_), _) => ("does not go with `srv:`", "the SRV records have the ports"),
                    (_, Some(RemoteAddress::Socket(_))) => {
                        ("does not go with a socket", "a socket has no port")
                    }
                    _ => ("is of no use", "each address has its own, or is a socket"),
                };
                let title = format!("`{}` {title}", self.full("port"));
                let mut problem = Problem::new(title, port, label);
                if let (Some(address), Some(only)) = (&address, self.directory.address.only()) {
                    let what = match only {
                        RemoteAddress::Socket(_) => "is a path",
                        RemoteAddress::Host { .. } => "has a port",
                    };
                    problem = problem.also(address.clone(), format!("`{only}` {what}"));
                }
                found.problem(problem);
            }
            Some(_) => {}
            None => self.directory.port = self.directory.address.port(self.directory.kind, implicit),
        }
        if let (Addresses::Srv(service), Some(address)) = (&self.directory.address, &address)
            && let Some(why) = service.contradicts(self.directory.kind, implicit)
        {
            let title = format!("`{}` names a service of another kind", self.full("address"));
            found.problem(Problem::new(title, address.clone(), why));
        }
        let wants_tls = implicit || self.directory.tls.starttls == StartTls::Required;
        let servers = self.directory.address.servers().iter();
        let has_socket = servers.clone().any(|it| matches!(it, RemoteAddress::Socket(_)));
        if let (true, Some(address), true, None) =
            (has_socket, address, wants_tls, &self.directory.tls.server_name)
        {
            let title = format!(
                "`{}` is a socket with TLS and without a name",
                self.full("address")
            );
            found.problem(
                Problem::new(title, address, "a certificate cannot bear a path")
                    .help("give `tls.server-name`, or leave `tls.implicit` and `tls.starttls` out"),
            );
        }
    }

    fn tls(&self, found: &mut Findings) {
        if let (Some(at), true) = (self.at(found, "tls.starttls"), self.directory.tls.implicit) {
            let text = "no effect: with `implicit` the session has TLS from its first byte";
            found.note(&at, format!("`{}`: {text}", self.full("tls.starttls")));
        }
        // Of a certificate and its key only one is there.
        for (have, lack) in [("cert-file", "key-file"), ("key-file", "cert-file")] {
            let [given, lacking] = [have, lack].map(|key| self.full(&format!("tls.{key}")));
            if let (Some(at), None) = (found.given(&given), found.given(&lacking)) {
                let label = format!("`{have}` needs `{lack}` beside it");
                let problem = Problem::new(format!("`{lacking}` is missing"), at.key.clone(), label);
                found.problem(problem);
            }
        }
    }

    fn canary(&self, found: &mut Findings) {
        let (name, lookup) = (self.full("lookup.canary"), &self.directory.lookup);
        let Some(given) = found.given(&name).cloned() else {
            return;
        };
        for (address, place) in lookup.canary.iter().zip(&given.items) {
            let domain = address.domain();
            let (key, has) = match &lookup.routes {
                Some(routes) => ("lookup.routes", routes.map.leads(address.local(), domain)),
                None => ("lookup.domains", lookup.domains.all.contains(domain)),
            };
            if !has {
                found.note(
                    place,
                    format!(
                        "`{name}`: {domain} is not in `{key}`: no recipient is refused there, and vouch \
                         never asks about {address}"
                    ),
                );
            }
        }
    }

    fn auth(&self, found: &mut Findings) {
        let (auth, kind) = (&self.directory.auth, self.directory.kind);
        let mechanism = self.full("auth.mechanism");
        match (self.at(found, "auth.mechanism"), auth.mechanism, kind) {
            (Some(at), LoginMethod::LoginCommand, Kind::Smtp) => {
                let title = format!("`{mechanism}` is not for type `smtp`");
                let problem = Problem::new(title, at, "LOGIN is a command of IMAP");
                found
                    .problem(problem.help(
                        "SMTP AUTH takes `\"PLAIN\"` or `\"LOGIN\"`; `\"auto\"` takes what is offered",
                    ));
            }
            (Some(at), _, Kind::Lmtp) => {
                found.note(
                    &at,
                    format!("`{mechanism}`: no effect: type `lmtp` knows no logins"),
                );
            }
            _ => {}
        }
        if let (Some(at), true) = (self.at(found, "auth.confirm"), auth.confirm && kind != Kind::Imap) {
            let confirm = self.full("auth.confirm");
            found.note(
                &at,
                format!("`{confirm}`: no effect: only type `imap` can confirm"),
            );
        }
    }

    fn sessions(&self, found: &mut Findings) {
        let (pool, most) = (&self.directory.pool, self.directory.pool.max_sessions.logins);
        if let (Some(at), true) = (self.at(found, "pool.warm-sessions"), pool.warm_sessions > most) {
            let title = format!(
                "`{}` is more than `max-sessions`",
                self.full("pool.warm-sessions")
            );
            let problem = Problem::new(title, at, format!("at most {most} can be open"));
            found.problem(match self.at(found, "pool.max-sessions") {
                Some(max) => problem.also(max, "`max-sessions` is given here"),
                None => problem,
            });
        }
    }

    fn ttl(&mut self, found: &mut Findings) {
        let ttl = &self.directory.cache.ttl;
        for (key, contradicts, what, label) in [
            (
                "refresh",
                ttl.refresh > ttl.positive,
                "longer",
                "the entry would be gone before it is refreshed",
            ),
            (
                "stale",
                ttl.stale < ttl.positive,
                "shorter",
                "an entry is not stale before `positive` is over",
            ),
        ] {
            let name = self.full(&format!("cache.ttl.{key}"));
            if let (Some(given), true) = (found.given(&name), contradicts) {
                let title = format!("`{name}` is {what} than `positive`");
                let problem = Problem::new(title, given.key.clone(), label);
                found.problem(problem);
            }
        }
        // Of defaults none contradicts what the file says: they give way.
        let ttl = &mut self.directory.cache.ttl;
        ttl.refresh = ttl.refresh.min(ttl.positive);
        ttl.stale = ttl.stale.max(ttl.positive);
    }
}

/// What an operator should know about a directory that is in order.
pub(super) fn notes(found: &mut Findings, directory: &Directory, place: &Place) {
    let full = format!("directory.\"{}\"", directory.name);
    routes::notes(found, directory, place);
    if directory.lookup.domains.all.is_empty() && directory.lookup.routes.is_none() {
        found.note(
            place,
            match directory.kind {
                Kind::Imap => format!("`{full}`: no `lookup.domains`: it serves every login, whatever its domain"),
                Kind::Smtp if directory.knows_logins() => {
                    format!("`{full}`: no `lookup.domains`: it serves every login, whatever its domain, and no recipient: \
                    list the domains that it holds")
                }
                Kind::Smtp | Kind::Lmtp => format!("`{full}`: no `lookup.domains`: it serves no recipient: list the domains that it holds"),
            },
        );
    }
    let tested = !directory.lookup.canary.is_empty() || directory.lookup.catch_all == CatchAll::Detect;
    if tested && !directory.kind.knows_recipients() {
        let text =
            "`canary` and `catch-all` have no effect: they are about recipients, and it knows logins only";
        found.note(place, format!("`{full}.lookup`: {text}"));
    }
    if directory.tls.allow_invalid_certs {
        let text = "any certificate is accepted, from any machine that answers; `tls.ca-file` trusts a private authority";
        found.note(place, format!("`{full}.tls.allow-invalid-certs`: {text}"));
    }
    if directory.auth.allow_cleartext && directory.knows_logins() {
        let text = "a password may cross the network without TLS, where anyone on the path can read it";
        found.note(place, format!("`{full}.auth.allow-cleartext`: {text}"));
    }
    if directory.cache.file.is_some() && !directory.kind.knows_recipients() {
        let text =
            "there is nothing for it: recipients are not asked about here, and logins are never on disk";
        found.note(place, format!("`{full}.cache.file`: {text}"));
    }
    let never = !directory.tls.implicit && directory.tls.starttls == StartTls::Never;
    let nowhere = !directory.auth.allow_cleartext && !directory.servers().any(RemoteAddress::is_local);
    if never && directory.knows_logins() && nowhere {
        let text = "no TLS at all, and no password goes without it: every login gets no answer";
        found.note(place, format!("`{full}.tls.starttls`: {text}"));
    }
}
