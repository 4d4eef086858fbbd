//! `vouch man`: the manual pages, for who packages.

use std::process::ExitCode;

use super::print;
use crate::manual::bounds::{self, Bound, Group, bytes, count, row, time};
use crate::manual::program;

/// Prints a page for man(1) to standard output.
pub fn run() -> ExitCode {
    match print(&program::page(&bounds())) {
        Ok(()) => ExitCode::SUCCESS,
        Err(status) => status,
    }
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
            "threads for what blocks",
            count!(crate::cli::BLOCKING_THREADS),
            "look-ups of names wait for one",
            "a dead resolver must not collect hundreds",
            "one_look_up_at_a_time_and_who_waits_has_its_answer",
        ),
        row(
            "answer to vouch probe",
            time!(crate::cli::probe::DEADLINE),
            "no answer",
            "nobody behind it hangs up, so a slow server may take its time",
            "a_probe_has_its_own_patience",
        ),
        row(
            "addresses that vouch probe asks about at once",
            count!(crate::cli::probe::recipient::AT_ONCE),
            "the others wait",
            "the sessions of each directory bound what really goes out",
            "two_hundred_answers_come_in_the_order_of_their_questions",
        ),
        row(
            "file of addresses",
            bytes!(crate::cli::probe::recipient::LONGEST_FILE),
            "it is refused",
            "two million addresses have room",
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
            time!(crate::cli::online::PATIENCE).and(time!(crate::cli::online::GOODBYE)),
            "the directory is not reached",
            "a server that takes longer is unreachable to people too",
            "online_ends_with_69_when_one_directory_is_down_and_shows_the_others",
        ),
    ]
}
