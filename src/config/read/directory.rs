//! Reads `[directory."NAME"]`.

use std::time::Duration;

use super::{
    endpoint::{ehlo_name, endpoint, read_tls},
    lookup::lookup,
    missing,
    problem::Problem,
    table::{Findings, Place, Table, read_field, strings},
    value::{self, Wrong},
};
use crate::{
    address::Domain,
    config::{
        Endpoint,
        directory::{
            Auth, Cache, CatchAll, Code252, Directory, Kind, Limits, LoginMethod, MaxSessions, Policy, Pool,
            Rcpt, Replies, StartTls, Tls,
        },
    },
};

const HOUR: Duration = Duration::from_secs(3600);

/// Every key of a directory, to recognise one in the wrong table.
pub(super) const KEYS: &[&str] = &[
    "directory.NAME.type", "directory.NAME.address", "directory.NAME.port", "directory.NAME.timeout",
    "directory.NAME.ehlo-name", "directory.NAME.tls.implicit", "directory.NAME.tls.allow-invalid-certs",
    "directory.NAME.tls.starttls", "directory.NAME.tls.ca-file", "directory.NAME.tls.server-name",
    "directory.NAME.tls.cert-file", "directory.NAME.tls.key-file", "directory.NAME.tls.key-exchange",
    "directory.NAME.limits.rcpt", "directory.NAME.limits.rcpt-errors", "directory.NAME.limits.auth-errors",
    "directory.NAME.limits.unknown-rate", "directory.NAME.lookup.domains", "directory.NAME.lookup.canary",
    "directory.NAME.lookup.catch-all", "directory.NAME.lookup.fold-case",
    "directory.NAME.lookup.recipient-delimiter", "directory.NAME.rcpt.mail-from",
    "directory.NAME.rcpt.code-252", "directory.NAME.rcpt.policy", "directory.NAME.rcpt.microsoft",
    "directory.NAME.replies.unknown", "directory.NAME.replies.full", "directory.NAME.replies.later",
    "directory.NAME.replies.wrong", "directory.NAME.auth.allow-cleartext", "directory.NAME.auth.username",
    "directory.NAME.auth.confirm", "directory.NAME.auth.forward-client", "directory.NAME.pool.max-sessions",
    "directory.NAME.pool.warm-sessions", "directory.NAME.pool.queue", "directory.NAME.pool.idle-timeout",
    "directory.NAME.pool.max-age", "directory.NAME.cache.entries", "directory.NAME.cache.ttl",
    "directory.NAME.cache.file", "directory.NAME.cache.credentials",
];

/// Reads one directory. What is wrong goes to `found`, and a default stands for it.
pub(super) fn read(found: &mut Findings, name: &str, mut table: Table<'_>) -> Directory {
    let mut kind = None;
    if table
        .read_some(found, "type", &mut kind, value::word(Kind::ALL))
        .is_none()
    {
        missing(found, &table, "type", "`\"imap\"`, `\"smtp\"` or `\"lmtp\"`");
    }
    // Without a usable type there is an error already; the other keys are checked all the same.
    let kind = kind.unwrap_or(Kind::Smtp);
    let mut tls = Tls::default();
    let tls_table = table.table(found, "tls");
    let address = table.field_or_alias(found, "address", "host");
    let port = table.field("port");
    if address.is_none() {
        missing(
            found, &table, "address", "a host name, an IP address, or (lmtp) the path of a socket",
        );
    }
    if let Some(tls_table) = tls_table {
        read_tls(found, tls_table, &mut tls);
    }
    let endpoint = endpoint(found, kind, tls.implicit, address.as_ref(), port);
    let wants_tls = tls.implicit || tls.starttls == StartTls::Required;
    if let (Endpoint::Socket(_), Some(address), true, None) =
        (&endpoint, &address, wants_tls, &tls.server_name)
    {
        let title = format!("`{}` is a socket with TLS and without a name", address.name);
        found.problem(
            Problem::new(title, address.place.clone(), "a certificate cannot bear a path")
                .help("give `tls.server-name`, or leave `tls.implicit` and `tls.starttls` out"),
        );
    }
    let mut directory = Directory::new(name, kind, endpoint);
    directory.tls = tls;
    table.read(found, "timeout", &mut directory.timeout, value::wait(HOUR));
    table.read_some(found, "ehlo-name", &mut directory.ehlo_name, ehlo_name);
    if let Some(table) = table.table(found, "limits") {
        limits(found, table, &mut directory.limits);
    }
    if let Some(table) = table.table(found, "lookup") {
        lookup(found, table, &mut directory.lookup);
    }
    if let Some(table) = table.table(found, "rcpt") {
        rcpt(found, table, &mut directory.rcpt);
    }
    if let Some(table) = table.table(found, "replies") {
        replies(found, table, &mut directory.replies);
    }
    if let Some(table) = table.table(found, "auth") {
        auth(found, table, &mut directory.auth, kind);
    }
    if let Some(table) = table.table(found, "pool") {
        pool(found, table, &mut directory.pool);
    }
    if let Some(table) = table.table(found, "cache") {
        cache(found, table, &mut directory.cache);
    }
    table.finish(found, KEYS);
    directory
}

