//! Keys that a text names.

use std::collections::BTreeSet;

use vouch::manual::configuration::tables;

use crate::page::pages;
use crate::settle;

/// All keys, as the manual has them: `directory.NAME.rcpt.microsoft`.
fn keys() -> BTreeSet<String> {
    let mut keys = BTreeSet::new();
    for table in tables() {
        keys.insert(table.name.clone());
        for key in &table.keys {
            keys.insert(format!("{}.{}", table.name, key.name));
        }
        // Told of in a sentence of their own.
        for remark in &table.remarks {
            let names = remark.split('`').skip(1).step_by(2);
            keys.extend(names.map(|name| format!("{}.{name}", table.name)));
        }
    }
    keys
}

/// Parts of a key's name under which pages name keys without their directory or listener.
const GROUPS: [&str; 15] = [
    "tls", "limits", "lookup", "rcpt", "auth", "pool", "cache", "action", "penalty", "ok", "service", "log",
    "metrics", "control", "dovecot",
];

#[test]
fn each_key_is_in_the_manual() {
    let keys = keys();
    let (mut seen, mut wrong) = (0, Vec::new());
    for page in pages() {
        // Stalwart's own keys are told of there.
        if page.path.ends_with("from-stalwart.md") {
            continue;
        }
        for (number, code) in page.code() {
            let key = code.split(" = ").next().unwrap().trim();
            let is_key = key.split('.').all(|part| {
                !part.is_empty()
                    && part
                        .chars()
                        .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))
            });
            let full = key.starts_with("directory.NAME.") || key.starts_with("listener.NAME.");
            let group = key
                .split_once('.')
                .is_some_and(|(group, _)| GROUPS.contains(&group));
            if !is_key || !(full || group) || key.ends_with(".conf") {
                continue;
            }
            seen += 1;
            let known = keys.contains(key) || keys.iter().any(|known| known.ends_with(&format!(".{key}")));
            if !known {
                wrong.push(format!("{}: {key}", page.at(number)));
            }
        }
    }
    settle(seen, 60, &wrong);
}
