//! The answers that a configuration needs: from the command line, or from the terminal.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use clap::ValueEnum;

use super::ask::Ask;
use super::typed::{self, ca_file, domain};
use super::{Arguments, Behind, Front, Tls, complain, status};
use crate::settings::address::RemoteAddress;
use crate::settings::kind::Kind;

/// Where Postfix has its queue, unless postconf(1) says otherwise.
const QUEUE: &str = "/var/spool/postfix";

/// Where the sockets for all others are; the systemd unit creates this folder.
pub(super) const RUN: &str = "/run/vouch";

#[derive(Debug)]
pub(super) struct Answers {
    pub(super) kind: Kind,
    pub(super) fronts: Vec<Front>,
    pub(super) server: Server,
    pub(super) tls: Tls,
    pub(super) ca_file: Option<PathBuf>,
    pub(super) server_name: Option<String>,
    pub(super) allow_cleartext: bool,
    pub(super) domains: Vec<String>,
    /// The folder of the sockets.
    pub(super) sockets: PathBuf,
    /// The queue directory of Postfix, where that is in front.
    pub(super) queue: Option<PathBuf>,
}

/// Where the accounts are.
#[derive(Debug)]
pub(super) enum Server {
    /// At a host and its port.
    Host(String, u16),
    /// At the absolute path of a socket.
    Socket(String),
    /// Where a map has them: `file:///PATH`, or `transport:///PATH`.
    Map(String),
}

impl Server {
    /// What is reached there by one way: a host or a path.
    fn host(&self) -> &str {
        match self {
            Self::Host(host, _) | Self::Socket(host) => host,
            Self::Map(_) => "",
        }
    }
}

impl Answers {
    /// From the command line; asks on the terminal, if there is one, for what it lacks.
    ///
    /// # Errors
    /// When something is missing, or contradicts something else.
    pub(super) fn of(arguments: &Arguments, ask: &mut Ask) -> Result<Self, ExitCode> {
        if !ask.terminal {
            all_there(arguments)?;
        }
        let behind = match arguments.behind {
            Some(behind) => behind,
            None => ask.word(
                "Which protocol does the mail server that holds the accounts speak?",
                Behind::value_variants(),
                None,
            )?,
        };
        let kind = behind.kind();
        let fronts = fronts(arguments, kind, ask)?;
        let mut server = place(arguments, kind, ask)?;
        let tls = tls(arguments, kind, &fronts, &server, ask)?;
        if let Server::Host(_, port) = &mut server {
            let usual = usual_port(kind, tls, &fronts);
            *port = match arguments.port {
                Some(port) => port,
                None if ask.terminal => ask.line("Port", Some(&usual.to_string()), typed::port)?,
                None => usual,
            };
        }
        let allow_cleartext = cleartext(arguments, &fronts, tls, server.host(), ask)?;
        let domains = match server {
            Server::Map(_) => Vec::new(),
            Server::Host(..) | Server::Socket(_) => domains(arguments, kind, &fronts, ask)?,
        };
        let ca_file = match &arguments.ca_file {
            Some(file) => Some(absolute(file)?),
            None if ask.terminal && tls != Tls::None && !matches!(server, Server::Socket(_)) => {
                let question = "PEM file of its certificate's issuer, if the system does not trust it";
                let file = ask.line(question, Some("none"), ca_file)?;
                file.map(|file| absolute(&file)).transpose()?
            }
            None => None,
        };
        let queue = fronts.iter().any(|front| front.is_postfix()).then(queue);
        let sockets = match (&arguments.sockets, &queue) {
            (Some(folder), _) => absolute(folder)?,
            (None, Some(queue)) => queue.join("vouch"),
            (None, None) => PathBuf::from(RUN),
        };
        Ok(Self {
            kind,
            fronts,
            server,
            tls,
            ca_file,
            server_name: arguments.server_name.clone(),
            allow_cleartext,
            domains,
            sockets,
            queue,
        })
    }

