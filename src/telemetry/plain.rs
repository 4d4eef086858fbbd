//! Plain lines on standard error.

use std::fmt::Write as _;
use std::io::IsTerminal;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;

use tracing::{Event, Level};

use super::{clock, colour, line};

/// Where standard error leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stderr {
    /// To the journal, by a stream.
    Journal,
    /// A terminal.
    Terminal {
        /// It distinguishes the levels.
        coloured: bool,
    },
    /// To a file or another program.
    Elsewhere,
}

impl Stderr {
    /// Looks where it leads.
    pub(super) fn look() -> Self {
        let stream = std::env::var("JOURNAL_STREAM").unwrap_or_default();
        if identity().is_some_and(|identity| identity == stream) {
            Self::Journal
        } else if std::io::stderr().is_terminal() {
            let coloured = colour::wanted(&std::io::stderr());
            Self::Terminal { coloured }
        } else {
            Self::Elsewhere
        }
    }

    /// Appends a whole line for an event.
    pub(super) fn record(self, text: &mut String, event: &Event<'_>) {
        self.head(text, *event.metadata().level());
        line::write(text, event);
        text.push('\n');
    }

    /// The time and the level.
    pub(super) fn head(self, text: &mut String, level: Level) {
        let (code, name) = match level {
            Level::ERROR => ("31", "ERROR"),
            Level::WARN => ("33", " WARN"),
            Level::INFO => ("32", " INFO"),
            Level::DEBUG => ("34", "DEBUG"),
            Level::TRACE => ("35", "TRACE"),
        };
        // Writing to a string cannot fail.
        let _ = match self {
            // It has a time of its own, and takes the severity from the front of a line (sd-daemon(3)).
            Self::Journal => write!(text, "<{}>{} ", priority(level), name.trim_start()),
            Self::Terminal { coloured: true } => {
                clock::write(text);
                write!(text, " \x1b[{code}m{name}\x1b[0m ")
            }
            Self::Terminal { coloured: false } | Self::Elsewhere => {
                clock::write(text);
                write!(text, " {name} ")
            }
        };
    }
}

/// A level as syslog(3) and the journal number it.
pub(super) const fn priority(level: Level) -> u8 {
    match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        Level::DEBUG | Level::TRACE => 7,
    }
}

/// Device and inode of standard error, as systemd.exec(5) has them in `$JOURNAL_STREAM`:
/// what somebody else has put in the journal's place inherits the variable, but not these.
fn identity() -> Option<String> {
    let stderr = std::io::stderr().as_fd().try_clone_to_owned().ok()?;
    let metadata = std::fs::File::from(stderr).metadata().ok()?;
    Some(format!("{}:{}", metadata.dev(), metadata.ino()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_begins_as_suits_its_reader() {
        let head = |stderr: Stderr, level| {
            let mut text = String::new();
            stderr.head(&mut text, level);
            text
        };
        assert_eq!(head(Stderr::Journal, Level::WARN), "<4>WARN ");
        assert_eq!(head(Stderr::Journal, Level::TRACE), "<7>TRACE ");
        let terminal = |coloured| head(Stderr::Terminal { coloured }, Level::ERROR);
        assert!(terminal(true).ends_with("Z \x1b[31mERROR\x1b[0m "));
        assert!(terminal(false).ends_with("Z ERROR "));
        assert!(head(Stderr::Elsewhere, Level::INFO).ends_with("Z  INFO "));
    }
}
