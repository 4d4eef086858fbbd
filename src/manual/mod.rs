//! The manual: pages for man(1), made of what the program says of itself.
//!
//! [`program`] is vouch(8): the commands, as the command line describes them, and the table of every bound, which
//! `tests/manual` writes into `bounds.txt` from the comments at the constants. [`configuration`] is vouch.toml(5): the
//! keys, as their entries in `crate::settings` describe them. `roff` writes.

pub mod configuration;
pub mod program;
mod replies;
mod report;
mod roff;

// The bounds that are keys.
//
// Bound (clients, listener.NAME.max-connections): clients of one listener. Beyond: one more is closed at once; the
// log counts them. Why: each costs a file descriptor and a few kilobytes. With vouch dovecot-service it is
// client_limit of Dovecot's service.
//
// Bound (clients, listener.NAME.deadline of saslauthd): time from a question at a saslauthd listener to its answer.
// Beyond: no answer (see tempfail). Why: clients have no timeout of their own: how long a person waits.
//
// Bound (clients, listener.NAME.limits.rcpt of socketmap): recipients, unknown ones and refused logins of one
// socketmap connection or process that asks saslauthd. Beyond: no answer, without asking. Why: the request does not
// name a client: a connection or process stands for many.
//
// Bound (questions, listener.NAME.limits.rcpt of policy): recipients of one message. Beyond: no answer
// (action.limit), without asking. Why: what Postfix takes for one message (smtpd_recipient_limit).
//
// Bound (questions, listener.NAME.limits.rcpt-errors of policy): unknown recipients in one SMTP session, since its
// last message with an accepted one. Beyond: no answer (action.limit), without asking. Why: Postfix hangs up there
// (smtpd_hard_error_limit).
//
// Bound (questions, listener.NAME.limits.auth-errors of auth): refused logins of one session, equal ones once.
// Beyond: no answer, without asking. Why: more than a user mistypes.
//
// Bound (questions, listener.NAME.deadline of policy): time from a recipient's question to its answer. Beyond: no
// answer (action.defer). Why: shorter than Postfix waits (100 s), long enough for a slow server.
//
// Bound (questions, listener.NAME.deadline of auth): time from a login's question to its answer. Beyond: no answer
// (see tempfail). Why: Postfix gives up after 10 s, Dovecot after 150 s.
//
// Bound (sessions, directory.NAME.pool.max-sessions): sessions with one directory at once, of each kind (recipients,
// logins). Beyond: questions wait for one. Why: as many as most servers grant one client; their own users need some
// too.
//
// Bound (sessions, directory.NAME.pool.queue): questions of one priority that wait for a session. Beyond: one more
// gets no answer at once (overload). Why: what ten sessions answer within a deadline.
//
// Bound (sessions, directory.NAME.pool.idle-timeout): time that a session may be idle. Beyond: it is closed. Why:
// shorter than servers wait.
//
// Bound (sessions, directory.NAME.pool.max-age): age of a session. Beyond: it is closed after its answer. Why: IMAP
// servers end what has not logged in after a minute.
//
// Bound (sessions, directory.NAME.pool.warm-sessions): sessions kept ready for logins. Beyond: others are closed when
// unused. Why: a login spends its session.
//
// Bound (sessions, directory.NAME.limits.rcpt): recipients asked in one session. Beyond: QUIT, and a new session;
// less where the server says so (RFC 9422). Why: servers may treat more as an attack.
//
// Bound (sessions, directory.NAME.limits.rcpt-errors): refused recipients in one session. Beyond: QUIT, and a new
// session. Why: many servers slow down or hang up at 10 or 20.
//
// Bound (sessions, directory.NAME.limits.auth-errors): failed logins in one session. Beyond: LOGOUT or QUIT, and a
// new session. Why: many servers hang up at the next.
//
// Bound (sessions, directory.NAME.timeout): time of connecting and of each command. Beyond: the session is closed, no
// answer. Why: the listener's deadline is shorter, as a rule.
//
// Bound (cache, directory.NAME.cache.entries): recipients of one directory; as many accepted, and as many refused
// logins. Beyond: the least recently used are dropped. Why: some twenty megabytes when full.
//
// Bound (cache, directory.NAME.cache.ttl.positive): time for which a recipient is known to exist. Beyond: it is asked
// again. Why: mailboxes are seldom deleted.
//
// Bound (cache, directory.NAME.cache.ttl.refresh): age at which an accepted recipient is asked again in the
// background. Beyond: the answer comes from the cache meanwhile. Why: no request waits, and a deleted mailbox is
// noticed.
//
// Bound (cache, directory.NAME.cache.ttl.stale): time for which a recipient is known to exist while the server gives
// no answer. Beyond: no answer. Why: a server that is down for a week has other problems.
//
// Bound (cache, directory.NAME.cache.ttl.negative): time for which a recipient is known not to exist. Beyond: it is
// asked again. Why: a new mailbox receives mail within minutes.
//
// Bound (cache, directory.NAME.cache.credentials.positive): time for which a login is known to be good. Beyond: it is
// asked again. Why: not at all, unless the operator says so.
//
// Bound (cache, directory.NAME.cache.credentials.negative): time for which the same wrong password is refused without
// asking. Beyond: it is asked again. Why: a phone with an old password asks every few seconds.
//
// Bound (cache, directory.NAME.cache.entries): recipients in cache.file. Beyond: the oldest go. Why: the file is no
// larger than the memory.
