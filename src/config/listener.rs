//! `[listener."NAME"]`: a socket on which clients ask, and its answers.

use std::{collections::BTreeMap, fmt, time::Duration};

use vouch_protocol::policy;

pub use super::protocol::Protocol;
use super::{Limit, ListenAddress, Penalty, Template, described, directory::Kind, words};
use crate::address::{Domain, access::Access, network::Network};

described! {
    /// `[listener."NAME"]`.
    #[derive(Debug, Clone, PartialEq)]
    pub struct Listener {
        /// NAME, by which the log and the metrics call it.
        pub name: String,
        /// `protocol`: the protocol of the socket. Required.
        pub protocol: Protocol,
        /// `socket`: the absolute path of a Unix socket, `"systemd:NAME"` for one that systemd hands over (by the
        /// `FileDescriptorName=` of its socket unit, which then sets mode, owner and group), or
        /// `"127.0.0.1:10040"`; other addresses than loopback for `policy` only. Required; each listener
        /// needs its own.
        pub socket: ListenAddress,
        /// `mode`: permissions of a Unix socket, octal text. Default `0660`.
        pub mode: u32,
        /// `owner`: user that owns a Unix socket. Default: the daemon's user.
        pub owner: Option<String>,
        /// `group`: its group. Default: that of the folder it is in.
        pub group: Option<String>,
        /// `peers`: the only users and groups that may connect to a Unix socket, among those that its mode admits:
        /// users by name or number, groups with a leading `@`. A process belongs to a group that it runs as, or that
        /// its user is a member of. Other connections are closed. Default: all that the mode admits. Not for TCP
        /// addresses, where the user is unknown.
        pub peers: Option<Vec<Peer>>,
        /// `directory`: names of the directories that are asked, by domain, in this order. Required; at least
        /// one must be able to answer what this protocol asks.
        pub directory: Vec<String>,
        /// `any`: which directories are asked about a recipient or user whose domain several of them serve. Default
        /// `first`. `policy`, `userdb`, `master` and `socketmap` only.
        pub any: Any,
        /// `deadline`: bound on an answer, 1 ms to 1 hour, shorter than the client waits (Postfix policy: 100 s).
        /// Default 20 s for `policy`, `saslauthd` and `socketmap`; else 8 s for service=smtp, and for
        /// others 25 s for `auth` and `login`, 60 s for `userdb` and `master`. 4 s suits chasquid and Radicale.
        pub deadline: Option<Duration>,
        /// `max-connections`: clients connected at once, 1 to 1000000. Default 10000.
        pub max_connections: u32,
        /// `[….limits]`: of one client's session. `policy`, `auth`, `login`, `saslauthd` and `socketmap` only.
        pub limits: ClientLimits,
        /// `penalty`: delays for clients and users with repeated failures, or `"off"` for none. Default `{ after = 10,
        /// delay = "1s", max-delay = "4s", forget = "10m", refuse-after = "never", exempt = ["127.0.0.0/8", "::1/128"] }`, but
        /// off at `policy`, as each delayed answer there keeps a process of Postfix waiting. `policy`, `auth` and
        /// `login` only.
        pub penalty: Option<Penalty>,
        /// `allow` and `deny`: which clients may ask, and about which domains: networks of clients (of the SMTP or IMAP
        /// client, not of the process that connects) and domains of users or recipients, in one list. If `allow` has
        /// networks, clients in other networks or without a known address are not served; if it has domains, requests about
        /// other domains are not. Whatever is in `deny` is never served. Such requests are not forwarded; the answer is
        /// "later" at `auth` and `login`, as the password may be good, and `DUNNO` at `policy`. Default none: all requests
        /// are served. `policy`, `auth` and `login` only.
        pub access: Access,
        /// `[….action]`: the answers to Postfix; at `socketmap`, those of the map `access`. `policy` and `socketmap` only.
        pub action: Action,
        /// `default-domain`: added to a login without a domain. Default none: with a single directory the login
        /// is sent there as it is. `auth`, `login`, `userdb`, `master` and `saslauthd` only.
        pub default_domain: Option<Domain>,
        /// `mechanisms`: SASL mechanisms offered, in this order. Default `PLAIN` and `LOGIN`, which are always
        /// offered. Others are offered once a directory's remote is known to accept them, which vouch asks in the
        /// background; the remote verifies them. `XOAUTH2` and `OAUTHBEARER` bring a token.
        /// `CRAM-MD5`, `DIGEST-MD5`, `SCRAM-SHA-1` and `SCRAM-SHA-256` are relayed, so that vouch never sees the
        /// password: only with a single directory, as the user is not yet known when the client asks for the
        /// challenge, with its `auth.username = "{user}"`, and with a `pool.max-sessions` of at least 3, as each
        /// dialog holds a session; `default-domain` is not added to a name in them. There is no `-PLUS`: a proof
        /// that is bound to the client's TLS channel cannot be relayed. `auth` and `login` only.
        pub mechanisms: Vec<Mechanism>,
        /// `tempfail`: how "no answer" is expressed to the client. Default `auto`, at `saslauthd` `close`. `auth`, `login` and
        /// `saslauthd` only.
        pub tempfail: TempFail,
        /// `join-realm`: whether the user name is login and realm joined by `@`, as with `saslauthd -r`, since Cyrus SASL
        /// splits names there; else it is the login only. The realm of a name without an `@` is what the asking service is
        /// configured to have; an empty realm is not joined. Default `true`. `saslauthd` only.
        pub join_realm: bool,
        /// `[….ok]`: fields added to OK. `auth` and `login` only.
        pub ok: OkFields,
        /// `exists`: whether the user is looked up, or only the domain. Default `probe`. `userdb` and `master` only.
        pub exists: Exists,
        /// `fields`: the user's fields, by template, in which a domain is an A-label. Default none. A mail process that
        /// fetches a login receives those of `login` before those of `master`. `userdb`, `master` and `login` only.
        pub fields: Fields,
    }
}

