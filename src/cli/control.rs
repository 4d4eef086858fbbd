//! `vouch status`: how the running daemon is.

use std::fmt::Write;
use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};

use super::{ConfigFile, fail, print, status};
use crate::control::client;

/// Arguments of `vouch status`.
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    file: ConfigFile,
    /// One JSON object
    #[arg(long)]
    json: bool,
}

/// Asks the daemon of that configuration, and shows what it says.
pub fn run(arguments: &Arguments) -> ExitCode {
    let (config, _) = match arguments.file.load() {
        Ok(read) => read,
        Err(status) => return status,
    };
    let answer = match client::ask(config.control.path(), &json!({ "ask": "status" })) {
        Ok(answer) => answer,
        Err(error) => return fail(status::UNAVAILABLE, &format!("vouch status: {error}")),
    };
    let text = if arguments.json {
        format!("{answer}\n")
    } else {
        shown(&answer)
    };
    match print(&text) {
        Ok(()) => ExitCode::SUCCESS,
        Err(status) => status,
    }
}

/// For people. What an older or newer daemon does not say is shown as `-`.
fn shown(status: &Value) -> String {
    let draining = if status["draining"] == true {
        ", draining"
    } else {
        ""
    };
    let mut text = format!(
        "vouch {}, process {}, up {}{draining}\n",
        word(&status["version"]),
        word(&status["process"]),
        time(&status["uptime"])
    );
    let rows = each(&status["listeners"], |it| {
        let places = format!("{} of {}", word(&it["connections"]), word(&it["max-connections"]));
        vec![
            word(&it["name"]),
            word(&it["protocol"]),
            places,
            word(&it["socket"]),
        ]
    });
    table(
        &mut text,
        &["LISTENER", "PROTOCOL", "CONNECTIONS", "SOCKET"],
        &rows,
    );
    let rows = each(&status["directories"], |it| {
        vec![
            word(&it["name"]),
            word(&it["type"]),
            sessions(&it["sessions"]),
            ago(&it["last-answer"]),
            ago(&it["last-failure"]["ago"]),
            word(&it["address"]),
        ]
    });
    let heads = [
        "DIRECTORY", "TYPE", "SESSIONS", "LAST ANSWER", "LAST FAILURE", "ADDRESS",
    ];
    table(&mut text, &heads, &rows);
    for directory in status["directories"].as_array().into_iter().flatten() {
        if let Some(why) = directory["last-failure"]["why"].as_str() {
            let (name, ago) = (word(&directory["name"]), ago(&directory["last-failure"]["ago"]));
            // Writing to a string cannot fail.
            let _ = write!(text, "\n{name}, {ago}: {}\n", plain(why));
        }
    }
    text
}

fn each(list: &Value, row: impl Fn(&Value) -> Vec<String>) -> Vec<Vec<String>> {
    list.as_array().into_iter().flatten().map(row).collect()
}

/// Columns as wide as their widest word. A table without a row is left out.
fn table(text: &mut String, heads: &[&str], rows: &[Vec<String>]) {
    if rows.is_empty() {
        return;
    }
    let heads: Vec<String> = heads.iter().map(ToString::to_string).collect();
    let wide = |column: usize| {
        let words = std::iter::once(&heads)
            .chain(rows)
            .filter_map(|row| row.get(column));
        words.map(|word| word.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..heads.len()).map(wide).collect();
    text.push('\n');
    for row in std::iter::once(&heads).chain(rows) {
        let cells = row
            .iter()
            .zip(&widths)
            .map(|(word, width)| format!("{word:width$}"));
        text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
    }
}

/// `recipients 2 busy, 1 idle of 10`, and who waits.
fn sessions(pools: &Value) -> String {
    let pools = pools.as_object().into_iter().flatten().map(|(what, it)| {
        let mut text = format!(
            "{what} {} busy, {} idle of {}",
            word(&it["busy"]),
            word(&it["idle"]),
            word(&it["max"])
        );
        if it["waiting"].as_u64().unwrap_or(0) > 0 {
            text.push_str(&format!(", {} waiting", word(&it["waiting"])));
        }
        text
    });
    let pools: Vec<_> = pools.collect();
    if pools.is_empty() {
        "-".to_owned()
    } else {
        pools.join("; ")
    }
}

fn word(value: &Value) -> String {
    match value {
        Value::String(text) => plain(text),
        Value::Number(number) => number.to_string(),
        _ => "-".to_owned(),
    }
}

/// A remote's words are part of it, and reach a terminal here.
fn plain(text: &str) -> String {
    text.chars()
        .map(|it| if it.is_control() { '?' } else { it })
        .collect()
}

fn ago(seconds: &Value) -> String {
    if seconds.is_u64() {
        format!("{} ago", time(seconds))
    } else {
        "never".to_owned()
    }
}

/// In the two largest units.
fn time(seconds: &Value) -> String {
    let Some(seconds) = seconds.as_u64() else {
        return "-".to_owned();
    };
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, _) => format!("{minutes}m {}s", seconds % 60),
        (0, ..) => format!("{hours}h {}m", minutes % 60),
        _ => format!("{days}d {}h", hours % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_shown_in_columns() {
        let pool = json!({ "busy": 2, "idle": 1, "opening": 0, "max": 10, "waiting": 3 });
        let status = json!({
            "version": "0.1.0", "process": 4711, "uptime": 93_784, "draining": false,
            "listeners": [
                { "name": "recipients", "protocol": "policy", "socket": "/run/p", "connections": 3, "max-connections": 100 },
                { "name": "in", "protocol": "auth", "socket": "/run/auth", "connections": 0, "max-connections": 10 },
            ],
            "directories": [{
                "name": "mailbox", "type": "lmtp", "address": "mail.example.org:24", "sessions": { "recipients": pool },
                "last-answer": 5, "last-failure": { "ago": 61, "why": "unreachable: refused\u{1b}[2J" },
            }, {
                "name": "other", "type": "imap", "address": "imap.example.org:143", "sessions": {},
                "last-answer": null, "last-failure": null,
            }],
        });
        let expected = "\
vouch 0.1.0, process 4711, up 1d 2h

LISTENER    PROTOCOL  CONNECTIONS  SOCKET
recipients  policy    3 of 100     /run/p
in          auth      0 of 10      /run/auth

DIRECTORY  TYPE  SESSIONS                                   LAST ANSWER  LAST FAILURE  ADDRESS
mailbox    lmtp  recipients 2 busy, 1 idle of 10, 3 waiting  5s ago       1m 1s ago     mail.example.org:24
other      imap  -                                          never        never         imap.example.org:143

mailbox, 1m 1s ago: unreachable: refused?[2J
";
        let shown = shown(&status);
        // The one column whose width is tiresome to count.
        let squeezed = |text: &str| {
            text.split_inclusive('\n')
                .map(|line| {
                    line.split("  ")
                        .filter(|it| !it.is_empty())
                        .map(str::trim)
                        .collect::<Vec<_>>()
                        .join("|")
                })
                .collect::<Vec<_>>()
        };
        assert_eq!(squeezed(&shown), squeezed(expected));
        assert!(
            shown.contains("recipients  policy    3 of 100     /run/p\n"),
            "{shown}"
        );
    }

    #[test]
    fn an_answer_without_anything_is_shown_too() {
        assert_eq!(shown(&json!({})), "vouch -, process -, up -\n");
    }
}
