//! A line of the log: what happened, then `key=value` fields.

use std::fmt::{self, Debug, Write};

use tracing::field::{Field, Visit};
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::fmt::FormatFields;
use tracing_subscriber::fmt::format::Writer;

/// Writes an event's message and fields so that nothing in them breaks the line.
pub(super) struct Fields;

impl<'writer> FormatFields<'writer> for Fields {
    fn format_fields<R: RecordFields>(&self, writer: Writer<'writer>, fields: R) -> fmt::Result {
        let mut visitor = Visitor {
            writer,
            first: true,
            result: Ok(()),
        };
        fields.record(&mut visitor);
        visitor.result
    }
}

struct Visitor<'writer> {
    writer: Writer<'writer>,
    first: bool,
    result: fmt::Result,
}

impl Visitor<'_> {
    /// Writes a field by `value`, with its name unless it is the message.
    fn add(&mut self, field: &Field, value: impl FnOnce(&mut Writer<'_>) -> fmt::Result) {
        if self.result.is_err() {
            return;
        }
        let space = if std::mem::take(&mut self.first) { "" } else { " " };
        let (name, is) = match field.name() {
            "message" => ("", ""),
            name => (name, "="),
        };
        let begun = [space, name, is]
            .into_iter()
            .try_for_each(|part| self.writer.write_str(part));
        self.result = begun.and_then(|()| value(&mut self.writer));
    }
}

impl Visit for Visitor<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            self.add(field, |writer| OneLine(writer).write_str(value));
        } else {
            self.add(field, |writer| quote(writer, value));
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.add(field, |writer| write!(OneLine(writer), "{value:?}"));
    }
}

/// A value of a field: bare where it is one plain word, else in double quotes
/// with what would break the line or the quotes escaped.
fn quote(writer: &mut Writer<'_>, value: &str) -> fmt::Result {
    let plain = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\' | b'=');
    if value.is_empty() {
        writer.write_str("-")
    } else if value.bytes().all(plain) {
        writer.write_str(value)
    } else {
        write!(writer, "{value:?}")
    }
}

/// Escapes what would end the line or steer a terminal: a remote's words may hold
/// anything.
struct OneLine<'a, 'writer>(&'a mut Writer<'writer>);

impl Write for OneLine<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut rest = text;
        while let Some(at) = rest.find(char::is_control) {
            let (before, from) = rest.split_at(at);
            self.0.write_str(before)?;
            let mut characters = from.chars();
            if let Some(control) = characters.next() {
                write!(self.0, "{}", control.escape_default())?;
            }
            rest = characters.as_str();
        }
        self.0.write_str(rest)
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What is logged in `events`, one line each.
    fn logged(events: impl FnOnce()) -> String {
        let kept = Kept::default();
        let writer = kept.clone();
        let lines = tracing_subscriber::fmt::layer()
            .with_ansi(false)
            .without_time()
            .with_target(false)
            .fmt_fields(Fields)
            .with_writer(move || writer.clone());
        tracing::subscriber::with_default(tracing_subscriber::registry().with(lines), events);
        String::from_utf8(kept.0.lock().unwrap().clone()).unwrap()
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
        ] {
            let line = logged(|| tracing::info!(value));
            assert_eq!(line, format!(" INFO value={shown}\n"));
        }
    }

    #[test]
    fn no_message_breaks_its_line() {
        let line = logged(|| tracing::warn!(us = 7_u64, door = "in", "it said {}", "a\r\nb\x1b[31m"));
        assert_eq!(line, " WARN it said a\\r\\nb\\u{1b}[31m us=7 door=in\n");
        let line = logged(|| tracing::info!(path = %"a\nb", "plain"));
        assert_eq!(line, " INFO plain path=a\\nb\n");
    }
}
