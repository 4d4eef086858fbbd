//! How the directories are: what they remember, the sessions with their remotes,
//! and those remotes' certificates.

use super::text::Text;
use crate::report::{Directory, Memory, Pool, State};

pub(super) fn write(text: &mut Text, directories: &[Directory]) {
    text.gauge(
        "vouch_directory_answering",
        "0 while a directory gives no answer, as in vouch status; else 1.",
    );
    each(text, directories, |it| u64::from(it.state != State::Silent));
    servers(text, directories);
    memory(text, directories);
    doubts(text, directories);
    probes(text, directories);
    sessions(text, directories);
    session_ends(text, directories);
    encryption(text, directories);
}

/// The servers of maps, as sums: which of them is sick is in the report.
fn servers(text: &mut Text, directories: &[Directory]) {
    let routed = || {
        directories
            .iter()
            .filter_map(|it| Some((&*it.name, it.routed.as_ref()?)))
    };
    text.gauge(
        "vouch_directory_servers",
        "Servers of lookup.routes: in the map (known), in use, and of these those that give no answer, or not always (sick).",
    );
    for (name, it) in routed() {
        for (state, count) in [("known", it.servers), ("in-use", it.in_use), ("sick", it.sick)] {
            text.sample(&[("directory", name), ("state", state)], count);
        }
    }
    text.gauge("vouch_directory_servers_limit", "Setting pool.max-servers.");
    for (name, it) in routed() {
        text.sample(&[("directory", name)], it.max);
    }
    text.counter(
        "vouch_directory_servers_refused_total",
        "Questions deferred as pool.max-servers were being asked already.",
    );
    for (name, it) in routed() {
        text.sample(&[("directory", name)], it.refused);
    }
}

/// One number of each directory.
fn each(text: &mut Text, directories: &[Directory], number: impl Fn(&Directory) -> u64) {
    for directory in directories {
        text.sample(&[("directory", &*directory.name)], number(directory));
    }
}

/// As `recipients` are called where one is meant.
fn one(what: &str) -> &str {
    what.strip_suffix('s').unwrap_or(what)
}

