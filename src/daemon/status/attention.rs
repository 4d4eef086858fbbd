//! What in a report an administrator should know first, in sentences.

use std::time::Duration;

use serde_json::Value;

use crate::telemetry::words::spoken;

/// A certificate that expires within this many days is reported, as in the alerts of `contrib/`.
const CERTIFICATE_DAYS: i64 = 14;

/// The sentences, the most pressing first; none where all is well.
pub(super) fn of(report: &Value) -> Vec<String> {
    let mut told = Vec::new();
    if report["draining"] == true {
        told.push("shutting down: new connections are refused".to_owned());
    }
    let refused = &report["configuration"]["refused"];
    if refused.is_object() {
        told.push(format!(
            "not reloaded {} ago, so the file and the running configuration differ: {}",
            ago(&refused["ago"]),
            text(&refused["why"])
        ));
    }
    for lost in report["sockets-lost"].as_array().into_iter().flatten() {
        told.push(format!("{}: no client can connect", text(lost)));
    }
    let directories = || report["directories"].as_array().into_iter().flatten();
    directories().for_each(|it| silence(it, &mut told));
    directories().for_each(|it| queues(it, &mut told));
    for listener in report["listeners"].as_array().into_iter().flatten() {
        let (open, most) = (&listener["connections"], &listener["max-connections"]);
        if number(most) > 0 && number(open) >= number(most) {
            told.push(format!(
                "{}: all {most} connections are taken (max-connections): others are closed at once",
                name(listener)
            ));
        }
    }
    directories().for_each(|it| harvests(it, &mut told));
    directories().for_each(|it| doubts(it, &mut told));
    for listener in report["listeners"].as_array().into_iter().flatten() {
        share_of_no(listener, &mut told);
    }
    for it in directories() {
        if let Some(why) = it["file-trouble"].as_str() {
            told.push(format!(
                "{}: recipients are cached in memory only: {why}",
                name(it)
            ));
        }
    }
    directories().for_each(|it| certificates(it, &mut told));
    log(&report["log"], &mut told);
    told
}

fn silence(directory: &Value, told: &mut Vec<String>) {
    if !matches!(directory["state"].as_str(), Some("answers in part" | "no answer")) {
        return;
    }
    let failure = &directory["last-failure"];
    let what = match (number(&directory["unanswered"]), number(&directory["later"])) {
        (0, later) => format!("\"later\" was the answer to the last {later} questions; the latest"),
        (1, _) => "no answer to the last question".to_owned(),
        (unanswered, _) => {
            let since = ago(&directory["unanswered-for"]);
            format!("no answer to {unanswered} questions for {since}; the latest")
        }
    };
    let advice = failure["advice"].as_str().unwrap_or_default();
    told.push(format!(
        "{}: {what}, {} ago: {}{}{advice}",
        name(directory),
        ago(&failure["ago"]),
        text(&failure["why"]),
        if advice.is_empty() { "" } else { "; " },
    ));
}

fn queues(directory: &Value, told: &mut Vec<String>) {
    for (what, pool) in directory["sessions"].as_object().into_iter().flatten() {
        let (waiting, queue) = (number(&pool["waiting"]), number(&pool["queue"]));
        if queue > 0 && waiting >= queue - queue / 5 {
            told.push(format!(
                "{}: {waiting} of {queue} {what} wait for a session (pool.queue): the remote is slow, or \
                 pool.max-sessions too small",
                name(directory)
            ));
        }
    }
}

fn harvests(directory: &Value, told: &mut Vec<String>) {
    let unknown = &directory["unknown-rate"];
    let (refused, most) = (number(&unknown["refused"]), number(&unknown["most"]));
    if most > 0 && refused >= most {
        told.push(format!(
            "{}: {refused} recipients were refused within {} (limits.unknown-rate): recipients without a \
             cached answer are deferred without asking the server",
            name(directory),
            ago(&unknown["seconds"])
        ));
    }
}

