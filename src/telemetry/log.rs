//! The log: to standard error, one line an event, `key=value` fields.

use std::cell::Cell;
use std::error::Error;
use std::io::Write;
use std::time::Duration;

use tracing::level_filters::LevelFilter;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};

use super::sink::Sink;
use super::{clock, line};

/// One answered question.
#[derive(Debug)]
pub struct Answered<'a> {
    /// The listener's name.
    pub door: &'a str,
    /// What was asked: `recipient`, `login` or `user`.
    pub question: &'a str,
    /// The address or user name.
    pub about: &'a str,
    /// `accept`, `reject`, `defer` or `abstain`.
    pub verdict: &'a str,
    /// The class of its cause, `-` without one.
    pub cause: &'a str,
    /// The remote's status and words, or ours; empty without any.
    pub detail: &'a str,
    /// Who decided: `probe`, `local`, `limit`.
    pub source: &'a str,
    /// The directory, `-` where none was asked.
    pub directory: &'a str,
    /// From the question to the verdict.
    pub took: Duration,
    /// The end user's network address.
    pub client: &'a str,
    /// What ties questions of one message or session together.
    pub instance: &'a str,
    /// What was told to the client.
    pub answer: &'a str,
}

/// Logs one verdict as one line.
pub fn answered(answered: &Answered<'_>) {
    let Answered {
        door,
        question,
        about,
        verdict,
        cause,
        detail,
        source,
        directory,
        took,
        client,
        instance,
        answer,
    } = *answered;
    tracing::info!(
        target: "vouch::verdict",
        door,
        question,
        about,
        verdict,
        cause,
        source,
        directory,
        us = took.as_micros() as u64,
        client,
        instance,
        answer,
        detail,
    );
}

/// A log that was started. What still waits to be written when it is dropped is
/// written then.
#[must_use]
pub struct Log(pub(super) Sink);

impl Drop for Log {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// Starts logging to standard error: events of `level` and above, and the
/// dialogs with remotes where that is `trace`.
///
/// # Errors
/// When the system gives no thread for it, or something else in the process has
/// started a log already.
pub fn start(level: LevelFilter) -> Result<Log, Box<dyn Error>> {
    let sink = Sink::to(std::io::stderr())?;
    let lines = sink.clone();
    init(level, head(), move |line| lines.add(line))?;
    Ok(Log(sink))
}

/// Starts writing warnings and errors to standard error, each at once: the log of
/// a command that is over soon.
pub fn start_warnings() {
    // Only a second start in one process can fail, and then there is a log already. Nor is there anybody
    // to tell that standard error cannot be written.
    let _ = init(LevelFilter::WARN, head(), |line| {
        let _ = std::io::stderr().write_all(line.as_bytes());
    });
}

/// Has `out` take a line for each of our events of `level` and above, and for the
/// warnings of others. `head` writes what comes before what happened.
pub(super) fn init(
    level: LevelFilter,
    head: impl Fn(&mut String, Level) + Send + Sync + 'static,
    out: impl Fn(&str) + Send + Sync + 'static,
) -> Result<(), TryInitError> {
    let filter = Targets::new()
        .with_default(LevelFilter::WARN)
        .with_target("vouch", level);
    let lines = Lines { head, out };
    tracing_subscriber::registry().with(filter).with(lines).try_init()
}

/// Makes a line of each event.
pub(super) struct Lines<H, F> {
    pub(super) head: H,
    pub(super) out: F,
}

impl<S: Subscriber, H: Fn(&mut String, Level) + 'static, F: Fn(&str) + 'static> Layer<S> for Lines<H, F> {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        // A line is built where the last one was.
        thread_local!(static LAST: Cell<String> = const { Cell::new(String::new()) });
        let mut text = LAST.take();
        text.clear();
        (self.head)(&mut text, *event.metadata().level());
        line::write(&mut text, event);
        text.push('\n');
        (self.out)(&text);
        LAST.set(text);
    }
}

/// The time and the level.
fn head() -> impl Fn(&mut String, Level) {
    // The journal adds a time of its own.
    let timed = std::env::var_os("JOURNAL_STREAM").is_none();
    let coloured = std::io::IsTerminal::is_terminal(&std::io::stderr());
    move |text, level| {
        if timed {
            clock::write(text);
            text.push(' ');
        }
        let (colour, name) = match level {
            Level::ERROR => ("31", "ERROR"),
            Level::WARN => ("33", " WARN"),
            Level::INFO => ("32", " INFO"),
            Level::DEBUG => ("34", "DEBUG"),
            Level::TRACE => ("35", "TRACE"),
        };
        let parts: &[&str] = if coloured {
            &["\x1b[", colour, "m", name, "\x1b[0m "]
        } else {
            &[name, " "]
        };
        parts.iter().for_each(|part| text.push_str(part));
    }
}

/// Starts showing the dialogs with remotes on standard error, as they are, and
/// warnings.
pub fn start_trace(target: &'static str) {
    let filter = Targets::new()
        .with_default(LevelFilter::WARN)
        .with_target(target, LevelFilter::TRACE);
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .without_time()
        .with_level(false)
        .with_target(false);
    // Only a second start in one process can fail, and then there is a log already.
    let _ = tracing_subscriber::registry().with(filter).with(lines).try_init();
}
