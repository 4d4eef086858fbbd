//! Every key with its effective value, as TOML that reads back to the same configuration.

mod listener;

use std::{borrow::Cow, fmt::Display, path::Path, time::Duration};

use super::directory::MaxSessions;
use super::{Config, Directory, Dovecot, Endpoint, Limit, Listener, duration_text};
use listener::{of_dovecot, of_listener};

/// Where the remark on a key begins.
const REMARK_COLUMN: usize = 44;

/// What a key has for its value.
#[derive(PartialEq)]
enum Value {
    /// Always given by the file.
    Required(String),
    /// Of the file, or the default.
    Set(String),
    /// Nothing: the default in words.
    Absent(Cow<'static, str>),
}

/// A key below its table (`""` is the part's own).
struct Key {
    table: &'static str,
    name: &'static str,
    value: Value,
}

/// All keys of a configuration.
pub(super) fn all(config: &Config) -> String {
    let mut out = String::new();
    for directory in &config.directory {
        let default = Directory::new(&directory.name, directory.kind, default_port(directory));
        let part = format!("directory.{}", quoted(&directory.name));
        write_keys(&mut out, &part, &of_directory(directory), &of_directory(&default));
    }
    for listener in &config.listener {
        let (protocol, socket) = (listener.protocol, listener.socket.clone());
        let default = Listener::new(&listener.name, protocol, socket, listener.directory.clone());
        let part = format!("listener.{}", quoted(&listener.name));
        write_keys(&mut out, &part, &of_listener(listener), &of_listener(&default));
    }
    if let Some(dovecot) = &config.dovecot {
        let default = Dovecot::new(dovecot.logins.clone(), dovecot.users.clone());
        write_keys(&mut out, "dovecot", &of_dovecot(dovecot), &of_dovecot(&default));
    }
    let default = Config::default();
    if config.metrics.is_some() {
        write_keys(&mut out, "metrics", &of_metrics(config), &of_metrics(config));
    }
    for (part, keys) in [
        ("control", of_control as fn(&Config) -> Vec<Key>),
        ("log", of_log),
        ("service", of_service),
    ] {
        write_keys(&mut out, part, &keys(config), &keys(&default));
    }
    out
}

fn write_keys(out: &mut String, part: &str, keys: &[Key], defaults: &[Key]) {
    let mut table = None;
    for (key, default) in keys.iter().zip(defaults) {
        if table != Some(key.table) {
            table = Some(key.table);
            let dot = if key.table.is_empty() { "" } else { "." };
            out.push_str(&format!("[{part}{dot}{}]\n", key.table));
        }
        let mut remarks = Vec::new();
        let shown = match &key.value {
            Value::Required(value) => format!("{} = {value}", key.name),
            Value::Set(value) => {
                if key.value == default.value {
                    remarks.push("default".to_owned());
                }
                format!("{} = {value}", key.name)
            }
            Value::Absent(what) => {
                remarks.push(format!("default: {what}"));
                format!("# {}", key.name)
            }
        };
        let line = if remarks.is_empty() {
            shown
        } else {
            format!("{shown:REMARK_COLUMN$} # {}", remarks.join("; "))
        };
        out.push_str(&line);
        out.push('\n');
    }
}

/// The directory's address, with the port that it would have without the key.
fn default_port(directory: &Directory) -> Endpoint {
    match &directory.address {
        Endpoint::Host { host, .. } => Endpoint::Host {
            host: host.clone(),
            port: directory.kind.default_port(directory.tls.implicit),
        },
        socket @ Endpoint::Socket(_) => socket.clone(),
    }
}

fn of_directory(directory: &Directory) -> Vec<Key> {
    let (tls, limits, lookup) = (&directory.tls, &directory.limits, &directory.lookup);
    let (rcpt, auth, pool, cache) = (
        &directory.rcpt, &directory.auth, &directory.pool, &directory.cache,
    );
    let (address, port) = match &directory.address {
        Endpoint::Host { host, port } => (quoted(host), Value::Set(port.to_string())),
        Endpoint::Socket(socket) => (path(socket), Value::Absent("a socket has none".into())),
    };
    let domains = lookup.domains.listed.iter().map(ToString::to_string);
    let files = lookup
        .domains
        .files
        .iter()
        .map(|file| format!("file://{}", file.display()));
    vec![
        key("", "type", Value::Required(quoted(directory.kind))),
        key("", "address", Value::Required(address)),
        key("", "port", port),
        key("", "timeout", time(directory.timeout)),
        key(
            "",
            "ehlo-name",
            some(directory.ehlo_name.as_ref().map(quoted), "the host's name"),
        ),
        key("tls", "implicit", set(tls.implicit)),
        key("tls", "allow-invalid-certs", set(tls.allow_invalid_certs)),
        key("tls", "starttls", set(quoted(tls.starttls))),
        key(
            "tls",
            "ca-file",
            some(tls.ca_file.as_deref().map(path), "the system's authorities alone"),
        ),
        key(
            "tls",
            "server-name",
            some(tls.server_name.as_ref().map(quoted), "`address`"),
        ),
        key(
            "tls",
            "cert-file",
            some(tls.cert_file.as_deref().map(path), "no certificate of our own"),
        ),
        key(
            "tls",
            "key-file",
            some(tls.key_file.as_deref().map(path), "no certificate of our own"),
        ),
        key("tls", "key-exchange", set(quoted(tls.key_exchange))),
        key("limits", "rcpt", limit(limits.rcpt)),
        key("limits", "rcpt-errors", limit(limits.rcpt_errors)),
        key("limits", "auth-errors", limit(limits.auth_errors)),
        key(
            "limits",
            "unknown-rate",
            set(limits.unknown_rate.map_or_else(|| quoted("off"), quoted)),
        ),
        key("lookup", "domains", list(domains.chain(files))),
        key("lookup", "canary", list(lookup.canary.iter())),
        key("lookup", "catch-all", set(quoted(lookup.catch_all))),
        key("lookup", "fold-case", set(lookup.fold_case)),
        key(
            "lookup",
            "recipient-delimiter",
            set(quoted(&lookup.recipient_delimiter)),
        ),
        key("rcpt", "mail-from", set(quoted(&rcpt.mail_from))),
        key("rcpt", "code-252", set(quoted(rcpt.code_252))),
        key("rcpt", "policy", set(quoted(rcpt.policy))),
        key("rcpt", "microsoft", set(rcpt.microsoft)),
        key("replies", "unknown", list(directory.replies.unknown.iter())),
        key("replies", "full", list(directory.replies.full.iter())),
        key("replies", "later", list(directory.replies.later.iter())),
        key("replies", "wrong", list(directory.replies.wrong.iter())),
        key("auth", "allow-cleartext", set(auth.allow_cleartext)),
        key("auth", "username", set(quoted(&auth.username))),
        key("auth", "mechanism", set(quoted(auth.mechanism))),
        key("auth", "confirm", set(auth.confirm)),
        key("auth", "forward-client", set(auth.forward_client)),
        key("pool", "max-sessions", sessions(pool.max_sessions)),
        key("pool", "warm-sessions", set(pool.warm_sessions)),
        key("pool", "queue", set(pool.queue)),
        key("pool", "idle-timeout", time(pool.idle_timeout)),
        key("pool", "max-age", time(pool.max_age)),
        key("cache", "entries", set(cache.entries)),
        key(
            "cache",
            "file",
            some(cache.file.as_deref().map(path), "memory only"),
        ),
        key("cache.ttl", "positive", time(cache.ttl.positive)),
        key("cache.ttl", "refresh", time(cache.ttl.refresh)),
        key("cache.ttl", "negative", time(cache.ttl.negative)),
        key("cache.ttl", "stale", time(cache.ttl.stale)),
        key("cache.credentials", "positive", time(cache.credentials.positive)),
        key("cache.credentials", "negative", time(cache.credentials.negative)),
    ]
}

fn of_metrics(config: &Config) -> Vec<Key> {
    let listen = config.metrics.iter().map(|metrics| quoted(&metrics.listen));
    listen
        .map(|listen| key("", "listen", Value::Required(listen)))
        .collect()
}

fn of_control(config: &Config) -> Vec<Key> {
    let socket = config.control.socket.as_deref().map(path);
    vec![key(
        "",
        "socket",
        some(socket, "/run/vouch/control, if it can be bound"),
    )]
}

fn of_log(config: &Config) -> Vec<Key> {
    let file = config.log.file.as_deref().map(path);
    vec![
        key("", "level", set(quoted(config.log.level))),
        key("", "format", set(quoted(config.log.format))),
        key("", "file", some(file, "none: standard error")),
        key("", "addresses", set(quoted(config.log.addresses))),
    ]
}

fn of_service(config: &Config) -> Vec<Key> {
    let user = config.service.user.as_ref().map(quoted);
    vec![
        key("", "user", some(user, "started as root, vouch if there is one")),
        key("", "landlock", set(config.service.landlock)),
    ]
}

fn key(table: &'static str, name: &'static str, value: Value) -> Key {
    Key { table, name, value }
}

fn set(value: impl ToString) -> Value {
    Value::Set(value.to_string())
}

fn some(value: Option<String>, otherwise: &'static str) -> Value {
    value.map_or(Value::Absent(otherwise.into()), Value::Set)
}

/// One number, where it is one.
fn sessions(most: MaxSessions) -> Value {
    if most == MaxSessions::each(most.logins) {
        set(most)
    } else {
        Value::Absent(most.to_string().into())
    }
}

fn time(duration: Duration) -> Value {
    set(quoted(duration_text(duration)))
}

fn limit(limit: Limit) -> Value {
    match limit {
        Limit::Unlimited => set(quoted(limit)),
        Limit::At(_) => set(limit),
    }
}

fn array(items: impl Iterator<Item = impl Display>) -> String {
    format!("[{}]", items.map(quoted).collect::<Vec<_>>().join(", "))
}

fn list(items: impl Iterator<Item = impl Display>) -> Value {
    Value::Set(array(items))
}

fn path(path: &Path) -> String {
    quoted(path.display())
}

/// A basic string. Nothing that is read holds a control character.
pub(crate) fn quoted(text: impl ToString) -> String {
    format!(
        "\"{}\"",
        text.to_string().replace('\\', "\\\\").replace('"', "\\\"")
    )
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::read;

    /// Holds every key, none with its default.
    const FULL: &str = include_str!("../../../tests/configs/good/full.toml");

    #[test]
    fn what_is_shown_reads_back_to_the_same() {
        let (config, _) = read::parse(Path::new("full.toml"), FULL).unwrap();
        let shown = all(&config);
        let (again, _) =
            read::parse(Path::new("shown.toml"), &shown).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(again, config);
    }

    #[test]
    fn a_default_is_marked_and_what_is_set_is_not() {
        let (config, _) = read::parse(Path::new("full.toml"), FULL).unwrap();
        let shown = all(&config);
        // Of a full file, only what no key can change is still the default.
        let defaults: Vec<_> = shown.lines().filter(|line| line.contains("# default")).collect();
        assert_eq!(defaults, Vec::<&str>::new());
        let text = "[directory.a]\ntype = 'imap'\naddress = 'a.example'\nport = 144\n";
        let (config, _) = read::parse(Path::new("small.toml"), text).unwrap();
        let shown = all(&config);
        assert!(shown.contains("\nport = 144\n"), "{shown}");
        for line in shown.lines().filter(|line| !line.starts_with('[')) {
            let given = ["type", "address", "port"]
                .iter()
                .any(|key| line.starts_with(&format!("{key} = ")));
            assert_eq!(line.contains("# default"), !given, "{line}");
        }
    }
}
