//! `vouch status`: the running daemon's status, once or repeatedly.

use std::io::{self, IsTerminal};
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Args;
use serde::Deserialize;
use serde_json::{Value, json};

use super::shown;
use crate::cli::{ConfigFile, failed, print, runtime, status};
use crate::control::client::{self, ControlError};
use crate::report::Report;
use crate::telemetry::colour;
use crate::telemetry::words::spoken;

/// Arguments of `vouch status`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// Print nothing if the daemon answers, for health checks
    #[arg(long, conflicts_with_all = ["json", "watch"])]
    quiet: bool,
    /// Repeat every SECONDS until Ctrl-C
    #[arg(
        long,
        value_name = "SECONDS",
        num_args = 0..=1,
        default_missing_value = "2",
        value_parser = clap::value_parser!(u64).range(1..=86_400)
    )]
    watch: Option<u64>,
}

/// Asks the daemon of that configuration, and prints its report.
pub(crate) fn run(arguments: &Arguments, file: &ConfigFile) -> Result<(), ExitCode> {
    let (config, _) = file.load()?;
    let socket = config.control.path();
    if let Some(seconds) = arguments.watch {
        return watch(socket, arguments.json, Duration::from_secs(seconds));
    }
    let answer = ask(socket).map_err(|error| failed("status", status::UNAVAILABLE, error))?;
    if arguments.quiet {
        return Ok(());
    }
    print(&answer.text(arguments.json))
}

/// The daemon's answer, and the report that it is.
struct Answer {
    whole: Value,
    report: Report,
}

fn ask(socket: &Path) -> Result<Answer, ControlError> {
    let whole = client::ask(socket, &json!({ "ask": "status" }))?;
    match Report::deserialize(&whole) {
        Ok(report) => Ok(Answer { whole, report }),
        Err(error) => Err(ControlError::NoAnswer(socket.into(), error.to_string())),
    }
}

impl Answer {
    fn text(&self, json: bool) -> String {
        if json {
            // With what this version does not know.
            format!("{}\n", self.whole)
        } else {
            shown::text(&self.report, colour::wanted(&io::stdout()))
        }
    }
}

/// Asks repeatedly, whether the daemon is running or not, until Ctrl-C.
fn watch(socket: &Path, json: bool, every: Duration) -> Result<(), ExitCode> {
    let runtime = runtime()?;
    let screen = !json && io::stdout().is_terminal();
    let ended = runtime.block_on(async {
        let watching = async {
            let mut watch = Watch::new(json, screen);
            loop {
                let socket = socket.to_owned();
                // What the daemon takes to answer must not keep Ctrl-C from being heard.
                let asked = tokio::task::spawn_blocking(move || ask(&socket)).await;
                if let Ok(answer) = asked {
                    watch.show(answer)?;
                }
                tokio::time::sleep(every).await;
            }
        };
        tokio::select! {
            ended = watching => ended,
            _ = tokio::signal::ctrl_c() => Ok(()),
        }
    });
    // A request that still waits for its answer is dropped.
    runtime.shutdown_background();
    // The shell's next line does not begin behind its ^C.
    ended.and_then(|()| if screen { print("\n") } else { Ok(()) })
}

/// What is shown repeatedly.
struct Watch {
    json: bool,
    /// Each answer takes the place of the last one.
    screen: bool,
    last: String,
    /// Since when there was no answer.
    gone: Option<Instant>,
}

impl Watch {
    fn new(json: bool, screen: bool) -> Self {
        Self {
            json,
            screen,
            last: String::new(),
            gone: None,
        }
    }

    fn show(&mut self, answer: Result<Answer, ControlError>) -> Result<(), ExitCode> {
        match answer {
            Ok(answer) => {
                self.gone = None;
                self.last = answer.text(self.json);
                self.draw("")
            }
            // That will not change by trying.
            Err(error @ ControlError::NotAllowed(_)) => Err(failed("status", status::UNAVAILABLE, error)),
            Err(error) => {
                let begins = self.gone.is_none();
                let gone = self.gone.get_or_insert_with(Instant::now).elapsed();
                if self.screen {
                    let last = if self.last.is_empty() {
                        ""
                    } else {
                        " The last answer:"
                    };
                    return self.draw(&format!("{error}\nRetrying for {} now.{last}\n\n", spoken(gone)));
                }
                if begins {
                    failed("status", status::UNAVAILABLE, format_args!("{error}; retrying"));
                }
                Ok(())
            }
        }
    }

    /// Shows the last answer below these words.
    fn draw(&self, above: &str) -> Result<(), ExitCode> {
        let clear = if self.screen { "\x1b[2J\x1b[H" } else { "" };
        // In a pipe, an empty line separates the reports for people.
        let end = if self.screen || self.json { "" } else { "\n" };
        print(&format!("{clear}{above}{}{end}", self.last))
    }
}
