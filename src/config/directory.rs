//! `[directory."NAME"]`: a remote server, and how to ask it.

use std::{collections::BTreeSet, fmt, path::PathBuf, time::Duration};

use super::{Endpoint, Limit, Template, described, rate::Rate, words};
use crate::address::{Address, Domain};

described! {
    /// `[directory."NAME"]`.
    #[derive(Debug, Clone, PartialEq)]
    pub struct Directory {
        /// NAME, by which listeners, the log and the metrics call it.
        pub name: String,
        /// `type`: the remote's protocol. Required. `imap` knows logins, `lmtp` recipients, `smtp` both.
        pub kind: Kind,
        /// `address` and `port`: a host name, an IP address, or (`lmtp`) the absolute path of a socket.
        /// `address` is required; `host` is another name for it. `port` is 1 to 65535, by default imap 143,
        /// or 993 with `tls.implicit`; smtp 25, or 465; lmtp 24. A socket has none.
        pub address: Endpoint,
        /// `timeout`: bound on connecting and on each command, 1 ms to 1 hour. Default 30 s. The whole answer
        /// is bounded by the listener's `deadline`, which is usually shorter.
        pub timeout: Duration,
        /// `ehlo-name`: vouch's own name in EHLO and LHLO. Default: the host's name.
        pub ehlo_name: Option<String>,
        /// `[….tls]`.
        pub tls: Tls,
        /// `[….limits]`: of one remote session.
        pub limits: Limits,
        /// `[….lookup]`: the domains that it serves.
        pub lookup: Lookup,
        /// `[….rcpt]`: how doubtful replies to RCPT are interpreted.
        pub rcpt: Rcpt,
        /// `[….replies]`: phrases of this remote, and what they mean.
        pub replies: Replies,
        /// `[….auth]`: how a login is sent.
        pub auth: Auth,
        /// `[….pool]`: the sessions.
        pub pool: Pool,
        /// `[….cache]`: cached answers.
        pub cache: Cache,
    }
}

impl Directory {
    /// A directory in which every key but the required ones has its default.
    pub fn new(name: &str, kind: Kind, address: Endpoint) -> Self {
        Self {
            name: name.to_owned(),
            kind,
            address,
            timeout: Duration::from_secs(30),
            ehlo_name: None,
            tls: Tls::default(),
            limits: Limits::new(kind),
            lookup: Lookup::default(),
            rcpt: Rcpt::default(),
            replies: Replies::default(),
            auth: Auth::default(),
            pool: Pool::new(kind),
            cache: Cache::default(),
        }
    }

    /// Whether a password may be sent over a connection without TLS: never, unless `auth.allow-cleartext`
    /// is set or the remote is on this machine.
    pub fn password_in_clear(&self) -> bool {
        self.auth.allow_cleartext || self.address.is_local()
    }
}

words! {
    /// A remote's protocol.
    Kind {
        /// IMAP: logins.
        Imap = "imap",
        /// SMTP: logins and recipients.
        Smtp = "smtp",
        /// LMTP: recipients.
        Lmtp = "lmtp",
    }
}

impl Kind {
    /// Whether it can verify a login.
    pub fn knows_logins(self) -> bool {
        matches!(self, Self::Imap | Self::Smtp)
    }

    /// Whether it can verify a recipient.
    pub fn knows_recipients(self) -> bool {
        matches!(self, Self::Smtp | Self::Lmtp)
    }

    /// The port used when the file names none (RFC 8314 §3.3, RFC 5321 §4.5.4.2, RFC 2033 §5).
    pub fn default_port(self, implicit_tls: bool) -> u16 {
        match (self, implicit_tls) {
            (Self::Imap, false) => 143,
            (Self::Imap, true) => 993,
            (Self::Smtp, false) => 25,
            (Self::Smtp, true) => 465,
            (Self::Lmtp, _) => 24,
        }
    }
}

