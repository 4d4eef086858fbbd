//! What is counted and logged, by name.

mod line;
pub mod log;
mod sink;
