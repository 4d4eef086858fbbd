//! What a server is told when it starts. All fields are public; [`Options::new`] gives a server without
//! TLS, delays or limits, that offers what servers in the field offer.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::tls::Identity;

/// Everything a server is told when it starts.
#[derive(Clone, Debug)]
pub struct Options {
    /// What it speaks.
    pub protocol: Protocol,
    /// Where it listens.
    pub listen: Listen,
    /// When TLS starts.
    pub security: Security,
    /// Offers and accepts logins before TLS. When false, IMAP says `LOGINDISABLED`, SMTP leaves `AUTH` out,
    /// and a login is refused with `[PRIVACYREQUIRED]` or 538.
    pub cleartext_login: bool,
    /// Users and mailboxes at the start; [`crate::Server::set_account`] changes them later.
    pub accounts: Vec<Account>,
    /// Domains whose unknown recipients are 550 5.1.1; those of the accounts need not be repeated.
    /// A recipient elsewhere is `554 5.7.1 Relay access denied`.
    pub domains: Vec<String>,
    /// Accepts every recipient of its domains.
    pub catch_all: bool,
    /// `name+detail` is the mailbox `name`.
    pub subaddress: bool,
    /// Local parts that differ in the case of ASCII letters only are one mailbox, and one user.
    pub fold_case: bool,
    /// What is offered, besides what follows from `security`: IMAP capabilities (`SASL-IR`, `AUTH=PLAIN`),
    /// or EHLO lines (`PIPELINING`, `AUTH PLAIN LOGIN`, `LIMITS RCPTMAX=50`). What is not offered is refused.
    pub capabilities: Vec<String>,
    /// IMAP capabilities that are added after a login (`UNAUTHENTICATE` works if it is here).
    pub capabilities_after_login: Vec<String>,
    /// IMAP: the greeting and the OK of a login carry a `[CAPABILITY …]` code.
    pub capability_codes: bool,
    /// IMAP response codes and SMTP enhanced status codes are said; without, only the texts.
    pub status_codes: bool,
    /// How slowly it answers.
    pub delays: Delays,
    /// When it loses patience.
    pub limits: Limits,
    /// What every challenge holds; without, each holds another.
    pub nonce: Option<String>,
    /// The salt of every SCRAM key.
    pub salt: Vec<u8>,
    /// Keeps the text of commands and recipients in the session logs; without, they are only counted.
    pub record: bool,
}

impl Options {
    /// A friendly server on a free port of 127.0.0.1, without TLS, with no account.
    pub fn new(protocol: Protocol) -> Self {
        let capabilities: &[&str] = match protocol {
            Protocol::Imap => &[
                "IMAP4rev1", "SASL-IR", "LITERAL+", "ID", "AUTH=PLAIN", "AUTH=LOGIN",
            ],
            Protocol::Smtp => &[
                "PIPELINING", "SMTPUTF8", "8BITMIME", "ENHANCEDSTATUSCODES", "AUTH PLAIN LOGIN",
            ],
            Protocol::Lmtp => &[
                "PIPELINING", "SMTPUTF8", "8BITMIME", "ENHANCEDSTATUSCODES", "IGNOREQUOTA",
            ],
        };
        Self {
            protocol,
            listen: Listen::Tcp,
            security: Security::None,
            cleartext_login: true,
            accounts: Vec::new(),
            domains: Vec::new(),
            catch_all: false,
            subaddress: true,
            fold_case: true,
            capabilities: capabilities.iter().map(ToString::to_string).collect(),
            capabilities_after_login: Vec::new(),
            capability_codes: true,
            status_codes: true,
            delays: Delays::default(),
            limits: Limits::default(),
            nonce: None,
            salt: b"salt of a test".to_vec(),
            record: true,
        }
    }

    pub(crate) fn nonce(&self) -> String {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let next = || NEXT.fetch_add(1, Ordering::Relaxed).to_string();
        self.nonce.clone().unwrap_or_else(next)
    }

    /// The same, with these capabilities instead of the usual ones, given as one word or line each.
    pub fn offering(mut self, capabilities: &[&str]) -> Self {
        self.capabilities = capabilities.iter().map(ToString::to_string).collect();
        self
    }

