//! What `vouch --version` prints, and how the build finds the commit.

use std::fs;

use crate::outside::run;
use crate::support::Scratch;

#[path = "../../contrib/build.rs"]
#[allow(dead_code, reason = "its main is Cargo's")]
mod build;

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// The commit of a folder with these files.
fn found(files: &[(&str, &str)]) -> Option<String> {
    let scratch = Scratch::new();
    for (name, text) in files {
        let file = scratch.path(name);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
    }
    build::head(&scratch.path("source"), &mut Vec::new())
}

#[test]
fn the_commit_is_found_wherever_git_keeps_it_and_nowhere_else() {
    let line = format!("{COMMIT}\n");
    let packed = format!("# pack-refs with: peeled fully-peeled sorted\n{COMMIT} refs/heads/main\n^ffff\n");
    let branch = ("source/.git/HEAD", "ref: refs/heads/main\n");
    for files in [
        &[("source/.git/HEAD", &*line)][..],
        &[branch, ("source/.git/refs/heads/main", &line)],
        &[branch, ("source/.git/packed-refs", &packed)],
        // Worktrees, with a path from the root of the system and from the folder.
        &[
            ("source/.git", "gitdir: ../main/.git/worktrees/w\n"),
            ("main/.git/worktrees/w/HEAD", "ref: refs/heads/main\n"),
            ("main/.git/worktrees/w/commondir", "../..\n"),
            ("main/.git/refs/heads/main", &line),
        ],
    ] {
        assert_eq!(found(files).as_deref(), Some(COMMIT), "{files:?}");
    }
    for files in [
        &[][..],
        // A tarball that was unpacked in somebody's repository.
        &[(".git/HEAD", &*line), ("source/Cargo.toml", "")],
        &[branch],
        &[("source/.git", "something else")],
    ] {
        assert_eq!(found(files), None, "{files:?}");
    }
}

#[test]
fn what_is_no_commit_is_not_shown() {
    assert_eq!(build::shown("1.2.3", COMMIT), "1.2.3 (0123456789ab)");
    for none in ["", "0123", "ref: refs/heads/main", "zzzzzzzzzzzzzzzzzzzz"] {
        assert_eq!(build::shown("1.2.3", none), "1.2.3");
    }
}

#[test]
fn the_version_is_the_second_word() {
    let ran = run(["--version"], "").ended(0);
    let version = ran.out.trim_end().strip_prefix("vouch ").unwrap();
    let commit = version.strip_prefix(env!("CARGO_PKG_VERSION")).unwrap();
    assert!(
        commit.is_empty() || commit.starts_with(" (") && commit.ends_with(')'),
        "{version}"
    );
}
