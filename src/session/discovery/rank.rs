//! Which servers of DNS records may be called, and in which order.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::timeout;

use crate::chance::Chance;
use crate::session::dns::Record;
use crate::session::interfaces::is_own;
use crate::session::lookup::is_no_such_name;

/// Bound (sessions): look-up of the addresses of the hosts in MX records, to know which is this machine. Beyond: such a host
/// counts as this machine. Why: asking itself would be a loop.
const ADDRESSES_TIMEOUT: Duration = Duration::from_secs(4);

/// What a host of an MX record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Elsewhere,
    /// This machine.
    Here,
    /// Nobody knows: it may be this machine.
    Unknown,
    /// It has no address.
    Nowhere,
}

/// Whether a name from DNS can be looked up as a host's. An address is none (RFC 5321 section 2.3.5).
pub(super) fn is_host(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    name.bytes().all(plain) && !name.is_empty() && name.parse::<IpAddr>().is_err()
}

/// What each of these hosts is.
pub(super) async fn places<F>(records: &[Record], own_name: &str, look_up: impl Fn(String) -> F) -> Vec<Place>
where
    F: Future<Output = io::Result<Vec<SocketAddr>>>,
{
    join_all(records.iter().map(|record| async {
        if record.host.eq_ignore_ascii_case(own_name) {
            return Place::Here;
        }
        match timeout(ADDRESSES_TIMEOUT, look_up(record.host.clone())).await {
            Ok(Ok(addresses)) if addresses.is_empty() => Place::Nowhere,
            Ok(Ok(addresses)) if addresses.iter().any(|it| is_own(it.ip())) => Place::Here,
            Ok(Ok(_)) => Place::Elsewhere,
            Ok(Err(error)) if is_no_such_name(&error) => Place::Nowhere,
            Ok(Err(_)) | Err(_) => Place::Unknown,
        }
    }))
    .await
}

/// Of records in the order of their preference those that may be asked: before this machine's own, and before any that may
/// be this machine. A gateway's MX is itself, and what is not better than it hands mail on to it (RFC 5321 section 5.1).
pub(super) fn elsewhere(records: Vec<Record>, places: &[Place], not_called: &mut Vec<String>) -> Vec<Record> {
    let ours = records
        .iter()
        .zip(places)
        .find(|(_, place)| matches!(place, Place::Here | Place::Unknown));
    let limit = ours.map(|(record, _)| record.preference);
    let mut kept = Vec::new();
    for (record, place) in records.into_iter().zip(places) {
        let why = match place {
            Place::Here => "this machine: asking it would be a loop",
            Place::Nowhere => "it has no address",
            Place::Unknown => "the look-up of its address gets no answer, and it may be this machine",
            Place::Elsewhere if limit.is_some_and(|limit| record.preference >= limit) => {
                "its preference is not better than that of this machine, so it may hand mail on to it"
            }
            Place::Elsewhere => {
                kept.push(record);
                continue;
            }
        };
        not_called.push(format!("{record}: {why}"));
    }
    kept
}

