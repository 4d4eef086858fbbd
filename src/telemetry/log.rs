//! The log: one record an event, written by a thread of its own.

use std::cell::Cell;
use std::error::Error;
use std::io::Write;
use std::time::Duration;

use tracing::level_filters::LevelFilter;
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};

use super::file::LogFile;
use super::journal::Journal;
use super::plain::Stderr;
use super::sink::{self, Sink};
use super::{addresses, faults, journal, json, level};
use crate::settings::process::{self, LogFormat, LogLevel};

/// One answered question.
#[derive(Debug)]
pub(crate) struct Answered<'a> {
    /// The listener's name.
    pub listener: &'a str,
    /// What kind of thing was asked about: `recipient`, `login` and so on.
    pub question: &'a str,
    /// The address or user name.
    pub about: &'a str,
    /// `accept`, `reject`, `defer` or `abstain`.
    pub verdict: &'a str,
    /// The class of its cause, `-` without one.
    pub cause: &'a str,
    /// The remote's status and words, or ours; empty without any.
    pub detail: &'a str,
    /// Who decided: `probe`, `local`, `limit`, `penalty` and so on.
    pub source: &'a str,
    /// The directory, `-` where none was asked.
    pub directory: &'a str,
    /// From the question to the verdict.
    pub took: Duration,
    /// From there to the answer, where a penalty held it back.
    pub delayed: Option<Duration>,
    /// The end user's network address.
    pub client: &'a str,
    /// What ties questions of one message or session together.
    pub instance: &'a str,
    /// The answer to the client.
    pub answer: &'a str,
}

/// Logs one verdict as one line.
pub(crate) fn answered(answered: &Answered<'_>) {
    let Answered {
        listener,
        question,
        about,
        verdict,
        cause,
        detail,
        source,
        directory,
        took,
        delayed,
        client,
        instance,
        answer,
    } = *answered;
    // A socketmap asks about domains as well, and a domain is nobody's name.
    let domain = (question == "domain" && !addresses::are_full()).then(|| format!("@{about}"));
    let about = domain.as_deref().unwrap_or(about);
    let (detail, answer) = (
        &*addresses::without(detail, &[about]),
        &*addresses::without(answer, &[about]),
    );
    tracing::info!(
        target: "vouch::verdict",
        listener,
        question,
        about,
        verdict,
        cause,
        source,
        directory,
        us = took.as_micros() as u64,
        delayed_ms = delayed.map(|delayed| delayed.as_millis() as u64),
        client,
        instance,
        answer,
        detail,
    );
}

/// A log that was started. What still waits to be written when it is dropped is
/// written then.
#[must_use]
pub(crate) struct Log(Sink);

