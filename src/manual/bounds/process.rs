//! The process: its files, its log, its end.

use super::{Bound, bytes, count, row, time};

pub(super) fn rows() -> Vec<Bound> {
    let mut rows = configuration();
    rows.extend(log_and_end());
    rows
}

fn configuration() -> Vec<Bound> {
    vec![
        row(
            "configuration, and each file of domains",
            bytes!(crate::config::read::LONGEST_FILE),
            "it is refused at the start",
            "a million domains have room",
            "a_file_that_is_too_long_is_not_read_to_its_end",
        ),
        row(
            "domains in one file",
            count!(crate::config::read::lookup::DOMAINS),
            "it is refused at the start",
            "a provider of more has several directories",
            "a_file_holds_so_many_domains_and_no_more",
        ),
        row(
            "mistakes in it that are told at once",
            count!(crate::config::read::problem::MOST_PROBLEMS),
            "the others are counted",
            "a file with more is mended in rounds",
            "many_errors_are_told_in_part",
        ),
        row(
            "any time in it",
            time!(crate::config::read::value::LONGEST),
            "it is refused at the start",
            "ten years are as good as for ever",
            "durations",
        ),
        row(
            "path of a socket",
            bytes!(crate::config::read::value::LONGEST_SOCKET_PATH),
            "it is refused at the start",
            "unix(7)",
            "a_path_of_a_socket_fits_the_kernel",
        ),
    ]
}

fn log_and_end() -> Vec<Bound> {
    vec![
        row(
            "log that waits to be written",
            bytes!(crate::telemetry::sink::LIMIT),
            "lines are lost; how many, the log says when it is read again",
            "some ten thousand lines; whoever answers waits for no reader",
            "nobody_waits_for_a_reader_that_is_stuck_and_what_is_lost_is_counted",
        ),
        row(
            "time for which lines are gathered",
            time!(crate::telemetry::sink::GATHER),
            "they are written together",
            "fewer writes, and nobody notices",
            "what_was_logged_is_written_by_the_end_and_in_order",
        ),
        row(
            "time for the last of them at the end",
            time!(crate::telemetry::sink::PARTING),
            "they are lost",
            "a reader that is stuck must not hold up the end",
            "the_end_waits_so_long_for_a_reader_that_is_stuck",
        ),
        row(
            "drain after SIGTERM, beyond the longest deadline",
            time!(crate::daemon::DRAIN_GRACE),
            "connections are cut; the log says how many",
            "every question has its answer or its deadline by then",
            "drain_has_an_end",
        ),
        row(
            "time for which clients are let in when Dovecot reloads",
            time!(crate::daemon::dovecot::LAST_IN),
            "the new process takes them",
            "who waits at the old sockets is in nobody else's care",
            "clients_are_let_in_a_little_longer_and_left_in_the_end",
        ),
        row(
            "time for which clients may stay after that",
            time!(crate::daemon::dovecot::LINGER),
            "they are left",
            "Postfix keeps an idle connection for 100 s",
            "clients_are_let_in_a_little_longer_and_left_in_the_end",
        ),
    ]
}
