//! x
pub mod address;
pub mod directory;
pub mod engine;
pub mod session;
pub mod verdict;
pub mod wire;
