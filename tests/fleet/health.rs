//! A canary that is refused at one edge: no edge believes refusals of its domain until it is accepted there.

use std::time::Duration;

use remote::Account;
use tokio::time::{sleep, timeout};

use crate::asker::Answer;
use crate::edge::{Edge, JANE, NOBODY, Site};
use crate::redis::PATIENCE;

const CANARY: &str = "canary@example.org";

/// Asks until that is the answer.
async fn comes_to(edge: &Edge, recipient: &str, answer: Answer) {
    let asking = async {
        while edge.ask(recipient).await != answer {
            sleep(Duration::from_millis(100)).await;
        }
    };
    let came = timeout(2 * PATIENCE, asking).await;
    came.unwrap_or_else(|_| panic!("never {answer:?}\n{}", edge.log()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_canary_that_is_refused_at_one_edge_makes_refusals_doubtful_at_all() {
    let Some(site) = Site::start() else {
        return;
    };
    let a = site.edge(&format!("lookup.canary = [\"{CANARY}\"]")).await;
    // It has no canary of its own, and no doubt.
    let b = site.edge("").await;
    b.logged("the store of the fleet is used").await;
    assert_eq!(b.ask(NOBODY).await, Answer::No);
    assert_eq!(b.ask(JANE).await, Answer::Yes);
    assert_eq!(a.ask(NOBODY).await, Answer::Later);
    a.logged("the canary is refused").await;
    // What it remembers, and what it asks now.
    comes_to(&b, NOBODY, Answer::Later).await;
    assert_eq!(b.ask("another@example.org").await, Answer::Later);
    assert_eq!(b.ask(JANE).await, Answer::Yes);
    let line = b.logged("a canary is refused at another edge").await;
    let host = nix::unistd::gethostname().unwrap().into_string().unwrap();
    assert!(line.contains(&host), "{line}");
    let status = String::from_utf8(b.order(&["status", "--json"]).stdout).unwrap();
    let status: serde_json::Value = serde_json::from_str(&status).unwrap();
    assert_eq!(status["doubting"][0]["edge"], *host, "{status}");
    assert!(
        status["attention"].to_string().contains(&host),
        "{}",
        status["attention"]
    );
    let store = &status["fleet"][0];
    assert!(store["round-trip"]["us"]["p50"].as_u64() > Some(0), "{store}");
    let said = String::from_utf8(b.order(&["status"]).stdout).unwrap();
    assert!(said.contains("\nFLEET ") && said.contains("\nused "), "{said}");
    let dump = site.redis.dump();
    for word in ["canary", "example", "nobody", &*host] {
        let found = dump
            .windows(word.len())
            .any(|part| part.eq_ignore_ascii_case(word.as_bytes()));
        assert!(!found, "{word}");
    }
    // An edge that starts now doubts as well.
    let c = site.edge("").await;
    c.logged("a canary is refused at another edge").await;
    assert_eq!(c.ask(NOBODY).await, Answer::Later);

    site.remote.set_account(Account::new(CANARY, "x"));
    comes_to(&a, NOBODY, Answer::No).await;
    comes_to(&b, NOBODY, Answer::No).await;
    comes_to(&c, NOBODY, Answer::No).await;
    b.logged("no canary is refused at that edge").await;
}
