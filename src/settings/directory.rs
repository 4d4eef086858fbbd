//! `[directory."NAME"]`: a remote server, and how to ask it.

use std::path::PathBuf;
use std::time::Duration;

use toml::de::DeValue;

use super::address::{Addresses, RemoteAddress};
pub use super::cache::{Cache, Credentials, Ttl};
use super::domains::Domains;
use super::host::{ehlo_name, host_name};
use super::key::keys;
use super::kind::Kind;
use super::limit::{Limit, Rate, rate_or_off};
pub use super::pool::{MaxSessions, Pool};
use super::routes::Routes;
use super::scalar::{Bound, HOUR, INSTANT, SECOND, Wrong, text};
use super::table::{Field, Findings, strings};
use super::words::words;
use crate::address::{Address, Domain};
use crate::template::Template;

keys! {
    /// A remote server, and how to ask it.
    pub struct Directory(name: &str, kind: Kind, address: Addresses) {
        of {
            /// NAME, by which listeners, the log and the metrics call it.
            name: String = name.to_owned();
        }
        /// The remote's protocol. `imap` knows logins, `lmtp` recipients, `smtp` both.
        "type" kind: Kind = kind,
            required "`\"imap\"`, `\"smtp\"` or `\"lmtp\"`", hint "imap: logins; lmtp: recipients; smtp: both";
        /// A host name, an IP address, or (`lmtp`) the absolute path of a socket; a host may have a port of its own, as in
        /// `"mail.example.org:2525"` or `"[2001:db8::1]:2525"`. Or a list of them, all with the same accounts: a session is
        /// opened at the first; if that refuses the connection, is silent, says 421 or BYE or fails in TLS, at the next. One
        /// that failed while another worked is tried last for a minute. A login's secret is sent to one server only.
        /// Or what DNS names. `"mx:example.org"` (type `smtp`, for recipients only): the servers in the MX records of the domain,
        /// at `port`, but for this machine and those whose preference is not better than its own; without MX records the
        /// domain itself. What a backup MX says is not cached. `"srv:_submission._tcp.example.org"` (or `_submissions`,
        /// `_imap`, `_imaps`, `_lmtp`): the servers and ports in its SRV records; the certificate must be that of
        /// `example.org`, or `tls.server-name`. An answer of DNS is used for its TTL, and while there is no new one.
        "address" address: Addresses = address.clone(),
            alias "host", required "a host name, an IP address, a list of them, or (lmtp) the path of a socket",
            unless "lookup.routes",
            hint "host, IP address, or (lmtp) /path/to/socket; or a list";
        /// The port at each `address` that has none of its own. A socket has none. Default imap 143, or 993 with
        /// `tls.implicit`; smtp 25, or 465; lmtp 24.
        "port" port: Option<u16> = address.port(kind, false),
            within 1..=65_535, unset "each address has its own, or is a socket", default "",
            hint "imap 143, with implicit TLS 993; smtp 25, 465; lmtp 24";
        /// Bound on connecting and on each command. The whole answer is bounded by the listener's `deadline`, which is
        /// usually shorter.
        // Bound (sessions, directory.NAME.timeout): time of connecting and of each command. Beyond: the session is
        // closed, no answer. Why: the listener's deadline is shorter, as a rule.
        "timeout" timeout: Duration = 30 * SECOND,
            within INSTANT..=HOUR, hint "for connecting, and for each command, within the listener's deadline";
        /// vouch's own name in EHLO and LHLO.
        "ehlo-name" ehlo_name: Option<String> = None,
            parse |value, _| ehlo_name(value).map(Some), unset "the host's name", example "\"mx.example.org\"",
            hint "the host's name by default";
        /// TLS.
        "tls" tls: Tls = Tls::new();
        /// Of one remote session.
        "limits" limits: Limits = Limits::new(kind);
        /// The domains that it serves.
        "lookup" lookup: Lookup = Lookup::new();
        /// How doubtful replies to RCPT are interpreted.
        "rcpt" rcpt: Rcpt = Rcpt::new();
        /// Phrases of this remote, and what they mean.
        "replies" replies: Replies = Replies::new();
        /// How a login is sent.
        "auth" auth: Auth = Auth::new();
        /// The sessions.
        "pool" pool: Pool = Pool::new(kind);
        /// Cached answers.
        "cache" cache: Cache = Cache::new();
    }
}

