//! The command line: arguments, help, exit statuses.

mod check;
mod control;
pub mod dovecot_service;
mod fleet;
mod init;
mod man;
pub mod online;
mod probe;
mod serve;

use std::fmt::Display;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{Args, CommandFactory, Parser, Subcommand};

use crate::config::read::{self, Note};
use crate::config::{self, Config};
use crate::service::limits::forbid_core_dumps;
use crate::telemetry::addresses;
use crate::telemetry::log::Log;

/// Exit statuses beyond 0, as sysexits(3) names them.
pub mod status {
    /// The command line is wrong (`EX_USAGE`).
    pub const USAGE: u8 = 64;
    /// An input file cannot be read (`EX_NOINPUT`).
    pub const NO_INPUT: u8 = 66;
    /// A directory is unreachable, or none serves what was asked (`EX_UNAVAILABLE`).
    pub const UNAVAILABLE: u8 = 69;
    /// A socket cannot be bound, or the system refuses a service (`EX_OSERR`).
    pub const OS_ERROR: u8 = 71;
    /// A file cannot be written, or must not be overwritten (`EX_CANTCREAT`).
    pub const CANNOT_CREATE: u8 = 73;
    /// Standard output is gone (`EX_IOERR`).
    pub const IO_ERROR: u8 = 74;
    /// There was no answer (`EX_TEMPFAIL`).
    pub const TEMPORARY: u8 = 75;
    /// The configuration cannot be used (`EX_CONFIG`).
    pub const CONFIG: u8 = 78;
    /// The answer was no.
    pub const REFUSED: u8 = 1;
}

/// Checks logins and recipients by asking the mail server that holds the accounts
#[derive(Debug, Parser)]
#[command(name = "vouch", version = env!("VOUCH_VERSION"))]
struct Arguments {
    #[command(flatten)]
    file: ConfigFile,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the daemon in the foreground
    #[command(
        after_help = "Exit status: 0 after a clean shutdown, 71 a socket cannot be bound, 78 bad configuration."
    )]
    Serve,
    /// Run the daemon as Dovecot's own auth service; Dovecot starts this
    #[command(after_help = "Exit status: as vouch serve; 64 when not started by Dovecot.")]
    DovecotService,
    /// Write a first configuration, try the mail server, and print the matching Postfix, Exim or Dovecot lines
    #[command(
        after_help = "vouch init asks on the terminal for what the command line leaves out, and tries the mail server as \
                      vouch check --online does before it writes the file.\n\nExit status: 0 the file was written. It was \
                      not written with 64: an answer is missing and there is no terminal, or answers contradict each other; \
                      69: the mail server cannot be reached; 73: the file exists already, or cannot be written; 75: --try \
                      got no answer."
    )]
    Init(Box<init::Arguments>),
    /// Explain the configuration
    #[command(
        after_help = "Exit status: 0; 69 a directory or a store of the fleet is unreachable, or a directory accepts no passwords \
                      although a listener asks it about logins; 71 a socket could not be bound; 78 bad configuration, or no listener."
    )]
    Check(check::Arguments),
    /// Show the running daemon's status
    #[command(after_help = "Exit status: 0, 69 no daemon is running, 78 bad configuration.")]
    Status(control::status::Arguments),
    /// Show or delete the running daemon's cached answers
    #[command(subcommand)]
    Cache(control::cache::Cache),
    /// Show or change the running daemon's log level
    #[command(subcommand)]
    Log(control::level::Log),
    /// Ask a directory directly, as the daemon would
    #[command(subcommand)]
    Probe(probe::Probe),
    /// Prepare what several vouch share
    #[command(subcommand)]
    Fleet(fleet::Fleet),
    /// Print a page of the manual, for `man -l -`
    Man(man::Page),
    /// Print a completion script for a shell
    Completions(man::Completions),
}

/// Where the configuration is.
#[derive(Debug, Args)]
pub struct ConfigFile {
    /// The configuration file; - is standard input
    #[arg(
        short,
        long,
        value_name = "FILE",
        env = "VOUCH_CONFIG",
        hide_env_values = true,
        global = true,
        default_value = "/etc/vouch/vouch.toml"
    )]
    config: PathBuf,
}

