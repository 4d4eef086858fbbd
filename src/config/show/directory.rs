//! A directory, in words.

use super::{Text, at_most, listed, servers};
use crate::config::Config;
use crate::settings::address::{Addresses, RemoteAddress};
use crate::settings::directory::{CatchAll, Code252, Directory, KeyExchange, LoginMethod, Policy, StartTls};
use crate::settings::kind::Kind;
use crate::settings::listener::Listener;
use crate::settings::routes::Routes;
use crate::settings::scalar::duration_text;

pub(super) fn words(text: &mut Text, config: &Config, directory: &Directory) {
    let knows = match directory.kind {
        Kind::Smtp if !directory.knows_logins() => "recipients",
        Kind::Imap => "logins",
        Kind::Smtp => "recipients and logins",
        Kind::Lmtp => "recipients",
    };
    text.head(format!("Directory \"{}\": knows {knows}.", directory.name));
    match &directory.lookup.routes {
        Some(routes) => route_words(text, directory, routes),
        None => servers::words(text, directory),
    }
    if !config.is_asked(&directory.name) {
        text.say("No listener asks it.");
    }
    tls_words(text, directory);
    text.say(format!(
        "Connecting and each command may take {}.",
        duration_text(directory.timeout)
    ));
    let (limits, pool) = (&directory.limits, &directory.pool);
    if directory.knows_logins() {
        password_words(text, directory);
        text.say(format!(
            "One session carries {} failed logins.",
            at_most(limits.auth_errors)
        ));
    }
    if directory.kind.knows_recipients() {
        recipient_words(text, directory);
        let (rcpt, errors) = (at_most(limits.rcpt), at_most(limits.rcpt_errors));
        text.say(format!(
            "One session carries {rcpt} recipients, {errors} refused ones among them."
        ));
        if let Some(rate) = limits.unknown_rate {
            text.say(format!(
                "Beyond {rate} refused recipients, those without a cached answer are deferred without asking; \
                 known ones are served."
            ));
        }
    }
    if directory.auth.forward_client {
        text.say(
            "Passes the client's address to the remote (IMAP ID, XCLIENT), where the remote accepts it; a login is \
             then cached for that address only.",
        );
    }
    reply_words(text, directory);
    let with = if directory.lookup.routes.is_some() {
        " with one server"
    } else {
        ""
    };
    text.say(format!(
        "At most {} sessions{with}, each for at most {}, idle for at most {}; {} questions may wait.",
        pool.max_sessions,
        duration_text(pool.max_age),
        duration_text(pool.idle_timeout),
        pool.queue
    ));
    memory_words(text, config, directory);
}

/// What a map says, in sums.
fn route_words(text: &mut Text, directory: &Directory, routes: &Routes) {
    let kind = directory.kind.as_str().to_ascii_uppercase();
    let map = &routes.map;
    let kept: usize = map.kept().iter().map(|kept| kept.count).sum();
    text.say(format!(
        "{kind} to the servers of {routes}: {} lead to {}.",
        of(map.len() - kept, "route"),
        of(map.servers().len(), "server")
    ));
    let by_mx = map
        .servers()
        .iter()
        .filter(|server| matches!(server.hosts, Addresses::Mx(_)))
        .count();
    if by_mx > 0 {
        text.say(format!(
            "By MX records: {}. This machine, and what is no better than this machine, is never asked; what a backup MX says \
             is not cached.",
            of(by_mx, "server")
        ));
    }
    for kept in map.kept() {
        let first = if kept.count == 1 { "" } else { ", the first" };
        text.say(format!(
            "Not ours, and never `.parent`'s or `*`'s: {} to {}{first} on line {} ({}).",
            of(kept.count, "route"),
            kept.way,
            kept.line,
            kept.pattern
        ));
    }
    let mut delimiters = directory.lookup.recipient_delimiter.chars();
    if let Some(delimiter) = delimiters.find(|sign| map.has_detail(*sign)) {
        text.say(format!(
            "A line with `{delimiter}` in its address has no effect: name{delimiter}detail is looked up as name."
        ));
    }
    for (own, other) in [(Kind::Smtp, Kind::Lmtp), (Kind::Lmtp, Kind::Smtp)] {
        if directory.kind == own && map.first_of(other).is_some() {
            let other = other.as_str().to_ascii_uppercase();
            text.say(format!(
                "Lines that name {other} are asked by {other}, with the stricter limits of both."
            ));
        }
    }
    text.say(format!(
        "At most {} are in use at once, each with sessions of its own; one that nobody asks is forgotten after 10 minutes.",
        of(directory.pool.max_servers as usize, "server")
    ));
}