described! {
    /// `[directory."NAME".tls]`.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Tls {
        /// `implicit`: TLS from the first byte. Default false; `enable` is another name for it.
        pub implicit: bool,
        /// `allow-invalid-certs`: accept any certificate, from any machine that answers; warns at every start.
        /// Default false. For a private authority, use `ca-file` instead.
        pub allow_invalid_certs: bool,
        /// `starttls`: what happens without `implicit`. Default `if-available`: a password still needs TLS
        /// unless `auth.allow-cleartext` is set or the remote is on this machine. If the remote offers
        /// STARTTLS and it fails, the session ends, whatever the value.
        pub starttls: StartTls,
        /// `ca-file`: PEM file of authorities that are trusted in addition to the system's. A self-signed
        /// certificate, as `openssl req -x509` makes it, is accepted from the server that it names.
        pub ca_file: Option<PathBuf>,
        /// `server-name`: the name that the certificate must have. Default: `address`.
        pub server_name: Option<String>,
        /// `cert-file`: PEM file of vouch's own certificate, with `key-file`.
        pub cert_file: Option<PathBuf>,
        /// `key-file`: PEM file of its key, with `cert-file`.
        pub key_file: Option<PathBuf>,
        /// `key-exchange`: default `hybrid`, which protects recorded traffic against a later quantum
        /// computer; `classic` for a remote or firewall that stalls on the larger first message.
        pub key_exchange: KeyExchange,
    }
}

impl Default for Tls {
    fn default() -> Self {
        Self {
            implicit: false,
            allow_invalid_certs: false,
            starttls: StartTls::IfAvailable,
            ca_file: None,
            server_name: None,
            cert_file: None,
            key_file: None,
            key_exchange: KeyExchange::Hybrid,
        }
    }
}

words! {
    /// Whether a session that starts without TLS changes to it (RFC 3207, RFC 9051 §6.2.1).
    StartTls {
        /// When the remote offers it.
        IfAvailable = "if-available",
        /// Always; a remote that does not offer it gives no answer.
        Required = "required",
        /// Not even when offered.
        Never = "never",
    }
}

words! {
    /// The key exchange that TLS offers first.
    KeyExchange {
        /// X25519 with ML-KEM-768.
        Hybrid = "hybrid",
        /// Elliptic curves only.
        Classic = "classic",
    }
}

described! {
    /// `[directory."NAME".limits]`: of one session with the remote, so that it sees no reason to disconnect or block vouch.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Limits {
        /// `rcpt`: RCPT commands sent, accepted or not; then QUIT and a new session. Default 10; lmtp 1000.
        pub rcpt: Limit,
        /// `rcpt-errors`: refused recipients among these. Default 5: many servers slow down or hang up at 10 or 20; lmtp
        /// 100, as LMTP servers count none.
        pub rcpt_errors: Limit,
        /// `auth-errors`: failed logins, IMAP too; then LOGOUT or QUIT. Default 3.
        pub auth_errors: Limit,
        /// `unknown-rate`: of all sessions together: beyond so many refused recipients within any second, minute or hour
        /// (`"600/min"`; `s`, `min`, `h`; 1 to 100000), recipients without a cached answer are deferred without asking, and
        /// known ones are served, so that an address harvest through vouch does not get this host's address banned.
        /// Default `"off"`.
        pub unknown_rate: Option<Rate>,
    }
}

impl Limits {
    /// The defaults for a kind of remote.
    pub const fn new(kind: Kind) -> Self {
        let (rcpt, rcpt_errors) = match kind {
            Kind::Lmtp => (1000, 100),
            Kind::Imap | Kind::Smtp => (10, 5),
        };
        Self {
            rcpt: Limit::At(rcpt),
            rcpt_errors: Limit::At(rcpt_errors),
            auth_errors: Limit::At(3),
            unknown_rate: None,
        }
    }
}

described! {
    /// `[directory."NAME".lookup]`.
    #[derive(Debug, Clone, PartialEq)]
    pub struct Lookup {
        /// `domains`: the domains that it serves, and `"file:///path"` entries, each a file with one domain
        /// per line (`#` starts a comment), read again on reload. Default none: it then serves every login
        /// and no recipient.
        pub domains: Domains,
        /// `canary`: addresses that must exist; while one is refused, refusals in its domain are deferred.
        /// Default none.
        pub canary: Vec<Address>,
        /// `catch-all`: `detect` asks for an address that cannot exist; in domains where the remote
        /// accepts it, vouch neither accepts nor rejects. Default `off`.
        pub catch_all: CatchAll,
        /// `fold-case`: local parts that differ only in the case of ASCII letters are the same; other letters keep
        /// theirs. Default false: RFC 5321 §2.4 leaves that to the remote.
        pub fold_case: bool,
        /// `recipient-delimiter`: with `"+"`, `name+detail` is looked up as `name`. At most 8 characters, none of
        /// them `@` or a space. Default none.
        pub recipient_delimiter: String,
    }
}

