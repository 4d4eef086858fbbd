//! Why a remote gave no answer to a question.

use std::fmt;
use std::io;
use std::sync::Arc;

use nix::errno::Errno;

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
    /// No session was free, since none could be opened.
    unopened: bool,
    /// Another server of the directory is there, as far as is known.
    another_is_there: bool,
    /// What to do about it, where kind and step do not tell.
    advice: Option<String>,
    /// A map of routes names the server.
    by_map: bool,
}

/// What an advice calls the place of a server's host and port, the longest first.
const PLACES: [&str; 3] = [
    "directory.NAME.address and directory.NAME.port", "directory.NAME.address", "directory.NAME.port",
];

/// What that is where a map of routes names the server.
const LINE_OF_MAP: &str = "its line in directory.NAME.lookup.routes";

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
    /// What an error of the system says, while a connection is made. What this host has run out of, or forbids, says
    /// nothing of the remote.
    pub(super) fn of_io(error: &io::Error) -> Self {
        match error.raw_os_error().map(Errno::from_raw) {
            Some(
                Errno::EMFILE
                | Errno::ENFILE
                | Errno::ENOBUFS
                | Errno::ENOMEM
                | Errno::EADDRNOTAVAIL
                | Errno::EPERM
                | Errno::EACCES,
            ) => Self::Config,
            _ => Self::Unreachable,
        }
    }

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
            unopened: false,
            another_is_there: false,
            advice: None,
            by_map: false,
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

    /// The same, of a wait in the queue that was in vain since no session could be opened.
    pub(super) fn unopened(self) -> Self {
        let inner = Inner {
            unopened: true,
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

    /// The same, of a server that a map of routes names: it has no address of the directory's.
    pub(super) fn of_a_map(self) -> Self {
        let inner = Inner {
            by_map: true,
            ..(*self.0).clone()
        };
        Self(Arc::new(inner))
    }

    /// The same, with how another server of the directory failed as well.
    pub(super) fn and_then(self, other: &Self) -> Self {
        let inner = Inner {
            detail: format!("{}; {other}", self.0.detail),
            another_is_there: self.0.another_is_there || !other.is_away(),
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
        if !self.0.by_map {
            return named(advice, name);
        }
        let advice = PLACES.iter().fold(advice.to_owned(), |advice, place| {
            advice.replace(place, LINE_OF_MAP)
        });
        named(&advice, name)
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
            (Kind::Config, LOOK_UP | CONNECT) => {
                "this host does not let vouch connect: see its limits on open files, and its rules for outgoing connections"
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

    /// Whether the remote replied, in whatever words, unless these are that it has no TLS.
    pub fn is_reply(&self) -> bool {
        let spoke = self.0.status.is_some() || matches!(self.0.kind, Kind::Protocol | Kind::Refused);
        spoke && self.0.kind != Kind::Tls
    }

    /// Whether the remote itself is why there is no session with it: it is not reached, does not greet in time, or fails
    /// in TLS. Neither one that says why nor one that has a secret to judge: that may be what it thinks of the secret.
    pub fn is_away(&self) -> bool {
        let Inner {
            secret_sent,
            unopened,
            another_is_there,
            ..
        } = *self.0;
        let ours = self.0.step == QUEUE && !unopened;
        match self.0.kind {
            Kind::Tls => !another_is_there,
            Kind::Unreachable | Kind::Timeout => {
                !(another_is_there || secret_sent || ours || self.is_reply())
            }
            Kind::Protocol | Kind::Refused | Kind::Config | Kind::Overload | Kind::Abandoned => false,
        }
    }

    /// Whether the remote has a secret whole, and has not begun a reply in time.
    pub fn is_silence(&self) -> bool {
        self.0.kind == Kind::Timeout && self.0.secret_sent && !self.0.heard
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

    /// What each kind of error says of the remote: at an opening, in the queue, with a secret sent, and in its own words.
    #[test]
    fn what_is_ours_or_a_reply_is_no_remote_that_is_away() {
        let peer: Arc<str> = "mailbox".into();
        let said = |error: &Error| match (error.is_away(), error.is_silence(), error.is_reply()) {
            (false, false, false) => "-",
            (true, false, false) => "away",
            (false, true, false) => "silent",
            (false, false, true) => "replied",
            several => panic!("{several:?}"),
        };
        for (kind, [opening, queue, unopened, with_secret, in_words]) in [
            (Kind::Unreachable, ["away", "-", "away", "-", "replied"]),
            (Kind::Timeout, ["away", "-", "away", "-", "replied"]),
            (Kind::Tls, ["away", "away", "away", "away", "away"]),
            (Kind::Protocol, ["replied"; 5]),
            (Kind::Refused, ["replied"; 5]),
            (Kind::Config, ["-", "-", "-", "-", "replied"]),
            (Kind::Overload, ["-", "-", "-", "-", "replied"]),
            (Kind::Abandoned, ["-", "-", "-", "-", "replied"]),
        ] {
            for step in [LOOK_UP, CONNECT, HANDSHAKE, GREETING, LOGIN] {
                assert_eq!(
                    said(&Error::new(kind, &peer, step, "x")),
                    opening,
                    "{kind:?} {step}"
                );
            }
            let waited = Error::new(kind, &peer, QUEUE, "x");
            assert_eq!(said(&waited), queue, "{kind:?}");
            assert_eq!(said(&waited.unopened()), unopened, "{kind:?}");
            let error = Error::new(kind, &peer, LOGIN, "x").after_secret();
            assert_eq!(said(&error), with_secret, "{kind:?}");
            let error = Error::said(kind, &peer, GREETING, "NO", "later", &SentSecrets::default());
            assert_eq!(said(&error), in_words, "{kind:?}");
        }
        let (away, busy) = (
            Error::new(Kind::Unreachable, &peer, CONNECT, "x"),
            Error::new(Kind::Refused, &peer, GREETING, "x"),
        );
        assert_eq!(said(&away.clone().and_then(&away)), "away");
        assert_eq!(said(&away.clone().and_then(&busy).and_then(&away)), "-");
        let wire = |error: &WireError, heard| Error::wire(error, &peer, LOGIN, heard).after_secret();
        assert_eq!(said(&wire(&WireError::Timeout, false)), "silent");
        assert_eq!(said(&wire(&WireError::Timeout, true)), "-");
        assert_eq!(said(&wire(&WireError::Closed, false)), "-");
        let goodbye = Error::goodbye(&peer, LOGIN, "BYE", "so long", &SentSecrets::default());
        assert_eq!(said(&goodbye), "replied");
    }

    #[test]
    fn of_a_map_the_advice_is_to_see_its_line() {
        let peer: Arc<str> = "gateway (mail1.example.org:25)".into();
        for step in [LOOK_UP, CONNECT] {
            for kind in [Kind::Unreachable, Kind::Timeout] {
                let error = Error::new(kind, &peer, step, "x");
                assert!(error.advice().contains("directory.\"gateway\".address"));
                let advice = error.of_a_map().advice();
                let line = "its line in directory.\"gateway\".lookup.routes";
                assert_eq!(advice.matches(line).count(), 1, "{advice}");
                assert!(
                    !advice.contains(".address") && !advice.contains(".port"),
                    "{advice}"
                );
            }
        }
    }

    #[test]
    fn what_this_host_lacks_or_forbids_says_nothing_of_the_remote() {
        for (errno, kind) in [
            (Errno::ECONNREFUSED, Kind::Unreachable),
            (Errno::EHOSTUNREACH, Kind::Unreachable),
            (Errno::ENETUNREACH, Kind::Unreachable),
            (Errno::ETIMEDOUT, Kind::Unreachable),
            (Errno::EMFILE, Kind::Config),
            (Errno::EADDRNOTAVAIL, Kind::Config),
            (Errno::EPERM, Kind::Config),
        ] {
            let error = io::Error::from_raw_os_error(errno as i32);
            assert_eq!(Kind::of_io(&error), kind, "{errno}");
        }
        assert_eq!(Kind::of_io(&io::Error::other("no such name")), Kind::Unreachable);
    }
}
