//! What in a report an administrator should know first, in sentences.

use std::time::Duration;

use super::{Certificate, Directory, Listener, Log, Report, State};
use crate::telemetry::words::spoken;

/// A certificate that expires within this many days is reported, as in the alerts of `contrib/`.
pub(crate) const CERTIFICATE_DAYS: i64 = 14;

/// The sentences, the most pressing first; none where all is well.
pub(super) fn of(report: &Report) -> Vec<String> {
    let mut told = Vec::new();
    if report.draining {
        told.push("shutting down: new connections are refused".to_owned());
    }
    if let Some(refused) = &report.configuration.refused {
        told.push(format!(
            "not reloaded {} ago, so the file and the running configuration differ: {}",
            ago(refused.ago),
            refused.why
        ));
    }
    for lost in &report.sockets_lost {
        told.push(format!("{lost}: no client can connect"));
    }
    let directories = || report.directories.iter();
    directories().for_each(|it| silence(it, &mut told));
    directories().for_each(|it| stale_logins(it, &mut told));
    directories().for_each(|it| servers(it, &mut told));
    directories().for_each(|it| queues(it, &mut told));
    for listener in report.listeners.iter().filter(|it| it.is_full()) {
        told.push(format!(
            "{}: all {} connections are taken (max-connections): others are closed at once",
            listener.name, listener.max_connections
        ));
    }
    directories().for_each(|it| harvests(it, &mut told));
    directories().for_each(|it| doubts(it, &mut told));
    report.listeners.iter().for_each(|it| share_of_no(it, &mut told));
    for it in directories() {
        if let Some(why) = &it.file_trouble {
            told.push(format!(
                "{}: recipients are cached in memory only: {why}",
                it.name
            ));
        }
    }
    for it in &report.fleet {
        if let Some(why) = &it.trouble {
            told.push(format!("fleet: {}: {why}", it.store));
        }
    }
    for it in &report.doubting {
        let domains = match it.domains {
            1 => "1 domain is".to_owned(),
            more => format!("{more} domains are"),
        };
        told.push(format!(
            "fleet: a canary of {domains} refused at the edge {}, {} ago: refusals in such a domain are deferred at all edges",
            it.edge,
            ago(it.ago)
        ));
    }
    directories().for_each(|it| certificates(it, &mut told));
    log(&report.log, &mut told);
    told
}

fn silence(directory: &Directory, told: &mut Vec<String>) {
    let Some(failure) = &directory.last_failure else {
        return;
    };
    // Of a map, the sick servers are named one by one.
    if directory.state < State::Falters || directory.routed.is_some() {
        return;
    }
    let what = match (directory.unanswered, directory.later.unwrap_or_default()) {
        (0, later) => format!("\"later\" was the answer to the last {later} questions; the latest"),
        (1, _) => "no answer to the last question".to_owned(),
        (unanswered, _) => {
            let since = ago(directory.unanswered_for.unwrap_or_default());
            format!("no answer to {unanswered} questions for {since}; the latest")
        }
    };
    told.push(format!(
        "{}: {what}, {} ago: {}{}{}",
        directory.name,
        ago(failure.ago),
        failure.why,
        if failure.advice.is_empty() { "" } else { "; " },
        failure.advice,
    ));
}

fn stale_logins(directory: &Directory, told: &mut Vec<String>) {
    if let Some(stale) = &directory.stale_logins
        && let Some(since) = stale.ago
    {
        let logins = match stale.accepted {
            1 => "1 login was".to_owned(),
            accepted => format!("{accepted} logins were"),
        };
        told.push(format!(
            "{}: {logins} accepted from the cache in the last {}, since the server gives no answer \
             (cache.credentials.stale): passwords that were changed there meanwhile still work",
            directory.name,
            ago(since)
        ));
    }
}

/// The servers of a map that give no answer, or not always.
fn servers(directory: &Directory, told: &mut Vec<String>) {
    let Some(routed) = &directory.routed else {
        return;
    };
    let name = &directory.name;
    for sick in &routed.shown {
        let what = match (sick.unanswered, sick.unanswered_for) {
            (0, _) => "all that it says is \"later\"".to_owned(),
            (1, _) => "no answer to the last question".to_owned(),
            (unanswered, since) => {
                format!(
                    "no answer to {unanswered} questions for {}",
                    ago(since.unwrap_or_default())
                )
            }
        };
        let why = sick
            .why
            .as_ref()
            .map_or(String::new(), |why| format!("; the latest: {why}"));
        told.push(format!("{name}: {}: {what}{why}", sick.server));
    }
    let more = routed.sick.saturating_sub(routed.shown.len() as u64);
    if more > 0 {
        told.push(format!(
            "{name}: and {more} more of {} servers in use give no answer, or not always",
            routed.in_use
        ));
    }
    if routed.refused > 0 && routed.in_use >= routed.max {
        told.push(format!(
            "{name}: {} servers are in use, as many as may be (pool.max-servers): {} questions to others had no answer",
            routed.in_use, routed.refused
        ));
    }
}

