//! Failures are counted over all edges.

use std::time::Duration;

use remote::{Account, Options, Protocol, Server};

use crate::asker::{Answer, Login};
use crate::edge::{Edge, JANE, Key};
use crate::is_available;
use crate::redis::{PATIENCE, Redis};
use crate::support::process::wait_until;

const PASSWORD: &str = "s3cret-0f-jane";

/// A remote that knows Jane's password.
fn remote() -> Server {
    let options = Options::new(Protocol::Imap).account(Account::new(JANE, PASSWORD));
    Server::start(options).unwrap()
}

/// A store, and three edges whose auth listeners have this penalty.
struct Three {
    redis: Redis,
    edges: [Edge; 3],
    remote: Server,
}

impl Three {
    async fn start(penalty: &str) -> Option<Self> {
        if !is_available() {
            return None;
        }
        let (redis, key, remote) = (Redis::start(), Key::new(), remote());
        let keys = format!("penalty = {{ {penalty} }}");
        let edge = || Edge::of_logins(&redis, &key, &remote, (&keys, ""));
        let edges = [edge().await, edge().await, edge().await];
        for edge in &edges {
            edge.logged("the store of the fleet is used").await;
        }
        Some(Self { redis, edges, remote })
    }

    /// All that is counted, of every client and user.
    fn counted(&self) -> u32 {
        let count = "local n = 0 for _, k in ipairs(redis.call('KEYS', 'vouch1:{*')) do \
                     n = n + redis.call('PFCOUNT', k) end return n";
        self.redis.order(&["EVAL", count, "0"]).parse().unwrap()
    }

    fn wait_for(&self, counted: u32) {
        wait_until("failures in the store", PATIENCE, || self.counted() >= counted);
    }
}

/// How many refusals an edge has held back.
fn delayed(edge: &Edge) -> usize {
    std::thread::sleep(Duration::from_millis(100));
    edge.log().matches("delayed_ms=").count()
}

/// Edges are asked in turn until one is late; how many guesses that took.
async fn guesses_until_late(three: &Three, guess: impl Fn(u32) -> (String, String, String)) -> u32 {
    for number in 1..=27 {
        let edge = &three.edges[number as usize % 3];
        let (user, password, rip) = guess(number);
        let guess = Login {
            rip: &rip,
            ..Login::of(&user, &password)
        };
        assert_eq!(edge.login(&guess).await, Answer::No);
        if delayed(edge) > 0 {
            return number;
        }
        // The client and the user, unless a guess is equal to another for all that the store knows.
        three.wait_for(number);
    }
    panic!("nobody is late");
}

