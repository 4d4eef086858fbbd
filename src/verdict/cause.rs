//! Why a question was refused or deferred.

use std::fmt;

use strum::{EnumString, IntoStaticStr, VariantArray};

/// Why a question was refused or deferred.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cause {
    /// What kind of trouble it is.
    pub class: Class,
    /// The remote's status: a reply code with its enhanced code, or IMAP's
    /// `NO [CODE]`.
    pub status: Option<String>,
    /// The remote's words or ours, sanitised: one line, no control bytes, at
    /// most some 200 characters. For logs, never for end users.
    pub text: String,
    /// The remote's message for the client of a refused token (RFC 7628 §3.2.2).
    pub challenge: Option<Vec<u8>>,
    /// What its administrator can do about it, where more is known than its class tells.
    pub advice: Option<String>,
    /// For a deferred login: the secret was judged, and not taken. The remote got it whole, and its reaction was neither
    /// yes nor no nor a report of its own fault; or it was compared with the one that is remembered while the remote is
    /// down. The client gets "later"; for limits and penalties it still counts as a failed attempt, or guesses would not
    /// count.
    pub credential_heard: bool,
    /// What it says of the remote itself.
    pub reach: Reach,
    /// Of a refusal: a backup MX said so, and it is not remembered.
    pub by_backup: bool,
}

/// What a question without an answer says of the remote itself, whatever it was about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Reach {
    /// It replied, in whatever words: it is there.
    Heard,
    /// Nothing: the reason is on this side, or is not known to be the remote.
    #[default]
    Unknown,
    /// It has a question whole, and is silent: to everybody, or to this one alone.
    Silent,
    /// There is no session with it: it is not reached, does not greet in time, or fails in TLS.
    Away,
}

impl Cause {
    /// A cause that no remote named.
    pub fn ours(class: Class, text: impl Into<String>) -> Self {
        Self {
            class,
            status: None,
            text: text.into(),
            challenge: None,
            advice: None,
            credential_heard: false,
            reach: Reach::Unknown,
            by_backup: false,
        }
    }

    /// A cause in the remote's words.
    pub fn said(class: Class, status: impl Into<String>, text: impl Into<String>) -> Self {
        Self {
            class,
            status: Some(status.into()),
            text: text.into(),
            challenge: None,
            advice: None,
            credential_heard: false,
            reach: Reach::Heard,
            by_backup: false,
        }
    }

    /// The same, of an attempt that counts as failed: see [`Self::credential_heard`].
    #[must_use]
    pub fn heard(self) -> Self {
        Self {
            credential_heard: true,
            ..self
        }
    }
}

impl Cause {
    /// The text without its code: SMTP servers begin the text with the enhanced
    /// code that the status ends with.
    pub fn words(&self) -> &str {
        let status = self.status.as_deref().unwrap_or_default();
        let code = status.rsplit(' ').next().unwrap_or_default();
        match self.text.strip_prefix(code) {
            Some(words) if words.is_empty() || words.starts_with(' ') => words.trim_start(),
            _ => &self.text,
        }
    }

    /// What an administrator can do so that there is an answer; empty where nothing is known to help. In it
    /// `directory.NAME` stands for the directory that was asked.
    pub fn advice(&self) -> &str {
        self.advice.as_deref().unwrap_or_else(|| self.class.advice())
    }

    /// Status and words as one text. An error of a session has its status behind the peer and the step already; a
    /// reply that repeats another's may have the same one further on.
    pub fn detail(&self) -> String {
        match &self.status {
            Some(status) if !self.text.starts_with(status.as_str()) && !self.is_behind_step(status) => {
                format!("{status} {}", self.words())
            }
            _ => self.text.clone(),
        }
    }

    /// Whether the text is `PEER: STEP: STATUS …`.
    fn is_behind_step(&self, status: &str) -> bool {
        let mut parts = self.text.splitn(3, ": ");
        let (peer, step, rest) = (parts.next(), parts.next(), parts.next());
        peer.is_some() && step.is_some() && rest.is_some_and(|rest| rest.starts_with(status))
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.class, self.detail())
    }
}

/// The classes of causes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, VariantArray, IntoStaticStr, EnumString)]
#[strum(serialize_all = "kebab-case")]
pub enum Class {
    /// No such mailbox.
    UnknownUser,
    /// The remote refused the credential.
    BadCredentials,
    /// The account or mailbox was closed by its administrator.
    Disabled,
    /// The password must be changed first.
    Expired,
    /// The mailbox exists and takes no more mail for now.
    Full,
    /// The remote refuses us, the client or the kind of message, or our own
    /// configuration does; it says nothing about the mailbox.
    Policy,
    /// The remote refused the sender of the probe.
    SenderRefused,
    /// The remote asked to come back later.
    Temporary,
    /// The remote refused, in words that nobody has told us the meaning of: of the recipient, or of a login
    /// whose whole credential it heard.
    NotUnderstood,
    /// The remote refused, and nothing shows that it has not lost its users: it refuses as well an address that must
    /// exist or was accepted lately, or that one got no answer.
    NotBelieved,
    /// No connection to the remote, or it broke.
    Unreachable,
    /// No answer in time.
    Timeout,
    /// The remote said something that its protocol does not allow.
    Protocol,
    /// TLS could not be agreed on, or the certificate is not good.
    Tls,
    /// Too many questions wait already.
    Overload,
    /// The client's session has used up its limit, or the client failed too often.
    Limit,
    /// It will not heal without a change of configuration, here or there.
    Config,
    /// The name or password has no form in the protocol that would carry it.
    Syntax,
}

impl Class {
    /// The name used in logs, metrics and `--json`.
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// What to do about trouble of this class that a remote has told in its own words.
    const fn advice(self) -> &'static str {
        match self {
            Self::Policy => {
                "the server refuses this host or the kind of question, not the mailbox: let it trust this host, as it \
                 would a relay for its domains; directory.NAME.rcpt.policy interprets such replies otherwise"
            }
            Self::SenderRefused => "set directory.NAME.rcpt.mail-from to a sender that it accepts",
            Self::Temporary => "the server asks to come back later: see its log",
            Self::NotUnderstood => "set the meaning of this reply in directory.NAME.replies",
            Self::NotBelieved => "does the server still have its users? See its log",
            Self::Config => {
                "that will not change by itself: see the server's log, and whether it is the intended server"
            }
            _ => "",
        }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