words! {
    /// `any` of a listener.
    Any {
        /// The first directory that serves the domain.
        First = "first",
        /// All that serve it, at once. One that knows the recipient is enough; it is unknown if all of them refuse it,
        /// and the answer is "later" if one gives none. If the domain is a catch-all at one of them, vouch does not
        /// reject an unknown recipient.
        All = "all",
    }
}

/// Names, each with its template. Every name is allowed; Dovecot reads unknown ones as settings of the user.
pub type Fields = BTreeMap<String, Template>;

impl Listener {
    /// A listener in which every key but the required ones has its default.
    pub fn new(name: &str, protocol: Protocol, socket: ListenAddress, directory: Vec<String>) -> Self {
        let row = protocol.row();
        Self {
            name: name.to_owned(),
            protocol,
            socket,
            mode: 0o660,
            owner: None,
            group: None,
            peers: None,
            directory,
            any: Any::First,
            deadline: None,
            max_connections: 10_000,
            limits: row.limits,
            penalty: row.penalised.then(Penalty::default),
            access: Access::default(),
            action: Action::default(),
            default_domain: None,
            mechanisms: vec![Mechanism::Plain, Mechanism::Login],
            tempfail: row.tempfail.first().map_or(TempFail::Auto, |(_, word)| *word),
            join_realm: true,
            ok: OkFields::default(),
            exists: Exists::Probe,
            fields: BTreeMap::new(),
        }
    }

    /// Whether a directory of that kind can answer this listener's questions. With `exists = "domain"` any
    /// can, as it is not asked.
    pub fn can_ask(&self, kind: Kind) -> bool {
        self.protocol.is_answered_by(kind) || (!self.protocol.asks_logins() && self.exists == Exists::Domain)
    }

    /// The time that an answer may take.
    pub fn deadline_for(&self, service: Option<&[u8]>) -> Duration {
        self.deadline
            .unwrap_or_else(|| self.protocol.deadline_for(service))
    }
}

/// A user or group that may connect, by name or number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Peer {
    /// A user: `"postfix"`, `107`.
    User(String),
    /// A group: `"@mail"`, `"@8"`.
    Group(String),
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(name) => f.write_str(name),
            Self::Group(name) => write!(f, "@{name}"),
        }
    }
}