    /// The options that give these answers, to be run again with one of them changed.
    pub(super) fn options(&self, arguments: &Arguments) -> String {
        let names = |fronts: &[Front]| {
            let names = fronts.iter().filter_map(ValueEnum::to_possible_value);
            names
                .map(|name| name.get_name().to_owned())
                .collect::<Vec<_>>()
                .join(",")
        };
        let mut options = vec![
            ("--behind", self.kind.to_string()),
            ("--front", names(&self.fronts)),
        ];
        match &self.server {
            Server::Host(host, port) => {
                options.push(("--host", host.clone()));
                options.push(("--port", port.to_string()));
            }
            Server::Socket(path) => options.push(("--host", path.clone())),
            Server::Map(map) => options.push(("--routes", map.clone())),
        }
        if !matches!(self.server, Server::Socket(_)) {
            let tls = self.tls.to_possible_value();
            options.extend(tls.map(|tls| ("--tls", tls.get_name().to_owned())));
        }
        let file = self.ca_file.as_ref();
        options.extend(file.map(|file| ("--ca-file", file.display().to_string())));
        options.extend(self.server_name.clone().map(|name| ("--server-name", name)));
        if !self.domains.is_empty() {
            options.push(("--domain", self.domains.join(",")));
        }
        let places = [
            ("--sockets", arguments.sockets.as_ref()),
            ("--output", arguments.output.as_ref()),
        ];
        let given = places
            .into_iter()
            .filter_map(|(option, path)| Some((option, path?)));
        let usual = |path: &Path| path == Path::new(super::OUTPUT);
        options.extend(
            given
                .filter(|(_, path)| !usual(path))
                .map(|(option, path)| (option, path.display().to_string())),
        );
        let mut text: Vec<_> = options
            .iter()
            .map(|(option, value)| format!("{option} {}", in_a_shell(value)))
            .collect();
        if self.allow_cleartext {
            text.push("--allow-cleartext".to_owned());
        }
        text.join(" ")
    }

    /// The socket at which `front` finds vouch.
    pub(super) fn socket(&self, front: Front) -> PathBuf {
        self.sockets.join(match front {
            Front::PostfixRecipients => "policy",
            Front::PostfixLogins => "auth",
            Front::Exim => "exim",
            // Dovecot has its own.
            Front::Dovecot => "",
        })
    }
}

/// Without a terminal, every answer that has no default must be on the command line.
fn all_there(arguments: &Arguments) -> Result<(), ExitCode> {
    let lacks_domain = (arguments.domains.is_empty() && arguments.routes.is_none())
        && match arguments.behind {
            Some(behind) => needs_domain(behind.kind(), &arguments.front),
            None => false,
        };
    let missing: Vec<&str> = [
        (arguments.behind.is_none(), "--behind imap|smtp|lmtp"),
        (
            arguments.host.is_none() && arguments.routes.is_none(),
            "--host HOST",
        ),
        (
            arguments.front.is_empty(),
            "--front postfix-recipients|postfix-logins|exim|dovecot",
        ),
        (lacks_domain, "--domain DOMAIN"),
    ]
    .into_iter()
    .filter_map(|(lacks, flag)| lacks.then_some(flag))
    .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let missing = missing.join(", ");
    Err(complain(
        status::USAGE,
        format!("no terminal to ask on; missing: {missing} (see vouch init --help)"),
    ))
}

/// Without a domain no directory serves any recipient, and `exists = "domain"` knows no user.
fn needs_domain(kind: Kind, fronts: &[Front]) -> bool {
    fronts.contains(&Front::PostfixRecipients) || (fronts.contains(&Front::Dovecot) && kind == Kind::Imap)
}

/// Where the accounts are; the port of a host is not known yet.
fn place(arguments: &Arguments, kind: Kind, ask: &mut Ask) -> Result<Server, ExitCode> {
    if let Some(map) = &arguments.routes {
        return Ok(Server::Map(map.clone()));
    }
    let question = match kind {
        Kind::Lmtp => "\nHost name or IP address of that server, or the path of its socket",
        Kind::Smtp | Kind::Imap => "\nHost name or IP address of that server",
    };
    let host = match &arguments.host {
        Some(host) => host.clone(),
        None => ask.line(question, None, typed::host)?,
    };
    Ok(if host.starts_with('/') {
        Server::Socket(host)
    } else {
        Server::Host(host, 0)
    })
}

fn fronts(arguments: &Arguments, kind: Kind, ask: &mut Ask) -> Result<Vec<Front>, ExitCode> {
    let able = |front: &Front| front.can_ask(kind);
    let mut fronts = if arguments.front.is_empty() {
        let able: Vec<_> = Front::value_variants()
            .iter()
            .copied()
            .filter(|it| able(it))
            .collect();
        ask.some_words(
            "Which software will ask? Separate several by commas.",
            &able,
            able.first().copied(),
        )?
    } else {
        arguments.front.clone()
    };
    if let Some(front) = fronts.iter().find(|front| !able(front)) {
        let name = front.to_possible_value();
        let name = name.as_ref().map_or("", |name| name.get_name());
        let (asks, able) = if front.asks_logins() {
            ("logins", "imap or smtp")
        } else {
            ("recipients", "smtp or lmtp")
        };
        return Err(complain(
            status::USAGE,
            format!("--front {name} asks about {asks}, which {kind} does not know: --behind must be {able}"),
        ));
    }
    let mut seen = Vec::new();
    fronts.retain(|front| {
        let first = !seen.contains(front);
        seen.push(*front);
        first
    });
    Ok(fronts)
}

