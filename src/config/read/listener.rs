//! Reads `[listener."NAME"]`.

use std::{net::SocketAddr, time::Duration};

use toml::de::DeValue;

use super::{
    action::action,
    fields, missing, peers,
    problem::Problem,
    table::{Findings, Place, Table, strings},
    trust,
    value::{self, Wrong},
};
use crate::{
    address::Domain,
    config::{
        ListenAddress, Listener,
        listener::{Any, ClientLimits, Exists, Mechanism, Protocol},
    },
};

/// Every key of a listener, to recognise one in the wrong table.
pub(super) const KEYS: &[&str] = &[
    "listener.NAME.protocol", "listener.NAME.socket", "listener.NAME.mode", "listener.NAME.owner",
    "listener.NAME.group", "listener.NAME.peers", "listener.NAME.directory", "listener.NAME.any",
    "listener.NAME.deadline", "listener.NAME.max-connections", "listener.NAME.limits.rcpt",
    "listener.NAME.limits.rcpt-errors", "listener.NAME.limits.auth-errors", "listener.NAME.action.accept",
    "listener.NAME.action.full", "listener.NAME.action.reject", "listener.NAME.action.disabled",
    "listener.NAME.action.defer", "listener.NAME.action.limit", "listener.NAME.action.vrfy",
    "listener.NAME.action.dry-run", "listener.NAME.default-domain", "listener.NAME.mechanisms",
    "listener.NAME.tempfail", "listener.NAME.join-realm", "listener.NAME.ok", "listener.NAME.exists",
    "listener.NAME.fields", "listener.NAME.allow", "listener.NAME.deny", "listener.NAME.penalty.after",
    "listener.NAME.penalty.delay", "listener.NAME.penalty.max-delay", "listener.NAME.penalty.forget",
    "listener.NAME.penalty.refuse-after", "listener.NAME.penalty.exempt",
];

/// Where the parts of a listener stand, for what is checked across tables.
pub(super) struct Places {
    /// Its name.
    pub(super) listener: Place,
    /// The value of `socket`, if there is a good one.
    pub(super) socket: Option<Place>,
    /// The value of `directory`.
    pub(super) directory: Option<Place>,
    /// Each name in it.
    pub(super) names: Vec<Place>,
    /// The mechanisms that are for the remote to judge.
    pub(super) relayed: Vec<(Mechanism, Place)>,
}

impl Places {
    /// Nothing is read of the table yet.
    pub(super) fn of(table: &Table<'_>) -> Self {
        Self {
            listener: table.place.clone(),
            socket: None,
            directory: None,
            names: Vec::new(),
            relayed: Vec::new(),
        }
    }
}

/// Reads one listener; `None` when it lacks what nothing can stand for, which `found` then tells.
pub(super) fn read(found: &mut Findings, name: &str, mut table: Table<'_>) -> Option<(Listener, Places)> {
    let mut places = Places::of(&table);
    let mut protocol = None;
    let protocol_at = table.read_some(found, "protocol", &mut protocol, value::word(Protocol::ALL));
    if protocol_at.is_none() {
        missing(
            found, &table, "protocol", "what is spoken there: `\"policy\"` or `\"auth\"`",
        );
    }
    let assumed = protocol.unwrap_or(Protocol::Policy);
    let socket = socket(found, &mut table, assumed, &mut places);
    let names = directories(found, &mut table, "directory", &mut places);
    let socket_read = socket.is_some();
    let placeholder = ListenAddress::Systemd(String::new());
    let mut listener = Listener::new(name, assumed, socket.unwrap_or(placeholder), names);
    table.read(found, "mode", &mut listener.mode, value::mode);
    table.read_some(found, "owner", &mut listener.owner, value::filled);
    table.read_some(found, "group", &mut listener.group, value::filled);
    peers::peers(found, &mut table, &mut listener);
    if only(found, &mut table, protocol, "any").is_some() {
        table.read(found, "any", &mut listener.any, value::word(Any::ALL));
    }
    deadline(found, &mut table, &mut listener);
    table.read(
        found,
        "max-connections",
        &mut listener.max_connections,
        value::count(1..=1_000_000),
    );
    if let Some(limits_at) =
        only(found, &mut table, protocol, "limits").and_then(|()| table.table(found, "limits"))
    {
        limits(found, limits_at, &mut listener.limits, KEYS);
    }
    trust::trust(found, &mut table, protocol, &mut listener, KEYS);
    if let Some(actions) =
        only(found, &mut table, protocol, "action").and_then(|()| table.table(found, "action"))
    {
        action(found, actions, protocol, &mut listener.action);
    }
    if only(found, &mut table, protocol, "join-realm").is_some() {
        table.read(found, "join-realm", &mut listener.join_realm, value::flag);
    }
    places.relayed = logins(found, &mut table, protocol, &mut listener);
    users(found, &mut table, protocol, &mut listener);
    table.finish(found, KEYS);
    (protocol.is_some() && socket_read).then_some((listener, places))
}

