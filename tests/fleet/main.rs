//! Several edges with one memory, over a real `redis-server` or `valkey-server` under the access list of `docs/fleet.md`:
//! what one has found the others know, and whatever becomes of the store, each answers as it would alone.
//!
//! Where there is neither, the tests pass and say `SKIPPED`; `VOUCH_PEERS=required` fails them, `never` skips them.
//! `VOUCH_STORE=valkey` or `redis` chooses where there are both.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test stops at the first surprise and prints what it saw"
)]

mod announced;
#[allow(dead_code, reason = "other tests need more of it")]
#[path = "../support/asker.rs"]
mod asker;
mod believed;
mod edge;
mod failing;
mod guesses;
mod health;
mod known;
mod model;
mod purge;
mod redis;
mod refusing;
mod sentinel;
#[allow(dead_code, unused_imports, reason = "other tests need more of it")]
#[path = "../support/mod.rs"]
mod support;
mod trusted;

/// Whether the store can be run here. If not, says so past the capture of test output, or fails.
fn is_available() -> bool {
    let programs = ["server", "cli"].map(redis::named);
    support::available(&programs.each_ref().map(String::as_str), || None)
}
