//! Bad days of the machine: out of descriptors, a full disk, a clock that is set back, no resolver, a remote that is not
//! there yet. The daemon serves what it can, says what is wrong once, and recovers by itself.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test stops at the first surprise and prints what it saw"
)]

#[allow(dead_code, reason = "other tests need more of it")]
#[path = "../support/asker.rs"]
mod asker;
mod clock;
mod descriptors;
mod disk;
mod machine;
mod names;
mod not_there;
#[allow(dead_code, unused_imports, reason = "other tests need more of it")]
#[path = "../support/mod.rs"]
mod support;