impl Drop for Log {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// Lines that were lost since the start of the process, since nobody read them.
pub(crate) fn lines_lost() -> u64 {
    sink::LOST.get()
}

/// Starts logging: events of the level of `keys` and above, and the dialogs with remotes where that
/// is `trace`; to `file`, or in the place that its format names.
///
/// # Errors
/// When the system gives no thread or socket for it, or something else in the process
/// has started a log already.
pub(crate) fn start(keys: &process::Log, file: Option<LogFile>) -> Result<Log, Box<dyn Error>> {
    let level = keys.level;
    let plain = |stderr: Stderr| move |text: &mut String, event: &Event<'_>| stderr.record(text, event);
    if let Some(file) = file {
        let (path, trouble) = file.trouble();
        let log = match keys.format {
            LogFormat::Json => to(file, level, json::record),
            _ => to(file, level, plain(Stderr::Elsewhere)),
        };
        LogFile::tell_trouble(&path, trouble);
        return log;
    }
    let stderr = Stderr::look();
    match (keys.format, stderr) {
        (LogFormat::Journal, _) | (LogFormat::Auto, Stderr::Journal) => {
            let journal = Journal::at(journal::SOCKET, std::io::stderr(), stderr)?;
            to(journal, level, journal::record)
        }
        (LogFormat::Json, _) => to(std::io::stderr(), level, json::record),
        (LogFormat::Plain | LogFormat::Auto, _) => to(std::io::stderr(), level, plain(stderr)),
    }
}

/// Starts logging events of `level` and above, each as its `record`, to `output`.
///
/// # Errors
/// As [`start`].
pub(super) fn to(
    output: impl Write + Send + 'static,
    level: LogLevel,
    record: impl Fn(&mut String, &Event<'_>) + Send + Sync + 'static,
) -> Result<Log, Box<dyn Error>> {
    let sink = Sink::to(output, tell_lost)?;
    init(level, record, sink.taking())?;
    Ok(Log(sink))
}

/// Says that the log is not whole: an error, so that no level hides it.
fn tell_lost(lines: u64) {
    tracing::error!(
        lines,
        "{lines} log lines are lost: they came faster than the log's reader took them; a lower level writes less"
    );
}

/// Starts writing warnings and errors to standard error, each at once: the log of
/// a command that is over soon. What is wrong with a remote is not among them: the command's answer has it.
pub(crate) fn start_warnings() {
    let stderr = Stderr::look();
    let record = move |text: &mut String, event: &Event<'_>| {
        if event.metadata().target() != faults::TARGET {
            stderr.record(text, event);
        }
    };
    // Only a second start in one process can fail, and then there is a log already. Nor is there anybody
    // to tell that standard error cannot be written.
    let _ = init(LogLevel::Warn, record, |line| {
        let _ = std::io::stderr().write_all(line.as_bytes());
    });
}

/// Has `out` take the `record` of each of our events of `level` and above, and of the
/// warnings of others.
fn init(
    level: LogLevel,
    record: impl Fn(&mut String, &Event<'_>) + Send + Sync + 'static,
    out: impl Fn(&str) + Send + Sync + 'static,
) -> Result<(), TryInitError> {
    level::configure(level);
    let records = Records { record, out };
    tracing_subscriber::registry()
        .with(level::filter())
        .with(records)
        .try_init()
}

/// Makes a record of each event.
pub(super) struct Records<R, F> {
    pub(super) record: R,
    pub(super) out: F,
}

impl<S: Subscriber, R: Fn(&mut String, &Event<'_>) + 'static, F: Fn(&str) + 'static> Layer<S>
    for Records<R, F>
{
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        // A record is built where the last one was.
        thread_local!(static LAST: Cell<String> = const { Cell::new(String::new()) });
        let mut text = LAST.take();
        text.clear();
        (self.record)(&mut text, event);
        (self.out)(&text);
        LAST.set(text);
    }
}

/// Starts showing the dialogs with remotes on standard error, as they are, and
/// warnings as [`start_warnings`] does.
pub(crate) fn start_trace(target: &'static str) {
    let filter = Targets::new()
        .with_default(LevelFilter::WARN)
        .with_target(target, LevelFilter::TRACE)
        .with_target(faults::TARGET, LevelFilter::OFF);
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .without_time()
        .with_level(false)
        .with_target(false);
    // Only a second start in one process can fail, and then there is a log already.
    let _ = tracing_subscriber::registry().with(filter).with(lines).try_init();
}

#[cfg(test)]
pub(super) mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    /// The records of all that is logged in `events`.
    pub(in crate::telemetry) fn logged(
        record: impl Fn(&mut String, &Event<'_>) + Send + Sync + 'static,
        events: impl FnOnce(),
    ) -> String {
        let kept = Arc::new(Mutex::new(String::new()));
        let keep = kept.clone();
        let out = move |record: &str| keep.lock().unwrap().push_str(record);
        let records = Records { record, out };
        tracing::subscriber::with_default(tracing_subscriber::registry().with(records), events);
        let kept = kept.lock().unwrap().clone();
        assert!(!kept.is_empty());
        kept
    }

    /// A verdict that has something of everything.
    pub(in crate::telemetry) fn answer() {
        answered(&Answered {
            listener: "in",
            question: "recipient",
            about: "jane doe@example.org",
            verdict: "defer",
            cause: "limit",
            detail: "so many\r\nFAKE=x",
            source: "limit",
            directory: "-",
            took: Duration::from_micros(1500),
            delayed: None,
            client: "192.0.2.1",
            instance: "a.b",
            answer: "DUNNO",
        });
    }

    #[test]
    fn a_verdict_is_one_line_with_every_field() {
        let line = logged(|text, event| Stderr::Journal.record(text, event), answer);
        let expected = "<6>INFO listener=in question=recipient about=\"jane doe@example.org\" verdict=defer cause=limit \
                        source=limit directory=- us=1500 client=192.0.2.1 instance=a.b answer=DUNNO \
                        detail=\"so many\\r\\nFAKE=x\"\n";
        assert_eq!(line, expected);
    }
}
