//! What is counted and logged, by name.

pub(crate) mod addresses;
pub(crate) mod clock;
pub(crate) mod colour;
pub(crate) mod counter;
pub(crate) mod dovecot;
pub(crate) mod faults;
pub(crate) mod file;
pub(crate) mod histogram;
pub(crate) mod journal;
mod json;
pub(crate) mod level;
mod line;
pub(crate) mod log;
mod plain;
pub(crate) mod sink;
pub(crate) mod words;
