//! What a test that runs real programs needs: a directory that vanishes, processes that end, certificates made on
//! the spot, and `vouch` itself as a process.

pub(crate) mod another;
pub(crate) mod available;
pub(crate) mod certificates;
pub(crate) mod handed_over;
pub(crate) mod process;
pub(crate) mod scratch;
pub(crate) mod skip;
pub(crate) mod vouch;

pub(crate) use available::available;
pub(crate) use certificates::Authority;
pub(crate) use process::{Process, free_port, program, unpacked};
pub(crate) use scratch::Scratch;
pub(crate) use skip::skipped;
pub(crate) use vouch::Vouch;
