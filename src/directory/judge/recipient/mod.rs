//! What a reply to `RCPT TO` says about the mailbox.
//!
//! [`read`] is the rule: a refusal needs a statement about this recipient, in words or by a code, and none that would
//! explain it otherwise. What a reply does to the session is in [`judge`].

use vouch_protocol::smtp::recipients::Answer;
use vouch_protocol::smtp::reply::Reply;

use super::reading::{self, Reading};
use super::replies::{Means, Replies};
use super::statement::{About, Found, Statement, What};
use super::text::Asked;
use super::{defer, quote, reject};
use crate::session::{After, Judged};
use crate::settings::directory::{Code252, Directory, Policy, Rcpt};
use crate::verdict::{Cause, Class, Identity, Verdict};

/// How doubtful replies are read (`directory.NAME.rcpt`, `directory.NAME.replies`).
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// `directory.NAME.rcpt`
    pub rcpt: Rcpt,
    /// Phrases of this remote, read before ours.
    pub replies: Replies,
}

impl From<&Directory> for Settings {
    fn from(directory: &Directory) -> Self {
        Self {
            rcpt: directory.rcpt.clone(),
            replies: Replies::from(&directory.replies),
        }
    }
}

/// What a refused `RCPT TO` comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Conclusion {
    /// There is no such mailbox, or it is closed.
    No(Class),
    /// The mailbox exists and is full.
    Full,
    /// The reply says nothing about this mailbox.
    Later(Class),
}

/// How a refused `RCPT TO` is read, and why.
#[derive(Debug, Clone)]
pub struct Explained {
    /// What it comes to.
    pub conclusion: Conclusion,
    /// What the words say; of a quoted reply, that one's.
    pub reading: Reading,
    /// What the code says.
    pub by_code: Option<Statement>,
    /// Which statement decided, if one did.
    pub decided: Option<Statement>,
}

