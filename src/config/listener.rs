//! `[listener."NAME"]`: a socket on which we are asked, and what is said there.

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
        /// `protocol`: what is spoken on the socket. Required.
        pub protocol: Protocol,
        /// `socket`: the absolute path of a Unix socket, `"systemd:NAME"` for one that systemd hands over (by the
        /// `FileDescriptorName=` of its socket unit, which then decides on mode, owner and group), or
        /// `"127.0.0.1:10040"`; other addresses than loopback for `policy` only. Required, and every listener
        /// its own.
        pub socket: ListenAddress,
        /// `mode`: permissions of a Unix socket, octal text. Default `0660`.
        pub mode: u32,
        /// `owner`: user that owns a Unix socket. Default: whoever the daemon is.
        pub owner: Option<String>,
        /// `group`: its group. Default: that of the directory it lies in.
        pub group: Option<String>,
        /// `peers`: who may connect to a Unix socket, beyond what its mode allows: users by name or number, and
        /// groups by `@` before theirs. A process is of a group if it runs as it, or if its user is a member. Others
        /// are closed. Default: whoever its mode lets in. Not for addresses, where nobody is known.
        pub peers: Option<Vec<Peer>>,
        /// `directory`: names of the directories that are asked, by domain, in this order. Required; at least
        /// one must be able to answer what this protocol asks.
        pub directory: Vec<String>,
        /// `deadline`: bound on an answer, 1 ms to 1 hour, shorter than the client's patience (Postfix policy: 100 s).
        /// Default 20 s for `policy`, `saslauthd` and `socketmap`; else 8 s for service=smtp, and for
        /// others 25 s for `auth` and `login`, 60 s for `userdb` and `master`. 4 s suits chasquid and Radicale.
        pub deadline: Option<Duration>,
        /// `max-connections`: clients connected at once, 1 to 1000000. Default 10000.
        pub max_connections: u32,
        /// `[….limits]`: of one client's session. `policy`, `auth`, `login`, `saslauthd` and `socketmap` only.
        pub limits: ClientLimits,
        /// `penalty`: how those are answered who fail again and again, or `"off"`, like all others. Default `{ after = 10,
        /// delay = "1s", max-delay = "4s", forget = "10m", refuse-after = "never", exempt = ["127.0.0.0/8", "::1/128"] }`, but
        /// off at `policy`, as each answer that is late there keeps a process of Postfix waiting. `policy`, `auth` and
        /// `login` only.
        pub penalty: Option<Penalty>,
        /// `allow` and `deny`: who may ask, and about whom; networks of clients (the SMTP or IMAP client's, not that of who
        /// connects), and domains of users or recipients, in one list. Where `allow` has networks, clients elsewhere or of
        /// unknown address are not answered, and where it has domains, nothing is about others; what is in `deny` never is.
        /// Not answered is "later" at `auth` and `login`, as the password may be good, and no opinion (`DUNNO`) at
        /// `policy`; nobody is asked. Default none: everybody is answered, about everything. `policy`, `auth` and `login` only.
        pub access: Access,
        /// `[….action]`: what Postfix is told; at `socketmap`, what the map `access` has. `policy` and `socketmap` only.
        pub action: Action,
        /// `default-domain`: added to a login without one. Default none: with a single directory the login goes
        /// there as it is. `auth`, `login`, `userdb`, `master` and `saslauthd` only.
        pub default_domain: Option<Domain>,
        /// `mechanisms`: SASL mechanisms offered, in this order. Default `PLAIN` and `LOGIN`, which are offered
        /// at once and always. Others are offered once a directory's remote is known to take them, which is asked
        /// in the background; they are for the remote to judge. `XOAUTH2` and `OAUTHBEARER` bring a token.
        /// `CRAM-MD5`, `DIGEST-MD5`, `SCRAM-SHA-1` and `SCRAM-SHA-256` are relayed, so that a password is proved
        /// that is never seen here: only with a single directory, as the user is not known when the challenge is
        /// asked for, with its `auth.username = "{user}"`, and with `pool.max-sessions` of 3 at least, as each
        /// dialog holds a session; `default-domain` is not added to a name in them. There is no `-PLUS`: what is
        /// bound to the client's TLS channel cannot be handed to another server. `auth` and `login` only.
        pub mechanisms: Vec<Mechanism>,
        /// `tempfail`: how "no answer" is told to the client. Default `auto`, at `saslauthd` `close`. `auth`, `login` and
        /// `saslauthd` only.
        pub tempfail: TempFail,
        /// `join-realm`: whether a user is login and realm with an `@` between them, as with `saslauthd -r`: Cyrus SASL cuts
        /// names there. Else the login alone. The realm of a name without an `@` is what the asking service is configured
        /// to have; where it is empty, there is nothing to join. Default `true`. `saslauthd` only.
        pub join_realm: bool,
        /// `[….ok]`: fields added to OK. `auth` and `login` only.
        pub ok: OkFields,
        /// `exists`: whether a user is looked for, or only its domain. Default `probe`. `userdb` and `master` only.
        pub exists: Exists,
        /// `fields`: the user's fields, by template. Default none. A mail process that asks for a login is told those
        /// of `login` before those of `master`. `userdb`, `master` and `login` only.
        pub fields: Fields,
    }
}

