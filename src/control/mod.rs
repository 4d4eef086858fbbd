//! The control socket: how the command line asks the running daemon about itself.
//!
//! A client sends one line, a JSON object whose `ask` says what it wants, and is
//! answered with one line: an object, which has nothing but `error` where it cannot be
//! answered. Then the connection is closed. [`serve`] is the daemon's side, [`client`]
//! the command line's.

pub mod client;
pub mod serve;

use std::time::Duration;

/// The longest request, in bytes with its line feed. What is asked for is a word, at
/// most with an address.
pub(crate) const LONGEST_REQUEST: usize = 4096;

/// Clients that are answered at once. It is people who ask, and the scripts of one
/// administrator.
pub(crate) const MOST_CLIENTS: usize = 8;

/// A client that has not sent its line within this time, or then not read its answer, is left:
/// it holds one of few places.
pub(crate) const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

/// An answer may take this long: searching a large cache takes less, and a slower disk is
/// reported.
pub(crate) const ANSWER: Duration = Duration::from_secs(10);
