//! The version that `vouch --version` prints: that of the package, and the commit where it is known.
//!
//! The commit is that of `VOUCH_COMMIT`, or of the repository that this folder is. Its files are read without git, which
//! may be absent, and refuses a repository of another user. A folder that is none, as a crate or a tarball makes it, has
//! the version alone. So has a build for debugging: each commit would have it built anew.
#![allow(clippy::print_stdout, reason = "so a build script speaks to Cargo")]

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

/// Digits of a commit that are shown.
const SHOWN: usize = 12;

fn main() {
    println!("cargo::rerun-if-changed=contrib/build.rs");
    println!("cargo::rerun-if-env-changed=VOUCH_COMMIT");
    let text = |name| env::var(name).unwrap_or_default();
    let version = text("CARGO_PKG_VERSION");
    let (mut commit, mut read) = (text("VOUCH_COMMIT"), Vec::new());
    if commit.is_empty() && text("PROFILE") == "release" {
        commit = head(Path::new(&text("CARGO_MANIFEST_DIR")), &mut read).unwrap_or_default();
    }
    // One that is missing would have this run at each build.
    for file in read.iter().filter(|file| file.exists()) {
        println!("cargo::rerun-if-changed={}", file.display());
    }
    println!("cargo::rustc-env=VOUCH_VERSION={}", shown(&version, &commit));
}

/// The version, and the beginning of a commit in hexadecimal digits; what is none is left out.
pub(crate) fn shown(version: &str, commit: &str) -> String {
    let digits = commit.bytes().all(|digit| digit.is_ascii_hexdigit());
    match commit.get(..SHOWN) {
        Some(short) if digits => format!("{version} ({short})"),
        _ => version.to_owned(),
    }
}

/// The commit that is checked out in `folder`, and the files that tell (gitrepository-layout(5)).
pub(crate) fn head(folder: &Path, read: &mut Vec<PathBuf>) -> Option<String> {
    let mut look = |path: PathBuf| {
        let text = fs::read_to_string(&path).ok();
        read.push(path);
        text
    };
    let mut git = folder.join(".git");
    if git.is_file() {
        // A worktree's.
        git = folder.join(look(git)?.strip_prefix("gitdir: ")?.trim_end());
    }
    let head = look(git.join("HEAD"))?;
    let Some(branch) = head.strip_prefix("ref: ") else {
        return Some(head.trim_end().to_owned());
    };
    let branch = branch.trim_end();
    let common = match look(git.join("commondir")) {
        Some(above) => git.join(above.trim_end()),
        None => git,
    };
    if let Some(commit) = look(common.join(branch)) {
        return Some(commit.trim_end().to_owned());
    }
    let packed = look(common.join("packed-refs"))?;
    let line = packed
        .lines()
        .find(|line| line.split_once(' ').is_some_and(|(_, name)| name == branch));
    Some(line?.split_once(' ')?.0.to_owned())
}
