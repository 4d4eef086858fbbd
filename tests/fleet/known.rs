//! What one edge has found, the others know.

use std::time::Duration;

use tokio::time::{sleep, timeout};

use crate::asker::{Answer, Rcpt};
use crate::edge::{Edge, JANE, JOE, Key, NOBODY, Site, remote};
use crate::is_available;
use crate::redis::{PATIENCE, Redis};
use crate::support::Authority;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recipient_that_one_edge_knows_all_accept_while_the_remote_is_down() {
    let Some(site) = Site::start() else {
        return;
    };
    let a = site.edge("").await;
    let b = site.edge("").await;
    assert_eq!(a.ask(JANE).await, Answer::Yes);
    site.redis.holds(1);
    site.remote.stop().await;
    assert_eq!(b.ask(JANE).await, Answer::Yes);
    b.logged("source=fleet").await;
    let c = site.edge("").await;
    assert_eq!(c.ask(JANE).await, Answer::Yes);
    // From here on it is remembered there, with or without the store.
    site.redis.order(&["FLUSHALL"]);
    assert_eq!((b.ask(JANE).await, c.ask(JANE).await), (Answer::Yes, Answer::Yes));
    assert_eq!(c.ask(JOE).await, Answer::Later);
    let asked = site.remote.recipients();
    assert_eq!(
        asked.iter().filter(|asked| asked.contains(JANE)).count(),
        1,
        "{asked:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_too_old_is_asked_anew_and_serves_while_there_is_no_answer() {
    let Some(site) = Site::start() else {
        return;
    };
    let ttl = "cache.ttl = { positive = \"1s\", refresh = \"1s\", stale = \"1h\" }";
    let a = site.edge(ttl).await;
    let b = site.edge(ttl).await;
    assert_eq!(a.ask(JANE).await, Answer::Yes);
    site.redis.holds(1);
    sleep(Duration::from_millis(1200)).await;
    site.remote.remove_account(JANE);
    assert_ne!(b.ask(JANE).await, Answer::Yes, "it was deleted since");
    site.remote.stop().await;
    let c = site.edge(ttl).await;
    assert_eq!(c.ask(JANE).await, Answer::Yes, "nobody knows better");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_due_for_a_refresh_is_asked_again_behind_the_first_question() {
    let Some(site) = Site::start() else {
        return;
    };
    let ttl = "cache.ttl = { positive = \"1h\", refresh = \"1s\" }";
    let a = site.edge(ttl).await;
    let b = site.edge(ttl).await;
    assert_eq!(a.ask(JANE).await, Answer::Yes);
    site.redis.holds(1);
    sleep(Duration::from_millis(1200)).await;
    let asked = || {
        site.remote
            .recipients()
            .iter()
            .filter(|it| it.contains(JANE))
            .count()
    };
    assert_eq!((asked(), b.ask(JANE).await), (1, Answer::Yes));
    b.logged("source=fleet").await;
    let again = async {
        while asked() < 2 {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, again).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_equal_questions_at_three_edges_are_three_probes_at_the_most() {
    let Some(site) = Site::start() else {
        return;
    };
    let mut asking = Vec::new();
    let mut edges = Vec::new();
    for _ in 0..3 {
        edges.push(site.edge("").await);
    }
    for number in 0..100 {
        let mut client = edges[number % 3].client().await;
        asking.push(tokio::spawn(async move {
            let mut answers = Vec::new();
            for _ in 0..10 {
                answers.push(client.recipient(&Rcpt::to(JANE)).await);
            }
            answers
        }));
    }
    for answers in asking {
        assert_eq!(answers.await.unwrap(), ["DUNNO"; 10]);
    }
    let probes = site.remote.recipients().len();
    assert!((1..=3).contains(&probes), "{probes}");
}

// Fills OTHER_EDGE.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_edge_asks_again_in_the_background_for_all() {
    let Some(site) = Site::start() else {
        return;
    };
    let ttl = "cache.ttl.refresh = \"4s\"";
    let a = site.edge(ttl).await;
    let b = site.edge(ttl).await;
    assert_eq!(a.ask(JANE).await, Answer::Yes);
    site.redis.holds(1);
    assert_eq!(b.ask(JANE).await, Answer::Yes);
    sleep(Duration::from_millis(4500)).await;
    assert_eq!((a.ask(JANE).await, b.ask(JANE).await), (Answer::Yes, Answer::Yes));
    let asked = site
        .remote
        .wait_until(PATIENCE, |remote| remote.recipients().len() >= 2)
        .await;
    assert!(asked, "nobody asks again");
    // The other edge leaves it to the first for a second.
    sleep(Duration::from_millis(1500)).await;
    assert_eq!((a.ask(JANE).await, b.ask(JANE).await), (Answer::Yes, Answer::Yes));
    assert_eq!(site.remote.recipients().len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_key_or_another_reading_shares_nothing() {
    let Some(site) = Site::start() else {
        return;
    };
    let a = site.edge("").await;
    assert_eq!(a.ask(JANE).await, Answer::Yes);
    site.redis.holds(1);
    let another = Key::new();
    let stranger = Edge::start(&site.redis, &another, &site.remote, "").await;
    let other = site.edge("rcpt.mail-from = \"probe@example.net\"").await;
    let forwarding = site.edge("auth.forward-client = true").await;
    for (asked, edge) in [&stranger, &other, &forwarding].into_iter().enumerate() {
        assert_eq!(edge.ask(JANE).await, Answer::Yes);
        assert_eq!(site.remote.recipients().len(), asked + 2);
    }
    site.redis.holds(3);
    assert_eq!(
        site.redis.size(),
        3,
        "one that hands the client on has nothing to share"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_map_what_one_server_said_is_shared_with_those_who_ask_that_server() {
    let Some(site) = Site::start() else {
        return;
    };
    let other = remote();
    let scratch = crate::support::Scratch::new();
    let routes = |name: &str, remote: &remote::Server| {
        let file = scratch.write(name, format!("example.org 127.0.0.1:{}\n", remote.port()));
        format!("lookup.routes = \"file://{}\"", file.display())
    };
    let (here, there) = (routes("here", &site.remote), routes("there", &other));
    let a = site.edge(&here).await;
    assert_eq!(a.ask(JANE).await, Answer::Yes);
    site.redis.holds(1);
    site.remote.stop().await;
    other.stop().await;
    let b = site.edge(&here).await;
    assert_eq!(
        (b.ask(JANE).await, b.ask(JOE).await),
        (Answer::Yes, Answer::Later)
    );
    let moved = site.edge(&there).await;
    assert_eq!(moved.ask(JANE).await, Answer::Later);
    // By a map or without one, the server is the same.
    let plain = site.edge("").await;
    assert_eq!(plain.ask(JANE).await, Answer::Yes);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_store_learns_no_address() {
    let Some(site) = Site::start() else {
        return;
    };
    let edge = site.edge("").await;
    assert_eq!(edge.ask(JANE).await, Answer::Yes);
    assert_eq!(edge.ask(NOBODY).await, Answer::No);
    assert_eq!(edge.ask(JOE).await, Answer::Yes);
    site.redis.holds(3);
    let dump = site.redis.dump();
    for word in [
        "jane", "joe", "nobody", "example", "127.0.0.1", "unknown", "PASSWORD",
    ] {
        let found = dump
            .windows(word.len())
            .any(|part| part.eq_ignore_ascii_case(word.as_bytes()));
        assert!(!found, "{word}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn recipients_are_spread_over_several_stores_and_each_is_found_again() {
    let Some(site) = Site::start() else {
        return;
    };
    let (one, two) = (&site.redis, &Redis::start());
    let address = |redis: &Redis| format!("unix:{}", redis.scratch().text("redis.sock"));
    let fleet = one.fleet(&site.key.path());
    let both = fleet.replace(
        &format!("store = \"{}\"", address(one)),
        &format!("store = [\"{}\", \"{}\"]", address(one), address(two)),
    );
    assert_ne!(fleet, both);
    let everybody = site.people(40);
    let a = Edge::with(&both, &site.remote, "").await;
    for user in &everybody {
        assert_eq!(a.ask(user).await, Answer::Yes);
    }
    let spread = async {
        while one.size() + two.size() < 40 {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, spread).await.unwrap();
    assert!(
        one.size() > 5 && two.size() > 5,
        "{} and {}",
        one.size(),
        two.size()
    );
    site.remote.stop().await;
    let b = Edge::with(&both, &site.remote, "").await;
    for user in &everybody {
        assert_eq!(b.ask(user).await, Answer::Yes);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_tls_the_store_must_show_a_certificate_that_is_trusted() {
    if !is_available() {
        return;
    }
    let (key, remote, port) = (Key::new(), remote(), crate::support::free_port());
    let scratch = crate::support::Scratch::new();
    let (authority, other) = (
        Authority::new(&scratch, "store"),
        Authority::new(&scratch, "other"),
    );
    let redis = Redis::with(&format!(
        "tls-port {port}\ntls-cert-file {}\ntls-key-file {}\ntls-auth-clients no\nbind 127.0.0.1",
        authority.certificate.display(),
        authority.key.display()
    ));
    let fleet = |authority: &Authority| {
        let fleet = redis.fleet_at(&format!("tls://localhost:{port}"), &key.path());
        format!("{fleet}ca-file = \"{}\"\n", authority.ca.display())
    };
    let a = Edge::with(&fleet(&authority), &remote, "").await;
    assert_eq!(a.ask(JANE).await, Answer::Yes);
    redis.holds(1);
    let wary = Edge::with(&fleet(&other), &remote, "").await;
    assert_eq!(wary.ask(JOE).await, Answer::Yes);
    let line = wary.logged("the store of the fleet is not used").await;
    assert!(
        line.contains("certificate") && line.contains("fleet.ca-file"),
        "{line}"
    );
    remote.stop().await;
    let b = Edge::with(&fleet(&authority), &remote, "").await;
    assert_eq!(
        (b.ask(JANE).await, wary.ask(JANE).await),
        (Answer::Yes, Answer::Later)
    );
}
