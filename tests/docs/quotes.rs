//! Lines of the log that are quoted.

use std::fs;

use vouch::manual::program::LOG_FIELDS;

use crate::page::{Place, pages, root};
use crate::settle;

/// The texts of the manual's page of messages, each as the parts between what is filled in.
fn messages() -> Vec<Vec<String>> {
    let text = fs::read_to_string(root().join("docs/messages.md")).unwrap();
    let mut messages = Vec::new();
    for line in text.lines() {
        let cell = match line.strip_prefix("### ") {
            Some(heading) => heading,
            None => match line.strip_prefix("| ").and_then(|row| row.split(" | ").next()) {
                Some(cell) => cell,
                None => continue,
            },
        };
        let parts: Vec<String> = cell
            .trim_matches('`')
            .trim()
            .split('{')
            .map(|part| part.split_once('}').map_or(part, |(_, rest)| rest))
            .flat_map(|part| part.split("NAME"))
            .map(str::to_owned)
            .collect();
        // A word says nothing about a line that has it.
        if parts.iter().map(|part| part.trim().len()).sum::<usize>() > 15 {
            messages.push(parts);
        }
    }
    messages
}

/// Whether the line has these parts one after the other.
fn has_in_turn(mut line: &str, parts: &[String]) -> bool {
    parts.iter().all(|part| {
        line.find(part.as_str()).is_some_and(|at| {
            line = &line[at + part.len()..];
            true
        })
    })
}

/// A line of the log, without what Dovecot or a supervisor writes before it.
fn logged(line: &str) -> Option<(&str, &str)> {
    for level in ["ERROR ", "WARN ", "INFO "] {
        if let Some(message) = line.strip_prefix(level) {
            return Some((level.trim(), message));
        }
    }
    None
}

#[test]
fn each_quoted_complaint_is_one_of_the_manual() {
    let messages = messages();
    assert!(messages.len() > 80, "{}", messages.len());
    let (mut seen, mut wrong) = (0, Vec::new());
    for page in pages() {
        for line in &page.lines {
            let Some((level, message)) = logged(&line.text) else {
                continue;
            };
            if level == "INFO" || !matches!(line.place, Place::Block(..)) {
                continue;
            }
            seen += 1;
            // A fault that goes on is counted, without the advice that was given at its first line.
            let first = message
                .split_once(" more in the last ")
                .and_then(|(fault, _)| fault.rsplit_once("; "));
            let goes_on = first.is_some_and(|(fault, _)| {
                page.lines.iter().any(|other| {
                    other.text.starts_with(&format!("{level} {fault};")) && other.number != line.number
                })
            });
            if !goes_on && !messages.iter().any(|parts| has_in_turn(message, parts)) {
                wrong.push(format!("{}: {message}", page.at(line.number)));
            }
        }
    }
    settle(seen, 15, &wrong);
}

#[test]
fn each_quoted_verdict_has_the_fields_and_words_of_the_log() {
    let causes = fs::read_to_string(root().join("docs/messages.md")).unwrap();
    let (mut seen, mut wrong) = (0, Vec::new());
    for page in pages() {
        for line in &page.lines {
            let Some((_, message)) =
                logged(&line.text).filter(|(_, message)| message.starts_with("listener="))
            else {
                continue;
            };
            seen += 1;
            let fields: Vec<(&str, &str)> = message
                .split(" answer=")
                .next()
                .unwrap()
                .split(' ')
                .filter_map(|field| field.split_once('='))
                .collect();
            let mut rest = LOG_FIELDS.iter().map(|(name, _)| *name);
            let value = |name: &str| {
                fields
                    .iter()
                    .find(|(key, _)| *key == name)
                    .map_or("", |(_, value)| *value)
            };
            let in_order = fields.iter().all(|(name, _)| rest.any(|known| known == *name));
            let cause = value("cause");
            let known = cause == "-" || causes.contains(&format!("\n| `{cause}` | "));
            let verdict = ["accept", "reject", "defer", "abstain"].contains(&value("verdict"));
            if !in_order || !known || !verdict || !message.contains(" answer=") {
                wrong.push(format!("{}: {message}", page.at(line.number)));
            }
        }
    }
    settle(seen, 5, &wrong);
}
