//! A line of the log as one JSON object (RFC 8259): for programs.

use std::fmt::{Debug, Display, Write};

use tracing::Event;
use tracing::field::{Field, Visit};

use super::line::{self, MESSAGE};
use super::{addresses, clock};
use crate::unseen::is_unseen;

/// Appends a whole line: `time`, `level`, `target`, the event's fields, and `message`,
/// which for an event without a text is the last part of its target.
pub(super) fn record(text: &mut String, event: &Event<'_>) {
    let metadata = event.metadata();
    text.push_str("{\"time\":\"");
    clock::write(text);
    text.push_str("\",\"level\":\"");
    text.extend(
        metadata
            .level()
            .as_str()
            .chars()
            .map(|letter| letter.to_ascii_lowercase()),
    );
    text.push_str("\",\"target\":");
    string(text, metadata.target());
    let mut fields = Fields {
        text,
        has_message: false,
    };
    addresses::record(event, &mut fields);
    if !fields.has_message {
        let last = metadata.target().rsplit("::").next();
        text.push_str(",\"message\":");
        string(text, last.unwrap_or_default());
    }
    text.push_str("}\n");
}

struct Fields<'a> {
    text: &'a mut String,
    has_message: bool,
}

impl Fields<'_> {
    /// Begins a member with its name.
    fn begin(&mut self, field: &Field) {
        self.has_message |= field.name() == MESSAGE;
        self.text.push(',');
        string(self.text, field.name());
        self.text.push(':');
    }

    fn bare(&mut self, field: &Field, value: impl Display) {
        self.begin(field);
        // Writing to a string cannot fail.
        let _ = write!(self.text, "{value}");
    }
}

impl Visit for Fields<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.begin(field);
        if line::says_nothing(value) {
            self.text.push_str("null");
        } else {
            string(self.text, value);
        }
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.bare(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.bare(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.bare(field, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.begin(field);
        string(self.text, &format!("{value:?}"));
    }
}

/// A string. Beyond what JSON requires, terminal control characters are escaped: these
/// lines may be read on a terminal.
fn string(text: &mut String, value: &str) {
    text.push('"');
    for character in value.chars() {
        match character {
            '"' => text.push_str("\\\""),
            '\\' => text.push_str("\\\\"),
            unseen if is_unseen(unseen) => {
                // Above the basic plane, JSON has two of them (RFC 8259 section 7).
                for unit in unseen.encode_utf16(&mut [0; 2]) {
                    let _ = write!(text, "\\u{unit:04x}");
                }
            }
            plain => text.push(plain),
        }
    }
    text.push('"');
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::log::tests::{answer, logged};
    use super::*;

    /// What is logged in `events`, read back.
    fn read(events: impl FnOnce()) -> Vec<Value> {
        let lines = logged(record, events);
        let object =
            |line: &str| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        lines.lines().map(object).collect()
    }

    #[test]
    fn each_field_has_its_type() {
        let uid: Option<u32> = Some(7);
        let lines = read(|| {
            tracing::warn!(listener = "in", us = 12_u64, less = -3, yes = true, uid, path = %"/a b", none = "", "said {}", 1);
        });
        let mut line = lines[0].clone();
        let time = line.as_object_mut().unwrap().remove("time").unwrap();
        assert_eq!(time.as_str().unwrap().len(), "2026-11-25T15:56:23.690201Z".len());
        assert_eq!(
            line,
            json!({
                "level": "warn", "target": "vouch::telemetry::json::tests", "message": "said 1", "listener": "in",
                "us": 12, "less": -3, "yes": true, "uid": 7, "path": "/a b", "none": null
            })
        );
    }

    #[test]
    fn nothing_breaks_out_of_a_string() {
        let nasty = "a\"b\\c\r\n\u{1b}[31m\u{9b}m\u{7f}\0jürgen\u{2028}\u{202e}\u{e0041}";
        let lines = logged(record, || tracing::info!(value = nasty, "{nasty}"));
        assert_eq!(lines.matches('\n').count(), 1);
        assert!(!lines.trim_end().contains(is_unseen), "{lines}");
        let line: Value = serde_json::from_str(&lines).unwrap();
        assert_eq!(line["value"], nasty);
        assert_eq!(line["message"], nasty);
    }

    #[test]
    fn a_verdict_is_one_object() {
        let lines = read(answer);
        assert_eq!(lines.len(), 1);
        assert_eq!(lines[0]["message"], "verdict");
        assert_eq!(lines[0]["us"], 1500);
        assert_eq!(lines[0]["directory"], Value::Null);
        for (name, value) in [
            ("listener", "in"),
            ("question", "recipient"),
            ("verdict", "defer"),
            ("source", "limit"),
            ("client", "192.0.2.1"),
            ("instance", "a.b"),
        ] {
            assert_eq!(lines[0][name], value);
        }
    }
}
