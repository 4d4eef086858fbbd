//! The keys of a listener.

use std::{borrow::Borrow, collections::BTreeMap, fmt::Display};

use super::{Key, Value, array, key, limit, list, quoted, set, some, time};
use crate::config::{Dovecot, ListenAddress, Listener, Penalty};

pub(super) fn of_listener(listener: &Listener) -> Vec<Key> {
    let (action, protocol) = (&listener.action, listener.protocol);
    let mut keys = vec![
        key("", "protocol", Value::Required(quoted(protocol))),
        key("", "socket", Value::Required(quoted(&listener.socket))),
        key("", "mode", set(quoted(format!("{:04o}", listener.mode)))),
        key(
            "",
            "owner",
            some(listener.owner.as_ref().map(quoted), "the daemon's user"),
        ),
        key(
            "",
            "group",
            some(
                listener.group.as_ref().map(quoted),
                "that of the socket's directory",
            ),
        ),
    ];
    // Nobody is known at an address.
    if !matches!(listener.socket, ListenAddress::Tcp(_)) {
        let peers = listener.peers.as_ref().map(|peers| list(peers.iter()));
        keys.push(key(
            "",
            "peers",
            peers.unwrap_or(Value::Absent("all that the mode admits".into())),
        ));
    }
    keys.push(key(
        "",
        "directory",
        Value::Required(array(listener.directory.iter())),
    ));
    if protocol.has("any") {
        keys.push(key("", "any", set(quoted(listener.any))));
    }
    keys.extend([
        of_deadline(listener),
        key("", "max-connections", set(listener.max_connections)),
    ]);
    keys.extend(of_questions(listener));
    if protocol.has("action") {
        keys.extend([
            key("action", "accept", set(quoted(action.accept.as_str()))),
            key(
                "action",
                "full",
                some(
                    action.full.as_ref().map(|full| quoted(full.as_str())),
                    "as `accept`",
                ),
            ),
            key("action", "reject", set(quoted(action.reject.as_str()))),
            key("action", "disabled", set(quoted(action.disabled.as_str()))),
            key("action", "defer", set(quoted(action.defer.as_str()))),
            key("action", "limit", set(quoted(action.limit.as_str()))),
        ]);
    }
    if protocol.has("vrfy") {
        keys.extend([
            key("action", "vrfy", set(action.vrfy)),
            key("action", "dry-run", set(action.dry_run)),
        ]);
    }
    keys
}

pub(super) fn of_dovecot(dovecot: &Dovecot) -> Vec<Key> {
    let mut keys = vec![
        key("", "logins", Value::Required(array(dovecot.logins.iter()))),
        key("", "users", Value::Required(array(dovecot.users.iter()))),
        of_deadline(&dovecot.keys),
        key("", "exists", set(quoted(dovecot.keys.exists))),
    ];
    keys.extend(of_questions(&dovecot.keys));
    keys
}

fn of_deadline(listener: &Listener) -> Key {
    let usual = match listener.protocol.row().deadline {
        (smtp, other) if smtp == other => format!("{smtp}s"),
        (smtp, other) => format!("{smtp}s for service=smtp, else {other}s"),
    };
    let deadline = listener.deadline.map_or(Value::Absent(usual.into()), time);
    key("", "deadline", deadline)
}

/// What is asked and answered, wherever the socket comes from.
fn of_questions(listener: &Listener) -> Vec<Key> {
    let (limits, protocol) = (&listener.limits, listener.protocol);
    let mut keys = Vec::new();
    if protocol.has("default-domain") {
        let domain = listener
            .default_domain
            .as_ref()
            .map_or(String::new(), ToString::to_string);
        keys.push(key("", "default-domain", set(quoted(domain))));
    }
    if protocol.has("mechanisms") {
        keys.push(key("", "mechanisms", list(listener.mechanisms.iter())));
    }
    if protocol.has("tempfail") {
        keys.push(key("", "tempfail", set(quoted(listener.tempfail))));
    }
    if protocol.has("join-realm") {
        keys.push(key("", "join-realm", set(listener.join_realm)));
    }
    if protocol.has("ok") {
        keys.push(key("", "ok", templates(&listener.ok.to_text())));
    }
    if protocol.has("penalty") {
        let penalty = listener.penalty.as_ref();
        keys.extend([
            key(
                "",
                "penalty",
                set(penalty.map_or_else(|| quoted("off"), Penalty::to_text)),
            ),
            key("", "allow", list(listener.access.allow.to_text().iter())),
            key("", "deny", list(listener.access.deny.to_text().iter())),
        ]);
    }
    if protocol.has("exists") {
        keys.push(key("", "exists", set(quoted(listener.exists))));
    }
    if protocol.has("fields") {
        keys.push(key("", "fields", templates(&listener.fields)));
    }
    if protocol.has("limits") {
        keys.extend([
            key("limits", "rcpt", limit(limits.rcpt)),
            key("limits", "rcpt-errors", limit(limits.rcpt_errors)),
            key("limits", "auth-errors", limit(limits.auth_errors)),
        ]);
    }
    keys
}

/// An inline table.
fn templates<T: Display>(fields: &BTreeMap<impl Borrow<str>, T>) -> Value {
    let fields: Vec<_> = fields
        .iter()
        .map(|(name, field)| format!("{} = {}", quoted(name.borrow()), quoted(field)))
        .collect();
    set(if fields.is_empty() {
        "{}".to_owned()
    } else {
        format!("{{ {} }}", fields.join(", "))
    })
}
