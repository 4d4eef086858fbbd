//! How the directories are: what they remember, the sessions with their remotes,
//! and those remotes' certificates.

use std::fmt::Display;

use super::Watched;
use super::text::Text;
use crate::engine::{CachedDirectory, cached_directory};
use crate::session::{Kind, certificate, pool, tls};

/// A directory at one time.
struct Directory<'a> {
    name: &'a str,
    is_silent: bool,
    memory: cached_directory::Report,
    not_understood: [(&'static str, u64); 2],
    pools: Vec<(&'static str, pool::Report)>,
    tls: Option<tls::Report>,
}

pub(super) fn write(text: &mut Text, watched: &Watched) {
    let directories: Vec<_> = watched.members.iter().map(|member| look_at(member)).collect();
    answering(text, &directories);
    memory(text, &directories);
    probes(text, &directories);
    sessions(text, &directories);
    session_ends(text, &directories);
    encryption(text, &directories);
}

fn look_at(member: &CachedDirectory) -> Directory<'_> {
    let (pools, tls) = match member.directory().report() {
        Some(report) => (report.pools, Some(report.tls)),
        None => (Vec::new(), None),
    };
    Directory {
        name: member.name(),
        is_silent: member.directory().health().is_silent(),
        memory: member.report(),
        not_understood: member.not_understood().counts(),
        pools,
        tls,
    }
}

fn answering(text: &mut Text, directories: &[Directory<'_>]) {
    text.gauge(
        "vouch_directory_answering",
        "0 while a directory gives no answer, as in vouch status; else 1.",
    );
    for directory in directories {
        text.sample(&[("directory", directory.name)], u64::from(!directory.is_silent));
    }
}

fn memory(text: &mut Text, directories: &[Directory<'_>]) {
    let caches = |memory: &cached_directory::Report| {
        [
            ("recipient", memory.recipients.clone()),
            ("login", memory.logins.clone()),
        ]
    };
    text.counter(
        "vouch_cache_lookups_total",
        "Cache look-ups: fresh (answered), ageing (answered, and asked again), stale (used for lack of a newer \
         answer), miss.",
    );
    for directory in directories {
        for (cache, report) in caches(&directory.memory) {
            for (result, count) in report.lookups {
                let labels = [
                    ("directory", directory.name),
                    ("cache", cache),
                    ("result", result),
                ];
                text.sample(&labels, count);
            }
        }
    }
    text.gauge("vouch_cache_entries", "Cached verdicts.");
    for directory in directories {
        for (cache, report) in caches(&directory.memory) {
            text.sample(&[("directory", directory.name), ("cache", cache)], report.entries);
        }
    }
    text.gauge("vouch_cache_entries_limit", "Limit of cached verdicts.");
    for directory in directories {
        for (cache, report) in caches(&directory.memory) {
            text.sample(&[("directory", directory.name), ("cache", cache)], report.limit);
        }
    }
    text.gauge(
        "vouch_catch_all_domains",
        "Domains whose remote accepts every address, so that vouch neither accepts nor rejects their recipients.",
    );
    for directory in directories {
        text.sample(
            &[("directory", directory.name)],
            directory.memory.catch_all_domains,
        );
    }
    text.gauge(
        "vouch_canaries_refused",
        "Canaries that the remote refuses: refusals in their domains are deferred.",
    );
    for directory in directories {
        text.sample(
            &[("directory", directory.name)],
            directory.memory.canaries_refused,
        );
    }
    text.gauge(
        "vouch_doubted_domains",
        "Domains in which the remote refuses a recipient that it accepted recently: their refusals are deferred.",
    );
    for directory in directories {
        text.sample(&[("directory", directory.name)], directory.memory.doubted_domains);
    }
    text.counter(
        "vouch_replies_not_understood_total",
        "Refusals of recipients and logins that vouch did not understand, so that the questions were deferred.",
    );
    for directory in directories {
        for (question, count) in directory.not_understood {
            text.sample(&[("directory", directory.name), ("question", question)], count);
        }
    }
}

fn probes(text: &mut Text, directories: &[Directory<'_>]) {
    text.histogram(
        "vouch_probe_duration_seconds",
        "Time from sending a question on a session to the remote's answer.",
    );
    for (labels, pool) in pools(directories) {
        text.durations(&labels, &pool.counts.probed.get());
    }
    text.histogram(
        "vouch_probe_queue_duration_seconds",
        "Time that a question waited for a session, the opening of one included.",
    );
    for (labels, pool) in pools(directories) {
        text.durations(&labels, &pool.counts.queued.get());
    }
    text.counter(
        "vouch_probe_errors_total", "Questions without an answer from the remote, by cause.",
    );
    for ([directory, question], pool) in pools(directories) {
        for (kind, count) in pool.counts.errors.get() {
            text.sample(&[directory, question, ("cause", kind.name())], count);
        }
    }
    text.gauge("vouch_queue_length", "Questions that wait for a session.");
    each(text, directories, |pool| pool.sessions.waiting);
    text.gauge("vouch_queue_limit", "Setting pool.queue.");
    each(text, directories, |pool| pool.queue);
}

fn sessions(text: &mut Text, directories: &[Directory<'_>]) {
    text.gauge(
        "vouch_sessions", "Sessions with the remote: opening, idle, busy, closing.",
    );
    for ([directory, question], pool) in pools(directories) {
        for (state, count) in [
            ("opening", pool.sessions.opening),
            ("idle", pool.sessions.idle),
            ("busy", pool.sessions.busy),
            ("closing", pool.sessions.closing),
        ] {
            text.sample(&[directory, question, ("state", state)], count);
        }
    }
    text.gauge("vouch_sessions_limit", "Setting pool.max-sessions.");
    each(text, directories, |pool| pool.sessions.max);
    text.gauge(
        "vouch_directory_paused",
        "1 during the pause after a session that the remote refused.",
    );
    each(text, directories, |pool| u8::from(pool.pause.is_some()));
    text.histogram(
        "vouch_session_open_duration_seconds",
        "Time that the sessions took to open: name, connection, TLS, greeting.",
    );
    for (labels, pool) in pools(directories) {
        text.durations(&labels, &pool.counts.opened.get());
    }
    text.counter(
        "vouch_session_open_errors_total", "Sessions that could not be opened, by cause.",
    );
    for ([directory, question], pool) in pools(directories) {
        // Opening one waits in no queue.
        let causes = pool
            .counts
            .not_opened
            .get()
            .filter(|(kind, _)| *kind != Kind::Overload);
        for (kind, count) in causes {
            text.sample(&[directory, question, ("cause", kind.name())], count);
        }
    }
}

fn session_ends(text: &mut Text, directories: &[Directory<'_>]) {
    text.counter("vouch_sessions_opened_total", "Sessions that were opened.");
    each(text, directories, |pool| pool.counts.opened.get().count());
    text.counter(
        "vouch_sessions_reused_total", "Questions on a session that was used before.",
    );
    each(text, directories, |pool| pool.counts.reused.get());
    text.counter(
        "vouch_sessions_closed_total",
        "Sessions that ended: limit (rcpt, rcpt-errors, auth-errors, or the remote's), age, idle, spent (by an accepted \
         login), goodbye (from the remote), answer (one after which the session is not reused), error.",
    );
    for ([directory, question], pool) in pools(directories) {
        for (reason, count) in pool.counts.closed() {
            text.sample(&[directory, question, ("reason", reason.name())], count);
        }
    }
}

fn encryption(text: &mut Text, directories: &[Directory<'_>]) {
    let known = || {
        let known = directories.iter();
        known.filter_map(|directory| Some((("directory", directory.name), directory.tls.as_ref()?)))
    };
    text.counter("vouch_tls_handshakes_total", "TLS handshakes that succeeded.");
    for (directory, tls) in known() {
        text.sample(&[directory], tls.agreed);
    }
    text.counter(
        "vouch_tls_errors_total", "TLS handshakes that failed, or got no answer in time.",
    );
    for (directory, tls) in known() {
        text.sample(&[directory], tls.failed);
    }
    text.gauge(
        "vouch_tls_certificates_checked", "0 where tls.allow-invalid-certs accepts any certificate.",
    );
    for (directory, tls) in known() {
        text.sample(&[directory], u8::from(tls.checked));
    }
    text.gauge(
        "vouch_certificate_expiry_timestamp_seconds",
        "Expiry of a certificate, in seconds since 1970: the remote's, as last seen, and vouch's own.",
    );
    for (directory, tls) in known() {
        let remote = tls.last.as_ref().map(|details| &details.certificate);
        for (whose, der) in [("remote", remote), ("own", tls.own_certificate.as_ref())] {
            if let Some(end) = der.and_then(|der| certificate::end_of(der)) {
                text.sample(&[directory, ("certificate", whose)], end);
            }
        }
    }
}

/// The pools of all directories, each with its labels.
fn pools<'a>(
    directories: &'a [Directory<'_>],
) -> impl Iterator<Item = ([(&'static str, &'a str); 2], &'a pool::Report)> {
    directories.iter().flat_map(|directory| {
        let of = directory.pools.iter();
        of.map(|(question, pool)| ([("directory", directory.name), ("question", *question)], pool))
    })
}

/// One number of each pool.
fn each<N: Display>(text: &mut Text, directories: &[Directory<'_>], number: impl Fn(&pool::Report) -> N) {
    for (labels, pool) in pools(directories) {
        text.sample(&labels, number(pool));
    }
}
