//! The report for people, in lines of at most [`WIDTH`](super::columns::WIDTH).

use std::time::Duration;

use super::columns::Side::{Left, Right};
use super::columns::{Table, count, micros, name, paragraph, plain, warning};
use crate::report::{Directory, Report, State};
use crate::telemetry::words::spoken;

pub(super) fn text(report: &Report, coloured: bool) -> String {
    let mut text = head(report);
    if !report.attention.is_empty() {
        text.push('\n');
    }
    for sentence in &report.attention {
        warning(&mut text, sentence, coloured);
    }
    listeners(report).write(&mut text);
    verdicts(report).write(&mut text);
    directories(report).write(&mut text);
    servers(report).write(&mut text);
    sessions(report).write(&mut text);
    memory(report).write(&mut text);
    stores(report).write(&mut text);
    failures(report, &mut text);
    not_understood(report, &mut text);
    text
}

fn head(report: &Report) -> String {
    let draining = if report.draining { ", draining" } else { "" };
    format!(
        "vouch {}, process {}, up {}, {} of memory, log level {}{draining}\n",
        plain(&report.version),
        report.process,
        seconds(report.uptime),
        mebibytes(report.memory),
        plain(&report.log.level),
    )
}

fn listeners(report: &Report) -> Table {
    let mut table = Table::new(&[
        ("LISTENER", Left),
        ("PROTOCOL", Left),
        ("CONNECTIONS", Right),
        ("MAX", Right),
        ("REFUSED", Right),
        ("SOCKET", Left),
    ]);
    for it in &report.listeners {
        table.row(vec![
            name(&it.name),
            plain(&it.protocol),
            count(it.connections),
            count(it.max_connections),
            count(it.refused + it.strangers),
            plain(&it.socket),
        ]);
    }
    table
}

fn stores(report: &Report) -> Table {
    let mut table = Table::new(&[
        ("FLEET", Left),
        ("ANSWERED", Right),
        ("FOUND", Right),
        ("FAILED", Right),
        ("WRITTEN", Right),
        ("LOST", Right),
        ("MEDIAN", Right),
        ("99%", Right),
        ("STORE", Left),
    ]);
    for it in &report.fleet {
        let state = match (it.used, &it.trouble) {
            (false, _) => "not used",
            (true, Some(_)) => "used in part",
            (true, None) => "used",
        };
        table.row(vec![
            plain(state),
            count(it.answered),
            count(it.found),
            count(it.failed + it.spared),
            count(it.written),
            count(it.unwritten),
            micros(it.round_trip.us.p50),
            micros(it.round_trip.us.p99),
            plain(&it.store),
        ]);
    }
    table
}

/// For each listener, the verdicts that occurred.
fn verdicts(report: &Report) -> Table {
    let mut table = Table::new(&[
        ("ANSWERS", Left),
        ("VERDICT", Left),
        ("COUNT", Right),
        ("MEDIAN", Right),
        ("90%", Right),
        ("99%", Right),
    ]);
    for it in &report.listeners {
        for verdict in it.verdicts.iter().filter(|verdict| verdict.count > 0) {
            let us = &verdict.us;
            table.row(vec![
                name(&it.name),
                plain(&verdict.verdict),
                count(verdict.count),
                micros(us.p50),
                micros(us.p90),
                micros(us.p99),
            ]);
        }
    }
    table
}