impl Directory {
    /// The same directory at other servers: with the port of this one, or the usual one where this has none.
    pub fn at(&self, address: Addresses) -> Self {
        let usual = address.port(self.kind, self.tls.implicit);
        Self {
            port: usual.and(self.port.or(usual)),
            address,
            ..self.clone()
        }
    }

    /// The servers that the file names: those of `address`, or those of its map. None that DNS names.
    pub fn servers(&self) -> impl Iterator<Item = &RemoteAddress> {
        let routes = &self.lookup.routes;
        let own = self.address.servers().iter().filter(|_| routes.is_none());
        let of_map = routes.iter().flat_map(|routes| routes.map.servers());
        own.chain(of_map.flat_map(|server| server.hosts.servers()))
    }

    /// Whether it can verify a login. DNS must not say who gets passwords, so those whom MX records name get none.
    pub fn knows_logins(&self) -> bool {
        self.kind.knows_logins() && !matches!(self.address, Addresses::Mx(_))
    }

    /// Whether a password may be sent to this server over a connection without TLS: never, unless `auth.allow-cleartext`
    /// is set or the server is on this machine.
    pub fn password_in_clear(&self, server: &RemoteAddress) -> bool {
        self.auth.allow_cleartext || server.is_local()
    }

    /// Where its servers are reached, in their order: `HOST:PORT`, or the path of a socket.
    pub fn endpoints(&self) -> Vec<String> {
        self.address.endpoints(self.port)
    }

    /// The same in one line; or where the map of them is.
    pub fn endpoint(&self) -> String {
        match &self.lookup.routes {
            Some(routes) => routes.to_string(),
            None => self.endpoints().join(", "),
        }
    }
}

/// Every key of a directory, by its name in full.
pub(crate) fn names() -> Vec<String> {
    Directory::new("", Kind::Smtp, Addresses::nowhere())
        .every_key()
        .names("directory.NAME")
}

