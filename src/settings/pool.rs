//! `[directory."NAME".pool]`: the sessions with a remote.

use std::fmt;
use std::time::Duration;

use super::key::{Shown, Value, keys};
use super::kind::Kind;
use super::scalar::{Bound, DAY, INSTANT, MINUTE, SECOND, Scalar as _};
use super::table::{Field, Findings};

keys! {
    /// The sessions with the remote.
    #[derive(Copy)]
    pub struct Pool(kind: Kind) {
        /// Sessions at once, including those being opened or closed; of `smtp`, for recipients and for logins each: Postfix
        /// accepts 50 connections of one client.
        // Bound (sessions, directory.NAME.pool.max-sessions): sessions with one directory at once, of each kind
        // (recipients, logins). Beyond: questions wait for one. Why: as many as most servers grant one client; their
        // own users need some too.
        "max-sessions" max_sessions: MaxSessions = MaxSessions::new(kind),
            alias "max-connections", within 1..=10_000,
            hint "sessions with the server at once; logins: imap 50, smtp 40";
        /// With `lookup.routes`: servers with sessions, pauses and a health of their own at once; one that no question has come
        /// for in 10 minutes is forgotten, and the longest unused one makes room for another. If all are being asked, a
        /// question to one more is deferred.
        // Bound (sessions, directory.NAME.pool.max-servers): servers of a map in use at once. Beyond: the longest unused
        // one makes room; if all are being asked, no answer (overload). Why: each has max-sessions sessions at most.
        "max-servers" max_servers: u32 = 1000,
            within 1..=100_000, hint "with lookup.routes: servers in use at once";
        /// Fewest sessions kept open and ready for 10 minutes after the last login; 0 for none. An accepted login spends its
        /// session, so more are kept ready while many are accepted: as many as come while one is opened. At most `max-sessions`.
        // Bound (sessions, directory.NAME.pool.warm-sessions): sessions kept ready for logins, or as many as are spent while
        // one is opened. Beyond: others are closed when unused. Why: a login spends its session.
        "warm-sessions" warm_sessions: u32 = 1,
            within 0..=10_000, hint "fewest kept open and ready for logins, while some arrive; 0: none";
        /// Questions that wait for a session; one more gets no answer at once.
        // Bound (sessions, directory.NAME.pool.queue): questions of one priority that wait for a session. Beyond: one
        // more gets no answer at once (overload). Why: what ten sessions answer within a deadline.
        "queue" queue: u32 = 2000,
            within 1..=1_000_000, hint "questions that may wait for a session; one more is deferred at once";
        /// How long an unused session is kept.
        // Bound (sessions, directory.NAME.pool.idle-timeout): time that a session may be idle. Beyond: it is closed.
        // Why: shorter than servers wait.
        "idle-timeout" idle_timeout: Duration = 30 * SECOND, within INSTANT..=DAY;
        /// How old a session may become. Servers close an IMAP session without a login after a minute.
        // Bound (sessions, directory.NAME.pool.max-age): age of a session. Beyond: it is closed after its answer.
        // Why: IMAP servers end what has not logged in after a minute.
        "max-age" max_age: Duration = if kind == Kind::Imap { 50 * SECOND } else { 2 * MINUTE },
            within INSTANT..=DAY, hint "smtp, lmtp 2m; imap 50s";
    }
}

/// Sessions for each kind of question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MaxSessions {
    /// For logins.
    pub logins: u32,
    /// For recipients.
    pub recipients: u32,
}

impl MaxSessions {
    /// The same number for each.
    pub const fn each(number: u32) -> Self {
        Self {
            logins: number,
            recipients: number,
        }
    }

    const fn new(kind: Kind) -> Self {
        match kind {
            Kind::Imap => Self::each(50),
            Kind::Smtp => Self {
                logins: 40,
                recipients: 10,
            },
            Kind::Lmtp => Self::each(10),
        }
    }
}

impl Value for MaxSessions {
    fn read(&mut self, found: &mut Findings, field: &Field<'_>, bound: &Bound) {
        match u32::parse(field.value, bound) {
            Ok(number) => *self = Self::each(number),
            Err(wrong) => field.wrong(found, wrong),
        }
    }

    /// One number, where it is one.
    fn show(&self) -> Shown {
        if self.logins == self.recipients {
            Shown::Set(self.logins.to_string())
        } else {
            Shown::Unset(self.to_string())
        }
    }
}

impl fmt::Display for MaxSessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { logins, recipients } = self;
        if logins == recipients {
            write!(f, "{logins}")
        } else {
            write!(f, "{logins} for logins, {recipients} for recipients")
        }
    }
}
