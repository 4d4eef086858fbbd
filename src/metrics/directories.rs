//! How the directories are: what they remember, the sessions with their remotes,
//! and those remotes' certificates.

use std::collections::BTreeMap;

use super::text::{Named, Text};
use crate::report::{Directory, Pool, State};

pub(super) fn write(text: &mut Text, directories: &[Directory]) {
    let all = parts(directories, Some);
    text.gauge(
        "vouch_directory_answering",
        "0 while a directory gives no answer, as in vouch status; else 1.",
    );
    text.each(&all, |it| u64::from(it.state != State::Silent));
    servers(text, directories);
    memory(text, directories);
    doubts(text, &all);
    let pools = by_what(directories, "question", |it| &it.sessions);
    probes(text, &pools);
    sessions(text, &pools);
    session_ends(text, &pools);
    encryption(text, directories);
}

/// The part of each directory that has it, with the directory's name.
fn parts<'d, T>(directories: &'d [Directory], part: impl Fn(&'d Directory) -> Option<&'d T>) -> Named<'d, T> {
    let named = |it: &'d Directory| Some((vec![("directory", &*it.name)], part(it)?));
    directories.iter().filter_map(named).collect()
}

/// What each directory has for recipients and for logins, with the directory's name and as `label` what it is for.
fn by_what<'d, T>(
    directories: &'d [Directory],
    label: &'static str,
    parts: impl Fn(&'d Directory) -> &'d BTreeMap<String, T>,
) -> Named<'d, T> {
    let named = |it: &'d Directory| {
        // `recipients` is the name of many, and the label speaks of one.
        let one = |what: &'d str| (label, what.strip_suffix('s').unwrap_or(what));
        let parts = parts(it).iter();
        parts.map(move |(what, part)| (vec![("directory", &*it.name), one(what)], part))
    };
    directories.iter().flat_map(named).collect()
}

/// The servers of maps, as sums: which of them is sick is in the report.
fn servers(text: &mut Text, directories: &[Directory]) {
    let routed = parts(directories, |it| it.routed.as_ref());
    text.gauge(
        "vouch_directory_servers",
        "Servers of lookup.routes: in the map (known), in use, and of these those that give no answer, or not always (sick).",
    );
    text.each_by(&routed, "state", |it| {
        [("known", it.servers), ("in-use", it.in_use), ("sick", it.sick)]
    });
    text.gauge("vouch_directory_servers_limit", "Setting pool.max-servers.");
    text.each(&routed, |it| it.max);
    text.counter(
        "vouch_directory_servers_refused_total",
        "Questions deferred as pool.max-servers were being asked already.",
    );
    text.each(&routed, |it| it.refused);
}

fn memory(text: &mut Text, directories: &[Directory]) {
    let caches = by_what(directories, "cache", |it| &it.remembered);
    text.counter(
        "vouch_cache_lookups_total",
        "Cache look-ups: fresh (answered), ageing (answered, and asked again), stale (used for lack of a newer \
         answer), miss.",
    );
    text.each_by(&caches, "result", |memory| {
        let lookups = &memory.lookups;
        [
            ("fresh", lookups.fresh),
            ("ageing", lookups.ageing),
            ("stale", lookups.stale),
            ("miss", lookups.miss),
        ]
    });
    text.gauge("vouch_cache_entries", "Cached verdicts.");
    text.each(&caches, |memory| memory.entries);
    text.gauge("vouch_cache_entries_limit", "Limit of cached verdicts.");
    text.each(&caches, |memory| memory.max);
}

fn doubts(text: &mut Text, directories: &Named<'_, Directory>) {
    text.gauge(
        "vouch_catch_all_domains",
        "Domains whose remote accepts every address, so that vouch neither accepts nor rejects their recipients.",
    );
    text.each(directories, |it| it.catch_all.as_ref().map_or(0, |it| it.count));
    text.gauge(
        "vouch_canaries_refused",
        "Canaries that the remote refuses: refusals in their domains are deferred.",
    );
    text.each(directories, |it| it.canaries.refused);
    text.gauge(
        "vouch_doubted_domains",
        "Domains in which the remote refuses a recipient that it accepted recently: their refusals are deferred.",
    );
    text.each(directories, |it| it.doubted.count);
    text.counter(
        "vouch_replies_not_understood_total",
        "Refusals of recipients and logins that vouch did not understand, so that the questions were deferred.",
    );
    text.each_by(directories, "question", |it| {
        it.not_understood.questions.iter().copied()
    });
}

