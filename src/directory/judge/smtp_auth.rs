//! What a reply to SMTP `AUTH` says about the credential.

use protocol::smtp::auth::Outcome;
use protocol::smtp::reply::Reply;

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
    let lower = reply.words().to_ascii_lowercase();
    match (reply.code(), subject_detail) {
        // Nothing in SMTP takes a login back, so the session is spent.
        (235, _) => Judged {
            verdict: Verdict::accept(user.as_bytes()),
            after: After::Close,
        },
        // Microsoft says so of whole tenants, of mailboxes and of locked accounts.
        (535, Some((7, 139))) if lower.contains("disabled") => said(Class::Config, reply, After::Close),
        (535, Some((7, 139))) => {
            let class = if lower.contains("locked") {
                Class::Disabled
            } else {
                Class::BadCredentials
            };
            Judged {
                after: After::Close,
                ..no(class, reply)
            }
        }
        // RFC 5248: the account is disabled.
        (525, _) | (500..=599, Some((7, 13))) => no(Class::Disabled, reply),
        (535, Some((subject, _))) if subject != 7 && subject != 0 => {
            // RFC 4954 knows 535 with 5.7.8 alone; another subject is about something else.
            said(Class::Policy, reply, After::KeepRefused)
        }
        (535 | 534, _) => no(Class::BadCredentials, reply),
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

fn no(class: Class, reply: &Reply) -> Judged<Verdict> {
    reject(class, reply.status(), reply.text())
}

fn said(class: Class, reply: &Reply, after: After) -> Judged<Verdict> {
    defer(class, reply.status(), reply.text(), after)
}
