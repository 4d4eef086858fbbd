//! Which part of the program may import which, held against its source.
//!
//! A part is a module directly below the root. A row is broken by a path in a `use` and by one in the middle of an
//! expression alike, by `crate::` and by a `super::` that leads out of the part.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test stops at the first surprise"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Each part, and what it may import: another part, or only what is below a path.
const ARROWS: [(&str, &[&str]); 20] = [
    ("main", &["cli"]),
    (
        "cli",
        &[
            "daemon", "config", "control", "verdict", "address", "telemetry", "manual", "unseen",
            // `probe` asks an engine, with no daemon around it. `daemon` builds it all the same.
            "engine",
            // `check --online` opens bare sessions, to show what a remote offers; `probe --trace` names their dialog.
            "session",
            // `probe login` takes the name of a mechanism, and a password from the terminal.
            "vouch_protocol::sasl::Mechanism", "vouch_protocol::secret::Secret",
            // `probe reply` shows how a reply is read.
            "directory::judge",
            // Memory is closed to others before the first command reads a secret.
            "service::limits",
            // Signals are held back before the first thread starts.
            "service::signals",
        ],
    ),
    (
        "manual",
        &[
            // Its pages are made of the keys' descriptions and of the bounds of every part: it reads their constants,
            // and calls none of them.
            "config", "control", "daemon", "server", "engine", "directory", "session", "service", "telemetry",
            "dialog", "wire", "address", "vouch_protocol", "metrics",
        ],
    ),
    (
        "daemon",
        &[
            "config", "control", "server", "engine", "directory", "session", "service", "telemetry",
            "template", "metrics",
            // It translates the configuration's words into those that the parts take for their settings.
            "vouch_protocol::encryption::Encryption", "vouch_protocol::imap::login::Method",
            "vouch_protocol::sasl::Mechanism", "vouch_protocol::sasl::RelayedMechanism",
            "vouch_protocol::smtp::Protocol",
        ],
    ),
    // It reads what these count, and answers at a socket as the server's. None of them knows of it.
    (
        "metrics",
        &[
            "server", "engine", "session", "telemetry", "wire", "unseen",
            // A test of the history makes verdicts for a listener to count.
            "verdict",
        ],
    ),
    (
        "server",
        &[
            "engine", "verdict", "address", "wire", "vouch_protocol", "telemetry",
            // The fields that a listener adds to its answers are the configuration's, filled in for each user.
            "template", // It holds the client's end of one.
            "dialog",
        ],
    ),
    (
        "engine",
        &[
            "directory::Directory", "directory::Terms", "verdict", "address", "telemetry", "waiting",
            // A question holds one, so its tests make one; and what cannot be a password is refused here.
            "vouch_protocol::secret::Secret",
            // What a remote offers of these is known here; and a refusal's test makes a dialog.
            "vouch_protocol::sasl::RelayedMechanism", "dialog",
            // What is longer than what is sent is put off here.
            "vouch_protocol::sasl::relayed::MESSAGE_LIMIT",
        ],
    ),
    (
        "directory",
        &[
            "session", "verdict", "address", "vouch_protocol", "waiting",
            // Whether a client left its dialog is asked of it; and the test of that makes one.
            "dialog",
        ],
    ),
    (
        "session",
        &[
            "wire", "vouch_protocol", "telemetry", "waiting",
            "unseen", // It holds the remote's end of one.
            "dialog", // Dialogs of one network leave room for others.
            "address::network",
        ],
    ),
    ("dialog", &["vouch_protocol"]),
    ("wire", &["vouch_protocol"]),
    (
        "verdict",
        &[
            "address", "vouch_protocol::secret::Secret",
            // What a client proves itself by may be a dialog, or belong to one of these mechanisms.
            "dialog", "vouch_protocol::sasl::RelayedMechanism",
        ],
    ),
    (
        "config",
        &[
            "address", "template", "unseen",
            // Of it `Action` alone, see below: what Postfix would not take is refused with its line in the file.
            "vouch_protocol::policy",
        ],
    ),
    ("address", &[]),
    ("control", &["wire"]),
    ("service", &["unseen"]),
    ("telemetry", &["unseen"]),
    ("template", &[]),
    // One rule for the codecs, the log and a terminal.
    ("unseen", &["vouch_protocol::unseen"]),
    ("waiting", &[]),
];

