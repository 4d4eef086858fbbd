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
    })
}

/// Holds a judge against what real servers say: each row of a table is a class, a
/// reply and its source. Classes that put a question off are one to the asker.
#[cfg(test)]
fn real_replies(table: &str, judge: impl Fn(&str) -> Verdict) {
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
