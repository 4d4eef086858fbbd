//! The log where Dovecot has started us: standard error is a pipe to Dovecot's
//! own log, which adds the time and the name of the service.

use std::error::Error;
use std::fmt::Write as _;
use std::io::{self, ErrorKind, Write};
use std::os::fd::AsFd;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use tracing::{Event, Level};

use super::line;
use super::log::{self, Log};
use crate::settings::process::LogLevel;

/// Starts logging to Dovecot's log: events of `level` and above.
///
/// # Errors
/// As [`super::log::start`].
pub(crate) fn start(level: LogLevel) -> Result<Log, Box<dyn Error>> {
    log::to(Stderr, level, record)
}

/// A whole line.
fn record(text: &mut String, event: &Event<'_>) {
    head(text, *event.metadata().level());
    line::write(text, event);
    text.push('\n');
}

/// How severe a line is: Dovecot takes one without such a mark for an error.
///
/// `lib/failures.c`, i_internal_error_handler(): 0x01, 0x40 and one more than
/// `enum log_type`, the process, a space. A letter that Dovecot does not know
/// aborts its log process.
fn head(text: &mut String, level: Level) {
    let kind = match level {
        Level::ERROR => 'D',
        Level::WARN => 'C',
        Level::INFO => 'B',
        Level::DEBUG | Level::TRACE => 'A',
    };
    // Writing to a string cannot fail.
    let _ = write!(text, "\x01{kind}{} ", std::process::id());
}

/// Standard error, which Dovecot has set to non-blocking; the writer here can wait.
struct Stderr;

impl Write for Stderr {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut stderr = io::stderr().lock();
        loop {
            match stderr.write(bytes) {
                Err(full) if full.kind() == ErrorKind::WouldBlock => {
                    let wait = PollFd::new(stderr.as_fd(), PollFlags::POLLOUT);
                    poll(&mut [wait], PollTimeout::NONE)?;
                }
                written => return written,
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::log::tests::logged;
    use super::*;

    #[test]
    fn a_line_says_how_severe_it_is() {
        let lines = logged(record, || {
            tracing::error!("broken\nin two");
            tracing::warn!(listener = "login", "odd");
            tracing::info!(us = 7, "done");
            tracing::debug!("more");
            tracing::trace!("most");
        });
        let pid = std::process::id();
        let expected = format!(
            "\x01D{pid} broken\\nin two\n\x01C{pid} odd listener=login\n\x01B{pid} done us=7\n\x01A{pid} more\n\x01A{pid} most\n"
        );
        assert_eq!(lines, expected);
    }
}
