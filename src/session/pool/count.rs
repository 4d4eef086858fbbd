//! Counts that come out even: what is counted gives itself back.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// How many there are of something. Its clones are one count.
///
/// Only who holds the pool's lock counts more, so what is decided under it is decided on numbers
/// that nobody but the decider raises meanwhile. Less may be counted at any time.
#[derive(Debug, Clone, Default)]
pub(super) struct Count(Arc<AtomicUsize>);

/// So many of them, for as long as this lives.
#[derive(Debug)]
#[must_use = "what is dropped is counted no more"]
pub(super) struct Held {
    count: Count,
    number: usize,
}

impl Count {
    /// How many there are now.
    pub(super) fn get(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    /// Counts `number` more.
    pub(super) fn hold(&self, number: usize) -> Held {
        self.0.fetch_add(number, Ordering::Relaxed);
        Held {
            count: self.clone(),
            number,
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.count.0.fetch_sub(self.number, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_is_counted_and_given_back_once() {
        let count = Count::default();
        let (three, one) = (count.hold(3), count.clone().hold(1));
        assert_eq!(count.get(), 4);
        drop(three);
        assert_eq!(count.get(), 1);
        drop(one);
        drop(count.hold(0));
        assert_eq!(count.get(), 0);
    }
}
