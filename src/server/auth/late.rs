//! Answers that a penalty holds back. Nothing but these few words is held: no session, no
//! place in a queue, and no other answer of the connection.

use std::collections::BTreeMap;

use tokio::time::Instant;

use super::Decided;

/// Bound (clients): answers of one connection that a penalty delays. Beyond: one more is sent at once. Why: the
/// busiest of Dovecot's login processes serve a thousand clients.
const HELD: usize = 4096;

/// The answers of one connection, by when they are due and by serial number.
#[derive(Default)]
pub(super) struct Late(BTreeMap<(Instant, u64), Box<Decided>>);

impl Late {
    /// Holds one back until then; gives it back where too many are.
    pub(super) fn hold(&mut self, decided: Box<Decided>, due: Instant) -> Option<Box<Decided>> {
        if self.0.len() >= HELD {
            return Some(decided);
        }
        self.0.insert((due, decided.serial), decided)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// When the next one is due.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.0.keys().next().map(|(due, _)| *due)
    }

    /// Takes the next one that is due, or, of `all`, the next one.
    pub(super) fn take(&mut self, all: bool) -> Option<Box<Decided>> {
        let next = self.0.first_entry()?;
        let (due, _) = *next.key();
        (all || due <= Instant::now()).then(|| next.remove())
    }
}
