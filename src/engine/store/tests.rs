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

/// A store on whose thread the disk hangs.
fn stuck(most: usize) -> Store {
    Store {
        inbox: Arc::new(Inbox::stuck(most)),
        dropped: Arc::default(),
        trouble: Arc::default(),
    }
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

/// Files of another version beside the store's own.
fn of_other_versions(folder: &TempDir) -> usize {
    set_aside_as(folder, "cache.redb.other-version-")
}

/// Files beside the store's own.
fn set_aside(folder: &TempDir) -> usize {
    set_aside_as(folder, "cache.redb.corrupt-")
}

fn set_aside_as(folder: &TempDir, begin: &str) -> usize {
    let entries = fs::read_dir(folder.path()).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.starts_with(begin)).count()
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

// Fills CACHE, directory.NAME.cache.entries.
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
    let left = read(&settings);
    assert!((80..=100).contains(&left.len()), "{}", left.len());
    assert_eq!(left.last().unwrap().0, "399@e.org");
    // The ages are told apart by parts of their whole span.
    assert!(left[0].0.as_str() > "290@e.org", "{}", left[0].0);
    let fewer = Settings {
        entries: 10,
        ..settings
    };
    assert_eq!(read(&fewer).len(), 9);
}

#[test]
fn what_another_server_said_is_not_remembered() {
    let (_folder, path) = place();
    let settings = settings(&path);
    write(&settings, &[("jane@e.org", Said::Yes(None), HOUR)]);
    let moved = Settings {
        source: "lmtp mx2.example.org:24".into(),
        ..settings.clone()
    };
    assert!(read(&moved).is_empty());
    assert!(read(&settings).is_empty());
}

/// Neither an older version nor a newer one keeps this one from its work, and its file is there for it to go back to.
#[test]
fn a_file_of_another_version_is_set_aside_and_a_new_one_begun() {
    type Change = fn(&Path);
    fn of_database(path: &Path, format: u8) {
        let mut bytes = fs::read(path).unwrap();
        bytes[64] = format;
        bytes[192] = format;
        fs::write(path, bytes).unwrap();
    }
    let changes: [Change; 4] = [
        // Rows of other types.
        |path| {
            let database = redb::Database::create(path).unwrap();
            let transaction = database.begin_write().unwrap();
            let other = redb::TableDefinition::<&str, u64>::new("recipients");
            assert!(transaction.delete_table(other).unwrap());
            drop(transaction.open_table(other).unwrap());
            transaction.commit().unwrap();
        },
        // Tables that mean something else now.
        |path| {
            let database = redb::Database::create(path).unwrap();
            let transaction = database.begin_write().unwrap();
            let about = redb::TableDefinition::<&str, &str>::new("about");
            transaction
                .open_table(about)
                .unwrap()
                .insert("format", "99")
                .unwrap();
            transaction.commit().unwrap();
        },
        // The database itself.
        |path| of_database(path, 2),
        |path| of_database(path, 9),
    ];
    for (number, change) in changes.into_iter().enumerate() {
        let (folder, path) = place();
        let settings = settings(&path);
        write(&settings, &[("jane@e.org", Said::Yes(None), HOUR)]);
        change(&path);
        let keep = |store: &Store| store.keep(key("joe@e.org"), no());
        assert!(reopened(&settings, keep).is_empty(), "{number}");
        assert_eq!(
            (set_aside(&folder), of_other_versions(&folder)),
            (0, 1),
            "{number}"
        );
        assert_eq!(names(&read(&settings)), ["joe@e.org"], "{number}");
    }
}

