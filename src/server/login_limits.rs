//! The number of a client's failed logins, at a listener for logins.
//!
//! A session is what the client says: Dovecot's `session=` is one connection of an end user, however many of them one
//! login process serves. Where nobody names one, it is what one connection asks for one client address within ten
//! minutes, since a process of Postfix serves one client at a time; and an accepted login of that address begins anew,
//! wherever it came from, for others may be behind it. Where each question has a connection of its own, as in
//! saslauthd's protocol, the process stands for it. Where no address is named, anybody may have failed: there is no
//! limit.
//!
//! Failures count once they are known. Logins that are sent at once are asked at
//! once: counting those under way would defer honest bursts from one address.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use quick_cache::sync::Cache;
use tokio::time::Instant;

use super::failures::Table;
use super::gate::{SessionLimits, UsedUp};
use crate::address::network::Network;
use crate::engine::{Decision, Source, Tag};
use crate::settings::listener;
use crate::settings::penalty::Penalty;
use crate::verdict::{Client, Verdict};

/// Bound (questions): time for which a refused login counts. Beyond: it is forgotten. Why: a person who tries again
/// later starts anew.
const WINDOW: Duration = Duration::from_secs(600);

/// Bound (questions): addresses of one listener whose last accepted login is remembered. Beyond: for some, refused
/// logins before it count as well. Why: some two megabytes.
const GOOD_ADDRESSES: usize = 16_384;

/// Bound (questions): login processes that were disconnected and are expected to reconnect. Beyond: some are dropped
/// and start from zero. Why: more than any Postfix runs.
const PROCESSES: usize = 4096;

/// How much one session may fail.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Limits {
    /// Failed logins; `None` is without limit.
    pub auth_errors: Option<u32>,
    /// Networks whose clients have no limit.
    pub exempt: Vec<Network>,
}

impl Limits {
    /// Those of a listener. Where `penalty` is off, or the protocol has none, those are exempt who are by default.
    pub(super) fn of(keys: &listener::Listener) -> Self {
        let penalty = keys.penalty.as_ref();
        Self {
            auth_errors: keys.limits.auth_errors.most(),
            exempt: penalty.map_or_else(|| Penalty::default().exempt, |penalty| penalty.exempt.clone()),
        }
    }
}

/// The sessions of one listener.
pub struct Sessions {
    limits: Limits,
    failures: Table,
    /// How often a login from an address was accepted: its failures begin anew each time.
    accepted: Cache<IpAddr, u64>,
    /// The connection that a process is known by after we hung up on it.
    hung_up: Cache<i32, (u64, Instant)>,
    /// Its keys are drawn anew in each life of the process.
    hasher: RandomState,
    /// What tells failures apart that are equal to no other.
    unique: AtomicU64,
}

/// A session whose failures count, by what tells it from others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Session {
    /// The hash of its name. Two of one hash are taken for one: with 64 bits, that does not happen.
    Named(u64),
    /// A client that names none.
    Unnamed {
        /// The number of the connection that asks for it.
        connection: u64,
        /// The client's.
        address: IpAddr,
    },
}

/// A login, as its session counts it.
#[derive(Clone)]
pub struct Attempt {
    /// `None` where nothing is counted.
    pub session: Option<Session>,
    /// Equal logins have one, and `None` is equal to no other.
    pub tag: Option<Tag>,
}

impl SessionLimits for Sessions {
    type Settings = Limits;
    type Attempt<'a> = Attempt;
    type Ticket = Attempt;

    fn new(limits: Limits) -> Self {
        let most = limits.auth_errors.unwrap_or_default();
        Self {
            failures: Table::new(WINDOW, u32::MAX, most.max(1) as usize),
            accepted: Cache::new(GOOD_ADDRESSES),
            hung_up: Cache::new(PROCESSES),
            hasher: RandomState::new(),
            unique: AtomicU64::new(0),
            limits,
        }
    }

    fn settings(&self) -> &Limits {
        &self.limits
    }

    fn admit(&self, attempt: Attempt) -> Result<Attempt, UsedUp> {
        if self.may_try(attempt.session) {
            Ok(attempt)
        } else {
            Err(UsedUp::AuthErrors)
        }
    }

    fn note(&self, attempt: Attempt, decision: &Decision) {
        self.count(&attempt, decision);
    }
}

impl Sessions {
    /// The number under which a new connection is counted. Closing the
    /// connection is the only "not now" for Postfix; it connects again at once. Such a connection
    /// goes on where the old one ended, or the limit would undo itself.
    pub fn connected(&self, connection: u64, pid: Option<i32>) -> u64 {
        match pid.and_then(|pid| self.hung_up.remove(&pid)) {
            Some((_, (before, since))) if since.elapsed() < WINDOW => before,
            _ => connection,
        }
    }

    /// We are about to hang up on this process.
    pub fn hanging_up(&self, connection: u64, pid: Option<i32>) {
        if let (Some(pid), Some(_)) = (pid, self.limits.auth_errors) {
            self.hung_up.insert(pid, (connection, Instant::now()));
        }
    }

