//! Reads `[listener."NAME"]`, and checks what its keys say together.

use std::collections::HashMap;
use std::time::Duration;

use crate::config::Config;
use crate::settings::address::Addresses;
use crate::settings::directory::Directory;
use crate::settings::key::Keys as _;
use crate::settings::listener::{Listener, names};
use crate::settings::problem::{Problem, nearest};
use crate::settings::protocol::Protocol;
use crate::settings::scalar::duration_text;
use crate::settings::socket::ListenAddress;
use crate::settings::table::{Findings, Place, Table};

/// Reads one listener; `None` when it lacks what nothing can stand for, which `found` then tells.
pub(super) fn read(found: &mut Findings, name: &str, mut table: Table<'_>) -> Option<Listener> {
    let word = table.peek("protocol").and_then(|field| field.value.as_str());
    let protocol = word.and_then(Protocol::named);
    table.context.protocol = protocol;
    table.context.keys = names;
    let assumed = protocol.unwrap_or(Protocol::Policy);
    // No file can say this.
    let mut listener = Listener::new(name, assumed, ListenAddress::Dovecot, Vec::new());
    listener.read_keys(found, &mut table);
    check(found, &listener, &table.name);
    table.finish(found);
    (protocol.is_some() && listener.socket != ListenAddress::Dovecot).then_some(listener)
}

/// What the keys of a listener, or those of `[dovecot]`, say together.
pub(super) fn check(found: &mut Findings, listener: &Listener, table: &str) {
    let at = |found: &Findings, key: &str| {
        let name = format!("{table}.{key}");
        found.given(&name).map(|given| (name.clone(), given.key.clone()))
    };
    if let (Some((name, key)), ListenAddress::Tcp(address)) = (at(found, "socket"), &listener.socket)
        && !address.ip().is_loopback()
    {
        let text = "every host that can reach this address may ask which recipients exist";
        found.note(&key, format!("`{name}`: {text}"));
    }
    if let (Some((name, key)), ListenAddress::Tcp(_)) = (at(found, "peers"), &listener.socket) {
        let title = format!("`{name}` does not go with an address");
        found.problem(
            Problem::new(title, key, "a client over TCP has no user and no group")
                .help("give the listener a Unix socket, or leave the key out"),
        );
    }
    if let (Some((name, key)), Some((patience, text))) =
        (at(found, "deadline"), listener.protocol.row().patience)
        && listener.deadline.other >= Duration::from_secs(patience)
    {
        found.note(&key, format!("`{name}`: {text}"));
    }
    let Some((penalty, (_, place))) = listener.penalty.as_ref().zip(at(found, "penalty")) else {
        return;
    };
    let deadline = listener.deadline.smtp;
    let most = at(found, "penalty.max-delay");
    if penalty.delay > penalty.max_delay {
        let title = format!("`{table}.penalty.delay` is longer than `max-delay`");
        let place = at(found, "penalty.delay").map_or(place, |(_, place)| place);
        let label = format!("`max-delay` is \"{}\"", duration_text(penalty.max_delay));
        found.problem(Problem::new(title, place, label));
    } else if let Some((name, place)) = most.filter(|_| penalty.max_delay >= deadline) {
        let text = format!(
            "never reached: every answer leaves within `deadline`, {}",
            duration_text(deadline)
        );
        found.note(&place, format!("`{name}`: {text}"));
    }
}

/// Why a directory gets no passwords: any server that answers for DNS could have them sent to itself.
fn named_by_dns(directory: &Directory) -> Option<(&'static str, &'static str)> {
    match &directory.address {
        Addresses::Listed(_) => None,
        Addresses::Mx(_) => Some((
            "its servers are those in MX records",
            "`mx:` is for recipients only: for logins, list the servers, or use a directory of its own",
        )),
        Addresses::Srv(_) if directory.tls.allow_invalid_certs => Some((
            "its servers are those in SRV records, and any certificate is accepted",
            "leave `tls.allow-invalid-certs` out: the certificate must be that of the domain, or of `tls.server-name`",
        )),
        Addresses::Srv(_) if directory.auth.allow_cleartext => Some((
            "its servers are those in SRV records, and passwords are sent without TLS",
            "leave `auth.allow-cleartext` out: the certificate must be that of the domain, or of `tls.server-name`",
        )),
        Addresses::Srv(_) => None,
    }
}

