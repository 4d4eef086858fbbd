//! Where each user of a listener was accepted last. It decides which of several directories is asked first, and makes no
//! answer of any kind.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use quick_cache::sync::Cache;

use crate::verdict::UserName;

/// Bound (cache): users of one listener with any-login whose last directory is remembered. Beyond: some are asked for in
/// the configured order. Why: some megabytes.
const HOMES: usize = 65_536;

/// The directories in which users were accepted last. Of a user nothing is kept but a hash under a key that is drawn anew
/// in each life of the process: of two users with one hash, one may be asked for in another order.
pub(super) struct Homes {
    hasher: RandomState,
    last: Cache<u64, Arc<str>>,
}

impl Homes {
    /// Nobody was accepted yet.
    pub(super) fn new() -> Self {
        Self {
            hasher: RandomState::new(),
            last: Cache::new(HOMES),
        }
    }

    /// The directory that accepted this user last.
    pub(super) fn of(&self, user: &UserName) -> Option<Arc<str>> {
        self.last.get(&self.hasher.hash_one(user))
    }

    /// It has accepted this user; whether that is news.
    pub(super) fn note(&self, user: &UserName, directory: &Arc<str>) -> bool {
        let user = self.hasher.hash_one(user);
        let is_news = self.last.get(&user).as_ref() != Some(directory);
        if is_news {
            self.last.insert(user, directory.clone());
        }
        is_news
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Fills HOMES.
    #[test]
    fn the_last_directory_of_so_many_users_is_remembered() {
        let (homes, old, new) = (Homes::new(), Arc::from("old"), Arc::from("new"));
        let user = |number: usize| UserName::new(format!("u{number}@example.org").as_bytes());
        assert_eq!(homes.of(&user(1)), None);
        assert!(homes.note(&user(1), &old));
        assert!(!homes.note(&user(1), &old));
        assert_eq!(homes.of(&user(1)).as_ref(), Some(&old));
        assert!(homes.note(&user(1), &new));
        assert_eq!(homes.of(&user(1)).as_ref(), Some(&new));
        assert_eq!(homes.of(&user(2)), None);
        for number in 0..2 * HOMES {
            homes.note(&user(number), &new);
        }
        assert!(homes.last.len() <= HOMES);
    }
}