fn asks_logins(fronts: &[Front]) -> bool {
    fronts.iter().any(|front| front.asks_logins())
}

fn is_local(host: &str) -> bool {
    RemoteAddress::parse(host).is_ok_and(|server| server.is_local())
}

fn tls(
    arguments: &Arguments,
    kind: Kind,
    fronts: &[Front],
    server: &Server,
    ask: &mut Ask,
) -> Result<Tls, ExitCode> {
    let usual = match (arguments.port, kind) {
        // A Unix socket has no network between its ends.
        _ if matches!(server, Server::Socket(_)) => return Ok(Tls::None),
        (Some(465 | 993), _) => Tls::Implicit,
        _ if is_local(server.host()) => Tls::IfAvailable,
        (None, Kind::Imap) => Tls::Implicit,
        _ if asks_logins(fronts) => Tls::Starttls,
        _ => Tls::IfAvailable,
    };
    match arguments.tls {
        Some(tls) => Ok(tls),
        None if ask.terminal => ask.word("How does TLS begin there?", Tls::value_variants(), Some(usual)),
        None => Ok(usual),
    }
}

/// Clients that log in do so where mail is submitted (RFC 6409).
fn usual_port(kind: Kind, tls: Tls, fronts: &[Front]) -> u16 {
    let submission = fronts.iter().all(|front| front.asks_logins());
    match (kind, tls) {
        (Kind::Smtp, Tls::Starttls | Tls::IfAvailable | Tls::None) if submission => 587,
        _ => kind.default_port(tls == Tls::Implicit),
    }
}

/// Whether passwords may be sent without TLS. Where there is no TLS, a login would otherwise get no answer.
fn cleartext(
    arguments: &Arguments,
    fronts: &[Front],
    tls: Tls,
    host: &str,
    ask: &mut Ask,
) -> Result<bool, ExitCode> {
    if arguments.allow_cleartext || tls != Tls::None || !asks_logins(fronts) || is_local(host) {
        return Ok(arguments.allow_cleartext);
    }
    if ask.agrees("Without TLS, anyone on the network path can read the passwords. Send them anyway?")? {
        return Ok(true);
    }
    let advice = "with --tls none no password is sent: use --tls starttls or --tls implicit, or --allow-cleartext to \
                  send passwords that anyone on the network path can read";
    Err(complain(status::USAGE, advice))
}

fn domains(
    arguments: &Arguments,
    kind: Kind,
    fronts: &[Front],
    ask: &mut Ask,
) -> Result<Vec<String>, ExitCode> {
    if !arguments.domains.is_empty() || !ask.terminal {
        return Ok(arguments.domains.clone());
    }
    let needed = needs_domain(kind, fronts);
    let (question, default) = if needed {
        ("Domains that it holds, separated by commas", None)
    } else {
        (
            "Domains that it holds, separated by commas; none: every login",
            Some("none"),
        )
    };
    ask.line(question, default, |answer| {
        if answer == "none" && !needed {
            return Ok(Vec::new());
        }
        answer.split(',').map(|name| domain(name.trim())).collect()
    })
}

fn absolute(path: &Path) -> Result<PathBuf, ExitCode> {
    let absolute = std::path::absolute(path);
    absolute.map_err(|error| complain(status::USAGE, format!("{}: {error}", path.display())))
}

/// A word, quoted for a shell.
fn in_a_shell(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.,:/@%+".contains(c);
    if word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

/// The queue directory of this machine's Postfix.
fn queue() -> PathBuf {
    let said = Command::new("postconf").args(["-h", "queue_directory"]).output();
    let said = said.ok().filter(|output| output.status.success());
    let path = said.and_then(|output| String::from_utf8(output.stdout).ok());
    match path.as_deref().map(str::trim) {
        Some(path) if path.starts_with('/') => path.into(),
        _ => QUEUE.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_quoted_where_a_shell_would_take_it_apart() {
        assert_eq!(in_a_shell("/etc/ssl/own-ca.pem"), "/etc/ssl/own-ca.pem");
        assert_eq!(in_a_shell("/a b/it's"), "'/a b/it'\\''s'");
    }
}
