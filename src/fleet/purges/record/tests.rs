use proptest::prelude::*;

use super::*;
use crate::fleet::key::Source;
use crate::fleet::purges::mark::{Whom, mark};

fn key() -> FleetKey {
    FleetKey::new(&[9; 32])
}

fn name() -> Name {
    key().name(&key().source(b"purges"), b"")
}

fn of(mailbox: &str) -> Option<Mark> {
    mark(&key(), None, &Whom::Mailbox(mailbox.as_bytes().into()))
}

fn record(purges: &[(Option<Mark>, u64)]) -> Record {
    let mut record = Record::default();
    for (mark, epoch) in purges {
        record.add(*mark, *epoch);
    }
    record
}

#[test]
fn what_was_purged_is_told_by_its_source_its_domain_and_its_name() {
    let (here, there) = (key().source(b"here"), key().source(b"there"));
    let told = |source, whom: Whom, of: &Source, name: &str, is_login| {
        let record = record(&[(mark(&key(), source, &whom), 6)]);
        let subject = Subject {
            source: Some(of),
            name: name.as_bytes(),
            is_login,
        };
        record.last(&key(), subject) == 6
    };
    let jane = || Whom::Mailbox(b"Jane@example.org"[..].into());
    let domain = || Whom::Domain(b"example.org"[..].into());
    let user = || Whom::User(b"jane@example.org"[..].into());
    for is_login in [false, true] {
        for source in [None, Some(&here)] {
            for whom in [jane(), domain(), Whom::Everybody] {
                assert!(told(source, whom, &here, "jane@example.org", is_login));
            }
            assert!(!told(source, jane(), &here, "joe@example.org", is_login));
            assert!(!told(source, domain(), &here, "jane@sub.example.org", is_login));
            assert_eq!(
                told(source, user(), &here, "JANE@example.org", is_login),
                is_login
            );
            assert_eq!(
                told(source, jane(), &there, "jane@example.org", is_login),
                source.is_none()
            );
        }
        assert!(!told(
            Some(&here),
            Whom::Everybody,
            &there,
            "jane@example.org",
            is_login
        ));
    }
    assert!(told(None, Whom::User(b"jane"[..].into()), &here, "jane", true));
}

