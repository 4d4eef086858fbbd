use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use tokio::time::advance;

use super::*;

fn key() -> FleetKey {
    FleetKey::new(&[5; 32])
}

fn mailbox(number: u8) -> Whom {
    Whom::Mailbox(format!("user{number}@example.org").into_bytes().into())
}

/// What happens in a fleet of three edges and two stores.
#[derive(Debug, Clone)]
enum Event {
    /// A mailbox is purged at an edge, or everything.
    Purge(usize, Option<u8>),
    /// An edge asks its remote about a mailbox, and writes what it finds some time.
    Probe(usize, u8),
    /// An edge and a store agree.
    Agree(usize, usize),
    /// A store loses what it had.
    Flush(usize),
    /// A store goes back to what it had after so many events.
    Restore(usize, usize),
    /// A store has nonsense.
    Forge(usize),
}

fn events() -> impl Strategy<Value = Event> {
    prop_oneof![
        3 => (0..3_usize, prop::option::weighted(0.9, 0..3_u8)).prop_map(|(edge, whom)| Event::Purge(edge, whom)),
        4 => (0..3_usize, 0..3_u8).prop_map(|(edge, whom)| Event::Probe(edge, whom)),
        6 => (0..3_usize, 0..2_usize).prop_map(|(edge, store)| Event::Agree(edge, store)),
        1 => (0..2_usize).prop_map(Event::Flush),
        1 => (0..2_usize, any::<prop::sample::Index>()).prop_map(|(store, at)| Event::Restore(store, at.index(60))),
        1 => (0..2_usize).prop_map(Event::Forge),
    ]
}

/// A fleet whose clock ticks with each event.
struct Fleet {
    edges: Vec<Known>,
    stores: Vec<Vec<u8>>,
    /// All that the stores have had.
    past: Vec<Vec<Vec<u8>>>,
    name: Name,
}

impl Fleet {
    fn agree(&mut self, edge: usize, store: usize) {
        let known = &mut self.edges[edge];
        let theirs = Record::decode(&key(), &self.name, &self.stores[store]);
        known.take(theirs.as_ref().unwrap_or(&Record::default()));
        let wanted = known.wanted(edge as u16 * 7919 + 13);
        if !wanted.is_blank() && theirs.as_ref() != Some(&wanted) {
            self.stores[store] = wanted.encode(&key(), &self.name);
            known.take(&wanted);
            known.waiting.clear();
        }
    }
}

/// Whatever stores lose and whoever is cut off from whom: once all have agreed, nothing is believed that was found before a
/// purge of it.
#[test]
fn once_edges_agree_nothing_purged_is_believed() {
    let config = Config {
        cases: 5000,
        failure_persistence: None,
        ..Config::default()
    };
    // The same at each run: two epochs in ten thousands are equal by chance.
    let chance = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let holds = |events: Vec<Event>| {
        let (fleet, purged, probed) = play(events);
        let record = fleet
            .edges
            .first()
            .map(|edge| edge.record.clone())
            .unwrap_or_default();
        let bytes = record.encode(&key(), &fleet.name);
        for edge in &fleet.edges {
            prop_assert_eq!(&edge.record, &record);
            prop_assert!(edge.waiting.is_empty());
        }
        prop_assert!(record.is_blank() || fleet.stores.iter().all(|store| *store == bytes));
        for Probed { at, whom, epoch } in probed {
            let is_later = |(time, of): &(usize, Option<u8>)| *time > at && of.is_none_or(|of| of == whom);
            let Whom::Mailbox(name) = mailbox(whom) else {
                continue;
            };
            let subject = Subject {
                source: None,
                name: &name,
                is_login: false,
            };
            let is_known = epoch == 0 || record.epochs.contains(&epoch);
            let is_believed = is_known && record.last(&key(), subject) <= epoch;
            let was_purged = purged.iter().any(is_later);
            prop_assert!(
                !(is_believed && was_purged),
                "{whom} at {at} in {epoch}: {record:?}"
            );
        }
        Ok(())
    };
    let events = prop::collection::vec(events(), 1..60);
    TestRunner::new_with_rng(config, chance)
        .run(&events, holds)
        .unwrap();
}

/// What an edge found.
struct Probed {
    at: usize,
    whom: u8,
    epoch: u64,
}

/// When it was, and of whom: `None` for all.
type Purge = (usize, Option<u8>);

/// Lets it happen, then has all agree. Gives the fleet, what was purged when, and what was found.
fn play(events: Vec<Event>) -> (Fleet, Vec<Purge>, Vec<Probed>) {
    let purges = Purges::new(key(), Clock::default(), &Chance::default());
    let mut fleet = Fleet {
        edges: (0..3).map(|_| Known::default()).collect(),
        stores: vec![Vec::new(); 2],
        past: vec![vec![Vec::new(); 2]],
        name: purges.name,
    };
    let (mut purged, mut probed) = (Vec::new(), Vec::new());
    for (at, event) in events.into_iter().enumerate() {
        match event {
            Event::Purge(edge, whom) => {
                let mark = whom.and_then(|whom| mark(&key(), None, &mailbox(whom)));
                // Several in a second.
                fleet.edges[edge].waiting.insert(mark, 1000 + at as u32 / 4);
                purged.push((at, whom));
            }
            Event::Probe(edge, whom) => {
                let epoch = fleet.edges[edge].record.epoch();
                probed.push(Probed { at, whom, epoch });
            }
            Event::Agree(edge, store) => fleet.agree(edge, store),
            Event::Flush(store) => fleet.stores[store].clear(),
            Event::Restore(store, past) => {
                fleet.stores[store] = fleet.past[past % fleet.past.len()][store].clone();
            }
            Event::Forge(store) => fleet.stores[store] = vec![1; 80],
        }
        fleet.past.push(fleet.stores.clone());
    }
    for _ in 0..3 {
        for edge in 0..3 {
            for store in 0..2 {
                fleet.agree(edge, store);
            }
        }
    }
    (fleet, purged, probed)
}