fn doubts(directory: &Value, told: &mut Vec<String>) {
    let name = name(directory);
    let canaries = &directory["canaries"];
    for canary in canaries["shown"].as_array().into_iter().flatten() {
        if canary["state"] == "refused" {
            told.push(format!(
                "{name}: the canary {} is refused ({}): every refusal in its domain is deferred",
                text(&canary["address"]),
                text(&canary["why"])
            ));
        }
    }
    for doubt in directory["doubted"]["shown"].as_array().into_iter().flatten() {
        told.push(format!(
            "{name}: {} was accepted recently and is now refused ({}): refusals in {} have been deferred for {}",
            text(&doubt["recipient"]),
            text(&doubt["why"]),
            text(&doubt["domain"]),
            ago(&doubt["ago"])
        ));
    }
    let domains = &directory["catch-all"]["shown"];
    let domains: Vec<&str> = domains
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let more = number(&directory["catch-all"]["count"]).saturating_sub(domains.len() as u64);
    if !domains.is_empty() {
        let more = if more > 0 {
            format!(", and {more} more")
        } else {
            String::new()
        };
        told.push(format!(
            "{name}: the remote accepts every address of {}{more}: vouch neither accepts nor rejects its recipients",
            domains.join(", ")
        ));
    }
}

/// A share that is far from the one of the hours before.
fn share_of_no(listener: &Value, told: &mut Vec<String>) {
    let share = &listener["share-of-no"];
    if share["far"] == true {
        told.push(format!(
            "{}: {}% of the last {} answers of its servers were \"no\", and {}% in the six hours before: the log lines \
             with verdict=reject show the current answers",
            name(listener),
            number(&share["lately"]),
            number(&share["answers"]),
            number(&share["before"])
        ));
    }
}

fn certificates(directory: &Value, told: &mut Vec<String>) {
    let name = name(directory);
    if directory["allow-invalid-certs"] == true {
        told.push(format!(
            "{name}: any certificate is accepted (tls.allow-invalid-certs): anyone on the network path can read and forge answers"
        ));
    }
    for (member, whose) in [
        ("certificate", "the remote's certificate"),
        ("own-certificate", "our certificate (tls.cert-file)"),
    ] {
        match directory["tls"][member]["days-left"].as_i64() {
            Some(days) if days < 0 => told.push(format!("{name}: {whose} has expired; renew it")),
            Some(days) if days < CERTIFICATE_DAYS => {
                told.push(format!("{name}: {whose} expires in {days} days; renew it"));
            }
            _ => {}
        }
    }
}

fn log(log: &Value, told: &mut Vec<String>) {
    let lost = number(&log["lines-lost"]);
    if lost > 0 {
        told.push(format!(
            "{lost} log lines were lost: standard error was not read in time"
        ));
    }
    if log["level"] != log["configured"] {
        told.push(format!(
            "the log level is {}; the configuration sets {}",
            text(&log["level"]),
            text(&log["configured"])
        ));
    }
}

fn name(of: &Value) -> &str {
    text(&of["name"])
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or("-")
}

fn ago(value: &Value) -> String {
    spoken(Duration::from_secs(number(value)))
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

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
                "name": "mailbox", "unanswered": 0, "unanswered-for": null, "last-failure": null,
                "sessions": { "recipients": { "waiting": 79, "queue": 100 } },
                "allow-invalid-certs": false, "file-trouble": null,
                "tls": { "certificate": { "days-left": 14 }, "own-certificate": null },
                "canaries": { "count": 1, "refused": 0, "shown": [{ "address": "a@e.org", "state": "accepted" }] },
                "doubted": { "count": 0, "shown": [] },
                "catch-all": { "count": 0, "shown": [] },
                "unknown-rate": { "refused": 599, "most": 600, "seconds": 60 },
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
                json!({ "days-left": 0 }),
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