    /// The session in which `client` asks over `connection`; `None` where nothing is counted.
    pub fn of(&self, connection: u64, client: &Client) -> Option<Session> {
        self.limits.auth_errors?;
        let address = client.address;
        let is_exempt = |address| self.limits.exempt.iter().any(|network| network.has(address));
        if address.is_some_and(is_exempt) {
            return None;
        }
        match client.session.as_deref().filter(|named| !named.is_empty()) {
            Some(named) => Some(Session::Named(self.hasher.hash_one((named, address)))),
            None => address.map(|address| Session::Unnamed { connection, address }),
        }
    }

    /// Whether the session may try another login.
    fn may_try(&self, session: Option<Session>) -> bool {
        let (Some(limit), Some(session)) = (self.limits.auth_errors, session) else {
            return true;
        };
        self.failures.count(self.key(session)) < limit
    }

    /// Under what its failures are remembered now.
    fn key(&self, session: Session) -> u64 {
        match session {
            Session::Named(hash) => hash,
            Session::Unnamed { connection, address } => {
                self.hasher
                    .hash_one((connection, address, self.accepted.get(&address)))
            }
        }
    }

    /// Notes how a login ended. Equal failures count once; what was refused from
    /// memory was counted where the remote refused it, and what needed no remote was no guess.
    pub fn count(&self, Attempt { session, tag }: &Attempt, decision: &Decision) {
        let Some(session) = *session else { return };
        match (&decision.verdict, session) {
            (Verdict::Accept(_), Session::Unnamed { address, .. }) => {
                let before = self.accepted.get(&address).unwrap_or_default();
                self.accepted.insert(address, before.wrapping_add(1));
            }
            _ if decision.is_failed_attempt() && decision.source != Source::Cache => {
                self.failed(session, tag.as_ref());
            }
            _ => {}
        }
    }

