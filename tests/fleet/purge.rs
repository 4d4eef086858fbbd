//! What is purged at one edge is forgotten by all, whatever the store makes of it.

use std::time::{Duration, Instant};

use remote::{Account, Fault};
use tokio::time::{sleep, timeout};

use crate::asker::Answer;
use crate::edge::{Edge, JANE, JOE, NOBODY, Site};
use crate::redis::{PATIENCE, Redis};
use crate::support::Scratch;
use crate::support::process::wait_until;

/// A no is asked for each time.
const NO_REFUSALS: &str = "cache.ttl.negative = \"0s\"";

/// Purges at an edge; what it prints.
fn purge(edge: &Edge, arguments: &[&str]) -> String {
    let purged = edge.order(&[&["cache", "purge"], arguments].concat());
    assert!(purged.status.success(), "{purged:?}");
    let said = String::from_utf8(purged.stdout).unwrap();
    // As one line.
    said.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Waits until an edge has forgotten a recipient that the remote does not have any more.
async fn forgotten(edge: &Edge, recipient: &str) -> Duration {
    let began = Instant::now();
    let asking = async {
        while edge.ask(recipient).await == Answer::Yes {
            sleep(Duration::from_millis(5)).await;
        }
    };
    let asked = timeout(PATIENCE, asking).await;
    assert!(asked.is_ok(), "{recipient} is remembered\n{}", edge.log());
    assert_eq!(edge.ask(recipient).await, Answer::No);
    began.elapsed()
}

/// Edges, of which each remembers Jane and Joe.
async fn knowing(site: &Site, many: usize) -> Vec<Edge> {
    let mut edges = Vec::new();
    for _ in 0..many {
        let edge = site.edge(NO_REFUSALS).await;
        assert_eq!(
            (edge.ask(JANE).await, edge.ask(JOE).await),
            (Answer::Yes, Answer::Yes)
        );
        site.redis.holds(2);
        edges.push(edge);
    }
    edges
}

/// Whether the record of purges is in the store.
fn has_record(redis: &Redis) -> bool {
    let count = "local n = 0 for _, k in ipairs(redis.call('KEYS', 'vouch1:*')) do \
                 if redis.call('TYPE', k).ok == 'string' and redis.call('STRLEN', k) > 12 then n = n + 1 end end return n";
    redis.order(&["EVAL", count, "0"]) == "1"
}

fn wait_for_record(redis: &Redis) {
    wait_until("the record of purges", PATIENCE, || has_record(redis));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mailbox_that_is_purged_at_one_edge_is_forgotten_by_all_and_no_other_is() {
    let Some(site) = Site::start() else {
        return;
    };
    let edges = knowing(&site, 2).await;
    let [a, b] = &edges[..] else { panic!() };
    site.remote.remove_account(JANE);
    assert_eq!((a.ask(JANE).await, b.ask(JANE).await), (Answer::Yes, Answer::Yes));
    let said = purge(a, &[JANE]);
    assert!(
        said.contains("the other edges of the fleet do the same within a second"),
        "{said}"
    );
    assert_eq!(a.ask(JANE).await, Answer::No);
    let c = site.edge(NO_REFUSALS).await;
    assert_eq!(c.ask(JANE).await, Answer::No, "it came after the purge");
    forgotten(b, JANE).await;
    let line = b.logged("purged by order of another edge of the fleet").await;
    assert!(line.contains("recipients=1"), "{line}");
    assert!(!a.log().contains("order of another edge"));
    site.remote.stop().await;
    for edge in [a, b, &c] {
        assert_eq!(edge.ask(JOE).await, Answer::Yes);
        assert_eq!(edge.ask(JANE).await, Answer::Later);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_edges_forget_within_a_second() {
    let Some(site) = Site::start() else {
        return;
    };
    let edges = knowing(&site, 2).await;
    let mut longest = Duration::ZERO;
    for user in site.people(10) {
        assert_eq!(
            (edges[0].ask(&user).await, edges[1].ask(&user).await),
            (Answer::Yes, Answer::Yes)
        );
        site.remote.remove_account(&user);
        let began = Instant::now();
        purge(&edges[0], &[&user]);
        forgotten(&edges[1], &user).await;
        longest = longest.max(began.elapsed());
    }
    // The machine may be busy: the time is for whoever reads it.
    println!(
        "forgotten at another edge after {} ms at the longest",
        longest.as_millis()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_domain_a_directory_and_everything_are_purged_at_all_edges() {
    let Some(site) = Site::start() else {
        return;
    };
    let edges = knowing(&site, 2).await;
    for scope in [
        &["--domain", "example.org"][..],
        &["--domain", "example.org", "--directory", "remote"],
        &["--directory", "remote"],
        &["--all"],
        &[JANE, "--directory", "remote"],
    ] {
        site.remote.set_account(Account::new(JANE, "x"));
        for edge in &edges {
            assert_eq!(edge.ask(JANE).await, Answer::Yes, "{scope:?}");
        }
        site.remote.remove_account(JANE);
        purge(&edges[0], scope);
        assert_eq!(edges[0].ask(JANE).await, Answer::No, "{scope:?}");
        forgotten(&edges[1], JANE).await;
    }
    // Of another domain, nothing goes.
    assert_eq!(edges[1].ask(JOE).await, Answer::Yes);
    purge(&edges[0], &["--domain", "example.net"]);
    sleep(Duration::from_millis(1500)).await;
    site.remote.stop().await;
    assert_eq!(edges[1].ask(JOE).await, Answer::Yes);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_goes_back_to_an_old_copy_or_loses_all_undoes_no_purge() {
    let Some(site) = Site::start() else {
        return;
    };
    let edges = knowing(&site, 2).await;
    let [a, b] = &edges[..] else { panic!() };
    purge(a, &[NOBODY]);
    wait_for_record(&site.redis);
    let copy = |from: &str, to: &str| {
        let copy = format!(
            "for _, k in ipairs(redis.call('KEYS', '{to}*')) do redis.call('DEL', k) end \
             for _, k in ipairs(redis.call('KEYS', '{from}*')) do \
             redis.call('COPY', k, '{to}' .. k:sub({})) end return 1",
            from.len() + 1
        );
        assert_eq!(site.redis.order(&["EVAL", &copy, "0"]), "1");
    };
    copy("vouch1:", "backup:");
    site.remote.remove_account(JANE);
    purge(a, &[JANE]);
    forgotten(b, JANE).await;
    for _ in 0..3 {
        // With what was found before, and a record that does not know of it.
        copy("backup:", "vouch1:");
        for _ in 0..20 {
            assert_eq!((a.ask(JANE).await, b.ask(JANE).await), (Answer::No, Answer::No));
        }
        sleep(Duration::from_millis(1200)).await;
        // By now it is put right: an edge that starts knows.
        let c = site.edge(NO_REFUSALS).await;
        assert_eq!(c.ask(JANE).await, Answer::No);
        assert_eq!(c.ask(JOE).await, Answer::Yes);
    }
    site.redis.order(&["FLUSHALL"]);
    wait_for_record(&site.redis);
    assert_eq!((a.ask(JANE).await, b.ask(JANE).await), (Answer::No, Answer::No));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_that_no_edge_has_written_purges_nothing_and_undoes_nothing() {
    let Some(site) = Site::start() else {
        return;
    };
    let edges = knowing(&site, 2).await;
    let [a, b] = &edges[..] else { panic!() };
    site.remote.remove_account(JANE);
    purge(a, &[JANE]);
    forgotten(b, JANE).await;
    site.remote.stop().await;
    let forge = |how: &str| {
        let forge = format!(
            "for _, k in ipairs(redis.call('KEYS', 'vouch1:*')) do \
             if redis.call('STRLEN', k) > 12 then local v = redis.call('GET', k) {how} return 1 end end return 0"
        );
        assert_eq!(site.redis.order(&["EVAL", &forge, "0"]), "1");
    };
    for how in [
        "redis.call('SET', k, v:sub(2) .. 'x')", "redis.call('SET', k, string.rep('x', 20000))",
        "redis.call('SETRANGE', k, 5, 'xxxx')", "redis.call('SET', k, '')",
        "redis.call('DEL', k) redis.call('RPUSH', k, 'x')",
    ] {
        wait_for_record(&site.redis);
        forge(how);
        sleep(Duration::from_millis(700)).await;
        let c = site.edge(NO_REFUSALS).await;
        for edge in [a, b, &c] {
            assert_eq!(edge.ask(JOE).await, Answer::Yes, "{how}");
            assert_eq!(edge.ask(JANE).await, Answer::Later, "{how}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_asked_before_a_purge_is_not_believed_after_it() {
    let Some(site) = Site::start() else {
        return;
    };
    let edges = knowing(&site, 2).await;
    let [a, b] = &edges[..] else { panic!() };
    for late in [50, 400, 1200] {
        site.remote.remove_account(JANE);
        purge(a, &[JANE]);
        forgotten(b, JANE).await;
        site.remote.set_account(Account::new(JANE, "x"));
        let before = site.remote.recipients().len();
        site.remote
            .set_fault(Fault::Late(Duration::from_millis(late)).at("RCPT"));
        let asking = async { b.ask(JANE).await };
        let purging = async {
            let asked = |remote: &remote::Server| remote.recipients().len() > before;
            assert!(site.remote.wait_until(PATIENCE, asked).await);
            site.remote.remove_account(JANE);
            purge(a, &[JANE]);
        };
        let (answer, ()) = tokio::join!(asking, purging);
        assert_eq!(answer, Answer::Yes, "it was there when it was asked about");
        site.remote.set_fault(Fault::None);
        assert_eq!(a.ask(JANE).await, Answer::No);
        let c = site.edge(NO_REFUSALS).await;
        assert_eq!(c.ask(JANE).await, Answer::No);
        forgotten(b, JANE).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_is_away_learns_of_a_purge_when_it_comes_back() {
    let Some(mut site) = Site::start() else {
        return;
    };
    let edges = knowing(&site, 2).await;
    let [a, b] = &edges[..] else { panic!() };
    site.redis.crash();
    a.logged("the store of the fleet is not used").await;
    site.remote.remove_account(JANE);
    let said = purge(a, &[JANE]);
    assert!(
        said.contains("has not taken the purge yet") && said.contains("unix:"),
        "{said}"
    );
    assert!(!said.contains("within a second"), "{said}");
    assert_eq!((a.ask(JANE).await, b.ask(JANE).await), (Answer::No, Answer::Yes));
    site.redis.start_again();
    forgotten(b, JANE).await;
    // It takes nothing new, and is read.
    site.remote.set_account(Account::new(JANE, "x"));
    assert_eq!((a.ask(JANE).await, b.ask(JANE).await), (Answer::Yes, Answer::Yes));
    site.redis.order(&["CONFIG", "SET", "maxmemory", "1"]);
    site.remote.remove_account(JANE);
    let said = purge(a, &[JANE]);
    assert!(said.contains("has not taken the purge yet: it is full"), "{said}");
    assert_eq!(a.ask(JANE).await, Answer::No);
    site.redis.order(&["CONFIG", "SET", "maxmemory", "0"]);
    forgotten(b, JANE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_two_stores_is_enough() {
    let Some(site) = Site::start() else {
        return;
    };
    let mut two = Redis::start();
    let address = |redis: &Redis| format!("unix:{}", redis.scratch().text("redis.sock"));
    let fleet = site.redis.fleet(&site.key.path());
    let both = fleet.replace(
        &format!("store = \"{}\"", address(&site.redis)),
        &format!("store = [\"{}\", \"{}\"]", address(&site.redis), address(&two)),
    );
    let (a, b) = (
        Edge::with(&both, &site.remote, NO_REFUSALS).await,
        Edge::with(&both, &site.remote, NO_REFUSALS).await,
    );
    let people = site.people(8);
    for user in &people {
        assert_eq!((a.ask(user).await, b.ask(user).await), (Answer::Yes, Answer::Yes));
    }
    two.crash();
    a.logged("the store of the fleet is not used").await;
    people.iter().for_each(|user| site.remote.remove_account(user));
    let said = purge(&a, &["--all"]);
    assert!(
        said.contains(&address(&two)) && !said.contains(&address(&site.redis)),
        "{said}"
    );
    for user in &people {
        forgotten(&b, user).await;
    }
    two.start_again();
    wait_for_record(&two);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edge_that_was_stopped_forgets_what_its_file_holds() {
    let Some(site) = Site::start() else {
        return;
    };
    let scratch = Scratch::new();
    let file = format!("{NO_REFUSALS}\ncache.file = \"{}\"", scratch.text("recipients"));
    let a = site.edge(NO_REFUSALS).await;
    let stopped = site.edge(&file).await;
    for user in [JANE, JOE] {
        assert_eq!(
            (stopped.ask(user).await, a.ask(user).await),
            (Answer::Yes, Answer::Yes)
        );
    }
    stopped.stop();
    site.remote.remove_account(JANE);
    purge(&a, &[JANE]);
    // What others found is of no help.
    site.redis.order(&[
        "EVAL",
        "for _, k in ipairs(redis.call('KEYS', '*')) do \
                                if redis.call('STRLEN', k) == 12 then redis.call('DEL', k) end end return 1",
        "0",
    ]);
    let started = site.edge(&file).await;
    forgotten(&started, JANE).await;
    started.logged("purged by order of another edge").await;
    site.remote.stop().await;
    assert_eq!(started.ask(JOE).await, Answer::Yes);
    started.stop();
    // It is gone from the file as well.
    let again = site.edge(&file).await;
    again.logged("recipients=1").await;
    assert_eq!(
        (again.ask(JANE).await, again.ask(JOE).await),
        (Answer::Later, Answer::Yes)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn purges_at_two_edges_at_once_are_both_in_force() {
    let Some(site) = Site::start() else {
        return;
    };
    let mut edges = knowing(&site, 3).await;
    let people = site.people(12);
    for user in &people {
        for edge in &edges {
            assert_eq!(edge.ask(user).await, Answer::Yes);
        }
    }
    people.iter().for_each(|user| site.remote.remove_account(user));
    let c = edges.pop().unwrap();
    let mut purging = Vec::new();
    for (edge, users) in edges.into_iter().zip(people.chunks(6)) {
        let users = users.to_vec();
        purging.push(tokio::task::spawn_blocking(move || {
            users.iter().for_each(|user| drop(purge(&edge, &[user])));
            edge
        }));
    }
    let mut edges = vec![c];
    for purged in purging {
        edges.push(purged.await.unwrap());
    }
    edges.push(site.edge(NO_REFUSALS).await);
    for edge in &edges {
        for user in &people {
            forgotten(edge, user).await;
        }
        assert_eq!(edge.ask(JOE).await, Answer::Yes);
    }
}
