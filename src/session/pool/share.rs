//! How much of a pool each kind of question may hold.

use super::{Limits, Standing};

/// Of so many sessions one is for users who just failed: every second one.
pub(crate) const DOUBTFUL: usize = 2;

/// Of so many sessions one is for clients' dialogs: every fourth one.
pub(crate) const DIALOGS: usize = 4;

/// Questions by their standing.
#[derive(Debug, Default)]
pub(super) struct Counts {
    good: usize,
    doubtful: usize,
    dialog: usize,
}

impl Counts {
    pub(super) fn of(&self, standing: Standing) -> usize {
        match standing {
            Standing::Good => self.good,
            Standing::Doubtful => self.doubtful,
            Standing::Dialog => self.dialog,
        }
    }

    pub(super) fn add(&mut self, standing: Standing) {
        *self.slot(standing) += 1;
    }

    pub(super) fn remove(&mut self, standing: Standing) {
        *self.slot(standing) -= 1;
    }

    fn slot(&mut self, standing: Standing) -> &mut usize {
        match standing {
            Standing::Good => &mut self.good,
            Standing::Doubtful => &mut self.doubtful,
            Standing::Dialog => &mut self.dialog,
        }
    }
}

impl FromIterator<Standing> for Counts {
    fn from_iter<I: IntoIterator<Item = Standing>>(standings: I) -> Self {
        let mut counts = Self::default();
        standings.into_iter().for_each(|standing| counts.add(standing));
        counts
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