/// Judges the answer to a question for `address`, given in wire form.
pub fn judge(settings: &Settings, address: &[u8], answer: Answer) -> Judged<Verdict> {
    match answer {
        Answer::Recipient(reply) => recipient(settings, address, &reply),
        Answer::SenderRefused(reply) => sender_refused(&reply),
        Answer::Utf8Unsupported => {
            let why = "the address is not ASCII, and the server does not offer SMTPUTF8 (RFC 6531), so it was not asked";
            let advice = "have SMTPUTF8 enabled there (Postfix: smtputf8_enable = yes); without it, mail to this address cannot \
                          be delivered there either";
            Judged {
                verdict: Verdict::Defer(Cause {
                    advice: Some(advice.to_owned()),
                    ..Cause::ours(Class::Policy, why)
                }),
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

fn recipient(settings: &Settings, address: &[u8], reply: &Reply) -> Judged<Verdict> {
    let subject_detail = reply.enhanced().map(|code| (code.subject, code.detail));
    match (reply.code(), subject_detail) {
        (200..=299, _) if !reply.is_consistent() => said(Class::Protocol, reply, After::Close),
        (250 | 251, _) => exists(address, None),
        (252, _) if settings.rcpt.code_252 == Code252::Exists => exists(address, None),
        (252, _) => said(Class::Policy, reply, After::Keep),
        (421, _) => said(Class::Temporary, reply, After::Goodbye),
        // About the transaction, not about this address (RFC 5321 §4.5.3.1.10, Postfix
        // reject_multi_recipient_bounce).
        (452 | 550 | 552, Some((5, 3))) => said(Class::Temporary, reply, After::RetryPolicy),
        (452 | 552, _) if reply.words().to_ascii_lowercase().contains("too many recipients") => {
            said(Class::Temporary, reply, After::RetryPolicy)
        }
        (500 | 502 | 503, _) => said(Class::Config, reply, After::RetryPolicy),
        (400..=599, _) => match read(settings, &Asked::new(address), reply).conclusion {
            Conclusion::No(class) => reject(class, reply.status(), reply.text()),
            Conclusion::Full => full(address, reply),
            Conclusion::Later(class) => said(class, reply, after_later(reply)),
        },
        _ => said(Class::Protocol, reply, After::Close),
    }
}

/// A remote that wants us to log in, or does not understand the command, will say the same to the next question.
fn after_later(reply: &Reply) -> After {
    let wants_login = reply
        .enhanced()
        .is_some_and(|code| (code.subject, code.detail) == (7, 57));
    if wants_login || matches!(reply.code(), 501 | 504 | 530 | 555) {
        After::Close
    } else {
        After::KeepRefused
    }
}

/// Bound (replies): nested replies of other servers in one reply. Beyond: those within them are not read, and the
/// reply is never a "no". Why: no mail passes that many servers on its way to a mailbox; 64 KiB could repeat
/// thousands.
const REPEATED: usize = 8;

/// Reads a reply of 4yz or 5yz to `RCPT TO` about `asked`.
pub fn read(settings: &Settings, asked: &Asked, reply: &Reply) -> Explained {
    read_repeated(settings, asked, reply, REPEATED)
}

/// The same; of what it repeats, so many replies are read.
fn read_repeated(settings: &Settings, asked: &Asked, reply: &Reply, left: usize) -> Explained {
    let lines: Vec<&str> = reply.lines().iter().map(String::as_str).collect();
    if let Some((means, phrase)) = settings.replies.find(&lines) {
        return by_operator(means, phrase);
    }
    if !reply.is_consistent() {
        return Explained::later(Class::Temporary);
    }
    match quote::find(&lines) {
        Some(quote) => {
            let mut explained = quoted(settings, asked, &quote, left);
            // The server in the middle may be asked again, whatever it repeats.
            if reply.is_transient() && matches!(explained.conclusion, Conclusion::No(_)) {
                explained.conclusion = Conclusion::Later(Class::Temporary);
            }
            explained
        }
        None => {
            let reading = reading::read(&lines, asked);
            // Postfix says so of every address that it could not verify, with the code that is set for it.
            let verified = !reading.has_clause_end("undeliverable address");
            let by_code =
                code_of(settings, reply, &reading).filter(|one| verified || one.about != About::Recipient);
            conclude(settings, reading, by_code, reply)
        }
    }
}

/// What a middle server's reply is that repeats another: what that one is, unless the words around it explain the
/// refusal.
fn quoted(settings: &Settings, asked: &Asked, quote: &quote::Quote, left: usize) -> Explained {
    let around: Vec<&str> = quote.around.lines().collect();
    let around = reading::read(&around, asked);
    if let Some(statement) = around.statements.iter().find(|one| explains(one, false)) {
        let class = class_of(statement);
        return Explained {
            decided: Some(statement.clone()),
            reading: around,
            ..Explained::later(class)
        };
    }
    if !quote.to_rcpt {
        return Explained::later(Class::Config);
    }
    match left.checked_sub(1) {
        Some(left) => read_repeated(settings, asked, &quote.reply, left),
        // What is not read says nothing.
        None => Explained::later(Class::Temporary),
    }
}

fn by_operator(means: Means, phrase: &str) -> Explained {
    let (conclusion, about, what) = match means {
        Means::Unknown => (
            Conclusion::No(Class::UnknownUser),
            About::Recipient,
            What::Missing,
        ),
        Means::Full => (Conclusion::Full, About::Recipient, What::Full),
        // Of a recipient, `wrong` says nothing: it is for logins.
        Means::Later | Means::Wrong => (Conclusion::Later(Class::Temporary), About::Remote, What::NotNow),
    };
    let found = Found::Operator(phrase.to_owned());
    Explained {
        conclusion,
        decided: Some(Statement { about, what, found }),
        reading: Reading::default(),
        by_code: None,
    }
}

/// The rule over the statements of one reply.
fn conclude(settings: &Settings, reading: Reading, by_code: Option<Statement>, reply: &Reply) -> Explained {
    let words = &reading.statements;
    let says = |what| {
        words
            .iter()
            .find(|one| one.about == About::Recipient && one.what == what)
    };
    let by_code = by_code.as_ref();
    let enhanced = reply.enhanced().map(|code| (code.subject, code.detail));
    // Of policy by its code; a code that nobody knows is none.
    let is_policy = matches!(reply.code(), 521 | 571) || matches!(enhanced, Some((7, _) | (4, 1)));
    let policy_is_unknown = settings.rcpt.policy == Policy::Unknown
        && is_policy
        && by_code.is_some_and(|one| one.about == About::Policy);
    let microsoft_says_unknown = settings.rcpt.microsoft && enhanced == Some((4, 1));
    let declared = policy_is_unknown || microsoft_says_unknown;
    let not_now = words.iter().find(|one| one.what == What::NotNow);
    let otherwise = words
        .iter()
        .find(|one| one.what != What::NotNow && explains(one, declared));
    let code = |what| by_code.filter(|one| one.about == About::Recipient && one.what == what);
    let code_otherwise = by_code.filter(|one| explains(one, false) || one.what == What::NotNow);

    let (full, missing, closed) = (says(What::Full), says(What::Missing), says(What::Closed));
    let by_words = missing.or(closed);
    let (conclusion, decided) = if let Some(one) = otherwise {
        // Whether it heals by waiting alone is what the code knows best.
        (
            Conclusion::Later(class_of(code_otherwise.unwrap_or(one))),
            Some(one),
        )
    } else if let (Some(full), None) = (full, missing) {
        (Conclusion::Full, Some(full))
    } else if let Some(one) = not_now {
        (Conclusion::Later(class_of(one)), Some(one))
    } else if full.is_some() {
        // Unknown or full: the text itself does not know which.
        (Conclusion::Later(Class::Policy), full)
    } else if policy_is_unknown {
        (Conclusion::No(Class::Policy), by_code)
    } else if let Some(one) = code_otherwise {
        (Conclusion::Later(class_of(one)), Some(one))
    } else if let Some(one) = code(What::Full) {
        match missing {
            Some(_) => (Conclusion::Later(Class::Policy), missing),
            None => (Conclusion::Full, Some(one)),
        }
    } else if reading.cut {
        (Conclusion::Later(Class::NotUnderstood), None)
    } else if let Some(one) = by_words.or(code(What::Closed)).or(code(What::Missing)) {
        let class = if one.what == What::Closed {
            Class::Disabled
        } else {
            Class::UnknownUser
        };
        (Conclusion::No(class), Some(one))
    } else {
        (Conclusion::Later(Class::NotUnderstood), None)
    };
    Explained {
        conclusion,
        decided: decided.cloned(),
        by_code: by_code.cloned(),
        reading,
    }
}

/// Whether a statement would explain a refusal without anything being wrong with the recipient. Where the operator has
/// `declared` that the code means an unknown recipient, words of rules, relaying, the domain and messages are what goes
/// with that code.
fn explains(statement: &Statement, declared: bool) -> bool {
    match statement.about {
        About::Recipient => false,
        About::Policy | About::Relay | About::Domain | About::Message => !declared,
        _ => true,
    }
}

/// The class of a deferral for this reason.
fn class_of(statement: &Statement) -> Class {
    match (statement.about, statement.what) {
        (_, What::NotNow) | (About::Remote | About::Limit, _) => Class::Temporary,
        (About::Domain | About::Login | About::Service | About::Credential, _) => Class::Config,
        _ => Class::Policy,
    }
}

/// What the codes of a reply say (RFC 3463, RFC 5248, RFC 7505, as servers use them).
fn code_of(settings: &Settings, reply: &Reply, reading: &Reading) -> Option<Statement> {
    let says = |about, what| Some(Statement::of_code(about, what, reply.status()));
    let enhanced = reply.enhanced().map(|code| (code.subject, code.detail));
    match (reply.code(), enhanced) {
        (_, Some((2, 2))) => says(About::Recipient, What::Full),
        (400..=499, _) => says(About::Remote, What::NotNow),
        (530, _) | (_, Some((7, 57))) => says(About::Login, What::Required),
        // Maddy says 501 5.1.1, others 501 5.1.3 of an address that cannot be.
        (501, Some((1, 1 | 3))) => says(About::Recipient, What::Missing),
        (501 | 504 | 555, _) => says(About::Login, What::Refused),
        // Of storage, or of too many recipients; never of an unknown one.
        (552, None | Some((1, _))) => says(About::Limit, What::Refused),
        (521 | 571, _) => says(About::Policy, What::Refused),
        // RFC 5248: an account is disabled. The words say whose.
        (525, None | Some((2 | 7, _))) => None,
        // A null MX is about the domain (RFC 7505 §4.2), Microsoft's 550 about the recipient.
        (550, Some((1, 10))) | (_, Some((1, 1 | 3 | 6))) => says(About::Recipient, What::Missing),
        // Cisco's gateways say no more than this of a recipient that is in no directory of theirs.
        (_, Some((1, 0))) if reading.is_just("address rejected") => says(About::Recipient, What::Missing),
        (_, Some((1, 2 | 10))) => says(About::Domain, What::Refused),
        (_, Some((1, 7 | 8))) => says(About::Sender, What::Refused),
        (_, Some((2, 1))) => says(About::Recipient, What::Closed),
        (_, Some((4, 1))) if settings.rcpt.microsoft => says(About::Recipient, What::Missing),
        (_, Some((4, 1))) => says(About::Policy, What::Refused),
        // Too general to say anything.
        (_, Some((_, 0))) => None,
        (_, Some((3..=5, _))) => says(About::Login, What::Refused),
        (_, Some((6, _))) => says(About::Message, What::Refused),
        (_, Some(_)) => says(About::Policy, What::Refused),
        (550 | 551 | 553 | 554, None) => None,
        (_, None) => says(About::Policy, What::Refused),
    }
}

impl Explained {
    fn later(class: Class) -> Self {
        Self {
            conclusion: Conclusion::Later(class),
            reading: Reading::default(),
            by_code: None,
            decided: None,
        }
    }
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
            by_backup: false,
        }),
        after,
    }
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

#[cfg(test)]
mod tests;