/// Each name under the key `full` must be a directory's, and one of these must be able to answer.
pub(super) fn check_directories(
    found: &mut Findings,
    config: &Config,
    listener: &Listener,
    full: &str,
    of: &Place,
) {
    let Some(given) = found.given(full).cloned() else {
        return;
    };
    let mut known = Vec::new();
    for (name, place) in listener.directory.iter().zip(&given.items) {
        match config.directory(name) {
            Some(directory) => known.push((directory, place)),
            None => {
                let problem = Problem::new(
                    format!("`{full}` names an unknown directory"),
                    place.clone(),
                    "no such directory",
                );
                let all = || config.directory.iter().map(|directory| directory.name.as_str());
                found.problem(match nearest(name, all()) {
                    Some(near) => problem.help(format!("did you mean `\"{near}\"`?")),
                    None if config.directory.is_empty() => problem.help("the file has no directory at all"),
                    None => problem.help(format!("there are: {}", all().collect::<Vec<_>>().join(", "))),
                });
            }
        }
    }
    if listener.protocol.asks_logins() {
        for (directory, place) in &known {
            if let Some((label, help)) = named_by_dns(directory) {
                let title = format!("`{full}` would let DNS say who gets passwords");
                found.problem(Problem::new(title, (*place).clone(), label).help(help));
            }
        }
    }
    let (kind, wanted) = if listener.protocol.asks_logins() {
        ("logins", "`imap` or `smtp`")
    } else {
        ("recipients", "`smtp` or `lmtp`")
    };
    let able = |directory: &Directory| listener.can_ask(directory.kind);
    if known.len() == listener.directory.len() && !known.iter().any(|(directory, _)| able(directory)) {
        if listener.directory.is_empty() {
            return;
        }
        let title = format!("`{full}` names no directory that can answer about {kind}");
        let label = format!("protocol `{}` asks about {kind}", listener.protocol);
        found.problem(
            Problem::new(title, given.value, label).help(format!("name a directory of type {wanted}")),
        );
        return;
    }
    for (directory, place) in &known {
        if !able(directory) {
            let text = format!(
                "`{full}`: \"{}\" is never asked here: type `{}` knows no {kind}",
                directory.name, directory.kind
            );
            found.note(place, text);
        }
    }
    let unlisted =
        |directory: &Directory| directory.lookup.domains.all.is_empty() && directory.lookup.routes.is_none();
    let mut answering = known
        .iter()
        .map(|(directory, _)| *directory)
        .filter(|directory| able(directory))
        .peekable();
    if kind == "recipients" && answering.peek().is_some() && answering.all(unlisted) {
        let text =
            format!("`{full}`: none of these has `lookup.domains`: no recipient is ever asked for here");
        found.note(of, text);
    }
}

/// No two listeners on one socket.
pub(super) fn check_sockets(found: &mut Findings, listeners: &[(Listener, Place)]) {
    let mut taken: HashMap<_, (&str, Place)> = HashMap::new();
    for (listener, _) in listeners {
        let Some(given) = found.given(&format!("listener.\"{}\".socket", listener.name)) else {
            continue;
        };
        let place = given.value.clone();
        if let Some((other, first)) = taken.get(&listener.socket) {
            let title = format!(
                "listeners \"{other}\" and \"{}\" have the same socket",
                listener.name
            );
            found.problem(
                Problem::new(title, place, "given again here")
                    .also(first.clone(), "first given here")
                    .help("give each listener a socket of its own"),
            );
        } else {
            taken.insert(&listener.socket, (&listener.name, place));
        }
    }
}
