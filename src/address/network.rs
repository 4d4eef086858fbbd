//! IP networks.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

/// A range of IP addresses: `192.0.2.0/24`, `2001:db8::/32`, or one address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Network {
    address: IpAddr,
    bits: u8,
}

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
        let (address, bits) = text
            .split_once('/')
            .map_or((text, None), |(address, bits)| (address, Some(bits)));
        let address: IpAddr = address.parse().map_err(|_| NotANetwork)?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let digits = bits.is_none_or(|bits| bits.bytes().all(|byte| byte.is_ascii_digit()));
        let bits = bits.map_or(Ok(most), |bits| bits.parse().map_err(|_| NotANetwork))?;
        if digits && bits <= most {
            Ok(Self { address, bits })
        } else {
            Err(NotANetwork)
        }
    }

    /// What one host is known by: an IPv4 address alone; of an IPv6 address the /64, as a
    /// host may take any address in it (RFC 4862, RFC 8981).
    pub fn of_host(address: IpAddr) -> Self {
        match address.to_canonical() {
            address @ IpAddr::V4(_) => Self { address, bits: 32 },
            IpAddr::V6(address) => {
                let prefix = address.to_bits() & (u128::MAX << 64);
                Self {
                    address: Ipv6Addr::from_bits(prefix).into(),
                    bits: 64,
                }
            }
        }
    }

    /// Whether an address is one of it. An IPv4 address that is written as an IPv6
    /// one is what it means.
    pub fn has(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(ours), IpAddr::V4(other)) => {
                let mask = u32::MAX
                    .checked_shl(32 - u32::from(self.bits))
                    .unwrap_or_default();
                (ours.to_bits() ^ other.to_bits()) & mask == 0
            }
            (IpAddr::V6(ours), IpAddr::V6(other)) => {
                let mask = u128::MAX
                    .checked_shl(128 - u32::from(self.bits))
                    .unwrap_or_default();
                (ours.to_bits() ^ other.to_bits()) & mask == 0
            }
            _ => false,
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.bits)
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
