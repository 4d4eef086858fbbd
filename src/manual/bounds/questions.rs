//! Questions: how many, and how long they may take.

use super::{Bound, Limit, bytes, count, listener, row, time};
use crate::config::duration_text;

pub(super) fn rows() -> Vec<Bound> {
    let mut rows = at_once();
    rows.extend(sessions_of_clients());
    rows.extend(times());
    rows.extend(dialogs());
    rows
}

fn at_once() -> Vec<Bound> {
    vec![
        row(
            "policy requests of one connection at once",
            Limit {
                text: "1".to_owned(),
                ..Limit::none()
            },
            "further ones wait unread, and are answered in order",
            "the protocol requires it",
            "policy/two-requests-in-one-write.txt",
        ),
        row(
            "logins of one connection at once",
            count!(crate::server::auth::connection::IN_FLIGHT),
            "further ones wait unread until one is answered",
            "Dovecot's login processes send thousands",
            "logins_beyond_what_a_connection_may_have_wait_unread",
        ),
        row(
            "users of one connection asked for at once",
            count!(crate::server::userdb::connection::IN_FLIGHT),
            "further ones wait unread until one is answered",
            "Dovecot asks for one, or for several",
            "users_beyond_what_a_connection_may_have_wait_unread",
        ),
        row(
            "half-done logins of one connection",
            count!(crate::server::auth::requests::DIALOGS),
            "one more gets no answer: FAIL temp, \"Too many unfinished requests\"",
            "busy login processes have a thousand clients each",
            "so_many_dialogs_wait_and_one_that_ends_makes_room",
        ),
        row(
            "questions that wait for one directory, equal ones counted each",
            count!(crate::engine::flight::WAITING),
            "one more gets no answer at once (overload)",
            "ten times as many as a listener has clients",
            "who_finds_too_many_waiting_is_told_so_and_who_left_makes_room",
        ),
        row(
            "names of a LIST that are written together",
            bytes!(crate::server::userdb::connection::LIST_PIECE),
            "the rest waits until the client has read them",
            "a client that does not read occupies no more memory",
            "a_list_goes_out_in_pieces",
        ),
    ]
}

fn sessions_of_clients() -> Vec<Bound> {
    let limits = listener().limits;
    vec![
        row(
            "recipients of one message",
            Limit::key("listener.NAME.limits.rcpt", limits.rcpt),
            "no answer (action.limit), without asking",
            "what Postfix takes for one message (smtpd_recipient_limit)",
            "a_message_asks_listener_rcpt_times",
        ),
        row(
            "unknown recipients in one SMTP session, since its last message with an accepted one",
            Limit::key("listener.NAME.limits.rcpt-errors", limits.rcpt_errors),
            "no answer (action.limit), without asking",
            "Postfix hangs up there (smtpd_hard_error_limit)",
            "an_smtp_session_bears_listener_rcpt_errors",
        ),
        row(
            "refused logins of one session, equal ones once",
            Limit::key("listener.NAME.limits.auth-errors", limits.auth_errors),
            "no answer, without asking",
            "more than a user mistypes",
            "a_login_client_bears_listener_auth_errors",
        ),
        row(
            "time for which a refused login counts",
            time!(crate::server::login_limits::WINDOW),
            "it is forgotten",
            "a person who tries again later starts anew",
            "failures_count_by_connection_and_address_for_ten_minutes",
        ),
        row(
            "addresses of one listener whose last accepted login is remembered",
            count!(crate::server::login_limits::GOOD_ADDRESSES),
            "for some, refused logins before it count as well",
            "some two megabytes",
            "more_sessions_than_are_remembered_cost_no_more_memory",
        ),
        row(
            "login processes that were disconnected and are expected to reconnect",
            count!(crate::server::login_limits::PROCESSES),
            "some are dropped and start from zero",
            "more than any Postfix runs",
            "more_sessions_than_are_remembered_cost_no_more_memory",
        ),
        row(
            "SMTP sessions of one listener that are counted",
            count!(crate::server::recipient_limits::SESSIONS),
            "some are dropped and start from zero",
            "more than any Postfix has processes",
            "more_sessions_than_are_remembered_cost_no_more_memory",
        ),
        row(
            "time that such a session may be silent",
            time!(crate::server::recipient_limits::FORGET),
            "it is forgotten",
            "its process and port may belong to another by then",
            "a_silent_session_is_over",
        ),
        row(
            "bytes of each part that identifies such a session",
            count!(crate::server::recipient_limits::PART),
            "the rest is ignored",
            "a host's name is no longer (RFC 1035)",
            "a_session_is_told_by_parts_of_a_bounded_length",
        ),
    ]
}

