//! Every bound, filled: what is said beyond it, and that nothing else is hurt. The table itself is held by
//! `tests/manual`. A test elsewhere that fills one has its name in a comment, `Fills NAME.`
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops at the first surprise"
)]

mod engine;
mod listeners;
#[path = "../manual/scan.rs"]
#[allow(dead_code, reason = "the rest is for the test of the manual")]
mod scan;
mod sessions;
mod stub;

use scan::Program;

/// What the manual has for the bound that is this constant.
fn bound(constant: &str) -> String {
    let mut bounds = Program::read().bounds().into_iter();
    let bound = bounds.find(|bound| bound.is_called(constant));
    bound.unwrap_or_else(|| panic!("no bound {constant}")).limit
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
