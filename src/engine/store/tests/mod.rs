//! What is kept in a file, and read again.

mod set_aside;
mod waiting;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Mutex;
use std::thread;
use std::time::SystemTime;

use tempfile::TempDir;

use super::batch::Batch;
use super::file::{File, Refusal};
use super::*;
use crate::verdict::{Cause, Class};

const HOUR: Duration = Duration::from_secs(3600);

fn settings(path: &Path) -> Settings {
    Settings {
        directory: "test".into(),
        path: path.to_owned(),
        source: "lmtp mx.example.org:24".into(),
        entries: 100,
        ttl: Ttl {
            positive: 4 * HOUR,
            refresh: HOUR,
            negative: Duration::from_secs(60),
            stale: 100 * HOUR,
        },
    }
}

fn place() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cache.redb");
    (folder, path)
}

fn no() -> Said {
    let cause = Cause::said(Class::UnknownUser, "550 5.1.1", "no such user");
    Said::No(Box::new(cause))
}

fn key(name: &str) -> Key {
    name.as_bytes().into()
}

type Remembered = Vec<(String, Said, Duration)>;

/// Opens the file as a daemon does; what is in it once it was closed again.
fn reopened(settings: &Settings, then: impl FnOnce(&Store)) -> Remembered {
    let found = Arc::new(Mutex::new(Vec::new()));
    let finding = found.clone();
    let store = Store::open(settings.clone(), move |key, said, age| {
        let name = String::from_utf8(key.into_vec()).unwrap();
        finding.lock().unwrap().push((name, said, age));
    });
    let store = store.unwrap();
    then(&store);
    store.close();
    let mut found = found.lock().unwrap();
    found.sort_by(|one, other| one.0.cmp(&other.0));
    std::mem::take(&mut found)
}

fn read(settings: &Settings) -> Remembered {
    reopened(settings, |_| ())
}

fn names(remembered: &Remembered) -> Vec<&str> {
    remembered.iter().map(|(name, ..)| name.as_str()).collect()
}

/// A file in which each was found so long ago.
fn write(settings: &Settings, found: &[(&str, Said, Duration)]) {
    write_at(SystemTime::now(), settings, found);
}

/// The same, under this time on the wall.
fn write_at(wall: SystemTime, settings: &Settings, found: &[(&str, Said, Duration)]) {
    let mut file = File::open_at(settings, wall).unwrap();
    let now = Instant::now();
    let mut batch = Batch::default();
    for (name, said, age) in found {
        let (said, at) = (said.clone(), now - *age);
        assert!(batch.put(key(name), Some(Finding { said, at })));
    }
    file.commit(&mut batch).unwrap();
    file.close().unwrap();
}