    /// The same, with one more account.
    pub fn account(mut self, account: Account) -> Self {
        self.accounts.push(account);
        self
    }
}

/// What a server speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// RFC 3501, as far as a login goes.
    Imap,
    /// RFC 5321 up to RCPT, with AUTH (RFC 4954).
    Smtp,
    /// RFC 2033 up to RCPT.
    Lmtp,
}

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listen {
    /// A free port of 127.0.0.1, chosen by the kernel.
    Tcp,
    /// This address of loopback; port 0 is a free one.
    At(SocketAddr),
    /// A Unix stream socket that it creates here and removes in the end.
    Unix(PathBuf),
    /// Nowhere: it serves the streams that it is handed.
    Nowhere,
}

/// When TLS starts.
#[derive(Clone, Debug)]
pub enum Security {
    /// Never.
    None,
    /// By STARTTLS, which is offered until then.
    StartTls(Identity),
    /// At once.
    Implicit(Identity),
}

/// A user and a mailbox.
#[derive(Clone, Debug)]
pub struct Account {
    /// The user's name and the mailbox's address in one: `jane@example.org`, a local part without quotes.
    pub user: String,
    /// The password: any bytes but NUL.
    pub password: Vec<u8>,
    /// What the server says about it.
    pub state: State,
    /// A pause before each answer about it.
    pub delay: Duration,
}

impl Account {
    /// An account in good order.
    pub fn new(user: &str, password: impl AsRef<[u8]>) -> Self {
        Self {
            user: user.to_owned(),
            password: password.as_ref().to_vec(),
            state: State::Active,
            delay: Duration::ZERO,
        }
    }

    /// The same in another state.
    pub fn state(mut self, state: State) -> Self {
        self.state = state;
        self
    }
}

/// The state of an account: the reply to RCPT, and to a login with the right password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// `250 2.1.5`; logs in.
    Active,
    /// `550 5.2.1`; `525 5.7.13`, `NO [CONTACTADMIN]`.
    Disabled,
    /// `250 2.1.5`; `535 5.7.8`, `NO [EXPIRED]`.
    Expired,
    /// `451 4.3.0`; whatever the password, `454 4.7.0`, `NO [UNAVAILABLE]`.
    TempFail,
    /// `452 4.2.2`, and 250 if IGNOREQUOTA was said; logs in.
    Full,
    /// `451 4.7.1` the first time it is asked for, then as `Active`; logs in.
    Greylisted,
    /// `551 5.1.6`; `535 5.7.8`, `NO [REFERRAL …]`.
    Moved,
    /// `550 5.7.1`; `550 5.7.1`, `NO [NOPERM]`.
    Policy,
    /// These words, whatever the password: an SMTP reply with its code (lines divided by CRLF), or what
    /// follows the tag in IMAP (`NO [LIMIT] Too many connections`).
    Says(String),
}

/// Pauses, all zero by default. They are tokio's, so paused time skips them.
#[derive(Clone, Copy, Debug, Default)]
pub struct Delays {
    /// Before the greeting.
    pub greeting: Duration,
    /// Before replies leave, once for a group of commands that arrived together: the latency of a network.
    pub latency: Duration,
    /// Before each reply: the work of a server.
    pub reply: Duration,
    /// Before the refusal of a login, as most servers do to slow down guessing.
    pub failed_login: Duration,
}

/// When a server loses patience, never by default.
#[derive(Clone, Copy, Debug, Default)]
pub struct Limits {
    /// After this many refused commands (4yz, 5yz, NO or BAD) of a session: 421 or BYE, and closes.
    pub errors: Option<u32>,
    /// After this many refused logins of a session: the same.
    pub failed_logins: Option<u32>,
    /// More RCPT commands in a transaction are `452 4.5.3`.
    pub recipients: Option<u32>,
    /// More MAIL commands in a session are 421, and it closes.
    pub transactions: Option<u32>,
    /// More sessions at once are 421 or BYE in the place of the greeting.
    pub sessions: Option<usize>,
    /// A session that says nothing for so long gets 421 or BYE, and is closed.
    pub idle: Option<Duration>,
}
