//! What the edges of a fleet may know of each other: each meets the same remote, which has put some of them on a blocklist for
//! a while. What it says to such an edge is true for no other.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::Duration;

use tokio::time::Instant;
use vouch::address::Address;
use vouch::settings::kind::Kind;

use super::purges::Orders;
use crate::chance::Chance;
use crate::stale::Down;
use crate::trace::Trace;
use crate::world::World;

/// A known recipient whose answer is asked for again is accepted after two seconds without one.
const PATIENCE: Duration = Duration::from_millis(2100);

/// A blocklist that is shorter may begin after one yes and end before the next, each within a minute of a no.
const BLOCKLIST: Duration = Duration::from_secs(125);

/// A user that there is always, but for edges on a blocklist.
pub(super) const CANARY: &str = "u1@a.test";

/// What makes a world that of an edge.
#[derive(Default)]
pub(crate) struct Peers {
    /// The number of the edge.
    pub(crate) edge: Option<usize>,
    /// All edges, itself included; none where there is no fleet.
    all: OnceLock<Vec<Weak<World>>>,
    /// How many times longer than others people think at this edge before they ask.
    pub(crate) pace: u32,
    /// How much older what another edge has found may be than its age says.
    slack: Duration,
    /// What was purged at which edge.
    pub(super) orders: OnceLock<Arc<Orders>>,
    /// When it was refused who was asked about on a blocklist.
    untrue: Mutex<BTreeMap<String, Vec<Instant>>>,
}

impl Peers {
    /// Holds answers against these purges.
    pub(super) fn keep_orders(&self, orders: Arc<Orders>) {
        let _ = self.orders.set(orders);
    }
}

impl World {
    /// A remote as so many edges meet it.
    pub(crate) fn of_edges(
        seed: u64,
        trace: &Trace,
        many: usize,
        day: Duration,
        slack: Duration,
    ) -> Vec<Arc<Self>> {
        let (plan, began) = (Chance::new(seed ^ (1 << 41)), Instant::now());
        let users = plan.one(&[6, 14, 100, 400]);
        let turns = turns(&plan, users, began, day);
        let downs = downs(&plan, began, day);
        let kind = plan.one(&[Kind::Smtp, Kind::Lmtp]);
        let positive = plan.one(&[plan.ms(20_000, 300_000), plan.ms(300_000, 3_600_000)]);
        let stale = positive * plan.one(&[1, 2, 100]);
        let entries = plan.one(&[0, 1000, 1000, 1000, 1000, 1000]);
        let negative = plan.one(&[plan.ms(1000, 20_000), plan.ms(20_000, 600_000)]);
        let has_canary = plan.coin();
        let edge = |number: usize| {
            let mut world = Self::new(seed, trace.clone());
            world.chance = Chance::new(seed ^ ((number as u64 + 1) << 44));
            world.users = users;
            world.directory.kind = kind;
            world.directory.pool.queue = 1000;
            let cache = &mut world.directory.cache;
            cache.entries = entries;
            (cache.ttl.positive, cache.ttl.refresh) = (positive, positive.mul_f64(0.5));
            (cache.ttl.stale, cache.ttl.negative) = (stale, negative);
            world.outage = None;
            world.downs.clone_from(&downs);
            world.set_turns(turns.clone());
            if world.chance.coin() {
                let from = began + world.chance.ms(30_000, day.as_millis() as u64 / 2);
                let until =
                    from + BLOCKLIST + world.chance.one(&[Duration::ZERO, world.chance.ms(0, 300_000)]);
                world.losses = vec![(from, until)];
            }
            if has_canary && world.chance.once_in(700) {
                world.directory.lookup.canary = Address::from_typed(CANARY).into_iter().collect();
            }
            world.peers.edge = Some(number);
            world.peers.slack = slack;
            world.peers.pace = world.chance.one(&[1, 1, 5]);
            Arc::new(world)
        };
        let worlds: Vec<_> = (0..many).map(edge).collect();
        for world in &worlds {
            let _ = world.peers.all.set(worlds.iter().map(Arc::downgrade).collect());
        }
        worlds
    }

    /// The remote of one edge, always there and always ready to answer.
    pub(crate) fn without_faults() -> Vec<Arc<Self>> {
        let mut world = Self::new(1, Trace::Nowhere);
        (world.rate, world.outage, world.rcpt_max) = (0, None, None);
        world.directory.kind = Kind::Lmtp;
        world.directory.cache.entries = 1000;
        world.set_turns(BTreeMap::new());
        world.peers.edge = Some(0);
        vec![Arc::new(world)]
    }

    /// Takes down when it was said that a recipient does not exist that the remote was asked about `then`.
    pub(crate) fn refuses(&self, subject: &str, then: Instant) {
        if self.had_lost_its_users(then) {
            let mut untrue = self.peers.untrue.lock().unwrap_or_else(PoisonError::into_inner);
            untrue.entry(subject.to_owned()).or_default().push(Instant::now());
        }
    }

    fn is_true_of_all(&self, subject: &str, at: Instant) -> bool {
        let untrue = self.peers.untrue.lock().unwrap_or_else(PoisonError::into_inner);
        !untrue.get(subject).is_some_and(|times| times.contains(&at))
    }

    /// Whether some edge of the fleet was told so, in words that hold for all, and not too long ago to be the answer now.
    pub(crate) fn is_known_to_the_fleet(&self, subject: &str, yes: bool) -> bool {
        let ttl = &self.directory.cache.ttl;
        let longest = if yes {
            ttl.stale.max(ttl.positive) + PATIENCE
        } else {
            ttl.negative
        };
        let since = Instant::now() - longest - self.peers.slack;
        let all = self.peers.all.get().into_iter().flatten();
        all.filter_map(Weak::upgrade).any(|world| {
            let said = world.said_since(subject, yes, since);
            said.into_iter()
                .any(|at| yes || world.is_true_of_all(subject, at))
        })
    }

    /// Whether some edge was told yes then or later.
    pub(crate) fn was_accepted_since(&self, subject: &str, since: Instant) -> bool {
        self.is_said_at_some_edge(subject, true, since)
    }

    /// Whether some edge was told so then or later.
    pub(super) fn is_said_at_some_edge(&self, subject: &str, yes: bool, since: Instant) -> bool {
        let all = self.peers.all.get().into_iter().flatten();
        all.filter_map(Weak::upgrade)
            .any(|world| world.has_said(subject, yes, since))
    }

    /// Whether a canary was refused here then or later, so that all refusals were forgotten.
    pub(super) fn has_doubted_since(&self, since: Instant) -> bool {
        self.has_said(CANARY, false, since - Duration::from_secs(1))
    }
}

/// Mailboxes come and go.
fn turns(plan: &Chance, users: u64, began: Instant, day: Duration) -> BTreeMap<u64, Vec<Instant>> {
    let (mut turns, most) = (BTreeMap::new(), plan.one(&[3, 30]));
    // The first is a canary.
    for user in (0..users).filter(|user| plan.coin() && *user != 1) {
        let mut moments: Vec<_> = (0..plan.among(1, most))
            .map(|_| began + plan.ms(0, day.as_millis() as u64))
            .collect();
        moments.sort();
        turns.insert(user, moments);
    }
    turns
}

/// The remote is down to everybody.
fn downs(plan: &Chance, began: Instant, day: Duration) -> Vec<Down> {
    let (mut downs, mut from) = (Vec::new(), began + plan.ms(10_000, 600_000));
    while from < began + day {
        let until = from + plan.ms(1000, 180_000);
        downs.push(Down::between(plan, from, until));
        from = until + plan.ms(10_000, 600_000);
    }
    downs
}