/// A number of things.
fn of(count: usize, what: &str) -> String {
    let many = if count == 1 { "" } else { "s" };
    format!("{count} {what}{many}")
}

fn reply_words(text: &mut Text, directory: &Directory) {
    let replies = &directory.replies;
    for (phrases, meaning) in [
        (&replies.later, "no answer"),
        (&replies.full, "a full mailbox"),
        (&replies.unknown, "unknown"),
        (&replies.wrong, "a wrong password"),
    ] {
        if !phrases.is_empty() {
            text.say(format!(
                "Interprets {} as {meaning}.",
                listed(phrases.iter().map(|phrase| format!("\"{phrase}\"")))
            ));
        }
    }
}

/// Which logins are accepted while the remote is down, and what nobody hinders then.
fn stale_words(text: &mut Text, config: &Config, directory: &Directory) {
    let Some(stale) = directory.cache.credentials().stale else {
        return;
    };
    text.say(format!(
        "While the remote is down (not reached, silent, or failing in TLS), ACCEPTS FROM THE CACHE a login that was good \
         within the last {} (cache.credentials.stale): a password that was changed there meanwhile still works, and so \
         does a closed account. Any other password then counts as a failed login.",
        duration_text(stale)
    ));
    let unguarded = |listener: &&Listener| {
        let asks = listener.protocol.asks_logins() && listener.directory.contains(&directory.name);
        asks && listener.limits.auth_errors.most().is_none() && listener.penalty.is_none()
    };
    for listener in config.listener.iter().filter(unguarded) {
        text.say(format!(
            "Listener \"{}\" counts no failed logins: WHILE THE REMOTE IS DOWN, ITS CLIENTS CAN GUESS PASSWORDS AS FAST AS \
             VOUCH ANSWERS.",
            listener.name
        ));
    }
}

fn memory_words(text: &mut Text, config: &Config, directory: &Directory) {
    let (cache, kind) = (&directory.cache, directory.kind);
    if kind.knows_recipients() {
        let ttl = &cache.ttl;
        let [positive, refresh, negative, stale] =
            [ttl.positive, ttl.refresh, ttl.negative, ttl.stale].map(duration_text);
        text.say(format!(
            "Caches at most {} recipients: a known one for {positive}, asked again in the background after \
             {refresh}, and up to {stale} while the remote gives no answer; an unknown one for {negative}.",
            cache.entries
        ));
        if let Some(file) = cache.file.as_ref().filter(|_| cache.entries > 0) {
            text.say(format!(
                "Also keeps them in {}, so that they survive a restart.",
                file.display()
            ));
        }
    }
    if directory.knows_logins() {
        let (positive, negative) = (cache.credentials.positive, cache.credentials.negative);
        let kept = |time: std::time::Duration| match time.is_zero() {
            true => "not at all".to_owned(),
            false => format!("for {}", duration_text(time)),
        };
        text.say(format!(
            "Caches an accepted login {}, a refused one {}; in memory only, as a keyed hash.",
            kept(positive),
            kept(negative)
        ));
        stale_words(text, config, directory);
        text.say(match directory.pool.warm_sessions {
            0 => "Opens a session when a login needs it.".to_owned(),
            1 => "Keeps 1 session ready while logins arrive, more while many do.".to_owned(),
            count => format!("Keeps {count} sessions ready while logins arrive, more while many do."),
        });
    }
}

