//! Why a remote gave no answer to a question.

use std::fmt;
use std::sync::Arc;

use super::secrets::SentSecrets;
use crate::telemetry::words::named;
use crate::wire::WireError;

/// Steps that more than one file knows.
pub(super) const LOOK_UP: &str = "look-up of its name";
pub(super) const CONNECT: &str = "connect";
pub(super) const HANDSHAKE: &str = "TLS handshake";
pub(super) const GREETING: &str = "greeting";
pub(super) const LOGIN: &str = "login";
pub(super) const RCPT: &str = "RCPT TO";
pub(super) const QUEUE: &str = "queue";

/// No answer, with the peer and the step at which it was lost.
///
/// Cloned freely: one failed opening is the answer to everyone who waited for
/// it.
#[derive(Debug, Clone)]
pub struct Error(Arc<Inner>);

#[derive(Debug, Clone)]
struct Inner {
    kind: Kind,
    peer: Arc<str>,
    step: &'static str,
    detail: String,
    status: Option<String>,
    heard: bool,
    /// The secret was sent whole.
    secret_sent: bool,
    /// The remote ended the connection before it said anything.
    turned_away: bool,
    /// What to do about it, where kind and step do not tell.
    advice: Option<String>,
}

/// What kind of trouble it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// No connection, or it broke or was closed.
    Unreachable,
    /// No answer in time.
    Timeout,
    /// The remote broke its protocol.
    Protocol,
    /// TLS failed, or a certificate is not good.
    Tls,
    /// The remote refused the session for now.
    Refused,
    /// It will not work before something is changed, here or at the remote.
    Config,
    /// More questions wait than `pool.queue` allows.
    Overload,
    /// The client left its own dialog with the remote: nobody's fault but its own.
    Abandoned,
}

impl Kind {
    /// Every kind of which a remote, or what we ask of it, may be the cause: all but
    /// [`Self::Abandoned`], which is the last.
    pub const ALL: [Self; 7] = [
        Self::Unreachable,
        Self::Timeout,
        Self::Protocol,
        Self::Tls,
        Self::Refused,
        Self::Config,
        Self::Overload,
    ];

    /// The name used in logs and metrics; as the class of the verdict that comes of it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::Timeout | Self::Abandoned => "timeout",
            Self::Protocol => "protocol",
            Self::Tls => "tls",
            Self::Refused => "temporary",
            Self::Config => "config",
            Self::Overload => "overload",
        }
    }
}

impl Error {
    /// An error of `kind` at `peer` while we were at `step`.
    pub fn new(kind: Kind, peer: &Arc<str>, step: &'static str, detail: impl Into<String>) -> Self {
        Self::build(kind, peer, step, detail.into(), None, true)
    }

    /// As [`Error::new`], in the remote's own words, which do not repeat the `secrets` of the session; `status` is its code.
    pub fn said(
        kind: Kind,
        peer: &Arc<str>,
        step: &'static str,
        status: impl Into<String>,
        text: impl Into<String>,
        secrets: &SentSecrets,
    ) -> Self {
        let text = secrets.withheld_from(text.into());
        Self::build(kind, peer, step, text, Some(status.into()), true)
    }

    /// The remote said goodbye before anything else, in words that do not repeat the `secrets` of the session: as good as if
    /// it had been gone already.
    pub fn goodbye(
        peer: &Arc<str>,
        step: &'static str,
        status: impl Into<String>,
        text: impl Into<String>,
        secrets: &SentSecrets,
    ) -> Self {
        let text = secrets.withheld_from(text.into());
        Self::build(Kind::Unreachable, peer, step, text, Some(status.into()), false)
    }

    /// What the wire said. `heard` tells whether any byte of a reply had come.
    pub fn wire(error: &WireError, peer: &Arc<str>, step: &'static str, heard: bool) -> Self {
        let kind = match error {
            WireError::Closed | WireError::Io(_) => Kind::Unreachable,
            WireError::Timeout | WireError::Unread(_) | WireError::Unfinished(_) => Kind::Timeout,
            WireError::Decode(_) => Kind::Protocol,
            WireError::Encode(_) => Kind::Config,
        };
        Self::build(kind, peer, step, error.to_string(), None, heard)
    }

    fn build(
        kind: Kind,
        peer: &Arc<str>,
        step: &'static str,
        detail: String,
        status: Option<String>,
        heard: bool,
    ) -> Self {
        Self(Arc::new(Inner {
            kind,
            peer: peer.clone(),
            step,
            detail,
            status,
            heard,
            secret_sent: false,
            turned_away: false,
            advice: None,
        }))
    }

    /// The same, where the question had not been asked yet: as good as if the session had been
    /// gone already.
    pub fn before_the_question(self) -> Self {
        let inner = Inner {
            heard: false,
            ..(*self.0).clone()
        };
        Self(Arc::new(inner))
    }

    /// The same, of a login whose secret had been sent whole: the remote may have judged it, so
    /// it is not sent again.
    pub fn after_secret(self) -> Self {
        let inner = Inner {
            secret_sent: true,
            ..(*self.0).clone()
        };
        Self(Arc::new(inner))
    }

    /// The same, of a remote that ended the connection before it said anything.
    pub fn turned_away(self) -> Self {
        let inner = Inner {
            turned_away: true,
            ..(*self.0).clone()
        };
        Self(Arc::new(inner))
    }

    /// The same, with what to do about it. `directory.NAME` in it becomes this directory's name.
    pub fn advise(self, advice: impl Into<String>) -> Self {
        let inner = Inner {
            advice: Some(advice.into()),
            ..(*self.0).clone()
        };
        Self(Arc::new(inner))
    }