/// The caches of all directories, each with its labels.
fn caches(directories: &[Directory]) -> impl Iterator<Item = ([(&'static str, &str); 2], &Memory)> {
    directories.iter().flat_map(|directory| {
        let of = directory.remembered.iter();
        of.map(|(what, memory)| ([("directory", &*directory.name), ("cache", one(what))], memory))
    })
}

fn memory(text: &mut Text, directories: &[Directory]) {
    text.counter(
        "vouch_cache_lookups_total",
        "Cache look-ups: fresh (answered), ageing (answered, and asked again), stale (used for lack of a newer \
         answer), miss.",
    );
    for ([directory, cache], memory) in caches(directories) {
        let lookups = &memory.lookups;
        for (result, count) in [
            ("fresh", lookups.fresh),
            ("ageing", lookups.ageing),
            ("stale", lookups.stale),
            ("miss", lookups.miss),
        ] {
            text.sample(&[directory, cache, ("result", result)], count);
        }
    }
    text.gauge("vouch_cache_entries", "Cached verdicts.");
    for (labels, memory) in caches(directories) {
        text.sample(&labels, memory.entries);
    }
    text.gauge("vouch_cache_entries_limit", "Limit of cached verdicts.");
    for (labels, memory) in caches(directories) {
        text.sample(&labels, memory.max);
    }
}

fn doubts(text: &mut Text, directories: &[Directory]) {
    text.gauge(
        "vouch_catch_all_domains",
        "Domains whose remote accepts every address, so that vouch neither accepts nor rejects their recipients.",
    );
    each(text, directories, |it| {
        it.catch_all.as_ref().map_or(0, |it| it.count)
    });
    text.gauge(
        "vouch_canaries_refused",
        "Canaries that the remote refuses: refusals in their domains are deferred.",
    );
    each(text, directories, |it| it.canaries.refused);
    text.gauge(
        "vouch_doubted_domains",
        "Domains in which the remote refuses a recipient that it accepted recently: their refusals are deferred.",
    );
    each(text, directories, |it| it.doubted.count);
    text.counter(
        "vouch_replies_not_understood_total",
        "Refusals of recipients and logins that vouch did not understand, so that the questions were deferred.",
    );
    for directory in directories {
        for (question, count) in &directory.not_understood.questions {
            text.sample(&[("directory", &*directory.name), ("question", question)], count);
        }
    }
}

/// The pools of all directories, each with its labels.
fn pools(directories: &[Directory]) -> impl Iterator<Item = ([(&'static str, &str); 2], &Pool)> {
    directories.iter().flat_map(|directory| {
        let of = directory.sessions.iter();
        of.map(|(what, pool)| ([("directory", &*directory.name), ("question", one(what))], pool))
    })
}

/// One number of each pool.
fn each_pool(text: &mut Text, directories: &[Directory], number: impl Fn(&Pool) -> u64) {
    for (labels, pool) in pools(directories) {
        text.sample(&labels, number(pool));
    }
}

/// Numbers of each pool, by what the label of that name says.
fn by(
    text: &mut Text,
    directories: &[Directory],
    label: &'static str,
    counted: impl Fn(&Pool) -> &[(&'static str, u64)],
) {
    for ([directory, question], pool) in pools(directories) {
        for (name, count) in counted(pool) {
            text.sample(&[directory, question, (label, name)], count);
        }
    }
}

fn probes(text: &mut Text, directories: &[Directory]) {
    text.histogram(
        "vouch_probe_duration_seconds",
        "Time from sending a question on a session to the remote's answer.",
    );
    for (labels, pool) in pools(directories) {
        text.durations(&labels, &pool.probed.took);
    }
    text.histogram(
        "vouch_probe_queue_duration_seconds",
        "Time that a question waited for a session, the opening of one included.",
    );
    for (labels, pool) in pools(directories) {
        text.durations(&labels, &pool.queued.took);
    }
    text.counter(
        "vouch_probe_errors_total", "Questions without an answer from the remote, by cause.",
    );
    by(text, directories, "cause", |pool| &pool.errors);
    text.gauge("vouch_queue_length", "Questions that wait for a session.");
    each_pool(text, directories, |pool| pool.waiting);
    text.gauge("vouch_queue_limit", "Setting pool.queue.");
    each_pool(text, directories, |pool| pool.queue);
}

fn sessions(text: &mut Text, directories: &[Directory]) {
    text.gauge(
        "vouch_sessions", "Sessions with the remote: opening, idle, busy, closing.",
    );
    for ([directory, question], pool) in pools(directories) {
        for (state, count) in [
            ("opening", pool.opening),
            ("idle", pool.idle),
            ("busy", pool.busy),
            ("closing", pool.closing),
        ] {
            text.sample(&[directory, question, ("state", state)], count);
        }
    }
    text.gauge("vouch_sessions_limit", "Setting pool.max-sessions.");
    each_pool(text, directories, |pool| pool.max);
    text.gauge(
        "vouch_directory_paused",
        "1 during the pause after a session that the remote refused.",
    );
    each_pool(text, directories, |pool| u64::from(pool.pause_us.is_some()));
    text.histogram(
        "vouch_session_open_duration_seconds",
        "Time that the sessions took to open: name, connection, TLS, greeting.",
    );
    for (labels, pool) in pools(directories) {
        text.durations(&labels, &pool.opening_took.took);
    }
    text.counter(
        "vouch_session_open_errors_total", "Sessions that could not be opened, by cause.",
    );
    by(text, directories, "cause", |pool| &pool.not_opened);
}

fn session_ends(text: &mut Text, directories: &[Directory]) {
    text.counter("vouch_sessions_opened_total", "Sessions that were opened.");
    each_pool(text, directories, |pool| pool.opened);
    text.counter(
        "vouch_sessions_reused_total", "Questions on a session that was used before.",
    );
    each_pool(text, directories, |pool| pool.reused);
    text.counter(
        "vouch_sessions_closed_total",
        "Sessions that ended: limit (rcpt, rcpt-errors, auth-errors, or the remote's), age, idle, spent (by an accepted \
         login), goodbye (from the remote), answer (one after which the session is not reused), error.",
    );
    by(text, directories, "reason", |pool| &pool.closed);
}

fn encryption(text: &mut Text, directories: &[Directory]) {
    let encrypted = || {
        let encrypted = directories.iter();
        encrypted.filter_map(|directory| {
            Some((
                ("directory", &*directory.name),
                directory,
                directory.tls.as_ref()?,
            ))
        })
    };
    text.counter("vouch_tls_handshakes_total", "TLS handshakes that succeeded.");
    for (label, _, tls) in encrypted() {
        text.sample(&[label], tls.agreed);
    }
    text.counter(
        "vouch_tls_errors_total", "TLS handshakes that failed, or got no answer in time.",
    );
    for (label, _, tls) in encrypted() {
        text.sample(&[label], tls.failed);
    }
    text.gauge(
        "vouch_tls_certificates_checked", "0 where tls.allow-invalid-certs accepts any certificate.",
    );
    for (label, directory, _) in encrypted() {
        text.sample(&[label], u8::from(!directory.allow_invalid_certs));
    }
    text.gauge(
        "vouch_certificate_expiry_timestamp_seconds",
        "Expiry of a certificate, in seconds since 1970: the remote's, as last seen, and vouch's own.",
    );
    for (label, _, tls) in encrypted() {
        for (whose, certificate) in [("remote", &tls.certificate), ("own", &tls.own_certificate)] {
            if let Some(certificate) = certificate {
                text.sample(&[label, ("certificate", whose)], certificate.ends);
            }
        }
    }
}
