//! Which part of the program may import which, held against its source; and no circles, see [`circles`].
//!
//! A part is a module directly below the root. A row is broken by a path in a `use` and by one in the middle of an
//! expression alike, by `crate::` and by a `super::` that leads out of the part.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test stops at the first surprise"
)]

use std::collections::BTreeMap;
use std::path::PathBuf;

use self::source::{Import, code, files, root, sources};

mod circles;
mod source;

/// Each part, and what it may import: another part, or only what is below a path.
const ARROWS: [(&str, &[&str]); 24] = [
    ("main", &["cli"]),
    (
        "cli",
        &[
            "daemon", "config", "settings", "control", "verdict", "address", "telemetry", "manual", "report",
            "unseen",
            // `probe` asks an engine, with no daemon around it. `daemon` builds it all the same.
            "engine",
            // `check --online` opens bare sessions, to show what a remote offers; `probe --trace` names their dialog.
            "session",
            // `probe login` takes the name of a mechanism, and a password from the terminal.
            "vouch_protocol::sasl::Mechanism", "vouch_protocol::secret::Secret",
            // `probe reply` shows how a reply is read.
            "directory::judge", // `probe` shows which server a map led to.
            "directory::routed::Lead",
            // Memory is closed to others before the first command reads a secret.
            "service::limits",
            // Signals are held back before the first thread starts.
            "service::signals",
        ],
    ),
    (
        "manual",
        &[
            // Its pages are made of the entries of the keys, and of examples that the interpreter of replies evaluates.
            "settings", "directory::judge::explain", "directory::judge::recipient::Settings",
            "report::members",
        ],
    ),
    (
        "daemon",
        &[
            "config", "settings", "control", "server", "engine", "directory", "session", "service",
            "telemetry", "metrics", "report", "chance", "fleet",
            // When TLS begins follows from two keys and the address together.
            "vouch_protocol::encryption::Encryption", "vouch_protocol::sasl::RelayedMechanism",
        ],
    ),
    // A leaf of plain data: parts that are shown may fill it in.
    ("report", &["telemetry"]),
    // It shows the report, and answers at a socket as the server's.
    (
        "metrics",
        &[
            "report", "server::Socket", "server::Accepted", "telemetry", "wire::Stream", "unseen",
        ],
    ),
    (
        "server",
        &[
            "engine", "verdict", "address", "wire", "vouch_protocol", "telemetry", "settings",
            // Failures are counted over all edges, and what they count for is known here.
            "fleet::guesses",
            // The fields that a listener adds to its answers are the configuration's, filled in for each user.
            "template", // It holds the client's end of one.
            "dialog",
        ],
    ),
    (
        "engine",
        &[
            "directory::Directory", "directory::Terms", "directory::routed::Lead", "verdict", "address",
            "telemetry", "waiting", "chance", "settings", "fleet",
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
            "session", "verdict", "address", "vouch_protocol", "waiting", "settings", "report",
            // The user name for the remote is the configuration's, filled in for each login.
            "template", // Whether a client left its dialog is asked of it; and the test of that makes one.
            "dialog",
        ],
    ),
    // It knows marks and twelve bytes: what they mean for a mailbox, the engine decides.
    (
        "fleet",
        &[
            "session", "wire::Stream", "settings", "telemetry", "chance", "vouch_protocol::secret::Secret",
        ],
    ),
    (
        "session",
        &[
            "wire", "vouch_protocol", "telemetry", "waiting", "chance", "settings",
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
    ("config", &["settings", "address", "template"]),
    // A leaf: every part may take its settings from here.
    (
        "settings",
        &[
            "address", "template", "unseen",
            // Of it `Action` alone, see below: what Postfix would not take is refused with its line in the file.
            "vouch_protocol::policy", // The mechanisms that a listener offers.
            "vouch_protocol::sasl",
        ],
    ),
    ("address", &[]),
    ("chance", &[]),
    // It is a socket of the daemon as the listeners' are.
    ("control", &["wire", "server", "vouch_protocol::error"]),
    ("service", &["unseen"]),
    // How the log is written is a table of the configuration.
    ("telemetry", &["unseen", "settings::process"]),
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

/// All paths to other modules of ours in `src`, but those of the list of parts itself.
fn imports() -> impl Iterator<Item = Import> {
    sources("src")
        .into_iter()
        .flat_map(|source| source.imports())
        .filter(|import| !import.from.is_empty())
}

/// The imports that lead from one part to another.
fn across() -> impl Iterator<Item = Import> {
    imports().filter(|import| import.to.first() != import.from.first())
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
fn the_settings_know_an_action_and_nothing_else_of_that_protocol() {
    for file in files(&root().join("src/settings")) {
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
    for file in files(&root().join("protocol/src")) {
        let text = code(&file);
        for word in [
            "std::net", "std::os", "std::fs", "std::env", "std::process", "std::thread", "Instant::now",
            "SystemTime", "tokio::", "tracing", "println!", "log::",
        ] {
            assert!(!text.contains(word), "{}: {word}", file.display());
        }
    }
}

/// The files of the program and of its protocols.
fn both_crates() -> impl Iterator<Item = PathBuf> {
    ["src", "protocol/src"]
        .into_iter()
        .flat_map(|folder| files(&root().join(folder)))
}

#[test]
fn unsafe_is_in_one_file() {
    for file in both_crates() {
        let unsafe_here = code(&file).contains("unsafe {");
        assert!(
            !unsafe_here || file.ends_with("src/service/activation.rs"),
            "{}",
            file.display()
        );
    }
}

/// What is refused is refused for a reason that a caller can tell from others, not for a text.
#[test]
fn no_error_is_a_text() {
    for file in both_crates() {
        let code = code(&file);
        let production = code.split("#[cfg(test)]").next().unwrap();
        for line in production.lines() {
            let is_text = line.contains("Result<") && line.contains(", String>");
            assert!(!is_text, "{}: {}", file.display(), line.trim());
        }
    }
}
