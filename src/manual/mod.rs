//! The manual: pages for man(1), made of what the program says of itself.
//!
//! [`program`] has the commands, as the command line describes them, and the table of every bound
//! ([`bounds`]); [`roff`] writes.

pub mod bounds;
pub mod program;
pub mod roff;