impl Default for Lookup {
    fn default() -> Self {
        Self {
            domains: Domains::default(),
            canary: Vec::new(),
            catch_all: CatchAll::Off,
            fold_case: false,
            recipient_delimiter: String::new(),
        }
    }
}

/// The domains of a directory.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Domains {
    /// Those written in the configuration itself.
    pub listed: Vec<Domain>,
    /// The files named there.
    pub files: Vec<PathBuf>,
    /// All of them, from both.
    pub all: BTreeSet<Domain>,
}

words! {
    /// Whether domains that accept every address are detected.
    CatchAll {
        /// No.
        Off = "off",
        /// Yes.
        Detect = "detect",
    }
}

described! {
    /// `[directory."NAME".rcpt]`.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Rcpt {
        /// `mail-from`: the sender of the probe. Default empty, the null sender `<>`.
        pub mail_from: String,
        /// `code-252`: how "cannot verify, will try" is interpreted (RFC 5321 §3.5.3). Default `exists`.
        pub code_252: Code252,
        /// `policy`: how a refusal for policy reasons is interpreted. Default `defer`.
        pub policy: Policy,
        /// `microsoft`: 550 5.4.1 means unknown, as with Exchange Online. Default false.
        pub microsoft: bool,
    }
}

impl Default for Rcpt {
    fn default() -> Self {
        Self {
            mail_from: String::new(),
            code_252: Code252::Exists,
            policy: Policy::Defer,
            microsoft: false,
        }
    }
}

described! {
    /// `[directory."NAME".replies]`: phrases of this remote, matched before those that vouch knows. A phrase is words,
    /// whatever their case and the signs between them; `*` stands for any words. Each list takes at most 100, of at
    /// most 200 bytes. `vouch probe reply -d NAME TEXT` shows how a reply is interpreted.
    #[derive(Debug, Clone, Default, PartialEq, Eq)]
    pub struct Replies {
        /// `unknown`: there is no such recipient, or no such user. Default none.
        pub unknown: Vec<String>,
        /// `full`: the recipient exists, and its mailbox is full. Default none.
        pub full: Vec<String>,
        /// `later`: no answer about this recipient or user. Counts before the others. Default none.
        pub later: Vec<String>,
        /// `wrong`: the password or token is wrong; for logins only. Default none.
        pub wrong: Vec<String>,
    }
}

words! {
    /// How 252 is interpreted.
    Code252 {
        /// The recipient exists.
        Exists = "exists",
        /// No answer.
        Defer = "defer",
    }
}

words! {
    /// How a refusal for policy reasons is interpreted.
    Policy {
        /// No answer.
        Defer = "defer",
        /// The recipient is unknown.
        Unknown = "unknown",
    }
}

words! {
    /// How a password is sent to a remote.
    LoginMethod {
        /// The first that the remote offers of `PLAIN`, `login-command` and `LOGIN`. Once a remote has refused one, another is
        /// tried only if neither the user name nor the password had been sent.
        Auto = "auto",
        /// SASL PLAIN: AUTHENTICATE PLAIN, or AUTH PLAIN.
        Plain = "PLAIN",
        /// SASL LOGIN: AUTHENTICATE LOGIN, or AUTH LOGIN.
        Login = "LOGIN",
        /// `imap` only: the command LOGIN.
        LoginCommand = "login-command",
    }
}

described! {
    /// `[directory."NAME".auth]`.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Auth {
        /// `allow-cleartext`: send a password over a connection without TLS, also to a remote that is neither
        /// loopback nor a Unix socket. Default false.
        pub allow_cleartext: bool,
        /// `username`: the user name for the remote, made of `{user}`, `{local}` and `{domain}`. Default `{user}`.
        pub username: Template,
        /// `mechanism`: the only way in which a password is sent. A remote that does not offer it gives no answer. `vouch probe
        /// login --mechanism` tries one. Default `auto`.
        pub mechanism: LoginMethod,
        /// `confirm`: `imap` only: after OK, one cheap command must succeed too (Microsoft answers OK and
        /// then refuses the mailbox). Default false.
        pub confirm: bool,
        /// `forward-client`: pass the client's address to the remote with each question, so that the remote's
        /// own defences see the attacker instead of vouch: by IMAP ID (Dovecot accepts it from
        /// `login_trusted_networks`) or XCLIENT (Postfix from `smtpd_authorized_xclient_hosts`), where the
        /// remote offers that. Recipients of different clients are then not asked together, and a login is
        /// cached for its client address only. Default false.
        pub forward_client: bool,
    }
}