impl ConfigFile {
    /// Reads it, or tells standard error what is wrong with it.
    fn load(&self) -> Result<(Config, Vec<Note>), ExitCode> {
        read::load(&self.config).map_err(|error| {
            let hint = if self.is_standard_input() || self.config.exists() {
                ""
            } else {
                "\n`vouch init` writes a first configuration"
            };
            fail(status::CONFIG, format_args!("{error}{hint}"))
        })
    }

    /// The same for a daemon, which reads it again at each SIGHUP.
    fn load_to_run(&self, command: &str) -> Result<(Config, Vec<Note>), ExitCode> {
        if self.is_standard_input() {
            let why = "standard input cannot be read again at SIGHUP: give a file";
            return Err(failed(command, status::USAGE, why));
        }
        self.load()
    }

    fn is_standard_input(&self) -> bool {
        self.config == Path::new(read::STANDARD_INPUT)
    }
}

/// The command line as it is parsed: what the manual and the completions are made of.
pub fn command() -> clap::Command {
    Arguments::command()
}

/// Parses the process's arguments and runs the command.
pub fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            let shown = error.print();
            let asked_for = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
            return match (asked_for, shown) {
                (true, Ok(())) => ExitCode::SUCCESS,
                (true, Err(_)) => ExitCode::from(status::IO_ERROR),
                (false, _) => ExitCode::from(status::USAGE),
            };
        }
    };
    // Some commands handle passwords; for the others this does no harm.
    if let Some(error) = forbid_core_dumps() {
        let _ = writeln!(
            io::stderr().lock(),
            "vouch: core dumps cannot be forbidden ({error}): one would hold passwords"
        );
    }
    let file = &arguments.file;
    let done = match arguments.command {
        Command::Serve => serve::run(file),
        Command::DovecotService => dovecot_service::run(file),
        Command::Init(arguments) => init::run(*arguments, file),
        Command::Check(arguments) => check::run(&arguments, file),
        Command::Status(arguments) => control::status::run(&arguments, file),
        Command::Cache(cache) => control::cache::run(&cache, file),
        Command::Log(log) => control::level::run(&log, file),
        Command::Probe(probe) => probe::run(&probe, file),
        Command::Fleet(fleet) => fleet::run(&fleet),
        Command::Man(page) => man::run(&page),
        Command::Completions(completions) => man::complete(&completions),
    };
    done.err().unwrap_or(ExitCode::SUCCESS)
}

/// The end of a command that was given the name of no directory.
fn unknown_directory(command: &str, name: &str, config: &Config) -> ExitCode {
    let names: Vec<_> = config
        .directory
        .iter()
        .map(|directory| directory.name.as_str())
        .collect();
    let why = if names.is_empty() {
        "the configuration has no directory at all".to_owned()
    } else {
        let names = names.join(", ");
        format!("there is no directory \"{name}\"; the directories are: {names}")
    };
    failed(command, status::USAGE, why)
}

/// The end of the command of that name, which says why on standard error.
fn failed(command: &str, status: u8, why: impl Display) -> ExitCode {
    fail(status, format_args!("vouch {command}: {why}"))
}

/// Prints to standard error; a closed one is ignored.
fn fail(status: u8, message: impl Display) -> ExitCode {
    let _ = writeln!(io::stderr().lock(), "{message}");
    ExitCode::from(status)
}

/// Writes to standard output; a reader that went away is an error of its own.
fn print(text: &str) -> Result<(), ExitCode> {
    let mut out = io::stdout().lock();
    let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    written.map_err(|_| ExitCode::from(status::IO_ERROR))
}

/// Whether standard error is a terminal.
fn is_watched() -> bool {
    io::stderr().is_terminal()
}

/// Bound (commands): threads for blocking work. Beyond: the work of TLS handshakes waits for one. Why: more than the
/// processors would gain nothing; name look-ups have threads of their own.
const BLOCKING_THREADS: usize = 16;

/// A runtime for one command.
fn runtime() -> Result<tokio::runtime::Runtime, ExitCode> {
    let built = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .max_blocking_threads(BLOCKING_THREADS)
        .build();
    built.map_err(|error| fail(status::OS_ERROR, format_args!("vouch: cannot start: {error}")))
}

/// Starts the log as configured; what comes of it is kept until the end.
fn start_log(
    start: impl FnOnce(&config::Log) -> Result<Log, Box<dyn std::error::Error>>,
    config: &config::Log,
) -> Result<Log, ExitCode> {
    addresses::configure(config.addresses);
    start(config).map_err(|error| fail(status::OS_ERROR, format_args!("vouch: cannot log: {error}")))
}
