//! What a connection to a store takes and gives, with the client and without it.

use std::pin::Pin;
use std::time::Duration;

use super::finding::VALUE;
use super::key::Name;

/// A value to be written.
#[derive(Debug, Clone)]
#[cfg_attr(
    not(feature = "fleet"),
    allow(dead_code, reason = "nothing reads what is never written")
)]
pub(super) struct Write {
    pub(super) name: Name,
    pub(super) value: [u8; VALUE],
    /// How long the store keeps it.
    pub(super) kept: Duration,
    /// Of a no, how long ago its probe began: it gives way to a younger yes.
    pub(super) gives_way: Option<Duration>,
}

/// A mark to be put into a count.
#[derive(Debug)]
#[cfg_attr(
    not(feature = "fleet"),
    allow(dead_code, reason = "nothing reads what is never written")
)]
pub(super) struct Put {
    pub(super) name: String,
    pub(super) mark: [u8; 8],
    /// How long the store keeps the whole count from now on.
    pub(super) kept: Duration,
}

/// What reads and writes the stream of a connection, until that ends.
pub(super) type Driver = Pin<Box<dyn Future<Output = ()> + Send>>;
