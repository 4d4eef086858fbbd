//! Commands that ask the running daemon, by its control socket.

pub mod cache;
pub(crate) mod columns;
pub mod level;
mod shown;
pub mod status;