/// Names, each with its template. Every name is legal; Dovecot takes those of a user that it does not know for
/// settings.
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

    /// Whether a directory of that kind can answer what is asked here. With `exists = "domain"` any can: it
    /// is not asked itself.
    pub fn can_ask(&self, kind: Kind) -> bool {
        self.protocol.is_answered_by(kind) || (!self.protocol.asks_logins() && self.exists == Exists::Domain)
    }

    /// The time that an answer may take.
    pub fn deadline_for(&self, service: Option<&[u8]>) -> Duration {
        self.deadline
            .unwrap_or_else(|| self.protocol.deadline_for(service))
    }
}

/// Who may connect, by name or number.
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
    /// `[listener."NAME".limits]`: of one client's message or session; beyond, no probe is sent and the answer is "later".
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct ClientLimits {
        /// `rcpt`: recipients of one message, each once. Default 1000. At `socketmap`, where nobody says on whose
        /// behalf a key is looked up, this and the next count by connection, of which Postfix makes a new one after 100 s;
        /// default there unlimited, as a connection serves many SMTP clients.
        pub rcpt: Limit,
        /// `rcpt-errors`: unknown recipients of one SMTP session; they count anew when a message of it had an accepted
        /// recipient and the next begins, as Postfix's own count of errors does. Default 20, at which Postfix hangs up too
        /// (`smtpd_hard_error_limit`).
        pub rcpt_errors: Limit,
        /// `auth-errors`: refused logins of one session within ten minutes, equal ones once: by `session=` where the client
        /// names one, as Dovecot does, else by connection and remote address, until a login from that address is accepted.
        /// No limit where no address is named, nor for those of `penalty.exempt` (by default, and without a `penalty`:
        /// loopback) or those that say `no-penalty`. Default 20. At `saslauthd`, where a question is a connection, by
        /// process and remote address; default there unlimited.
        pub auth_errors: Limit,
    }
}

impl ClientLimits {
    /// The default where end users can be told apart.
    pub const USUAL: Self = Self {
        rcpt: Limit::At(1000),
        rcpt_errors: Limit::At(20),
        auth_errors: Limit::At(20),
    };
}

described! {
    /// `[listener."NAME".ok]`: fields added to OK, so that Dovecot's login processes do more with a login than begin a
    /// session. Default none.
    #[derive(Debug, Clone, PartialEq, Eq, Default)]
    pub struct OkFields {
        /// Any name, by template. `proxy = "y"` hands the user on to `host`, an IP address, and wants `pass`; `nologin =
        /// "y"` lets nobody in, with `reason`. Names that vouch says itself, such as `user`, are refused.
        pub fields: Fields,
        /// `pass = "{password}"`: the password that the remote accepted, for the proxy.
        pub pass: bool,
        /// `allow_nets`: a list of networks, parted by commas. A login from elsewhere, or from nobody knows where, is
        /// refused without asking anybody. It is not told to clients.
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
        /// `reject`: the recipient is unknown. Default `550 5.1.1 User unknown`. `{reply}` stands for the
        /// remote's own words.
        pub reject: policy::Action,
        /// `disabled`: the mailbox is disabled. Default `550 5.2.1 Mailbox disabled`.
        pub disabled: policy::Action,
        /// `defer`: there was no answer. Default `DEFER_IF_PERMIT 4.4.3 Recipient lookup failed, try again
        /// later`. Never 5xx or `REJECT…`: no answer is never a no.
        pub defer: policy::Action,
        /// `limit`: the client asked too much. Default `450 4.7.1 Too many recipients in one session, try again
        /// later`. Never 5xx or `REJECT…`.
        pub limit: policy::Action,
        /// `vrfy`: answer VRFY too. Default false: `DUNNO`. `policy` only, as the next one.
        pub vrfy: bool,
        /// `dry-run`: answer `DUNNO` always, and log the action that would have been taken. Default false.
        pub dry_run: bool,
    }
}

impl Default for Action {
    fn default() -> Self {
        Self {
            accept: fixed("DUNNO"),
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
    /// Whether it is for the remote to judge.
    pub fn is_carried(self) -> bool {
        !matches!(self, Self::Plain | Self::Login)
    }

    /// Whether it is a dialog between the client and the remote.
    pub fn is_relayed(self) -> bool {
        self.is_carried() && !matches!(self, Self::XOauth2 | Self::OAuthBearer)
    }
}

words! {
    /// How "no answer" is told to a client that asked about a login.
    TempFail {
        /// `close` when the request says `service=smtp` and nothing else is in flight, else `fail`.
        Auto = "auto",
        /// Hang up: Postfix, Exim and chasquid know no other way.
        Close = "close",
        /// `FAIL … temp code=temp_fail`: for Dovecot and Prosody.
        Fail = "fail",
        /// `NO`, as saslauthd says of a wrong password as well: for clients that cannot bear to be hung up on.
        No = "no",
    }
}

impl TempFail {
    /// What is done, for `vouch check`.
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
    /// When a user is said to exist.
    Exists {
        /// When the directory says so.
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
