//! The process: its files, its log, its end.

use super::{Bound, bytes, count, row, time};

pub(super) fn rows() -> Vec<Bound> {
    let mut rows = configuration();
    rows.extend(control());
    rows.extend(log_and_end());
    rows
}

fn configuration() -> Vec<Bound> {
    vec![
        row(
            "configuration, and each file of domains",
            bytes!(crate::config::read::LONGEST_FILE),
            "it is refused at the start",
            "a million domains fit",
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
            "phrases in one list of directory.NAME.replies",
            count!(crate::config::read::directory::MAX_PHRASES),
            "they are refused at the start",
            "a server with more languages has a name for each",
            "phrases_are_few_and_short",
        ),
        row(
            "of one such phrase",
            bytes!(crate::config::read::directory::MAX_PHRASE),
            "it is refused at the start",
            "as much as a log line shows of a reply",
            "phrases_are_few_and_short",
        ),
        row(
            "mistakes in it that are reported at once",
            count!(crate::config::read::problem::MOST_PROBLEMS),
            "the others are counted",
            "a file with more is corrected in rounds",
            "many_errors_are_told_in_part",
        ),
        row(
            "any time in it",
            time!(crate::config::read::value::MAX_DURATION),
            "it is refused at the start",
            "ten years are as good as forever",
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

fn control() -> Vec<Bound> {
    vec![
        row(
            "request at the control socket",
            bytes!(crate::control::LONGEST_REQUEST),
            "it gets an error",
            "a request is a word, at most with an address",
            "a_line_is_answered_with_a_line",
        ),
        row(
            "clients of it at once, and time for each",
            count!(crate::control::MOST_CLIENTS).and(time!(crate::control::REQUEST_TIMEOUT)),
            "others wait for a place",
            "its clients are people, and the scripts of one administrator",
            "those_who_say_nothing_do_not_keep_others_out_for_long",
        ),
        row(
            "answer to one of them",
            time!(crate::control::ANSWER),
            "it gets an error",
            "searching a large cache takes less",
            "an_answer_that_takes_too_long_is_given_up",
        ),
        row(
            "cache entries listed in one answer",
            count!(crate::daemon::remembered::MOST_LISTED),
            "the others are counted",
            "nobody reads more at once, and a domain narrows the list",
            "no_more_is_listed_than_a_reader_can_use",
        ),
        row(
            "cache entries searched in one go",
            count!(crate::engine::remembered::PIECE),
            "other requests are served in between",
            "it takes less than a millisecond",
            "a_large_memory_is_listed_and_purged_in_pieces",
        ),
        row(
            "messages that wait while systemd does not read",
            count!(crate::service::notify::WAITING),
            "one more is lost",
            "each has the newest state, and no request waits for them",
            "a_systemd_that_reads_nothing_holds_up_nobody",
        ),
        row(
            "wait for another process that binds a socket in the same folder",
            time!(crate::service::folder_lock::LOCK),
            "vouch goes on without the lock, and for no other socket in that folder is it waited again",
            "vouch processes lock the folder for a few system calls",
            "a_folder_that_stays_locked_is_waited_for_once",
        ),
    ]
}

fn log_and_end() -> Vec<Bound> {
    vec![
        row(
            "faults of one peer that are logged separately, and time between two lines about one",
            count!(crate::telemetry::faults::MOST).and(time!(crate::telemetry::faults::EVERY)),
            "they are counted together; each line has the count since the last",
            "a peer fails at a handful of steps",
            "the_table_is_bounded",
        ),
        row(
            "value of a field in the journal",
            bytes!(crate::telemetry::journal::MAX_FIELD_BYTES),
            "the rest is cut off",
            "all fields of a verdict fit into one datagram",
            "what_is_too_long_for_a_datagram_is_cut",
        ),
        row(
            "log that waits to be written",
            bytes!(crate::telemetry::sink::LIMIT),
            "lines are lost; their number is logged when the log is read again",
            "some ten thousand lines; no answer waits for the log's reader",
            "nobody_waits_for_a_reader_that_is_stuck_and_what_is_lost_is_counted",
        ),
        row(
            "time for which lines are collected",
            time!(crate::telemetry::sink::GATHER),
            "they are written together",
            "fewer writes, without noticeable delay",
            "what_was_logged_is_written_by_the_end_and_in_order",
        ),
        row(
            "time for the last of them at the end",
            time!(crate::telemetry::sink::PARTING),
            "they are lost",
            "a stuck reader must not delay the end",
            "the_end_waits_so_long_for_a_reader_that_is_stuck",
        ),
        row(
            "steps of the history that the status page shows, and time of each",
            count!(crate::metrics::history::STEPS).and(time!(crate::metrics::history::EVERY)),
            "the oldest is dropped",
            "an hour; some 250 bytes a step for each listener and each directory, 30 KiB in all",
            "an_hour_is_kept_and_no_more",
        ),
        row(
            "steps of \"lately\" and \"before\" in the share of refusals, and time of each",
            count!(crate::server::refused_share::RECENT_STEPS)
                .and(count!(crate::server::refused_share::EARLIER_STEPS))
                .and(time!(crate::server::refused_share::STEP)),
            "the oldest is dropped",
            "six hours and a quarter; some 24 bytes a step for each listener",
            "six_hours_are_kept_and_no_more",
        ),
        row(
            "answers lately and before, and points between their shares, for them to be `far` apart",
            count!(crate::server::refused_share::ENOUGH_LATELY)
                .and(count!(crate::server::refused_share::ENOUGH_BEFORE))
                .and(count!(crate::server::refused_share::FAR)),
            "`vouch status` says so",
            "fewer mean nothing; guesses change the share by less",
            "a_share_that_changes_is_far_from_what_is_usual",
        ),
        row(
            "time to finish after SIGTERM, beyond the longest deadline",
            time!(crate::daemon::DRAIN_GRACE),
            "connections are cut; the log has their number",
            "every question has its answer or its deadline by then",
            "drain_has_an_end",
        ),
        row(
            "time for which the old process accepts clients when Dovecot reloads",
            time!(crate::daemon::dovecot::LAST_IN),
            "the new process takes them",
            "no other process serves the clients that wait at the old sockets",
            "clients_are_let_in_a_little_longer_and_left_in_the_end",
        ),
        row(
            "time for which clients may stay after that",
            time!(crate::daemon::dovecot::LINGER),
            "they are disconnected",
            "Postfix keeps an idle connection for 100 s",
            "clients_are_let_in_a_little_longer_and_left_in_the_end",
        ),
    ]
}
