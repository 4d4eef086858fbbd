//! Questions that nobody waits for.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};
use vouch::address::Address;
use vouch::directory::{Directory, Terms};
use vouch::engine::CachedDirectory;
use vouch::verdict::{Client, Kind, Question, Verdict};
use vouch_protocol::sasl::RelayedMechanism;

use crate::bound;
use crate::stub::{Stub, member, settle};

/// A remote that is called and never heard of.
#[derive(Default)]
struct Mute {
    /// When each call began and was given up.
    calls: Mutex<Vec<(Instant, Instant)>>,
}

impl Directory for Mute {
    fn can_answer(&self, _: &Kind) -> bool {
        true
    }

    fn probe<'a>(&'a self, _: &'a Question, _: Terms) -> Pin<Box<dyn Future<Output = Verdict> + Send + 'a>> {
        Box::pin(std::future::pending())
    }

    fn relays(&self) -> Option<Vec<RelayedMechanism>> {
        None
    }

    fn call<'a>(&'a self, deadline: Instant) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>> {
        self.calls.lock().unwrap().push((Instant::now(), deadline));
        Box::pin(sleep_until(deadline))
    }
}

// Fills CALL_TIMEOUT, cached_directory::FIRST_PAUSE, cached_directory::LAST_PAUSE.
#[tokio::test(start_paused = true)]
async fn calls_are_given_up_and_repeated() {
    let mute = Arc::new(Mute::default());
    let member = member(mute.clone(), false);
    let calling = tokio::spawn(CachedDirectory::learn_offers(Arc::downgrade(&member)));
    sleep(Duration::from_secs(1800)).await;
    calling.abort();
    let calls = mute.calls.lock().unwrap();
    for (began, ended) in calls.iter() {
        assert_eq!(*ended - *began, Duration::from_secs(30));
    }
    let pauses: Vec<u64> = calls
        .windows(2)
        .map(|pair| (pair[1].0 - pair[0].1).as_secs())
        .collect();
    assert_eq!(pauses[..8], [1, 2, 4, 8, 16, 32, 60, 60]);
    assert_eq!(bound("cached_directory::FIRST_PAUSE"), "1s");
    assert_eq!(bound("cached_directory::LAST_PAUSE"), "1m");
}

// Fills canaries and domains with witnesses or a test.
#[tokio::test(start_paused = true)]
async fn a_strangers_domain_is_not_tested() {
    let stub = Stub::new();
    stub.open();
    let member = member(stub.clone(), true);
    for (address, asked) in [("jane@elsewhere.example", 1), ("jane@example.org", 3)] {
        let kind = Kind::Recipient(Address::from_typed(address).unwrap());
        let client = Client::default();
        let deadline = Instant::now() + Duration::from_secs(10);
        member.decide(Question { kind, client }, deadline).await;
        settle().await;
        assert_eq!(stub.asked(), asked, "{address}");
    }
}
