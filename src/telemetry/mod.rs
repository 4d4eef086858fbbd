//! What is counted and logged, by name.

pub mod log;
