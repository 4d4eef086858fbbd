//! What is counted and logged, by name.

mod clock;
mod line;
pub mod log;
mod sink;
