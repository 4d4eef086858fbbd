//! `[listener."NAME"]`: a socket on which clients ask, and its answers.

use std::time::Duration;

use toml::de::DeValue;

use super::action::Action;
use super::client_limits::ClientLimits;
use super::fields::{Fields, OkFields};
use super::key::{Entry, Item, Keyed, Shown, Value, array, keys};
use super::kind::Kind;
use super::mechanism::Mechanism;
use super::penalty::Penalty;
use super::protocol::Protocol::{self, Auth, Login, Master, Policy, Saslauthd, Socketmap, Userdb};
use super::scalar::{self, Bound, HOUR, INSTANT, Scalar, Wrong, duration_text, quoted};
use super::socket::{ListenAddress, Mode, Peer};
use super::table::{Field, Findings, strings};
use super::words::{self, words};
use crate::address::Domain;
use crate::address::access::{Access, List};
use crate::template::Template;

keys! {
    /// A socket on which clients ask, and its answers.
    pub struct Listener(name: &str, protocol: Protocol, socket: ListenAddress, directory: Vec<String>) {
        of {
            /// NAME, by which the log and the metrics call it.
            name: String = name.to_owned();
        }
        /// The protocol of the socket.
        "protocol" protocol: Protocol = protocol,
            required "what is spoken there: `\"policy\"` or `\"auth\"`",
            hint "policy | auth | login | userdb | master | saslauthd | socketmap";
        /// The absolute path of a Unix socket, `"systemd:NAME"` for one that systemd hands over (by the
        /// `FileDescriptorName=` of its socket unit, which then sets mode, owner and group), or
        /// `"127.0.0.1:10040"`; other addresses than loopback for `policy` only. Each listener needs its own.
        "socket" socket: ListenAddress = socket,
            required "the path of a socket, as in `\"/run/vouch/policy\"`",
            hint "or \"systemd:policy\" (vouch@policy.socket), or \"127.0.0.1:10040\"";
        /// Permissions of a Unix socket, octal text.
        "mode" mode: Mode = Mode(0o660);
        /// User that owns a Unix socket.
        "owner" owner: Option<String> = None,
            unset "the daemon's user", example "\"vouch\"", hint "by default the user that vouch runs as";
        /// Its group.
        "group" group: Option<String> = None,
            unset "that of the socket's directory", example "\"postfix\"",
            hint "by default the group of the socket's folder";
        /// The only users and groups that may connect to a Unix socket, among those that its mode admits: users by name or
        /// number, groups with a leading `@`. A process belongs to a group that it runs as, or that its user is a member
        /// of. Other connections are closed. Not for TCP addresses, where the user is unknown.
        "peers" peers: Option<Vec<Peer>> = None,
            unset "all that the mode admits", example "[\"postfix\", \"root\", \"@mail\"]",
            hint "of these, the only ones that may connect: users, @groups, numbers; by default all";
        /// Names of the directories that are asked, by domain, in this order. At least one must be able to answer what
        /// this protocol asks.
        "directory" directory: Vec<String> = directory,
            required "the directories to ask, as in `[\"mailbox\"]`",
            hint "by domain, the first that serves it; for other domains the answer is DUNNO";
        /// Which directories are asked about a recipient or user whose domain several of them serve.
        "any" any: Any = Any::First,
            at &[Policy, Userdb, Master, Socketmap], hint "first | all: of several directories that serve a domain";
        /// Which directories are asked about a login whose domain several of them serve. With `"in-order"` each of them may
        /// receive the password, and whoever is `jane` at any of them is `jane`; not with the mechanisms whose password vouch
        /// does not see, nor with tokens, which are meant for one server.
        "any-login" any_login: AnyLogin = AnyLogin::First,
            at &[Auth, Login, Saslauthd], dovecot true,
            hint "first | in-order: of several that serve a domain; passwords go to each";
        /// Bound on an answer, shorter than the client waits (Postfix policy: 100 s). 4 s suits chasquid and Radicale.
        // Bound (clients, listener.NAME.deadline of saslauthd): time from a question at a saslauthd listener to its
        // answer. Beyond: no answer (see tempfail). Why: clients have no timeout of their own: how long a person
        // waits.
        //
        // Bound (questions, listener.NAME.deadline of policy): time from a recipient's question to its answer.
        // Beyond: no answer (action.defer). Why: shorter than Postfix waits (100 s), long enough for a slow server.
        //
        // Bound (questions, listener.NAME.deadline of auth): time from a login's question to its answer. Beyond: no
        // answer (see tempfail). Why: Postfix gives up after 10 s, Dovecot after 150 s.
        "deadline" deadline: Deadline = Deadline::new(protocol),
            within INSTANT..=HOUR, dovecot true,
            hint "the latest answer, whatever happens; Postfix must wait longer";
        /// Clients connected at once.
        // Bound (clients, listener.NAME.max-connections): clients of one listener. Beyond: one more is closed at
        // once; the log counts them. Why: each costs a file descriptor and a few kilobytes. With vouch
        // dovecot-service it is client_limit of Dovecot's service.
        "max-connections" max_connections: u32 = 10_000, within 1..=1_000_000;
        /// Added to a login without a domain. Without it, where there is a single directory, the login is sent there as it
        /// is.
        "default-domain" default_domain: Option<Domain> = None,
            parse domain_or_none, none "", at &[Auth, Login, Userdb, Master, Saslauthd], dovecot true,
            hint "\"example.org\": a login without a domain is one of these";
        /// SASL mechanisms offered, in this order. `PLAIN` and `LOGIN` are always offered. Others are offered once a
        /// directory's remote is known to accept them, which vouch asks in the background; the remote verifies them.
        /// `XOAUTH2` and `OAUTHBEARER` bring a token. `CRAM-MD5`, `DIGEST-MD5`, `SCRAM-SHA-1` and `SCRAM-SHA-256` are
        /// relayed, so that vouch never sees the password: only with a single directory, as the user is not yet known when
        /// the client asks for the challenge, with its `auth.username = "{user}"`, and with a `pool.max-sessions` of at
        /// least 3, as each dialog holds a session; `default-domain` is not added to a name in them. There is no `-PLUS`:
        /// a proof that is bound to the client's TLS channel cannot be relayed.
        "mechanisms" mechanisms: Vec<Mechanism> = Mechanism::passwords(),
            at &[Auth, Login], dovecot true,
            hint "offered to clients; also XOAUTH2, OAUTHBEARER, and with one directory CRAM-MD5, DIGEST-MD5, SCRAM-SHA-1, \
                  SCRAM-SHA-256: if the server accepts them";
        /// How "no answer" is expressed to the client.
        "tempfail" tempfail: TempFail = TempFail::of(protocol).first().map_or(TempFail::Auto, |(_, word)| *word),
            read tempfail, at &[Auth, Login, Saslauthd], dovecot true,
            hint "auto | close | fail: how to express \"no answer\"; for Postfix, only close works";
        /// Whether the user name is login and realm joined by `@`, as with `saslauthd -r`, since Cyrus SASL splits names
        /// there; else it is the login only. The realm of a name without an `@` is what the asking service is configured
        /// to have; an empty realm is not joined.
        "join-realm" join_realm: bool = true,
            at &[Saslauthd], hint "a login with a realm is login@realm, as with saslauthd -r";
        /// Fields added to OK.
        "ok" ok: OkFields = OkFields::default(),
            at &[Auth, Login], dovecot true, hint "fields added to a positive answer, see below";
        /// Delays for clients and users with repeated failures, or `"off"` for none. At `policy` each delayed answer keeps a
        /// process of Postfix waiting.
        "penalty" penalty: Option<Penalty> = matches!(protocol, Auth | Login).then(Penalty::default),
            none "off", at &[Policy, Auth, Login], dovecot true,
            hint "{}: delays clients that probe many unknown recipients, see below; each delayed answer keeps a process of \
                  Postfix waiting";
        /// Which clients may ask, and about which domains: networks of clients (of the SMTP or IMAP client, not of the
        /// process that connects) and domains of users or recipients, in one list. If it has networks, clients in other
        /// networks or without a known address are not served; if it has domains, requests about other domains are not.
        /// Such requests are not forwarded; the answer is "later" at `auth` and `login`, as the password may be good, and
        /// `DUNNO` at `policy`. An empty list serves all requests.
        "allow" allow: List = List::default(),
            at &[Policy, Auth, Login], dovecot true,
            hint "[\"192.0.2.0/24\", \"example.org\"]: serve only these clients, and only this domain;";
        /// The clients and domains that are never served, whatever is in `allow`.
        "deny" deny: List = List::default(),
            at &[Policy, Auth, Login], dovecot true,
            hint "never these; other requests are not forwarded, and the answer is DUNNO";
        /// Whether the user is looked up, or only the domain.
        "exists" exists: Exists = Exists::Probe,
            at &[Userdb, Master], dovecot true,
            hint "probe | domain: every name of a domain exists, without asking";
        /// The user's fields, by template, in which a domain is an A-label. A mail process that fetches a login receives
        /// those of `login` before those of `master`.
        "fields" fields: Fields = Fields::default(),
            at &[Login, Userdb, Master], dovecot true,
            hint "further fields of a user: { home = \"/srv/mail/{domain}/{local}\" }; also {user}, {service}, {rip}";
        /// Of one client's session.
        "limits" limits: ClientLimits = ClientLimits::new(protocol),
            at &[Policy, Auth, Login, Saslauthd, Socketmap], dovecot true;
        /// Login names that own an address besides the address itself, for the map `senders` (`smtpd_sender_login_maps`): each
        /// a template of the address without its detail. `"{local}"` where users log in without their domain,
        /// `"postmaster@{domain}"` for a login that may send as everybody of its domain.
        "owners" owners: Vec<Template> = Vec::new(),
            at &[Socketmap], example "[\"{local}\", \"postmaster@{domain}\"]",
            hint "logins that own an address besides its own; for the map senders";
        /// The answers to Postfix; at `socketmap`, those of the map `access`.
        "action" action: Action = Action::new(), at &[Policy, Socketmap];
    }
}

