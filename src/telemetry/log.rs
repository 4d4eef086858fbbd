//! The log: to standard error, one line an event, `key=value` fields.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};

use super::line::Fields;
use super::sink::Sink;

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
pub struct Log(Sink);

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
    init(level, sink.clone())?;
    Ok(Log(sink))
}

/// Starts writing warnings and errors to standard error, each at once: the log of
/// a command that is over soon.
pub fn start_warnings() {
    // Only a second start in one process can fail, and then there is a log already.
    let _ = init(LevelFilter::WARN, std::io::stderr);
}

fn init(
    level: LevelFilter,
    writer: impl for<'a> MakeWriter<'a> + Send + Sync + 'static,
) -> Result<(), TryInitError> {
    let filter = Targets::new()
        .with_default(LevelFilter::WARN)
        .with_target("vouch", level);
    let journal = std::env::var_os("JOURNAL_STREAM").is_some();
    let terminal = std::io::IsTerminal::is_terminal(&std::io::stderr());
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(writer)
        .with_ansi(terminal)
        .with_timer(Clock { journal })
        .with_target(false)
        .fmt_fields(Fields);
    tracing_subscriber::registry().with(filter).with(lines).try_init()
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

/// The time of day as RFC 3339 to the microsecond; nothing where the journal
/// adds its own.
struct Clock {
    journal: bool,
}

impl FormatTime for Clock {
    fn format_time(&self, writer: &mut Writer<'_>) -> fmt::Result {
        if self.journal {
            Ok(())
        } else {
            SystemTime.format_time(writer)
        }
    }
}
