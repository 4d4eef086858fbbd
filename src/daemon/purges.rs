//! What is purged by order, here and at all edges of the fleet; and what other edges purge, this one forgets.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::watch;

use super::status::{Daemon, Remote};
use crate::engine::remembered::Purged;
use crate::engine::{CachedDirectory, PurgeScope};
use crate::fleet::{Fleet, Heard, News};

/// Forgets by order, and has the other edges of the fleet do the same, if there is a fleet: what these directories remember,
/// which were `named`, or all. What each has forgotten; the stores that have not taken the order yet, and why.
pub async fn purge(
    fleet: Option<&Fleet>,
    members: &[&CachedDirectory],
    named: bool,
    scope: &PurgeScope,
) -> (Vec<Purged>, Vec<(String, String)>) {
    // First, so that nothing of it is learned again from the store.
    if let Some(fleet) = fleet {
        let whom: BTreeSet<_> = members.iter().map(|member| member.whom(scope)).collect();
        let whom: Vec<_> = whom.into_iter().collect();
        let shares = members.first().filter(|_| named);
        let shares = shares.and_then(|member| member.shares_of(scope));
        fleet.purge(shares.as_deref(), &whom);
    }
    let purged = join_all(members.iter().map(|member| member.purge(scope))).await;
    let untold = match fleet {
        Some(fleet) => fleet.tell_purges().await,
        None => Vec::new(),
    };
    (purged, untold)
}

/// Forgets what other edges purge, for as long as the daemon lives.
pub(super) async fn follow(mut daemon: watch::Receiver<Arc<Daemon>>) {
    let mut now = daemon.borrow_and_update().clone();
    let mut heard = now.fleet.as_deref().map(Fleet::purges);
    loop {
        let news = tokio::select! {
            changed = daemon.changed() => match changed {
                Ok(()) => None,
                Err(_) => return,
            },
            news = next(heard.as_mut()) => Some(news),
        };
        match news {
            Some(news) => {
                let all: Vec<_> = now.directories.iter().map(Remote::member).collect();
                forget_purged(&all, &news, now.started.elapsed()).await;
            }
            None => {
                let before = std::mem::replace(&mut now, daemon.borrow_and_update().clone());
                if before.fleet.as_ref().map(Arc::as_ptr) != now.fleet.as_ref().map(Arc::as_ptr) {
                    heard = now.fleet.as_deref().map(Fleet::purges);
                } else if let Some(news) = heard.as_ref().and_then(Heard::so_far) {
                    // What one remembers is from a file, and from before.
                    let is_new = |new: &&Remote| {
                        let mut old = before.directories.iter();
                        !old.any(|old| old.member().remembers_with(new.member()))
                    };
                    let new = now.directories.iter().filter(is_new);
                    let new: Vec<_> = new.map(Remote::member).collect();
                    forget_purged(&new, &news, Duration::ZERO).await;
                }
            }
        }
    }
}

/// The next purges of a fleet, if there is one.
async fn next(heard: Option<&mut Heard>) -> News {
    match heard {
        Some(heard) => heard.next().await,
        None => std::future::pending().await,
    }
}

/// Forgets what was purged, in directories whose logins are remembered for so long.
pub async fn forget_purged(members: &[&CachedDirectory], news: &News, uptime: Duration) {
    let (mut recipients, mut logins) = (0, 0);
    for member in members {
        let purged = member.forget_purged(news, uptime).await;
        recipients += purged.recipients;
        logins += purged.logins;
    }
    if recipients + logins > 0 {
        tracing::info!(
            recipients,
            logins,
            "the memory was purged by order of another edge of the fleet"
        );
    }
}
