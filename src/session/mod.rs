//! Sessions with a remote: how one is opened, asked, kept and ended.
//!
//! [`connect`] and [`tls`] make a stream of an address; [`imap`] and [`smtp`]
//! make a [`Session`] of a stream; [`pool`] keeps sessions and hands questions
//! to them.

pub mod bare;
pub(crate) mod beginning;
pub mod certificate;
pub(crate) mod chain;
pub mod connect;
pub mod discovery;
pub mod dns;
pub mod error;
pub(crate) mod handshake;
pub mod imap;
mod interfaces;
mod link;
pub mod lookup;
pub(crate) mod negotiate;
mod own;
pub mod pool;
pub mod relaying;
pub mod remote;
pub mod secrets;
mod server;
pub mod servers;
pub mod smtp;
pub mod tls;
pub mod trace;
mod verifier;
pub(crate) mod ways;

use std::future::{Future, ready};
use std::net::IpAddr;
use std::sync::Arc;

use tokio::time::Instant;
use vouch_protocol::sasl::{Mechanisms, RelayedMechanism};
use vouch_protocol::secret::Secret;

use crate::dialog::Dialog;
use error::LOGIN;
pub use error::{Error, Kind};
pub use pool::Pool;
pub use remote::Remote;
use secrets::SentSecrets;
pub use servers::Servers;

/// An open session that answers one kind of question. The defaults are those of logins: one question at a time, each
/// perhaps counted against its user.
pub trait Session: Send + Sized + 'static {
    /// What is asked.
    type Question: Clone + Send + Sync + 'static;
    /// What the remote says to it.
    type Answer: Send + 'static;

    /// Questions that any session of this kind takes in one go, at most.
    const MAX_BATCH: usize = 1;

    /// Which questions may be asked again after a session was lost over them.
    const RETRY_POLICY: RetryPolicy = RetryPolicy::IfNoReply;

    /// A yes ends what the session is good for.
    const SINGLE_USE_ON_SUCCESS: bool = true;

    /// Questions that this session takes in one go.
    fn batch(&self) -> usize {
        1
    }

    /// Questions that the remote says it bears on one session.
    fn max_per_session(&self) -> Option<u32> {
        None
    }

    /// The name that a question is about, as the remote knows it: the log may have to hide it.
    fn about(question: &Self::Question) -> &[u8];

    /// Whether two questions may be asked in one go.
    fn can_batch(_one: &Self::Question, _other: &Self::Question) -> bool {
        false
    }

    /// Asks questions in one go and reads to the end of the answers, by `deadline`.
    /// Each answer is passed on as it comes, in the order of the questions. After an
    /// error the session is good for nothing.
    fn ask(
        &mut self,
        questions: &[Self::Question],
        tell: &mut (dyn FnMut(Self::Answer) + Send),
        deadline: Instant,
    ) -> impl Future<Output = Result<(), Error>> + Send;

    /// Makes a session that has served its purpose good for another question, if
    /// the remote knows how.
    fn renew(&mut self) -> impl Future<Output = bool> + Send {
        ready(false)
    }

    /// Waits until the remote says or does something although nothing was
    /// asked: a goodbye, as a rule. May be dropped at any time.
    fn goodbye(&mut self) -> impl Future<Output = ()> + Send;

    /// Takes leave politely, and waits until the remote has seen the end of the session. The caller
    /// bounds it.
    fn close(self) -> impl Future<Output = ()> + Send;
}

/// Which questions may be asked again after a session was lost over them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetryPolicy {
    /// Any: the remote counts nothing against whom it is about.
    Always,
    /// Only one to which no byte of an answer had come, and whose secret was not sent whole: another try
    /// may count as another failure of the user.
    IfNoReply,
}

impl RetryPolicy {
    fn allows(self, error: &Error) -> bool {
        match self {
            Self::Always => matches!(error.kind(), Kind::Unreachable | Kind::Protocol),
            Self::IfNoReply => error.is_stale(),
        }
    }
}

/// An answer, judged.
#[derive(Debug)]
pub struct Judged<V> {
    /// What the answer means to the asker.
    pub verdict: V,
    /// What it means to the session.
    pub after: After,
}

/// What becomes of a session after an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum After {
    /// It goes on.
    Keep,
    /// It goes on, one refusal nearer to its limit.
    KeepRefused,
    /// It has served its purpose, and goes on only if it can be renewed.
    Spent,
    /// It can no longer be trusted.
    Close,
    /// It says goodbye. Where it had been asked before, it may have meant to do
    /// so anyway: close it and ask once more on a fresh one. A fresh session's
    /// goodbye is its answer.
    Goodbye,
    /// The answer was about the session, not about the question: close it and
    /// ask once more on a fresh one.
    RetryPolicy,
}

/// The host on whose behalf a question is asked, where the remote is to know it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Origin {
    /// Its address.
    pub address: IpAddr,
    /// Its port.
    pub port: Option<u16>,
}

/// A login that is to be tried.
#[derive(Debug, Clone)]
pub struct Login {
    /// What is tried.
    pub attempt: Attempt,
    /// For whom, where the remote is to know it.
    pub origin: Option<Origin>,
}