#[test]
fn a_corrupt_file_is_set_aside_and_a_new_one_begun() {
    for content in [
        &b"not a database"[..],
        &[0; 4096],
        b"redb\x1a\x0a\xa9\x0d\x0a and more",
    ] {
        let (folder, path) = place();
        let settings = settings(&path);
        fs::write(&path, content).unwrap();
        let keep = |store: &Store| store.keep(key("jane@e.org"), no());
        assert!(reopened(&settings, keep).is_empty());
        assert_eq!(set_aside(&folder), 1);
        assert_eq!(names(&read(&settings)), ["jane@e.org"]);
        assert_eq!(set_aside(&folder), 1);
    }
    // An empty file is one that somebody made ready.
    let (folder, path) = place();
    fs::write(&path, "").unwrap();
    assert!(reopened(&settings(&path), |store| store.keep(key("a@e.org"), no())).is_empty());
    assert_eq!((read(&settings(&path)).len(), set_aside(&folder)), (1, 0));
}

/// Every entry that is read from a broken file is one that was written.
#[test]
fn a_file_cut_or_bent_anywhere_is_read_rightly_or_set_aside() {
    let (_folder, path) = place();
    let all: Vec<_> = (0..100).map(|number| format!("{number}@e.org")).collect();
    let found: Vec<_> = all
        .iter()
        .map(|name| (name.as_str(), no(), Duration::ZERO))
        .collect();
    write(&settings(&path), &found);
    let whole = fs::read(&path).unwrap();
    let mut broken = Vec::new();
    for part in 1..8 {
        broken.push(whole[..whole.len() * part / 8].to_vec());
    }
    let written = whole.iter().rposition(|&byte| byte != 0).unwrap();
    for number in 0..40 {
        let mut bent = whole.clone();
        bent[written * number / 40] ^= 0x55;
        broken.push(bent);
    }
    let mut aside = 0;
    for content in broken {
        let (folder, path) = place();
        let settings = settings(&path);
        fs::write(&path, content).unwrap();
        let found = reopened(&settings, |store| store.keep(key("new@e.org"), no()));
        for (name, said, _) in &found {
            assert!(all.contains(name) && *said == no(), "{name} {said:?}");
        }
        assert!(names(&read(&settings)).contains(&"new@e.org"));
        aside += set_aside(&folder);
    }
    assert!(aside > 10, "{aside} found corrupt");
}

#[test]
fn without_a_place_for_it_there_is_no_file_and_no_harm() {
    let (folder, path) = place();
    let nowhere = folder.path().join("none").join("cache.redb");
    for path in [nowhere.as_path(), folder.path(), Path::new("/proc/cache.redb")] {
        let keep = |store: &Store| store.keep(key("jane@e.org"), no());
        assert!(reopened(&settings(path), keep).is_empty());
    }
    assert_eq!(set_aside(&folder), 0);
    // Nor where another has it open, whose file it is.
    let settings = settings(&path);
    let first = File::open(&settings).unwrap();
    assert!(matches!(File::open(&settings), Err(Refusal::InUse)));
    assert!(reopened(&settings, |store| store.keep(key("jane@e.org"), no())).is_empty());
    drop(first);
    assert!(read(&settings).is_empty());
    assert_eq!(set_aside(&folder), 0);
}

// Fills HANDED_ON.
#[test]
fn a_file_that_another_is_about_to_close_is_waited_for() {
    let (_folder, path) = place();
    let settings = settings(&path);
    let first = File::open(&settings).unwrap();
    let store = Store::open(settings.clone(), |_, _, _| ()).unwrap();
    store.keep(key("jane@e.org"), no());
    thread::sleep(Duration::from_millis(100));
    drop(first);
    store.close();
    assert_eq!(read(&settings).len(), 1);
}

#[test]
fn a_file_that_cannot_be_opened_yet_is_tried_again() {
    let (folder, path) = place();
    let before = settings(&path);
    write(
        &before,
        &[
            ("joe@e.org", Said::Yes(None), HOUR),
            ("gone@e.org", no(), HOUR / 100),
        ],
    );
    // What stands in its way is a folder of its name.
    let kept = folder.path().join("kept");
    fs::rename(&path, &kept).unwrap();
    fs::create_dir(&path).unwrap();
    let found = Arc::new(Mutex::new(Vec::new()));
    let finding = found.clone();
    let store = Store::open(before.clone(), move |key, _, _| finding.lock().unwrap().push(key));
    let store = store.unwrap();
    store.keep(key("jane@e.org"), Said::Yes(None));
    store.forget(key("gone@e.org"));
    thread::sleep(Duration::from_millis(200));
    fs::remove_dir(&path).unwrap();
    fs::rename(&kept, &path).unwrap();
    let end = Instant::now() + Duration::from_secs(40);
    while found.lock().unwrap().is_empty() {
        assert!(Instant::now() < end, "it was not read");
        thread::sleep(Duration::from_millis(20));
    }
    store.close();
    assert_eq!(*found.lock().unwrap(), [key("joe@e.org")]);
    assert_eq!(names(&read(&before)), ["jane@e.org", "joe@e.org"]);
}

