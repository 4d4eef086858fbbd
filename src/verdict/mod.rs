//! The vocabulary: a question, the verdict on it, and why.

mod cause;

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;

use vouch_protocol::sasl::RelayedMechanism;
use vouch_protocol::secret::Secret;

use crate::address::Address;
use crate::dialog::Dialog;
pub use cause::{Cause, Class, Reach};

/// What a client wants to know.
#[derive(Debug, Clone)]
pub struct Question {
    /// The question itself.
    pub kind: Kind,
    /// Who asks.
    pub client: Client,
}

/// The two kinds of question.
#[derive(Debug, Clone)]
pub enum Kind {
    /// Is this login good?
    Login {
        /// The name as it was given, completed with a default domain. Empty where a
        /// dialog is still to name it.
        user: UserName,
        /// What is to show that the client is that user.
        proof: Proof,
    },
    /// Does this recipient exist?
    Recipient(Address),
}

/// What a client offers to show that it is the user.
#[derive(Debug, Clone)]
pub enum Proof {
    /// A password; any bytes but NUL, CR and LF.
    Password(Secret<[u8]>),
    /// A token.
    Token {
        /// The mechanism that brings it, and in which the remote gets it.
        mechanism: RelayedMechanism,
        /// What follows the name in the client's message.
        rest: Secret<[u8]>,
    },
    /// A dialog with the remote. Its client gets no other's answer, and no other gets its.
    Relay(Dialog),
}

/// On whose behalf a question is asked. All of it is the asking program's
/// claim, good for logs and limits.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Client {
    /// The network address of the end user's host, an IPv4 address as such.
    pub address: Option<IpAddr>,
    /// The port of that host.
    pub port: Option<u16>,
    /// What ties the questions of one message or session together: Postfix's
    /// `instance`, Dovecot's `session`.
    pub session: Option<String>,
    /// The service that asks: `smtp`, `imap`, …
    pub service: Option<String>,
}

impl Client {
    /// The network address that a mail server gives; `None` where it is none: Exim says `NULL`, and Postfix may say
    /// `unknown`. Such a text is shared by many clients, or invented: nothing is counted by it, and it is not logged.
    pub fn address_in(text: &[u8]) -> Option<IpAddr> {
        let address: IpAddr = std::str::from_utf8(text).ok()?.parse().ok()?;
        Some(address.to_canonical())
    }

    /// The address as the log has it: `-` for none.
    pub fn shown(&self) -> String {
        match self.address {
            None => "-".to_owned(),
            Some(IpAddr::V4(address)) => decimal(address.octets()),
            Some(IpAddr::V6(address)) => address.to_string(),
        }
    }
}

/// An IPv4 address as text: each answer has one, and the formatter of the standard library takes ten times as long.
fn decimal(octets: [u8; 4]) -> String {
    let mut text = String::with_capacity("255.255.255.255".len());
    for octet in octets {
        if !text.is_empty() {
            text.push('.');
        }
        for (unit, digit) in [(100, octet / 100), (10, octet / 10 % 10), (1, octet % 10)] {
            if unit == 1 || octet >= unit {
                text.push(char::from(b'0' + digit));
            }
        }
    }
    text
}

/// Bytes as text for the log, most often as they are; what is not UTF-8 is replaced.
pub(crate) fn text(bytes: &[u8]) -> Cow<'_, str> {
    // The lossy reading looks at each byte alone.
    str::from_utf8(bytes).map_or_else(|_| String::from_utf8_lossy(bytes), Cow::Borrowed)
}

/// A login name: bytes as given, and the parts that templates use.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct UserName(Box<[u8]>);

impl UserName {
    /// The name as it was given.
    pub fn new(name: &[u8]) -> Self {
        Self(name.into())
    }

    /// The whole name.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// What stands before the last `@`; all of it when there is none.
    pub fn local(&self) -> &[u8] {
        self.split().map_or(&self.0, |(local, _)| local)
    }

    /// What stands behind the last `@`, as it was given.
    pub fn domain(&self) -> Option<&[u8]> {
        self.split().map(|(_, domain)| domain)
    }

    fn split(&self) -> Option<(&[u8], &[u8])> {
        let at = self.0.iter().rposition(|&byte| byte == b'@')?;
        Some((&self.0[..at], &self.0[at + 1..]))
    }
}

impl fmt::Display for UserName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.0))
    }
}

/// The one answer to a question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The remote knows the user or mailbox, and said so.
    Accept(Identity),
    /// The remote's own words about this very user or mailbox were "no", or
    /// its name cannot exist by its syntax.
    Reject(Cause),
    /// Nobody gave an answer about this user or mailbox.
    Defer(Cause),
    /// It is not for us to say.
    Abstain(Abstention),
}

/// The accepted user or recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The name under which the client is now known.
    pub name: Vec<u8>,
    /// What the remote said with its yes, where that is worth a log line: a
    /// mailbox that exists and is full.
    pub remark: Option<Cause>,
    /// A server said so that may take any recipient, a backup MX: it is not remembered.
    pub by_backup: bool,
}

/// Why there is no verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Abstention {
    /// No directory of this listener is asked about this domain, or the
    /// protocol is in a state that is not ours to judge.
    NotOurs,
    /// The directory accepts everything, so its yes says nothing.
    NoOpinion,
}

impl Verdict {
    /// Accepted under the name that was asked about.
    pub fn accept(name: impl Into<Vec<u8>>) -> Self {
        Self::Accept(Identity {
            name: name.into(),
            remark: None,
            by_backup: false,
        })
    }