/// A login as it goes out.
#[derive(Debug, Clone)]
pub enum Attempt {
    /// With a password.
    Password(Credentials),
    /// With a token.
    Token(Token),
    /// By a dialog that the client holds with the remote.
    Relay(Dialog),
}

impl Attempt {
    /// The name that it is about, as the remote knows it. Empty while a dialog has not said it.
    pub fn user(&self) -> &[u8] {
        match self {
            Self::Password(credentials) => &credentials.user,
            Self::Token(token) => &token.user,
            Self::Relay(dialog) => dialog.user().unwrap_or_default(),
        }
    }
}

/// What a remote said to an attempt.
#[derive(Debug)]
pub struct Answer<O> {
    /// How it ended.
    pub outcome: O,
    /// The last challenge, and of which mechanism, where the dialog was not ours.
    pub challenge: Option<(RelayedMechanism, Vec<u8>)>,
    /// All that proves who the client is was sent, so the remote may have judged it: it is not sent again,
    /// whatever the answer means to the session.
    pub secret_sent: bool,
    /// The remote said goodbye along with it.
    pub goodbye: bool,
    /// What its words may repeat, of this attempt and of those before it on the same session.
    pub secrets: SentSecrets,
}

/// A token as it goes out.
#[derive(Debug, Clone)]
pub struct Token {
    /// The mechanism that brings it.
    pub mechanism: RelayedMechanism,
    /// The name as the remote knows it.
    pub user: Vec<u8>,
    /// The whole message.
    pub message: Secret<[u8]>,
}

/// A password as it goes out.
#[derive(Debug, Clone)]
pub struct Credentials {
    /// The name as the remote knows it.
    pub user: Vec<u8>,
    /// The password.
    pub password: Secret<[u8]>,
}

/// What a remote offers for logins, where it is not enough.
struct Lacking<'a> {
    /// The mechanisms that it offers.
    offered: &'a Mechanisms,
    /// Of IMAP, whether it allows the command LOGIN (`LOGINDISABLED` forbids it).
    command: Option<bool>,
    /// It offers STARTTLS, and TLS is not on.
    starttls: bool,
    /// TLS is on.
    encrypted: bool,
}

/// The remote offers no mechanism that we may use; `wanted` is the only one, if the configuration has one.
fn no_mechanism(peer: &Arc<str>, lacking: &Lacking<'_>, wanted: Option<&str>) -> Error {
    let mut offered = lacking.offered.names().collect::<Vec<_>>().join(", ");
    if offered.is_empty() {
        offered.push_str("none at all");
    }
    offered.push_str(match lacking.command {
        Some(true) => ", and the command LOGIN",
        Some(false) => ", and forbids the command LOGIN",
        None => "",
    });
    let detail = match wanted {
        Some(wanted) => {
            format!("it does not offer {wanted}, the only way that is allowed; it offers {offered}")
        }
        None => format!(
            "it offers no mechanism that takes a password: we need PLAIN or LOGIN, it offers {offered}"
        ),
    };
    let advice = match (lacking.encrypted, lacking.starttls, wanted) {
        (false, true, _) => {
            "it offers STARTTLS, and many servers accept a password only after it: set directory.NAME.tls.starttls = \
             \"required\""
        }
        (_, _, Some(_)) => "set directory.NAME.auth.mechanism to one that it offers, or to \"auto\"",
        (true, _, None) => {
            "have PLAIN enabled there; for SMTP, see whether directory.NAME.port is one for logins (587, 465)"
        }
        (false, false, None) => {
            "many servers accept a password only under TLS: see whether directory.NAME.port is one for logins with TLS \
             (imap 993; smtp 587, 465), and have PLAIN enabled there"
        }
    };
    Error::new(Kind::Config, peer, LOGIN, detail).advise(advice)
}

/// STARTTLS is required and not offered.
fn starttls_missing(peer: &Arc<str>) -> Error {
    let advice = "directory.NAME.tls.starttls = \"required\" requires it: set up a certificate there, or use the port \
                  that begins with TLS, with directory.NAME.tls.implicit = true; if it offers STARTTLS to others, \
                  something in between hides it";
    Error::new(Kind::Tls, peer, "STARTTLS", "it does not offer STARTTLS").advise(advice)
}

/// What came behind the answer to STARTTLS is not TLS.
fn injected(peer: &Arc<str>) -> Error {
    let detail = "unprotected bytes followed its answer, as if injected; session dropped";
    let advice = "its TLS is broken, or something in between writes into the connection: compare with the server's log";
    Error::new(Kind::Tls, peer, "STARTTLS", detail).advise(advice)
}

/// STARTTLS was offered and then refused.
fn starttls_refused(peer: &Arc<str>, status: impl Into<String>, text: &str) -> Error {
    let detail = format!("offered, then refused ({text}); not continued in cleartext");
    let advice = "the server has no usable certificate: see its log";
    // No secret is sent before it.
    Error::said(
        Kind::Tls,
        peer,
        "STARTTLS",
        status,
        detail,
        &SentSecrets::default(),
    )
    .advise(advice)
}