    /// The same, with how another server of the directory failed as well.
    pub(super) fn and_then(self, other: &Self) -> Self {
        let inner = Inner {
            detail: format!("{}; {other}", self.0.detail),
            ..(*self.0).clone()
        };
        Self(Arc::new(inner))
    }

    pub(super) fn after(self, secret_sent: bool) -> Self {
        if secret_sent { self.after_secret() } else { self }
    }

    /// What kind of trouble it was.
    pub fn kind(&self) -> Kind {
        self.0.kind
    }

    /// What we were at.
    pub fn step(&self) -> &'static str {
        self.0.step
    }

    /// Whether the session was lost at one question of a batch, and not on the way to all of them.
    pub fn is_at_a_question(&self) -> bool {
        self.0.step == RCPT
    }

    /// Whether another question may well be answered meanwhile: it is not the remote that
    /// fails, but what it is asked with.
    pub fn is_about_one_question(&self) -> bool {
        self.0.kind == Kind::Config && self.0.step == LOGIN
    }

    /// What to do about it, with the names of the keys; empty where nothing is known to help.
    pub fn advice(&self) -> String {
        let advice = self.0.advice.as_deref().unwrap_or_else(|| self.usual_advice());
        // As `daemon` names it: the directory, and in brackets the address.
        let name = self
            .0
            .peer
            .rsplit_once(" (")
            .map_or(&*self.0.peer, |(name, _)| name);
        named(advice, name)
    }

    fn usual_advice(&self) -> &'static str {
        match (self.0.kind, self.0.step) {
            (Kind::Unreachable, LOOK_UP) => {
                "is directory.NAME.address spelled right, and does this host's resolver know it (getent hosts)?"
            }
            (Kind::Unreachable, CONNECT) => {
                "does a server listen there? see directory.NAME.address and directory.NAME.port, and firewalls between"
            }
            (Kind::Unreachable, _) => "see the server's log for why it closed the connection",
            (Kind::Timeout, LOOK_UP) => {
                "this host's resolver does not answer: see /etc/resolv.conf; an IP address in directory.NAME.address \
                 does without it"
            }
            (Kind::Timeout, CONNECT) => {
                "nothing came back: see directory.NAME.address and directory.NAME.port, and firewalls between"
            }
            (Kind::Timeout, HANDSHAKE) => {
                "if connections without TLS work, a firewall may stall on the larger first message: try \
                 directory.NAME.tls.key-exchange = \"classic\""
            }
            (Kind::Overload, _) | (Kind::Timeout, QUEUE) => {
                "the remote is slow, or directory.NAME.pool.max-sessions too small for what is asked"
            }
            (Kind::Timeout, _) => {
                "the server is slow or hangs: see its log; directory.NAME.timeout bounds one command, the listener's \
                 deadline the whole answer"
            }
            (Kind::Protocol, _) => {
                "does directory.NAME.type say what it speaks, and directory.NAME.tls.implicit whether its port begins \
                 with TLS?"
            }
            (Kind::Refused, _) => {
                "the server refuses this host for now: see its log and its limits for one client"
            }
            (Kind::Config, _) if self.0.status.is_some() => {
                "the server refuses this host until something is changed there or here: see its log"
            }
            (Kind::Tls | Kind::Config | Kind::Abandoned, _) => "",
        }
    }

    /// The remote's own status, if these are its words.
    pub fn status(&self) -> Option<&str> {
        self.0.status.as_deref()
    }

    /// Whether the remote took no notice of us: before its greeting it ended the connection, or said
    /// goodbye in the place of it.
    pub fn is_turned_away(&self) -> bool {
        let at_greeting = self.0.step == GREETING && matches!(self.0.kind, Kind::Unreachable | Kind::Refused);
        at_greeting || self.0.turned_away
    }

    /// Whether the session was lost before it said anything to our question: a
    /// reused session that the remote had given up meanwhile. The question may
    /// then be asked again without being counted twice over there. Never once a secret was
    /// sent whole: what was silent may have judged it.
    pub fn is_stale(&self) -> bool {
        !self.0.heard && !self.0.secret_sent && self.0.kind == Kind::Unreachable
    }

    /// Whether the remote did away with a secret that it had been sent whole: by a goodbye, the
    /// end of the connection, or what is no answer. One that is silent has said nothing of it.
    pub fn credential_was_heard(&self) -> bool {
        self.0.secret_sent && matches!(self.0.kind, Kind::Unreachable | Kind::Protocol)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner {
            peer,
            step,
            detail,
            status,
            ..
        } = &*self.0;
        match status {
            None => write!(f, "{peer}: {step}: {detail}"),
            // The words of an SMTP server begin with the enhanced code that the status ends with.
            Some(status) => {
                let code = status.rsplit(' ').next().unwrap_or_default();
                let detail = detail.strip_prefix(code).unwrap_or(detail).trim_start();
                write!(f, "{peer}: {step}: {status} {detail}")
            }
        }
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_that_was_sent_whole_is_not_sent_again() {
        let peer: Arc<str> = "mailbox".into();
        let gone = Error::wire(&WireError::Closed, &peer, LOGIN, false);
        assert!(gone.is_stale() && !gone.credential_was_heard());
        let gone = gone.after_secret();
        assert!(!gone.is_stale() && gone.credential_was_heard());
        let bye = Error::goodbye(&peer, LOGIN, "BYE", "so long", &SentSecrets::default()).after_secret();
        assert!(!bye.is_stale() && bye.credential_was_heard());
        let silent = Error::wire(&WireError::Timeout, &peer, LOGIN, false).after_secret();
        assert!(!silent.is_stale() && !silent.credential_was_heard());
    }
}
