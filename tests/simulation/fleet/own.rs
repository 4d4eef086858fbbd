//! What an edge was told itself, which it holds against the word of others.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use vouch::daemon;
use vouch::engine::{CachedDirectory, Decision, Source};
use vouch::fleet::Heard;
use vouch::verdict::{Class, Verdict};

use super::edges::Edge;

/// A refusal is held back for so long while a witness is asked about.
const WEIGHED: Duration = Duration::from_secs(30);

/// What an edge knows by itself, in this life.
#[derive(Default)]
pub(super) struct Own(Mutex<Answered>);

/// When each recipient was last accepted and refused by the remote itself. Where the edge has come to doubt refusals it has
/// forgotten them.
#[derive(Default)]
pub(super) struct Answered {
    accepted: BTreeMap<String, Instant>,
    refused: BTreeMap<String, Instant>,
    /// So many purges are under way.
    purges: u32,
    /// When the last ended.
    purged: Option<Instant>,
}

impl Answered {
    /// Whether the edge keeps what it is told now about what was asked then.
    fn is_kept(&self, then: Instant) -> bool {
        self.purges == 0 && self.purged.is_none_or(|purged| purged < then)
    }

    fn clear(&mut self) {
        self.accepted.clear();
        self.refused.clear();
    }
}

impl Own {
    fn lock(&self) -> MutexGuard<'_, Answered> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// It remembers nothing any more.
    pub(super) fn forget(&self) {
        *self.lock() = Answered::default();
    }

    /// It may remember nothing any more of what it knew before this is over.
    pub(super) async fn while_forgotten<T>(&self, purge: impl Future<Output = T>) -> T {
        self.lock().purges += 1;
        self.lock().clear();
        let purged = purge.await;
        let mut answered = self.lock();
        answered.clear();
        answered.purges -= 1;
        answered.purged = Some(Instant::now());
        purged
    }

    /// Forgets what other edges purge.
    pub(super) async fn follow(self: Arc<Self>, mut heard: Heard, member: Arc<CachedDirectory>) {
        let started = Instant::now();
        loop {
            let news = heard.next().await;
            let members = [&*member];
            let forget = daemon::forget_purged(&members, &news, started.elapsed());
            self.while_forgotten(forget).await;
        }
    }
}

impl Edge {
    /// Holds an answer against what this edge was told itself.
    pub(super) fn check_own(&self, name: &str, asked: Instant, decision: &Decision) {
        let (world, cache) = (&self.world, &self.world.directory.cache);
        let mut answered = self.own.lock();
        let is_kept = decision.source == Source::Probe && answered.is_kept(asked);
        let is_remembered = |at: &&Instant| cache.entries > 0 && **at < asked;
        match &decision.verdict {
            Verdict::Accept(_) => {
                if decision.source == Source::Fleet {
                    self.counts.accepted.fetch_add(1, Ordering::Relaxed);
                }
                let refused = answered.refused.get(name);
                if let Some(at) = refused.filter(is_remembered)
                    && !world.was_accepted_since(name, *at - WEIGHED)
                    && !world.has_doubted_since(*at)
                {
                    let ago = at.elapsed();
                    world.broken(format!(
                        "{name} was refused {ago:?} ago, and is accepted by an older yes"
                    ));
                }
                if is_kept {
                    answered.accepted.insert(name.to_owned(), Instant::now());
                }
            }
            Verdict::Reject(_) => {
                if decision.source == Source::Fleet {
                    self.counts.refused.fetch_add(1, Ordering::Relaxed);
                }
                let longest = cache.ttl.positive.max(cache.ttl.stale);
                let accepted = answered.accepted.get(name);
                if let Some(at) = accepted.filter(|at| is_remembered(at) && at.elapsed() < longest)
                    && !world.has_said(name, false, *at)
                {
                    let ago = at.elapsed();
                    world.broken(format!(
                        "{name} was accepted {ago:?} ago, and is refused by the word of another edge"
                    ));
                }
                if is_kept {
                    answered.refused.insert(name.to_owned(), Instant::now());
                }
            }
            Verdict::Defer(cause) if cause.class == Class::NotBelieved => answered.refused.clear(),
            _ => {}
        }
    }
}
