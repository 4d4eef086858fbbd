//! `docs/dependencies.md` has a row for each crate that a `Cargo.toml` names, and for no other.

use std::collections::BTreeSet;
use std::fs;

use toml::{Table, Value};

use crate::page::{page, root};

/// The packages of the workspace.
const PACKAGES: [&str; 4] = [".", "protocol", "protocol/fuzz", "tests/remote"];

/// Crates from the registry that the packages name.
fn named() -> BTreeSet<String> {
    let mut named = BTreeSet::new();
    for package in PACKAGES {
        let text = fs::read_to_string(root().join(package).join("Cargo.toml")).unwrap();
        let manifest: Table = toml::from_str(&text).unwrap();
        for kind in ["dependencies", "dev-dependencies", "build-dependencies"] {
            for (name, value) in manifest.get(kind).and_then(Value::as_table).into_iter().flatten() {
                // Our own have a path, here or in the workspace's table.
                if value.get("path").is_none() && name != "vouch-protocol" {
                    let package = value.get("package").and_then(Value::as_str);
                    named.insert(package.unwrap_or(name).to_owned());
                }
            }
        }
    }
    named
}

#[test]
fn each_crate_has_a_row_and_each_row_a_crate() {
    let page = page("docs/dependencies.md".into());
    let mut rows = BTreeSet::new();
    for line in page.lines.iter().filter(|line| line.text.starts_with('|')) {
        let column = line.text.split('|').nth(2).unwrap_or_default();
        rows.extend(column.split('`').skip(1).step_by(2).map(str::to_owned));
    }
    let named = named();
    assert!(named.len() > 30, "{named:?}");
    let without_row: Vec<_> = named.difference(&rows).collect();
    let without_crate: Vec<_> = rows.difference(&named).collect();
    assert!(
        without_row.is_empty() && without_crate.is_empty(),
        "without a row: {without_row:?}; of no Cargo.toml: {without_crate:?}"
    );
}