fn probes(text: &mut Text, pools: &Named<'_, Pool>) {
    text.histogram(
        "vouch_probe_duration_seconds",
        "Time from sending a question on a session to the remote's answer.",
    );
    text.each_took(pools, |pool| &pool.probed.took);
    text.histogram(
        "vouch_probe_queue_duration_seconds",
        "Time that a question waited for a session, the opening of one included.",
    );
    text.each_took(pools, |pool| &pool.queued.took);
    text.counter(
        "vouch_probe_errors_total", "Questions without an answer from the remote, by cause.",
    );
    text.each_by(pools, "cause", |pool| pool.errors.iter().copied());
    text.gauge("vouch_queue_length", "Questions that wait for a session.");
    text.each(pools, |pool| pool.waiting);
    text.gauge("vouch_queue_limit", "Setting pool.queue.");
    text.each(pools, |pool| pool.queue);
}

fn sessions(text: &mut Text, pools: &Named<'_, Pool>) {
    text.gauge(
        "vouch_sessions", "Sessions with the remote: opening, idle, busy, closing.",
    );
    text.each_by(pools, "state", |pool| {
        [
            ("opening", pool.opening),
            ("idle", pool.idle),
            ("busy", pool.busy),
            ("closing", pool.closing),
        ]
    });
    text.gauge("vouch_sessions_limit", "Setting pool.max-sessions.");
    text.each(pools, |pool| pool.max);
    text.gauge(
        "vouch_directory_paused",
        "1 during the pause after a session that the remote refused.",
    );
    text.each(pools, |pool| u64::from(pool.pause_us.is_some()));
    text.histogram(
        "vouch_session_open_duration_seconds",
        "Time that the sessions took to open: name, connection, TLS, greeting.",
    );
    text.each_took(pools, |pool| &pool.opening_took.took);
    text.counter(
        "vouch_session_open_errors_total", "Sessions that could not be opened, by cause.",
    );
    text.each_by(pools, "cause", |pool| pool.not_opened.iter().copied());
}

fn session_ends(text: &mut Text, pools: &Named<'_, Pool>) {
    text.counter("vouch_sessions_opened_total", "Sessions that were opened.");
    text.each(pools, |pool| pool.opened);
    text.counter(
        "vouch_sessions_reused_total", "Questions on a session that was used before.",
    );
    text.each(pools, |pool| pool.reused);
    text.counter(
        "vouch_sessions_closed_total",
        "Sessions that ended: limit (rcpt, rcpt-errors, auth-errors, or the remote's), age, idle, spent (by an accepted \
         login), goodbye (from the remote), answer (one after which the session is not reused), error.",
    );
    text.each_by(pools, "reason", |pool| pool.closed.iter().copied());
}

fn encryption(text: &mut Text, directories: &[Directory]) {
    let encrypted = parts(directories, |it| it.tls.as_ref());
    text.counter("vouch_tls_handshakes_total", "TLS handshakes that succeeded.");
    text.each(&encrypted, |tls| tls.agreed);
    text.counter(
        "vouch_tls_errors_total", "TLS handshakes that failed, or got no answer in time.",
    );
    text.each(&encrypted, |tls| tls.failed);
    text.gauge(
        "vouch_tls_certificates_checked", "0 where tls.allow-invalid-certs accepts any certificate.",
    );
    let checking = parts(directories, |it| it.tls.as_ref().map(|_| it));
    text.each(&checking, |it| u8::from(!it.allow_invalid_certs));
    text.gauge(
        "vouch_certificate_expiry_timestamp_seconds",
        "Expiry of a certificate, in seconds since 1970: the remote's, as last seen, and vouch's own.",
    );
    text.each_by(&encrypted, "certificate", |tls| {
        let all = [("remote", &tls.certificate), ("own", &tls.own_certificate)];
        all.into_iter()
            .filter_map(|(whose, certificate)| Some((whose, certificate.as_ref()?.ends)))
    });
}
