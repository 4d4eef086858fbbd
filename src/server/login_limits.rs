//! How many logins of one client failed, at a door that is asked about logins.
//!
//! The protocol has no sessions of end users, only connections of login
//! processes that serve many of them. A session is therefore what one
//! connection asks for one client address (`rip`) within ten minutes. A request
//! that names no client is told by its connection alone. Where each question has a
//! connection of its own, as in saslauthd's protocol, the process stands for it.
//!
//! Failures count once they are known. Logins that are sent at once are asked at
//! once: counting those under way would put off honest bursts behind one address.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use quick_cache::sync::Cache;
use tokio::time::Instant;

/// How long a failure is held against its session.
pub(crate) const WINDOW: Duration = Duration::from_secs(600);

/// Sessions that are remembered at once; when there are more, some are forgotten
/// and start from zero.
pub(crate) const SESSIONS: usize = 16_384;

/// Login processes whose connection we closed and that are expected back.
pub(crate) const PROCESSES: usize = 4096;

/// A client's address is told from others by so many characters: no address is longer, and the rest would only
/// cost memory.
pub(crate) const ADDRESS: usize = 64;

/// The sessions of one door.
pub struct Sessions {
    auth_errors: Option<u32>,
    table: Cache<Key, Failures>,
    /// The connection that a process is known by after we hung up on it.
    hung_up: Cache<i32, (u64, Instant)>,
}

/// A connection and the client address that it asks for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Key {
    connection: u64,
    client: Option<Arc<str>>,
}

type Failures = Arc<Mutex<Window>>;

struct Window {
    began: Instant,
    failures: u32,
}

impl Sessions {
    /// No session yet; `auth_errors` failures are allowed, `None` is without
    /// limit.
    pub fn new(auth_errors: Option<u32>) -> Self {
        Self {
            auth_errors,
            table: Cache::new(SESSIONS),
            hung_up: Cache::new(PROCESSES),
        }
    }

    /// The number under which a new connection is counted. Hanging up is how
    /// Postfix is told "not now"; it connects again at once. Such a connection
    /// goes on where the old one ended, or the limit would undo itself.
    pub fn connected(&self, connection: u64, pid: Option<i32>) -> u64 {
        match pid.and_then(|pid| self.hung_up.remove(&pid)) {
            Some((_, (before, since))) if since.elapsed() < WINDOW => before,
            _ => connection,
        }
    }

    /// We are about to hang up on this process.
    pub fn hanging_up(&self, connection: u64, pid: Option<i32>) {
        if let (Some(pid), Some(_)) = (pid, self.auth_errors) {
            self.hung_up.insert(pid, (connection, Instant::now()));
        }
    }

    /// Whether the session may try another login.
    pub fn admit(&self, connection: u64, client: Option<&str>) -> bool {
        let Some(limit) = self.auth_errors else {
            return true;
        };
        let failures = self.table.get(&Key {
            connection,
            client: client.map(shortened),
        });
        let Some(failures) = failures else { return true };
        let window = failures.lock().unwrap_or_else(PoisonError::into_inner);
        window.began.elapsed() >= WINDOW || window.failures < limit
    }

    /// A login of the session was refused.
    pub fn failed(&self, connection: u64, client: Option<&str>) {
        if self.auth_errors.is_none() {
            return;
        }
        let key = Key {
            connection,
            client: client.map(shortened),
        };
        let fresh = || Ok::<_, std::convert::Infallible>(Arc::new(Mutex::new(Window::new())));
        let Ok(failures) = self.table.get_or_insert_with(&key, fresh);
        let mut window = failures.lock().unwrap_or_else(PoisonError::into_inner);
        if window.began.elapsed() >= WINDOW {
            *window = Window::new();
        }
        window.failures = window.failures.saturating_add(1);
    }
}

fn shortened(client: &str) -> Arc<str> {
    client.chars().take(ADDRESS).collect::<String>().into()
}

impl Window {
    fn new() -> Self {
        Self {
            began: Instant::now(),
            failures: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn failures_count_by_connection_and_client_for_ten_minutes() {
        let sessions = Sessions::new(Some(2));
        let mallory = Some("192.0.2.1");
        sessions.failed(1, mallory);
        assert!(sessions.admit(1, mallory));
        sessions.failed(1, mallory);
        assert!(!sessions.admit(1, mallory));
        assert!(sessions.admit(1, Some("192.0.2.2")) && sessions.admit(1, None));
        assert!(sessions.admit(2, mallory));
        advance(WINDOW).await;
        assert!(sessions.admit(1, mallory));
        sessions.failed(1, mallory);
        assert!(sessions.admit(1, mallory), "a new window has begun");
    }

    #[tokio::test(start_paused = true)]
    async fn a_process_that_was_hung_up_on_goes_on_where_it_was() {
        let sessions = Sessions::new(Some(1));
        assert_eq!(sessions.connected(1, Some(77)), 1);
        sessions.failed(1, None);
        sessions.hanging_up(1, Some(77));
        assert_eq!(sessions.connected(2, Some(78)), 2);
        assert_eq!(sessions.connected(3, Some(77)), 1);
        assert!(!sessions.admit(1, None));
        assert_eq!(sessions.connected(4, Some(77)), 4, "once only");
    }

    #[test]
    fn more_sessions_than_are_remembered_cost_no_more_memory() {
        let sessions = Sessions::new(Some(1));
        for number in 0..2 * SESSIONS as u64 {
            sessions.failed(number, None);
            let pid = i32::try_from(number).unwrap();
            sessions.hanging_up(number, Some(pid));
            assert!(!sessions.admit(number, None), "the latest is remembered");
        }
        assert!(sessions.table.len() <= SESSIONS && sessions.hung_up.len() <= PROCESSES);
    }

    #[test]
    fn an_address_is_told_by_its_beginning() {
        let (long, longer) = ("a".repeat(ADDRESS), "a".repeat(10_000));
        let sessions = Sessions::new(Some(1));
        sessions.failed(1, Some(&longer));
        assert!(!sessions.admit(1, Some(&long)));
        assert_eq!(shortened(&longer).len(), ADDRESS);
    }
}
