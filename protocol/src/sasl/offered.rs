//! The mechanisms that a remote offers.

use super::{Mechanism, RelayedMechanism};

/// Bound (replies): mechanisms whose names are remembered. Beyond: further ones are ignored. Why: no server offers
/// half as many.
pub const MECHANISMS: usize = 64;

/// Bound (replies, bytes): name of a mechanism. Beyond: a longer one is ignored. Why: RFC 4422 section 3.1.
pub const MECHANISM_NAME: usize = 20;

/// SASL mechanisms that a remote offers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mechanisms {
    /// `PLAIN` (RFC 4616).
    pub plain: bool,
    /// `LOGIN`, which only drafts describe.
    pub login: bool,
    /// The names of all others in upper case, each once, in the remote's order.
    pub other: Vec<String>,
}

impl Mechanisms {
    /// Whether this mechanism is offered.
    pub fn offers(&self, mechanism: Mechanism) -> bool {
        match mechanism {
            Mechanism::Plain => self.plain,
            Mechanism::Login => self.login,
        }
    }

    /// Whether this mechanism, whose messages are only carried, is offered.
    pub fn relays(&self, mechanism: RelayedMechanism) -> bool {
        self.other.iter().any(|name| name == mechanism.name())
    }

    /// Those that can be relayed.
    pub fn relayed(&self) -> Vec<RelayedMechanism> {
        let all = RelayedMechanism::ALL.into_iter();
        all.filter(|mechanism| self.relays(*mechanism)).collect()
    }

    /// Whether its variant with channel binding is offered.
    pub fn binds_channels(&self, mechanism: RelayedMechanism) -> bool {
        let is_plus = |name: &String| name.strip_suffix("-PLUS") == Some(mechanism.name());
        self.other.iter().any(is_plus)
    }

    /// The names of all.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let known = [(self.plain, "PLAIN"), (self.login, "LOGIN")];
        let known = known
            .into_iter()
            .filter_map(|(offered, name)| offered.then_some(name));
        known.chain(self.other.iter().map(String::as_str))
    }

    /// Notes the name of one, in any case.
    pub(crate) fn add(&mut self, name: &str) {
        let name = name.to_ascii_uppercase();
        let fits = (1..=MECHANISM_NAME).contains(&name.len()) && self.other.len() < MECHANISMS;
        match name.as_str() {
            "PLAIN" => self.plain = true,
            "LOGIN" => self.login = true,
            _ if fits && !self.other.contains(&name) => self.other.push(name),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Fills MECHANISMS, MECHANISM_NAME.
    #[test]
    fn of_what_a_remote_offers_so_many_names_are_remembered() {
        let mut offered = Mechanisms::default();
        for number in 0..10_000 {
            offered.add(&format!("M{number}"));
            offered.add("scram-sha-256");
        }
        assert_eq!(offered.other.len(), MECHANISMS);
        assert_eq!(offered.relayed(), [RelayedMechanism::ScramSha256]);
        let mut none = Mechanisms::default();
        none.add("");
        none.add(&"M".repeat(MECHANISM_NAME + 1));
        assert_eq!(none, Mechanisms::default());
        none.add(&"M".repeat(MECHANISM_NAME));
        assert_eq!(none.names().count(), 1);
    }
}