impl Default for Auth {
    fn default() -> Self {
        Self {
            allow_cleartext: false,
            username: Template::user(),
            mechanism: LoginMethod::Auto,
            confirm: false,
            forward_client: false,
        }
    }
}

described! {
    /// `[directory."NAME".pool]`.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Pool {
        /// `max-sessions`: sessions at once, including those being opened or closed, 1 to 10000; of
        /// `smtp`, for recipients and for logins each. Default for logins imap 50, smtp 40, as Postfix accepts 50
        /// connections of one client; for recipients 10. `max-connections` is another name for it.
        pub max_sessions: MaxSessions,
        /// `warm-sessions`: sessions kept open and ready for 10 minutes after the last login; at
        /// most `max-sessions`, 0 for none. Default 1.
        pub warm_sessions: u32,
        /// `queue`: questions that wait for a session, 1 to 1000000; one more gets no answer at once.
        /// Default 2000.
        pub queue: u32,
        /// `idle-timeout`: how long an unused session is kept. Default 30 s.
        pub idle_timeout: Duration,
        /// `max-age`: how old a session may become. Default imap 50 s, as servers close a session without a
        /// login after a minute; smtp and lmtp 2 m.
        pub max_age: Duration,
    }
}

/// Sessions for each kind of question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MaxSessions {
    /// For logins.
    pub logins: u32,
    /// For recipients.
    pub recipients: u32,
}

impl MaxSessions {
    /// The same number for each.
    pub const fn each(number: u32) -> Self {
        Self {
            logins: number,
            recipients: number,
        }
    }

    const fn new(kind: Kind) -> Self {
        match kind {
            Kind::Imap => Self::each(50),
            Kind::Smtp => Self {
                logins: 40,
                recipients: 10,
            },
            Kind::Lmtp => Self::each(10),
        }
    }
}

impl fmt::Display for MaxSessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { logins, recipients } = self;
        if logins == recipients {
            write!(f, "{logins}")
        } else {
            write!(f, "{logins} for logins, {recipients} for recipients")
        }
    }
}

impl Pool {
    /// The defaults for a kind of remote.
    pub fn new(kind: Kind) -> Self {
        Self {
            max_sessions: MaxSessions::new(kind),
            warm_sessions: 1,
            queue: 2000,
            idle_timeout: Duration::from_secs(30),
            max_age: Duration::from_secs(if kind == Kind::Imap { 50 } else { 120 }),
        }
    }
}

described! {
    /// `[directory."NAME".cache]`.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Cache {
        /// `entries`: recipients cached at most; 0 caches none. Default 100000.
        pub entries: u32,
        /// `ttl`: how long recipients are cached.
        pub ttl: Ttl,
        /// `file`: absolute path of a file in which recipients survive a restart. Default: memory only.
        pub file: Option<PathBuf>,
        /// `credentials`: how long logins are cached; in memory only, as keyed hashes.
        pub credentials: Credentials,
    }
}

impl Default for Cache {
    fn default() -> Self {
        Self {
            entries: 100_000,
            ttl: Ttl::default(),
            file: None,
            credentials: Credentials::default(),
        }
    }
}

described! {
    /// `ttl` of a cache.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Ttl {
        /// `positive`: that a recipient exists. Default 4 h.
        pub positive: Duration,
        /// `refresh`: when it is asked again in the background, at most `positive`. Default 30 m.
        pub refresh: Duration,
        /// `negative`: that a recipient is unknown. Default 2 m.
        pub negative: Duration,
        /// `stale`: up to which age an answer is served while the directory cannot answer, at least
        /// `positive`. Default 7 d.
        pub stale: Duration,
    }
}

impl Default for Ttl {
    fn default() -> Self {
        Self {
            positive: Duration::from_secs(4 * 3600),
            refresh: Duration::from_secs(30 * 60),
            negative: Duration::from_secs(2 * 60),
            stale: Duration::from_secs(7 * 86400),
        }
    }
}

described! {
    /// `credentials` of a cache.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Credentials {
        /// `positive`: that a login was good, counted from the probe. Default 0 s: not cached.
        pub positive: Duration,
        /// `negative`: that exactly this user and password were refused. Default 30 s.
        pub negative: Duration,
    }
}

impl Default for Credentials {
    fn default() -> Self {
        Self {
            positive: Duration::ZERO,
            negative: Duration::from_secs(30),
        }
    }
}
