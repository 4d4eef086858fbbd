//! `vouch log level`: the running daemon's log level.

use std::process::ExitCode;

use clap::builder::PossibleValuesParser;
use clap::{Args, Subcommand};
use serde_json::json;

use super::columns::word;
use crate::cli::{ConfigFile, print};
use crate::settings::process::LogLevel;

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
    #[arg(value_parser = words())]
    level: Option<String>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// The levels of the configuration, and the word that goes back to it.
fn words() -> PossibleValuesParser {
    let levels = LogLevel::ALL.iter().map(|(word, _)| *word);
    levels.chain(["reset"]).collect::<Vec<_>>().into()
}

/// Asks, and prints the answer.
pub(crate) fn run(Log::Level(arguments): &Log, file: &ConfigFile) -> Result<(), ExitCode> {
    let (config, _) = file.load()?;
    let request = json!({ "ask": "log-level", "set": arguments.level });
    let answer = super::ask("log", &config, &request)?;
    print(&if arguments.json {
        format!("{answer}\n")
    } else {
        format!(
            "{} (configured: {})\n",
            word(&answer["level"]),
            word(&answer["configured"])
        )
    })
}