impl Listener {
    /// Whether a directory of that kind can answer this listener's questions. With `exists = "domain"` any
    /// can, as it is not asked.
    pub fn can_ask(&self, kind: Kind) -> bool {
        self.protocol.is_answered_by(kind) || (!self.protocol.asks_logins() && self.exists == Exists::Domain)
    }

    /// Whether a listener of its protocol has that key.
    pub fn has(&self, key: &str) -> bool {
        self.keyed().keys.iter().any(|entry| entry.key.name == key)
    }

    /// Which questions are answered.
    pub fn access(&self) -> Access {
        Access {
            allow: self.allow.clone(),
            deny: self.deny.clone(),
        }
    }

    /// The keys that a listener of its protocol has.
    pub fn keyed(&self) -> Keyed {
        self.having(self.every_key(), |entry| {
            entry.key.at.is_empty() || entry.key.at.contains(&self.protocol)
        })
    }

    /// The keys that stand in `[dovecot]` as well.
    pub(super) fn of_dovecot(&self) -> Keyed {
        self.having(self.every_key(), |entry| entry.key.dovecot)
    }

    fn having(&self, mut keyed: Keyed, has: impl Fn(&Entry) -> bool + Copy) -> Keyed {
        keyed.keys.retain(has);
        for entry in &mut keyed.keys {
            if let Shown::Table(table) = &mut entry.value {
                table
                    .keys
                    .retain(|entry| entry.key.at.is_empty() || entry.key.at.contains(&self.protocol));
            }
        }
        keyed
    }
}

