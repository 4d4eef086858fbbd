//! x
pub mod address;
pub mod directory;
pub mod engine;
pub mod server;
pub mod session;
pub mod telemetry;
pub mod verdict;
pub mod wire;
