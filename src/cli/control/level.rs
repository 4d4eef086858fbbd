//! `vouch log level`: the running daemon's log level.

use std::process::ExitCode;

use clap::{Args, Subcommand, ValueEnum};
use serde_json::json;

use super::columns::word;
use crate::cli::{ConfigFile, fail, print, status};
use crate::control::client;

/// What to do with the log.
#[derive(Debug, Subcommand)]
pub(crate) enum Log {
    /// Show or change the log level until the daemon ends
    #[command(
        after_help = "SIGUSR1 raises the level by one step; SIGUSR2 resets it. Exit status: 0, 69 no daemon is running, 78 bad \
                      configuration."
    )]
    Level(Arguments),
}

/// Arguments of `vouch log level`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The new level; reset restores the configured one [default: show the level]
    #[arg(value_enum)]
    level: Option<Level>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Level {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
    Reset,
}

impl Level {
    const fn word(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
            Self::Reset => "reset",
        }
    }
}

/// Asks, and prints the answer.
pub(crate) fn run(log: &Log, file: &ConfigFile) -> ExitCode {
    let Log::Level(arguments) = log;
    let (config, _) = match file.load() {
        Ok(read) => read,
        Err(status) => return status,
    };
    let request = json!({ "ask": "log-level", "set": arguments.level.map(Level::word) });
    let answer = match client::ask(config.control.path(), &request) {
        Ok(answer) => answer,
        Err(error) => return fail(status::UNAVAILABLE, &format!("vouch log: {error}")),
    };
    let text = if arguments.json {
        format!("{answer}\n")
    } else {
        format!(
            "{} (configured: {})\n",
            word(&answer["level"]),
            word(&answer["configured"])
        )
    };
    print(&text).err().unwrap_or(ExitCode::SUCCESS)
}
