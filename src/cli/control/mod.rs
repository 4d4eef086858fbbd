//! Commands that ask the running daemon, by its control socket.

pub(super) mod cache;
pub(crate) mod columns;
pub(super) mod level;
mod shown;
pub(super) mod status;
