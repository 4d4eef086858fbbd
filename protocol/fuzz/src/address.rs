//! Addresses, domains and networks.

use std::net::IpAddr;

use bytes::BytesMut;
use tokio_util::codec::Encoder as _;
use vouch::address::network::Network;
use vouch::address::{Address, Domain, Fault};
use vouch_protocol::smtp::{Codec, Command};

use crate::input;

/// An address as Postfix hands it over and as a person types it; a domain; a network, with
/// an address behind a space.
pub fn run(input: &[u8]) {
    let text = input::text(input);
    if let Ok(address) = Address::from_unquoted(input) {
        holds(&address);
    }
    if let Ok(address) = Address::from_typed(&text) {
        holds(&address);
    }
    if let Ok(domain) = Domain::parse(&text) {
        canonical(&domain);
    }
    network(&text);
}

fn holds(address: &Address) {
    assert!(!address.local().is_empty());
    canonical(address.domain());
    let unquoted = address.to_unquoted();
    assert_eq!(Address::from_unquoted(&unquoted).as_ref(), Ok(address));
    let wire = address.to_wire();
    assert_eq!(address.needs_utf8(), !wire.is_ascii());
    let sendable = address.fault().is_none();
    assert_eq!(
        address.fault() == Some(Fault::TooLong),
        wire.len() > 254 && !has_control(address)
    );
    // What has no fault can be asked for, as one path; and what is written means this mailbox.
    let mut out = BytesMut::new();
    let rcpt = Command::Rcpt {
        to: wire.clone(),
        ignore_quota: false,
    };
    let written = Codec::default().encode(&rcpt, &mut out);
    assert!(written.is_ok() || !sendable, "not to be written: {address}");
    assert!(written.is_err() || !has_control(address));
    if let Ok(wire) = str::from_utf8(&wire) {
        assert_eq!(Address::from_typed(wire).as_ref(), Ok(address), "{wire}");
    }
    let folded = address.clone().folded();
    assert_eq!(folded.clone().folded(), folded);
    assert_eq!(folded.domain(), address.domain());
    let plain = address.clone().without_detail("+-");
    assert!(address.local().starts_with(plain.local()) && !plain.local().is_empty());
    assert!(!plain.local()[1..].iter().any(|byte| b"+-".contains(byte)) || plain == *address);
}

fn has_control(address: &Address) -> bool {
    address.local().iter().any(u8::is_ascii_control)
}

/// There is one way to write a domain, and it is a host's name.
fn canonical(domain: &Domain) {
    let text = domain.as_str();
    assert_eq!(Domain::parse(text).as_ref(), Ok(domain));
    assert_eq!(Domain::parse(&format!("{text}.")).as_ref(), Ok(domain));
    assert_eq!(Domain::parse(&text.to_ascii_uppercase()).as_ref(), Ok(domain));
    assert!(text.len() <= 253);
    for label in text.split('.') {
        assert!((1..=63).contains(&label.len()));
        let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_".contains(&byte);
        assert!(label.bytes().all(fits), "{text}");
    }
}

fn network(text: &str) {
    let (range, address) = text.split_once(' ').unwrap_or((text, ""));
    let Ok(network) = Network::parse(range) else {
        return;
    };
    assert_eq!(Network::parse(&network.to_string()), Ok(network));
    let (own, bits) = range.split_once('/').unwrap_or((range, ""));
    let Ok(own) = own.parse::<IpAddr>() else {
        panic!("no address in {range}");
    };
    let Ok(other) = address.parse::<IpAddr>() else {
        return;
    };
    // Bit by bit, in an IPv4 address whatever way it is written.
    let octets = |address: IpAddr| match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    };
    let (own, other) = (octets(own), octets(other.to_canonical()));
    let bits = bits.parse().unwrap_or(8 * own.len());
    let bit = |octets: &[u8], at: usize| octets[at / 8] >> (7 - at % 8) & 1;
    let same = own.len() == other.len() && (0..bits).all(|at| bit(&own, at) == bit(&other, at));
    let Ok(address) = address.parse() else { return };
    assert_eq!(network.has(address), same, "{network} {address}");
}
