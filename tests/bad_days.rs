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
#[path = "support/asker.rs"]
mod asker;
#[path = "bad_days/clock.rs"]
mod clock;
#[path = "bad_days/descriptors.rs"]
mod descriptors;
#[path = "bad_days/disk.rs"]
mod disk;
#[path = "bad_days/machine.rs"]
mod machine;
#[path = "bad_days/names.rs"]
mod names;
#[path = "bad_days/not_there.rs"]
mod not_there;
#[allow(dead_code, unused_imports, reason = "other tests need more of it")]
mod support;
