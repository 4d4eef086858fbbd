//! The report for people, in lines of at most [`WIDTH`](super::columns::WIDTH).

use std::time::Duration;

use serde_json::Value;

use super::columns::Side::{Left, Right};
use super::columns::{Table, count, each, micros, name, paragraph, plain, warning, word};
use crate::telemetry::words::spoken;

/// A member that an older or newer daemon does not send is shown as `-`.
pub(super) fn text(report: &Value, coloured: bool) -> String {
    let mut text = head(report);
    let mut attention = each(&report["attention"]).filter_map(Value::as_str).peekable();
    if attention.peek().is_some() {
        text.push('\n');
    }
    attention.for_each(|sentence| warning(&mut text, sentence, coloured));
    listeners(report).write(&mut text);
    verdicts(report).write(&mut text);
    directories(report).write(&mut text);
    sessions(report).write(&mut text);
    memory(report).write(&mut text);
    failures(report, &mut text);
    not_understood(report, &mut text);
    text
}

fn head(report: &Value) -> String {
    let draining = if report["draining"] == true {
        ", draining"
    } else {
        ""
    };
    format!(
        "vouch {}, process {}, up {}, {} of memory, log level {}{draining}\n",
        word(&report["version"]),
        word(&report["process"]),
        seconds(&report["uptime"]),
        mebibytes(&report["memory"]),
        word(&report["log"]["level"]),
    )
}

fn listeners(report: &Value) -> Table {
    let mut table = Table::new(&[
        ("LISTENER", Left),
        ("PROTOCOL", Left),
        ("CONNECTIONS", Right),
        ("MAX", Right),
        ("REFUSED", Right),
        ("SOCKET", Left),
    ]);
    for it in each(&report["listeners"]) {
        let turned_away = it["refused"].as_u64().unwrap_or_default();
        let strangers = it["strangers"].as_u64().unwrap_or_default();
        table.row(vec![
            name(&it["name"]),
            word(&it["protocol"]),
            count(&it["connections"]),
            count(&it["max-connections"]),
            count(&(turned_away + strangers).into()),
            word(&it["socket"]),
        ]);
    }
    table
}

/// For each listener, the verdicts that occurred.
fn verdicts(report: &Value) -> Table {
    let mut table = Table::new(&[
        ("ANSWERS", Left),
        ("VERDICT", Left),
        ("COUNT", Right),
        ("MEDIAN", Right),
        ("90%", Right),
        ("99%", Right),
    ]);
    for it in each(&report["listeners"]) {
        let counted = each(&it["verdicts"]).filter(|verdict| verdict["count"].as_u64() > Some(0));
        for verdict in counted {
            let us = &verdict["us"];
            table.row(vec![
                name(&it["name"]),
                word(&verdict["verdict"]),
                count(&verdict["count"]),
                micros(&us["p50"]),
                micros(&us["p90"]),
                micros(&us["p99"]),
            ]);
        }
    }
    table
}

fn directories(report: &Value) -> Table {
    let mut table = Table::new(&[
        ("DIRECTORY", Left),
        ("TYPE", Left),
        ("STATE", Left),
        ("ANSWERED", Right),
        ("FAILED", Right),
        ("CERT", Right),
        ("ADDRESS", Left),
    ]);
    for it in each(&report["directories"]) {
        let certificate = match it["tls"]["certificate"]["days-left"].as_i64() {
            Some(days) => format!("{days} days"),
            None => "-".to_owned(),
        };
        table.row(vec![
            name(&it["name"]),
            word(&it["type"]),
            word(&it["state"]),
            ago(&it["last-answer"]),
            ago(&it["last-failure"]["ago"]),
            certificate,
            word(&it["address"]),
        ]);
    }
    table
}

fn sessions(report: &Value) -> Table {
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
    for it in each(&report["directories"]) {
        for (what, pool) in it["sessions"].as_object().into_iter().flatten() {
            let mut row = vec![name(&it["name"]), plain(what)];
            row.extend(
                ["busy", "idle", "opening", "failures", "max", "waiting"].map(|member| {
                    match pool["ceiling"].as_u64() {
                        // What the server was found to allow.
                        Some(ceiling) if member == "max" => format!("{ceiling}/{}", count(&pool["max"])),
                        _ => count(&pool[member]),
                    }
                }),
            );
            let us = &pool["probed"]["us"];
            row.extend([micros(&us["p50"]), micros(&us["p99"])]);
            table.row(row);
        }
    }
    table
}

fn memory(report: &Value) -> Table {
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
    for it in each(&report["directories"]) {
        for (what, memory) in it["remembered"].as_object().into_iter().flatten() {
            let looked = |found: &str| memory["lookups"][found].as_u64().unwrap_or_default();
            let used = ["fresh", "ageing", "stale", "miss"]
                .iter()
                .any(|found| looked(found) > 0);
            if memory["entries"].as_u64() == Some(0) && !used {
                continue;
            }
            let mut row = vec![name(&it["name"]), plain(what)];
            row.extend([count(&memory["entries"]), count(&memory["max"])]);
            row.extend(["fresh", "ageing", "stale", "miss"].map(|found| count(&looked(found).into())));
            table.row(row);
        }
    }
    table
}

/// The last failures of directories that answer again; those of the others are shown above.
fn failures(report: &Value, text: &mut String) {
    let mut first = true;
    for it in each(&report["directories"]) {
        let failure = &it["last-failure"];
        let is_told = matches!(it["state"].as_str(), Some("answers in part" | "no answer"));
        if is_told || !failure.is_object() {
            continue;
        }
        if std::mem::take(&mut first) {
            text.push_str("\nLAST FAILURE\n");
        }
        let told = format!(
            "{}, {}: {}",
            word(&it["name"]),
            ago(&failure["ago"]),
            word(&failure["why"])
        );
        paragraph(text, &told);
    }
}

/// The refusals that vouch does not understand, the most frequent of each directory.
fn not_understood(report: &Value, text: &mut String) {
    let mut first = true;
    for it in each(&report["directories"]) {
        for refusal in each(&it["not-understood"]["shown"]) {
            if std::mem::take(&mut first) {
                text.push_str("\nNOT UNDERSTOOD\n");
            }
            let told = format!(
                "{}, {} times, {}: {} {}",
                word(&it["name"]),
                word(&refusal["count"]),
                word(&refusal["question"]),
                word(&refusal["status"]),
                word(&refusal["phrase"]),
            );
            paragraph(text, &told);
        }
    }
}

fn ago(value: &Value) -> String {
    if value.is_u64() {
        format!("{} ago", seconds(value))
    } else {
        "never".to_owned()
    }
}

fn seconds(value: &Value) -> String {
    value
        .as_u64()
        .map_or_else(|| "-".to_owned(), |seconds| spoken(Duration::from_secs(seconds)))
}

fn mebibytes(value: &Value) -> String {
    match value.as_u64() {
        Some(bytes) => format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20)),
        None => "-".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cli::control::columns::WIDTH;

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
            "vouch -, process -, up -, - of memory, log level -\n"
        );
    }
}
