//! What one SMTP session has asked about recipients: how many of each message, and how many unknown ones.
//!
//! Unknown ones count over the messages of a session, and anew once one of them had an accepted recipient and the next
//! begins: a client that delivers mail does not look for names. So does Postfix's own count of errors
//! (`smtpd_hard_error_limit`).
//!
//! Postfix shares one policy connection among many SMTP sessions, and moves a
//! session to another connection when one fails, asking again what it had
//! asked. So the attributes of its requests identify a session, and a recipient
//! of a message counts once.

use std::collections::HashSet;
use std::convert::Infallible;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use quick_cache::sync::Cache;
use tokio::time::Instant;

use super::gate::{SessionLimits, UsedUp};
use crate::engine::Decision;
use crate::settings::client_limits::ClientLimits;
use crate::verdict::{Abstention, Verdict};

/// Bound (questions): SMTP sessions of one listener that are counted. Beyond: some are dropped and start from zero.
/// Why: more than any Postfix has processes.
const SESSIONS: usize = 4096;

/// Bound (questions): time that an SMTP session may be silent. Beyond: it is forgotten. Why: its process and port may
/// belong to another by then.
const FORGET: Duration = Duration::from_secs(3600);

/// Bound (questions, bytes): process, address, and port or greeting that identify an SMTP session, each. Beyond: the
/// rest is ignored. Why: a host's name is no longer (RFC 1035 section 2.3.4).
const PART: usize = 255;

/// A question, and what tells its SMTP session from others; what is not known is empty.
#[derive(Debug, Clone, Copy, Default)]
pub struct RcptAttempt<'a> {
    /// Over which connection it came.
    pub connection: u64,
    /// Postfix's name of the message, which begins with that of the process (`src/smtpd/smtpd.c`).
    pub instance: &'a [u8],
    /// The SMTP client's address.
    pub address: &'a [u8],
    /// Its port.
    pub port: &'a [u8],
    /// How it greeted.
    pub helo: &'a [u8],
    /// The recipient that is asked about.
    pub recipient: &'a [u8],
    /// What uses up [`ClientLimits::rcpt`] and [`ClientLimits::rcpt_errors`], for the log.
    pub whose: [&'static str; 2],
}

/// The SMTP sessions of one listener.
pub struct Sessions {
    limits: ClientLimits,
    table: Cache<Box<[u8]>, Arc<Mutex<Session>>>,
    hasher: RandomState,
}

struct Session {
    seen: Instant,
    /// The message under way.
    instance: Vec<u8>,
    /// Whether it had an accepted recipient.
    accepted: bool,
    /// Hashes of message and recipient: of this message, and the refused ones of the session. Kept only as far as the
    /// limits need them.
    counted: HashSet<u64>,
    refused: HashSet<u64>,
}

/// A question that may be asked, and reports its outcome.
pub struct Ticket {
    limits: ClientLimits,
    session: Arc<Mutex<Session>>,
    question: u64,
}

impl SessionLimits for Sessions {
    type Settings = ClientLimits;
    type Attempt<'a> = RcptAttempt<'a>;
    type Ticket = Ticket;

    fn new(limits: ClientLimits) -> Self {
        Self {
            limits,
            table: Cache::new(SESSIONS),
            hasher: RandomState::new(),
        }
    }

    fn settings(&self) -> &ClientLimits {
        &self.limits
    }

    /// Counts a question. What was counted before may be asked again, as often as Postfix retries it.
    fn admit(&self, asked: RcptAttempt<'_>) -> Result<Ticket, UsedUp> {
        let [message, whole] = asked.whose;
        let question = self.hasher.hash_one((asked.instance, asked.recipient));
        let session = self.session(&asked);
        {
            let mut session = session.lock();
            if starts_again(&asked, &session.instance) || session.seen.elapsed() >= FORGET {
                *session = Session::new();
            }
            session.seen = Instant::now();
            if session.instance != asked.instance {
                session.next_message(asked.instance);
            }
            let Session { counted, refused, .. } = &mut *session;
            let known = counted.contains(&question) || refused.contains(&question);
            if !known {
                if is_full(refused, self.limits.rcpt_errors.most()) {
                    return Err(UsedUp::RcptErrors(whole));
                }
                if is_full(counted, self.limits.rcpt.most()) {
                    return Err(UsedUp::Rcpt(message));
                }
                if self.limits.rcpt.most().is_some() {
                    counted.insert(question);
                }
            }
        }
        Ok(Ticket {
            limits: self.limits,
            session,
            question,
        })
    }

    fn note(&self, ticket: Ticket, decision: &Decision) {
        match decision.verdict {
            Verdict::Accept(_) | Verdict::Abstain(Abstention::NoOpinion) => ticket.accepted(),
            Verdict::Reject(_) => ticket.refused(),
            Verdict::Defer(_) | Verdict::Abstain(Abstention::NotOurs) => {}
        }
    }
}

