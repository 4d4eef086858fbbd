//! Every bound, filled: what is said beyond it, and that nothing else is hurt. The table itself is in `table`; what is
//! filled by another test is named in its row.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops at the first surprise"
)]

mod engine;
mod listeners;
mod sessions;
mod stub;
mod table;

use vouch::cli::man::bounds;

/// What the table says of the bound that is this constant.
fn bound(constant: &str) -> String {
    let groups = bounds();
    let mut rows = groups.iter().flat_map(|group| &group.bounds);
    let row = rows.find(|row| row.limit.constants.contains(&constant));
    row.unwrap_or_else(|| panic!("no row with {constant}"))
        .limit
        .text
        .clone()
}

/// The same as a number; of bytes, if it is one of these.
fn number(constant: &str) -> usize {
    let text = bound(constant);
    let (number, unit) = text.split_once(' ').unwrap_or((&text, ""));
    let number: usize = number.parse().unwrap();
    match unit {
        "KiB" => number << 10,
        "MiB" => number << 20,
        _ => number,
    }
}
