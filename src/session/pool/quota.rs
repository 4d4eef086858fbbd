//! How the sessions of a pool are shared among questions of each standing.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

use super::count::{Count, Held};
use super::{Asker, Priority};
use crate::address::network::Network;

/// Bound (sessions, one in): sessions of max-sessions for dialogs of clients. Beyond: further dialogs wait. Why: each
/// client may leave one half done.
const DIALOGS: usize = 4;

/// Bound (sessions, one in): of the sessions for dialogs, those for clients of one network. Beyond: further dialogs
/// wait. Why: an attacker who leaves them half done has few networks.
const OF_ONE_NETWORK: usize = 2;

/// Bound (sessions, one in): sessions of max-sessions kept free for recently accepted logins. Beyond: other logins
/// use the rest; as many are kept as were recently needed at once. Why: servers delay guesses for seconds; honest
/// logins need sessions meanwhile.
const KEPT_FREE: usize = 2;

/// Bound (sessions): sessions kept free beyond those that were needed. Beyond: others wait for the rest. Why: one
/// guess in some thousand at a known user has the priority of such a login, and holds a session for as long as a
/// refusal takes.
const SPARE: usize = 1;

/// Bound (sessions): time for which sessions that were needed are kept free. Beyond: all logins may use them. Why:
/// mail programs come back every few minutes.
const NEED: Duration = Duration::from_secs(300);

/// Which questions use which sessions.
#[derive(Debug, Default)]
pub(super) struct Quotas {
    asking: [Count; Priority::ALL.len()],
    /// Dialogs that hold a session, by the client's network.
    dialogs: HashMap<Option<Network>, Count>,
    need: Need,
}

/// What a question holds while it is asked.
#[derive(Debug)]
pub(super) struct Quota {
    _of_standing: Held,
    _of_network: Option<Held>,
}

/// Sessions that there are and may be.
#[derive(Debug, Clone, Copy)]
pub(super) struct Room {
    /// Sessions that there may be.
    pub(super) most: usize,
    /// Of these, those that no question holds, and none is closing.
    pub(super) free: usize,
}

impl Quotas {
    /// A question is asked.
    pub(super) fn hold(&mut self, asker: &Asker) -> Quota {
        let of_network = asker.standing.is_dialog().then(|| {
            if self.dialogs.len() >= NETWORKS {
                self.dialogs.retain(|_, dialogs| dialogs.get() > 0);
            }
            self.dialogs.entry(asker.network).or_default().hold(1)
        });
        Quota {
            _of_standing: self.asking[asker.standing as usize].hold(1),
            _of_network: of_network,
        }
    }

    /// Whether a question of this kind may be asked now.
    pub(super) fn may_ask(&self, asker: &Asker, room: Room) -> bool {
        let of_network = || {
            let dialogs = self.dialogs.get(&asker.network).map_or(0, Count::get);
            dialogs < (dialogs_of(room.most) / OF_ONE_NETWORK).max(1)
        };
        self.left(asker.standing, room) > 0 && (!asker.standing.is_dialog() || of_network())
    }

    /// How many of those who wait can be asked, given sessions, each of which takes a `batch`. `waiting` tells how many of
    /// a standing do.
    pub(super) fn askable(&self, waiting: impl Fn(Priority) -> usize, room: Room, batch: usize) -> usize {
        let mut room = room;
        let mut dialogs = usize::MAX;
        let mut all = 0;
        for standing in Priority::ALL {
            let left = self.left(standing, room).saturating_mul(batch);
            let mut some = waiting(standing).min(left);
            if standing.is_dialog() {
                dialogs = dialogs.min(self.left(Priority::TrustedDialog, room));
                some = some.min(dialogs);
                dialogs -= some;
            }
            if standing.is_lent() {
                room.free -= some.div_ceil(batch.max(1)).min(room.free);
            }
            all += some;
        }
        all
    }

    /// How many sessions more questions of one standing may hold.
    fn left(&self, standing: Priority, room: Room) -> usize {
        let trusted = self.of(Priority::Trusted) + self.of(Priority::TrustedDialog);
        let kept_free = self.kept_free(room);
        let lent = (room.free + trusted).saturating_sub(kept_free);
        let dialogs = self.of(Priority::TrustedDialog) + self.of(Priority::Dialog);
        let dialogs = dialogs_of(room.most).saturating_sub(dialogs);
        match standing {
            Priority::Trusted => usize::MAX,
            Priority::TrustedDialog => dialogs,
            Priority::Dialog => dialogs.min(lent),
            Priority::Stranger => lent,
        }
    }

    /// Sessions that are lent to nobody.
    fn kept_free(&self, room: Room) -> usize {
        match self.need.get() {
            0 => 0,
            need => (need + SPARE).min(room.most / KEPT_FREE),
        }
    }

