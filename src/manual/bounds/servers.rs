//! Mail servers: sessions with them, and the length of their replies.

use super::{Bound, Limit, bytes, count, directory, row, time};
use crate::config::directory::Kind;
use crate::config::duration_text;
use crate::session::Session;
use crate::session::smtp::recipients::RecipientSession;

pub(super) fn sessions() -> Vec<Bound> {
    let mut rows = pool();
    rows.extend(one_session());
    rows.extend(opening());
    rows
}

fn pool() -> Vec<Bound> {
    let pool = directory(Kind::Imap).pool;
    let one_of = |mut limit: Limit| {
        limit.text = format!("one in {} of max-sessions", limit.text);
        limit
    };
    vec![
        row(
            "sessions with one directory at once, of each kind (recipients, logins)",
            Limit::key(
                "directory.NAME.pool.max-sessions",
                format!(
                    "imap {}, smtp {}, lmtp {}",
                    pool.max_sessions,
                    directory(Kind::Smtp).pool.max_sessions,
                    directory(Kind::Lmtp).pool.max_sessions
                ),
            ),
            "questions wait for one",
            "as many as most servers grant one client; their own users need some too",
            "many_at_once_keep_to_limits_rcpt_and_are_all_answered",
        ),
        row(
            "questions of one priority that wait for a session",
            Limit::key("directory.NAME.pool.queue", pool.queue),
            "one more gets no answer at once (overload)",
            "what ten sessions answer within a deadline",
            "imap/one-session.txt",
        ),
        row(
            "sessions kept free for recently accepted logins",
            one_of(count!(crate::session::pool::quota::KEPT_FREE)),
            "other logins use the rest; as many are kept as were recently needed at once",
            "servers delay guesses for seconds; honest logins need sessions meanwhile",
            "guesses_leave_what_trusted_logins_needed",
        ),
        row(
            "sessions kept free beyond those that were needed",
            count!(crate::session::pool::quota::SPARE),
            "others wait for the rest",
            "a guess with the priority of such a login holds one for as long as a refusal takes",
            "guesses_leave_what_trusted_logins_needed",
        ),
        row(
            "time for which needed sessions are kept free",
            time!(crate::session::pool::quota::NEED),
            "all logins may use them",
            "mail programs come back every few minutes",
            "what_was_needed_is_kept_for_a_while",
        ),
        row(
            "sessions for dialogs of clients",
            one_of(count!(crate::session::pool::quota::DIALOGS)),
            "further dialogs wait",
            "each client may leave one half done",
            "relay/share.txt",
        ),
        row(
            "of these, sessions for clients of one network",
            {
                let mut limit = count!(crate::session::pool::quota::OF_ONE_NETWORK);
                limit.text = format!("one in {}", limit.text);
                limit
            },
            "further dialogs wait",
            "an attacker who leaves them half done has few networks",
            "dialogs_hold_a_quarter_and_those_of_one_network_half_of_it",
        ),
        row(
            "of the queue's places for dialogs, those of one network",
            {
                let mut limit = count!(crate::session::pool::state::QUEUED_OF_ONE_NETWORK);
                limit.text = format!("one in {}", limit.text);
                limit
            },
            "one more gets no answer at once (overload)",
            "an attacker who leaves them half done has few networks",
            "dialogs_of_one_network_leave_places_in_the_queue",
        ),
        row(
            "time that a session may be idle",
            Limit::time_of("directory.NAME.pool.idle-timeout", pool.idle_timeout),
            "it is closed",
            "shorter than servers wait",
            "lmtp/idle-timeout.txt",
        ),
        row(
            "age of a session",
            Limit::key(
                "directory.NAME.pool.max-age",
                format!(
                    "imap {}, else {}",
                    duration_text(pool.max_age),
                    duration_text(directory(Kind::Smtp).pool.max_age)
                ),
            ),
            "it is closed after its answer",
            "IMAP servers end what has not logged in after a minute",
            "imap/max-age.txt",
        ),
        row(
            "sessions kept ready for logins",
            Limit::key("directory.NAME.pool.warm-sessions", pool.warm_sessions),
            "others are closed when unused",
            "a login spends its session",
            "imap/warm.txt",
        ),
        row(
            "time after the last question for which they are kept",
            time!(crate::session::pool::WARM_WHILE),
            "they are closed",
            "a server should not have to hold unneeded sessions",
            "imap/warm-ends.txt",
        ),
        row(
            "time after which a server that turned sessions away is tried with one more",
            time!(crate::session::pool::ceiling::RAISED),
            "another session is opened where one is needed",
            "the server's limit may have been raised, and a refused session costs little",
            "it_is_learned_once_and_rises_until_it_is_no_limit",
        ),
        row(
            "time of a goodbye",
            time!(crate::session::pool::worker::CLOSE_TIMEOUT),
            "the connection is closed",
            "no client waits for the answer",
            "lmtp/no-goodbye.txt",
        ),
        row(
            "least time of an opening, however soon the waiting question's deadline is",
            time!(crate::session::pool::worker::OPENING),
            "the waiting question is answered without it",
            "a short deadline is not the server's fault, and the session serves the next question",
            "an_opening_has_its_time_whoever_waits",
        ),
        row(
            "least wait before another session is opened for a question",
            time!(crate::session::pool::state::MIN_OPENING_TIME),
            "another is opened",
            "waiting so briefly costs less than a session",
            "different_questions_share_sessions_and_writes",
        ),
        row(
            "pause after a failed connection, growing",
            time!(crate::session::pool::pause::FIRST).to(time!(crate::session::pool::pause::MAX_PAUSE)),
            "it is tried again when a question comes",
            "a server that is back is noticed within a second",
            "pauses_grow_to_half_a_second_and_end",
        ),
        row(
            "rest of a pause that a question waits for",
            time!(crate::session::pool::pause::PAUSE_NEARLY_OVER),
            "a question in a longer pause gets no answer at once",
            "so short a wait goes unnoticed",
            "policy/down-and-back.txt",
        ),
    ]
}

