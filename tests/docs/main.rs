//! The how-tos in `docs/` and the README are true: what they tell people to write is read by the reader, what they tell
//! them to type is taken by the command line, and what they quote is said.
//!
//! - `configurations`: a block `toml` is a whole configuration; a block `toml fragment` is one once the test has added
//!   what it leaves out.
//! - `commands`: a line of a block `sh` that calls `vouch`, and code in a text that begins with `vouch `, parses.
//! - `replies`: what `docs/replies.md` shows of `vouch probe reply` is what it prints.
//! - `dependencies`: each crate of a `Cargo.toml` has a row in `docs/dependencies.md`, and each row a crate.
//! - `excerpts`: what a page shows of a file in `contrib/` is in it.
//! - `quotes`: a line that begins with a level of the log is as vouch writes it.
//! - `tables`: none has a paragraph as its last row.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test stops at the first surprise"
)]

mod commands;
mod configurations;
mod dependencies;
mod excerpts;
mod keys;
mod links;
mod page;
mod protocol;
mod quotes;
mod replies;
mod tables;

/// Fails with all that is wrong, once at least so many things were looked at.
#[track_caller]
pub(crate) fn settle(looked_at: usize, at_least: usize, wrong: &[String]) {
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
    assert!(looked_at >= at_least, "only {looked_at} were found");
}
