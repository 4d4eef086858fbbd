//! What was asked before a memory was purged is not kept after that: its answer may be the one
//! that was to be forgotten.

use parking_lot::RwLock;

/// Counts the purges of a memory.
#[derive(Debug, Default)]
pub(super) struct Epoch(RwLock<u64>);

/// When a question was asked: between two purges.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Generation(u64);

impl Epoch {
    /// Something is asked now.
    pub(super) fn current(&self) -> Generation {
        Generation(*self.0.read())
    }

    /// A purge begins. Once this returns, nothing that was asked before is being kept, or will be.
    pub(super) fn end(&self) {
        let mut now = self.0.write();
        *now = now.wrapping_add(1);
    }

    /// Keeps an answer to what was asked then, unless a purge has begun since.
    pub(super) fn keep(&self, asked: Generation, keep: impl FnOnce()) {
        // Held while it is kept: a purge that begins meanwhile waits, and finds it.
        let now = self.0.read();
        if *now == asked.0 {
            keep();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_asked_before_a_purge_is_not_kept_after_it() {
        let epoch = Epoch::default();
        let kept = |asked| {
            let mut kept = false;
            epoch.keep(asked, || kept = true);
            kept
        };
        let before = epoch.current();
        assert!(kept(before));
        epoch.end();
        assert!(!kept(before) && kept(epoch.current()));
    }
}
