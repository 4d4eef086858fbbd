//! How much of a pool each kind of question may hold.

use super::count::{Count, Held};
use super::{Limits, Standing};

/// Of so many sessions one is for users who just failed: every second one.
pub(crate) const DOUBTFUL: usize = 2;

/// Of so many sessions one is for clients' dialogs: every fourth one.
pub(crate) const DIALOGS: usize = 4;

/// Questions that wait, by their standing.
#[derive(Debug, Default)]
pub(super) struct Waiting(ByStanding<usize>);

/// Questions that hold a session, by their standing.
#[derive(Debug, Default)]
pub(super) struct Asking(ByStanding<Count>);

#[derive(Debug, Default)]
struct ByStanding<T> {
    good: T,
    doubtful: T,
    dialog: T,
}

impl<T> ByStanding<T> {
    const fn of(&self, standing: Standing) -> &T {
        match standing {
            Standing::Good => &self.good,
            Standing::Doubtful => &self.doubtful,
            Standing::Dialog => &self.dialog,
        }
    }

    const fn of_mut(&mut self, standing: Standing) -> &mut T {
        match standing {
            Standing::Good => &mut self.good,
            Standing::Doubtful => &mut self.doubtful,
            Standing::Dialog => &mut self.dialog,
        }
    }
}

impl Waiting {
    pub(super) const fn of(&self, standing: Standing) -> usize {
        *self.0.of(standing)
    }

    pub(super) const fn add(&mut self, standing: Standing) {
        *self.0.of_mut(standing) += 1;
    }

    pub(super) const fn remove(&mut self, standing: Standing) {
        *self.0.of_mut(standing) -= 1;
    }
}

impl FromIterator<Standing> for Waiting {
    fn from_iter<I: IntoIterator<Item = Standing>>(standings: I) -> Self {
        let mut waiting = Self::default();
        standings.into_iter().for_each(|standing| waiting.add(standing));
        waiting
    }
}

impl Asking {
    pub(super) fn of(&self, standing: Standing) -> usize {
        self.0.of(standing).get()
    }

    pub(super) fn hold(&self, standing: Standing) -> Held {
        self.0.of(standing).hold(1)
    }
}

/// Sessions that questions of one standing may hold at once.
pub(super) fn of(standing: Standing, limits: &Limits) -> usize {
    match standing {
        Standing::Good => limits.max_sessions,
        Standing::Doubtful => (limits.max_sessions / DOUBTFUL).max(1),
        Standing::Dialog => (limits.max_sessions / DIALOGS).max(1),
    }
}
