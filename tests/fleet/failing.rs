//! The store fails, in each of its ways: answers are those of an edge alone, and the log says what to do.

use std::time::Duration;

use tokio::time::sleep;

use crate::asker::Answer;
use crate::edge::{Edge, JANE, JOE, Key, NOBODY, Site, command, remote};
use crate::is_available;
use crate::redis::{Redis, private};
use crate::support::Scratch;

/// Answers as an edge alone would.
async fn answers(edge: &Edge) {
    assert_eq!(edge.ask(JANE).await, Answer::Yes);
    assert_eq!(edge.ask(NOBODY).await, Answer::No);
    assert_eq!(edge.ask(JOE).await, Answer::Yes);
}

// Fills LOOKUPS_FAILED, fleet.patience.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_hangs_is_left_alone_and_used_again_when_it_answers() {
    let Some(site) = Site::start() else {
        return;
    };
    let edge = site.edge("").await;
    edge.logged("the store of the fleet is used").await;
    site.redis.freeze(true);
    let people = site.people(50);
    let began = std::time::Instant::now();
    for user in &people {
        assert_eq!(edge.ask(user).await, Answer::Yes);
    }
    let status = String::from_utf8(edge.order(&["status"]).stdout).unwrap();
    assert!(
        status.contains("not used") && status.contains("fleet: unix:"),
        "{status}"
    );
    // Three questions wait for half a second each; fifty would take 25.
    assert!(began.elapsed() < Duration::from_secs(12), "{:?}", began.elapsed());
    let line = edge.logged("the store of the fleet is not used").await;
    assert!(
        line.contains("no answer in time") && line.contains("fleet.patience"),
        "{line}"
    );
    site.redis.freeze(false);
    edge.logged("the store of the fleet is used again").await;
    // What was found meanwhile has waited.
    site.redis.holds(40);
    let status = edge.order(&["status", "--json"]).stdout;
    let status: serde_json::Value = serde_json::from_slice(&status).unwrap();
    let store = &status["fleet"][0];
    assert_eq!(
        (&store["used"], &store["trouble"]),
        (&true.into(), &().into()),
        "{store}"
    );
    // Questions came one after another, so no more than these have waited.
    assert_eq!(store["failed"], 3, "{store}");
    assert!(store["spared"].as_u64() >= Some(40), "{store}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_crashes_and_forgets_is_used_again() {
    let Some(mut site) = Site::start() else {
        return;
    };
    let edge = site.edge("cache.entries = 1").await;
    assert_eq!(edge.ask(JANE).await, Answer::Yes);
    site.redis.holds(1);
    site.redis.crash();
    answers(&edge).await;
    let line = edge.logged("the store of the fleet is not used").await;
    assert!(line.contains("answers as it would alone"), "{line}");
    site.redis.start_again();
    edge.logged("the store of the fleet is used again").await;
    assert_eq!(edge.ask(JANE).await, Answer::Yes);
    site.redis.holds(1);
    site.redis.order(&["FLUSHALL"]);
    answers(&edge).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_with_a_store_is_said_with_what_to_do() {
    if !is_available() {
        return;
    }
    let (key, remote) = (Key::new(), remote());
    let used = "the store of the fleet is not used: ";
    let keeps = "the store of the fleet keeps nothing new: ";
    for (lines, access, said) in [
        (
            "",
            "user vouch on >other ~vouch1:* +get +pttl +set +eval",
            [used, "fleet.password-file"],
        ),
        (
            "",
            "user vouch off >PASSWORD ~vouch1:* +get",
            [used, "fleet.password-file"],
        ),
        (
            "",
            "user vouch on >PASSWORD ~other:* +get +pttl +set +eval",
            [used, "docs/fleet.md"],
        ),
        (
            "",
            "user vouch on >PASSWORD ~vouch1:* +set",
            [used, "no right to read"],
        ),
        (
            "",
            "user vouch on >PASSWORD ~vouch1:* +get +pttl",
            [keeps, "no right to write"],
        ),
        (
            "maxmemory 1\nmaxmemory-policy noeviction",
            "user vouch on >PASSWORD ~vouch1:* +get +pttl +set +eval",
            [keeps, "allkeys-lfu"],
        ),
    ] {
        let redis = Redis::by(lines, access);
        let edge = Edge::start(&redis, &key, &remote, "").await;
        answers(&edge).await;
        let line = edge.logged(said[0]).await;
        assert!(line.contains(said[1]), "{access}: {line}");
        assert_eq!(redis.size(), 0);
        let checked = edge.order(&["check", "--online"]);
        let printed = String::from_utf8(checked.stdout).unwrap();
        assert!(
            printed.contains(": NOT USED") && printed.contains(said[1]),
            "{printed}"
        );
        assert_eq!(checked.status.code(), Some(69));
    }
    // It is full from some time on: what it holds is read.
    let redis = Redis::start();
    let edge = Edge::start(&redis, &key, &remote, "").await;
    assert_eq!(edge.ask(JANE).await, Answer::Yes);
    redis.holds(1);
    let checked = edge.order(&["check", "--online"]);
    let printed = String::from_utf8(checked.stdout).unwrap();
    assert!(
        printed.contains("the store of the fleet answers, and keeps findings"),
        "{printed}"
    );
    assert_eq!(checked.status.code(), Some(0));
    redis.order(&["CONFIG", "SET", "maxmemory", "1"]);
    let other = Edge::start(&redis, &key, &remote, "").await;
    answers(&other).await;
    other.logged("source=fleet").await;
    other.logged(keeps).await;
    redis.order(&["CONFIG", "SET", "maxmemory", "0"]);
    assert_eq!(other.ask("nobody2@example.org").await, Answer::No);
    remote.set_account(remote::Account::new("new@example.org", "x"));
    assert_eq!(other.ask("new@example.org").await, Answer::Yes);
    other.logged("keeps new findings again").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_store_is_no_store() {
    if !is_available() {
        return;
    }
    let (key, remote) = (Key::new(), remote());
    // An LMTP server.
    let redis = Redis::start();
    let fleet = redis.fleet_at(&format!("tcp://127.0.0.1:{}", remote.port()), &key.path());
    let edge = Edge::with(&fleet, &remote, "").await;
    answers(&edge).await;
    edge.logged("the store of the fleet is not used").await;
    // Nothing at all.
    let nowhere = redis.fleet_at("unix:/nowhere/redis.sock", &key.path());
    let edge = Edge::with(&nowhere, &remote, "").await;
    answers(&edge).await;
    let line = edge.logged("the store of the fleet is not used").await;
    assert!(
        line.contains("/nowhere/redis.sock") && line.contains("fleet.store"),
        "{line}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reload_changes_to_another_store() {
    let Some(site) = Site::start() else {
        return;
    };
    let two = Redis::start();
    let edge = site.edge("").await;
    assert_eq!(edge.ask(JANE).await, Answer::Yes);
    site.redis.holds(1);
    // Landlock keeps from it what its first configuration has not named.
    let [before, now] = [&site.redis, &two].map(|redis| redis.scratch().text("redis.sock"));
    let changed = site.redis.fleet(&site.key.path()).replace(&before, &now);
    edge.change(&changed, &site.remote, "").await;
    // What it remembers goes on, and goes nowhere.
    assert_eq!(edge.ask(JANE).await, Answer::Yes);
    assert_eq!(edge.ask(JOE).await, Answer::Yes);
    two.holds(1);
    assert_eq!((site.redis.size(), two.size()), (1, 1));
}

#[test]
fn a_key_that_everybody_may_read_is_refused_and_none_is_overwritten() {
    let (scratch, key) = (Scratch::new(), Key::new());
    let again = command(&["fleet", "key", key.path().to_str().unwrap()]);
    assert_eq!(again.status.code(), Some(73), "{again:?}");
    assert!(String::from_utf8_lossy(&again.stderr).contains("never overwritten"));
    let check = |key: &str| {
        let config = format!(
            "[fleet]\nstore = \"unix:/run/redis/redis.sock\"\nkey-file = \"{key}\"\n[directory.mailbox]\ntype = \"lmtp\"\n\
             address = \"127.0.0.1\"\nlookup.domains = [\"example.org\"]\n"
        );
        let checked = command(&["check", scratch.write("vouch.toml", config).to_str().unwrap()]);
        (checked.status.code(), String::from_utf8(checked.stderr).unwrap())
    };
    let open = scratch.write("open.key", "00".repeat(32));
    let (status, said) = check(open.to_str().unwrap());
    assert_eq!(status, Some(78));
    assert!(
        said.contains("fleet.key-file") && said.contains("chmod 0600"),
        "{said}"
    );
    let short = private(&scratch, "short.key", "00");
    let (status, said) = check(short.to_str().unwrap());
    assert!(status == Some(78) && said.contains("vouch fleet key"), "{said}");
    let (status, said) = check(&scratch.text("missing.key"));
    assert!(status == Some(78) && said.contains("missing.key"), "{said}");
}

/// The log has no line for each question while there is no store.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_is_one_line() {
    let Some(mut site) = Site::start() else {
        return;
    };
    let edge = site.edge("cache.entries = 1").await;
    edge.logged("the store of the fleet is used").await;
    site.redis.crash();
    for _ in 0..30 {
        answers(&edge).await;
        sleep(Duration::from_millis(50)).await;
    }
    let said = edge.log().matches("the store of the fleet is not used").count();
    // That the connection has ended, and that there is no new one.
    assert!((1..=2).contains(&said), "{}", edge.log());
}
