//! Which domains are ours, and which directory knows each.

use std::collections::HashSet;
use std::sync::Arc;

use crate::address::{Address, Domain};
use crate::settings::directory::Lookup;
use crate::settings::routes::map::{Map, Route};
use crate::verdict::UserName;

// Bound (cache, those of the configuration): canaries and domains with witnesses or a test. Beyond: there is never one
// more. Why: only what `directory.NAME.lookup` names is kept.

/// The domains that one directory is asked about: those of a list, or those that a map leads to one of its servers.
#[derive(Debug, Clone, Default)]
pub struct Domains {
    listed: Arc<HashSet<Domain>>,
    routes: Option<Arc<Map>>,
}

impl Domains {
    /// Whether the directory names no domain at all: it then takes every login
    /// and no recipient.
    pub fn is_empty(&self) -> bool {
        self.listed.is_empty() && self.routes.is_none()
    }

    /// Whether recipients of this domain may be asked about, but for those with a route of their own.
    pub fn has(&self, domain: &Domain) -> bool {
        match &self.routes {
            None => self.listed.contains(domain),
            Some(map) => matches!(map.find_domain(domain), Some(Route::Server(_))),
        }
    }

    /// Whether this recipient may be asked about.
    pub fn has_recipient(&self, address: &Address) -> bool {
        match &self.routes {
            None => self.has(address.domain()),
            Some(map) => matches!(
                map.find(address.local(), address.domain()),
                Some(Route::Server(_))
            ),
        }
    }

    /// Whether a recipient has a route of his own: what another server says of others of the domain tells nothing of
    /// him, nor he of them.
    pub fn is_apart(&self, address: &Address) -> bool {
        let routes = self.routes.as_ref();
        routes.is_some_and(|map| map.has_own_line(address.local(), address.domain()))
    }

    /// Whether a login may be asked about: any, where no domain is named. A domain that cannot be read is in no list,
    /// and a map knows nobody without a domain.
    pub fn takes_login(&self, user: &UserName) -> bool {
        if self.is_empty() {
            return true;
        }
        let Some(domain) = user.domain() else {
            return self.routes.is_none();
        };
        let domain = str::from_utf8(domain).ok();
        let Some(domain) = domain.and_then(|domain| Domain::parse(domain).ok()) else {
            return false;
        };
        match Address::from_unquoted(user.as_bytes()) {
            Ok(address) => self.has_recipient(&address),
            Err(_) => self.has(&domain),
        }
    }
}

impl From<&Lookup> for Domains {
    fn from(lookup: &Lookup) -> Self {
        Self {
            listed: Arc::new(lookup.domains.all.iter().cloned().collect()),
            routes: lookup.routes.as_ref().map(|routes| routes.map.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Tests list them.
    impl FromIterator<Domain> for Domains {
        fn from_iter<I: IntoIterator<Item = Domain>>(domains: I) -> Self {
            Self {
                listed: Arc::new(domains.into_iter().collect()),
                routes: None,
            }
        }
    }

    #[test]
    fn recipients_need_a_listed_domain_and_logins_do_not() {
        let none = Domains::default();
        let ours: Domains = [Domain::parse("bücher.example").unwrap()].into_iter().collect();
        let listed = Domain::parse("xn--bcher-kva.example").unwrap();
        assert!(!none.has(&listed) && ours.has(&listed));
        let takes = |domains: &Domains, user: &[u8]| domains.takes_login(&UserName::new(user));
        assert!(takes(&none, b"jane@anything") && takes(&none, b"jane@\xff") && takes(&none, b"jane"));
        assert!(takes(&ours, "jane@BÜCHER.example".as_bytes()) && takes(&ours, b"jane"));
        assert!(!takes(&ours, b"jane@other.example") && !takes(&ours, b"jane@\xff"));
    }

    #[test]
    fn a_map_has_whom_it_leads_to_a_server() {
        let text = "example.org smtp:[a.example]\nown@example.org smtp:[b.example]\nroot@example.org local:\n\
                    here.example local:\n*.example smtp:[x]\n* smtp:[c.example]\n";
        let map = crate::settings::routes::map_of_tests(text);
        let ours = Domains {
            routes: Some(map),
            ..Domains::default()
        };
        for (address, has, apart) in [
            ("jane@example.org", true, false),
            ("OWN@Example.ORG", true, true),
            ("root@example.org", false, true),
            ("jane@here.example", false, false),
            ("jane@other.example", true, false),
        ] {
            let parsed = Address::from_typed(address).unwrap();
            assert_eq!(
                (ours.has_recipient(&parsed), ours.is_apart(&parsed)),
                (has, apart),
                "{address}"
            );
            assert_eq!(
                ours.takes_login(&UserName::new(address.as_bytes())),
                has,
                "{address}"
            );
        }
        assert!(
            !ours.takes_login(&UserName::new(b"jane")) && !ours.takes_login(&UserName::new(b"jane@\xff"))
        );
        assert!(!ours.is_empty() && ours.has(&Domain::parse("example.org").unwrap()));
    }
}
