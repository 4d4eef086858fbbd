//! Logins on their way from a login process to a mail process.
//!
//! A login process (imap-login) asks a `login` listener, and passes the accepted
//! client to a mail process (imap) together with the proof: its process id, the id
//! of its request, and the cookie of its greeting. The mail process presents
//! these at a `master` listener, once.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use parking_lot::{Mutex, MutexGuard};
use tokio::time::Instant;
use vouch_protocol::auth::master::Field;

use crate::verdict::{Client, UserName};

/// Bound (questions): time for which a login waits for its mail process. Beyond: it is forgotten, and the mail
/// process refused. Why: Dovecot's own time (`MASTER_AUTH_SERVER_TIMEOUT_SECS`).
const LOGIN_LIFETIME: Duration = Duration::from_secs(150);

/// Bound (questions): logins that wait for their mail processes. Beyond: the oldest is dropped, with an error in the
/// log. Why: each is fetched within moments; so many wait only if no mail process can reach vouch.
const WAITING: usize = 16_384;

/// What the listeners of one daemon share, to act as one server for Dovecot: its
/// id, and the logins that wait.
pub struct Handover {
    spid: u32,
    /// Our process id, where logins may be another process's.
    from_sibling: Option<u32>,
    waiting: Mutex<Waiting>,
}

/// A login that was accepted.
#[derive(Debug, Clone)]
pub struct Accepted {
    /// The name under which the client is now known.
    pub user: UserName,
    /// The name that it gave.
    pub given: UserName,
    /// The SASL mechanism.
    pub mechanism: &'static str,
    /// The fields that the `login` listener adds to the user's.
    pub fields: Vec<Field>,
    /// On whose behalf it was asked.
    pub client: Client,
}

/// Why a login is not handed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// No connection of that process.
    #[error("no login process with that id is connected")]
    NoClient,
    /// The process has connections, and none was greeted with that cookie.
    #[error("the cookie is not the one that the login process was greeted with")]
    WrongCookie,
    /// The connection has no such login.
    #[error("no login of that id waits; it was asked for already, given up, or never accepted")]
    NoLogin,
}

/// By the process ids that login processes claim: a cookie tells two of one id apart,
/// for each may be of a pid namespace of its own.
#[derive(Default)]
struct Waiting {
    by_cpid: HashMap<u32, Vec<LoginConnection>>,
    count: usize,
    /// Logins in the order in which they were accepted; some wait no more.
    order: VecDeque<Waits>,
    serials: u64,
    /// It was logged that some were dropped.
    told: bool,
}

/// Where a login waits.
#[derive(Clone, Copy)]
struct Waits {
    cpid: u32,
    cookie: [u8; 16],
    id: u32,
    serial: u64,
}

struct LoginConnection {
    cookie: [u8; 16],
    logins: HashMap<u32, Kept>,
}

/// A login that waits.
struct Kept {
    accepted: Accepted,
    since: Instant,
    /// Tells it from another of the same id.
    serial: u64,
}

impl Kept {
    fn is_in_time(&self) -> bool {
        self.since.elapsed() < LOGIN_LIFETIME
    }
}

/// One connection of a login process. Its logins are forgotten when it is dropped.
pub struct Connected {
    handover: Arc<Handover>,
    cpid: u32,
    cookie: [u8; 16],
}

impl Handover {
    /// `spid` names this life of the daemon to Dovecot.
    pub fn new(spid: u32) -> Self {
        let waiting = Mutex::default();
        Self {
            spid,
            from_sibling: None,
            waiting,
        }
    }

    /// The same, where several processes are one server, one after another
    /// ([`sibling`](super::sibling)): `spid` is theirs, and `pid` this one's.
    pub fn from_sibling(spid: u32, pid: u32) -> Self {
        Self {
            from_sibling: Some(pid),
            ..Self::new(spid)
        }
    }

    /// Makes a cookie of random bytes: it tells whose it is, where others could ask.
    /// 96 of its bits stay that nobody can guess.
    pub fn stamp_owner(&self, mut random: [u8; 16]) -> [u8; 16] {
        if let Some(pid) = self.from_sibling
            && let Some(start) = random.first_chunk_mut()
        {
            *start = pid.to_be_bytes();
        }
        random
    }

    /// The process that has made a cookie, where it is not this one.
    pub fn owner_pid(&self, cookie: &[u8]) -> Option<u32> {
        let pid = self.from_sibling?;
        let signed = u32::from_be_bytes(*cookie.first_chunk()?);
        (signed != pid).then_some(signed)
    }

    /// What every listener sends about itself: a mail process gives up if it gets
    /// anything else than the login process did (`lib-master/master-login-auth.c`).
    pub fn spid(&self) -> u32 {
        self.spid
    }

    /// A login process has said its process id.
    pub fn connected(self: &Arc<Self>, cpid: u32, cookie: [u8; 16]) -> Connected {
        let connection = LoginConnection {
            cookie,
            logins: HashMap::new(),
        };
        self.lock().by_cpid.entry(cpid).or_default().push(connection);
        Connected {
            handover: self.clone(),
            cpid,
            cookie,
        }
    }

