//! What a reply states: something, of something.

use std::fmt;

use strum::{EnumString, IntoStaticStr};

/// What a statement is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, IntoStaticStr, EnumString)]
#[strum(serialize_all = "kebab-case")]
pub enum About {
    /// The recipient that was asked about, or the account that logs in.
    Recipient,
    /// The password, token or user name that was sent.
    Credential,
    /// The domain, or the way to it.
    Domain,
    /// Relaying.
    Relay,
    /// The sender of the probe.
    Sender,
    /// Our host, its address and its reputation.
    Client,
    /// The remote itself, or what is behind it.
    Remote,
    /// A number or rate of something.
    Limit,
    /// A message, of which there is none yet.
    Message,
    /// The way of logging in: mechanism, TLS, or that a login is wanted at all.
    Login,
    /// IMAP, POP or SMTP as something that can be switched off for a user.
    Service,
    /// Rules of the remote, without naming what they apply to.
    Policy,
}

/// What is said of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, IntoStaticStr, EnumString)]
#[strum(serialize_all = "kebab-case")]
pub enum What {
    /// It does not exist.
    Missing,
    /// It is wrong.
    Wrong,
    /// It is closed, locked or disabled.
    Closed,
    /// It has expired.
    Expired,
    /// It is full.
    Full,
    /// It is refused.
    Refused,
    /// It is required.
    Required,
    /// It is broken.
    Broken,
    /// Not now.
    NotNow,
}

/// One statement of a reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// What it is about.
    pub about: About,
    /// What it says of it.
    pub what: What,
    /// Where it was found.
    pub found: Found,
}

/// Where a statement was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// In the status: a reply code, an enhanced code, an IMAP response code.
    Code(String),
    /// In these words.
    Words(String),
    /// In these words, which the operator gave a meaning (`directory.NAME.replies`).
    Operator(String),
}

impl Statement {
    /// A statement that a status makes.
    pub fn of_code(about: About, what: What, code: impl Into<String>) -> Self {
        Self {
            about,
            what,
            found: Found::Code(code.into()),
        }
    }
}

impl About {
    /// The name in `phrases.txt`.
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// For people.
    const fn words(self) -> &'static str {
        match self {
            Self::Recipient => "this recipient or account",
            Self::Credential => "the credential",
            Self::Domain => "the domain",
            Self::Relay => "relaying",
            Self::Sender => "the sender",
            Self::Client => "the client's host",
            Self::Remote => "the server itself",
            Self::Limit => "a limit",
            Self::Message => "a message",
            Self::Login => "the way of logging in",
            Self::Service => "access by this protocol",
            Self::Policy => "rules of the server",
        }
    }
}

impl What {
    /// The name in `phrases.txt`.
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// For people.
    const fn words(self) -> &'static str {
        match self {
            Self::Missing => "does not exist",
            Self::Wrong => "is wrong",
            Self::Closed => "is closed",
            Self::Expired => "has expired",
            Self::Full => "is full",
            Self::Refused => "is refused",
            Self::Required => "is required",
            Self::Broken => "is broken",
            Self::NotNow => "not now",
        }
    }
}

/// As people read it: `this recipient or account: does not exist`.
impl fmt::Display for Statement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.about.words(), self.what.words())
    }
}