fn one_session() -> Vec<Bound> {
    let (limits, lmtp) = (directory(Kind::Smtp).limits, directory(Kind::Lmtp).limits);
    vec![
        row(
            "recipients asked in one session",
            Limit::key(
                "directory.NAME.limits.rcpt",
                format!("{}, lmtp {}", limits.rcpt, lmtp.rcpt),
            ),
            "QUIT, and a new session; less where the server says so (RFC 9422)",
            "servers may treat more as an attack",
            "a_remote_session_is_asked_limits_rcpt_times",
        ),
        row(
            "refused ones among them",
            Limit::key(
                "directory.NAME.limits.rcpt-errors",
                format!("{}, lmtp {}", limits.rcpt_errors, lmtp.rcpt_errors),
            ),
            "QUIT, and a new session",
            "many servers slow down or hang up at 10 or 20",
            "a_remote_session_bears_limits_rcpt_errors_refusals",
        ),
        row(
            "refused recipients within a second, minute or hour that limits.unknown-rate may allow",
            count!(crate::config::rate::MOST),
            "it is refused at the start",
            "each takes sixteen bytes meanwhile",
            "rates",
        ),
        row(
            "failed logins in one session",
            Limit::key("directory.NAME.limits.auth-errors", limits.auth_errors),
            "LOGOUT or QUIT, and a new session",
            "many servers hang up at the next",
            "a_remote_session_bears_limits_auth_errors_refusals",
        ),
        row(
            "recipients asked in one write",
            Limit::fixed(
                <RecipientSession as Session>::MAX_BATCH.to_string(),
                "crate::session::smtp::recipients::MAX_BATCH",
            ),
            "the others are in the next",
            "commands and replies fit the buffers of both ends (RFC 2920)",
            "a_write_holds_a_hundred_recipients",
        ),
        row(
            "time of connecting and of each command",
            Limit::time_of("directory.NAME.timeout", directory(Kind::Smtp).timeout),
            "the session is closed, no answer",
            "the listener's deadline is shorter, as a rule",
            "lmtp/hang-timeout.txt",
        ),
        row(
            "SMTP command with a login in it",
            bytes!(vouch_protocol::smtp::auth::MAX_COMMAND),
            "the login is sent in a line of its own",
            "RFC 5321",
            "the_longest_initial_response_fills_the_line",
        ),
    ]
}