fn directories(report: &Report) -> Table {
    let mut table = Table::new(&[
        ("DIRECTORY", Left),
        ("TYPE", Left),
        ("STATE", Left),
        ("ANSWERED", Right),
        ("FAILED", Right),
        ("CERT", Right),
        ("ADDRESS", Left),
    ]);
    for it in &report.directories {
        let certificate = it.tls.as_ref().and_then(|tls| tls.certificate.as_ref());
        table.row(vec![
            name(&it.name),
            plain(&it.r#type),
            it.state.name().to_owned(),
            ago(it.last_answer),
            ago(it.last_failure.as_ref().map(|failure| failure.ago)),
            certificate.map_or("-".to_owned(), |it| format!("{} days", it.days_left)),
            plain(&it.address),
        ]);
    }
    table
}

/// Of directories with a map.
fn servers(report: &Report) -> Table {
    let mut table = Table::new(&[
        ("SERVERS OF", Left),
        ("ROUTES", Right),
        ("KNOWN", Right),
        ("IN USE", Right),
        ("MAX", Right),
        ("SICK", Right),
        ("REFUSED", Right),
    ]);
    for it in &report.directories {
        if let Some(routed) = &it.routed {
            let numbers = [
                routed.routes, routed.servers, routed.in_use, routed.max, routed.sick, routed.refused,
            ];
            let mut row = vec![name(&it.name)];
            row.extend(numbers.map(count));
            table.row(row);
        }
    }
    table
}

fn sessions(report: &Report) -> Table {
    let mut table = Table::new(&[
        ("SESSIONS", Left),
        ("FOR", Left),
        ("BUSY", Right),
        ("IDLE", Right),
        ("OPENING", Right),
        ("FAILED", Right),
        ("MAX", Right),
        ("WAITING", Right),
        ("MEDIAN", Right),
        ("99%", Right),
    ]);
    for it in &report.directories {
        for (what, pool) in &it.sessions {
            let max = count(pool.max);
            table.row(vec![
                name(&it.name),
                plain(what),
                count(pool.busy),
                count(pool.idle),
                count(pool.opening),
                count(pool.failures),
                // What the server was found to allow.
                pool.ceiling
                    .map_or(max.clone(), |ceiling| format!("{ceiling}/{max}")),
                count(pool.waiting),
                micros(pool.probed.us.p50),
                micros(pool.probed.us.p99),
            ]);
        }
    }
    table
}

fn memory(report: &Report) -> Table {
    let mut table = Table::new(&[
        ("CACHE", Left),
        ("WHAT", Left),
        ("ENTRIES", Right),
        ("MAX", Right),
        ("FRESH", Right),
        ("AGEING", Right),
        ("STALE", Right),
        ("MISS", Right),
    ]);
    for it in &report.directories {
        for (what, memory) in &it.remembered {
            let looked = &memory.lookups;
            let looked = [looked.fresh, looked.ageing, looked.stale, looked.miss];
            if memory.entries == 0 && looked == [0; 4] {
                continue;
            }
            let mut row = vec![name(&it.name), plain(what)];
            row.extend([memory.entries, memory.max].map(count));
            row.extend(looked.map(count));
            table.row(row);
        }
    }
    table
}

/// The last failures of directories that answer again; those of the others are shown above.
fn failures(report: &Report, text: &mut String) {
    let well = |it: &&Directory| it.state < State::Falters;
    let failures = report.directories.iter().filter(well);
    let failures = failures.filter_map(|it| Some((it, it.last_failure.as_ref()?)));
    for (number, (it, failure)) in failures.enumerate() {
        if number == 0 {
            text.push_str("\nLAST FAILURE\n");
        }
        paragraph(
            text,
            &format!("{}, {}: {}", it.name, ago(Some(failure.ago)), failure.why),
        );
    }
}

/// The refusals that vouch does not understand, the most frequent of each directory.
fn not_understood(report: &Report, text: &mut String) {
    let refusals = report.directories.iter();
    let refusals = refusals.flat_map(|it| it.not_understood.shown.iter().map(move |refusal| (it, refusal)));
    for (number, (it, refusal)) in refusals.enumerate() {
        if number == 0 {
            text.push_str("\nNOT UNDERSTOOD\n");
        }
        let told = format!(
            "{}, {} times, {}: {} {}",
            it.name, refusal.count, refusal.question, refusal.status, refusal.phrase
        );
        paragraph(text, &told);
    }
}

fn ago(at: Option<u64>) -> String {
    at.map_or("never".to_owned(), |at| format!("{} ago", seconds(at)))
}

fn seconds(seconds: u64) -> String {
    spoken(Duration::from_secs(seconds))
}

fn mebibytes(bytes: Option<u64>) -> String {
    bytes.map_or("-".to_owned(), |bytes| {
        format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
    })
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::{Value, json};

    use super::*;
    use crate::cli::control::columns::WIDTH;

    fn text(report: &Value, coloured: bool) -> String {
        super::text(&Report::deserialize(report).unwrap(), coloured)
    }

    fn report() -> Value {
        let pool = json!({
            "busy": 2, "idle": 1, "opening": 0, "failures": 4, "max": 10, "waiting": 3, "queue": 2000,
            "probed": { "count": 9, "us": { "p50": 754, "p90": 2_000, "p99": 41_000 } },
        });
        let lookups = json!({ "fresh": 40, "ageing": 2, "stale": 1, "miss": 9 });
        json!({
            "version": "0.1.0", "process": 4711, "uptime": 93_784, "draining": false, "memory": 12_897_485,
            "log": { "level": "info", "configured": "info", "lines-lost": 0 },
            "attention": ["other: no answer to the last question, 7 s ago: timeout: other (h:143): greeting: \u{1b}[2J none in time"],
            "listeners": [{
                "name": "recipients", "protocol": "policy", "socket": "/run/p", "connections": 3, "max-connections": 100,
                "refused": 1, "strangers": 2,
                "verdicts": [
                    { "verdict": "accept", "count": 52, "us": { "p50": 80, "p90": 1_900, "p99": 41_000 } },
                    { "verdict": "reject", "count": 0, "us": { "p50": null, "p90": null, "p99": null } },
                ],
            }],
            "fleet": [{
                "store": "unix:/r/redis.sock", "used": true, "trouble": null, "answered": 61, "found": 40,
                "failed": 3, "spared": 2, "written": 9, "unwritten": 1,
                "round-trip": { "count": 61, "us": { "p50": 230, "p90": 400, "p99": 1_200 } },
            }],
            "directories": [{
                "name": "mailbox", "type": "lmtp", "address": "mail.example.org:24", "state": "answers",
                "sessions": { "recipients": pool }, "last-answer": 5, "unanswered": 0,
                "last-failure": { "ago": 61, "why": "unreachable: refused" },
                "tls": { "certificate": { "days-left": 83 } },
                "not-understood": { "count": 10, "shown": [
                    { "question": "recipient", "status": "550", "phrase": "Recipient * FAIL", "count": 9 },
                    { "question": "login", "status": "NO", "phrase": "cannot\u{1b} be", "count": 1 },
                ] },
                "remembered": {
                    "recipients": { "entries": 9, "max": 100_000, "lookups": lookups },
                    "logins": { "entries": 0, "max": 200_000, "lookups": {} },
                },
            }, {
                "name": "other", "type": "imap", "address": "imap.example.org:143", "state": "no answer",
                "sessions": {}, "last-answer": null, "unanswered": 1,
                "last-failure": { "ago": 7, "why": "timeout: x" }, "tls": null, "remembered": {},
            }],
        })
    }

    #[test]
    fn it_is_shown_in_columns_with_what_is_wrong_first() {
        let expected = "\
vouch 0.1.0, process 4711, up 26 h, 12.3 MiB of memory, log level info

! other: no answer to the last question, 7 s ago: timeout: other (h:143):
  greeting: ?[2J none in time

LISTENER    PROTOCOL  CONNECTIONS  MAX  REFUSED  SOCKET
recipients  policy              3  100        3  /run/p

ANSWERS     VERDICT  COUNT  MEDIAN    90%   99%
recipients  accept      52    80us  1.9ms  41ms

DIRECTORY  TYPE  STATE      ANSWERED    FAILED     CERT  ADDRESS
mailbox    lmtp  answers     5 s ago  61 s ago  83 days  mail.example.org:24
other      imap  no answer     never   7 s ago        -  imap.example.org:143

SESSIONS  FOR         BUSY  IDLE  OPENING  FAILED  MAX  WAITING  MEDIAN   99%
mailbox   recipients     2     1        0       4   10        3   754us  41ms

CACHE    WHAT        ENTRIES     MAX  FRESH  AGEING  STALE  MISS
mailbox  recipients        9  100000     40       2      1     9

FLEET  ANSWERED  FOUND  FAILED  WRITTEN  LOST  MEDIAN    99%  STORE
used         61     40       5        9     1   230us  1.2ms  unix:/r/redis.sock

LAST FAILURE
mailbox, 61 s ago: unreachable: refused

NOT UNDERSTOOD
mailbox, 9 times, recipient: 550 Recipient * FAIL
mailbox, 1 times, login: NO cannot? be
";
        assert_eq!(text(&report(), false), expected);
    }

    #[test]
    fn lines_fit_a_terminal_whatever_things_are_called() {
        let mut report = report();
        // As much as there can be of everything.
        let widest = |value: &mut Value| {
            for (name, member) in value.as_object_mut().into_iter().flatten() {
                if member.is_u64() && name != "ago" {
                    *member = 9_999_999.into();
                }
            }
        };
        let mut store = report["fleet"][0].clone();
        store["trouble"] = "x".into();
        widest(&mut store);
        report["fleet"].as_array_mut().unwrap().push(store);
        for list in ["listeners", "directories"] {
            let mut other = report[list][0].clone();
            other["name"] = "n".repeat(200).into();
            other["protocol"] = "saslauthd".into();
            other["state"] = "answers in part".into();
            other["socket"] = "s".repeat(200).into();
            other["address"] = "mail.of.a.long.name.example.org:10024".into();
            other["last-answer"] = 3_599.into();
            other["last-failure"]["ago"] = 3_599.into();
            if let Some(verdict) = other.pointer_mut("/verdicts/0") {
                widest(verdict);
            }
            for count in ["connections", "max-connections", "refused"] {
                other[count] = 9_999_999.into();
            }
            for count in ["entries", "max"] {
                other["remembered"]["recipients"][count] = 1_000_000_000.into();
            }
            widest(&mut other["remembered"]["recipients"]["lookups"]);
            other["sessions"]["recipients"]["max"] = 100.into();
            other["sessions"]["recipients"]["waiting"] = 20_000.into();
            other["sessions"]["recipients"]["ceiling"] = 8.into();
            let all = report[list].as_array_mut().unwrap();
            for _ in 0..30 {
                all.push(other.clone());
            }
        }
        assert!(text(&report, false).contains("\n    mail.of.a.long.name.example.org:10024\n"));
        // A word of a sentence is not cut: it may be what somebody searches for.
        let lines = text(&report, false);
        for line in lines.lines().take_while(|line| !line.starts_with("LAST FAILURE")) {
            assert!(line.chars().count() <= WIDTH, "{line}");
        }
    }

    #[test]
    fn an_answer_without_anything_is_shown_too() {
        assert_eq!(
            text(&json!({}), true),
            "vouch , process 0, up 0 s, - of memory, log level \n"
        );
    }
}
