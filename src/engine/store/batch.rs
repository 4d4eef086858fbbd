//! What waits to be written to a file.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use super::{Finding, Key};

/// Bound (cache): results written to cache.file together. Beyond: the others are written after them. Why: memory and
/// time of a writing are bounded, and no more waits for a disk that refuses.
const BATCH: usize = 10_000;

/// Bound (cache): purges that wait for a disk that refuses. Beyond: all in the file is deleted. Why: deleted answers
/// only cost another question.
pub(super) const PURGES: usize = 100;

/// Tells by its one form whether a recipient is to go.
type Tells = dyn Fn(&[u8]) -> bool + Send + Sync;

/// Those recipients that a function tells.
#[derive(Clone)]
pub struct Which(pub(in crate::engine) Arc<Tells>);

impl fmt::Debug for Which {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Which")
    }
}

impl PartialEq for Which {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Which {}

/// The scope of a purge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyScope {
    /// The recipient of this one form.
    One(Key),
    /// Recipients whose one form ends so: with `@` and a domain.
    Ending(Key),
    /// Those that this tells.
    Those(Which),
    /// Everybody.
    All,
}

impl KeyScope {
    /// Whether it is about this recipient.
    pub fn matches(&self, key: &[u8]) -> bool {
        match self {
            Self::One(one) => **one == *key,
            Self::Ending(end) => key.ends_with(end),
            Self::Those(which) => (which.0)(key),
            Self::All => true,
        }
    }
}

/// Purges, and what was found or forgotten since the first of them.
#[derive(Debug, Default)]
pub(super) struct Batch {
    purges: Vec<KeyScope>,
    /// Whose answers the file has from then on, where that changes.
    source: Option<String>,
    findings: HashMap<Key, Option<Finding>>,
}

impl Batch {
    /// Takes a finding, or that there is none any more; `false` where there is no room.
    pub(super) fn put(&mut self, key: Key, finding: Option<Finding>) -> bool {
        let room = self.findings.len() < BATCH || self.findings.contains_key(&key);
        if room {
            self.findings.insert(key, finding);
        }
        room
    }

    /// Takes a purge, of what was found so far.
    pub(super) fn purge(&mut self, whom: KeyScope) {
        self.findings.retain(|key, _| !whom.matches(key));
        if whom == KeyScope::All || self.purges.len() >= PURGES {
            self.purges = vec![KeyScope::All];
        } else {
            self.purges.push(whom);
        }
    }

    /// From now on, the answers are those of this source.
    pub(super) fn change_source(&mut self, source: String) {
        self.source = Some(source);
    }

    /// Whose answers the file has from now on, where that changes.
    pub(super) fn source(&self) -> Option<&str> {
        self.source.as_deref()
    }

    /// Whether what the file says of a recipient is out of date.
    pub(super) fn overrules(&self, key: &[u8]) -> bool {
        self.findings.contains_key(key) || self.purges.iter().any(|whom| whom.matches(key))
    }

    /// What is to be deleted before anything is written.
    pub(super) fn purges(&self) -> &[KeyScope] {
        &self.purges
    }

    /// What is to be written.
    pub(super) fn findings(&self) -> &HashMap<Key, Option<Finding>> {
        &self.findings
    }

    pub(super) fn is_full(&self) -> bool {
        self.findings.len() >= BATCH
    }

    pub(super) fn is_empty(&self) -> bool {
        self.findings.is_empty() && self.purges.is_empty() && self.source.is_none()
    }

    /// All of it was written.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}