fn opening() -> Vec<Bound> {
    vec![
        row(
            "look-up of a server's name",
            time!(crate::session::connect::LOOKUP_TIMEOUT),
            "no answer",
            "one look-up of each name runs at a time, in its own thread",
            "one_look_up_at_a_time_and_who_waits_has_its_answer",
        ),
        row(
            "time for which its addresses are used again",
            time!(crate::session::lookup::KNOWN),
            "the name is looked up again",
            "otherwise the resolver would be asked hundreds of times a second",
            "an_address_is_used_again_for_a_second",
        ),
        row(
            "wait for a name that had addresses before",
            time!(crate::session::lookup::RESOLVER_WAIT),
            "the old addresses are used, and no question waits until the resolver answers again",
            "RFC 8767",
            "a_silent_resolver_is_waited_for_once_where_there_are_addresses",
        ),
        row(
            "addresses of a name that are tried",
            count!(crate::session::lookup::ADDRESSES),
            "the others are ignored",
            "no mail server has more",
            "of_a_name_with_thousands_of_addresses_a_few_are_tried",
        ),
        row(
            "time before the next address is tried as well",
            time!(crate::session::connect::HEAD_START),
            "the next is tried in parallel",
            "RFC 8305",
            "an_address_that_swallows_packets_holds_up_no_other",
        ),
        row(
            "connecting to one address",
            time!(crate::session::connect::CONNECT_TIMEOUT),
            "no answer, or the next address's",
            "a server that swallows packets must leave time for the next",
            "an_address_that_swallows_packets_is_given_up",
        ),
        row(
            "wait for an address that accepted the connection, where there are others",
            time!(crate::session::ways::OTHER_ADDRESS_DELAY),
            "the next is tried in parallel, sooner if a third of the time is up",
            "a server that delays unknown clients has not failed",
            "an_address_that_accepts_and_is_of_no_use_is_passed_by",
        ),
        row(
            "time for which an address that failed while another worked is tried last",
            time!(crate::session::lookup::WORSE),
            "the resolver's order applies again",
            "a server that was overloaded or restarted is back by then",
            "an_address_that_accepts_and_is_of_no_use_is_passed_by",
        ),
        row(
            "TLS handshake",
            time!(crate::session::tls::HANDSHAKE_TIMEOUT),
            "no answer, with a hint at tls.key-exchange",
            "some firewalls swallow its larger first message",
            "a_handshake_that_hangs_is_given_up",
        ),
        row(
            "TLS tickets kept for one directory",
            count!(crate::session::tls::TICKETS),
            "the oldest goes",
            "eight for each server name, of which there is one",
            "tickets_are_those_of_one_server",
        ),
        row(
            "handshakes of one directory that are computed at a time",
            count!(crate::session::negotiate::AT_ONCE),
            "the next waits, within its own time",
            "one remote's data cannot delay another's answers",
            "handshakes_are_worked_on_off_the_event_loop_and_one_at_a_time",
        ),
        row(
            "certificates that a server may send",
            count!(crate::session::chain::MAX_CERTIFICATES),
            "no answer, and none is verified",
            "an honest chain has two to four",
            "a_chain_of_too_many_certificates_is_refused_by_its_length",
        ),
        row(
            "steps from a certificate to one that may have issued it",
            count!(crate::session::chain::STEPS),
            "no answer, and none is verified",
            "certificates that issue each other would delay all answers",
            "certificates_that_issue_each_other_are_refused_by_their_ways",
        ),
        row(
            "names of a certificate that a message shows",
            count!(crate::session::handshake::NAMES),
            "the number of the others is shown",
            "a certificate may have thousands",
            "of_a_certificate_with_thousands_of_names_a_few_are_shown",
        ),
        row(
            "characters of such a name that a message shows",
            count!(crate::session::handshake::NAME_LENGTH),
            "the rest is cut",
            "a certificate may have one of many thousands",
            "a_long_name_is_cut",
        ),
        row(
            "file of certificates or of a key",
            bytes!(crate::session::tls::LONGEST_PEM),
            "it is refused at the start",
            "all public authorities together have a quarter of a megabyte",
            "a_file_that_never_ends_is_not_read_to_its_end",
        ),
        row(
            "connection to learn which mechanisms a server offers",
            time!(crate::engine::cached_directory::CALL_TIMEOUT),
            "it is repeated later",
            "nobody waits for it",
            "calls_are_given_up_and_repeated",
        ),
        row(
            "pause between such connections, growing",
            time!(crate::engine::cached_directory::FIRST_PAUSE)
                .to(time!(crate::engine::cached_directory::LAST_PAUSE)),
            "the server is asked again",
            "nobody waits for it",
            "calls_are_given_up_and_repeated",
        ),
    ]
}

