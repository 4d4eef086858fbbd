//! What is counted and logged, by name.

pub mod addresses;
pub(crate) mod clock;
pub mod colour;
pub mod counter;
pub mod dovecot;
pub mod faults;
pub mod file;
pub mod histogram;
pub(crate) mod journal;
mod json;
pub mod level;
mod line;
pub mod log;
mod plain;
pub(crate) mod sink;
pub(crate) mod words;