described! {
    /// `[listener."NAME".limits]`: of one client's message or session; beyond, the answer is "later", without asking the
    /// remote.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct ClientLimits {
        /// `rcpt`: recipients of one message, each once. Default 1000. At `socketmap`, where requests do not name the SMTP
        /// client, this and the next count by connection, which Postfix renews after 100 s; default there unlimited, as a
        /// connection serves many SMTP clients.
        pub rcpt: Limit,
        /// `rcpt-errors`: unknown recipients of one SMTP session; the count restarts with the next message after one that
        /// had an accepted recipient, as Postfix's own count of errors does. Default 20, at which Postfix disconnects too
        /// (`smtpd_hard_error_limit`).
        pub rcpt_errors: Limit,
        /// `auth-errors`: refused logins of one session within ten minutes, equal ones once: by `session=` if the client
        /// sends one, as Dovecot does, else by connection and client address, until a login from that address is accepted.
        /// No limit for requests without a client address, for addresses in `penalty.exempt` (by default, and without a
        /// `penalty`: loopback) or for requests with `no-penalty`. Default 20. At `saslauthd`, where each question has its
        /// own connection, by process and client address; default there unlimited.
        pub auth_errors: Limit,
    }
}

impl ClientLimits {
    /// The default where end users can be distinguished.
    pub const USUAL: Self = Self {
        rcpt: Limit::At(1000),
        rcpt_errors: Limit::At(20),
        auth_errors: Limit::At(20),
    };
}

described! {
    /// `[listener."NAME".ok]`: fields added to OK, which tell Dovecot's login processes to do more with a login than
    /// start a session. Default none.
    #[derive(Debug, Clone, PartialEq, Eq, Default)]
    pub struct OkFields {
        /// Any name, by template. `proxy = "y"` forwards the user to `host`, an IP address, and needs `pass`; `nologin =
        /// "y"` refuses every session, with `reason`. Names that vouch sends itself, such as `user`, are refused.
        pub fields: Fields,
        /// `pass = "{password}"`: the password that the remote accepted, for the proxy.
        pub pass: bool,
        /// `allow_nets`: a list of networks, separated by commas. A login from another or an unknown address is
        /// refused without asking the remote. vouch applies it and does not send it to clients.
        pub allow_nets: Option<Vec<Network>>,
    }
}

impl OkFields {
    /// All of them as they are written in the file, by name.
    pub fn to_text(&self) -> BTreeMap<&str, String> {
        let mut text: BTreeMap<&str, String> = self
            .fields
            .iter()
            .map(|(name, template)| (name.as_str(), template.to_string()))
            .collect();
        if self.pass {
            text.insert("pass", "{password}".to_owned());
        }
        if let Some(networks) = &self.allow_nets {
            let networks: Vec<_> = networks.iter().map(ToString::to_string).collect();
            text.insert("allow_nets", networks.join(","));
        }
        text
    }
}

described! {
    /// `[listener."NAME".action]`: access(5) actions, each a word or a reply code with text, on one line.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Action {
        /// `accept`: the recipient exists. Default `DUNNO`. Never `OK` or `permit…`: before
        /// `reject_unauth_destination` they make an open relay.
        pub accept: policy::Action,
        /// `full`: the mailbox is full. Default: as `accept`, since mail for it is retried by the next server. A 4xx code
        /// defers such mail at the edge: `452 4.2.2 Mailbox full`. Never `OK` or `permit…`.
        pub full: Option<policy::Action>,
        /// `reject`: the recipient is unknown. Default `550 5.1.1 User unknown`. `{reply}` stands for the
        /// remote's own text.
        pub reject: policy::Action,
        /// `disabled`: the mailbox is disabled. Default `550 5.2.1 Mailbox disabled`.
        pub disabled: policy::Action,
        /// `defer`: there was no answer. Default `DEFER_IF_PERMIT 4.4.3 Recipient lookup failed, try again
        /// later`. Never 5xx or `REJECT…`: "no answer" is never a "no".
        pub defer: policy::Action,
        /// `limit`: the client asked too much. Default `450 4.7.1 Too many recipients in one session, try again
        /// later`. Never 5xx or `REJECT…`.
        pub limit: policy::Action,
        /// `vrfy`: also answer VRFY. Default false: `DUNNO`. `policy` only, as the next one.
        pub vrfy: bool,
        /// `dry-run`: always answer `DUNNO`, and log the action that would have been taken. Default false.
        pub dry_run: bool,
    }
}