fn times() -> Vec<Bound> {
    let listener = listener();
    let (smtp, other) = (listener.deadline_for(Some(b"smtp")), listener.deadline_for(None));
    let logins = format!(
        "{} for service=smtp, else {}",
        duration_text(smtp),
        duration_text(other)
    );
    vec![
        row(
            "time from a recipient's question to its answer",
            Limit::key("listener.NAME.deadline", "20s"),
            "no answer (action.defer)",
            "shorter than Postfix waits (100 s), long enough for a slow server",
            "policy/deadline.txt",
        ),
        row(
            "time from a login's question to its answer",
            Limit::key("listener.NAME.deadline", logins),
            "no answer (see tempfail)",
            "Postfix gives up after 10 s, Dovecot after 150 s",
            "auth/deadlines.txt",
        ),
        row(
            "the same while Postfix is under stress (stress=yes)",
            time!(crate::server::policy::STRESSED),
            "no answer (action.defer)",
            "a process of Postfix that waits serves no client",
            "policy/stress.txt",
        ),
        row(
            "time after the deadline for a reason to arrive",
            time!(crate::session::pool::ANSWER_GRACE).and(time!(crate::engine::flight::LATE_ANSWER_GRACE)),
            "\"no answer in time\" is the reason",
            "a session's error at the deadline is more useful than \"no answer in time\"",
            "policy/deadline.txt",
        ),
        row(
            "wait for a new answer about a recipient with an old one (cache.ttl.stale)",
            time!(crate::engine::recipient_lookup::STALE_PATIENCE),
            "the old answer is used",
            "a server that hangs must not delay known recipients",
            "lmtp/stale.txt",
        ),
        row(
            "time of a question that no client waits for",
            time!(crate::engine::recipient_lookup::BACKGROUND),
            "it is given up, and the old answer stays",
            "enough for a slow server; a stuck one is given up",
            "lmtp/refresh-hangs.txt",
        ),
        row(
            "time for which a login waits for its mail process",
            time!(crate::server::handover::LOGIN_LIFETIME),
            "it is forgotten, and the mail process refused",
            "Dovecot's own time",
            "a_login_is_forgotten_with_its_connection_or_its_time",
        ),
        row(
            "logins that wait for their mail processes",
            count!(crate::server::handover::WAITING),
            "the oldest is dropped, with an error in the log",
            "each is fetched within moments; so many wait only if no mail process can reach vouch",
            "of_more_than_there_is_room_for_the_oldest_goes",
        ),
        row(
            "wait for another vouch that has accepted a login (Dovecot reloads)",
            time!(crate::server::sibling::REPLY_TIMEOUT),
            "the mail process is refused",
            "that process looks into its memory only",
            "a_process_that_says_nothing_is_given_up",
        ),
        row(
            "what is read of its answer",
            bytes!(crate::server::sibling::MAX_REPLY_BYTES),
            "the mail process is refused",
            "two short lines and the answer, each of 8 KiB at most",
            "a_process_that_says_too_much_is_given_up",
        ),
    ]
}

fn dialogs() -> Vec<Bound> {
    vec![
        row(
            "time for which a half-done login waits for its client",
            time!(crate::server::auth::requests::DIALOG_TIMEOUT),
            "it is forgotten",
            "Dovecot's own time",
            "auth/dialog-forgotten.txt",
        ),
        row(
            "time that a client has to answer a mail server's challenge",
            time!(crate::dialog::CLIENT_PATIENCE),
            "the dialog is cancelled, no answer",
            "the client's program knows the password when it begins, and the dialog holds a session",
            "relay/abandoned.txt",
        ),
        row(
            "the same while the most dialogs allowed are waiting",
            time!(crate::dialog::LEAST_PATIENCE),
            "the dialog is cancelled, no answer",
            "clients that leave dialogs half done would hold all sessions for dialogs",
            "the_more_are_half_done_the_less_patience_there_is",
        ),
        row(
            "interval of checks for a client that has closed its half of the connection",
            time!(crate::wire::LEFT_CHECK),
            "its questions are dropped if it has gone",
            "nothing else reveals it",
            "a_client_that_has_gone_is_asked_for_no_more",
        ),
        row(
            "time to go on with a dialog, or for a mail process to ask for a login, while a listener closes",
            time!(crate::server::auth::connection::UNDER_WAY),
            "the connection is closed",
            "each takes a moment, and no client may delay the end",
            "auth/drain-dialog.txt",
        ),
        row(
            "time for a login process to close its side",
            time!(crate::server::auth::connection::FAREWELL),
            "the connection is closed",
            "it only has to close",
            "login/drain.txt",
        ),
        row(
            "time of a whole dialog",
            time!(crate::server::auth::relay::DIALOG_TIME),
            "the dialog is cancelled, no answer",
            "two or three answers of each side",
            "relay/endless.txt",
        ),
        row(
            "challenges in one dialog",
            count!(vouch_protocol::sasl::relayed::CHALLENGES),
            "the session is closed, no answer",
            "DIGEST-MD5 and SCRAM have two",
            "challenges_have_an_end",
        ),
        row(
            "challenge of a mail server",
            bytes!(vouch_protocol::sasl::relayed::CHALLENGE_LIMIT),
            "the session is closed, no answer",
            "its base64 fits a line that Exim reads",
            "challenges_of_no_use",
        ),
        row(
            "messages under way in a dialog, per direction",
            count!(crate::dialog::ON_THEIR_WAY),
            "there is never one more: each side waits for the other",
            "the SASL mechanisms require it",
            "what_one_end_says_the_other_hears",
        ),
        row(
            "wait for a mail server to accept a cancelled dialog",
            time!(crate::session::relaying::CANCEL_TIMEOUT),
            "the session is closed",
            "no client waits for the answer",
            "relay/cancel-unheard.txt",
        ),
    ]
}
