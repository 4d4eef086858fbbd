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
use std::hash::{BuildHasher, RandomState};
use std::mem::size_of;
use std::num::NonZeroU32;
use std::time::Duration;

use parking_lot::Mutex;
use quick_cache::Weighter;
use quick_cache::unsync::Cache;
use tokio::time::Instant;

use super::failures::EXPECTED;
use super::gate::{SessionLimits, UsedUp};
use crate::engine::Decision;
use crate::settings::client_limits::ClientLimits;
use crate::verdict::{Abstention, Verdict};

/// Bound (questions): SMTP sessions of one listener that are counted. Beyond: some are dropped and start from zero.
/// Why: more than end in an hour at most Postfixes, in 4 MiB.
const SESSIONS: usize = 65_536;

/// Bound (questions, bytes): memory of the SMTP sessions of one listener that are counted, however many recipients they
/// have asked about. Beyond: some are dropped and start from zero. Why: each recipient of a message takes some bytes.
const MEMORY: u64 = 32 << 20;

/// Bound (questions): time that an SMTP session may be silent. Beyond: it is forgotten. Why: its process and port may
/// belong to another by then.
const FORGET: Duration = Duration::from_secs(3600);

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
    /// By the hash of what tells a session.
    table: Mutex<Cache<u64, Session, InAll>>,
    hasher: RandomState,
    born: Instant,
}

/// What there is most of: a session takes as much memory as its entry, some 60 bytes, until it asks about a second recipient.
#[derive(Clone, Default)]
struct Session {
    /// In seconds after the birth of all.
    seen: u32,
    /// A hash of the name of the message under way; 0 where it has none.
    instance: u32,
    /// Of the first of [`Counts::more`], which is most often the only one.
    first: Option<Hash>,
    /// Whether the message had an accepted recipient.
    accepted: bool,
    counts: Option<Box<Counts>>,
}

/// Hashes of message and recipient. Kept only as far as the limits need them.
#[derive(Clone, Default)]
struct Counts {
    /// Of this message, but for the first.
    more: HashSet<Hash>,
    /// The refused ones of the session.
    refused: HashSet<Hash>,
}

/// A keyed hash: two questions of one session are taken for one in four thousand million.
type Hash = NonZeroU32;

/// Weighs what a session takes.
#[derive(Clone)]
struct InAll;

impl Weighter<u64, Session> for InAll {
    fn weight(&self, _: &u64, session: &Session) -> u64 {
        let counts = session.counts.as_ref().map_or(0, |counts| {
            let room = counts.more.capacity() + counts.refused.capacity();
            // A hash table has a byte for each place, and leaves an eighth of them free.
            size_of::<Counts>() + room * (size_of::<Hash>() + 1) * 8 / 7
        });
        (MEMORY / SESSIONS as u64).max(counts as u64)
    }
}

/// A question that may be asked, and reports its outcome.
pub struct Ticket {
    session: u64,
    question: Hash,
    /// Whether its message had an accepted recipient before.
    is_accepted: bool,
}

impl SessionLimits for Sessions {
    type Settings = ClientLimits;
    type Attempt<'a> = RcptAttempt<'a>;
    type Ticket = Ticket;

    fn new(limits: ClientLimits) -> Self {
        Self {
            limits,
            table: Mutex::new(Cache::with_weighter(EXPECTED, MEMORY, InAll)),
            hasher: RandomState::new(),
            born: Instant::now(),
        }
    }

    fn settings(&self) -> &ClientLimits {
        &self.limits
    }

    /// Counts a question. What was counted before may be asked again, as often as Postfix retries it.
    fn admit(&self, asked: RcptAttempt<'_>) -> Result<Ticket, UsedUp> {
        let [message, whole] = asked.whose;
        let instance = match asked.instance {
            [] => 0,
            name => self.hash(name).get(),
        };
        let mut ticket = Ticket {
            session: self.hasher.hash_one(key(&asked)),
            question: self.hash((instance, asked.recipient)),
            is_accepted: false,
        };
        let now = u32::try_from(self.born.elapsed().as_secs()).unwrap_or(u32::MAX);
        self.with(ticket.session, |session| {
            let silent = u64::from(now - session.seen.min(now));
            if starts_again(&asked, instance, session.instance) || silent >= FORGET.as_secs() {
                *session = Session::default();
            }
            session.seen = now;
            if session.instance != instance {
                session.next_message(instance);
            }
            ticket.is_accepted = session.accepted;
            if session.knows(ticket.question) {
                return Ok(());
            }
            if is_full(session.refused(), self.limits.rcpt_errors.most()) {
                return Err(UsedUp::RcptErrors(whole));
            }
            if is_full(session.counted(), self.limits.rcpt.most()) {
                return Err(UsedUp::Rcpt(message));
            }
            if self.limits.rcpt.most().is_some() {
                session.count(ticket.question);
            }
            Ok(())
        })?;
        Ok(ticket)
    }

