//! This machine's own addresses.

use std::net::IpAddr;

use nix::ifaddrs::getifaddrs;
use nix::sys::socket::SockaddrStorage;

/// Whether an address is one of this machine's: of one of its interfaces, or unspecified, by which it reaches itself. Where
/// the kernel does not name them, any may be.
pub(super) fn is_own(address: IpAddr) -> bool {
    let address = address.to_canonical();
    if address.is_unspecified() {
        return true;
    }
    let Ok(mut interfaces) = getifaddrs() else {
        return true;
    };
    interfaces.any(|interface| interface.address.and_then(|it| ip(&it)) == Some(address))
}

fn ip(address: &SockaddrStorage) -> Option<IpAddr> {
    let v4 = address.as_sockaddr_in().map(|it| IpAddr::V4(it.ip()));
    v4.or_else(|| {
        address
            .as_sockaddr_in6()
            .map(|it| IpAddr::V6(it.ip()).to_canonical())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_ours_and_another_network_is_not() {
        for (address, own) in [
            ("127.0.0.1", true),
            ("::ffff:127.0.0.1", true),
            ("0.0.0.0", true),
            ("192.0.2.1", false),
            ("2001:db8::1", false),
        ] {
            assert_eq!(is_own(address.parse().unwrap()), own, "{address}");
        }
    }
}
