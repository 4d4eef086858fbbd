//! What a reply to SMTP `AUTH` says about the credential.

use protocol::smtp::auth::Outcome;
use protocol::smtp::reply::Reply;

use super::words::account::{self, Account};
use super::{defer, reject};
use crate::session::{After, Judged};
use crate::verdict::{Class, Login, Verdict};

/// Judges the outcome of a login as `user`.
pub fn judge(user: &Login, outcome: Outcome) -> Judged<Verdict> {
    match outcome {
        Outcome::Reply(reply) => reply_to_auth(user, &reply),
        // A challenge where nothing was left to say, or a mechanism that was refused before any
        // credential was sent: no word about the credential.
        Outcome::Surprise(reply) => said(Class::Protocol, &reply, After::Close),
        Outcome::Early(reply) if reply.is_transient() => said(Class::Temporary, &reply, After::Close),
        Outcome::Early(reply) | Outcome::Unsupported(reply) => said(Class::Config, &reply, After::Close),
    }
}

fn reply_to_auth(user: &Login, reply: &Reply) -> Judged<Verdict> {
    let subject_detail = reply.enhanced().map(|code| (code.subject, code.detail));
    match (reply.code(), subject_detail) {
        // Nothing in SMTP takes a login back, so the session is spent.
        (235, _) => Judged {
            verdict: Verdict::accept(user.as_bytes()),
            after: After::Spent,
        },
        // RFC 5248: the account is disabled.
        (525, _) | (500..=599, Some((7, 13))) => no(Class::Disabled, reply),
        // Microsoft says so of whole tenants, of mailboxes and of locked accounts.
        (535, Some((7, 139))) => Judged {
            after: After::Close,
            ..by_words(user, reply)
        },
        (535, _) => by_words(user, reply),
        // The mechanism is too weak, or (Gmail) another password is wanted.
        (534, _) => match by_words(user, reply) {
            judged if account::names_credential(&reply.words()) => judged,
            _ => said(Class::Config, reply, After::KeepRefused),
        },
        (538 | 523 | 530, _) => said(Class::Config, reply, After::Close),
        // RFC 4954 §4.7.12: the password must be given in the clear once, or changed.
        (432, Some((7, 12))) => Judged {
            after: After::Close,
            ..no(Class::Expired, reply)
        },
        // 454 by RFC 4954, 435 by Exim: the checking of passwords is out of order.
        (454 | 435, _) => said(Class::Temporary, reply, After::KeepRefused),
        (400..=499, _) => said(Class::Temporary, reply, After::Close),
        (500 | 502 | 504, _) => said(Class::Config, reply, After::Close),
        (501, _) => said(Class::Protocol, reply, After::Close),
        (503, _) => said(Class::Protocol, reply, After::AskAgain),
        (500..=599, _) => said(Class::Config, reply, After::Close),
        _ => said(Class::Protocol, reply, After::Close),
    }
}

/// Servers whose password check is out of order have been seen to say 535 and to
/// tell the truth in the text alone (Postfix with Cyrus SASL, nginx).
fn by_words(user: &Login, reply: &Reply) -> Judged<Verdict> {
    match account::read(&reply.words(), &user.to_string()) {
        Some(Account::Temporary) => said(Class::Temporary, reply, After::KeepRefused),
        Some(Account::Config) => said(Class::Config, reply, After::KeepRefused),
        Some(Account::Expired) => no(Class::Expired, reply),
        Some(Account::Disabled) => no(Class::Disabled, reply),
        None => no(Class::BadCredentials, reply),
    }
}

fn no(class: Class, reply: &Reply) -> Judged<Verdict> {
    reject(class, reply.status(), reply.text())
}

fn said(class: Class, reply: &Reply, after: After) -> Judged<Verdict> {
    defer(class, reply.status(), reply.text(), after)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(reply: &str) -> Judged<Verdict> {
        judge(
            &Login::new(b"jane@example.org"),
            Outcome::Reply(Reply::parse(reply).unwrap()),
        )
    }

    /// The table of AUTH replies, row by row.
    #[test]
    fn table() {
        use After::{AskAgain, Close, KeepRefused, Spent};
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
            ("535 5.7.139 no", "reject", Some(Class::BadCredentials), Close),
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
            ("503 no", "defer", Some(Class::Protocol), AskAgain),
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
            let judged = judge(&Login::new(b"jane"), outcome);
            assert_eq!((judged.verdict.name(), judged.after), ("defer", After::Close));
        }
    }

    #[test]
    fn replies_of_real_servers() {
        super::super::real_replies(include_str!("smtp-auth-replies.txt"), |reply| {
            judged(&reply.replace("\\n", "\r\n")).verdict
        });
    }
}
