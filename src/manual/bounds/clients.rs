//! Clients: connections, and the length of what they send and receive.

use super::{Bound, Limit, bytes, count, listener, row, time};

pub(super) fn rows() -> Vec<Bound> {
    let mut rows = connections();
    rows.extend(lengths());
    rows.extend(monitoring());
    rows
}

fn connections() -> Vec<Bound> {
    vec![
        row(
            "clients of one listener",
            Limit::key("listener.NAME.max-connections", listener().max_connections),
            "one more is closed at once; the log counts them",
            "each costs a file descriptor and a few kilobytes. With vouch dovecot-service it is client_limit of \
             Dovecot's service",
            "a_listener_that_is_full_turns_away_and_serves_again",
        ),
        row(
            "clients that wait to be accepted",
            count!(crate::service::bind::BACKLOG),
            "the kernel refuses one more, or lets it wait; net.core.somaxconn may be lower",
            "a Dovecot opens one connection for each login",
            "callers_wait_in_the_backlog_up_to_its_length",
        ),
        row(
            "sockets that Dovecot hands over",
            count!(crate::service::dovecot::MOST_SOCKETS),
            "the others are not served",
            "its own services have some ten",
            "no_more_sockets_are_taken_than_a_dovecot_has",
        ),
        row(
            "descriptors searched for the first of them",
            count!(crate::service::activation::DESCRIPTORS),
            "vouch dovecot-service does not start, with an error",
            "Dovecot puts a handful of others in front",
            "sockets_that_listen_are_found_by_their_numbers",
        ),
        row(
            "time that a client may ask nothing",
            Limit::none(),
            "",
            "Postfix and Dovecot keep theirs open; max-connections bounds their number",
            "policy/idle-client.txt",
        ),
        row(
            "time from the first byte of a request to its last",
            time!(crate::server::REQUEST_TIMEOUT),
            "its connection is closed, with a warning in the log",
            "clients write it at once; one that sends piece after piece holds a place for nothing",
            "policy/unfinished-request.txt",
        ),
        row(
            "time from the connection of a saslauthd client to the end of its question",
            time!(crate::server::saslauthd::REQUEST_TIME),
            "its connection is closed",
            "its question comes with the connection, and there is but one",
            "saslauthd/silent-client.txt",
        ),
        row(
            "time from a question at a saslauthd listener to its answer",
            Limit::key("listener.NAME.deadline", "20s"),
            "no answer (see tempfail)",
            "clients have no timeout of their own: how long a person waits",
            "saslauthd/deadline.txt",
        ),
        row(
            "recipients, unknown ones and refused logins of one socketmap connection or process that asks saslauthd",
            Limit::key("listener.NAME.limits", "unlimited"),
            "no answer, without asking",
            "the request does not name a client: a connection or process stands for many",
            "socketmap/limits.txt",
        ),
        row(
            "time in which a client reads no byte of what is written to it",
            time!(crate::server::WRITE_TIMEOUT),
            "its connection is closed, with a warning in the log",
            "Postfix and Dovecot read at once; a client that does not is gone or stuck",
            "a_client_that_reads_nothing_is_left_after_a_minute",
        ),
    ]
}