/// Waits until it has nothing to do.
fn rests(store: &Store) {
    let end = Instant::now() + Duration::from_secs(40);
    while store.inbox.works() {
        assert!(Instant::now() < end, "its thread does not end");
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_thread_is_there_while_there_is_something_to_do() {
    let (_folder, path) = place();
    let settings = settings(&path);
    let store = Store::open(settings.clone(), |_, _, _| ()).unwrap();
    assert!(store.inbox.works());
    for number in 0..3 {
        rests(&store);
        store.keep(key(&format!("{number}@e.org")), no());
        assert!(store.inbox.works());
    }
    rests(&store);
    assert!(purge(&store, KeyScope::One(key("1@e.org"))));
    rests(&store);
    // Without one, too, the file is closed in order.
    store.close();
    assert_eq!(names(&read(&settings)), ["0@e.org", "2@e.org"]);
}

#[test]
fn what_is_kept_is_read_again() {
    let (folder, path) = place();
    let settings = settings(&path);
    let full = Cause::ours(Class::Full, "grün und voll");
    let full = Said::Yes(Some(Box::new(full)));
    let empty = reopened(&settings, |store| {
        store.keep(key("jane@e.org"), no());
        store.keep(key("jane@e.org"), Said::Yes(None));
        store.keep(key("joe@e.org"), full.clone());
        store.keep(key("\"no body\"@e.org"), no());
    });
    assert!(empty.is_empty());
    let found = read(&settings);
    assert_eq!(names(&found), ["\"no body\"@e.org", "jane@e.org", "joe@e.org"]);
    let said: Vec<_> = found.iter().map(|(_, said, _)| said.clone()).collect();
    assert_eq!(said, [no(), Said::Yes(None), full]);
    assert!(found.iter().all(|(.., age)| *age < HOUR), "{found:?}");
    assert_eq!(
        fs::read_dir(folder.path()).unwrap().count(),
        1,
        "nothing beside it"
    );
    let mode = fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn every_class_has_a_name_of_its_own() {
    for class in [Class::UnknownUser, Class::Disabled, Class::Full, Class::Syntax] {
        assert_eq!(class.name().parse(), Ok(class));
    }
    assert!("other".parse::<Class>().is_err());
}

#[test]
fn age_counts_over_a_restart_and_the_old_is_deleted() {
    let (_folder, path) = place();
    let settings = settings(&path);
    write(
        &settings,
        &[
            ("known@e.org", Said::Yes(None), 99 * HOUR),
            ("long ago@e.org", Said::Yes(None), 101 * HOUR),
            ("unknown@e.org", no(), Duration::from_secs(30)),
            ("unknown before@e.org", no(), Duration::from_secs(90)),
        ],
    );
    let found = read(&settings);
    assert_eq!(names(&found), ["known@e.org", "unknown@e.org"]);
    assert!(found[0].2 >= 99 * HOUR && found[0].2 < 100 * HOUR);
    let longer = Settings {
        ttl: Ttl {
            stale: 1000 * HOUR,
            ..settings.ttl
        },
        ..settings
    };
    assert_eq!(names(&read(&longer)), ["known@e.org", "unknown@e.org"]);
}

/// What is in it under this time on the wall, and how old it is.
fn read_at(wall: SystemTime, settings: &Settings) -> Vec<(String, Duration)> {
    let mut found = Vec::new();
    let file = File::open_at(settings, wall).unwrap();
    file.load(|key, _, age| found.push((String::from_utf8(key.into_vec()).unwrap(), age)))
        .unwrap();
    file.close().unwrap();
    found.sort();
    found
}

#[test]
fn a_clock_that_is_set_back_makes_nothing_younger() {
    let (_folder, path) = place();
    let settings = settings(&path);
    let (noon, second) = (SystemTime::now(), Duration::from_secs(1));
    write_at(
        noon,
        &settings,
        &[
            ("known@e.org", Said::Yes(None), 99 * HOUR),
            ("unknown@e.org", no(), 30 * second),
        ],
    );
    // As long as the clock is behind, only the time in which the file is open counts.
    for wall in [noon - HOUR, noon - HOUR + 10 * second, noon - 23 * HOUR, noon] {
        let found = read_at(wall, &settings);
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].1 >= 99 * HOUR && found[0].1 < 99 * HOUR + 30 * second);
        assert!(found[1].1 >= 30 * second && found[1].1 < 60 * second);
    }
    // What was too old before stays so.
    write_at(noon, &settings, &[("unknown@e.org", no(), 90 * second)]);
    assert_eq!(read_at(noon - HOUR, &settings).len(), 1);
    // What is found meanwhile is no older than it is.
    write_at(noon - HOUR, &settings, &[("new@e.org", no(), 10 * second)]);
    let found = read_at(noon - HOUR, &settings);
    assert!(found[1].1 >= 10 * second && found[1].1 < 40 * second, "{found:?}");
    // And from when it was ahead again, all counts.
    assert_eq!(read_at(noon + HOUR / 2, &settings).len(), 1);
    assert_eq!(read_at(noon + 2 * HOUR, &settings).len(), 0);
}

// Fills MAX_CLOCK_LEAD.
#[test]
fn what_was_found_under_a_clock_that_was_far_ahead_is_asked_again() {
    let (_folder, path) = place();
    let settings = settings(&path);
    let now = SystemTime::now();
    write_at(now + 10_000 * HOUR, &settings, &[("a@e.org", no(), HOUR / 100)]);
    assert!(read_at(now, &settings).is_empty());
    write_at(now, &settings, &[("a@e.org", Said::Yes(None), HOUR)]);
    let found = read_at(now, &settings);
    assert!(
        found.len() == 1 && found[0].1 >= HOUR && found[0].1 < 2 * HOUR,
        "{found:?}"
    );
}

// Fills CACHE, SURPLUS, directory.NAME.cache.entries.
#[test]
fn the_oldest_give_way() {
    let (_folder, path) = place();
    let settings = settings(&path);
    let all: Vec<_> = (0..400).map(|number| format!("{number:03}@e.org")).collect();
    let found: Vec<_> = all
        .iter()
        .zip((0..400).rev())
        .map(|(name, minutes)| (name.as_str(), Said::Yes(None), HOUR / 60 * minutes))
        .collect();
    for part in found.chunks(150) {
        write(&settings, part);
    }
    // What is one too many costs no others their place.
    let left = read(&settings);
    assert_eq!(left.len(), settings.entries);
    assert_eq!(left.last().unwrap().0, "399@e.org");
    // The ages are told apart by parts of their whole span.
    assert!(left[0].0.as_str() > "290@e.org", "{}", left[0].0);
    let fewer = Settings {
        entries: 10,
        ..settings
    };
    assert_eq!(read(&fewer).len(), fewer.entries);
}

/// As [`Store::purge`], from a thread.
fn purge(store: &Store, whom: KeyScope) -> bool {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    runtime.block_on(store.purge(whom, None))
}

#[test]
fn a_file_goes_on_under_another_source_without_whom_that_does_not_know() {
    let (_folder, path) = place();
    let old = settings(&path);
    let new = Settings {
        source: "another".to_owned(),
        ..settings(&path)
    };
    write(
        &old,
        &["a@e.org", "b@f.org"].map(|name| (name, no(), Duration::ZERO)),
    );
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    reopened(&old, |store| {
        let which = Which(Arc::new(|key: &[u8]| key.ends_with(b"@e.org")));
        let purged = store.purge(KeyScope::Those(which), Some(new.source.clone()));
        assert!(runtime.block_on(purged));
        store.keep(key("c@e.org"), no());
    });
    assert_eq!(names(&read(&new)), ["b@f.org", "c@e.org"]);
    assert_eq!(
        names(&read(&old)),
        [""; 0],
        "it is no memory of the old source any more"
    );
}

#[test]
fn a_purge_is_of_what_was_found_before_it() {
    let (_folder, path) = place();
    let settings = settings(&path);
    let all = ["a@e.org", "b@e.org", "a@f.org", "a@sub.e.org"];
    write(&settings, &all.map(|name| (name, no(), Duration::ZERO)));
    let rest = reopened(&settings, |store| {
        assert!(purge(store, KeyScope::One(key("a@e.org"))));
        store.keep(key("c@e.org"), no());
        assert!(purge(store, KeyScope::Ending(key("@e.org"))));
        store.keep(key("b@e.org"), Said::Yes(None));
    });
    assert_eq!(rest.len(), 4, "they were read before the purge came");
    assert_eq!(names(&read(&settings)), ["a@f.org", "a@sub.e.org", "b@e.org"]);
    // More findings than may wait keep no purge away.
    let store = |store: &Store| {
        (0..3 * WAITING).for_each(|number| store.keep(key(&format!("{number}@g.org")), no()));
        assert!(purge(store, KeyScope::All));
    };
    reopened(&settings, store);
    assert_eq!(names(&read(&settings)), [""; 0]);
}
