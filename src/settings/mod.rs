//! The keys of `vouch.toml`: one struct for each table, and for each key **one entry**, which holds all that there is to
//! know of it: the text of the manual, the name in the file, the field, its type, its default, its bounds, what the
//! example file says of it. The macro [`keys!`](key) makes of it the field, the default, the reader with its messages, the
//! effective value for `vouch check --all`, and what the manual, the example file and the fuzzer's dictionary are made of.
//!
//! Every part of the program may take its settings from here; only `daemon` and `cli` know the whole file
//! ([`crate::config`]). What must hold between keys is checked there.

pub(crate) mod action;
pub mod address;
pub mod cache;
pub mod client_limits;
pub mod directory;
pub mod domains;
pub mod dovecot;
pub(crate) mod earlier;
pub mod entry;
pub mod fields;
pub mod fleet;
mod host;
pub mod key;
pub mod kind;
pub mod limit;
pub mod listener;
pub mod mechanism;
pub mod penalty;
pub mod pool;
pub(crate) mod problem;
pub mod process;
pub mod protocol;
pub mod routes;
pub mod scalar;
pub mod socket;
pub(crate) mod table;
mod words;