const TEN: &str = "after = 10, delay = \"200ms\", max-delay = \"200ms\"";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn guesses_of_a_client_at_three_edges_are_counted_as_at_one() {
    let Some(three) = Three::start(TEN).await else {
        return;
    };
    let name = |number| format!("user{number}@example.org");
    let guess = |number| (name(number), "wrong".to_owned(), "192.0.2.1".to_owned());
    let took = guesses_until_late(&three, guess).await;
    // By itself, none of them would be late before the 31st.
    assert!((11..=15).contains(&took), "{took}");
    three.edges[took as usize % 3]
        .logged("penalty: answers to this client are delayed")
        .await;
    // Others are neither late nor refused.
    let elsewhere = Login {
        rip: "198.51.100.1",
        ..Login::of(JANE, PASSWORD)
    };
    for edge in &three.edges {
        let before = delayed(edge);
        assert_eq!(edge.login(&elsewhere).await, Answer::Yes);
        assert_eq!(delayed(edge), before);
    }
    let dump = three.redis.dump();
    for word in [
        "jane", "user1", "example", "192.0.2", "198.51", "wrong", "s3cret", "auth",
    ] {
        let found = dump
            .windows(word.len())
            .any(|part| part.eq_ignore_ascii_case(word.as_bytes()));
        assert!(!found, "{word}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn guesses_at_a_user_at_three_edges_are_counted_as_at_one() {
    let Some(three) = Three::start(TEN).await else {
        return;
    };
    let guess = |number| {
        let (password, rip) = (format!("guess{number}"), format!("192.0.2.{number}"));
        (JANE.to_owned(), password, rip)
    };
    let took = guesses_until_late(&three, guess).await;
    // Two guesses in 256 are alike to the store.
    assert!((11..=18).contains(&took), "{took}");
    // Jane is not shut out, nor late.
    let edge = &three.edges[0];
    let before = delayed(edge);
    let jane = Login {
        rip: "198.51.100.1",
        ..Login::of(JANE, PASSWORD)
    };
    assert_eq!(edge.login(&jane).await, Answer::Yes);
    assert_eq!(delayed(edge), before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_telephone_with_an_old_password_counts_once_at_all_edges() {
    let Some(three) = Three::start("after = 2, delay = \"200ms\"").await else {
        return;
    };
    for edge in three.edges.iter().chain(&three.edges) {
        assert_eq!(edge.login(&Login::of(JANE, "old")).await, Answer::No);
    }
    assert_eq!(three.edges.iter().map(delayed).sum::<usize>(), 0);
    // What comes behind them in the queue of each edge: of one client, and of three users.
    for (number, edge) in three.edges.iter().enumerate() {
        let user = format!("user{number}@example.org");
        assert_eq!(edge.login(&Login::of(&user, "x")).await, Answer::No);
    }
    three.wait_for(8);
    assert_eq!(three.counted(), 8);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_has_failed_as_often_elsewhere_as_may_be_is_put_off_after_the_first_failure_here() {
    let keys = "after = 1000, refuse-after = 4, forget = \"1h\"";
    let Some(three) = Three::start(keys).await else {
        return;
    };
    let guess = |number: u32| (format!("user{number}@example.org"), "wrong".to_owned());
    let [a, b, _] = &three.edges;
    for number in 0..4 {
        let (user, password) = guess(number);
        assert_eq!(a.login(&Login::of(&user, &password)).await, Answer::No);
    }
    three.wait_for(8);
    // Whatever the store says, somebody who has not failed here is asked about.
    assert_eq!(b.login(&Login::of(JANE, PASSWORD)).await, Answer::Yes);
    let (user, password) = guess(4);
    assert_eq!(b.login(&Login::of(&user, &password)).await, Answer::No);
    let asked = three.remote.count("AUTHENTICATE");
    assert_eq!(b.login(&Login::of(JANE, PASSWORD)).await, Answer::Later);
    b.logged("source=penalty").await;
    assert_eq!(three.remote.count("AUTHENTICATE"), asked);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_store_each_edge_counts_its_own() {
    let Some(three) = Three::start("after = 2, delay = \"200ms\", max-delay = \"200ms\"").await else {
        return;
    };
    three.redis.freeze(true);
    let edge = &three.edges[0];
    for number in 0..10 {
        let password = format!("guess{number}");
        assert_eq!(edge.login(&Login::of(JANE, &password)).await, Answer::No);
    }
    assert_eq!(delayed(edge), 8);
    three.redis.freeze(false);
    edge.logged("the store of the fleet is used again").await;
    // What happened meanwhile has waited.
    three.wait_for(10);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_lets_nothing_be_counted_is_named_and_serves_otherwise() {
    if !is_available() {
        return;
    }
    for (rights, lacks) in [("+pfcount", "PFADD and PEXPIRE"), ("+pfadd +pexpire", "PFCOUNT")] {
        let access = format!(
            "user vouch on >PASSWORD ~vouch1:* &vouch1:* +get +pttl +set +eval +publish +subscribe {rights}"
        );
        let (redis, key, remote) = (Redis::by("", &access), Key::new(), remote());
        let edge = Edge::of_logins(&redis, &key, &remote, ("penalty = { after = 5 }", "")).await;
        edge.logged("the store of the fleet is used").await;
        for number in 0..5 {
            let password = format!("guess{number}");
            assert_eq!(edge.login(&Login::of(JANE, &password)).await, Answer::No);
        }
        let line = edge.logged("the store of the fleet serves in part: ").await;
        assert!(
            line.contains(lacks) && line.contains("docs/fleet.md"),
            "{lacks}: {line}"
        );
        assert!(!edge.log().contains("serves in full again"), "{}", edge.log());
        assert!(!edge.log().contains("is not used"), "{}", edge.log());
        let status = String::from_utf8(edge.order(&["status", "--json"]).stdout).unwrap();
        assert!(status.contains(lacks), "{status}");
        let checked = edge.order(&["check", "--online"]);
        let printed = String::from_utf8(checked.stdout).unwrap();
        assert!(printed.contains(lacks), "{printed}");
        assert_eq!(checked.status.code(), Some(69));
    }
}
