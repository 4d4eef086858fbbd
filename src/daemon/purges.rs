//! What other edges of the fleet purge, this one forgets.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::status::{Daemon, Remote};
use crate::fleet::{Fleet, Heard, News};

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
                let all = now.directories.iter();
                forget(all, &news, now.started.elapsed()).await;
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
                    forget(now.directories.iter().filter(is_new), &news, Duration::ZERO).await;
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
async fn forget(directories: impl Iterator<Item = &Remote>, news: &News, uptime: Duration) {
    let (mut recipients, mut logins) = (0, 0);
    for remote in directories {
        let purged = remote.member().forget_purged(news, uptime).await;
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