/// What an operator should know about a directory that is in order.
pub(super) fn notes(found: &mut Findings, directory: &Directory, place: &Place) {
    let full = format!("directory.\"{}\"", directory.name);
    if directory.lookup.domains.all.is_empty() {
        found.note(
            place,
            match directory.kind {
                Kind::Imap => format!("`{full}`: no `lookup.domains`: it serves every login, whatever its domain"),
                Kind::Smtp => {
                    format!("`{full}`: no `lookup.domains`: it serves every login, whatever its domain, and no recipient: \
                    list the domains that it holds")
                }
                Kind::Lmtp => format!("`{full}`: no `lookup.domains`: it serves no recipient: list the domains that it holds"),
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
    if directory.auth.allow_cleartext && directory.kind.knows_logins() {
        let text = "a password may cross the network without TLS, where anyone on the path can read it";
        found.note(place, format!("`{full}.auth.allow-cleartext`: {text}"));
    }
    if directory.cache.file.is_some() && !directory.kind.knows_recipients() {
        let text =
            "there is nothing for it: recipients are not asked about here, and logins are never on disk";
        found.note(place, format!("`{full}.cache.file`: {text}"));
    }
    let never = !directory.tls.implicit && directory.tls.starttls == StartTls::Never;
    if never && directory.kind.knows_logins() && !directory.password_in_clear() {
        let text = "no TLS at all, and no password goes without it: every login gets no answer";
        found.note(place, format!("`{full}.tls.starttls`: {text}"));
    }
}

fn limits(found: &mut Findings, mut table: Table<'_>, limits: &mut Limits) {
    table.read(found, "rcpt", &mut limits.rcpt, value::limit);
    table.read(found, "rcpt-errors", &mut limits.rcpt_errors, value::limit);
    table.read(found, "auth-errors", &mut limits.auth_errors, value::limit);
    table.read(found, "unknown-rate", &mut limits.unknown_rate, value::rate);
    table.finish(found, KEYS);
}

fn rcpt(found: &mut Findings, mut table: Table<'_>, rcpt: &mut Rcpt) {
    table.read(found, "mail-from", &mut rcpt.mail_from, |value| {
        let text = value::text(value)?;
        let valid = |text: &str| {
            text.rsplit_once('@').is_some_and(|(local, domain)| {
                !local.is_empty() && Domain::parse(domain).is_ok() && !text.contains(['<', '>', ' '])
            })
        };
        if text.is_empty() || valid(&text) {
            return Ok(text);
        }
        Err(
            Wrong::new("is not an address", "must be as in `\"probe@example.org\"`")
                .help("write `\"\"` for the null sender `<>`"),
        )
    });
    table.read(found, "code-252", &mut rcpt.code_252, value::word(Code252::ALL));
    table.read(found, "policy", &mut rcpt.policy, value::word(Policy::ALL));
    table.read(found, "microsoft", &mut rcpt.microsoft, value::flag);
    table.finish(found, KEYS);
}

/// Bound (process): phrases in one list of directory.NAME.replies. Beyond: they are refused at the start. Why: a
/// server with more languages has a name for each.
const MAX_PHRASES: usize = 100;

/// Bound (process, bytes): phrase in a list of directory.NAME.replies. Beyond: it is refused at the start. Why: as
/// much as a log line shows of a reply.
const MAX_PHRASE: usize = 200;

fn replies(found: &mut Findings, mut table: Table<'_>, replies: &mut Replies) {
    for (key, phrases) in [
        ("unknown", &mut replies.unknown),
        ("full", &mut replies.full),
        ("later", &mut replies.later),
        ("wrong", &mut replies.wrong),
    ] {
        let Some(field) = table.field(key) else { continue };
        let given = strings(found, &field, "`[\"recipient * fail\"]`", true);
        if given.len() > MAX_PHRASES {
            field.wrong(
                found,
                Wrong::new("has too many phrases", format!("at most {MAX_PHRASES}")),
            );
        }
        for (phrase, place) in given {
            if phrase.len() > MAX_PHRASE || !phrase.contains(char::is_alphanumeric) {
                let title = format!("`{}` has a phrase that is none", field.name);
                let label = format!("a phrase has a word, and at most {MAX_PHRASE} bytes");
                found.problem(Problem::new(title, place, label));
            } else {
                phrases.push(phrase);
            }
        }
    }
    table.finish(found, KEYS);
}

fn auth(found: &mut Findings, mut table: Table<'_>, auth: &mut Auth, kind: Kind) {
    table.read(found, "allow-cleartext", &mut auth.allow_cleartext, value::flag);
    table.read(found, "username", &mut auth.username, value::template);
    let mechanism = table.read(
        found,
        "mechanism",
        &mut auth.mechanism,
        value::word(LoginMethod::ALL),
    );
    match (mechanism, auth.mechanism, kind) {
        (Some(at), LoginMethod::LoginCommand, Kind::Smtp) => {
            let title = format!("`{}` is not for type `smtp`", table.full("mechanism"));
            let label = "LOGIN is a command of IMAP";
            let problem = Problem::new(title, at, label);
            found.problem(
                problem.help("SMTP AUTH takes `\"PLAIN\"` or `\"LOGIN\"`; `\"auto\"` takes what is offered"),
            );
        }
        (Some(at), _, Kind::Lmtp) => found.note(
            &at,
            format!(
                "`{}`: no effect: type `lmtp` knows no logins",
                table.full("mechanism")
            ),
        ),
        _ => {}
    }
    let confirm = table.read(found, "confirm", &mut auth.confirm, value::flag);
    if let (Some(at), true) = (confirm, auth.confirm && kind != Kind::Imap) {
        found.note(
            &at,
            format!(
                "`{}`: no effect: only type `imap` can confirm",
                table.full("confirm")
            ),
        );
    }
    table.read(found, "forward-client", &mut auth.forward_client, value::flag);
    table.finish(found, KEYS);
}

fn pool(found: &mut Findings, mut table: Table<'_>, pool: &mut Pool) {
    let max = table.field_or_alias(found, "max-sessions", "max-connections");
    let mut each = 0;
    let max = max.and_then(|field| read_field(found, field, &mut each, value::count(1..=10_000)));
    if max.is_some() {
        pool.max_sessions = MaxSessions::each(each);
    }
    let most = pool.max_sessions.logins;
    let warm = table.read(
        found,
        "warm-sessions",
        &mut pool.warm_sessions,
        value::count(0..=10_000),
    );
    if let (Some(at), true) = (&warm, pool.warm_sessions > most) {
        let title = format!("`{}` is more than `max-sessions`", table.full("warm-sessions"));
        let problem = Problem::new(title, at.clone(), format!("at most {most} can be open"));
        found.problem(match max {
            Some(max) => problem.also(max, "`max-sessions` is given here"),
            None => problem,
        });
    }
    table.read(found, "queue", &mut pool.queue, value::count(1..=1_000_000));
    table.read(
        found,
        "idle-timeout",
        &mut pool.idle_timeout,
        value::wait(24 * HOUR),
    );
    table.read(found, "max-age", &mut pool.max_age, value::wait(24 * HOUR));
    table.pass_over(
        found,
        "min-connections",
        "sessions are opened when asked for; `warm-sessions` keeps some ready",
    );
    let why = "a session lives as long as servers bear one that has not logged in; `max-age` sets it";
    table.pass_over(found, "max-lifetime", why);
    table.pass_over(
        found, "connect-timeout", "the directory's `timeout` bounds connecting too",
    );
    table.pass_over(
        found,
        "timeout",
        "the directory's `timeout` bounds connecting and each command, the listener's `deadline` the whole answer",
    );
    table.finish(found, KEYS);
}

fn cache(found: &mut Findings, mut table: Table<'_>, cache: &mut Cache) {
    table.pass_over(
        found,
        "size",
        "bytes are not counted here; `entries` bounds the recipients remembered",
    );
    table.read(
        found,
        "entries",
        &mut cache.entries,
        value::count(0..=100_000_000),
    );
    if let Some(mut ttl) = table.table(found, "ttl") {
        ttl.read(found, "positive", &mut cache.ttl.positive, value::duration);
        let refresh = ttl.read(found, "refresh", &mut cache.ttl.refresh, value::duration);
        ttl.read(found, "negative", &mut cache.ttl.negative, value::duration);
        let stale = ttl.read(found, "stale", &mut cache.ttl.stale, value::duration);
        if let (Some(at), true) = (refresh, cache.ttl.refresh > cache.ttl.positive) {
            let title = format!("`{}` is longer than `positive`", ttl.full("refresh"));
            found.problem(Problem::new(
                title, at, "the entry would be gone before it is refreshed",
            ));
        }
        if let (Some(at), true) = (stale, cache.ttl.stale < cache.ttl.positive) {
            let title = format!("`{}` is shorter than `positive`", ttl.full("stale"));
            found.problem(Problem::new(
                title, at, "an entry is not stale before `positive` is over",
            ));
        }
        // Of defaults none contradicts what the file says: they give way.
        cache.ttl.refresh = cache.ttl.refresh.min(cache.ttl.positive);
        cache.ttl.stale = cache.ttl.stale.max(cache.ttl.positive);
        ttl.finish(found, &[]);
    }
    table.read_some(found, "file", &mut cache.file, value::path);
    if let Some(mut credentials) = table.table(found, "credentials") {
        credentials.read(
            found,
            "positive",
            &mut cache.credentials.positive,
            value::duration,
        );
        credentials.read(
            found,
            "negative",
            &mut cache.credentials.negative,
            value::duration,
        );
        credentials.finish(found, &[]);
    }
    table.finish(found, KEYS);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::read;

    // Fills MAX_PHRASES, MAX_PHRASE.
    #[test]
    fn phrases_are_few_and_short() {
        let with = |phrases: &str| {
            let text = format!(
                "[directory.a]\ntype = 'lmtp'\naddress = 'a.example'\n[directory.a.replies]\nfull = {phrases}\n"
            );
            read::parse(std::path::Path::new("a.toml"), &text)
        };
        let list = |phrase: &str, count: usize| format!("['{}']", vec![phrase; count].join("', '"));
        assert!(with(&list("a * b", MAX_PHRASES)).is_ok());
        assert!(with(&list("a * b", MAX_PHRASES + 1)).is_err());
        assert!(with(&list(&"a".repeat(MAX_PHRASE), 1)).is_ok());
        for wrong in [
            list(&"a".repeat(MAX_PHRASE + 1), 1),
            list(" * ", 1),
            list("", 1),
            "1".into(),
        ] {
            assert!(with(&wrong).is_err(), "{wrong}");
        }
    }
}
