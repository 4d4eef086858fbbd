//! What a reply to `RCPT TO` says about the mailbox.

use std::borrow::Cow;

use protocol::smtp::recipients::Answer;
use protocol::smtp::reply::Reply;

use super::words::mailbox::{self, Mailbox};
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
    }
}

/// A refused `MAIL FROM` is a statement about us, never about a recipient.
fn sender_refused(reply: &Reply) -> Judged<Verdict> {
    let class = match reply.code() {
        400..=499 => Class::Temporary,
        _ => Class::SenderRefused,
    };
    let after = if reply.code() == 421 {
        After::Goodbye
    } else {
        After::Close
    };
    said(class, reply, after)
}

fn recipient(reading: Reading, address: &[u8], reply: &Reply) -> Judged<Verdict> {
    let subject_detail = reply.enhanced().map(|code| (code.subject, code.detail));
    match (reply.code(), subject_detail) {
        (250 | 251, _) => exists(address, None),
        (252, _) if reading.code_252_exists => exists(address, None),
        (252, _) => said(Class::Policy, reply, After::Keep),
        (421, _) => said(Class::Temporary, reply, After::Goodbye),
        // About the transaction, not about this address (RFC 5321 §4.5.3.1.10, Postfix
        // reject_multi_recipient_bounce).
        (452 | 550 | 552, Some((5, 3))) => said(Class::Temporary, reply, After::AskAgain),
        (452 | 552, _) if mailbox::too_many_recipients(&reply.words()) => {
            said(Class::Temporary, reply, After::AskAgain)
        }
        (400..=499, Some((2, 2))) => match overruled(address, reply) {
            // Greylisting and wants for TLS have been seen under 4.2.2.
            Some(_) => said(Class::Temporary, reply, After::KeepRefused),
            None => full(address, reply),
        },
        (400..=499, _) => said(Class::Temporary, reply, After::KeepRefused),
        (500 | 502 | 503, _) => said(Class::Config, reply, After::AskAgain),
        (530, _) | (_, Some((7, 57))) => said(Class::Config, reply, After::Close),
        // Maddy says 501 5.1.1, others 501 5.1.3 of an address that cannot be.
        (501, Some((1, 1 | 3))) => unless_overruled(address, reply, Class::UnknownUser),
        (501 | 504 | 555, _) => said(Class::Config, reply, After::Close),
        // Its enhanced code is 5.7.13 (RFC 5248's registry); one of trouble at the remote says more than the words.
        (525, None | Some((2 | 7, _))) if mailbox::says_disabled(&reply.words()) => {
            no(Class::Disabled, reply)
        }
        (521 | 571, _) => policy(reading, reply),
        (552, None | Some((1, _))) if mailbox::says_full(&reply.words()) => full(address, reply),
        // May mean too many recipients as well as a full mailbox; never an unknown one.
        (552, None | Some((1, _))) => said(Class::Temporary, reply, After::KeepRefused),
        (500..=599, Some(code)) => by_enhanced_code(reading, address, reply, code),
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
        // A null MX is about the domain (RFC 7505 §4.2), Microsoft's 550 about the recipient.
        (1, 10) if reply.code() != 550 => policy(reading, reply),
        (1, 1 | 3 | 6 | 10) => unless_overruled(address, reply, Class::UnknownUser),
        (2, 1) => unless_overruled(address, reply, Class::Disabled),
        (2, 2) => full(address, reply),
        (4, 1) if reading.microsoft => no(Class::UnknownUser, reply),
        (4, 1) => policy(reading, reply),
        (1, 0) if mailbox::says_address_rejected(&reply.words()) => {
            match mailbox::read(&reply.words(), &text(address)) {
                None => no(Class::UnknownUser, reply),
                Some(_) => by_words(reading, address, reply),
            }
        }
        // Too general to mean anything by themselves.
        (_, 0) => by_words(reading, address, reply),
        // 5.1.2 is about the domain, x.3 about the system, x.4 about the network, x.5 about the
        // dialog: none is about the mailbox, and none heals by waiting alone.
        (1, 2) | (3..=5, _) => said(Class::Config, reply, After::KeepRefused),
        _ => policy(reading, reply),
    }
}

/// A refusal with a code that is about the mailbox, unless its words are about
/// something else.
fn unless_overruled(address: &[u8], reply: &Reply, class: Class) -> Judged<Verdict> {
    match overruled(address, reply) {
        Some(class) => said(class, reply, After::KeepRefused),
        None => no(class, reply),
    }
}

fn overruled(address: &[u8], reply: &Reply) -> Option<Class> {
    if reply.is_transient() && mailbox::wants_login(&reply.words()) {
        return Some(Class::Config);
    }
    match mailbox::overrules_code(&reply.words(), &text(address))? {
        Mailbox::Later => Some(Class::Temporary),
        _ => Some(Class::Policy),
    }
}