    fn note(&self, ticket: Ticket, decision: &Decision) {
        match decision.verdict {
            Verdict::Accept(_) | Verdict::Abstain(Abstention::NoOpinion) => self.accepted(&ticket),
            Verdict::Reject(_) => self.refused(&ticket),
            Verdict::Defer(_) | Verdict::Abstain(Abstention::NotOurs) => {}
        }
    }
}

impl Sessions {
    /// Looks at a session, which may be a new one.
    fn with<T>(&self, session: u64, look: impl FnOnce(&mut Session) -> T) -> T {
        let mut table = self.table.lock();
        let (mut changed, mut added) = (table.get_mut(&session), Session::default());
        let seen = look(changed.as_deref_mut().unwrap_or(&mut added));
        let grown = changed.is_some();
        drop(changed);
        if !grown {
            table.insert(session, added);
        } else if table.weight() > MEMORY
            && let Some((session, grown)) = table.remove(&session)
        {
            // Others make room for what is put in, and for nothing else.
            table.insert(session, grown);
        }
        seen
    }

    fn hash(&self, what: impl std::hash::Hash) -> Hash {
        let [.., a, b, c, d] = self.hasher.hash_one(what).to_be_bytes();
        NonZeroU32::new(u32::from_be_bytes([a, b, c, d])).unwrap_or(NonZeroU32::MIN)
    }

    /// Mail for the recipient is taken.
    fn accepted(&self, ticket: &Ticket) {
        if !ticket.is_accepted {
            self.with(ticket.session, |session| session.accepted = true);
        }
    }

    /// The remote refused the recipient.
    fn refused(&self, ticket: &Ticket) {
        if self.limits.rcpt_errors.most().is_some() {
            self.with(ticket.session, |session| {
                session
                    .counts
                    .get_or_insert_default()
                    .refused
                    .insert(ticket.question);
            });
        }
    }
}

impl Session {
    fn next_message(&mut self, instance: u32) {
        self.instance = instance;
        self.first = None;
        let accepted = std::mem::take(&mut self.accepted);
        if let Some(counts) = &mut self.counts {
            counts.more = HashSet::new();
            if accepted || counts.refused.is_empty() {
                self.counts = None;
            }
        }
    }

    fn knows(&self, question: Hash) -> bool {
        let counts = self.counts.as_ref();
        self.first == Some(question)
            || counts.is_some_and(|it| it.more.contains(&question) || it.refused.contains(&question))
    }

    fn count(&mut self, question: Hash) {
        if self.first.is_none() {
            self.first = Some(question);
        } else {
            self.counts.get_or_insert_default().more.insert(question);
        }
    }

    fn counted(&self) -> usize {
        usize::from(self.first.is_some()) + self.counts.as_ref().map_or(0, |counts| counts.more.len())
    }

    fn refused(&self) -> usize {
        self.counts.as_ref().map_or(0, |counts| counts.refused.len())
    }
}

fn is_full(counted: usize, limit: Option<u32>) -> bool {
    limit.is_some_and(|limit| counted as u64 >= u64::from(limit))
}

/// What tells SMTP sessions apart: the smtpd process (the first part of
/// `instance`, Postfix `src/smtpd/smtpd.c`) and the client's address and port;
/// the client's greeting where an old Postfix gives no port; the connection
/// where there is no instance, as with VRFY.
fn key<'a>(asked: &RcptAttempt<'a>) -> (&'a [u8], u64, &'a [u8], &'a [u8]) {
    let process = asked.instance.split(|&byte| byte == b'.').next();
    let process = process.unwrap_or_default();
    let connection = if process.is_empty() { asked.connection } else { 0 };
    let port = if has_port(asked) { asked.port } else { asked.helo };
    (process, connection, asked.address, port)
}

