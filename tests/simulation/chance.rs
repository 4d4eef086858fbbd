//! Chance that comes back: the same seed, the same numbers (splitmix64).

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// A source of chance that many hands may draw from.
pub(crate) struct Chance(Mutex<u64>);

impl Chance {
    pub(crate) fn new(seed: u64) -> Self {
        Self(Mutex::new(seed))
    }

    /// What vouch draws in the world of this seed.
    pub(crate) fn of_vouch(seed: u64) -> vouch::chance::Chance {
        let own = Self::new(!seed);
        vouch::chance::Chance::new(move |bytes| {
            bytes.fill_with(|| own.among(0, 255) as u8);
            true
        })
    }

    fn next(&self) -> u64 {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = *state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Any of `low` to `high`, both included.
    pub(crate) fn among(&self, low: u64, high: u64) -> u64 {
        low + self.next() % (high - low + 1)
    }

    /// True so many times in a thousand.
    pub(crate) fn once_in(&self, per_mille: u64) -> bool {
        self.next() % 1000 < per_mille
    }

    pub(crate) fn coin(&self) -> bool {
        self.once_in(500)
    }

    pub(crate) fn ms(&self, low: u64, high: u64) -> Duration {
        Duration::from_millis(self.among(low, high))
    }

    pub(crate) fn one<T: Copy>(&self, of: &[T]) -> T {
        of[self.among(0, of.len() as u64 - 1) as usize]
    }
}
