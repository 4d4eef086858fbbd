//! `allow` and `deny`: lists of networks of clients, and of domains that they may ask about.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;

use super::Domain;
use super::network::Network;

/// Networks of clients, and domains of the users and mailboxes that they ask about.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct List {
    /// In the order in which they were named.
    pub networks: Vec<Network>,
    /// Each is that domain alone, without those below it.
    pub domains: BTreeSet<Domain>,
}

/// The text is neither a network nor a domain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("neither an IP address, nor a network such as `192.0.2.0/24`, nor a domain")]
pub struct NotASubject;

/// Which questions are answered. What is on a list of `deny` is not, whatever `allow` has.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Access {
    /// Where it has networks, only their clients are answered; where it has domains, only
    /// what is asked about these.
    pub allow: List,
    /// The clients and the domains that are not answered.
    pub deny: List,
}

/// Why a question is not answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// Its client's network is on the list.
    #[error("the client's network is in the listener's deny")]
    Client,
    /// There are networks, and none of them is the client's; or it reports no address.
    #[error("the client's network is not in the listener's allow")]
    NoClient,
    /// Its domain is on the list.
    #[error("the domain is in the listener's deny")]
    Domain,
    /// There are domains, and none of them is the one that is asked about.
    #[error("the domain is not in the listener's allow")]
    NoDomain,
}

impl List {
    /// Adds what a text names. What can be read as a network is one.
    ///
    /// # Errors
    /// See [`NotASubject`].
    pub fn add(&mut self, text: &str) -> Result<(), NotASubject> {
        if let Ok(network) = Network::parse(text) {
            self.networks.push(network);
            return Ok(());
        }
        let domain = Domain::parse(text).map_err(|_| NotASubject)?;
        // `192.0.2.300` has the form of a domain, and was not meant for one.
        let last = domain.as_str().rsplit('.').next().unwrap_or_default();
        if last.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(NotASubject);
        }
        self.domains.insert(domain);
        Ok(())
    }

    /// What it holds, as text.
    pub fn to_text(&self) -> Vec<String> {
        let networks = self.networks.iter().map(ToString::to_string);
        networks
            .chain(self.domains.iter().map(ToString::to_string))
            .collect()
    }

    fn has_client(&self, client: Option<IpAddr>) -> bool {
        client.is_some_and(|client| self.networks.iter().any(|network| network.has(client)))
    }
}

impl Access {
    /// Whether a client is answered. A client without a known address is in no allowed
    /// network, and in no denied one.
    ///
    /// # Errors
    /// See [`Denied`].
    pub fn client(&self, client: Option<IpAddr>) -> Result<(), Denied> {
        if self.deny.has_client(client) {
            Err(Denied::Client)
        } else if self.allow.networks.is_empty() || self.allow.has_client(client) {
            Ok(())
        } else {
            Err(Denied::NoClient)
        }
    }

    /// Whether it is answered what is asked about a domain; `None` is a name without one,
    /// or with one that cannot be read, which is on no list.
    ///
    /// # Errors
    /// See [`Denied`].
    pub fn domain(&self, domain: Option<&Domain>) -> Result<(), Denied> {
        let is_on = |list: &List| domain.is_some_and(|domain| list.domains.contains(domain));
        if is_on(&self.deny) {
            Err(Denied::Domain)
        } else if self.allow.domains.is_empty() || is_on(&self.allow) {
            Ok(())
        } else {
            Err(Denied::NoDomain)
        }
    }

    /// Whether any domain is on a list.
    pub fn names_domains(&self) -> bool {
        !(self.allow.domains.is_empty() && self.deny.domains.is_empty())
    }
}

impl fmt::Display for List {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_text().join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(texts: &[&str]) -> List {
        let mut list = List::default();
        for text in texts {
            list.add(text).unwrap();
        }
        list
    }

    fn client(access: &Access, address: &str) -> Result<(), Denied> {
        access.client(address.parse().ok())
    }

    fn domain(access: &Access, domain: &str) -> Result<(), Denied> {
        access.domain(Domain::parse(domain).ok().as_ref())
    }

    #[test]
    fn a_text_is_a_network_or_a_domain() {
        let list = list(&["192.0.2.0/24", "Bücher.Example.", "::1", "xn--bcher-kva.example"]);
        assert_eq!(
            list.to_text(),
            ["192.0.2.0/24", "::1/128", "xn--bcher-kva.example"]
        );
        for text in [
            "", "192.0.2.0/33", "192.0.2.300", "jane@example.org", "[192.0.2.1]", "a b",
        ] {
            assert_eq!(List::default().add(text), Err(NotASubject), "{text}");
        }
    }

    #[test]
    fn who_is_denied_is_not_answered_and_who_is_not_allowed_neither() {
        let all = Access::default();
        assert_eq!((client(&all, "192.0.2.1"), client(&all, "")), (Ok(()), Ok(())));
        assert_eq!((domain(&all, "example.org"), domain(&all, "")), (Ok(()), Ok(())));
        let access = Access {
            allow: list(&["192.0.2.0/24", "example.org", "example.net"]),
            deny: list(&["192.0.2.66", "example.net"]),
        };
        assert_eq!(client(&access, "192.0.2.1"), Ok(()));
        assert_eq!(client(&access, "::ffff:192.0.2.66"), Err(Denied::Client));
        assert_eq!(client(&access, "198.51.100.1"), Err(Denied::NoClient));
        assert_eq!(client(&access, "unknown"), Err(Denied::NoClient));
        assert_eq!(domain(&access, "EXAMPLE.org"), Ok(()));
        assert_eq!(domain(&access, "example.net"), Err(Denied::Domain));
        assert_eq!(domain(&access, "sub.example.org"), Err(Denied::NoDomain));
        assert_eq!(domain(&access, ""), Err(Denied::NoDomain));
        // A list of the one kind says nothing of the other.
        let domains = Access {
            allow: list(&["example.org"]),
            ..Access::default()
        };
        assert_eq!(client(&domains, "198.51.100.1"), Ok(()));
    }
}