/// Every key of a listener, by its name in full.
pub(crate) fn names() -> Vec<String> {
    let listener = Listener::new("", Auth, ListenAddress::Dovecot, Vec::new());
    listener.every_key().names("listener.NAME")
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

words! {
    /// `any-login` of a listener.
    AnyLogin {
        /// The first directory that serves the domain. A login without a domain is nobody's where there are several.
        First = "first",
        /// One after another, until one accepts: first the directory that accepted this user last, then the others in the
        /// order of `directory`; a login without a domain goes to each, as it is. A password is refused if all of them refuse
        /// it, which costs an attempt at each, and counts as one failed login of the client; the answer is "later" if one gives
        /// none. A directory that does not answer within its share of the `deadline` is waited for while the next is asked.
        InOrder = "in-order",
    }
}

/// The time that an answer may take. The patience of those who ask about logins and users differs by service: Postfix
/// drops the connection after ten seconds (`src/xsasl/xsasl_dovecot_server.c`), Dovecot after 150.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadline {
    /// For `service=smtp`.
    pub smtp: Duration,
    /// For every other service.
    pub other: Duration,
}

impl Deadline {
    /// The same for every service.
    pub const fn each(time: Duration) -> Self {
        Self {
            smtp: time,
            other: time,
        }
    }

