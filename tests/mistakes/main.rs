//! Each mistake that a user can make, made: what `vouch check`, `vouch check --online`, the log of `vouch serve` and
//! `vouch status` say of it, word for word.
//!
//! `said/NAME.txt` holds the words; in them ports, paths, times and other numbers of one run are replaced.
//! `VOUCH_BLESS=1 cargo test --test mistakes` writes them anew: read the difference as somebody who has made that
//! mistake and knows nothing else.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test stops at the first surprise and prints what it saw"
)]

mod configuration;
mod machine;
#[allow(dead_code, reason = "other tests need more of it")]
#[path = "../cli/outside.rs"]
mod outside;
mod remotes;
mod replies;
mod stage;
#[allow(dead_code, unused_imports, reason = "other tests need more of it")]
#[path = "../support/mod.rs"]
mod support;
