//! A user whom one edge has accepted goes before strangers at all.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use remote::{Account, Delays, Options, Protocol, Server};
use tokio::time::{sleep, timeout};

use crate::asker::{Answer, Login};
use crate::edge::{Edge, JANE, JOE, Key};
use crate::is_available;
use crate::redis::{PATIENCE, Redis};

const ANN: &str = "ann@example.org";
const PASSWORD: &str = "s3cret";
const STRANGERS: usize = 20;

/// Logins that wait at an edge.
fn waiting(edge: &Edge) -> u64 {
    let status = edge.order(&["status", "--json"]).stdout;
    let status: serde_json::Value = serde_json::from_slice(&status).unwrap();
    status["directories"][0]["sessions"]["logins"]["waiting"]
        .as_u64()
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_whom_one_edge_has_accepted_goes_before_strangers_at_another() {
    if !is_available() {
        return;
    }
    let mut options = Options::new(Protocol::Imap)
        .account(Account::new(JANE, PASSWORD))
        .account(Account::new(JOE, PASSWORD))
        .account(Account::new(ANN, PASSWORD));
    options.delays = Delays {
        failed_login: Duration::from_millis(300),
        ..Delays::default()
    };
    let (redis, key, remote) = (Redis::start(), Key::new(), Server::start(options).unwrap());
    let keys = ("penalty = \"off\"", "pool.max-sessions = 2");
    let a = Edge::of_logins(&redis, &key, &remote, keys).await;
    let b = Arc::new(Edge::of_logins(&redis, &key, &remote, keys).await);
    for edge in [&a, &b] {
        edge.logged("the store of the fleet is used").await;
    }
    let jane = Login::of(JANE, PASSWORD);
    assert_eq!(a.login(&jane).await, Answer::Yes);
    let ann = Login {
        rip: "203.0.113.1",
        ..Login::of(ANN, PASSWORD)
    };
    assert_eq!(a.login(&ann).await, Answer::Yes);
    redis.holds(2);

    let refused = Arc::new(AtomicUsize::new(0));
    let mut strangers = Vec::new();
    for number in 0..STRANGERS {
        let (b, refused) = (b.clone(), refused.clone());
        strangers.push(tokio::spawn(async move {
            let (user, rip) = (
                format!("user{number}@example.org"),
                format!("198.51.100.{number}"),
            );
            let guess = Login {
                rip: &rip,
                ..Login::of(&user, "wrong")
            };
            assert_eq!(b.login(&guess).await, Answer::No);
            refused.fetch_add(1, Ordering::Relaxed);
        }));
    }
    let crowded = async {
        while waiting(&b) < STRANGERS as u64 * 3 / 4 {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, crowded).await.unwrap();
    // Nobody knows Joe, nor Ann where she comes from another network.
    let mut behind = Vec::new();
    for (user, rip) in [(JOE, "192.0.2.1"), (ANN, "192.0.2.1")] {
        let (b, refused) = (b.clone(), refused.clone());
        behind.push(tokio::spawn(async move {
            let login = Login {
                rip,
                ..Login::of(user, PASSWORD)
            };
            assert_eq!(b.login(&login).await, Answer::Yes);
            refused.load(Ordering::Relaxed)
        }));
    }
    assert_eq!(b.login(&jane).await, Answer::Yes);
    let before_jane = refused.load(Ordering::Relaxed);
    assert!(before_jane < STRANGERS * 3 / 4, "{before_jane}");
    for login in behind {
        let before = login.await.unwrap();
        assert!(before > before_jane && before >= STRANGERS - 3, "{before}");
    }
    for stranger in strangers {
        stranger.await.unwrap();
    }
    let dump = redis.dump();
    for word in ["jane", "example", "192.0.2", PASSWORD] {
        let found = dump
            .windows(word.len())
            .any(|part| part.eq_ignore_ascii_case(word.as_bytes()));
        assert!(!found, "{word}");
    }
}