// Fills PURGES_APART.
#[test]
fn what_waits_for_a_store_that_is_away_is_everything_some_time() {
    let purges = Purges::new(key(), Clock::default(), &Chance::default());
    let source = key().source(b"here");
    let purge = |number: usize| {
        purges.add(
            Some(&[&source]),
            &[Whom::Mailbox(number.to_string().into_bytes().into())],
        );
        purges.known.read().waiting.len()
    };
    for number in 0..PURGES_APART {
        assert_eq!(purge(number), number + 1);
    }
    assert!(!purges.is_purged(&source, b"x", 0));
    assert_eq!(purge(PURGES_APART), 1);
    assert!(purges.is_purged(&source, b"x", 0));
}

// Fills EPOCHS_SEEN.
#[tokio::test(start_paused = true)]
async fn what_was_asked_has_the_epoch_that_was_known_then() {
    let purges = Purges::new(key(), Clock::default(), &Chance::default());
    let began = Instant::now();
    let second = Duration::from_secs(1);
    let epoch = |number: usize| (1000 << 16) + 2 * number as u64;
    for number in 0..2 * EPOCHS_SEEN {
        advance(second).await;
        let mut theirs = (*purges.known.read().record).clone();
        let mark = mark(&key(), None, &mailbox((number % 9) as u8));
        theirs.add(mark, epoch(number));
        purges.take(Some(&theirs));
    }
    let at = |number: usize| began + second * (number as u32 + 1);
    let just = Duration::from_millis(1);
    for number in EPOCHS_SEEN..2 * EPOCHS_SEEN {
        assert_eq!(purges.epoch_at(at(number) + just), epoch(number));
    }
    // In the moment in which it became known, and before any that is recalled.
    assert_eq!(
        purges.epoch_at(at(2 * EPOCHS_SEEN - 1)),
        epoch(2 * EPOCHS_SEEN - 2)
    );
    assert_eq!((purges.epoch_at(at(EPOCHS_SEEN)), purges.epoch_at(began)), (0, 0));
}

#[test]
fn what_was_purged_here_is_believed_no_more_before_any_store_knows_of_it() {
    let purges = Purges::new(key(), Clock::default(), &Chance::default());
    let source = key().source(b"here");
    let jane = b"jane@example.org";
    assert!(!purges.is_purged(&source, jane, 0));
    purges.add(None, &[Whom::Mailbox(jane[..].into())]);
    assert!(purges.is_purged(&source, jane, 0) && !purges.is_purged(&source, b"joe@example.org", 0));
    let (wanted, waiting) = purges.take(None);
    // Another is purged while the store takes it.
    purges.add(None, &[Whom::Mailbox(b"joe@example.org"[..].into())]);
    purges.note_taken(&wanted, &waiting);
    assert!(purges.is_purged(&source, jane, 0) && !purges.is_purged(&source, jane, wanted.epoch()));
    assert!(purges.is_purged(&source, b"joe@example.org", wanted.epoch()));
    let (again, waiting) = purges.take(Some(&wanted));
    assert!(again.epoch() > wanted.epoch());
    purges.note_taken(&again, &waiting);
    assert!(!purges.is_purged(&source, b"joe@example.org", again.epoch()));
    assert!(purges.known.read().waiting.is_empty());
}

/// A purge of this edge's own is no news; what came before the start is.
#[tokio::test]
async fn news_are_what_others_have_purged() {
    let purges = Arc::new(Purges::new(key(), Clock::default(), &Chance::default()));
    let jane = b"jane@example.org";
    let mut theirs = Record::default();
    theirs.add(mark(&key(), None, &mailbox(1)), 1000 << 16 | 8);
    let mut heard = Heard::new(purges.clone());
    assert!(heard.so_far().is_none());
    purges.take(Some(&theirs));
    let news = heard.next().await;
    let age = |news: &News, name: &[u8]| news.recipient(None, name);
    assert!(news.is_first && age(&news, jane).is_none());
    // It was a long time ago: what was found since is kept.
    let since = age(&news, b"user1@example.org").unwrap();
    assert!(since > Duration::from_secs(1_000_000));
    purges.add(None, &[Whom::Mailbox(jane[..].into())]);
    let (mut wanted, waiting) = purges.take(Some(&theirs));
    purges.note_taken(&wanted, &waiting);
    wanted.add(mark(&key(), None, &mailbox(2)), wanted.next(0, 1));
    purges.take(Some(&wanted));
    let news = heard.next().await;
    assert_eq!(age(&news, b"user2@example.org"), Some(Duration::ZERO));
    assert_eq!((news.is_first, age(&news, b"user1@example.org")), (false, None));
}