#[test]
fn what_is_written_reads_back_and_nothing_else_does() {
    let all = record(&[(of("jim"), 2), (None, 4), (of("jane"), 6), (of("joe"), 1 << 60)]);
    for record in [Record::default(), record(&[(of("jane"), 2)]), all.clone()] {
        let bytes = record.encode(&key(), &name());
        assert_eq!(Record::decode(&key(), &name(), &bytes), Some(record));
    }
    let bytes = all.encode(&key(), &name());
    assert_eq!(Record::decode(&FleetKey::new(&[8; 32]), &name(), &bytes), None);
    let other = key().name(&key().source(b"purges"), b"x");
    assert_eq!(Record::decode(&key(), &other, &bytes), None);
    for bit in 0..bytes.len() * 8 {
        let mut altered = bytes.clone();
        altered[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(Record::decode(&key(), &name(), &altered), None, "bit {bit}");
    }
    for length in 0..bytes.len() {
        assert_eq!(
            Record::decode(&key(), &name(), &bytes[..length]),
            None,
            "{length}"
        );
    }
}

// Fills PURGES_APART.
#[test]
fn with_what_has_no_place_any_more_all_before_it_is_forgotten() {
    let mut record = Record::default();
    let epoch = |number: usize| 100 + 2 * number as u64;
    for number in 0..PURGES_APART {
        record.add(of(&number.to_string()), epoch(number));
    }
    assert_eq!((record.floor, record.purges.len()), (0, PURGES_APART));
    record.add(of("one more"), epoch(PURGES_APART));
    assert_eq!((record.floor, record.purges.len()), (epoch(0), PURGES_APART));
    let bytes = record.encode(&key(), &name());
    assert!(bytes.len() < 40_000);
    assert_eq!(Record::decode(&key(), &name(), &bytes), Some(record.clone()));
    // One that is purged again and again: the others lose their places as well, as nobody recalls epochs for ever.
    let mut again = Record::default();
    again.add(of("jane"), 2);
    for number in 0..PURGES_APART {
        again.add(of("joe"), epoch(number));
    }
    assert_eq!(
        (again.floor, again.purges.len(), again.epochs.len()),
        (2, 1, PURGES_APART)
    );
    // Many in one epoch.
    let mut many = Record::default();
    for number in 0..=PURGES_APART {
        many.add(of(&number.to_string()), 8);
    }
    assert_eq!((many.floor, many.purges.len()), (8, 0));
}

#[test]
fn epochs_are_of_their_time_and_only_grow() {
    let mut record = Record::default();
    let first = record.next(1000, 8);
    assert_eq!((seconds(first), first as u16), (1000, 8));
    record.add(of("jane"), first);
    let second = record.next(1000, 8);
    assert!(second > first && seconds(second) == 1000);
    assert_eq!(seconds(record.next(2000, 7)), 2000);
    // A clock that is behind.
    assert!(record.next(0, 0) > first);
    assert_ne!(record.next(0, 0), record.next(0, 2));
    assert!(
        [0, 1, 7, 0xffff]
            .iter()
            .all(|edge| !is_joined(record.next(0, *edge)))
    );
}

#[test]
fn purges_of_one_moment_at_two_edges_of_a_full_record_do_not_forget_everything() {
    let mut common = Record::default();
    for number in 0..PURGES_APART {
        common.add(of(&number.to_string()), 2 + 2 * number as u64);
    }
    let [mut one, mut two] = [common.clone(), common];
    one.add(of("one"), 4000);
    two.add(of("two"), 4002);
    let merged = one.merge(&two);
    assert_eq!(merged, two.merge(&one));
    assert!(merged.floor < 10, "{}", merged.floor);
    for mailbox in ["one", "two"] {
        assert_eq!(merged.purges[&of(mailbox).unwrap()], merged.epoch());
    }
    // What has fallen behind by so much goes on with what there is.
    let mut later = merged.clone();
    for number in 0..=PURGES_APART {
        later.add(of(&number.to_string()), 100_000 + 2 * number as u64);
    }
    assert_eq!(later.merge(&merged), later);
    assert_eq!(merged.merge(&later), later);
}

#[test]
fn what_one_history_lacks_is_a_purge_of_now() {
    let common = (of("common"), 4);
    let one = record(&[common, (of("jane"), 6)]);
    let two = record(&[common, (of("joe"), 8), (of("jim"), 10)]);
    let merged = one.merge(&two);
    let now = merged.epoch();
    let wanted = [common, (of("jane"), now), (of("joe"), now), (of("jim"), now)];
    assert_eq!(merged.purges, record(&wanted).purges);
    assert_eq!(merged.epochs, BTreeSet::from([4, 6, 8, 10, now]));
    for known in [&one, &two, &Record::default(), &record(&[common])] {
        assert_eq!(merged.merge(known), merged);
        assert_eq!(known.merge(&merged), merged);
    }
    // Of everything, at one of them.
    let all = record(&[common, (None, 8)]);
    let merged = one.merge(&all);
    assert_eq!((merged.floor, merged.purges.len()), (merged.epoch(), 0));
    let before = record(&[(None, 2), common]);
    let [mut one, mut two] = [before.clone(), before];
    one.add(of("jane"), 6);
    two.add(of("joe"), 8);
    assert_eq!(one.merge(&two).floor, 2);
}

/// The records of two edges that have parted some time.
fn records() -> impl Strategy<Value = (Record, Record)> {
    let mark = prop::option::weighted(0.9, 0..5_u8).prop_map(|one| of(&one?.to_string()));
    let purges = || prop::collection::vec(mark.clone(), 0..6);
    let add = |to: &Record, purges: Vec<Option<Mark>>, edge| {
        let mut record = to.clone();
        for mark in purges {
            record.add(mark, record.next(0, edge));
        }
        record
    };
    (purges(), purges(), purges()).prop_map(move |(common, one, two)| {
        let common = add(&Record::default(), common, 0);
        (add(&common, one, 14), add(&common, two, 50))
    })
}

proptest! {
    #[test]
    fn a_merged_record_has_all_that_both_had((one, two) in records()) {
        let merged = one.merge(&two);
        for known in [&one, &two] {
            prop_assert_eq!(&merged.merge(known), &merged);
            prop_assert_eq!(&known.merge(&merged), &merged);
        }
        if !one.covers(&two) && !two.covers(&one) {
            prop_assert_eq!(&merged, &two.merge(&one));
            // What it forgets it forgets with all that was found before.
            for (mark, epoch) in one.purges.iter().chain(&two.purges) {
                prop_assert!(merged.purges.contains_key(mark) || merged.floor >= *epoch);
            }
        }
        let bytes = merged.encode(&key(), &name());
        prop_assert_eq!(Record::decode(&key(), &name(), &bytes), Some(merged));
    }

    #[test]
    fn what_is_new_is_all_that_was_not_known((one, two) in records()) {
        let merged = one.merge(&two);
        let (news, none) = (merged.since(&one), merged.since(&merged));
        prop_assert!(none.purges.is_empty() && none.floor == 0);
        for (mark, epoch) in &merged.purges {
            prop_assert_eq!(news.purges.contains_key(mark), one.purges.get(mark) != Some(epoch));
        }
    }
}