impl Sessions {
    fn session(&self, asked: &RcptAttempt<'_>) -> Arc<Mutex<Session>> {
        let key = key(asked);
        let found = self
            .table
            .get_or_insert_with(&key, || Ok::<_, Infallible>(Arc::new(Mutex::new(Session::new()))));
        let Ok(session) = found;
        session
    }
}

impl Session {
    fn new() -> Self {
        Self {
            seen: Instant::now(),
            instance: Vec::new(),
            accepted: false,
            counted: HashSet::new(),
            refused: HashSet::new(),
        }
    }

    fn next_message(&mut self, instance: &[u8]) {
        self.instance = instance.to_vec();
        self.counted.clear();
        if std::mem::take(&mut self.accepted) {
            self.refused.clear();
        }
    }
}

impl Ticket {
    /// Mail for the recipient is taken.
    pub fn accepted(self) {
        self.session.lock().accepted = true;
    }

    /// The remote refused the recipient.
    pub fn refused(self) {
        if self.limits.rcpt_errors.most().is_some() {
            self.session.lock().refused.insert(self.question);
        }
    }
}

fn is_full(counted: &HashSet<u64>, limit: Option<u32>) -> bool {
    limit.is_some_and(|limit| counted.len() as u64 >= u64::from(limit))
}

/// What tells SMTP sessions apart: the smtpd process (the first part of
/// `instance`, Postfix `src/smtpd/smtpd.c`) and the client's address and port;
/// the client's greeting where an old Postfix gives no port; the connection
/// where there is no instance, as with VRFY.
fn key(asked: &RcptAttempt<'_>) -> Box<[u8]> {
    let connection = asked.connection.to_be_bytes();
    let process = match asked.instance.split(|&byte| byte == b'.').next() {
        Some(process) if !process.is_empty() => process,
        _ => &connection,
    };
    let port = if has_port(asked) { asked.port } else { asked.helo };
    [process, asked.address, port]
        .map(|part| &part[..part.len().min(PART)])
        .join(&0)
        .into()
}

fn has_port(asked: &RcptAttempt<'_>) -> bool {
    !asked.port.is_empty() && asked.port != b"unknown"
}

