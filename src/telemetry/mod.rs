//! What is counted and logged, by name.

mod clock;
pub mod dovecot;
mod line;
pub mod log;
mod sink;