fn by_words(reading: Reading, address: &[u8], reply: &Reply) -> Judged<Verdict> {
    match mailbox::read(&reply.words(), &text(address)) {
        Some(Mailbox::Unknown) => no(Class::UnknownUser, reply),
        Some(Mailbox::Disabled) => no(Class::Disabled, reply),
        Some(Mailbox::Full) => full(address, reply),
        Some(Mailbox::Later) => said(Class::Temporary, reply, After::KeepRefused),
        Some(Mailbox::Config) => said(Class::Config, reply, After::KeepRefused),
        Some(Mailbox::Policy) | None => policy(reading, reply),
    }
}

/// A refusal that speaks of policy by its code. A text that speaks of the sender,
/// the client or of nothing we know is never more than a Defer: the day our own
/// address is on a blocklist, nobody's mailbox is unknown.
fn policy(reading: Reading, reply: &Reply) -> Judged<Verdict> {
    let by_code = matches!(reply.code(), 521 | 571)
        || reply
            .enhanced()
            .is_some_and(|code| matches!((code.subject, code.detail), (7, _) | (4, 1)));
    if reading.policy_means_unknown && by_code {
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

/// A full mailbox is a mailbox.
fn full(address: &[u8], reply: &Reply) -> Judged<Verdict> {
    exists(
        address,
        Some(Cause::said(Class::Full, reply.status(), reply.text())),
    )
}

fn text(address: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CAREFUL: Reading = Reading {
        code_252_exists: true,
        policy_means_unknown: false,
        microsoft: false,
    };

    fn judged(reading: Reading, reply: &str) -> Judged<Verdict> {
        let reply = Reply::parse(reply).unwrap();
        judge(reading, b"user@example.com", Answer::Recipient(reply))
    }

    /// The table of RCPT replies, row by row: the class, and what becomes of the
    /// session.
    #[test]
    fn table() {
        use After::{AskAgain, Close, Goodbye, Keep, KeepRefused};
        for (reply, verdict, class, after) in [
            ("250 2.1.5 ok", "accept", None, Keep),
            ("250 ok", "accept", None, Keep),
            ("251 forward", "accept", None, Keep),
            ("252 cannot verify", "accept", None, Keep),
            ("550 5.1.1 no", "reject", Some(Class::UnknownUser), KeepRefused),
            ("550 5.1.3 no", "reject", Some(Class::UnknownUser), KeepRefused),
            ("550 5.1.6 no", "reject", Some(Class::UnknownUser), KeepRefused),
            (
                "550 5.1.10 RESOLVER.ADR.RecipientNotFound",
                "reject",
                Some(Class::UnknownUser),
                KeepRefused,
            ),
            ("550 no (#5.1.1)", "reject", Some(Class::UnknownUser), KeepRefused),
            (
                "550 5.1.0 user unknown",
                "reject",
                Some(Class::UnknownUser),
                KeepRefused,
            ),
            (
                "550 5.1.0 sender rejected",
                "defer",
                Some(Class::Policy),
                KeepRefused,
            ),
            ("550 5.1.2 bad domain", "defer", Some(Class::Config), KeepRefused),
            (
                "550 user unknown",
                "reject",
                Some(Class::UnknownUser),
                KeepRefused,
            ),
            (
                "550 relay not permitted",
                "defer",
                Some(Class::Policy),
                KeepRefused,
            ),
            ("550 something else", "defer", Some(Class::Policy), KeepRefused),
            (
                "551 User not local; please try <x@e.org>",
                "reject",
                Some(Class::UnknownUser),
                KeepRefused,
            ),
            ("550 5.2.1 closed", "reject", Some(Class::Disabled), KeepRefused),
            ("552 5.2.2 over quota", "accept", Some(Class::Full), KeepRefused),
            ("452 4.2.2 over quota", "accept", Some(Class::Full), KeepRefused),
            ("552 storage", "defer", Some(Class::Temporary), KeepRefused),
            ("552 5.5.3 too many", "defer", Some(Class::Temporary), AskAgain),
            ("452 4.5.3 too many", "defer", Some(Class::Temporary), AskAgain),
            (
                "452 too many recipients",
                "defer",
                Some(Class::Temporary),
                AskAgain,
            ),
            (
                "550 5.5.3 one recipient for bounces",
                "defer",
                Some(Class::Temporary),
                AskAgain,
            ),
            ("550 5.7.1 no", "defer", Some(Class::Policy), KeepRefused),
            ("554 5.7.1 no", "defer", Some(Class::Policy), KeepRefused),
            ("571 no", "defer", Some(Class::Policy), KeepRefused),
            ("521 no", "defer", Some(Class::Policy), KeepRefused),
            (
                "550 5.4.1 access denied",
                "defer",
                Some(Class::Policy),
                KeepRefused,
            ),
            ("550 5.6.7 no", "defer", Some(Class::Policy), KeepRefused),
            ("553 5.6.7 no", "defer", Some(Class::Policy), KeepRefused),
            ("553 5.1.3 no", "reject", Some(Class::UnknownUser), KeepRefused),
            ("553 no", "defer", Some(Class::Policy), KeepRefused),
            (
                "501 5.1.3 bad address",
                "reject",
                Some(Class::UnknownUser),
                KeepRefused,
            ),
            ("501 syntax", "defer", Some(Class::Config), Close),
            ("555 parameter", "defer", Some(Class::Config), Close),
            ("530 5.7.0 STARTTLS first", "defer", Some(Class::Config), Close),
            ("530 5.7.57 authenticate", "defer", Some(Class::Config), Close),
            ("550 5.7.57 authenticate", "defer", Some(Class::Config), Close),
            ("500 what", "defer", Some(Class::Config), AskAgain),
            ("502 no", "defer", Some(Class::Config), AskAgain),
            ("503 5.5.1 need MAIL", "defer", Some(Class::Config), AskAgain),
            (
                "450 4.7.1 greylisted",
                "defer",
                Some(Class::Temporary),
                KeepRefused,
            ),
            (
                "451 4.3.0 too many deliveries",
                "defer",
                Some(Class::Temporary),
                KeepRefused,
            ),
            ("452 4.3.1 disk", "defer", Some(Class::Temporary), KeepRefused),
            (
                "421 4.7.0 too many errors",
                "defer",
                Some(Class::Temporary),
                Goodbye,
            ),
            ("354 what", "defer", Some(Class::Protocol), Close),
            ("299 what", "defer", Some(Class::Protocol), Close),
            ("599 what", "defer", Some(Class::Policy), KeepRefused),
            (
                "550 5.0.0 user unknown",
                "reject",
                Some(Class::UnknownUser),
                KeepRefused,
            ),
            (
                "554 5.3.5 local configuration error",
                "defer",
                Some(Class::Config),
                KeepRefused,
            ),
            (
                "550 5.1.8 sender domain",
                "defer",
                Some(Class::Policy),
                KeepRefused,
            ),
        ] {
            let judged = judged(CAREFUL, reply);
            let found = (
                judged.verdict.name(),
                judged.verdict.cause().map(|cause| cause.class),
                judged.after,
            );
            assert_eq!(found, (verdict, class, after), "{reply}");
        }
    }

    #[test]
    fn doubtful_replies_are_read_as_configured() {
        let name = |reading, reply| judged(reading, reply).verdict.name();
        assert_eq!(
            name(
                Reading {
                    code_252_exists: false,
                    ..CAREFUL
                },
                "252 cannot verify"
            ),
            "defer"
        );
        assert_eq!(
            name(
                Reading {
                    policy_means_unknown: true,
                    ..CAREFUL
                },
                "550 5.7.1 no"
            ),
            "reject"
        );
        assert_eq!(
            name(
                Reading {
                    microsoft: true,
                    ..CAREFUL
                },
                "550 5.4.1 access denied"
            ),
            "reject"
        );
        let policy = Reading {
            policy_means_unknown: true,
            ..CAREFUL
        };
        for reply in [
            "550 5.6.7 no", "550 5.1.8 sender domain", "550 your ip is listed", "550 something else",
        ] {
            assert_eq!(name(policy, reply), "defer", "{reply}");
        }
    }

    #[test]
    fn a_refused_sender_is_never_a_word_about_the_recipient() {
        for (reply, class) in [
            ("553 5.7.1 sender rejected", Class::SenderRefused),
            ("550 5.1.1 user unknown", Class::SenderRefused),
            ("451 later", Class::Temporary),
            ("421 bye", Class::Temporary),
        ] {
            let answer = Answer::SenderRefused(Reply::parse(reply).unwrap());
            let judged = judge(CAREFUL, b"user@example.com", answer);
            assert_eq!(judged.verdict.name(), "defer", "{reply}");
            assert_eq!(judged.verdict.cause().unwrap().class, class, "{reply}");
            assert_ne!(judged.after, After::Keep, "{reply}");
        }
    }

    #[test]
    fn replies_of_real_servers() {
        super::super::real_replies(include_str!("recipient-replies.txt"), |reply| {
            judged(CAREFUL, &reply.replace("\\n", "\r\n")).verdict
        });
    }
}
