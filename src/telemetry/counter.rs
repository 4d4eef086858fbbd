//! Numbers that only go up, each held by the part that counts.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counts what happened since the start of the process.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Nothing happened yet.
    pub const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// It happened once more.
    pub fn count(&self) {
        self.add(1);
    }

    /// It happened `times` more.
    pub fn add(&self, times: u64) {
        // Nothing else is concluded from it, so nothing need be in order with it.
        self.0.fetch_add(times, Ordering::Relaxed);
    }

    /// How often it happened.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
