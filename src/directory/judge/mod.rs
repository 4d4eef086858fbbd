//! Reads replies: what an answer means to the asker and to the session.
//!
//! Each file is one table of the protocols, as a pure function with a table
//! test. What they share: only the remote's own words about this very user or
//! mailbox become a `Reject`; everything doubtful is a `Defer`.

pub mod imap;
pub mod recipient;
pub mod smtp_auth;
pub mod words;

use crate::session::{self, After, Judged};
use crate::verdict::{Cause, Class, Verdict};

/// A verdict that puts the question off.
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
        session::Kind::Timeout => Class::Timeout,
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
    })
}