fn tls_words(text: &mut Text, directory: &Directory) {
    let tls = &directory.tls;
    if directory.address.are_sockets() && tls.server_name.is_none() {
        text.say("No TLS: a Unix socket does not leave this machine.");
        return;
    }
    let when = match (tls.implicit, tls.starttls) {
        (true, _) => "TLS from the first byte",
        (false, StartTls::Required) => "TLS by STARTTLS; without it, no answer",
        (false, StartTls::IfAvailable) => "TLS by STARTTLS when the remote offers it, else without TLS",
        (false, StartTls::Never) => {
            text.say("No TLS.");
            return;
        }
    };
    let whose = match &tls.server_name {
        Some(name) => format!("{name}'s"),
        None if directory.lookup.routes.is_some() => "the server's own".to_owned(),
        None => servers::whose(&directory.address),
    };
    let trust = match (&tls.ca_file, tls.allow_invalid_certs) {
        (_, true) => "ANY certificate is accepted, from any machine that answers".to_owned(),
        (Some(file), false) => {
            format!(
                "the certificate must be {whose}, by the system's authorities or those in {}",
                file.display()
            )
        }
        (None, false) => format!("the certificate must be {whose}, by the system's authorities"),
    };
    text.say(format!("{when}; {trust}."));
    if let Some(file) = &tls.cert_file {
        text.say(format!("Shows the certificate in {}.", file.display()));
    }
    if tls.key_exchange == KeyExchange::Classic {
        text.say("Key exchange by elliptic curves only.");
    }
}

fn password_words(text: &mut Text, directory: &Directory) {
    let tls_certain = directory.tls.implicit || directory.tls.starttls == StartTls::Required;
    let (cleartext, one_is_here) = (
        directory.auth.allow_cleartext,
        directory.servers().any(RemoteAddress::is_local),
    );
    let all_are_here = one_is_here && directory.servers().all(RemoteAddress::is_local);
    text.say(match (tls_certain, all_are_here, cleartext) {
        (true, _, _) => "A password is sent over TLS only.",
        (false, true, _) => "A password may be sent without TLS: it does not leave this machine.",
        (false, false, true) => "A password MAY CROSS THE NETWORK WITHOUT TLS (auth.allow-cleartext).",
        (false, false, false) if one_is_here => {
            "A password is sent over TLS only, except to a server on this machine."
        }
        (false, false, false) => "A password is sent over TLS only; without TLS there is no answer.",
    });
    text.say(format!("User name sent: {}.", directory.auth.username));
    if directory.auth.mechanism != LoginMethod::Auto {
        text.say(format!(
            "A password is sent by {} only.",
            directory.auth.mechanism
        ));
    }
    if directory.auth.confirm && directory.kind == Kind::Imap {
        text.say("One more command confirms a good login.");
    }
}

fn recipient_words(text: &mut Text, directory: &Directory) {
    let (lookup, rcpt) = (&directory.lookup, &directory.rcpt);
    let delimiter = &lookup.recipient_delimiter;
    if !delimiter.is_empty() {
        text.say(format!("name{delimiter}detail is looked up as name."));
    }
    let case = if lookup.fold_case {
        "do not distinguish"
    } else {
        "distinguish"
    };
    text.say(format!("Upper and lower case {case} local parts."));
    let code_252 = match rcpt.code_252 {
        Code252::Exists => "it exists",
        Code252::Defer => "no answer",
    };
    let policy = match rcpt.policy {
        Policy::Defer => "no answer",
        Policy::Unknown => "UNKNOWN",
    };
    text.say(format!(
        "Asks as sender <{}>; interprets 252 as \"{code_252}\", a policy refusal as \"{policy}\".",
        rcpt.mail_from
    ));
    if !lookup.canary.is_empty() {
        let canaries = listed(&lookup.canary);
        text.say(format!(
            "Must exist: {canaries}. While one is refused, refusals in its domain are deferred."
        ));
    }
    if lookup.catch_all == CatchAll::Detect {
        text.say(
            "Periodically asks for an address that cannot exist; where the remote accepts it, vouch neither accepts nor rejects.",
        );
    }
    if rcpt.microsoft {
        text.say("Interprets 550 5.4.1 as \"unknown\" (Microsoft).");
    }
}