pub(super) fn deadline(found: &mut Findings, table: &mut Table<'_>, listener: &mut Listener) {
    let longest = Duration::from_secs(3600);
    let Some(at) = table.read_some(found, "deadline", &mut listener.deadline, value::wait(longest)) else {
        return;
    };
    if let (Some((patience, text)), Some(deadline)) = (listener.protocol.row().patience, listener.deadline)
        && deadline >= Duration::from_secs(patience)
    {
        found.note(&at, format!("`{}`: {text}", table.full("deadline")));
    }
}

/// A key that only some protocols have is refused at others: its author expects something of it.
pub(super) fn only(
    found: &mut Findings,
    table: &mut Table<'_>,
    protocol: Option<Protocol>,
    key: &'static str,
) -> Option<()> {
    let field = table.field(key)?;
    let Some(protocol) = protocol.filter(|protocol| !protocol.has(key)) else {
        return Some(());
    };
    let having = Protocol::ALL.iter().filter(|(_, protocol)| protocol.has(key));
    let names: Vec<_> = having.map(|(name, _)| format!("`{name}`")).collect();
    let title = format!("`{}` does not go with protocol `{protocol}`", field.name);
    found.problem(Problem::new(
        title,
        field.key,
        format!("only with {}", names.join(", ")),
    ));
    None
}

fn socket(
    found: &mut Findings,
    table: &mut Table<'_>,
    protocol: Protocol,
    places: &mut Places,
) -> Option<ListenAddress> {
    let Some(field) = table.field("socket") else {
        missing(
            found, table, "socket", "the path of a socket, as in `\"/run/vouch/policy\"`",
        );
        return None;
    };
    match listen_address(field.value, protocol) {
        Ok(address) => {
            if let ListenAddress::Tcp(address) = address
                && !address.ip().is_loopback()
            {
                let text = "every host that can reach this address may ask which recipients exist";
                found.note(&field.key, format!("`{}`: {text}", field.name));
            }
            places.socket = Some(field.place);
            Some(address)
        }
        Err(wrong) => {
            field.wrong(found, wrong);
            None
        }
    }
}