    pub(super) fn new(protocol: Protocol) -> Self {
        let (smtp, other) = protocol.row().deadline;
        Self {
            smtp: Duration::from_secs(smtp),
            other: Duration::from_secs(other),
        }
    }

    /// For a service; maddy writes it in capitals.
    pub fn of(self, service: Option<&str>) -> Duration {
        if service.is_some_and(|service| service.eq_ignore_ascii_case("smtp")) {
            self.smtp
        } else {
            self.other
        }
    }
}

impl Value for Deadline {
    fn read(&mut self, found: &mut Findings, field: &Field<'_>, bound: &Bound) {
        match Duration::parse(field.value, bound) {
            Ok(time) => *self = Self::each(time),
            Err(wrong) => field.wrong(found, wrong),
        }
    }

    fn show(&self) -> Shown {
        let [smtp, other] = [self.smtp, self.other].map(duration_text);
        if smtp == other {
            Shown::Set(quoted(smtp))
        } else {
            // In seconds, as the timeouts of mail software.
            let [smtp, other] = [self.smtp, self.other].map(|time| time.as_secs());
            Shown::Unset(format!("{smtp}s for service=smtp, else {other}s"))
        }
    }
}

/// `default-domain = "" / domain`
fn domain_or_none(value: &DeValue<'_>, bound: &Bound) -> Result<Option<Domain>, Wrong> {
    if value.as_str() == Some("") {
        return Ok(None);
    }
    <Domain as Scalar>::parse(value, bound).map(Some)
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
    /// Those of a protocol, the default first.
    fn of(protocol: Protocol) -> &'static [(&'static str, Self)] {
        match protocol {
            Saslauthd => &[("close", Self::Close), ("no", Self::No)],
            _ => &[("auto", Self::Auto), ("close", Self::Close), ("fail", Self::Fail)],
        }
    }
}

/// The words that its protocol has.
fn tempfail(into: &mut TempFail, found: &mut Findings, field: &Field<'_>) {
    let protocol = field.context.protocol.unwrap_or(Auth);
    match words::parse(field.value, TempFail::of(protocol)) {
        Ok(word) => *into = word,
        Err(wrong) => field.wrong(found, wrong),
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

/// `allow` and `deny`: networks and domains.
impl Value for List {
    fn read(&mut self, found: &mut Findings, field: &Field<'_>, _: &Bound) {
        for (text, place) in strings(found, field, "`[\"192.0.2.0/24\", \"example.org\"]`", false) {
            if let Err(why) = self.add(&text) {
                let what = "holds what is neither a network nor a domain";
                found.problem(field.problem(place, Wrong::new(what, why.to_string())));
            }
        }
    }

    fn show(&self) -> Shown {
        Shown::Set(array(self.to_text()))
    }
}

/// `owners`: the names of logins.
impl Item for Template {
    fn read_list(list: &mut Vec<Self>, found: &mut Findings, field: &Field<'_>) {
        list.clear();
        for (text, place) in strings(found, field, "`[\"{local}\", \"postmaster@{domain}\"]`", false) {
            match owner(&text) {
                Ok(owner) => list.push(owner),
                Err(wrong) => found.problem(field.problem(place, wrong)),
            }
        }
    }
}

/// A template of one name.
fn owner(text: &str) -> Result<Template, Wrong> {
    if text.contains(|char: char| char == ',' || char.is_whitespace()) {
        let label = "Postfix reads several names: it takes an answer apart at commas and blanks";
        return Err(
            Wrong::new("holds a name with a comma or a blank", label).help("give each name by itself")
        );
    }
    scalar::template(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_deadline_is_shorter_than_the_clients_patience() {
        let of = |protocol| Listener::new("a", protocol, ListenAddress::Dovecot, Vec::new()).deadline;
        assert_eq!(of(Auth).of(Some("SMTP")).as_secs(), 8);
        assert_eq!(of(Auth).of(Some("imap")).as_secs(), 25);
        assert_eq!(of(Auth).of(None).as_secs(), 25);
        assert_eq!(of(Policy).of(None).as_secs(), 20);
    }
}