/// Modules of one part that do not know each other: each stands for the files whose names begin so.
const SIBLINGS: [(&str, &[&str]); 2] = [
    ("server", &["policy", "auth", "userdb", "saslauthd", "socketmap"]),
    ("directory", &["imap", "smtp"]),
];

/// One path, and where it stands.
struct Import {
    /// The modules that the file is, from the root.
    from: Vec<String>,
    /// What is imported, from the root.
    to: Vec<String>,
    place: String,
}

/// Every `.rs` file below a folder.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();
    files
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The source without comments, line for line.
fn code(file: &Path) -> String {
    let text = fs::read_to_string(file).unwrap();
    let bare = |line: &str| {
        if line.trim_start().starts_with("//") {
            String::new()
        } else {
            line.to_owned()
        }
    };
    text.lines().map(|line| bare(line) + "\n").collect()
}

/// All paths to other modules of ours in `src`.
fn imports() -> Vec<Import> {
    let src = root().join("src");
    let mut found = Vec::new();
    for file in sources(&src) {
        let name = file.strip_prefix(&src).unwrap();
        let mut module: Vec<String> = name
            .with_extension("")
            .iter()
            .map(|part| part.to_str().unwrap().to_owned())
            .collect();
        if module.last().is_some_and(|last| last == "mod") {
            module.pop();
        }
        if module == ["lib"] {
            continue;
        }
        let text = code(&file);
        // Tests stand last in a file, as a module of their own.
        let tests = text.find("\nmod tests {").unwrap_or(text.len());
        for (at, start) in paths(&text) {
            let mut base = module.clone();
            if at > tests {
                base.push("tests".into());
            }
            let line = text[..at].matches('\n').count() + 1;
            for mut to in expand(&text[at..]) {
                if start != "vouch_protocol" {
                    let ups = to.iter().take_while(|part| *part == "super").count();
                    let base = if start == "super" {
                        &base[..base.len() - ups]
                    } else {
                        &[]
                    };
                    to = base.iter().cloned().chain(to.drain(ups.max(1)..)).collect();
                }
                let place = format!("src/{}:{line}: {}", name.display(), to.join("::"));
                found.push(Import {
                    from: module.clone(),
                    to,
                    place,
                });
            }
        }
    }
    found
}

/// Where the paths of a text begin that can lead to another part, each with its first word.
fn paths(text: &str) -> Vec<(usize, &'static str)> {
    let mut found = Vec::new();
    for word in ["crate", "super", "vouch", "vouch_protocol"] {
        for (at, _) in text.match_indices(&format!("{word}::")) {
            let before = text[..at].chars().next_back();
            let inside = before.is_some_and(|before| before.is_alphanumeric() || "_:.\"".contains(before));
            if !inside {
                found.push((at, word));
            }
        }
    }
    found
}

/// A path and the groups in it, `a::{b, c::d}`, as one list of words for each leaf.
fn expand(text: &str) -> Vec<Vec<String>> {
    let mut leaves = Vec::new();
    tree(text, &[], &mut leaves);
    leaves
}

/// Reads one tree; returns what follows it.
fn tree<'t>(text: &'t str, above: &[String], leaves: &mut Vec<Vec<String>>) -> &'t str {
    let text = text.trim_start();
    if let Some(mut rest) = text.strip_prefix('{') {
        loop {
            rest = rest.trim_start_matches([',', ' ', '\n']);
            if let Some(after) = rest.strip_prefix('}') {
                return after;
            }
            let after = tree(rest, above, leaves);
            assert!(
                after.len() < rest.len(),
                "cannot read {}",
                rest.lines().next().unwrap()
            );
            rest = after;
        }
    }
    let end = text
        .find(|next: char| !next.is_alphanumeric() && next != '_' && next != '*')
        .unwrap_or(text.len());
    let (word, rest) = text.split_at(end);
    let mut path = above.to_vec();
    if word != "self" {
        path.push(word.to_owned());
    }
    if let Some(below) = rest.strip_prefix("::").filter(|below| !below.starts_with('<')) {
        return tree(below, &path, leaves);
    }
    leaves.push(path);
    match rest.strip_prefix(" as ") {
        Some(renamed) => renamed.trim_start_matches(|next: char| next.is_alphanumeric() || next == '_'),
        None => rest,
    }
}

