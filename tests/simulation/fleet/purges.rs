//! What was purged at which edge, and which edges must know of it: all that are there while the store is well for a second
//! after it, to the edge that knows and to the other. One that starts later knows it from the start, if the store does.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use vouch::address::{Address, Domain};
use vouch::engine::PurgeScope;

use super::weather::Weather;
use crate::chance::Chance;
use crate::world::World;

/// So long after a purge other edges have forgotten.
const FORGOTTEN: Duration = Duration::from_millis(1010);

/// Whom a purge is about.
#[derive(Debug, Clone)]
pub(crate) enum Whom {
    Mailbox(String),
    Domain(&'static str),
    All,
}

impl Whom {
    pub(crate) fn any(world: &World) -> Self {
        match world.chance.among(0, 4) {
            0 => Self::All,
            1 => Self::Domain(world.chance.one(&["a.test", "b.test"])),
            _ => Self::Mailbox(world.anybody()),
        }
    }

    /// As an administrator types it.
    pub(crate) fn scope(&self) -> Option<PurgeScope> {
        Some(match self {
            Self::Mailbox(name) => PurgeScope::Mailbox(Address::from_typed(name).ok()?),
            Self::Domain(name) => PurgeScope::Domain(Domain::parse(name).ok()?),
            Self::All => PurgeScope::All,
        })
    }

    fn has(&self, name: &str) -> bool {
        match self {
            Self::Mailbox(mailbox) => mailbox == name,
            Self::Domain(domain) => name.rsplit('@').next() == Some(domain),
            Self::All => true,
        }
    }
}

/// The purges of a day, and which edge was there when.
#[derive(Default)]
pub(crate) struct Orders {
    /// That of the store; `None` where edges have none.
    weather: Option<Arc<Weather>>,
    book: Mutex<Book>,
    /// Answers about somebody who was purged before.
    answered: AtomicU64,
}

#[derive(Default)]
struct Book {
    lives: Vec<Life>,
    orders: Vec<Order>,
}

#[derive(Clone, Copy)]
struct Life {
    edge: usize,
    from: Instant,
    until: Option<Instant>,
}

struct Order {
    whom: Whom,
    /// What the remote said before it is to be forgotten.
    at: Instant,
    /// Which lives know of it, by their numbers, and since when; `None` where that is not reckoned yet.
    known: Option<BTreeMap<usize, Instant>>,
    /// The life in which it was, and when that edge had forgotten.
    by: (usize, Instant),
}

impl Orders {
    pub(crate) fn new(weather: Option<Arc<Weather>>) -> Self {
        Self {
            weather,
            book: Mutex::default(),
            answered: AtomicU64::new(0),
        }
    }

    pub(crate) fn answered(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An edge starts.
    pub(crate) fn begins(&self, edge: usize) {
        let (from, until) = (Instant::now(), None);
        self.changed().lives.push(Life { edge, from, until });
    }

    /// An edge ends.
    pub(crate) fn ends(&self, edge: usize) {
        let mut book = self.changed();
        let last = book.lives.iter_mut().rfind(|life| life.edge == edge);
        if let Some(last) = last {
            last.until = Some(Instant::now());
        }
    }

    /// Something was purged at an edge, which began to forget `at` that time.
    pub(crate) fn purged(&self, edge: usize, whom: Whom, at: Instant) {
        let mut book = self.changed();
        if let Some(life) = book.lives.iter().rposition(|life| life.edge == edge) {
            book.orders.push(Order {
                whom,
                at,
                known: None,
                by: (life, Instant::now()),
            });
        }
    }

    /// The book, in which something will be different.
    fn changed(&self) -> MutexGuard<'_, Book> {
        let mut book = self.book();
        book.orders.iter_mut().for_each(|order| order.known = None);
        book
    }

    /// The last purge of `name` of which this edge knew then.
    fn last(&self, edge: usize, name: &str, then: Instant) -> Option<Instant> {
        let mut book = self.book();
        let life = book.lives.iter().rposition(|life| life.edge == edge)?;
        let Book { lives, orders } = &mut *book;
        let mut last = None;
        for order in orders.iter_mut().filter(|order| order.whom.has(name)) {
            let by = order.by;
            let known = order.known.get_or_insert_with(|| self.known(lives, by));
            if known.get(&life).is_some_and(|since| *since < then) {
                last = last.max(Some(order.at));
            }
        }
        last
    }

    /// Which lives learn of it, and when.
    fn known(&self, lives: &[Life], by: (usize, Instant)) -> BTreeMap<usize, Instant> {
        let mut known = BTreeMap::from([by]);
        loop {
            let before = known.clone();
            for (number, life) in lives.iter().enumerate() {
                let learned = before.iter().filter_map(|(other, since)| {
                    let other = lives.get(*other)?;
                    self.learns(
                        life,
                        Life {
                            from: *since,
                            ..*other
                        },
                    )
                });
                let learned = learned.chain(known.get(&number).copied()).min();
                known.extend(learned.map(|since| (number, since)));
            }
            if known == before {
                return known;
            }
        }
    }

    /// When a life learns of what another knows from its beginning.
    fn learns(&self, life: &Life, knows: Life) -> Option<Instant> {
        let earlier = |one: Instant, other: Option<Instant>| other.map_or(one, |other| one.min(other));
        let calms = self.weather.as_ref()?.calms([life.edge, knows.edge]);
        let learned = calms.iter().filter_map(|(from, until)| {
            let told = (*from).max(knows.from) + FORGOTTEN;
            let until_told = earlier(*until, knows.until);
            // The store has it when it starts.
            if *from <= life.from && life.from <= *until && told <= earlier(life.from, knows.until) {
                return Some(life.from);
            }
            let known = told.max(life.from + FORGOTTEN);
            (known <= earlier(until_told, life.until)).then_some(known)
        });
        learned.min()
    }
}

impl World {
    /// Takes down if an answer to what was asked `then` is from before a purge of which this edge knew.
    pub(crate) fn check_not_purged(&self, name: &str, subject: &str, yes: bool, then: Instant) {
        let Some((edge, orders)) = self.peers.edge.zip(self.peers.orders.get()) else {
            return;
        };
        let Some(at) = orders.last(edge, name, then) else {
            return;
        };
        orders.answered.fetch_add(1, Ordering::Relaxed);
        // No login is shared.
        let is_new = if name == subject {
            self.is_said_at_some_edge(subject, yes, at)
        } else {
            self.has_said(subject, yes, at)
        };
        if !is_new {
            let ago = then - at;
            self.broken(format!(
                "{subject}: {yes} was said before a purge that was {ago:?} ago, and is answered yet"
            ));
        }
    }
}

/// The moments of a day at which an edge purges.
pub(crate) fn moments(chance: &Chance, began: Instant, day: Duration) -> Vec<Instant> {
    let many = chance.one(&[0, 1, 3]);
    let mut moments: Vec<_> = (0..many)
        .map(|_| began + chance.ms(20_000, day.as_millis() as u64))
        .collect();
    moments.sort();
    moments
}