fn has_port(asked: &RcptAttempt<'_>) -> bool {
    !asked.port.is_empty() && asked.port != b"unknown"
}

/// Whether a session that its port does not identify begins anew: the counter at
/// the end of `instance` starts at 0 in each SMTP session.
fn starts_again(asked: &RcptAttempt<'_>, instance: u32, last: u32) -> bool {
    !has_port(asked)
        && last != 0
        && instance != last
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
            sessions.refused(&admit(message, "no@e.org").unwrap());
            sessions.accepted(&admit(message, "jane@e.org").unwrap());
        }
        sessions.refused(&admit(60, "a@e.org").unwrap());
        sessions.refused(&admit(60, "b@e.org").unwrap());
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
        sessions.accepted(&first("jane@e.org").unwrap());
        sessions.refused(&first("a@e.org").unwrap());
        sessions.refused(&first("b@e.org").unwrap());
        assert!(first("joe@e.org").is_err());
        assert!(sessions.admit(request("1.a.c.1", "joe@e.org", 1)).is_ok());
    }

    #[test]
    fn refused_ones_are_counted_once() {
        let sessions = sessions(100, 2);
        for recipient in ["a@e.org", "a@e.org", "b@e.org"] {
            sessions.refused(&sessions.admit(request("1.a.b.0", recipient, 1)).unwrap());
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
        sessions.refused(&sessions.admit(old("1.a.b.0", "a@e.org")).unwrap());
        assert!(sessions.admit(old("1.a.c.1", "b@e.org")).is_err());
        assert!(sessions.admit(old("1.a.d.0", "b@e.org")).is_ok());
    }

    // Fills FORGET.
    #[tokio::test(start_paused = true)]
    async fn a_silent_session_is_over() {
        let sessions = sessions(1, 1);
        sessions.refused(&sessions.admit(request("1.a.b.0", "a@e.org", 1)).unwrap());
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
            let asked = request("1.a.b.0", "a@e.org", number);
            let ticket = sessions.admit(asked).unwrap();
            sessions.refused(&ticket);
            let session = sessions.table.lock().get(&ticket.session).cloned().unwrap();
            assert_eq!((session.counted(), session.refused()), (0, 0));
        }
    }

    // Fills SESSIONS.
    #[test]
    fn more_sessions_than_are_remembered_cost_no_more_memory() {
        let sessions = sessions(1, 1);
        for number in 0..SESSIONS as u64 {
            sessions.with(number, |session| session.count(Hash::MIN));
        }
        for number in 0..SESSIONS / 64 {
            let instance = format!("{number}.a.b.0");
            assert!(sessions.admit(request(&instance, "a@e.org", 1)).is_ok());
            assert!(
                sessions.admit(request(&instance, "b@e.org", 1)).is_err(),
                "the latest is remembered"
            );
        }
        let table = sessions.table.lock();
        assert!(table.len() <= SESSIONS);
        assert!(size_of::<Session>() <= 24);
        let has_one = |(_, session): (&u64, &Session)| session.counted() == 1 && session.counts.is_none();
        assert!(table.iter().all(has_one));
    }

    // Fills MEMORY.
    #[test]
    fn more_recipients_than_are_remembered_cost_no_more_memory() {
        let sessions = sessions(1_000_000, 1);
        for number in 0..100 {
            let instance = format!("{number}.a.b.0");
            let ticket = sessions.admit(request(&instance, "a@e.org", 1)).unwrap();
            // As many as there is room for in a table of this size.
            let many = (1..=100_000).filter_map(Hash::new);
            sessions.with(ticket.session, |session| {
                session.counts.get_or_insert_default().more.extend(many.clone());
            });
            let counted = sessions.with(ticket.session, |session| session.counted());
            assert_eq!(counted, 100_001, "the latest is remembered");
        }
        let table = sessions.table.lock();
        assert!(table.weight() <= MEMORY, "{}", table.weight());
        assert!((20..60).contains(&table.len()), "{}", table.len());
    }
}