/// `socket = absolute-path / "systemd:" name / IP ":" port`
fn listen_address(value: &DeValue<'_>, protocol: Protocol) -> Result<ListenAddress, Wrong> {
    let text = value::filled(value)?;
    if text.starts_with('/') {
        return value::socket_path(value).map(ListenAddress::Path);
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

/// The names of directories under `key`.
pub(super) fn directories(
    found: &mut Findings,
    table: &mut Table<'_>,
    key: &'static str,
    places: &mut Places,
) -> Vec<String> {
    let Some(field) = table.field(key) else {
        missing(found, table, key, "the directories to ask, as in `[\"mailbox\"]`");
        return Vec::new();
    };
    places.directory = Some(field.place.clone());
    let mut names: Vec<String> = Vec::new();
    for (name, place) in strings(found, &field, "`[\"mailbox\"]`", false) {
        if let Some(first) = names
            .iter()
            .position(|known| *known == name)
            .and_then(|at| places.names.get(at))
        {
            let title = format!("`{}` names \"{name}\" twice", field.name);
            found.problem(
                Problem::new(title, place, "named again here").also(first.clone(), "first named here"),
            );
            continue;
        }
        names.push(name);
        places.names.push(place);
    }
    if field.value.as_array().is_some_and(|array| array.is_empty()) {
        let wrong =
            Wrong::new("names no directory", "nobody could be asked").help("name one of the directories");
        field.wrong(found, wrong);
    }
    if names.is_empty() {
        // Told already; nothing is left to check across tables.
        places.directory = None;
    }
    names
}

pub(super) fn limits(
    found: &mut Findings,
    mut table: Table<'_>,
    limits: &mut ClientLimits,
    keys: &[&'static str],
) {
    table.read(found, "rcpt", &mut limits.rcpt, value::limit);
    table.read(found, "rcpt-errors", &mut limits.rcpt_errors, value::limit);
    table.read(found, "auth-errors", &mut limits.auth_errors, value::limit);
    table.finish(found, keys);
}

/// The keys of listeners for logins. Returns the mechanisms that the remote verifies.
pub(super) fn logins(
    found: &mut Findings,
    table: &mut Table<'_>,
    protocol: Option<Protocol>,
    listener: &mut Listener,
) -> Vec<(Mechanism, Place)> {
    if only(found, table, protocol, "default-domain").is_some() {
        table.read(found, "default-domain", &mut listener.default_domain, |value| {
            let text = value::text(value)?;
            if text.is_empty() {
                return Ok(None);
            }
            Domain::parse(&text).map(Some).map_err(|_| {
                Wrong::new("is not a domain", "not a domain name").help("write it as in `\"example.org\"`")
            })
        });
    }
    let relayed = only(found, table, protocol, "mechanisms")
        .and_then(|()| mechanisms(found, table, &mut listener.mechanisms));
    if only(found, table, protocol, "tempfail").is_some() {
        let words = listener.protocol.row().tempfail;
        table.read(found, "tempfail", &mut listener.tempfail, value::word(words));
    }
    if only(found, table, protocol, "ok").is_some() {
        fields::ok(found, table, protocol, &mut listener.ok);
    }
    relayed.unwrap_or_default()
}

/// Gives those that are for the remote to judge.
fn mechanisms(
    found: &mut Findings,
    table: &mut Table<'_>,
    mechanisms: &mut Vec<Mechanism>,
) -> Option<Vec<(Mechanism, Place)>> {
    let field = table.field("mechanisms")?;
    let (mut read, mut relayed) = (Vec::new(), Vec::new());
    for (text, place) in strings(found, &field, "`[\"PLAIN\", \"LOGIN\"]`", false) {
        let upper = text.to_ascii_uppercase();
        match Mechanism::ALL.iter().find(|(name, _)| *name == upper) {
            Some((_, mechanism)) if read.contains(mechanism) => {
                let title = format!("`{}` names {upper} twice", field.name);
                found.problem(Problem::new(title, place, "named again here"));
            }
            Some((_, mechanism)) => {
                read.push(*mechanism);
                if mechanism.is_relayed() {
                    relayed.push((*mechanism, place));
                }
            }
            None => {
                let title = format!("`{}` names an unknown mechanism", field.name);
                let known: Vec<_> = Mechanism::ALL
                    .iter()
                    .map(|(name, _)| format!("`\"{name}\"`"))
                    .collect();
                found.problem(
                    Problem::new(title, place, format!("known are {}", known.join(", "))).help(
                        if upper.ends_with("-PLUS") {
                            "what is bound to the client's TLS channel cannot be handed on to another server"
                        } else {
                            "a mechanism that is not among these cannot be handed on to another server"
                        },
                    ),
                );
            }
        }
    }
    if field.value.as_array().is_some_and(|array| array.is_empty()) {
        field.wrong(found, Wrong::new("offers nothing", "nobody could log in"));
    }
    *mechanisms = read;
    Some(relayed)
}

/// The keys of listeners for users.
pub(super) fn users(
    found: &mut Findings,
    table: &mut Table<'_>,
    protocol: Option<Protocol>,
    listener: &mut Listener,
) {
    if only(found, table, protocol, "exists").is_some() {
        table.read(found, "exists", &mut listener.exists, value::word(Exists::ALL));
    }
    if only(found, table, protocol, "fields").is_some() {
        fields::fields(found, table, &mut listener.fields);
    }
}