    /// The same in the words of a backup MX.
    #[must_use]
    pub fn by_backup(self) -> Self {
        match self {
            Self::Accept(identity) => Self::Accept(Identity {
                by_backup: true,
                ..identity
            }),
            Self::Reject(cause) => Self::Reject(Cause {
                by_backup: true,
                ..cause
            }),
            other => other,
        }
    }

    /// Whether a server said so whose answers are not remembered.
    pub const fn is_by_backup(&self) -> bool {
        match self {
            Self::Accept(identity) => identity.by_backup,
            Self::Reject(cause) => cause.by_backup,
            Self::Defer(_) | Self::Abstain(_) => false,
        }
    }

    /// The same, with [`Cause::credential_heard`] of a deferred login.
    #[must_use]
    pub fn heard(self) -> Self {
        match self {
            Self::Defer(cause) => Self::Defer(cause.heard()),
            other => other,
        }
    }

    /// The name used in logs, metrics and `--json`.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Accept(_) => "accept",
            Self::Reject(_) => "reject",
            Self::Defer(_) => "defer",
            Self::Abstain(_) => "abstain",
        }
    }

    /// Whether a credential was tried on the remote, and was not taken: refused, or heard and
    /// not understood.
    pub const fn is_failed_attempt(&self) -> bool {
        match self {
            Self::Reject(_) => true,
            Self::Defer(cause) => cause.credential_heard,
            Self::Accept(_) | Self::Abstain(_) => false,
        }
    }

    /// What there is to say about why.
    pub fn cause(&self) -> Option<&Cause> {
        match self {
            Self::Accept(identity) => identity.remark.as_ref(),
            Self::Reject(cause) | Self::Defer(cause) => Some(cause),
            Self::Abstain(_) => None,
        }
    }

    /// The remote's status and words, or ours, for logs; empty without any.
    pub fn detail(&self) -> String {
        self.cause().map(Cause::detail).unwrap_or_default()
    }

    /// The cause's class, or the abstention's name, for logs.
    pub fn reason(&self) -> Cow<'static, str> {
        match self {
            Self::Abstain(Abstention::NotOurs) => "not-ours".into(),
            Self::Abstain(Abstention::NoOpinion) => "no-opinion".into(),
            _ => self.cause().map_or("-", |cause| cause.class.name()).into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_address_is_the_address_of_a_client() {
        let address = |text: &str| Client {
            address: Client::address_in(text.as_bytes()),
            ..Client::default()
        };
        for (text, shown) in [
            ("192.0.2.7", "192.0.2.7"),
            ("2001:DB8::7", "2001:db8::7"),
            ("::ffff:192.0.2.7", "192.0.2.7"),
        ] {
            assert_eq!(address(text).shown(), shown);
        }
        for other in [
            "NULL", "", "unknown", "192.0.2.7\r\nQUIT", "192.0.2.7 NAME=x", "192.0.2.0/24", "fe80::1%eth0",
            "\u{202e}",
        ] {
            assert_eq!(address(other).shown(), "-", "{other:?}");
        }
        assert_eq!(Client::address_in(b"\xff"), None);
    }

    #[test]
    fn each_octet_of_an_address_is_shown_as_it_is_written() {
        for octet in 0..=255 {
            let address = IpAddr::from([octet, 0, 255 - octet, octet]);
            let client = Client {
                address: Some(address),
                ..Client::default()
            };
            assert_eq!(client.shown(), address.to_string());
        }
    }

    #[test]
    fn a_login_splits_at_its_last_at() {
        let login = UserName::new(b"a@b@example.org");
        assert_eq!(
            (login.local(), login.domain()),
            (&b"a@b"[..], Some(&b"example.org"[..]))
        );
        let bare = UserName::new(b"jane");
        assert_eq!((bare.local(), bare.domain()), (&b"jane"[..], None));
    }

    #[test]
    fn a_cause_says_nothing_twice() {
        let detail = |status, text| Cause::said(Class::UnknownUser, status, text).detail();
        assert_eq!(
            detail("550 5.1.1", "5.1.1 no such user"),
            "550 5.1.1 no such user"
        );
        assert_eq!(detail("550", "no such user"), "550 no such user");
        assert_eq!(detail("NO [EXPIRED]", "change it"), "NO [EXPIRED] change it");
        assert_eq!(
            detail("421 4.3.2", "x: greeting: 421 4.3.2 bye"),
            "x: greeting: 421 4.3.2 bye"
        );
        // Of a reply that repeats another's, the status is its own.
        assert_eq!(
            detail("550 5.1.1", "5.1.1 <x>: refused: host b said: 550 5.1.1 y"),
            "550 5.1.1 <x>: refused: host b said: 550 5.1.1 y"
        );
    }

    #[test]
    fn a_credential_that_was_heard_and_not_taken_is_a_failed_attempt() {
        let later = Cause::ours(Class::Unreachable, "connection closed");
        for (verdict, failed) in [
            (Verdict::accept("jane"), false),
            (Verdict::Reject(Cause::ours(Class::BadCredentials, "no")), true),
            (Verdict::Defer(later.clone()), false),
            (Verdict::Defer(later.heard()), true),
            (Verdict::Abstain(Abstention::NotOurs), false),
        ] {
            assert_eq!(verdict.is_failed_attempt(), failed, "{verdict:?}");
        }
    }

    #[test]
    fn a_question_is_printed_without_its_secret() {
        let proof = Proof::Password(Secret::copy_from(b"hunter2"));
        let kind = Kind::Login {
            user: UserName::new(b"jane"),
            proof,
        };
        let printed = format!(
            "{:?}",
            Question {
                kind,
                client: Client::default()
            }
        );
        assert!(
            !printed.contains("hunter2") && !printed.contains("104, 117"),
            "{printed}"
        );
    }
}
