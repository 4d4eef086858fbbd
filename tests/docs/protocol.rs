//! The crate `vouch-protocol`: what it lists is shown.

use std::fs;

use crate::page::root;

/// The part of a file that documents its module.
fn head(module: &str) -> String {
    let below = root().join("protocol/src").join(module.replace("::", "/"));
    fs::read_to_string(below.join("mod.rs"))
        .or_else(|_| fs::read_to_string(below.with_extension("rs")))
        .unwrap()
        .lines()
        .take_while(|line| line.starts_with("//!"))
        .map(|line| format!("{line}\n"))
        .collect()
}

#[test]
fn each_protocol_of_the_map_begins_with_an_example() {
    let map = fs::read_to_string(root().join("protocol/src/lib.rs")).unwrap();
    let modules: Vec<&str> = map
        .lines()
        .filter(|line| line.starts_with("//! | "))
        .filter_map(|row| {
            row.split('|')
                .nth(2)?
                .trim()
                .strip_prefix("[`")?
                .strip_suffix("`]")
        })
        .collect();
    let without: Vec<String> = modules
        .iter()
        .filter(|module| !head(module).contains("//! ```\n//! use "))
        .map(|module| format!("protocol/src: {module} has no example"))
        .collect();
    crate::settle(modules.len(), 9, &without);
}