pub(super) fn replies() -> Vec<Bound> {
    vec![
        row(
            "line of an SMTP or LMTP reply",
            bytes!(vouch_protocol::smtp::MAX_LINE),
            "the session is closed, no answer",
            "RFC 5321 grants 512 bytes; some servers take more",
            "each_bound_holds",
        ),
        row(
            "lines of one reply",
            count!(vouch_protocol::smtp::MAX_LINES),
            "the session is closed, no answer",
            "replies to EHLO have fewer than 30",
            "each_bound_holds",
        ),
        row(
            "SMTP or LMTP reply",
            bytes!(vouch_protocol::smtp::MAX_REPLY),
            "the session is closed, no answer",
            "what one session may make vouch hold",
            "each_bound_holds",
        ),
        row(
            "line of an IMAP response",
            bytes!(vouch_protocol::imap::LINE_LIMIT),
            "the session is closed, no answer",
            "lists of capabilities stay below 2 KiB",
            "limits_hold",
        ),
        row(
            "IMAP response with its literals",
            bytes!(vouch_protocol::imap::RESPONSE_LIMIT),
            "the session is closed, no answer",
            "literals are skipped and not kept",
            "limits_hold",
        ),
        row(
            "IMAP responses before the expected one",
            count!(vouch_protocol::imap::UNTAGGED_LIMIT),
            "the session is closed, no answer",
            "a login sees a handful",
            "chatter_has_an_end",
        ),
        row(
            "wait for an answer after an IMAP BYE",
            time!(crate::session::imap::LAST_WORDS),
            "there is none, and the password is not sent again",
            "it usually is in the same packet",
            "imap/bye-at-login.txt",
        ),
        row(
            "recipients of a session that replies may name",
            count!(vouch_protocol::smtp::named::NAMES),
            "a reply that names an older one is read as the answer to the current question",
            "more than one session's recipients by default",
            "the_latest_are_known",
        ),
        row(
            "mechanisms whose names are remembered",
            count!(vouch_protocol::sasl::MECHANISMS),
            "further ones are ignored",
            "no server offers half as many",
            "of_what_a_remote_offers_so_many_names_are_remembered",
        ),
        row(
            "name of a mechanism",
            bytes!(vouch_protocol::sasl::MECHANISM_NAME),
            "a longer one is ignored",
            "RFC 4422",
            "of_what_a_remote_offers_so_many_names_are_remembered",
        ),
        row(
            "characters kept of a server's text",
            count!(vouch_protocol::smtp::reply::MAX_TEXT)
                .and(count!(vouch_protocol::imap::response::TEXT_LIMIT)),
            "the rest is cut off of the log",
            "one line of a log, generously (SMTP and LMTP, IMAP)",
            "what_is_shown_is_one_short_line",
        ),
        row(
            "of a server's text that is read for its meaning",
            bytes!(crate::directory::judge::text::MAX_TEXT),
            "the rest is not read, and the reply is never a \"no\"",
            "the meaning comes before that, or not at all",
            "long_and_odd_texts_cost_little",
        ),
        row(
            "nested replies of other servers in one reply",
            count!(crate::directory::judge::recipient::REPEATED),
            "those within them are not read, and the reply is never a \"no\"",
            "no mail passes that many servers on its way to a mailbox",
            "of_replies_that_repeat_each_other_a_few_are_read",
        ),
        row(
            "forms of secrets that a session looks for in what the remote says",
            count!(crate::session::secrets::REMEMBERED),
            "the oldest is looked for no more",
            "some hundred logins; by default a session tries three",
            "a_session_remembers_the_latest_secrets",
        ),
        row(
            "characters of an address in a trace",
            count!(vouch_protocol::smtp::command::MAX_SHOWN),
            "the rest is cut off",
            "no address is longer",
            "each_command_has_its_line_and_its_trace",
        ),
    ]
}
