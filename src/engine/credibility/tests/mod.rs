//! Canaries, witnesses and catch-all domains, through a scripted directory.

mod canaries;
mod witnesses;

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::address::{Address, Domain};
use crate::chance::Chance;
use crate::directory::{Directory, Terms};
use crate::engine::{CachedDirectory, Source, cached_directory};
use crate::settings::directory::{CatchAll, Ttl};
use crate::verdict::{Cause, Class, Client, Kind, Question, Verdict};

/// What it says of an address, and of every other.
#[derive(Default)]
struct Remote {
    of: Mutex<HashMap<String, Verdict>>,
    of_others: Mutex<Option<Verdict>>,
    asked: Mutex<Vec<String>>,
}

impl Remote {
    fn says(&self, address: &str, verdict: Verdict) {
        self.of.lock().unwrap().insert(address.into(), verdict);
    }

    fn says_of_others(&self, verdict: Verdict) {
        *self.of_others.lock().unwrap() = Some(verdict);
    }

    /// The recipients asked about since the last look.
    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }
}

impl Directory for Remote {
    fn can_answer(&self, _: &Kind) -> bool {
        true
    }

    fn probe<'a>(
        &'a self,
        question: &'a Question,
        _: Terms,
    ) -> Pin<Box<dyn Future<Output = Verdict> + Send + 'a>> {
        let Kind::Recipient(address) = &question.kind else {
            panic!("nobody asks about logins here");
        };
        let address = address.to_string();
        self.asked.lock().unwrap().push(address.clone());
        Box::pin(async move {
            sleep(Duration::from_millis(10)).await;
            let known = self.of.lock().unwrap().get(&address).cloned();
            known.unwrap_or_else(|| self.of_others.lock().unwrap().clone().unwrap())
        })
    }
}

fn settings(canaries: &[&str], detect_catch_all: bool) -> cached_directory::Settings {
    let hours = |hours: u64| Duration::from_secs(3600 * hours);
    let mut keys = crate::engine::tests::keys_of_tests("m", &["e.org"]);
    let canaries = canaries.iter().map(|canary| Address::from_typed(canary).unwrap());
    keys.lookup.canary = canaries.collect();
    if detect_catch_all {
        keys.lookup.catch_all = CatchAll::Detect;
    }
    keys.cache.entries = 100;
    keys.cache.ttl = Ttl {
        positive: hours(4),
        refresh: hours(1),
        negative: Duration::from_secs(120),
        stale: hours(100),
    };
    (&keys).into()
}

fn member(remote: &Arc<Remote>, canaries: &[&str], detect_catch_all: bool) -> CachedDirectory {
    CachedDirectory::new(
        settings(canaries, detect_catch_all),
        remote.clone(),
        [1; 32],
        Chance::default(),
    )
}

async fn decide(member: &CachedDirectory, address: &str) -> (Verdict, Source) {
    let kind = Kind::Recipient(Address::from_typed(address).unwrap());
    let client = Client::default();
    let deadline = Instant::now() + Duration::from_secs(20);
    let decision = member.decide(Question { kind, client }, deadline).await;
    (decision.verdict, decision.source)
}

async fn ask(member: &CachedDirectory, address: &str) -> &'static str {
    decide(member, address).await.0.name()
}

fn yes() -> Verdict {
    Verdict::accept("x")
}

fn no() -> Verdict {
    Verdict::Reject(Cause::said(Class::UnknownUser, "550 5.1.1", "no such user"))
}

fn silence() -> Verdict {
    Verdict::Defer(Cause::ours(Class::Unreachable, "down"))
}

async fn seconds(seconds: u64) {
    sleep(Duration::from_secs(seconds)).await;
}
