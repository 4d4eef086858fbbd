//! What a server says: greeting, capability, tagged status with its response code.

mod grammar;

use std::fmt;

use nom::Parser;
use nom::branch::alt;

use crate::error::DecodeError;
use crate::imap::capability::Capabilities;
use crate::imap::printable;
pub(super) use grammar::literal;
use grammar::{continuation, status, tagged, untagged};

/// One response of the server (RFC 9051 §7).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Response {
    /// A line that belongs to no command. The greeting is one of these.
    Untagged(Untagged),
    /// The end of a command: `OK`, `NO` or `BAD`.
    Tagged {
        /// The tag as the server wrote it; ours to compare with [`super::command::Tag::is`].
        tag: String,
        /// The outcome.
        status: Status,
    },
    /// `+`: the server waits for more of the command. The text as it came: it is a challenge
    /// where a dialog is carried, and means nothing elsewhere.
    Continuation(String),
}

/// A response that belongs to no command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Untagged {
    /// A status: the greeting, a warning, a goodbye.
    Status(Status),
    /// The capabilities, asked for or not.
    Capability(Capabilities),
    /// Anything else: data of mailboxes, and extensions. Never acted upon.
    Other,
}

/// A status with what explains it (RFC 9051 §7.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// Which of the five.
    pub kind: StatusKind,
    /// The response code, when there is one.
    pub code: Option<Code>,
    text: String,
    words: String,
}

/// The word that a status begins with (RFC 9051 §7.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StatusKind {
    /// Tagged: done. Untagged: a greeting, or a remark.
    Ok,
    /// Tagged: refused. Untagged: a warning.
    No,
    /// Tagged: not understood. Untagged: a protocol error, whose cause is not known.
    Bad,
    /// A greeting only: somebody is logged in already.
    PreAuth,
    /// The server hangs up.
    Bye,
}

/// A response code: `"[" resp-text-code "]"` (RFC 9051 §7.1, RFC 5530). Names have no case.
///
/// Arguments are dropped but for those of `CAPABILITY`. Above all that of
/// `REFERRAL`: a client that follows it sends the password to a host of the
/// remote's choice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Code {
    /// `ALERT`: text for the user's eyes. Never shown by us: it may be injected.
    Alert,
    /// `AUTHENTICATIONFAILED`.
    AuthenticationFailed,
    /// `AUTHORIZATIONFAILED`.
    AuthorizationFailed,
    /// `EXPIRED`: the password must be changed.
    Expired,
    /// `CONTACTADMIN`; from Dovecot with NO: the account is closed.
    ContactAdmin,
    /// `PRIVACYREQUIRED`: only with TLS.
    PrivacyRequired,
    /// `UNAVAILABLE`: something behind the server is down.
    Unavailable,
    /// `INUSE`.
    InUse,
    /// `SERVERBUG`.
    ServerBug,
    /// `CORRUPTION`.
    Corruption,
    /// `CANNOT`.
    Cannot,
    /// `NOPERM`.
    NoPerm,
    /// `OVERQUOTA`.
    OverQuota,
    /// `THROTTLED`: not registered, in use.
    Throttled,
    /// `LIMIT`; from Dovecot: too many connections of this user.
    Limit,
    /// `CLIENTBUG`.
    ClientBug,
    /// `REFERRAL` (RFC 2221): the mailbox is elsewhere. Never followed.
    Referral,
    /// `WEBALERT`: Gmail's "log in by the browser".
    WebAlert,
    /// `CAPABILITY` with its list.
    Capability(Capabilities),
    /// Any other: the name in upper case, sanitised, at most 200 characters.
    Other(String),
}

impl Response {
    /// Reads the first line of a response, without line end.
    ///
    /// `response = continue-req / response-data / response-tagged / greeting`
    ///
    /// # Errors
    /// [`DecodeError::Malformed`] when it is none of these.
    pub fn parse(line: &str) -> Result<Self, DecodeError> {
        match alt((continuation, untagged, tagged)).parse(line) {
            Ok((_, response)) => Ok(response),
            Err(_) => Err(DecodeError::Malformed("IMAP response")),
        }
    }
}

impl Untagged {
    /// The capabilities in it, in either form.
    pub fn into_capabilities(self) -> Option<Capabilities> {
        match self {
            Self::Capability(capabilities) => Some(capabilities),
            Self::Status(status) => status.into_capabilities(),
            Self::Other => None,
        }
    }
}

