//! The log where Dovecot has started us: standard error is a pipe to Dovecot's
//! own log, which adds the time and the name of the service.

use std::error::Error;
use std::fmt::Write as _;
use std::io::{self, ErrorKind, Write};
use std::os::fd::AsFd;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use tracing::Level;
use tracing::level_filters::LevelFilter;

use super::log::{Log, init};
use super::sink::Sink;

/// Starts logging to Dovecot's log: events of `level` and above.
///
/// # Errors
/// As [`log::start`](super::log::start).
pub fn start(level: LevelFilter) -> Result<Log, Box<dyn Error>> {
    let sink = Sink::to(Stderr)?;
    let lines = sink.clone();
    init(level, head, move |line| lines.add(line))?;
    Ok(Log(sink))
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

/// Standard error, which Dovecot has made not to block; who writes here can wait.
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
    use std::sync::{Arc, Mutex};

    use tracing_subscriber::layer::SubscriberExt;

    use super::*;
    use crate::telemetry::log::Lines;

    #[test]
    fn a_line_says_how_severe_it_is() {
        let kept = Arc::new(Mutex::new(String::new()));
        let lines = Lines {
            head,
            out: {
                let kept = kept.clone();
                move |line: &str| kept.lock().unwrap().push_str(line)
            },
        };
        tracing::subscriber::with_default(tracing_subscriber::registry().with(lines), || {
            tracing::error!("broken\nin two");
            tracing::warn!(door = "login", "odd");
            tracing::info!(us = 7, "done");
            tracing::debug!("more");
            tracing::trace!("most");
        });
        let pid = std::process::id();
        let expected = format!(
            "\x01D{pid} broken\\nin two\n\x01C{pid} odd door=login\n\x01B{pid} done us=7\n\x01A{pid} more\n\x01A{pid} most\n"
        );
        assert_eq!(*kept.lock().unwrap(), expected);
    }
}
