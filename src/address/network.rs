//! IP networks.

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;

/// A range of IP addresses: `192.0.2.0/24`, `2001:db8::/32`, or one address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Network(IpNet);

/// The text is neither an IP address nor one with a prefix length that fits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("neither an IP address nor a network such as `192.0.2.0/24`")]
pub struct NotANetwork;

impl Network {
    /// ```text
    /// network = IP ["/" 1*DIGIT]
    /// ```
    /// Bits behind the prefix mean nothing, as in Dovecot's `allow_nets`.
    ///
    /// # Errors
    /// See [`NotANetwork`].
    pub fn parse(text: &str) -> Result<Self, NotANetwork> {
        let alone = text.parse::<IpAddr>().map(IpNet::from);
        alone.or_else(|_| text.parse()).map(Self).map_err(|_| NotANetwork)
    }

    /// What one host is known by: an IPv4 address alone; of an IPv6 address the /64, as a
    /// host may take any address in it (RFC 4862, RFC 8981).
    pub fn of_host(address: IpAddr) -> Self {
        let address = address.to_canonical();
        let bits = if address.is_ipv4() { 32 } else { 64 };
        Self(IpNet::new(address, bits).map_or(address.into(), |network| network.trunc()))
    }

    /// Whether an address is one of it. An IPv4 address that is written as an IPv6
    /// one is what it means.
    pub fn has(&self, address: IpAddr) -> bool {
        self.0.contains(&address.to_canonical())
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_holds_its_addresses() {
        for (network, inside, outside) in [
            ("192.0.2.0/24", "192.0.2.255", "192.0.3.0"),
            ("192.0.2.7", "192.0.2.7", "192.0.2.8"),
            ("192.0.2.7/32", "::ffff:192.0.2.7", "::ffff:192.0.2.8"),
            ("0.0.0.0/0", "203.0.113.1", "::1"),
            ("2001:db8::/32", "2001:db8:ffff::1", "2001:db9::1"),
            ("::/0", "::1", "127.0.0.1"),
        ] {
            let network = Network::parse(network).unwrap();
            assert!(network.has(inside.parse().unwrap()), "{network} {inside}");
            assert!(!network.has(outside.parse().unwrap()), "{network} {outside}");
        }
    }

    #[test]
    fn a_host_has_one_ipv4_address_or_a_64() {
        for (address, network) in [
            ("192.0.2.7", "192.0.2.7/32"),
            ("::ffff:192.0.2.7", "192.0.2.7/32"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
            ("::1", "::/64"),
        ] {
            let host = Network::of_host(address.parse().unwrap());
            assert_eq!(host.to_string(), network);
        }
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for text in [
            "", "local", "192.0.2", "192.0.2.0/33", "::/129", "1.2.3.4/", "1.2.3.4/+8", "1.2.3.4/x",
        ] {
            assert_eq!(Network::parse(text), Err(NotANetwork), "{text}");
        }
    }
}