impl Default for Action {
    fn default() -> Self {
        Self {
            accept: fixed("DUNNO"),
            full: None,
            reject: fixed("550 5.1.1 User unknown"),
            disabled: fixed("550 5.2.1 Mailbox disabled"),
            defer: fixed("DEFER_IF_PERMIT 4.4.3 Recipient lookup failed, try again later"),
            limit: fixed("450 4.7.1 Too many recipients in one session, try again later"),
            vrfy: false,
            dry_run: false,
        }
    }
}

/// A default, which the tests below hold to be an action. The other arm leaves the decision to Postfix.
fn fixed(text: &str) -> policy::Action {
    policy::Action::new(text).unwrap_or_else(|_| policy::Action::dunno())
}

words! {
    /// A SASL mechanism.
    Mechanism {
        /// RFC 4616.
        Plain = "PLAIN",
        /// draft-murchison-sasl-login.
        Login = "LOGIN",
        /// Google's form of RFC 7628.
        XOauth2 = "XOAUTH2",
        /// RFC 7628.
        OAuthBearer = "OAUTHBEARER",
        /// RFC 2195.
        CramMd5 = "CRAM-MD5",
        /// RFC 2831.
        DigestMd5 = "DIGEST-MD5",
        /// RFC 5802.
        ScramSha1 = "SCRAM-SHA-1",
        /// RFC 7677.
        ScramSha256 = "SCRAM-SHA-256",
    }
}

impl Mechanism {
    /// Whether the remote verifies it.
    pub fn is_relayed(self) -> bool {
        !matches!(self, Self::Plain | Self::Login)
    }

    /// Whether it is a dialog between the client and the remote.
    pub fn is_challenge_response(self) -> bool {
        self.is_relayed() && !matches!(self, Self::XOauth2 | Self::OAuthBearer)
    }
}

words! {
    /// How "no answer" is expressed to a client that asked about a login.
    TempFail {
        /// `close` when the request says `service=smtp` and nothing else is in flight, else `fail`.
        Auto = "auto",
        /// Close the connection: the only way for Postfix, Exim and chasquid.
        Close = "close",
        /// `FAIL … temp code=temp_fail`: for Dovecot and Prosody.
        Fail = "fail",
        /// `NO`, as for a wrong password: for clients that cannot handle a closed connection.
        No = "no",
    }
}

impl TempFail {
    /// The behaviour, for `vouch check`.
    pub fn says(self) -> &'static str {
        match self {
            Self::Auto => {
                "hangs up when service=smtp asked alone (Postfix then answers 454), else FAIL with temp_fail"
            }
            Self::Close => "hangs up (Postfix then answers 454)",
            Self::Fail => "FAIL with temp_fail (Postfix takes it for a wrong password)",
            Self::No => "NO, as for a wrong password",
        }
    }
}

words! {
    /// When a user exists.
    Exists {
        /// When the directory confirms it.
        Probe = "probe",
        /// When its domain is one of the directory's.
        Domain = "domain",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_actions_are_those_of_the_manual() {
        let action = Action::default();
        for (action, text) in [
            (action.accept, "DUNNO"),
            (action.reject, "550 5.1.1 User unknown"),
            (action.disabled, "550 5.2.1 Mailbox disabled"),
            (
                action.defer,
                "DEFER_IF_PERMIT 4.4.3 Recipient lookup failed, try again later",
            ),
            (
                action.limit,
                "450 4.7.1 Too many recipients in one session, try again later",
            ),
        ] {
            assert_eq!(action.as_str(), text);
        }
    }

    #[test]
    fn the_deadline_is_shorter_than_the_clients_patience() {
        let socket = ListenAddress::Systemd("a".to_owned());
        let mut listener = Listener::new("a", Protocol::Auth, socket, Vec::new());
        let seconds = |listener: &Listener, service| listener.deadline_for(service).as_secs();
        assert_eq!(seconds(&listener, Some(b"smtp")), 8);
        assert_eq!(seconds(&listener, Some(b"imap")), 25);
        assert_eq!(seconds(&listener, None), 25);
        listener.protocol = Protocol::Policy;
        assert_eq!(seconds(&listener, None), 20);
        listener.deadline = Some(Duration::from_secs(4));
        assert_eq!(seconds(&listener, Some(b"smtp")), 4);
    }
}
