//! What is kept of a recipient, in memory and on disk: what the directory said, for how long, and under which key.

use crate::address::{Address, Domain};
use crate::verdict::Cause;

/// What the directory said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Said {
    /// It exists; with what the directory remarked.
    Yes(Option<Box<Cause>>),
    /// It does not.
    No(Box<Cause>),
}

/// One form for each mailbox: the domain is in lower case already, and needless
/// quotes were taken away when the address was read.
pub(super) fn key(address: &Address) -> Box<[u8]> {
    address.to_wire().into()
}

pub(super) fn read(key: &[u8]) -> Option<Address> {
    Address::from_typed(str::from_utf8(key).ok()?).ok()
}

/// What the one form of every mailbox of a domain ends with.
pub(super) fn end(domain: &Domain) -> Box<[u8]> {
    [b"@", domain.as_str().as_bytes()].concat().into()
}