fn queues(directory: &Directory, told: &mut Vec<String>) {
    for (what, pool) in &directory.sessions {
        let (waiting, queue) = (pool.waiting, pool.queue);
        if queue > 0 && waiting >= queue - queue / 5 {
            told.push(format!(
                "{}: {waiting} of {queue} {what} wait for a session (pool.queue): the remote is slow, or \
                 pool.max-sessions too small",
                directory.name
            ));
        }
    }
}

fn harvests(directory: &Directory, told: &mut Vec<String>) {
    if let Some(unknown) = &directory.unknown_rate
        && unknown.refused >= unknown.most
    {
        told.push(format!(
            "{}: {} recipients were refused within {} (limits.unknown-rate): recipients without a \
             cached answer are deferred without asking the server",
            directory.name,
            unknown.refused,
            ago(unknown.seconds)
        ));
    }
}

fn doubts(directory: &Directory, told: &mut Vec<String>) {
    let name = &directory.name;
    for canary in directory.canaries.shown.iter().filter(|it| it.state == "refused") {
        told.push(format!(
            "{name}: the canary {} is refused ({}): every refusal in its domain is deferred",
            canary.address,
            canary.why.as_deref().unwrap_or("-")
        ));
    }
    for doubt in &directory.doubted.shown {
        told.push(format!(
            "{name}: {} was accepted recently and is now refused ({}): refusals in {} have been deferred for {}",
            doubt.recipient,
            doubt.why,
            doubt.domain,
            ago(doubt.ago)
        ));
    }
    let Some(catch_all) = directory.catch_all.as_ref().filter(|it| !it.shown.is_empty()) else {
        return;
    };
    let more = match catch_all.count.saturating_sub(catch_all.shown.len() as u64) {
        0 => String::new(),
        more => format!(", and {more} more"),
    };
    told.push(format!(
        "{name}: the remote accepts every address of {}{more}: vouch neither accepts nor rejects its recipients",
        catch_all.shown.join(", ")
    ));
}

/// A share that is far from the one of the hours before.
fn share_of_no(listener: &Listener, told: &mut Vec<String>) {
    let share = &listener.share_of_no;
    if share.far {
        told.push(format!(
            "{}: {}% of the last {} answers of its servers were \"no\", and {}% in the six hours before: the log lines \
             with verdict=reject show the current answers",
            listener.name,
            share.lately.unwrap_or_default(),
            share.answers,
            share.before.unwrap_or_default()
        ));
    }
}

fn certificates(directory: &Directory, told: &mut Vec<String>) {
    let name = &directory.name;
    if directory.allow_invalid_certs {
        told.push(format!(
            "{name}: any certificate is accepted (tls.allow-invalid-certs): anyone on the network path can read and forge answers"
        ));
    }
    let Some(tls) = &directory.tls else {
        return;
    };
    for (certificate, whose) in [
        (&tls.certificate, "the remote's certificate"),
        (&tls.own_certificate, "our certificate (tls.cert-file)"),
    ] {
        match certificate {
            Some(Certificate { days_left: ..0, .. }) => {
                told.push(format!("{name}: {whose} has expired; renew it"));
            }
            Some(Certificate { days_left, .. }) if *days_left < CERTIFICATE_DAYS => {
                told.push(format!("{name}: {whose} expires in {days_left} days; renew it"));
            }
            _ => {}
        }
    }
}

fn log(log: &Log, told: &mut Vec<String>) {
    if log.lines_lost > 0 {
        told.push(format!(
            "{} log lines were lost: standard error was not read in time",
            log.lines_lost
        ));
    }
    if log.level != log.configured {
        told.push(format!(
            "the log level is {}; the configuration sets {}",
            log.level, log.configured
        ));
    }
}