    /// Hands a login to the process that proves its claim; the login then no longer waits.
    ///
    /// # Errors
    /// See [`Refused`]; the login, if there is one, waits on.
    pub fn claim(&self, cpid: u32, client_id: u32, cookie: &[u8]) -> Result<Accepted, Refused> {
        let mut waiting = self.lock();
        let Waiting { by_cpid, count, .. } = &mut *waiting;
        let connections = by_cpid.get_mut(&cpid).ok_or(Refused::NoClient)?;
        let connection = connections
            .iter_mut()
            .find(|connection| verify_slices_are_equal(&connection.cookie, cookie).is_ok())
            .ok_or(Refused::WrongCookie)?;
        let kept = connection.logins.remove(&client_id).ok_or(Refused::NoLogin)?;
        *count -= 1;
        if kept.is_in_time() {
            Ok(kept.accepted)
        } else {
            Err(Refused::NoLogin)
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock()
    }
}

impl Connected {
    /// Keeps a login under the id of its request.
    pub fn keep(&self, id: u32, accepted: Accepted) {
        let mut waiting = self.handover.lock();
        while waiting.count >= WAITING {
            waiting.forget_oldest();
        }
        waiting.serials += 1;
        let kept = Kept {
            accepted,
            since: Instant::now(),
            serial: waiting.serials,
        };
        let Self { cpid, cookie, .. } = *self;
        let waits = Waits {
            cpid,
            cookie,
            id,
            serial: kept.serial,
        };
        let Some(connection) = waiting.connection(self.cpid, &self.cookie) else {
            return;
        };
        if connection.logins.insert(id, kept).is_none() {
            waiting.count += 1;
        }
        waiting.note(waits);
    }

    /// Whether a login waits under this id: another request cannot have it.
    pub fn holds(&self, id: u32) -> bool {
        let mut waiting = self.handover.lock();
        let connection = waiting.connection(self.cpid, &self.cookie);
        let login = connection.and_then(|connection| connection.logins.get(&id));
        login.is_some_and(Kept::is_in_time)
    }

    /// Whether a login waits that was accepted within this time.
    pub fn holds_any(&self, within: Duration) -> bool {
        let mut waiting = self.handover.lock();
        let connection = waiting.connection(self.cpid, &self.cookie);
        connection.is_some_and(|connection| {
            connection
                .logins
                .values()
                .any(|kept| kept.since.elapsed() < within)
        })
    }

    /// Forgets a login; `false` where none waits under this id.
    pub fn withdraw(&self, id: u32) -> bool {
        let mut waiting = self.handover.lock();
        let connection = waiting.connection(self.cpid, &self.cookie);
        let gone = connection.and_then(|connection| connection.logins.remove(&id));
        waiting.count -= usize::from(gone.is_some());
        gone.is_some_and(|kept| kept.is_in_time())
    }
}

impl Drop for Connected {
    fn drop(&mut self) {
        let mut waiting = self.handover.lock();
        let Waiting { by_cpid, count, .. } = &mut *waiting;
        if let Some(connections) = by_cpid.get_mut(&self.cpid) {
            let gone = connections.extract_if(.., |connection| connection.cookie == self.cookie);
            *count -= gone.map(|connection| connection.logins.len()).sum::<usize>();
            if connections.is_empty() {
                by_cpid.remove(&self.cpid);
            }
        }
    }
}

impl Waiting {
    fn connection(&mut self, cpid: u32, cookie: &[u8; 16]) -> Option<&mut LoginConnection> {
        let connections = self.by_cpid.get_mut(&cpid)?;
        connections
            .iter_mut()
            .find(|connection| connection.cookie == *cookie)
    }

    fn note(&mut self, waits: Waits) {
        if self.order.len() >= 2 * WAITING {
            let order = std::mem::take(&mut self.order);
            self.order = order.into_iter().filter(|it| self.is_waiting(it)).collect();
        }
        self.order.push_back(waits);
    }

    fn is_waiting(&self, waits: &Waits) -> bool {
        let mut connections = self.by_cpid.get(&waits.cpid).into_iter().flatten();
        let connection = connections.find(|connection| connection.cookie == waits.cookie);
        let kept = connection.and_then(|connection| connection.logins.get(&waits.id));
        kept.is_some_and(|kept| kept.serial == waits.serial)
    }

