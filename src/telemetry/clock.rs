//! The time of day in the log.

use std::cell::RefCell;
use std::fmt::Write;
use std::time::{SystemTime, UNIX_EPOCH};

use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;

/// `2026-11-25T15:56:23`: what is the same for all lines of a second.
const SECOND: usize = 19;

/// Appends the time as RFC 3339, in UTC, to the microsecond.
pub(super) fn write(line: &mut String) {
    // The calendar is asked once a second.
    thread_local!(static LAST: RefCell<(u64, String)> = const { RefCell::new((u64::MAX, String::new())) });
    LAST.with_borrow_mut(|(second, text)| {
        let (now, micros) = now();
        if *second != now {
            text.clear();
            // A string takes whatever is written to it.
            let _ = tracing_subscriber::fmt::time::SystemTime.format_time(&mut Writer::new(text));
            text.truncate(SECOND);
            // The second may have ended between the two looks at the clock.
            *second = if self::now().0 == now { now } else { u64::MAX };
        }
        line.push_str(text);
        let _ = write!(line, ".{micros:06}Z");
    });
}

/// The time in UTC, to the second, for people: `2026-11-25 15:56:23 UTC`.
pub(crate) fn second() -> String {
    let mut text = String::new();
    write(&mut text);
    text.truncate(SECOND);
    text.replace('T', " ") + " UTC"
}

fn now() -> (u64, u32) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    (now.as_secs(), now.subsec_micros())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_time_of_day_and_goes_on() {
        let shown = || {
            let mut line = String::new();
            write(&mut line);
            line
        };
        let (first, second) = (shown(), shown());
        assert!(first <= second, "{first} {second}");
        assert_eq!(first.len(), "2026-11-25T15:56:23.690201Z".len());
        let mut whole = String::new();
        tracing_subscriber::fmt::time::SystemTime
            .format_time(&mut Writer::new(&mut whole))
            .unwrap();
        assert!(
            first <= whole && first[..13] >= *"2026-01-01T00",
            "{first} {whole}"
        );
    }
}