impl Status {
    /// Reads what follows the tag: `NO [AUTHENTICATIONFAILED] Authentication failed.`
    ///
    /// # Errors
    /// [`DecodeError::Malformed`] when it begins with none of the five words.
    pub fn parse(text: &str) -> Result<Self, DecodeError> {
        match status(text) {
            Ok((_, status)) => Ok(status),
            Err(_) => Err(DecodeError::Malformed("IMAP status")),
        }
    }

    /// The human-readable text, fit for a log: one line, no control characters, at
    /// most 200 characters. Empty when the server gave none.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The text, whole: for a table of words, never for a log. What a NO is worth may be
    /// said at its end.
    pub fn words(&self) -> &str {
        &self.words
    }

    /// Word and code without arguments or text, to tell kinds of answers apart in a log:
    /// `NO [AUTHENTICATIONFAILED]`, `BAD`.
    pub fn label(&self) -> String {
        let kind = self.kind.name();
        match &self.code {
            Some(code) => format!("{kind} [{}]", code.name()),
            None => kind.to_owned(),
        }
    }

    /// Drops the text for one that says so.
    pub(super) fn withhold_text(&mut self) {
        for text in [&mut self.text, &mut self.words] {
            "[withheld]".clone_into(text);
        }
    }

    /// The capabilities of a `[CAPABILITY …]` code.
    pub fn into_capabilities(self) -> Option<Capabilities> {
        match self.code {
            Some(Code::Capability(capabilities)) => Some(capabilities),
            _ => None,
        }
    }
}

impl StatusKind {
    /// The word itself, in upper case.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::No => "NO",
            Self::Bad => "BAD",
            Self::PreAuth => "PREAUTH",
            Self::Bye => "BYE",
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        [Self::Ok, Self::No, Self::Bad, Self::PreAuth, Self::Bye]
            .into_iter()
            .find(|kind| kind.name().eq_ignore_ascii_case(name))
    }
}

impl Code {
    /// The codes that are a name and nothing else to us.
    const NAMED: [(&'static str, Self); 18] = [
        ("ALERT", Self::Alert),
        ("AUTHENTICATIONFAILED", Self::AuthenticationFailed),
        ("AUTHORIZATIONFAILED", Self::AuthorizationFailed),
        ("EXPIRED", Self::Expired),
        ("CONTACTADMIN", Self::ContactAdmin),
        ("PRIVACYREQUIRED", Self::PrivacyRequired),
        ("UNAVAILABLE", Self::Unavailable),
        ("INUSE", Self::InUse),
        ("SERVERBUG", Self::ServerBug),
        ("CORRUPTION", Self::Corruption),
        ("CANNOT", Self::Cannot),
        ("NOPERM", Self::NoPerm),
        ("OVERQUOTA", Self::OverQuota),
        ("THROTTLED", Self::Throttled),
        ("LIMIT", Self::Limit),
        ("CLIENTBUG", Self::ClientBug),
        ("REFERRAL", Self::Referral),
        ("WEBALERT", Self::WebAlert),
    ];

    /// The code's name, in upper case.
    pub fn name(&self) -> &str {
        match self {
            Self::Capability(_) => "CAPABILITY",
            Self::Other(name) => name,
            known => Self::NAMED
                .iter()
                .find(|(_, code)| code == known)
                .map_or("", |(name, _)| name),
        }
    }

    /// Reads what stands between the brackets; `None` when that is blank.
    fn parse(inside: &str) -> Option<Self> {
        let inside = inside.trim();
        let (name, arguments) = inside.split_once([' ', '\t']).unwrap_or((inside, ""));
        if name.is_empty() {
            return None;
        }
        let name = name.to_ascii_uppercase();
        if name == "CAPABILITY" {
            return Some(Self::Capability(Capabilities::parse(arguments)));
        }
        let known = Self::NAMED.into_iter().find(|(known, _)| *known == name);
        Some(known.map_or_else(|| Self::Other(printable(&name)), |(_, code)| code))
    }
}

impl fmt::Display for Response {
    /// The trace form: what the server said, as far as we kept it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Untagged(Untagged::Status(status)) => write!(f, "* {status}"),
            Self::Untagged(Untagged::Capability(capabilities)) => write!(f, "* CAPABILITY {capabilities}"),
            Self::Untagged(Untagged::Other) => f.write_str("* …"),
            Self::Tagged { tag, status } => write!(f, "{tag} {status}"),
            Self::Continuation(text) => write!(f, "+ {}", printable(text)),
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind.name())?;
        match &self.code {
            Some(Code::Capability(capabilities)) => write!(f, " [CAPABILITY {capabilities}]")?,
            Some(code) => write!(f, " [{}]", code.name())?,
            None => {}
        }
        if !self.text.is_empty() {
            write!(f, " {}", self.text)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