    /// So many trusted questions wait.
    pub(super) fn note_need(&mut self, waiting: usize) {
        let asking = self.of(Priority::Trusted) + self.of(Priority::TrustedDialog);
        self.need.note(asking + waiting);
    }

    fn of(&self, standing: Priority) -> usize {
        self.asking[standing as usize].get()
    }
}

/// Networks whose dialogs are counted before those without any are forgotten.
const NETWORKS: usize = 64;

/// Sessions that dialogs may hold, of so many.
pub(super) fn dialogs_of(most: usize) -> usize {
    (most / DIALOGS).max(1)
}

/// The most that was needed at once of late: within the time of the last two windows.
#[derive(Debug, Default)]
struct Need {
    now: usize,
    before: usize,
    began: Option<Instant>,
}

impl Need {
    fn note(&mut self, number: usize) {
        // Most pools have no trusted ones, and read no clock for them: this is asked for each question.
        if number == 0 {
            return;
        }
        let windows = self.windows();
        if windows > 0 || self.began.is_none() {
            self.before = if windows == 1 { self.now } else { 0 };
            self.now = 0;
            self.began = Some(Instant::now());
        }
        self.now = self.now.max(number);
    }

    fn get(&self) -> usize {
        match self.windows() {
            0 => self.now.max(self.before),
            1 => self.now,
            _ => 0,
        }
    }

    /// Windows that have passed since this one began.
    fn windows(&self) -> u128 {
        let window = NEED / 2;
        self.began
            .map_or(0, |began| began.elapsed().as_nanos() / window.as_nanos())
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    fn asker(standing: Priority, network: &str) -> Asker {
        Asker {
            standing,
            network: Network::parse(network).ok(),
            ..Asker::default()
        }
    }

    // Fills NEED.
    #[tokio::test(start_paused = true)]
    async fn what_was_needed_is_kept_for_a_while() {
        let mut need = Need::default();
        need.note(7);
        advance(NEED / 2).await;
        need.note(3);
        assert_eq!(need.get(), 7);
        advance(NEED / 2).await;
        assert_eq!(need.get(), 3);
        need.note(1);
        assert_eq!(need.get(), 3);
        advance(NEED).await;
        assert_eq!(need.get(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn what_trusted_logins_needed_is_lent_to_nobody() {
        let mut quotas = Quotas::default();
        let stranger = asker(Priority::Stranger, "-");
        let mut held = Vec::new();
        let most = 10;
        let room = |held: &Vec<Quota>| Room {
            most,
            free: most - held.len(),
        };
        quotas.note_need(3);
        assert_eq!(quotas.askable(|_| 100, room(&held), 1), 100 + 2 + 6);
        let strangers = |standing| usize::from(standing == Priority::Stranger) * 1000;
        assert_eq!(quotas.askable(strangers, room(&held), 100), 6 * 100);
        while quotas.may_ask(&stranger, room(&held)) {
            held.push(quotas.hold(&stranger));
        }
        assert_eq!(held.len(), 6, "three are kept free, and one to spare");
        let trusted = asker(Priority::Trusted, "-");
        assert!(quotas.may_ask(&trusted, room(&held)));
        held.push(quotas.hold(&trusted));
        assert!(
            !quotas.may_ask(&stranger, room(&held)),
            "two are, and one to spare"
        );
        quotas.note_need(30);
        held.clear();
        while quotas.may_ask(&stranger, room(&held)) {
            held.push(quotas.hold(&stranger));
        }
        assert_eq!(held.len(), most / KEPT_FREE, "never more than half");
    }

    // Fills OF_ONE_NETWORK.
    #[test]
    fn dialogs_hold_a_quarter_and_those_of_one_network_half_of_it() {
        let mut quotas = Quotas::default();
        let room = Room { most: 16, free: 16 };
        let mut held = Vec::new();
        let mut fill = |quotas: &mut Quotas, asker: &Asker| {
            let mut number = 0;
            while quotas.may_ask(asker, room) {
                held.push(quotas.hold(asker));
                number += 1;
            }
            number
        };
        assert_eq!(fill(&mut quotas, &asker(Priority::Dialog, "192.0.2.1")), 2);
        assert_eq!(fill(&mut quotas, &asker(Priority::TrustedDialog, "192.0.2.1")), 0);
        assert_eq!(fill(&mut quotas, &asker(Priority::Dialog, "-")), 2);
        assert_eq!(fill(&mut quotas, &asker(Priority::Dialog, "192.0.2.2")), 0);
        assert!(quotas.may_ask(&asker(Priority::Stranger, "-"), room));
        drop(held);
        assert_eq!(fill_again(&mut quotas, room), 2);
    }

    fn fill_again(quotas: &mut Quotas, room: Room) -> usize {
        let asker = asker(Priority::Dialog, "192.0.2.3");
        let mut held = Vec::new();
        while quotas.may_ask(&asker, room) {
            held.push(quotas.hold(&asker));
        }
        held.len()
    }
}
