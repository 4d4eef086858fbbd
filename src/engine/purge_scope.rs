//! Whom an administrator's purge is about.

use crate::address::{Address, Domain, DomainError, NotAnAddress};
use crate::verdict::UserName;

/// The scope of a purge.
#[derive(Debug, Clone)]
pub enum PurgeScope {
    /// A mailbox, and the logins under its address.
    Mailbox(Address),
    /// The logins of a user.
    User(UserName),
    /// Mailboxes and users of a domain.
    Domain(Domain),
    /// Everything.
    All,
}

impl PurgeScope {
    /// A mailbox, of an address as a client writes it.
    ///
    /// # Errors
    /// Where there can be none.
    pub fn mailbox(address: &str) -> Result<Self, NotAnAddress> {
        Address::from_unquoted(address.as_bytes()).map(Self::Mailbox)
    }

    /// Mailboxes and users of a domain.
    ///
    /// # Errors
    /// Where it is none.
    pub fn domain(domain: &str) -> Result<Self, DomainError> {
        Domain::parse(domain).map(Self::Domain)
    }

    /// A user by the name that is logged in with.
    pub fn user(name: &str) -> Self {
        Self::User(UserName::new(name.as_bytes()))
    }
}