/// Whether a session that its port does not identify begins anew: the counter at
/// the end of `instance` starts at 0 in each SMTP session.
fn starts_again(asked: &RcptAttempt<'_>, last: &[u8]) -> bool {
    !has_port(asked)
        && !last.is_empty()
        && asked.instance != last
        && asked.instance.rsplit(|&byte| byte == b'.').next() == Some(b"0")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::limit::Limit;
    use crate::settings::protocol::Protocol;

    fn request<'a>(instance: &'a str, recipient: &'a str, connection: u64) -> RcptAttempt<'a> {
        RcptAttempt {
            connection,
            instance: instance.as_bytes(),
            recipient: recipient.as_bytes(),
            address: b"192.0.2.1",
            port: b"50918",
            helo: b"",
            whose: ["message", "session"],
        }
    }

    fn sessions(rcpt: u32, rcpt_errors: u32) -> Sessions {
        Sessions::new(ClientLimits {
            rcpt: Limit::At(rcpt),
            rcpt_errors: Limit::At(rcpt_errors),
            ..ClientLimits::new(Protocol::Policy)
        })
    }

    #[test]
    fn recipients_of_a_message_are_counted_once_over_connections() {
        let sessions = sessions(2, 10);
        assert!(sessions.admit(request("1.a.b.0", "a@e.org", 1)).is_ok());
        assert!(
            sessions.admit(request("1.a.b.0", "a@e.org", 2)).is_ok(),
            "a retry on another connection"
        );
        assert!(sessions.admit(request("1.a.b.0", "b@e.org", 2)).is_ok());
        assert!(
            sessions.admit(request("1.a.b.0", "c@e.org", 2)).is_err(),
            "a third one"
        );
        assert!(
            sessions.admit(request("1.a.b.0", "b@e.org", 3)).is_ok(),
            "still a retry"
        );
        assert!(
            sessions.admit(request("1.a.c.1", "c@e.org", 3)).is_ok(),
            "the next message, same session"
        );
    }

    #[test]
    fn refused_ones_count_over_messages_until_one_had_an_accepted_recipient() {
        let sessions = sessions(100, 2);
        let admit = |message: usize, recipient: &str| {
            let instance = format!("1.a.{message:x}.{message}");
            sessions.admit(request(&instance, recipient, 1))
        };
        // One known and one unknown recipient in each of sixty messages.
        for message in 0..60 {
            admit(message, "no@e.org").unwrap().refused();
            admit(message, "jane@e.org").unwrap().accepted();
        }
        admit(60, "a@e.org").unwrap().refused();
        admit(60, "b@e.org").unwrap().refused();
        assert!(admit(60, "jane@e.org").is_err(), "within one message they count");
        assert!(
            admit(61, "jane@e.org").is_err(),
            "and in the next, as it had no accepted one"
        );
    }

    #[test]
    fn an_accepted_recipient_makes_up_for_refused_ones_with_the_next_message_alone() {
        let sessions = sessions(100, 2);
        let first = |recipient| sessions.admit(request("1.a.b.0", recipient, 1));
        first("jane@e.org").unwrap().accepted();
        first("a@e.org").unwrap().refused();
        first("b@e.org").unwrap().refused();
        assert!(first("joe@e.org").is_err());
        assert!(sessions.admit(request("1.a.c.1", "joe@e.org", 1)).is_ok());
    }

    #[test]
    fn refused_ones_are_counted_once() {
        let sessions = sessions(100, 2);
        for recipient in ["a@e.org", "a@e.org", "b@e.org"] {
            sessions
                .admit(request("1.a.b.0", recipient, 1))
                .unwrap()
                .refused();
        }
        let third = sessions.admit(request("1.a.b.0", "c@e.org", 1));
        assert_eq!(third.err(), Some(UsedUp::RcptErrors("session")));
        assert!(sessions.admit(request("1.a.b.0", "a@e.org", 1)).is_ok());
    }

    #[test]
    fn other_clients_are_other_sessions() {
        let sessions = sessions(1, 1);
        assert!(sessions.admit(request("1.a.b.0", "a@e.org", 1)).is_ok());
        assert!(sessions.admit(request("1.a.b.0", "b@e.org", 1)).is_err());
        let other_port = RcptAttempt {
            port: b"50919",
            ..request("1.a.c.0", "b@e.org", 1)
        };
        assert!(sessions.admit(other_port).is_ok());
        assert!(sessions.admit(request("2.a.b.0", "b@e.org", 1)).is_ok());
    }

    #[test]
    fn without_a_port_a_restarted_counter_is_a_new_session() {
        let sessions = sessions(1, 1);
        let old = |instance, recipient| RcptAttempt {
            port: b"",
            ..request(instance, recipient, 1)
        };
        sessions.admit(old("1.a.b.0", "a@e.org")).unwrap().refused();
        assert!(sessions.admit(old("1.a.c.1", "b@e.org")).is_err());
        assert!(sessions.admit(old("1.a.d.0", "b@e.org")).is_ok());
    }

    // Fills FORGET.
    #[tokio::test(start_paused = true)]
    async fn a_silent_session_is_over() {
        let sessions = sessions(1, 1);
        sessions
            .admit(request("1.a.b.0", "a@e.org", 1))
            .unwrap()
            .refused();
        assert!(sessions.admit(request("1.a.c.1", "b@e.org", 1)).is_err());
        tokio::time::advance(FORGET).await;
        assert!(sessions.admit(request("1.a.d.2", "b@e.org", 1)).is_ok());
    }

    #[test]
    fn vrfy_is_counted_by_connection() {
        let sessions = sessions(1, 1);
        assert!(sessions.admit(request("", "a@e.org", 1)).is_ok());
        assert!(sessions.admit(request("", "b@e.org", 1)).is_err());
        assert!(sessions.admit(request("", "b@e.org", 2)).is_ok());
    }

    #[test]
    fn unlimited_keeps_nothing() {
        let sessions = Sessions::new(ClientLimits::new(Protocol::Socketmap));
        for number in 0..1000 {
            let ticket = sessions
                .admit(request("1.a.b.0", &format!("{number}@e.org"), 1))
                .unwrap();
            let session = ticket.session.clone();
            ticket.refused();
            assert!(session.lock().counted.is_empty() && session.lock().refused.is_empty());
        }
    }

    // Fills SESSIONS.
    #[test]
    fn more_sessions_than_are_remembered_cost_no_more_memory() {
        let sessions = sessions(1, 1);
        for number in 0..2 * SESSIONS {
            let instance = format!("{number}.a.b.0");
            assert!(sessions.admit(request(&instance, "a@e.org", 1)).is_ok());
            assert!(
                sessions.admit(request(&instance, "b@e.org", 1)).is_err(),
                "the latest is remembered"
            );
        }
        assert!(sessions.table.len() <= SESSIONS);
    }

    // Fills PART.
    #[test]
    fn a_session_is_told_by_parts_of_a_bounded_length() {
        let name = "9".repeat(8000);
        assert!(key(&request(&name, "a@e.org", 1)).len() <= 3 * PART + 2);
    }
}
