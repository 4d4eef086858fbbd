//! `vouch man` and `vouch completions`: for packagers.

use std::process::ExitCode;

use clap::{Args, ValueEnum};
use clap_complete::Shell;

use super::{print, status};
use crate::manual::bounds::{self, Bound, Group, bytes, count, row, time};
use crate::manual::configuration;
use crate::manual::program::{self, Program};

/// Arguments of `vouch man`.
#[derive(Debug, Args)]
pub struct Page {
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
pub struct Completions {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

/// Prints a page for man(1) to standard output.
pub fn run(arguments: &Page) -> ExitCode {
    let page = match arguments.page {
        Which::Vouch => vouch_page(),
        Which::Configuration => configuration::page(),
    };
    ended(print(&page))
}

/// Prints what a shell needs to complete our arguments.
pub fn complete(arguments: &Completions) -> ExitCode {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut super::command(), "vouch", &mut script);
    ended(print(&String::from_utf8_lossy(&script)))
}

fn ended(printed: Result<(), ExitCode>) -> ExitCode {
    match printed {
        Ok(()) => ExitCode::SUCCESS,
        Err(status) => status,
    }
}

fn vouch_page() -> String {
    program::page(Program {
        command: super::command(),
        bounds: bounds(),
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

/// Every bound: of the daemon, and of the commands.
pub fn bounds() -> Vec<Group> {
    let mut groups = bounds::all();
    groups.push(Group {
        title: "Commands",
        bounds: commands(),
    });
    groups
}

fn commands() -> Vec<Bound> {
    vec![
        row(
            "threads for blocking work",
            count!(crate::cli::BLOCKING_THREADS),
            "the work of TLS handshakes waits for one",
            "more than the processors would gain nothing; name look-ups have threads of their own",
            "handshakes_are_worked_on_off_the_event_loop_and_one_at_a_time",
        ),
        row(
            "answer to vouch status, and wait for it",
            bytes!(crate::control::client::LONGEST_ANSWER).and(time!(crate::control::client::ANSWER_TIMEOUT)),
            "it is no answer",
            "the report of thousands of directories fits; a later answer shows a busy daemon",
            "an_answer_that_never_ends_is_not_read_to_its_end",
        ),
        row(
            "answer to vouch probe",
            time!(crate::cli::probe::DEADLINE),
            "no answer",
            "no client hangs up meanwhile, so a slow server may take its time",
            "a_probe_has_its_own_patience",
        ),
        row(
            "addresses that vouch probe asks about at once",
            count!(crate::cli::probe::recipient::AT_ONCE),
            "the others wait",
            "each directory's sessions bound what is really sent",
            "two_hundred_answers_come_in_the_order_of_their_questions",
        ),
        row(
            "file of addresses",
            bytes!(crate::cli::probe::recipient::LONGEST_FILE),
            "it is refused",
            "two million addresses fit",
            "addresses_come_from_arguments_then_from_a_file_or_standard_input",
        ),
        row(
            "file with a password",
            bytes!(crate::cli::probe::login::MAX_FILE),
            "the rest is not read",
            "longer than any password that can be sent",
            "a_password_file_that_never_ends_is_not_read_to_its_end",
        ),
        row(
            "session of vouch check --online, and its goodbye",
            time!(crate::cli::online::PROBE_TIMEOUT).and(time!(crate::cli::online::GOODBYE)),
            "the directory is not reached",
            "a server that takes longer is unreachable for users as well",
            "online_ends_with_69_when_one_directory_is_down_and_shows_the_others",
        ),
    ]
}
