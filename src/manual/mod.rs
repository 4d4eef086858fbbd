//! The manual: pages for man(1), made of what the program says of itself.
//!
//! [`program`] is vouch(8): the commands, as the command line describes them, and the table of every bound, which
//! `tests/manual` writes into `bounds.txt` from the comments at the constants. [`configuration`] is vouch.toml(5): the
//! keys, as their entries in `crate::settings` describe them. `roff` writes.

pub mod configuration;
pub mod program;
mod replies;
mod report;
mod roff;

// A bound that is a key is described at its entry in `crate::settings`, as any other is at its constant.
