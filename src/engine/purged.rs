//! What is purged at one edge of a fleet goes from the memory of all.

use std::time::Duration;

use super::cached_directory::CachedDirectory;
use super::kept::key;
use super::purge_scope::PurgeScope;
use super::remembered::Purged;
use crate::address::Address;
use crate::fleet::{News, Share, Whom};
use crate::verdict::UserName;

/// Bound (cache): servers of a map that a purge of the whole directory names for other edges. Beyond: what these remember
/// of any server is forgotten. Why: forgotten answers only cost another question.
const SERVERS_NAMED: usize = 32;

impl CachedDirectory {
    /// Forgets what other edges have purged. Of what came with the start, only what was found before; `uptime` is how long
    /// ago that was.
    pub async fn forget_purged(&self, news: &News, uptime: Duration) -> Purged {
        let sharing = self.sharing();
        let is_recipient = |key: &[u8], age: Duration| {
            let share = sharing.and_then(|sharing| sharing.of_key(key));
            let since = news.of_recipient(share.as_ref(), key);
            since.is_some_and(|since| age >= since)
        };
        let recipients = self.recipients().forget_those(is_recipient, news.is_first());
        let recipients = recipients.await;
        let is_user = |user: &UserName| {
            let name = Address::from_unquoted(user.as_bytes()).map(|address| key(&address));
            let name = name.unwrap_or_else(|_| user.as_bytes().into());
            let share = sharing.and_then(|sharing| sharing.of_key(&name));
            let since = news.of_login(share.as_ref(), &name);
            since.is_some_and(|since| since < uptime)
        };
        let (logins, refused_logins) = self.logins().purge(is_user).await;
        Purged {
            recipients,
            logins,
            refused_logins,
            file_waits: false,
        }
    }

    /// The scope of a purge, as the fleet has it.
    pub fn whom(&self, scope: &PurgeScope) -> Whom {
        match scope {
            PurgeScope::Mailbox(address) => Whom::Mailbox(key(&self.canonical(address.clone()))),
            PurgeScope::User(user) => {
                let name = Address::from_unquoted(user.as_bytes()).map(|address| key(&address));
                Whom::User(name.unwrap_or_else(|_| user.as_bytes().into()))
            }
            PurgeScope::Domain(domain) => Whom::Domain(domain.as_str().as_bytes().into()),
            PurgeScope::All => Whom::Everybody,
        }
    }

    /// The shares that a purge of this directory is about; `None` where these are too many, or nobody knows.
    pub fn shares_of(&self, scope: &PurgeScope) -> Option<Vec<Share>> {
        let sharing = self.sharing()?;
        if let PurgeScope::Mailbox(address) = scope
            && let Some(share) = sharing.of_key(&key(&self.canonical(address.clone())))
        {
            return Some(vec![share]);
        }
        few(sharing.all())
    }

    /// Has the other edges forget it as well, soon.
    pub(super) fn purge_in_fleet(&self, scope: &PurgeScope) {
        if let Some(share) = self.sharing().and_then(|sharing| sharing.all().first()) {
            let shares = self.shares_of(scope);
            share.fleet().purge(shares.as_deref(), &[self.whom(scope)]);
        }
    }
}

/// Those, if they are not too many.
fn few(shares: &[Share]) -> Option<Vec<Share>> {
    (!shares.is_empty() && shares.len() <= SERVERS_NAMED).then(|| shares.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    // Fills SERVERS_NAMED.
    #[tokio::test]
    async fn the_servers_of_a_small_map_are_named() {
        let share = Share::of_nobody();
        let named = |many| few(&vec![share.clone(); many]).map(|named| named.len());
        assert_eq!(
            (named(0), named(1), named(SERVERS_NAMED)),
            (None, Some(1), Some(SERVERS_NAMED))
        );
        assert_eq!(named(SERVERS_NAMED + 1), None);
    }
}
