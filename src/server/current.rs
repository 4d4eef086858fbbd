//! A listener while the configuration changes: its clients stay connected, and each question uses its current settings.

use std::sync::Arc;

use parking_lot::RwLock;

/// A listener as currently configured.
pub struct Current<D>(RwLock<Arc<D>>);

impl<D> Current<D> {
    /// A listener that begins as `listener`.
    pub fn new(listener: D) -> Self {
        Self(RwLock::new(Arc::new(listener)))
    }

    /// The listener for the next question. A question keeps the one that it began with; what only waits for a question
    /// keeps none, or the directories of before would live as long as it.
    pub fn get(&self) -> Arc<D> {
        self.0.read().clone()
    }

    /// Replaces it with `next`, which is made from the current one.
    pub fn change(&self, next: impl FnOnce(&D) -> D) {
        let mut now = self.0.write();
        *now = Arc::new(next(&now));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_keeps_the_listener_that_it_began_with() {
        let current = Current::new(1);
        let before = current.get();
        current.change(|now| now + 1);
        assert_eq!((*before, *current.get()), (1, 2));
        assert_eq!(Arc::strong_count(&before), 1);
    }
}
