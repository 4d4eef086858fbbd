//! `[listener."NAME".limits]`: how much one client may ask, or fail.

use super::key::keys;
use super::limit::Limit;
use super::protocol::Protocol::{self, Saslauthd, Socketmap};

keys! {
    /// Of one client's message or session; beyond, the answer is "later", without asking the remote.
    #[derive(Copy)]
    pub struct ClientLimits(protocol: Protocol) {
        /// Recipients of one message, each once. At `socketmap`, where requests do not name the SMTP client, this and the
        /// next count by connection, which Postfix renews after 100 s and which serves many SMTP clients.
        // Bound (clients, listener.NAME.limits.rcpt of socketmap): recipients, unknown ones and refused logins of one
        // socketmap connection or process that asks saslauthd. Beyond: no answer, without asking. Why: the request
        // does not name a client: a connection or process stands for many.
        //
        // Bound (questions, listener.NAME.limits.rcpt of policy): recipients of one message. Beyond: no answer
        // (action.limit), without asking. Why: what Postfix takes for one message (smtpd_recipient_limit).
        "rcpt" rcpt: Limit = if protocol == Socketmap { Limit::Unlimited } else { Limit::At(1000) },
            hint "per message; \"unlimited\" is allowed";
        /// Unknown recipients of one SMTP session; the count restarts with the next message after one that had an accepted
        /// recipient, as Postfix's own count of errors does. At 20 Postfix disconnects too (`smtpd_hard_error_limit`).
        // Bound (questions, listener.NAME.limits.rcpt-errors of policy): unknown recipients in one SMTP session,
        // since its last message with an accepted one. Beyond: no answer (action.limit), without asking. Why: Postfix
        // hangs up there (smtpd_hard_error_limit).
        "rcpt-errors" rcpt_errors: Limit = if protocol == Socketmap { Limit::Unlimited } else { Limit::At(20) },
            hint "unknown ones per SMTP session; the count restarts with the next message after one that had an accepted \
                  recipient";
        /// Refused logins of one session within ten minutes, equal ones once: by `session=` if the client sends one, as
        /// Dovecot does, else by connection and client address, until a login from that address is accepted. No limit for
        /// requests without a client address, for addresses in `penalty.exempt` (by default, and without a `penalty`:
        /// loopback) or for requests with `no-penalty`. At `saslauthd`, where each question has its own connection, by
        /// process and client address; with a limit there, one user would lock out all users of a server that has one
        /// process for all.
        // Bound (questions, listener.NAME.limits.auth-errors of auth): refused logins of one session, equal ones
        // once. Beyond: no answer, without asking. Why: more than a user mistypes.
        "auth-errors" auth_errors: Limit = if protocol == Saslauthd { Limit::Unlimited } else { Limit::At(20) },
            hint "different failed logins in ten minutes: by session= if given, else by connection and address until one from \
                  there is accepted; no limit for clients without address";
    }
}
