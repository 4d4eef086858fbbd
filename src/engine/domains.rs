//! Which domains are ours, and which directory knows each.

use std::collections::HashSet;
use std::sync::Arc;

use crate::address::Domain;

// Bound (cache, those of the configuration): canaries and domains with witnesses or a test. Beyond: there is never one
// more. Why: only what `directory.NAME.lookup` names is kept.

/// The domains that one directory is asked about.
#[derive(Debug, Clone, Default)]
pub struct Domains(Arc<HashSet<Domain>>);

impl Domains {
    /// Whether the directory names no domain at all: it then takes every login
    /// and no recipient.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// One of them.
    pub fn any(&self) -> Option<&Domain> {
        self.0.iter().next()
    }

    /// Whether a recipient of this domain may be asked about.
    pub fn has(&self, domain: &Domain) -> bool {
        self.0.contains(domain)
    }

    /// Whether a login of this domain may be asked about: any, where no domain
    /// is named. A domain that cannot be read is in no list.
    pub fn takes_login(&self, domain: &[u8]) -> bool {
        if self.is_empty() {
            return true;
        }
        let domain = str::from_utf8(domain)
            .ok()
            .and_then(|domain| Domain::parse(domain).ok());
        domain.is_some_and(|domain| self.has(&domain))
    }
}

impl FromIterator<Domain> for Domains {
    fn from_iter<I: IntoIterator<Item = Domain>>(domains: I) -> Self {
        Self(Arc::new(domains.into_iter().collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recipients_need_a_listed_domain_and_logins_do_not() {
        let none = Domains::default();
        let ours: Domains = [Domain::parse("bücher.example").unwrap()].into_iter().collect();
        let listed = Domain::parse("xn--bcher-kva.example").unwrap();
        assert!(!none.has(&listed) && ours.has(&listed));
        assert!(none.takes_login(b"anything") && none.takes_login(b"\xff"));
        assert!(ours.takes_login("BÜCHER.example".as_bytes()));
        assert!(!ours.takes_login(b"other.example") && !ours.takes_login(b"\xff"));
    }
}
