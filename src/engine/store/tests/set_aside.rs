//! Files that cannot be read, or are another's.

use super::*;

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
