//! What is counted and logged, by name.

mod clock;
pub mod dovecot;
mod journal;
mod json;
pub mod level;
mod line;
pub mod log;
mod plain;
mod sink;
