//! The status page: an hour of a busy daemon, served over HTTP, read as text and in a real browser.
//!
//! The hour passes on a paused clock; all else is what `vouch serve` is made of.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test stops at the first surprise and prints what it saw"
)]

mod browser;
mod hour;
mod looks;
mod text;

#[allow(dead_code, unused_imports, reason = "other tests need more of it")]
#[path = "../support/mod.rs"]
mod support;