    /// Makes room for one more.
    fn forget_oldest(&mut self) {
        let Some(oldest) = self.order.pop_front() else {
            // Each that waits is in the order; were one not, it would be no reason to turn others away.
            self.count = 0;
            return;
        };
        if !self.is_waiting(&oldest) {
            return;
        }
        let connection = self.connection(oldest.cpid, &oldest.cookie);
        let gone = connection.and_then(|connection| connection.logins.remove(&oldest.id));
        self.count -= usize::from(gone.is_some());
        if gone.is_some_and(|kept| kept.is_in_time()) && !std::mem::replace(&mut self.told, true) {
            tracing::error!(
                "logins are dropped before a mail process fetches them, as {WAITING} wait: does it ask at the master \
                 listener of this vouch?"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    const COOKIE: [u8; 16] = [7; 16];

    fn accepted(user: &str) -> Accepted {
        Accepted {
            user: UserName::new(user.as_bytes()),
            given: UserName::new(user.as_bytes()),
            mechanism: "PLAIN",
            fields: Vec::new(),
            client: Client::default(),
        }
    }

    fn claim(handover: &Handover, cpid: u32, id: u32, cookie: &[u8]) -> Result<String, Refused> {
        handover
            .claim(cpid, id, cookie)
            .map(|accepted| accepted.user.to_string())
    }

    #[tokio::test(start_paused = true)]
    async fn a_login_is_handed_over_once_and_for_the_right_cookie() {
        let handover = Arc::new(Handover::new(1));
        let process = handover.connected(100, COOKIE);
        process.keep(1, accepted("jane"));
        assert!(process.holds(1) && !process.holds(2));
        assert_eq!(claim(&handover, 101, 1, &COOKIE), Err(Refused::NoClient));
        assert_eq!(claim(&handover, 100, 1, &[8; 16]), Err(Refused::WrongCookie));
        assert_eq!(claim(&handover, 100, 1, &COOKIE[..8]), Err(Refused::WrongCookie));
        assert_eq!(claim(&handover, 100, 2, &COOKIE), Err(Refused::NoLogin));
        assert_eq!(claim(&handover, 100, 1, &COOKIE), Ok("jane".into()));
        assert_eq!(claim(&handover, 100, 1, &COOKIE), Err(Refused::NoLogin));
        assert!(!process.holds(1));
    }

    // Fills LOGIN_LIFETIME.
    #[tokio::test(start_paused = true)]
    async fn a_login_is_forgotten_with_its_connection_or_its_time() {
        let handover = Arc::new(Handover::new(1));
        let process = handover.connected(100, COOKIE);
        process.keep(1, accepted("jane"));
        process.keep(2, accepted("joe"));
        assert!(process.withdraw(2) && !process.withdraw(2));
        assert_eq!(claim(&handover, 100, 2, &COOKIE), Err(Refused::NoLogin));
        advance(LOGIN_LIFETIME).await;
        assert!(!process.holds(1));
        assert_eq!(claim(&handover, 100, 1, &COOKIE), Err(Refused::NoLogin));
        process.keep(1, accepted("jane"));
        drop(process);
        assert_eq!(claim(&handover, 100, 1, &COOKIE), Err(Refused::NoClient));
        assert_eq!(handover.lock().count, 0);
    }

    #[test]
    fn a_cookie_tells_whose_it_is() {
        let (old, new) = (Handover::from_sibling(1, 100), Handover::from_sibling(1, 101));
        let cookie = old.stamp_owner(COOKIE);
        assert_eq!(
            (old.owner_pid(&cookie), new.owner_pid(&cookie)),
            (None, Some(100))
        );
        assert_eq!(cookie[4..], COOKIE[4..]);
        assert_eq!(new.owner_pid(b""), None);
        let alone = Handover::new(1);
        assert_eq!(
            (alone.stamp_owner(COOKIE), alone.owner_pid(&cookie)),
            (COOKIE, None)
        );
    }

    #[tokio::test(start_paused = true)]
    async fn two_processes_of_one_id_are_told_apart() {
        let handover = Arc::new(Handover::new(1));
        let one = handover.connected(100, COOKIE);
        let other = handover.connected(100, [8; 16]);
        one.keep(1, accepted("jane"));
        other.keep(1, accepted("joe"));
        assert_eq!(claim(&handover, 100, 1, &[8; 16]), Ok("joe".into()));
        drop(other);
        assert_eq!(claim(&handover, 100, 1, &COOKIE), Ok("jane".into()));
    }

    // Fills handover::WAITING.
    #[tokio::test(start_paused = true)]
    async fn of_more_than_there_is_room_for_the_oldest_goes() {
        let handover = Arc::new(Handover::new(1));
        let process = handover.connected(100, COOKIE);
        for id in 1..=WAITING as u32 {
            process.keep(id, accepted("jane"));
        }
        assert_eq!(claim(&handover, 100, 2, &COOKIE), Ok("jane".into()));
        process.keep(2, accepted("june"));
        process.keep(0, accepted("joe"));
        assert!(!process.holds(1) && process.holds(0) && process.holds(3));
        assert_eq!(handover.lock().count, WAITING);
        // What was claimed and asked for anew has another place in the order.
        for id in 1..3 {
            process.keep(WAITING as u32 + id, accepted("jane"));
        }
        assert!(process.holds(2) && !process.holds(3) && !process.holds(4));
        assert_eq!(claim(&handover, 100, 2, &COOKIE), Ok("june".into()));
    }

    #[tokio::test(start_paused = true)]
    async fn logins_that_come_and_go_leave_nothing_behind() {
        let handover = Arc::new(Handover::new(1));
        let process = handover.connected(100, COOKIE);
        for id in 0..5 * WAITING as u32 {
            process.keep(id, accepted("jane"));
            assert!(claim(&handover, 100, id, &COOKIE).is_ok());
        }
        let waiting = handover.lock();
        assert!(waiting.order.len() <= 2 * WAITING && waiting.count == 0);
    }
}