fn ago(seconds: u64) -> String {
    spoken(Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    fn of(report: &Value) -> Vec<String> {
        super::of(&serde_json::from_value(report.clone()).unwrap())
    }

    /// A report of a daemon that is well, with one listener and one directory.
    fn well() -> Value {
        json!({
            "draining": false,
            "sockets-lost": [],
            "log": { "level": "info", "configured": "info", "lines-lost": 0 },
            "listeners": [{
                "name": "in", "connections": 3, "max-connections": 10,
                "share-of-no": { "lately": 40, "before": 12, "answers": 60, "far": false },
            }],
            "directories": [{
                "name": "mailbox", "state": "answers", "unanswered": 0, "unanswered-for": null, "last-failure": null,
                "sessions": { "recipients": { "waiting": 79, "queue": 100 } },
                "allow-invalid-certs": false, "file-trouble": null,
                "tls": { "certificate": { "days-left": 14 }, "own-certificate": null },
                "canaries": { "count": 1, "refused": 0, "shown": [{ "address": "a@e.org", "state": "accepted" }] },
                "doubted": { "count": 0, "shown": [] },
                "catch-all": { "count": 0, "shown": [] },
                "unknown-rate": { "refused": 599, "most": 600, "seconds": 60 },
                "stale-logins": { "accepted": 0, "ago": null },
            }],
        })
    }

    #[test]
    fn nothing_is_said_of_what_is_well() {
        assert_eq!(of(&well()), [""; 0]);
        assert_eq!(of(&json!({})), [""; 0]);
    }

    #[test]
    fn each_trouble_is_one_sentence() {
        let failure = json!({ "ago": 2, "why": "timeout: m (h:25): greeting: no answer in time" });
        for (place, trouble, expected) in [
            (
                "/draining",
                json!(true),
                "shutting down: new connections are refused",
            ),
            (
                "/sockets-lost",
                json!(["listener \"in\": somebody removed its socket"]),
                "listener \"in\": somebody removed its socket: no client can connect",
            ),
            (
                "/listeners/0/connections",
                json!(10),
                "in: all 10 connections are taken",
            ),
            (
                "/directories/0/sessions/recipients/waiting",
                json!(80),
                "mailbox: 80 of 100 recipients wait for a session",
            ),
            (
                "/directories/0/canaries/shown/0",
                json!({ "address": "a@e.org", "state": "refused", "why": "550 no" }),
                "mailbox: the canary a@e.org is refused (550 no): every refusal in its domain is deferred",
            ),
            (
                "/directories/0/doubted",
                json!({ "count": 1, "shown": [{
                    "domain": "e.org", "recipient": "a@e.org", "why": "550 no", "ago": 180,
                }] }),
                "mailbox: a@e.org was accepted recently and is now refused (550 no): refusals in e.org have been deferred for \
                 3 min",
            ),
            (
                "/listeners/0/share-of-no/far",
                json!(true),
                "in: 40% of the last 60 answers of its servers were \"no\", and 12% in the six hours before",
            ),
            (
                "/directories/0/catch-all",
                json!({ "count": 3, "shown": ["e.org"] }),
                "every address of e.org, and 2 more: ",
            ),
            (
                "/directories/0/allow-invalid-certs",
                json!(true),
                "mailbox: any certificate is accepted",
            ),
            (
                "/directories/0/tls/certificate/days-left",
                json!(13),
                "mailbox: the remote's certificate expires in 13 days",
            ),
            (
                "/directories/0/tls/certificate/days-left",
                json!(-1),
                "mailbox: the remote's certificate has expired",
            ),
            (
                "/directories/0/tls/own-certificate",
                json!({ "ends": 0, "days-left": 0 }),
                "our certificate (tls.cert-file) expires in 0 days",
            ),
            (
                "/directories/0/file-trouble",
                json!("/x: disk full"),
                "mailbox: recipients are cached in memory only: /x: disk full",
            ),
            (
                "/directories/0/unknown-rate/refused",
                json!(600),
                "mailbox: 600 recipients were refused within 60 s (limits.unknown-rate)",
            ),
            (
                "/directories/0/stale-logins",
                json!({ "accepted": 12, "ago": 240 }),
                "mailbox: 12 logins were accepted from the cache in the last 4 min, since the server gives no answer",
            ),
            ("/log/lines-lost", json!(7), "7 log lines were lost"),
            (
                "/log/level",
                json!("trace"),
                "the log level is trace; the configuration sets info",
            ),
        ] {
            let mut report = well();
            *report.pointer_mut(place).unwrap() = trouble;
            let told = of(&report);
            assert!(told.len() == 1 && told[0].contains(expected), "{place}: {told:?}");
        }
        let mut report = well();
        report["directories"][0]["last-failure"] = failure;
        report["directories"][0]["state"] = json!("no answer");
        report["directories"][0]["unanswered"] = json!(17);
        report["directories"][0]["unanswered-for"] = json!(185);
        assert_eq!(
            of(&report),
            [
                "mailbox: no answer to 17 questions for 3 min; the latest, 2 s ago: timeout: m \
              (h:25): greeting: no answer in time"
            ]
        );
    }
}