/// Whether a path is at or below one of `allowed`.
fn within(path: &[String], allowed: &[&str]) -> bool {
    allowed.iter().any(|allowed| {
        let allowed: Vec<&str> = allowed.split("::").collect();
        path.iter()
            .map(String::as_str)
            .take(allowed.len())
            .eq(allowed.iter().copied())
    })
}

/// The imports that lead from one part to another.
fn across() -> impl Iterator<Item = Import> {
    imports()
        .into_iter()
        .filter(|import| import.to.first() != import.from.first())
}

#[test]
fn a_part_imports_what_its_row_lists_and_nothing_else() {
    let rows = BTreeMap::from(ARROWS);
    let mut checked = 0;
    for import in across() {
        let part = import.from[0].as_str();
        let allowed = rows
            .get(part)
            .unwrap_or_else(|| panic!("{}: no row for {part}", import.place));
        assert!(
            within(&import.to, allowed),
            "{}: {part} may import {allowed:?}",
            import.place
        );
        checked += 1;
    }
    assert!(checked > 100, "only {checked} imports were found");
}

#[test]
fn the_configuration_knows_an_action_and_nothing_else_of_a_protocol() {
    for file in sources(&root().join("src/config")) {
        let text = code(&file);
        for (at, _) in text.match_indices("policy::") {
            let named = &text[at..];
            assert!(
                named.starts_with("policy::Action"),
                "{}: {:.30}",
                file.display(),
                named
            );
        }
    }
}

#[test]
fn there_is_no_cycle() {
    let mut arrows: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for import in across().filter(|import| import.to[0] != "vouch_protocol") {
        arrows.entry(import.to[0].clone()).or_default();
        arrows
            .entry(import.from[0].clone())
            .or_default()
            .insert(import.to[0].clone());
    }
    while !arrows.is_empty() {
        let left: BTreeSet<String> = arrows.keys().cloned().collect();
        arrows.retain(|_, to| to.iter().any(|part| left.contains(part)));
        assert!(arrows.len() < left.len(), "a cycle among {left:?}");
    }
}

#[test]
fn listeners_do_not_import_each_other_nor_do_directories() {
    for (part, siblings) in SIBLINGS {
        for import in imports() {
            let (Some(from), Some(to)) = (import.from.get(1), import.to.get(1)) else {
                continue;
            };
            if import.from[0] != part || import.to[0] != part {
                continue;
            }
            let sibling = |name: &str| siblings.iter().find(|sibling| name.starts_with(**sibling));
            if let (Some(one), Some(other)) = (sibling(from), sibling(to)) {
                assert_eq!(one, other, "{}", import.place);
            }
        }
    }
}

#[test]
fn the_protocol_crate_touches_no_socket_clock_runtime_or_log() {
    for file in sources(&root().join("protocol/src")) {
        let text = code(&file);
        for word in [
            "std::net", "std::os", "std::fs", "std::env", "std::process", "std::thread", "Instant::now",
            "SystemTime", "tokio::", "tracing", "println!", "log::",
        ] {
            assert!(!text.contains(word), "{}: {word}", file.display());
        }
    }
}

#[test]
fn unsafe_is_in_one_file() {
    for file in sources(&root().join("src"))
        .into_iter()
        .chain(sources(&root().join("protocol/src")))
    {
        let unsafe_here = code(&file).contains("unsafe {");
        assert!(
            !unsafe_here || file.ends_with("src/service/activation.rs"),
            "{}",
            file.display()
        );
    }
}

#[test]
fn a_path_is_read_with_its_groups_and_names() {
    let read = |text: &str| {
        expand(text)
            .iter()
            .map(|path| path.join("::"))
            .collect::<Vec<_>>()
    };
    assert_eq!(read("crate::a::b;"), ["crate::a::b"]);
    assert_eq!(read("crate::a::b(c)"), ["crate::a::b"]);
    assert_eq!(
        read("crate::{\n    a::{self, B as C, d::*},\n    e,\n};"),
        ["crate::a", "crate::a::B", "crate::a::d::*", "crate::e"]
    );
}
