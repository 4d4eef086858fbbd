//! The manual: pages for man(1), made of what the program says of itself.
//!
//! [`program`] is vouch(8): the commands, as the command line describes them, and the table of every bound
//! ([`bounds`]). [`configuration`] is vouch.toml(5): the keys, as the doc comments of the configuration describe
//! them. [`roff`] writes.

pub mod bounds;
pub mod configuration;
pub mod program;
mod replies;
pub mod report;
pub mod roff;
