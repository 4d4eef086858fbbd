//! The store runs and refuses, for reasons of its own: answers are those of an edge alone, and log and `check --online` say
//! what to change.

use std::os::unix::net::UnixStream;
use std::thread;
use std::time::Duration;

use tokio::time::sleep;

use crate::asker::Answer;
use crate::edge::{Edge, JANE, JOE, Key, NOBODY, Site, remote};
use crate::is_available;
use crate::redis::Redis;

const UNUSED: &str = "the store of the fleet is not used: ";
const UNKEPT: &str = "the store of the fleet keeps nothing new: ";

/// The edge answers as one alone, and log and command say so in these words.
async fn says(edge: &Edge, what: &str, words: &str) {
    assert_eq!(edge.ask(JANE).await, Answer::Yes);
    assert_eq!(edge.ask(NOBODY).await, Answer::No);
    let line = edge.logged(&format!("{what}{words}")).await;
    let checked = edge.order(&["check", "--online"]);
    let printed = String::from_utf8(checked.stdout).unwrap();
    assert!(printed.contains(words), "{line}\n{printed}");
    assert_eq!(checked.status.code(), Some(69), "{printed}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_no_store_for_us_says_why_from_its_start() {
    if !is_available() {
        return;
    }
    let (key, remote) = (Key::new(), remote());
    for (lines, what, words) in [
        ("cluster-enabled yes", UNUSED, "it is part of a cluster"),
        ("replicaof 127.0.0.1 1", UNUSED, "it is a replica"),
        (
            "replicaof 127.0.0.1 1\nreplica-serve-stale-data no", UNUSED, "it is a replica",
        ),
        ("rename-command GET \"\"", UNUSED, "it has no command GET"),
        ("rename-command SET \"\"", UNUSED, "it has no command SET"),
        ("rename-command EVAL \"\"", UNUSED, "it has no command EVAL"),
        ("rename-command PUBLISH \"\"", UNUSED, "it has no command PUBLISH"),
        (
            "min-replicas-to-write 1", UNKEPT, "it keeps nothing without its replicas",
        ),
    ] {
        let redis = Redis::with(lines);
        let edge = Edge::start(&redis, &key, &remote, "").await;
        says(&edge, what, words).await;
        // It is called again and again, which is no news.
        sleep(Duration::from_secs(2)).await;
        assert_eq!(edge.log().matches(what).count(), 1, "{}", edge.log());
        assert!(
            what != UNUSED || !edge.log().contains("the store of the fleet is used"),
            "{}",
            edge.log()
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_becomes_a_replica_is_left_and_used_again_as_the_primary() {
    let Some(site) = Site::start() else {
        return;
    };
    let edge = site.edge("").await;
    edge.logged("the store of the fleet is used").await;
    site.redis.order(&["REPLICAOF", "127.0.0.1", "1"]);
    says(&edge, UNUSED, "it is a replica").await;
    site.redis.order(&["REPLICAOF", "NO", "ONE"]);
    edge.logged("the store of the fleet is used again").await;
    assert_eq!(edge.ask(JOE).await, Answer::Yes);
    site.redis.holds(1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_with_all_the_clients_that_it_takes_says_so() {
    let Some(site) = Site::start() else {
        return;
    };
    site.redis.order(&["CONFIG", "SET", "maxclients", "1"]);
    let taken = loop {
        // The place of the client before may be taken still.
        let stream = UnixStream::connect(site.redis.scratch().path("redis.sock")).unwrap();
        stream.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        let turned_away = std::io::Read::read(&mut &stream, &mut [0]).is_ok();
        if !turned_away {
            break stream;
        }
    };
    let edge = site.edge("").await;
    says(&edge, UNUSED, "it has all the clients that it takes").await;
    drop(taken);
    edge.logged("the store of the fleet is used").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_is_busy_with_the_script_of_another_says_so() {
    let Some(site) = Site::start() else {
        return;
    };
    site.redis.order(&["CONFIG", "SET", "busy-reply-threshold", "50"]);
    let redis = &site.redis;
    let edge = thread::scope(|scope| {
        scope.spawn(|| redis.order(&["EVAL", "while true do end", "0"]));
        let edge = tokio::task::block_in_place(|| {
            tokio::runtime::Handle::current().block_on(async {
                while !redis.order(&["PING"]).contains("BUSY") {
                    sleep(Duration::from_millis(20)).await;
                }
                let edge = site.edge("").await;
                says(&edge, UNUSED, "it is busy with a script").await;
                edge
            })
        });
        redis.order(&["SCRIPT", "KILL"]);
        edge
    });
    edge.logged("the store of the fleet is used").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_loads_its_data_says_so_and_is_used_then() {
    let Some(mut site) = Site::start() else {
        return;
    };
    let fill = "for i = 1, 2000 do redis.call('SET', i, string.rep('x', 100)) end";
    site.redis.order(&["EVAL", fill, "0"]);
    site.redis.order(&["SAVE"]);
    site.redis.crash();
    // For each of its values so many microseconds, some four seconds in all; and it answers after each 1024 bytes.
    site.redis
        .start_again_with("key-load-delay 2000\nloading-process-events-interval-bytes 1024");
    let edge = site.edge("").await;
    says(&edge, UNUSED, "it is still loading").await;
    edge.logged("the store of the fleet is used").await;
}
