//! What a reply to SMTP `AUTH` says about the credential.

use vouch_protocol::smtp::auth::Outcome;
use vouch_protocol::smtp::reply::Reply;

use super::login::{self, Conclusion, Explained};
use super::replies::Replies;
use super::statement::{About, Statement, What};
use super::{defer, reject};
use crate::session::{After, Judged};
use crate::verdict::{Class, UserName, Verdict};

/// Judges the outcome of a login as `user`; `replies` are the operator's phrases.
pub fn judge(replies: &Replies, user: &UserName, outcome: Outcome) -> Judged<Verdict> {
    match outcome {
        Outcome::Reply(reply) => reply_to_auth(replies, user, &reply),
        // A challenge where nothing was left to say, or a mechanism that was refused before any
        // credential was sent: no word about the credential.
        Outcome::Surprise(reply) => said(Class::Protocol, &reply, After::Close),
        Outcome::Early(reply) if reply.is_transient() => said(Class::Temporary, &reply, After::Close),
        Outcome::Early(reply) | Outcome::Unsupported(reply) => said(Class::Config, &reply, After::Close),
    }
}

fn reply_to_auth(replies: &Replies, user: &UserName, reply: &Reply) -> Judged<Verdict> {
    match reply.code() {
        235 if !reply.is_consistent() => said(Class::Protocol, reply, After::Close),
        // Nothing in SMTP takes a login back, so the session is spent.
        235 => Judged {
            verdict: Verdict::accept(user.as_bytes()),
            after: After::Spent,
        },
        503 => said(Class::Protocol, reply, After::RetryPolicy),
        400..=599 => refusal(replies, user, reply),
        _ => said(Class::Protocol, reply, After::Close),
    }
}

fn refusal(replies: &Replies, user: &UserName, reply: &Reply) -> Judged<Verdict> {
    let after = after(reply);
    match read(replies, user.as_bytes(), reply).conclusion {
        Conclusion::No(class) => Judged {
            after,
            ..reject(class, reply.status(), reply.text())
        },
        Conclusion::Later(class) => {
            let mut judged = said(class, reply, after);
            if class == Class::NotUnderstood {
                judged.verdict = judged.verdict.heard();
            }
            judged
        }
    }
}

/// Reads a reply of 4yz or 5yz to `AUTH` as `user`.
pub fn read(replies: &Replies, user: &[u8], reply: &Reply) -> Explained {
    let lines: Vec<&str> = reply.lines().iter().map(String::as_str).collect();
    let by_code = if reply.is_consistent() {
        code_of(reply)
    } else {
        Some(Statement::of_code(About::Remote, What::NotNow, reply.status()))
    };
    login::read(&lines, user, replies, by_code)
}

/// What becomes of the session.
fn after(reply: &Reply) -> After {
    let detail = reply.enhanced().map(|code| (code.subject, code.detail));
    match (reply.code(), detail) {
        // Microsoft says so of whole tenants, of mailboxes and of locked accounts.
        (535, Some((7, 139))) => After::Close,
        // 454 by RFC 4954, 435 by Exim: the checking of passwords is out of order.
        (454 | 435 | 525 | 526 | 534 | 535, _) | (500..=599, Some((7, 8 | 13))) => After::KeepRefused,
        _ => After::Close,
    }
}

/// What the codes say (RFC 4954 §6, RFC 5248).
fn code_of(reply: &Reply) -> Option<Statement> {
    let detail = reply.enhanced().map(|code| (code.subject, code.detail));
    let (about, what) = match (reply.code(), detail) {
        // The password must be given in the clear once, or changed.
        (432, Some((7, 12))) => (About::Credential, What::Expired),
        (400..=499, _) => (About::Remote, What::NotNow),
        (525, _) | (_, Some((7, 13))) => (About::Recipient, What::Closed),
        (535, Some((7, 8))) => (About::Credential, What::Wrong),
        (535, _) => return None,
        (500 | 502 | 504 | 523 | 530 | 538, _) => (About::Login, What::Refused),
        // Our own mistake, unless the words know better.
        (501, _) => (About::Login, What::Broken),
        (550 | 553 | 554 | 571, _) => (About::Client, What::Broken),
        _ => return None,
    };
    Some(Statement::of_code(about, what, reply.status()))
}