    /// A login of the session failed.
    pub fn failed(&self, session: Session, tag: Option<&Tag>) {
        let mark = tag.map_or_else(
            || self.unique.fetch_add(1, Ordering::Relaxed),
            |tag| self.hasher.hash_one(tag),
        );
        self.failures.add(self.key(session), mark);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use tokio::time::advance;
    use vouch_protocol::secret::Secret;

    use super::*;
    use crate::engine::logins::Logins;
    use crate::settings::directory::Credentials;
    use crate::verdict::{Cause, Class, UserName};

    fn sessions(limit: u32) -> Sessions {
        Sessions::new(Limits {
            auth_errors: Some(limit),
            exempt: vec![Network::parse("127.0.0.0/8").unwrap()],
        })
    }

    fn from(address: &str) -> Client {
        Client {
            address: Client::address_in(address.as_bytes()),
            ..Client::default()
        }
    }

    fn named(session: &str, address: &str) -> Client {
        Client {
            session: Some(session.into()),
            ..from(address)
        }
    }

    /// Passwords of one user.
    fn tag(password: &str) -> Tag {
        static LOGINS: LazyLock<Logins> = LazyLock::new(|| {
            let none = Credentials {
                positive: Duration::ZERO,
                negative: Duration::ZERO,
                stale: None,
            };
            Logins::new(1, none, [7; 32])
        });
        let password = Secret::copy_from(password.as_bytes());
        LOGINS.tag(&UserName::new(b"jane"), b"", &password)
    }

    fn decision(verdict: Verdict, source: Source) -> Decision {
        Decision {
            verdict,
            source,
            directory: None,
        }
    }

    fn refuse(sessions: &Sessions, connection: u64, client: &Client, password: &str, source: Source) {
        let verdict = Verdict::Reject(Cause::ours(Class::BadCredentials, "no"));
        let session = sessions.of(connection, client);
        note(sessions, session, Some(tag(password)), &decision(verdict, source));
    }

    fn note(sessions: &Sessions, session: Option<Session>, tag: Option<Tag>, decision: &Decision) {
        sessions.note(Attempt { session, tag }, decision);
    }

    fn fail(sessions: &Sessions, connection: u64, client: &Client, password: &str) {
        refuse(sessions, connection, client, password, Source::Probe);
    }

    fn admits(sessions: &Sessions, connection: u64, client: &Client) -> bool {
        sessions.may_try(sessions.of(connection, client))
    }

    // Fills WINDOW.
    #[tokio::test(start_paused = true)]
    async fn failures_count_by_connection_and_address_for_ten_minutes() {
        let sessions = sessions(2);
        let mallory = from("192.0.2.1");
        fail(&sessions, 1, &mallory, "a");
        assert!(admits(&sessions, 1, &mallory));
        fail(&sessions, 1, &mallory, "b");
        assert!(!admits(&sessions, 1, &mallory));
        assert!(!admits(&sessions, 1, &from("::ffff:192.0.2.1")));
        assert!(admits(&sessions, 1, &from("192.0.2.2")));
        assert!(admits(&sessions, 2, &mallory));
        advance(WINDOW).await;
        assert!(admits(&sessions, 1, &mallory));
        fail(&sessions, 1, &mallory, "c");
        assert!(admits(&sessions, 1, &mallory), "the others are forgotten");
    }

    /// Dovecot has one connection for the logins of everybody, and one session for each of them.
    #[test]
    fn a_named_session_is_one_whatever_the_connection_and_no_other() {
        let sessions = sessions(2);
        for guess in 0..60 {
            let session = format!("session{guess}");
            assert!(admits(&sessions, 1, &named(&session, "192.0.2.1")), "{guess}");
            fail(&sessions, 1, &named(&session, "192.0.2.1"), &guess.to_string());
        }
        let mallory = named("m", "192.0.2.1");
        fail(&sessions, 1, &mallory, "a");
        fail(&sessions, 2, &mallory, "b");
        assert!(!admits(&sessions, 1, &mallory) && !admits(&sessions, 3, &mallory));
        assert!(admits(&sessions, 1, &named("j", "192.0.2.1")));
        let nobody = Client {
            address: None,
            ..named("n", "")
        };
        for password in ["a", "b"] {
            fail(&sessions, 1, &nobody, password);
        }
        assert!(!admits(&sessions, 1, &nobody), "it takes no address");
    }

    #[test]
    fn a_good_login_of_an_address_begins_anew_at_every_connection() {
        let sessions = sessions(1);
        let (office, other) = (from("192.0.2.1"), from("192.0.2.2"));
        for client in [&office, &other] {
            fail(&sessions, 1, client, "a");
            fail(&sessions, 2, client, "a");
        }
        let good = decision(Verdict::accept("jane"), Source::Probe);
        note(&sessions, sessions.of(3, &office), Some(tag("good")), &good);
        assert!(admits(&sessions, 1, &office) && admits(&sessions, 2, &office));
        assert!(!admits(&sessions, 1, &other));
    }

    #[test]
    fn clients_without_an_address_and_exempt_ones_have_no_limit() {
        let sessions = sessions(1);
        for client in [
            Client::default(),
            from("NULL"),
            from("127.0.0.1"),
            named("s", "::ffff:127.0.0.9"),
        ] {
            fail(&sessions, 1, &client, "a");
            assert!(admits(&sessions, 1, &client), "{client:?}");
        }
    }

    #[test]
    fn equal_failures_count_once_and_those_from_memory_never() {
        let sessions = sessions(2);
        let phone = from("192.0.2.1");
        for _ in 0..100 {
            fail(&sessions, 1, &phone, "old");
        }
        for password in ["x", "y", "z"] {
            refuse(&sessions, 1, &phone, password, Source::Cache);
            refuse(&sessions, 1, &phone, password, Source::Local);
        }
        assert!(admits(&sessions, 1, &phone));
        refuse(&sessions, 1, &phone, "new", Source::Shared);
        assert!(!admits(&sessions, 1, &phone));
        // What is equal to no other counts each time.
        let dialog = sessions.of(2, &phone).unwrap();
        sessions.failed(dialog, None);
        sessions.failed(dialog, None);
        assert!(!sessions.may_try(Some(dialog)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_process_that_was_hung_up_on_goes_on_where_it_was() {
        let sessions = sessions(1);
        let mallory = from("192.0.2.1");
        assert_eq!(sessions.connected(1, Some(77)), 1);
        fail(&sessions, 1, &mallory, "a");
        sessions.hanging_up(1, Some(77));
        assert_eq!(sessions.connected(2, Some(78)), 2);
        assert_eq!(sessions.connected(3, Some(77)), 1);
        assert!(!admits(&sessions, 1, &mallory));
        assert_eq!(sessions.connected(4, Some(77)), 4, "once only");
    }

    // Fills GOOD_ADDRESSES, PROCESSES.
    #[test]
    fn more_sessions_than_are_remembered_cost_no_more_memory() {
        let sessions = sessions(1);
        let mallory = from("192.0.2.1");
        for number in 0..80_000 {
            fail(&sessions, number, &mallory, "a");
            sessions.hanging_up(number, Some(i32::try_from(number).unwrap()));
            let good = decision(Verdict::accept("jane"), Source::Probe);
            let address = IpAddr::from(u128::from(number).to_be_bytes()).to_string();
            note(&sessions, sessions.of(1, &from(&address)), None, &good);
            assert!(!admits(&sessions, number, &mallory), "the latest is remembered");
        }
        assert!(sessions.failures.weight() <= super::super::failures::FAILURES + 2);
        assert!(sessions.accepted.len() <= GOOD_ADDRESSES && sessions.hung_up.len() <= PROCESSES);
    }

    #[test]
    fn unlimited_keeps_nothing() {
        let sessions = Sessions::new(Limits::default());
        assert_eq!(sessions.of(1, &named("s", "192.0.2.1")), None);
        assert!(admits(&sessions, 1, &from("192.0.2.1")));
    }
}
