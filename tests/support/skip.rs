//! What is not tested here, and why, said so that nobody takes it for passed.

use std::io::Write;

/// Says that the running test is left out, wholly or in part, past the test runner, which keeps to itself what a test
/// that passes prints. `contrib/test` lists these lines at its end, and counts them.
pub(crate) fn skipped(why: &str) {
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    // In one write, because tests run side by side.
    let _ = std::io::stderr().write_all(format!("\nSKIPPED: {test}: {why}\n").as_bytes());
}
