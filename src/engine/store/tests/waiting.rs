//! Files and disks that keep a store waiting.

use super::*;

/// A store on whose thread the disk hangs.
fn stuck(most: usize) -> Store {
    Store {
        inbox: Arc::new(Inbox::stuck(most)),
        dropped: Arc::default(),
        trouble: Arc::default(),
    }
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