keys! {
    /// TLS to the remote.
    pub struct Tls() {
        /// TLS from the first byte.
        "implicit" implicit: bool = false, alias "enable", hint "true: TLS from the first byte";
        /// Accept any certificate, from any machine that answers; warns at every start. For a private authority, use
        /// `ca-file` instead.
        "allow-invalid-certs" allow_invalid_certs: bool = false,
            hint "true: accept any certificate; better name its authority in ca-file";
        /// What happens without `implicit`. A password still needs TLS unless `auth.allow-cleartext` is set or the
        /// remote is on this machine. If the remote offers STARTTLS and it fails, the session ends, whatever the value.
        "starttls" starttls: StartTls = StartTls::IfAvailable,
            hint "if-available | required | never; without implicit only";
        /// PEM file of authorities that are trusted in addition to the system's. A self-signed certificate, as
        /// `openssl req -x509` makes it, is accepted from the server that it names.
        "ca-file" ca_file: Option<PathBuf> = None,
            unset "the system's authorities alone", example "\"/etc/ssl/own-ca.pem\"",
            hint "none by default; trusted besides the system's authorities";
        /// The name that the certificate must have.
        "server-name" server_name: Option<String> = None,
            parse |value, _| host_name(value).map(Some), unset "`address`", example "\"mail.example.org\"",
            hint "the name in the certificate; by default the address";
        /// PEM file of vouch's own certificate, with `key-file`.
        "cert-file" cert_file: Option<PathBuf> = None,
            unset "no certificate of our own", example "\"/etc/ssl/vouch.pem\"",
            hint "none by default: vouch's own certificate, if the server requires one";
        /// PEM file of its key, with `cert-file`.
        "key-file" key_file: Option<PathBuf> = None,
            unset "no certificate of our own", example "\"/etc/ssl/private/vouch.pem\"",
            hint "none by default: its key";
        /// The key exchange that TLS offers first. `hybrid` protects recorded traffic against a later quantum computer;
        /// `classic` is for a remote or firewall that stalls on the larger first message.
        "key-exchange" key_exchange: KeyExchange = KeyExchange::Hybrid,
            hint "classic: for a firewall that stalls on the larger first message";
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

keys! {
    /// Of one session with the remote, so that it sees no reason to disconnect or block vouch.
    pub struct Limits(kind: Kind) {
        /// RCPT commands sent, accepted or not; then QUIT and a new session.
        // Bound (sessions, directory.NAME.limits.rcpt): recipients asked in one session. Beyond: QUIT, and a new
        // session; less where the server says so (RFC 9422). Why: servers may treat more as an attack.
        "rcpt" rcpt: Limit = Limit::At(if kind == Kind::Lmtp { 1000 } else { 10 }),
            hint "recipients asked for; smtp 10";
        /// Refused recipients among these: many servers slow down or hang up at 10 or 20; LMTP servers count none.
        // Bound (sessions, directory.NAME.limits.rcpt-errors): refused recipients in one session. Beyond: QUIT, and a
        // new session. Why: many servers slow down or hang up at 10 or 20.
        "rcpt-errors" rcpt_errors: Limit = Limit::At(if kind == Kind::Lmtp { 100 } else { 5 }),
            hint "refused ones among these; smtp 5";
        /// Failed logins, IMAP too; then LOGOUT or QUIT.
        // Bound (sessions, directory.NAME.limits.auth-errors): failed logins in one session. Beyond: LOGOUT or QUIT,
        // and a new session. Why: many servers hang up at the next.
        "auth-errors" auth_errors: Limit = Limit::At(3), hint "failed logins";
        /// Of all sessions together: beyond so many refused recipients within any second, minute or hour (`"600/min"`;
        /// `s`, `min`, `h`; 1 to 100000), recipients without a cached answer are deferred without asking, and known ones
        /// are served, so that an address harvest through vouch does not get this host's address banned.
        "unknown-rate" unknown_rate: Option<Rate> = None,
            parse rate_or_off, none "off",
            hint "\"600/min\", for all sessions together: beyond, recipients without a cached answer are deferred, so that \
                  an address harvest does not get this host banned there";
    }
}

keys! {
    /// The domains that the remote serves.
    pub struct Lookup() {
        /// The domains that it serves, and `"file:///path"` entries, each a file with one domain per line (`#` starts a
        /// comment), read again on reload. Without any it serves every login and no recipient.
        "domains" domains: Domains = Domains::default(),
            example "[\"example.org\"]", hint "the domains that it serves; also \"file:///etc/vouch/domains\", one per line";
        /// A map of domains to servers, in place of `address`, `port` and `lookup.domains`: `"file:///path"`, a file with
        /// lines `DOMAIN HOST[:PORT] [HOST[:PORT] ...]` (`.example.org` is what is below example.org, `*` the rest, `#` starts a
        /// comment), or `"transport:///path"`, the text of a Postfix transport(5) table. Read again on reload, as a whole or
        /// not at all. Each server in use has sessions of its own, see `pool.max-servers`.
        "routes" routes: Option<Routes> = None,
            unset "no map", example "\"file:///etc/vouch/routes\"",
            hint "a map of domains to servers, in place of address and domains; also \"transport:///etc/postfix/transport\"";
        /// Addresses that must exist; while one is refused, refusals in its domain are deferred.
        "canary" canary: Vec<Address> = Vec::new(),
            hint "addresses that exist; while one is refused, refusals are deferred";
        /// `detect` asks for an address that cannot exist; in domains where the remote accepts it, vouch neither accepts
        /// nor rejects.
        "catch-all" catch_all: CatchAll = CatchAll::Off,
            hint "detect: find domains where the server accepts every address";
        /// Local parts that differ only in the case of ASCII letters are the same; other letters keep theirs. RFC 5321
        /// §2.4 leaves that to the remote.
        "fold-case" fold_case: bool = false, hint "true: Jane@ and jane@ are the same mailbox";
        /// With `"+"`, `name+detail` is looked up as `name`. At most 8 characters, none of them `@` or a space.
        "recipient-delimiter" recipient_delimiter: String = String::new(),
            parse delimiter, hint "\"+\": jane+list@ is looked up as jane@";
    }
}

fn delimiter(value: &DeValue<'_>, _: &Bound) -> Result<String, Wrong> {
    let text = text(value)?;
    if text.chars().count() > 8 || text.contains(['@', ' ']) {
        return Err(Wrong::new(
            "is not a delimiter", "at most 8 characters, none of them `@` or a space",
        ));
    }
    Ok(text)
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

keys! {
    /// The question about a recipient, and how doubtful replies are interpreted.
    pub struct Rcpt() {
        /// The sender of the probe; empty is the null sender `<>`.
        "mail-from" mail_from: String = String::new(),
            parse mail_from, hint "the sender of a probe; empty is <>, which every server must accept";
        /// How "cannot verify, will try" is interpreted (RFC 5321 §3.5.3).
        "code-252" code_252: Code252 = Code252::Exists,
            hint "exists | defer: for \"cannot verify, but will accept\"";
        /// How a refusal for policy reasons is interpreted.
        "policy" policy: Policy = Policy::Defer,
            hint "defer | unknown: for a refusal for policy reasons; defer: no answer";
        /// 550 5.4.1 means unknown, as with Exchange Online.
        "microsoft" microsoft: bool = false, hint "true: 550 5.4.1 means unknown (Exchange Online)";
    }
}

fn mail_from(value: &DeValue<'_>, _: &Bound) -> Result<String, Wrong> {
    let text = text(value)?;
    let valid = |text: &str| {
        text.rsplit_once('@').is_some_and(|(local, domain)| {
            !local.is_empty() && Domain::parse(domain).is_ok() && !text.contains(['<', '>', ' '])
        })
    };
    if text.is_empty() || valid(&text) {
        return Ok(text);
    }
    Err(
        Wrong::new("is not an address", "must be as in `\"probe@example.org\"`")
            .help("write `\"\"` for the null sender `<>`"),
    )
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

keys! {
    /// Phrases of this remote, matched before those that vouch knows. A phrase is words, whatever their case and the
    /// signs between them; `*` stands for any words. Each list takes at most 100, of at most 200 bytes. `vouch probe
    /// reply -d NAME TEXT` shows how a reply is interpreted.
    pub struct Replies() {
        /// There is no such recipient, or no such user.
        "unknown" unknown: Vec<String> = Vec::new(),
            read phrases, hint "as in [\"recipient * fail\"]: no such recipient, or no such user";
        /// The recipient exists, and its mailbox is full.
        "full" full: Vec<String> = Vec::new(), read phrases, hint "its mailbox is full";
        /// No answer about this recipient or user. Counts before the others.
        "later" later: Vec<String> = Vec::new(), read phrases, hint "no answer about it";
        /// The password or token is wrong; for logins only.
        "wrong" wrong: Vec<String> = Vec::new(), read phrases, hint "the password is wrong";
    }
}

/// Bound (process): phrases in one list of directory.NAME.replies. Beyond: they are refused at the start. Why: a
/// server with more languages has a name for each.
pub(crate) const MAX_PHRASES: usize = 100;

/// Bound (process, bytes): phrase in a list of directory.NAME.replies. Beyond: it is refused at the start. Why: as
/// much as a log line shows of a reply.
pub(crate) const MAX_PHRASE: usize = 200;

fn phrases(phrases: &mut Vec<String>, found: &mut Findings, field: &Field<'_>) {
    let given = strings(found, field, "`[\"recipient * fail\"]`", true);
    if given.len() > MAX_PHRASES {
        let wrong = Wrong::new("has too many phrases", format!("at most {MAX_PHRASES}"));
        field.wrong(found, wrong);
    }
    for (phrase, place) in given {
        if phrase.len() > MAX_PHRASE || !phrase.contains(char::is_alphanumeric) {
            let label = format!("a phrase has a word, and at most {MAX_PHRASE} bytes");
            found.problem(field.problem(place, Wrong::new("has a phrase that is none", label)));
        } else {
            phrases.push(phrase);
        }
    }
}

keys! {
    /// How a login is sent.
    pub struct Auth() {
        /// Send a password over a connection without TLS, also to a remote that is neither loopback nor a Unix socket.
        "allow-cleartext" allow_cleartext: bool = false,
            hint "true: passwords may be sent without TLS, readable on the network path";
        /// The user name for the remote, made of `{user}`, `{local}` and `{domain}`.
        "username" username: Template = Template::user(),
            hint "the user name for the server: also \"{local}\", \"{local}@{domain}\"";
        /// The only way in which a password is sent. A remote that does not offer it gives no answer. `vouch probe login
        /// --mechanism` tries one.
        "mechanism" mechanism: LoginMethod = LoginMethod::Auto,
            hint "PLAIN, LOGIN, or of imap login-command: the only way to send a password";
        /// Of `imap` only: after OK, one cheap command must succeed too (Microsoft answers OK and then refuses the
        /// mailbox).
        "confirm" confirm: bool = false, hint "imap: true: after OK, one more command must succeed (Microsoft)";
        /// Pass the client's address to the remote with each question, so that the remote's own defences see the attacker
        /// instead of vouch: by IMAP ID (Dovecot accepts it from `login_trusted_networks`) or XCLIENT (Postfix from
        /// `smtpd_authorized_xclient_hosts`), where the remote offers that. Recipients of different clients are then not
        /// asked together, and a login is cached for its client address only.
        "forward-client" forward_client: bool = false,
            hint "true: pass the client's address to the server (IMAP ID, XCLIENT)";
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