fn lengths() -> Vec<Bound> {
    vec![
        row(
            "line of a policy request",
            bytes!(vouch_protocol::policy::LINE_LIMIT),
            "the connection is closed, with a warning in the log",
            "Postfix takes SMTP commands of 2048 bytes; names in certificates may be longer",
            "policy/over-long.txt",
        ),
        row(
            "policy request",
            bytes!(vouch_protocol::policy::REQUEST_LIMIT),
            "the connection is closed, with a warning in the log",
            "what one connection may make vouch hold",
            "holds_no_more_than_its_limits",
        ),
        row(
            "line of a Dovecot auth client",
            bytes!(vouch_protocol::auth::LINE_LIMIT),
            "the connection is closed, with a warning in the log",
            "Dovecot's own limit",
            "lines_of_every_listener_have_an_end",
        ),
        row(
            "line of a Dovecot userdb or master client",
            bytes!(vouch_protocol::auth::master::LINE_LIMIT),
            "the connection is closed, with a warning in the log",
            "what Dovecot's clients read",
            "lines_of_every_listener_have_an_end",
        ),
        row(
            "failures remembered by each listener: for penalties by address and by user, for auth-errors by session",
            count!(crate::server::failures::FAILURES),
            "some counts start from zero",
            "8 MiB at most, of each of the three",
            "there_is_room_for_so_many",
        ),
        row(
            "answers of one connection that a penalty delays",
            count!(crate::server::auth::late::HELD),
            "one more is sent at once",
            "the busiest of Dovecot's login processes serve a thousand clients",
            "a_connection_may_have_thousands_of_answers_held_back",
        ),
        row(
            "question of a socketmap client",
            bytes!(vouch_protocol::socketmap::REQUEST_LIMIT),
            "the connection is closed, with a warning in the log",
            "what Postfix sends at most",
            "a_question_is_no_longer_than_its_limit",
        ),
        row(
            "question of a saslauthd client",
            bytes!(vouch_protocol::saslauthd::REQUEST_LIMIT),
            "the connection is closed, with a warning in the log",
            "what Cyrus SASL's library sends at most",
            "a_question_has_a_longest_length",
        ),
        row(
            "line sent to an auth client",
            bytes!(vouch_protocol::auth::client::REPLY_LIMIT),
            "fields are left out, or the connection is closed",
            "Exim reads no more",
            "stays_within_the_shortest_buffer",
        ),
        row(
            "room made for one more read",
            bytes!(crate::wire::READ_CHUNK),
            "a buffer grows to twice the longest message and this, and is given back",
            "a whole policy request fits",
            "one_long_message_does_not_keep_its_buffer",
        ),
        row(
            "action sent to Postfix",
            bytes!(vouch_protocol::policy::ACTION_LIMIT),
            "a longer one is refused in the configuration",
            "Postfix would cut its reply to the client",
            "refuses_the_rest_and_says_why",
        ),
        row(
            "words of a mail server in an action ({reply})",
            bytes!(vouch_protocol::policy::REPLY_LIMIT),
            "the rest is cut off",
            "the operator's own words need room beside them",
            "passes_on_the_remotes_words_made_safe",
        ),
        row(
            "user name",
            bytes!(crate::engine::refusals::MAX_USER),
            "the login gets no answer, without asking; the log has the reason",
            "RFC 4616 lets servers stop there",
            "what_is_only_long_is_no_no",
        ),
        row(
            "user name and password together",
            bytes!(crate::engine::refusals::MAX_PLAIN),
            "the login gets no answer, without asking; the log has the reason",
            "its base64 is as long as an SMTP server takes (RFC 4954)",
            "what_is_only_long_is_no_no",
        ),
        row(
            "mail address",
            bytes!(crate::address::MAX_ADDRESS),
            "the recipient is unknown, without asking",
            "RFC 5321: no longer one can be written in SMTP",
            "what_is_no_address_and_what_cannot_be_asked",
        ),
        row(
            "domain, and each of its labels",
            bytes!(crate::address::MAX_DOMAIN).and(bytes!(crate::address::MAX_LABEL)),
            "it is not a domain, and no directory serves it",
            "RFC 1035",
            "domains_have_a_length",
        ),
        row(
            "message of a login dialog or token",
            bytes!(vouch_protocol::sasl::relayed::MESSAGE_LIMIT),
            "the login gets no answer, without asking; the log has the reason",
            "its base64 is as long as an SMTP server takes (RFC 4954)",
            "long_messages_are_told_from_bad_ones",
        ),
    ]
}

fn monitoring() -> Vec<Bound> {
    vec![
        row(
            "clients that read the metrics",
            count!(crate::metrics::http::CONNECTIONS),
            "one more waits",
            "two Prometheus servers that watch each other's work, and a few people",
            "a_socket_path_serves_them_and_nothing_else",
        ),
        row(
            "time for a request for metrics",
            time!(crate::metrics::http::HEAD),
            "the connection is closed",
            "it is one packet",
            "who_sends_no_whole_request_is_left_after_a_while",
        ),
        row(
            "time for it and its answer",
            time!(crate::metrics::http::WHOLE),
            "the connection is closed",
            "Prometheus waits no longer by default",
            "who_reads_no_answer_is_left_after_a_while",
        ),
        row(
            "request for metrics",
            bytes!(crate::metrics::http::HEAD_BYTES).and(fields()),
            "it is refused, and the connection closed",
            "Prometheus sends some 400 bytes with six fields, a browser some twenty fields",
            "a_socket_path_serves_them_and_nothing_else",
        ),
    ]
}

fn fields() -> Limit {
    let mut fields = count!(crate::metrics::http::HEAD_FIELDS);
    fields.text.push_str(" header fields");
    fields
}
