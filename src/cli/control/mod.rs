//! Commands that ask the running daemon, by its control socket.

pub(crate) mod columns;
mod shown;
pub mod status;
