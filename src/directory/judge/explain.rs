//! How a reply is read, and why, for people: `vouch probe reply`.

use vouch_protocol::error::DecodeError;
use vouch_protocol::imap::login::Outcome as ImapOutcome;
use vouch_protocol::imap::response::Status;
use vouch_protocol::smtp::auth::Outcome;
use vouch_protocol::smtp::recipients::Answer;
use vouch_protocol::smtp::reply::Reply;

use super::reading::Reading;
use super::recipient::Settings;
use super::statement::Statement;
use super::text::Asked;
use super::{imap, recipient, smtp_auth};
use crate::verdict::{UserName, Verdict};

/// What a reply answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// SMTP or LMTP `RCPT TO`.
    Rcpt,
    /// SMTP `AUTH`, once the whole credential was sent.
    SmtpAuth,
    /// IMAP `LOGIN` or `AUTHENTICATE`.
    ImapLogin,
}

/// How a reply is read.
#[derive(Debug, Clone)]
pub struct Explanation {
    /// What it means to the asker.
    pub verdict: Verdict,
    /// The clauses, each with what it states; empty of a reply that is a yes, or that a phrase of the operator's
    /// decides.
    pub reading: Reading,
    /// What the status states.
    pub by_code: Option<Statement>,
    /// The statement that decided, if one did.
    pub decided: Option<Statement>,
}

/// Why a text is not explained.
#[derive(Debug, thiserror::Error)]
pub enum NoReply {
    /// No IMAP server ends a command so.
    #[error("no line begins with OK, NO or BAD, behind a tag or without one")]
    NoStatus,
    /// It is not of the protocol.
    #[error(transparent)]
    Malformed(#[from] DecodeError),
}

/// Reads one reply to `command` about `asked`, an address or a user name. Lines are ended by `\n` or `\r\n`, as line
/// ends or written so; of IMAP a tag in front is left out, and of several SMTP replies all but the first.
///
/// # Errors
/// A text that is no reply of this protocol.
pub fn explain(
    command: Command,
    settings: &Settings,
    asked: &[u8],
    text: &str,
) -> Result<Explanation, NoReply> {
    let text = text
        .replace("\\r\\n", "\n")
        .replace("\\n", "\n")
        .replace('\r', "");
    match command {
        Command::Rcpt => Ok(rcpt(settings, asked, &smtp_reply(&text)?)),
        Command::SmtpAuth => Ok(smtp_login(settings, asked, &smtp_reply(&text)?)),
        Command::ImapLogin => imap_login(settings, asked, &text),
    }
}

fn rcpt(settings: &Settings, asked: &[u8], reply: &Reply) -> Explanation {
    let verdict = recipient::judge(settings, asked, Answer::Recipient(reply.clone())).verdict;
    if !(400..600).contains(&reply.code()) {
        return Explanation::of(verdict);
    }
    let explained = recipient::read(settings, &Asked::new(asked), reply);
    Explanation {
        verdict,
        reading: explained.reading,
        by_code: explained.by_code,
        decided: explained.decided,
    }
}

fn smtp_login(settings: &Settings, user: &[u8], reply: &Reply) -> Explanation {
    let outcome = Outcome::Reply(reply.clone());
    let verdict = smtp_auth::judge(&settings.replies, &UserName::new(user), outcome).verdict;
    if !(400..600).contains(&reply.code()) {
        return Explanation::of(verdict);
    }
    let explained = smtp_auth::read(&settings.replies, user, reply);
    Explanation {
        verdict,
        reading: explained.reading,
        by_code: explained.by_code,
        decided: explained.decided,
    }
}

fn imap_login(settings: &Settings, user: &[u8], text: &str) -> Result<Explanation, NoReply> {
    let line = text.lines().find_map(tagged).ok_or(NoReply::NoStatus)?;
    let status = Status::parse(line)?;
    let outcome = ImapOutcome::Status {
        status: status.clone(),
        capabilities: None,
    };
    let verdict = imap::judge(&settings.replies, &UserName::new(user), outcome).verdict;
    if !line.to_ascii_uppercase().starts_with("NO") {
        return Ok(Explanation::of(verdict));
    }
    let explained = imap::read(&settings.replies, user, &status);
    Ok(Explanation {
        verdict,
        reading: explained.reading,
        by_code: explained.by_code,
        decided: explained.decided,
    })
}

/// A line that ends a command, without its tag.
fn tagged(line: &str) -> Option<&str> {
    let is_status = |text: &str| {
        let word = text.split(' ').next().unwrap_or_default();
        ["OK", "NO", "BAD"]
            .iter()
            .any(|status| word.eq_ignore_ascii_case(status))
    };
    let line = line.trim();
    if is_status(line) {
        return Some(line);
    }
    let (tag, rest) = line.split_once(' ')?;
    (tag != "*" && is_status(rest)).then_some(rest)
}

/// The first reply in a text.
fn smtp_reply(text: &str) -> Result<Reply, DecodeError> {
    let mut lines = String::new();
    for line in text.trim().lines() {
        lines.push_str(line);
        lines.push_str("\r\n");
        if line.as_bytes().get(3) != Some(&b'-') {
            break;
        }
    }
    Reply::parse(&lines)
}

impl Explanation {
    fn of(verdict: Verdict) -> Self {
        Self {
            verdict,
            reading: Reading::default(),
            by_code: None,
            decided: None,
        }
    }
}
