//! A line of the log: what happened, then `key=value` fields.

use std::fmt::{self, Debug, Write};

use tracing::Event;
use tracing::field::{Field, Visit};

use super::addresses;
use crate::unseen::is_unseen;

/// Appends an event's message and fields to a line, so that nothing in them breaks it.
pub(super) fn write(line: &mut String, event: &Event<'_>) {
    addresses::record(event, &mut Fields { line, first: true });
}

struct Fields<'a> {
    line: &'a mut String,
    first: bool,
}

impl Fields<'_> {
    /// Begins a field with its name, unless it is the message.
    fn begin(&mut self, field: &Field) {
        if !std::mem::take(&mut self.first) {
            self.line.push(' ');
        }
        if field.name() != MESSAGE {
            self.line.push_str(field.name());
            self.line.push('=');
        }
    }
}

/// The field that is an event's text.
pub(super) const MESSAGE: &str = "message";

/// Whether a value stands for none: where fields have names and types of their own, it
/// is left out.
pub(super) fn says_nothing(value: &str) -> bool {
    matches!(value, "" | "-")
}

impl Visit for Fields<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.begin(field);
        if field.name() == MESSAGE {
            // A string takes whatever is written to it.
            let _ = OneLine(self.line).write_str(value);
        } else {
            quote(self.line, value);
        }
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.begin(field);
        // A string takes whatever is written to it.
        let _ = write!(self.line, "{value}");
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.begin(field);
        let _ = write!(OneLine(self.line), "{value:?}");
    }
}

/// A value of a field: bare where it is one plain word, else in double quotes
/// with what would break the line or the quotes escaped.
fn quote(line: &mut String, value: &str) {
    let plain = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\' | b'=');
    if value.is_empty() {
        line.push('-');
    } else if value.bytes().fold(true, |all, byte| all & plain(byte)) {
        // All of it is looked at, which takes less than to stop at the first.
        line.push_str(value);
    } else {
        let _ = write!(line, "{value:?}");
    }
}

/// Escapes what would end the line or steer a terminal: a remote's words may hold
/// anything.
pub(super) struct OneLine<'a>(pub(super) &'a mut String);

impl Write for OneLine<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if !text.contains(is_unseen) {
            self.0.push_str(text);
            return Ok(());
        }
        for character in text.chars() {
            if is_unseen(character) {
                self.0.extend(character.escape_default());
            } else {
                self.0.push(character);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tracing::Subscriber;
    use tracing_subscriber::Layer;
    use tracing_subscriber::layer::{Context, SubscriberExt};

    use super::*;

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<String>>);

    impl<S: Subscriber> Layer<S> for Kept {
        fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
            write(&mut self.0.lock().unwrap(), event);
        }
    }

    /// What is logged in `events`.
    fn logged(events: impl FnOnce()) -> String {
        let kept = Kept::default();
        tracing::subscriber::with_default(tracing_subscriber::registry().with(kept.clone()), events);
        kept.0.lock().unwrap().clone()
    }

    #[test]
    fn no_value_breaks_its_line() {
        for (value, shown) in [
            ("", "-"),
            ("jane@example.org", "jane@example.org"),
            ("a b", "\"a b\""),
            ("x\" verdict=accept", "\"x\\\" verdict=accept\""),
            ("line\nbreak\x1b[31m", "\"line\\nbreak\\u{1b}[31m\""),
            ("jürgen", "\"jürgen\""),
            ("a\u{202e}b\u{200b}c", "\"a\\u{202e}b\\u{200b}c\""),
        ] {
            let line = logged(|| tracing::info!(value));
            assert_eq!(line, format!("value={shown}"));
        }
    }

    #[test]
    fn no_message_breaks_its_line() {
        let line = logged(|| tracing::warn!(us = 7_u64, listener = "in", "it said {}", "a\r\nb\x1b[31m"));
        assert_eq!(line, "it said a\\r\\nb\\u{1b}[31m us=7 listener=in");
        let line = logged(|| tracing::info!(path = %"a\nb", "plain"));
        assert_eq!(line, "plain path=a\\nb");
    }
}
