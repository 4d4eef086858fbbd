//! What must hold of a map of routes: beside the keys that it replaces, and where logins go by it.

use nix::unistd::{User, geteuid};

use crate::config::Config;
use crate::settings::address::RemoteAddress;
use crate::settings::directory::{Directory, StartTls};
use crate::settings::kind::Kind;
use crate::settings::listener::Listener;
use crate::settings::problem::Problem;
use crate::settings::process::DEFAULT_USER;
use crate::settings::routes::Routes;
use crate::settings::table::{Findings, Place};

/// The map of a directory replaces other keys. `table` is the name of the directory's.
pub(super) fn check_keys(found: &mut Findings, directory: &mut Directory, table: &str) {
    let full = |key: &str| format!("{table}.{key}");
    let Some(at) = found.given(&full("lookup.routes")).cloned() else {
        return;
    };
    for (key, instead) in [
        ("address", "the map names the servers"),
        (
            "port",
            "write a port behind its host, as in `mail.example.org:2525`",
        ),
        ("lookup.domains", "the map names the domains"),
    ] {
        if let Some(given) = found.given(&full(key)).cloned() {
            let title = format!("`{}` does not go with `lookup.routes`", full(key));
            found.problem(
                Problem::new(title, given.key, "leave this out")
                    .also(at.key.clone(), "the map is given here")
                    .help(format!("{instead}; or leave `lookup.routes` out")),
            );
        }
    }
    directory.port = None;
    if directory.lookup.routes.is_none() {
        return;
    }
    let tls = &directory.tls;
    let wants_tls = tls.implicit || tls.starttls == StartTls::Required;
    let socket = directory
        .servers()
        .find(|host| matches!(host, RemoteAddress::Socket(_)));
    if let (Some(socket), true, None) = (socket, wants_tls, &tls.server_name) {
        let title = format!(
            "`{}` leads to a socket with TLS and without a name",
            full("lookup.routes")
        );
        found.problem(
            Problem::new(
                title,
                at.value,
                format!("{socket}: a certificate cannot bear a path"),
            )
            .help("give `tls.server-name`, or leave `tls.implicit` and `tls.starttls` out"),
        );
    }
}

/// What an operator should know about a map that is in order.
pub(super) fn notes(found: &mut Findings, directory: &Directory, place: &Place) {
    let Some(routes) = &directory.lookup.routes else {
        return;
    };
    let full = format!("directory.\"{}\".lookup.routes", directory.name);
    if routes.map.servers().is_empty() {
        found.note(
            place,
            format!("`{full}`: {routes} leads to no server: nobody is asked about"),
        );
    }
    for unused in &routes.map.unused {
        let (path, line, pattern, why) = (routes.path.display(), unused.line, &unused.pattern, &unused.why);
        found.note(
            place,
            format!("`{full}`: {path}, line {line} has no effect: {pattern}: {why}"),
        );
    }
    let more = routes.map.unused_count - routes.map.unused.len();
    if more > 0 {
        found.note(place, format!("`{full}`: and {more} more lines have no effect"));
    }
}

/// A map that says where passwords go is refused where others may change it, and where it leads to servers that know no
/// logins.
pub(super) fn check_logins(
    found: &mut Findings,
    config: &Config,
    listener: &Listener,
    table: &str,
    key: &str,
) {
    if !listener.protocol.asks_logins() {
        return;
    }
    // As root it becomes this one.
    let service = config.service.user.as_deref().unwrap_or(DEFAULT_USER);
    let ours = [Some(geteuid().as_raw()), number(service)];
    let ours: Vec<u32> = ours.into_iter().flatten().collect();
    for name in &listener.directory {
        let Some(directory) = config.directory(name).filter(|it| it.kind.knows_logins()) else {
            continue;
        };
        let Some(routes) = &directory.lookup.routes else {
            continue;
        };
        let full = format!("directory.\"{name}\".lookup.routes");
        let Some(at) = found.given(&full).map(|given| given.value.clone()) else {
            continue;
        };
        let mut refuse = |label: String, help: String| {
            let title = format!("`{full}` cannot be used for logins");
            let mut problem = Problem::new(title, at.clone(), label)
                .help(help)
                .with_help_in_brief();
            if let Some(asks) = found.given(&format!("{table}.{key}")) {
                problem = problem.also(asks.key.clone(), "logins are asked here");
            }
            found.problem(problem);
        };
        let path = routes.path.display();
        if let Some(who) = routes.owner.others(&ours) {
            let help = format!("it says which server gets passwords: chown root {path}; chmod 644 {path}");
            refuse(format!("{path}: {who}"), help);
        }
        if let Some((line, what)) = no_logins(routes) {
            let help = "give recipients a directory of their own with this map, and logins one with lines that lead to servers \
                        of its `type`";
            refuse(format!("{path}, line {line}: {what}"), help.to_owned());
        }
        check_relays(found, listener, table, name);
    }
}

/// A line that leads to no server of logins, and why.
fn no_logins(routes: &Routes) -> Option<(usize, &'static str)> {
    let other = routes.map.first_of(Kind::Lmtp);
    let other = other.map(|line| (line, "a server of LMTP knows no logins"));
    let by_mx = routes.map.first_by_mx();
    let by_mx = by_mx.map(|line| (line, "a look-up of MX must not say which server gets passwords"));
    other.into_iter().chain(by_mx).min()
}

/// A mechanism is offered before the user is known, and with it the server.
fn check_relays(found: &mut Findings, listener: &Listener, table: &str, name: &str) {
    let given = found.given(&format!("{table}.mechanisms"));
    let places = given.map(|given| given.items.clone()).unwrap_or_default();
    let mut relayed = listener.mechanisms.iter().zip(&places);
    if let Some((mechanism, place)) = relayed.find(|(mechanism, _)| mechanism.is_relayed()) {
        let title = format!("listener \"{}\" cannot relay {mechanism}", listener.name);
        let label = format!("\"{name}\" has `lookup.routes`: its server is known with the user only");
        found.problem(
            Problem::new(title, place.clone(), label).help("offer `\"PLAIN\"` and `\"LOGIN\"` here"),
        );
    }
}

/// The number of a user of this name.
fn number(name: &str) -> Option<u32> {
    let user = User::from_name(name).ok().flatten();
    user.map(|user| user.uid.as_raw()).or_else(|| name.parse().ok())
}