// Fills store::WAITING.
#[test]
fn beyond_what_may_wait_findings_are_dropped_and_counted() {
    let store = stuck(2);
    for number in 0..5 {
        store.keep(key(&number.to_string()), no());
    }
    assert_eq!(store.dropped.load(Ordering::Relaxed), 3);
    assert_eq!(store.inbox.length(), 2);
    // Once the file is closed there is nothing to count, and nothing to wait for.
    store.inbox.shut();
    store.keep(key("6"), no());
    store.close();
    assert_eq!(store.dropped.load(Ordering::Relaxed), 3);
}

/// The end of the memory is the end of its thread, which writes what it has.
#[test]
fn a_store_that_is_let_go_of_is_written() {
    let (_folder, path) = place();
    let settings = settings(&path);
    let store = Store::open(settings.clone(), |_, _, _| ()).unwrap();
    store.keep(key("jane@e.org"), no());
    drop(store);
    let end = Instant::now() + Duration::from_secs(10);
    // Before it has the file, to look for it would be to take it.
    while !path.exists() {
        assert!(Instant::now() < end, "there is no file");
        thread::sleep(Duration::from_millis(5));
    }
    while read(&settings).is_empty() {
        assert!(Instant::now() < end, "nothing was written");
        thread::sleep(Duration::from_millis(20));
    }
}

// Fills CLOSE, WRITE_GRACE.
#[test]
fn a_disk_that_hangs_does_not_hold_up_the_end() {
    let store = stuck(1);
    let began = Instant::now();
    store.close();
    assert!(began.elapsed() >= CLOSE, "it had its time");
}

/// As [`Store::purge`], from a thread.
fn purge(store: &Store, whom: KeyScope) -> bool {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    runtime.block_on(store.purge(whom))
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

// Fills PURGES, PURGE.
#[test]
fn a_purge_waits_for_a_disk_that_refuses() {
    let (_folder, path) = place();
    let settings = settings(&path);
    let hours = ["a@e.org", "b@e.org", "a@f.org"];
    write(&settings, &hours.map(|name| (name, no(), Duration::ZERO)));
    // Another has it open: nothing is read from it, nor written.
    let other = File::open(&settings).unwrap();
    let found = reopened(&settings, |store| {
        assert!(!purge(store, KeyScope::Ending(key("@e.org"))));
        let trouble = store.trouble().unwrap();
        assert!(
            trouble.ends_with("cache.redb: it is in use by another vouch or another directory"),
            "{trouble}"
        );
        drop(other);
        assert!(purge(store, KeyScope::One(key("x@e.org"))));
        assert_eq!(store.trouble(), None);
    });
    assert_eq!(names(&found), ["a@f.org"], "who was purged is not read any more");
    assert_eq!(names(&read(&settings)), ["a@f.org"]);
    // Beyond a number they become one.
    let other = File::open(&settings).unwrap();
    let found = reopened(&settings, |store| {
        for number in 0..=batch::PURGES {
            assert!(!purge(store, KeyScope::One(key(&format!("{number}@e.org")))));
        }
        store.keep(key("new@e.org"), no());
        drop(other);
        assert!(purge(store, KeyScope::One(key("x@e.org"))));
    });
    assert_eq!(names(&found), [""; 0]);
    assert_eq!(names(&read(&settings)), ["new@e.org"]);
}
