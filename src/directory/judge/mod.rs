//! Reads replies: what an answer means to the asker and to the session.
//!
//! [`recipient`], [`imap`] and [`smtp_auth`] are pure functions over one reply each. They share one reader: the text is
//! cut into clauses (`text`), `phrases.txt` says what is known of words (`phrases`), so that each clause makes statements
//! ([`statement`]), and a code makes one more. A short rule over them, in [`recipient`] and in [`login`], decides: only a
//! statement about this very user or mailbox becomes a `Reject`, and only where none explains the refusal otherwise. A
//! reply that repeats another server's is read as that one (`quote`), and an operator's phrases come first ([`replies`]).

// As in the crate `protocol`: what comes from outside is read here.
#![cfg_attr(not(test), warn(clippy::indexing_slicing, clippy::as_conversions))]

#[cfg(test)]
mod crossings;
pub mod explain;
pub mod imap;
pub mod login;
mod phrases;
mod quote;
pub(crate) mod reading;
pub mod recipient;
pub mod replies;
pub mod smtp_auth;
pub mod statement;
pub(crate) mod text;

pub(crate) use phrases::TABLE as PHRASES;

use crate::session::{self, After, Judged};
use crate::verdict::{Cause, Class, Reach, Verdict};

/// A verdict that defers the question.
fn defer(class: Class, status: impl Into<String>, text: impl Into<String>, after: After) -> Judged<Verdict> {
    Judged {
        verdict: Verdict::Defer(Cause::said(class, status, text)),
        after,
    }
}

/// A verdict in the remote's words that says no.
fn reject(class: Class, status: impl Into<String>, text: impl Into<String>) -> Judged<Verdict> {
    Judged {
        verdict: Verdict::Reject(Cause::said(class, status, text)),
        after: After::KeepRefused,
    }
}

/// The verdict where a session gave no answer at all.
pub fn no_answer(error: &session::Error) -> Verdict {
    let class = match error.kind() {
        session::Kind::Unreachable => Class::Unreachable,
        session::Kind::Timeout | session::Kind::Abandoned => Class::Timeout,
        session::Kind::Protocol => Class::Protocol,
        session::Kind::Tls => Class::Tls,
        session::Kind::Refused => Class::Temporary,
        session::Kind::Config => Class::Config,
        session::Kind::Overload => Class::Overload,
    };
    let status = error.status().map(str::to_owned);
    Verdict::Defer(Cause {
        class,
        status,
        text: error.to_string(),
        challenge: None,
        advice: Some(error.advice()),
        credential_heard: error.credential_was_heard(),
        reach: reach(error),
        by_backup: false,
    })
}

/// What a session without an answer says of the remote itself.
fn reach(error: &session::Error) -> Reach {
    if error.is_away() {
        Reach::Away
    } else if error.is_silence() {
        Reach::Silent
    } else if error.is_reply() {
        Reach::Heard
    } else {
        Reach::Unknown
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    /// Holds a judge against what real servers say: each row of a table is a class, a
    /// reply and its source. To the client, all classes that defer a question are the same.
    pub(super) fn real_replies(table: &str, judge: impl Fn(&str) -> Verdict) {
        let mut wrong = Vec::new();
        let rows = table
            .lines()
            .filter(|line| !line.is_empty() && !line.starts_with('#'));
        for (number, row) in rows.enumerate() {
            let mut columns = row.split('\t');
            let (Some(class), Some(reply), Some(_source)) = (columns.next(), columns.next(), columns.next())
            else {
                panic!("row {number} has no three columns: {row}");
            };
            let expected = match class {
                "ok" | "exists" | "full" => "accept",
                "unknown" | "bad" | "disabled" | "expired" => "reject",
                "policy" | "temp" | "config" | "sender-refused" => "defer",
                other => panic!("row {number} has an unknown class {other}"),
            };
            let verdict = judge(reply);
            if verdict.name() != expected {
                wrong.push(format!("{class}: {reply}\n    judged {verdict:?}"));
            }
        }
        assert!(wrong.is_empty(), "{} rows:\n{}", wrong.len(), wrong.join("\n"));
    }

    /// Whatever the class of the cause is, by which nothing of this can be told: some kinds share one.
    #[test]
    fn what_a_session_says_of_its_remote_is_kept() {
        let peer: Arc<str> = "mailbox".into();
        for kind in session::Kind::ALL.into_iter().chain([session::Kind::Abandoned]) {
            let error = session::Error::new(kind, &peer, "connect", "x");
            let expected = match kind {
                session::Kind::Unreachable | session::Kind::Timeout | session::Kind::Tls => Reach::Away,
                session::Kind::Protocol | session::Kind::Refused => Reach::Heard,
                session::Kind::Config | session::Kind::Overload | session::Kind::Abandoned => Reach::Unknown,
            };
            let reach = |error| no_answer(error).cause().map(|cause| cause.reach);
            assert_eq!(reach(&error), Some(expected), "{kind:?}");
        }
    }
}
