//! What a reply to `RCPT TO` says about the mailbox.

use protocol::smtp::recipients::Answer;
use protocol::smtp::reply::Reply;

use super::words::{self, Mailbox};
use super::{defer, reject};
use crate::session::{After, Judged};
use crate::verdict::{Cause, Class, Identity, Verdict};

/// How doubtful replies are read (`directory.NAME.rcpt`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    /// 252 means that the mailbox exists.
    pub code_252_exists: bool,
    /// A refusal for reasons of policy means that the mailbox does not exist.
    pub policy_means_unknown: bool,
    /// 550 5.4.1 means that the mailbox does not exist.
    pub microsoft: bool,
}

/// Judges the answer to a question for `address`, given in wire form.
pub fn judge(reading: Reading, address: &[u8], answer: Answer) -> Judged<Verdict> {
    match answer {
        Answer::Recipient(reply) => recipient(reading, address, &reply),
        Answer::SenderRefused(reply) => sender_refused(&reply),
        Answer::Utf8Unsupported => {
            let why = "the address needs SMTPUTF8, which the remote does not offer";
            Judged {
                verdict: Verdict::Defer(Cause::ours(Class::Policy, why)),
                after: After::Keep,
            }
        }
        Answer::OutOfTurn => {
            let why = "its replies no longer match our commands";
            Judged {
                verdict: Verdict::Defer(Cause::ours(Class::Protocol, why)),
                after: After::AskAgain,
            }
        }
    }
}

/// A refused `MAIL FROM` is a statement about us, never about a recipient.
fn sender_refused(reply: &Reply) -> Judged<Verdict> {
    let class = match reply.code() {
        400..=499 => Class::Temporary,
        _ => Class::SenderRefused,
    };
    said(
        class,
        reply,
        if reply.code() == 421 {
            After::AskAgain
        } else {
            After::Close
        },
    )
}

fn recipient(reading: Reading, address: &[u8], reply: &Reply) -> Judged<Verdict> {
    let subject_detail = reply.enhanced().map(|code| (code.subject, code.detail));
    match (reply.code(), subject_detail) {
        (250 | 251, _) => exists(address, None),
        (252, _) if reading.code_252_exists => exists(address, None),
        (252, _) => said(Class::Policy, reply, After::Keep),
        (421, _) => said(Class::Temporary, reply, After::AskAgain),
        // About the transaction, not about this address (RFC 5321 §4.5.3.1.10, Postfix
        // reject_multi_recipient_bounce).
        (452 | 550 | 552, Some((5, 3))) => said(Class::Temporary, reply, After::AskAgain),
        (452 | 552, _) if words::too_many_recipients(&reply.words()) => {
            said(Class::Temporary, reply, After::AskAgain)
        }
        (400..=599, Some((2, 2))) => exists(address, Some(status(Class::Full, reply))),
        (400..=499, _) => said(Class::Temporary, reply, After::KeepRefused),
        (500 | 502 | 503, _) => said(Class::Config, reply, After::AskAgain),
        (530, _) | (_, Some((7, 57))) => said(Class::Config, reply, After::Close),
        (501, Some((1, 3))) => no(Class::UnknownUser, reply),
        (501 | 504 | 555, _) => said(Class::Config, reply, After::Close),
        (521 | 571, _) => policy(reading, reply),
        (500..=599, Some(code)) => by_enhanced_code(reading, address, reply, code),
        // May mean too many recipients as well as a full mailbox.
        (552, None) => said(Class::Temporary, reply, After::KeepRefused),
        (550 | 551 | 553 | 554, None) => by_words(reading, address, reply),
        (500..=599, None) => policy(reading, reply),
        _ => said(Class::Protocol, reply, After::Close),
    }
}

/// RFC 3463 §3.2 to §3.8, as servers use it.
fn by_enhanced_code(
    reading: Reading,
    address: &[u8],
    reply: &Reply,
    (subject, detail): (u16, u16),
) -> Judged<Verdict> {
    match (subject, detail) {
        (1, 1 | 3 | 6 | 10) => no(Class::UnknownUser, reply),
        (2, 1) => no(Class::Disabled, reply),
        // 5.1.2 is about the domain, x.3 about the system, x.4 about the network, x.5 about the
        // dialog: none is about the mailbox, and none heals by waiting alone.
        (4, 1) if reading.microsoft => no(Class::UnknownUser, reply),
        (4, 1) => policy(reading, reply),
        (1, 2) | (3 | 4, _) | (5, 1..) => said(Class::Config, reply, After::KeepRefused),
        // Too general to mean anything by themselves.
        (0 | 1 | 2 | 5, 0) => by_words(reading, address, reply),
        _ => policy(reading, reply),
    }
}

fn by_words(reading: Reading, address: &[u8], reply: &Reply) -> Judged<Verdict> {
    match words::mailbox(&reply.words(), &String::from_utf8_lossy(address)) {
        Some(Mailbox::Unknown) => no(Class::UnknownUser, reply),
        Some(Mailbox::Disabled) => no(Class::Disabled, reply),
        Some(Mailbox::Full) => exists(address, Some(status(Class::Full, reply))),
        Some(Mailbox::Later) => said(Class::Temporary, reply, After::KeepRefused),
        Some(Mailbox::Config) => said(Class::Config, reply, After::KeepRefused),
        Some(Mailbox::Policy) | None => policy(reading, reply),
    }
}

fn policy(reading: Reading, reply: &Reply) -> Judged<Verdict> {
    if reading.policy_means_unknown {
        return no(Class::Policy, reply);
    }
    said(Class::Policy, reply, After::KeepRefused)
}

fn exists(address: &[u8], remark: Option<Cause>) -> Judged<Verdict> {
    // A full mailbox was refused all the same, and the remote counts it.
    let after = if remark.is_some() {
        After::KeepRefused
    } else {
        After::Keep
    };
    Judged {
        verdict: Verdict::Accept(Identity {
            name: address.to_vec(),
            remark,
        }),
        after,
    }
}

fn no(class: Class, reply: &Reply) -> Judged<Verdict> {
    reject(class, reply.status(), reply.text())
}

fn said(class: Class, reply: &Reply, after: After) -> Judged<Verdict> {
    defer(class, reply.status(), reply.text(), after)
}

fn status(class: Class, reply: &Reply) -> Cause {
    Cause::said(class, reply.status(), reply.text())
}
