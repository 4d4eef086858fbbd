//! `vouch man` and `vouch completions`: for packagers.

use std::process::ExitCode;

use clap::{Args, ValueEnum};
use clap_complete::Shell;

use super::{print, status};
use crate::manual::configuration;
use crate::manual::program::{self, Program};

/// Arguments of `vouch man`.
#[derive(Debug, Args)]
pub(super) struct Page {
    /// The page of section 8, or of section 5
    #[arg(value_enum, default_value_t = Which::Vouch)]
    page: Which,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Which {
    #[value(name = "vouch")]
    Vouch,
    #[value(name = "vouch.toml")]
    Configuration,
}

/// Arguments of `vouch completions`.
#[derive(Debug, Args)]
pub(super) struct Completions {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

/// Prints a page for man(1) to standard output.
pub(super) fn run(arguments: &Page) -> Result<(), ExitCode> {
    print(&match arguments.page {
        Which::Vouch => vouch_page(),
        Which::Configuration => configuration::page(),
    })
}

/// Prints what a shell needs to complete our arguments.
pub(super) fn complete(arguments: &Completions) -> Result<(), ExitCode> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut super::command(), "vouch", &mut script);
    print(&String::from_utf8_lossy(&script))
}

fn vouch_page() -> String {
    program::page(Program {
        command: super::command(),
        statuses: vec![
            (
                status::REFUSED,
                "The answer was no: a login was refused, a recipient is unknown, or no answer is cached.",
            ),
            (status::USAGE, "The command line is wrong."),
            (status::NO_INPUT, "An input file cannot be read."),
            (
                status::UNAVAILABLE,
                "A directory is unreachable, no directory serves the address that was asked about, or no daemon is running.",
            ),
            (
                status::OS_ERROR,
                "A socket cannot be bound, or the system refuses a service.",
            ),
            (
                status::CANNOT_CREATE,
                "A file cannot be written, or exists already.",
            ),
            (status::IO_ERROR, "Standard output is closed."),
            (status::TEMPORARY, "There was no answer."),
            (status::CONFIG, "The configuration cannot be used."),
        ],
    })
}
