//! x
pub mod address;
pub mod cli;
pub mod config;
pub mod daemon;
pub mod directory;
pub mod engine;
pub mod server;
pub mod service;
pub mod session;
pub mod telemetry;
pub mod verdict;
pub mod wire;
