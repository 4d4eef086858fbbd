//! A server's account of its sessions.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Sessions remembered; beyond, the oldest is forgotten (the totals are not).
pub const MAX_SESSIONS: usize = 20_000;

/// Bytes of commands and recipients remembered in one session; beyond, they are only counted.
pub const MAX_RECORDED: usize = 4 * 1024 * 1024;

/// Violations remembered in one session.
pub const MAX_VIOLATIONS: usize = 100;

/// What happened in one session.
#[derive(Clone, Debug, Default)]
pub struct SessionLog {
    /// What the client sent, line by line in the order of arrival, without line ends and with secrets: this
    /// is a test server. Answers to challenges are here too; a literal stands
    /// alone between its line and the rest of that.
    pub commands: Vec<String>,
    /// The addresses in RCPT as they were sent, without `<>`, each with the code it was answered with;
    /// 0 until then.
    pub recipients: Vec<(String, u16)>,
    /// How many RCPT commands there were.
    pub rcpt: u32,
    /// How many of them were answered, but not with 2yz.
    pub rcpt_refused: u32,
    /// Logins with credentials that were not accepted.
    pub auth_failed: u32,
    /// Logins that were accepted.
    pub auth_ok: u32,
    /// Refused commands of any kind.
    pub errors: u32,
    /// The largest number of commands that arrived in one read.
    pub largest_group: u32,
    /// TLS was on in the end.
    pub tls: bool,
    /// The server name in the client's TLS hello.
    pub server_name: Option<String>,
    /// What the client did against the RFCs: a bare LF, pipelining where it is not allowed, a mechanism or
    /// parameter that was not offered. A test of a client may demand that there is none.
    pub violations: Vec<String>,
    /// How it ended.
    pub end: End,
    recorded: usize,
}

impl SessionLog {
    /// Remembers a line, within the bound.
    pub(crate) fn record(&mut self, line: &[u8]) {
        if self.within_bound(line.len()) {
            self.commands.push(String::from_utf8_lossy(line).into_owned());
        }
    }

    /// Counts a RCPT that arrived and remembers its address, within the bound; says whether it did.
    pub(crate) fn recipient_asked(&mut self, address: &str, keep: bool) -> bool {
        self.rcpt = self.rcpt.saturating_add(1);
        let kept = keep && self.within_bound(address.len());
        if kept {
            self.recipients.push((address.to_owned(), 0));
        }
        kept
    }

    /// The answer to the RCPT that arrived last.
    pub(crate) fn recipient_answered(&mut self, code: u16, kept: bool) {
        if code / 100 != 2 {
            self.rcpt_refused = self.rcpt_refused.saturating_add(1);
        }
        if let Some(last) = self.recipients.last_mut().filter(|_| kept) {
            last.1 = code;
        }
    }

    /// Remembers what the client did wrong.
    pub(crate) fn violation(&mut self, what: &str) {
        if self.violations.len() < MAX_VIOLATIONS {
            self.violations.push(what.to_owned());
        }
    }

    fn within_bound(&mut self, bytes: usize) -> bool {
        // A line costs more than its bytes.
        self.recorded = self.recorded.saturating_add(bytes).saturating_add(32);
        self.recorded <= MAX_RECORDED
    }
}

/// How a session ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum End {
    /// It has not.
    #[default]
    Open,
    /// By QUIT or LOGOUT.
    Goodbye,
    /// The client closed without a goodbye.
    ClientClosed,
    /// The client closed in the middle of a line, or by a reset.
    ClientBroke,
    /// The server closed, by a fault, by a limit or because it was stopped.
    ServerClosed,
    /// The TLS handshake failed: the client did not like the certificate, or spoke no TLS.
    TlsFailed,
}

/// All sessions of a server, and the totals.
#[derive(Default)]
pub(crate) struct Ledger {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    logs: VecDeque<Arc<Mutex<SessionLog>>>,
    counts: BTreeMap<&'static str, u64>,
    accepted: u64,
    open: usize,
    most_open: usize,
}

impl Ledger {
    /// Opens a session's log; says how many are open now.
    pub(crate) fn open(&self) -> (Arc<Mutex<SessionLog>>, usize) {
        let log = Arc::new(Mutex::new(SessionLog::default()));
        let mut state = lock(&self.state);
        if state.logs.len() >= MAX_SESSIONS {
            state.logs.pop_front();
        }
        state.logs.push_back(Arc::clone(&log));
        state.accepted += 1;
        state.open += 1;
        state.most_open = state.most_open.max(state.open);
        (log, state.open)
    }

    pub(crate) fn close(&self) {
        lock(&self.state).open -= 1;
    }

    /// Counts a command by its verb.
    pub(crate) fn add(&self, verb: &'static str) {
        *lock(&self.state).counts.entry(verb).or_default() += 1;
    }

    pub(crate) fn count(&self, verb: &str) -> u64 {
        lock(&self.state).counts.get(verb).copied().unwrap_or(0)
    }

    pub(crate) fn accepted(&self) -> u64 {
        lock(&self.state).accepted
    }

    /// Sessions open now, and the most there ever were.
    pub(crate) fn open_and_most(&self) -> (usize, usize) {
        let state = lock(&self.state);
        (state.open, state.most_open)
    }

    pub(crate) fn sessions(&self) -> Vec<SessionLog> {
        lock(&self.state)
            .logs
            .iter()
            .map(|log| lock(log).clone())
            .collect()
    }

    /// Forgets the sessions that have ended, and all totals.
    pub(crate) fn clear(&self) {
        let mut state = lock(&self.state);
        state.logs.retain(|log| lock(log).end == End::Open);
        state.counts.clear();
        state.accepted = 0;
        state.most_open = state.open;
    }
}

/// Locks; a test that panicked elsewhere does not poison the account.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
