//! The requests of one connection that are not answered yet.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::RequestContext;
use super::exchange::Exchange;

/// Bound (questions): half-done logins of one connection. Beyond: one more gets no answer: FAIL temp, "Too many
/// unfinished requests". Why: busy login processes have a thousand clients each; Dovecot has no such limit.
const DIALOGS: usize = 16_384;

/// Bound (questions): time for which a half-done login waits for its client. Beyond: it is forgotten. Why: Dovecot's
/// own time (`MASTER_AUTH_SERVER_TIMEOUT_SECS`).
const DIALOG_TIMEOUT: Duration = Duration::from_secs(150);

/// A request under way.
pub(super) enum Pending {
    /// The client is to say more.
    Dialog {
        exchange: Exchange,
        asked: RequestContext,
        /// Tells it from an earlier dialog of the same id.
        began: Instant,
    },
    /// The engine is asked, or its answer is held back.
    Deciding {
        /// The number of the question.
        serial: u64,
        /// Dropped with this when the client gives it up.
        _given_up: oneshot::Sender<()>,
    },
}

/// Requests under way, by id.
#[derive(Default)]
pub(super) struct Requests {
    pending: HashMap<u32, Pending>,
    /// Dialogs in the order in which they began; some of them are over.
    began: VecDeque<(Instant, u32)>,
    dialogs: usize,
    deciding: usize,
    serials: u64,
}

impl Requests {
    pub(super) fn has(&self, id: u32) -> bool {
        self.pending.contains_key(&id)
    }

    /// Whether the engine is asked anything, or an answer of it is held back. Dialogs do
    /// not count: Postfix leaves them behind when its client gives up, without a CANCEL.
    pub(super) fn is_deciding(&self) -> bool {
        self.deciding > 0
    }

    /// Whether a dialog waits that began within this time.
    pub(super) fn has_dialog(&self, within: Duration) -> bool {
        let newest_first = self.began.iter().rev();
        newest_first
            .take_while(|(since, _)| since.elapsed() < within)
            .any(|begun| is_open(&self.pending, begun))
    }

    /// Keeps a dialog that waits for its client; `false` when there are too many.
    pub(super) fn wait_for_client(&mut self, exchange: Exchange, asked: RequestContext) -> bool {
        if self.dialogs >= DIALOGS {
            return false;
        }
        if self.began.len() >= 2 * DIALOGS {
            self.drop_those_that_are_over();
        }
        let (id, began) = (asked.id, Instant::now());
        self.dialogs += 1;
        self.began.push_back((began, id));
        self.pending.insert(
            id,
            Pending::Dialog {
                exchange,
                asked,
                began,
            },
        );
        true
    }

    /// Notes that the engine is asked, and gives the serial number of the question, and what comes
    /// to its end when the request is taken off.
    pub(super) fn ask_engine(&mut self, id: u32) -> (u64, oneshot::Receiver<()>) {
        self.serials += 1;
        self.deciding += 1;
        let (sender, given_up) = oneshot::channel();
        let deciding = Pending::Deciding {
            serial: self.serials,
            _given_up: sender,
        };
        self.pending.insert(id, deciding);
        (self.serials, given_up)
    }

    /// Takes a request off; its id is free again.
    pub(super) fn take(&mut self, id: u32) -> Option<Pending> {
        let taken = self.pending.remove(&id);
        match taken {
            Some(Pending::Dialog { .. }) => self.dialogs -= 1,
            Some(Pending::Deciding { .. }) => self.deciding -= 1,
            None => {}
        }
        taken
    }

    /// Whether the question of this serial number waits for its answer; not where it
    /// was cancelled, and its id may be another's by now.
    pub(super) fn is_deciding_on(&self, id: u32, serial: u64) -> bool {
        matches!(self.pending.get(&id), Some(Pending::Deciding { serial: asked, .. }) if *asked == serial)
    }

    /// Takes off the question of this serial number; `false` where it waits no more.
    pub(super) fn take_decided(&mut self, id: u32, serial: u64) -> bool {
        let ours = self.is_deciding_on(id, serial);
        if ours {
            self.take(id);
        }
        ours
    }

    /// When the oldest dialog is to be forgotten.
    pub(super) fn next_timeout(&mut self) -> Option<Instant> {
        while let Some(&(since, id)) = self.began.front() {
            if is_open(&self.pending, &(since, id)) {
                return Some(since + DIALOG_TIMEOUT);
            }
            self.began.pop_front();
        }
        None
    }

    /// Dialogs that ended leave their place in the order of beginnings only when all before them have. A
    /// client that leaves one open, and begins and ends others, would otherwise fill it for as long as
    /// that one may wait.
    fn drop_those_that_are_over(&mut self) {
        self.began.retain(|begun| is_open(&self.pending, begun));
    }

    /// Forgets the dialogs whose time is over.
    pub(super) fn forget_old(&mut self) {
        while let Some(timeout) = self.next_timeout() {
            if timeout > Instant::now() {
                return;
            }
            if let Some((_, id)) = self.began.pop_front() {
                self.take(id);
            }
        }
    }
}

/// Whether the dialog that began then, under this id, is under way still.
fn is_open(pending: &HashMap<u32, Pending>, (since, id): &(Instant, u32)) -> bool {
    matches!(pending.get(id), Some(Pending::Dialog { began, .. }) if began == since)
}

#[cfg(test)]
mod tests {
    use vouch_protocol::sasl::{Mechanism, RelayedMechanism};

    use super::*;
    use crate::settings::mechanism;
    use crate::verdict::Client;

    fn wait(requests: &mut Requests, id: u32) -> bool {
        let asked = RequestContext {
            id,
            mechanism: mechanism::Mechanism::Password(Mechanism::Plain),
            client: Client::default(),
            nologin: false,
            no_penalty: false,
        };
        requests.wait_for_client(Exchange::First(RelayedMechanism::XOauth2), asked)
    }

    // Fills requests::DIALOGS.
    #[tokio::test(start_paused = true)]
    async fn so_many_dialogs_wait_and_one_that_ends_makes_room() {
        let mut requests = Requests::default();
        let last = u32::try_from(DIALOGS).unwrap();
        assert!((1..=last).all(|id| wait(&mut requests, id)));
        assert!(!wait(&mut requests, last + 1));
        requests.take(7);
        assert!(wait(&mut requests, last + 1));
        assert!(requests.has(1) && requests.has(last + 1));
    }

    #[tokio::test(start_paused = true)]
    async fn dialogs_that_come_and_go_beside_one_that_stays_leave_nothing_behind() {
        let mut requests = Requests::default();
        assert!(wait(&mut requests, 1));
        for number in 0..10 * DIALOGS {
            let id = 2 + u32::try_from(number % 3).unwrap();
            assert!(wait(&mut requests, id));
            requests.take(id);
            assert!(requests.began.len() <= 2 * DIALOGS);
        }
        tokio::time::advance(DIALOG_TIMEOUT).await;
        requests.forget_old();
        assert!(!requests.has(1) && requests.began.is_empty());
    }
}
