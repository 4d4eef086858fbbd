//! The control socket: how the command line asks the running daemon about itself.
//!
//! A client sends one line, a JSON object whose `ask` says what it wants, and is
//! answered with one line: an object, which has nothing but `error` where it cannot be
//! answered. Then the connection is closed. [`serve`] is the daemon's side, [`client`]
//! the command line's.

pub(crate) mod client;
pub(crate) mod serve;

use std::error::Error;
use std::time::Duration;

/// Bound (process, bytes): request at the control socket, with its line feed. Beyond: it gets an error. Why: a
/// request is a word, at most with an address.
const LONGEST_REQUEST: usize = 4096;

/// Bound (process): clients of the control socket at once. Beyond: others wait for a place. Why: its clients are
/// people, and the scripts of one administrator.
const MOST_CLIENTS: usize = 8;

/// Bound (process): time for a client of the control socket to send its request, and to read its answer. Beyond: its
/// connection is closed. Why: it holds one of few places.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

/// Bound (process): time for an answer at the control socket. Beyond: it gets an error. Why: searching a large cache
/// takes less, and a slower disk is reported.
const ANSWER: Duration = Duration::from_secs(10);

/// Why a request has no answer but this.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    /// It is no object of JSON.
    #[error("the request is not JSON")]
    NotJson,
    /// It is longer than a request may be.
    #[error("the request is too long")]
    TooLong,
    /// It has no `ask`.
    #[error("the request asks nothing")]
    AsksNothing,
    /// Nobody knows what it asks for.
    #[error("this version, {version}, cannot answer \"{0}\"", version = env!("CARGO_PKG_VERSION"))]
    Unknown(String),
    /// This member of it is of another type.
    #[error("{0} is no text")]
    NoText(String),
    /// It names no user, domain or mailbox.
    #[error("the request names nobody")]
    NamesNobody,
    /// It names a directory that there is not.
    #[error("there is no directory \"{0}\"")]
    NoDirectory(String),
    /// It names a level that there is not.
    #[error("there is no level \"{0}\"")]
    NoLevel(String),
    /// It names a domain or an address that is none.
    #[error("{0}: {1}")]
    NoName(String, Box<dyn Error + Send + Sync>),
    /// The answer would take too long.
    #[error("it takes too long; what was begun may still be done")]
    Late,
    /// The answer cannot be written as JSON.
    #[error(transparent)]
    Unwritable(#[from] serde_json::Error),
}