/// One of these, each as often as its weight says (RFC 2782).
pub(super) fn draw(weights: &[u64], chance: &Chance) -> usize {
    let sum: u64 = weights.iter().sum();
    let number = u64::from(u32::from_le_bytes(chance.bytes().unwrap_or_default()));
    if sum == 0 {
        return usize::try_from(number).unwrap_or(0) % weights.len().max(1);
    }
    // Those of weight 0 come first, and have a small chance of being drawn.
    let mut left = number % (sum + 1);
    let mut by_weight: Vec<usize> = (0..weights.len()).collect();
    by_weight.sort_by_key(|at| weights[*at]);
    for at in by_weight {
        if left <= weights[at] {
            return at;
        }
        left -= weights[at];
    }
    0
}

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::time::Instant;

    use super::*;

    fn record(preference: u16, host: &str) -> Record {
        Record {
            preference,
            weight: 1,
            port: None,
            host: host.to_owned(),
        }
    }

    fn hosts(records: &[Record]) -> Vec<&str> {
        records.iter().map(|record| &*record.host).collect()
    }

    #[test]
    fn what_is_not_better_than_this_machine_is_dropped() {
        use Place::{Elsewhere, Here, Nowhere, Unknown};
        let records =
            || ["a", "b", "c", "d", "e"].map(|host| record(10 * u16::from(host.as_bytes()[0] - b'a'), host));
        for (places, kept) in [
            ([Elsewhere; 5], &["a", "b", "c", "d", "e"][..]),
            ([Elsewhere, Elsewhere, Here, Elsewhere, Elsewhere], &["a", "b"]),
            ([Here, Elsewhere, Elsewhere, Elsewhere, Elsewhere], &[]),
            ([Elsewhere, Unknown, Elsewhere, Elsewhere, Here], &["a"]),
            ([Elsewhere, Nowhere, Elsewhere, Here, Elsewhere], &["a", "c"]),
        ] {
            let mut why = Vec::new();
            assert_eq!(
                hosts(&elsewhere(records().to_vec(), &places, &mut why)),
                kept,
                "{places:?}"
            );
            assert_eq!(
                why.len() + kept.len(),
                5,
                "each that is dropped has a reason: {why:?}"
            );
        }
        // An equal preference is not better.
        let equal = vec![record(10, "a"), record(20, "b"), record(20, "us")];
        let places = [Elsewhere, Elsewhere, Here];
        assert_eq!(hosts(&elsewhere(equal, &places, &mut Vec::new())), ["a"]);
    }

    #[test]
    fn equals_are_drawn_by_their_weight() {
        let bytes = AtomicUsize::new(0);
        let chance = Chance::new(move |fill| {
            // Every number once, up to the end of the range.
            let next = bytes.fetch_add(1, Ordering::Relaxed) as u64;
            fill.copy_from_slice(&next.to_le_bytes()[..fill.len()]);
            true
        });
        let mut drawn = [0; 3];
        for _ in 0..400 {
            drawn[draw(&[30, 10, 60], &chance)] += 1;
        }
        assert!(
            drawn[2] > drawn[0] && drawn[0] > drawn[1] && drawn[1] > 0,
            "{drawn:?}"
        );
        let none = (0..9).map(|_| draw(&[0, 0, 0], &chance));
        let mut none: Vec<_> = none.collect();
        none.sort_unstable();
        none.dedup();
        assert_eq!(none, [0, 1, 2], "those without a weight are equal");
        assert_eq!(draw(&[0], &Chance::new(|_| false)), 0);
    }

    #[test]
    fn a_name_of_dns_is_not_always_that_of_a_host() {
        for host in ["mail.example.org", "mail_1", "127.1"] {
            assert!(is_host(host), "{host}");
        }
        for other in ["", "192.0.2.1", "a b", "a\\032b", "::1", "caf\u{e9}"] {
            assert!(!is_host(other), "{other}");
        }
    }

    // Fills ADDRESSES_TIMEOUT.
    #[tokio::test(start_paused = true)]
    async fn a_host_whose_addresses_nobody_knows_may_be_this_machine() {
        let look_up = |host: String| async move {
            match &*host {
                "silent" => pending().await,
                "gone" => Err(io::Error::other(
                    "failed to lookup address information: Name or service not known",
                )),
                "trouble" => Err(io::Error::other("Temporary failure in name resolution")),
                "here" => Ok(vec![
                    "192.0.2.1:25".parse().unwrap(),
                    "127.0.0.1:25".parse().unwrap(),
                ]),
                _ => Ok(vec!["192.0.2.1:25".parse().unwrap()]),
            }
        };
        let records = ["silent", "gone", "trouble", "here", "there", "us"].map(|host| record(10, host));
        let began = Instant::now();
        let places = places(&records, "US", look_up).await;
        use Place::{Elsewhere, Here, Nowhere, Unknown};
        assert_eq!(places, [Unknown, Nowhere, Unknown, Here, Elsewhere, Here]);
        assert_eq!(began.elapsed(), ADDRESSES_TIMEOUT);
    }
}