fn said(class: Class, reply: &Reply, after: After) -> Judged<Verdict> {
    defer(class, reply.status(), reply.text(), after)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(reply: &str) -> Judged<Verdict> {
        judge(
            &Replies::default(),
            &UserName::new(b"jane@example.org"),
            Outcome::Reply(Reply::parse(reply).unwrap()),
        )
    }

    /// The table of AUTH replies, row by row.
    #[test]
    fn table() {
        use After::{Close, KeepRefused, RetryPolicy, Spent};
        for (reply, verdict, class, after) in [
            ("235 2.7.0 ok", "accept", None, Spent),
            ("535 5.7.8 no", "reject", Some(Class::BadCredentials), KeepRefused),
            (
                "535 5.7.3 Authentication unsuccessful",
                "reject",
                Some(Class::BadCredentials),
                KeepRefused,
            ),
            (
                "535 Incorrect authentication data",
                "reject",
                Some(Class::BadCredentials),
                KeepRefused,
            ),
            (
                "535 5.7.8 Error: authentication failed: (reason unavailable)",
                "reject",
                Some(Class::BadCredentials),
                KeepRefused,
            ),
            (
                "535 5.7.8 Error: authentication failed: generic failure",
                "defer",
                Some(Class::Temporary),
                KeepRefused,
            ),
            (
                "535 5.7.139 basic authentication is disabled",
                "defer",
                Some(Class::Config),
                Close,
            ),
            (
                "535 5.7.139 the account is locked",
                "reject",
                Some(Class::Disabled),
                Close,
            ),
            ("535 5.7.139 no", "defer", Some(Class::NotUnderstood), Close),
            ("525 5.7.13 no", "reject", Some(Class::Disabled), KeepRefused),
            ("535 5.7.13 no", "reject", Some(Class::Disabled), KeepRefused),
            (
                "534 5.7.9 mechanism is too weak",
                "defer",
                Some(Class::Config),
                KeepRefused,
            ),
            (
                "534 5.7.9 Application-specific password required",
                "reject",
                Some(Class::BadCredentials),
                KeepRefused,
            ),
            ("538 5.7.11 no", "defer", Some(Class::Config), Close),
            ("523 5.7.10 no", "defer", Some(Class::Config), Close),
            ("530 5.7.0 no", "defer", Some(Class::Config), Close),
            ("432 4.7.12 no", "reject", Some(Class::Expired), Close),
            ("432 4.3.2 no", "defer", Some(Class::Temporary), Close),
            ("454 4.7.0 no", "defer", Some(Class::Temporary), KeepRefused),
            ("435 no", "defer", Some(Class::Temporary), KeepRefused),
            ("450 no", "defer", Some(Class::Temporary), Close),
            ("451 no", "defer", Some(Class::Temporary), Close),
            ("421 no", "defer", Some(Class::Temporary), Close),
            ("500 5.5.6 no", "defer", Some(Class::Config), Close),
            ("502 5.5.1 no", "defer", Some(Class::Config), Close),
            ("504 no", "defer", Some(Class::Config), Close),
            ("501 5.5.2 no", "defer", Some(Class::Protocol), Close),
            ("503 no", "defer", Some(Class::Protocol), RetryPolicy),
            ("550 5.7.1 no", "defer", Some(Class::Config), Close),
            ("554 5.7.1 no", "defer", Some(Class::Config), Close),
            ("571 no", "defer", Some(Class::Config), Close),
            ("553 no", "defer", Some(Class::Config), Close),
            ("250 what", "defer", Some(Class::Protocol), Close),
            ("199 what", "defer", Some(Class::Protocol), Close),
        ] {
            let judged = judged(reply);
            let found = (
                judged.verdict.name(),
                judged.verdict.cause().map(|cause| cause.class),
                judged.after,
            );
            assert_eq!(found, (verdict, class, after), "{reply}");
        }
    }

    #[test]
    fn what_is_no_answer_is_no_no() {
        let reply = || Reply::parse("535 5.7.8 no").unwrap();
        for outcome in [
            Outcome::Surprise(reply()),
            Outcome::Unsupported(reply()),
            Outcome::Early(reply()),
        ] {
            let judged = judge(&Replies::default(), &UserName::new(b"jane"), outcome);
            assert_eq!((judged.verdict.name(), judged.after), ("defer", After::Close));
        }
    }

    #[test]
    fn replies_of_real_servers() {
        super::super::tests::real_replies(include_str!("smtp-auth-replies.txt"), |reply| {
            judged(&reply.replace("\\n", "\r\n")).verdict
        });
    }
}
