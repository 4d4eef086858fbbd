//! What is believed of the store, and what is told to it.

use std::time::{Duration, UNIX_EPOCH};

use remote::Fault;
use tokio::time::sleep;

use crate::asker::Answer;
use crate::edge::{Edge, JANE, JOE, NOBODY, Site};

/// How often the remote was asked about this recipient.
fn asked(remote: &remote::Server, recipient: &str) -> usize {
    let recipients = remote.recipients();
    recipients
        .iter()
        .filter(|asked| asked.contains(recipient))
        .count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_no_is_told_once_the_remote_has_accepted_somebody_after_it() {
    let Some(site) = Site::start() else {
        return;
    };
    let a = site.edge("").await;
    let b = site.edge("").await;
    assert_eq!(a.ask(JOE).await, Answer::Yes);
    site.redis.holds(1);
    assert_eq!(a.ask(NOBODY).await, Answer::No);
    assert_eq!(b.ask(NOBODY).await, Answer::No);
    assert_eq!(asked(&site.remote, NOBODY), 2, "it might be of one edge alone");
    assert_eq!(a.ask(JANE).await, Answer::Yes);
    site.redis.holds(3);
    let c = site.edge("").await;
    assert_eq!(c.ask(NOBODY).await, Answer::No);
    c.logged("source=fleet").await;
    assert_eq!(asked(&site.remote, NOBODY), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edge_believes_a_no_of_another_only_if_it_would_believe_its_own() {
    let Some(site) = Site::start() else {
        return;
    };
    let a = site.edge("").await;
    assert_eq!(a.ask(JOE).await, Answer::Yes);
    assert_eq!(a.ask(NOBODY).await, Answer::No);
    assert_eq!(a.ask(JANE).await, Answer::Yes);
    site.redis.holds(3);
    // Its canary has not been accepted yet, so it asks for itself, and about the canary.
    let b = site.edge(&format!("lookup.canary = [\"{JANE}\"]")).await;
    assert_eq!(b.ask(NOBODY).await, Answer::No);
    assert_eq!(asked(&site.remote, NOBODY), 2);
    assert_eq!(asked(&site.remote, JANE), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edge_on_a_blocklist_says_no_for_nobody_else() {
    let Some(site) = Site::start() else {
        return;
    };
    let a = site.edge("").await;
    assert_eq!(a.ask(JOE).await, Answer::Yes);
    site.redis.holds(1);
    // From here on the remote has this answer for everybody at A.
    site.remote
        .set_fault(Fault::reply_with("RCPT", "550 5.1.1 User unknown"));
    let people = site.people(30);
    for user in &people {
        assert_ne!(a.ask(user).await, Answer::Yes);
    }
    site.remote.set_fault(Fault::None);
    let b = site.edge("").await;
    for user in &people {
        assert_eq!(b.ask(user).await, Answer::Yes, "{user}");
    }
    site.redis.holds(31);
    assert_eq!(site.redis.size(), 31);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edge_that_leaves_a_blocklist_says_no_for_nobody_else() {
    let Some(site) = Site::start() else {
        return;
    };
    // Fewer than make it doubt: it starts on the blocklist, and nobody was accepted before.
    site.remote
        .set_fault(Fault::reply_with("RCPT", "550 5.1.1 User unknown"));
    let (a, people) = (site.edge("").await, site.people(5));
    for user in &people {
        assert_eq!(a.ask(user).await, Answer::No);
    }
    site.remote.set_fault(Fault::None);
    assert_eq!(a.ask(JANE).await, Answer::Yes);
    assert_eq!(a.ask(JOE).await, Answer::Yes);
    site.redis.holds(2);
    let b = site.edge("").await;
    for user in &people {
        assert_eq!(b.ask(user).await, Answer::Yes, "{user}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_no_never_replaces_a_yes_that_is_younger_and_refuses_nobody_who_is_known() {
    let Some(site) = Site::start() else {
        return;
    };
    let a = site.edge("").await;
    let b = site.edge("").await;
    let one = &site.people(1)[0];
    assert_eq!(a.ask(one).await, Answer::Yes);
    // A is told no; it keeps that to itself until JOE is accepted.
    assert_eq!(a.ask(NOBODY).await, Answer::No);
    site.remote.set_account(remote::Account::new(NOBODY, "x"));
    assert_eq!(b.ask(NOBODY).await, Answer::Yes);
    site.redis.holds(2);
    assert_eq!(a.ask(JOE).await, Answer::Yes);
    site.redis.holds(3);
    // What A has told last is behind the no in its queue.
    assert_eq!(a.ask(JANE).await, Answer::Yes);
    site.redis.holds(4);
    site.remote.stop().await;
    let c = site.edge("").await;
    assert_eq!(c.ask(NOBODY).await, Answer::Yes);
}

/// Makes the no in the store, or what was made of it before, a yes of that second that was there for half an hour.
fn make_yes(site: &Site, second: u64) {
    let make = "local n = 0 for _, k in ipairs(redis.call('KEYS', 'vouch1:*')) do local v = redis.call('GET', k) \
                if #v == 12 and (v:byte(1) == 18 or v:byte(4) == 8) then \
                local yes = string.char(17, 0, 0, 8) .. struct.pack('>I4', ARGV[1]) .. v:sub(9) \
                redis.call('SET', k, yes, 'PX', 1800000) n = n + 1 end end return n";
    assert_eq!(site.redis.order(&["EVAL", make, "0", &second.to_string()]), "1");
}

/// Whether the store still has that yes.
fn has_yes(site: &Site) -> bool {
    let count = "local n = 0 for _, k in ipairs(redis.call('KEYS', 'vouch1:*')) do local v = redis.call('GET', k) \
                 if #v == 12 and v:byte(4) == 8 then n = n + 1 end end return n";
    site.redis.order(&["EVAL", count, "0"]) == "1"
}

/// Has an edge tell that NOBODY does not exist, between two yeses.
async fn tells_a_no(site: &Site, edge: &Edge, people: &[String], values: usize) {
    assert_eq!(edge.ask(NOBODY).await, Answer::No);
    assert_eq!(edge.ask(&people[0]).await, Answer::Yes);
    // What is told comes in its order, this one behind the no.
    assert_eq!(edge.ask(&people[1]).await, Answer::Yes);
    site.redis.holds(values);
}

/// What was long on its way to the store is older than the time says for which it is kept.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_yes_of_a_later_second_is_younger_however_long_it_was_in_the_store() {
    let Some(site) = Site::start() else {
        return;
    };
    let (a, people) = (site.edge("cache.ttl.negative = \"1s\"").await, site.people(7));
    let now = UNIX_EPOCH.elapsed().unwrap().as_secs();
    let forgets = || sleep(Duration::from_millis(1100));
    assert_eq!(a.ask(&people[6]).await, Answer::Yes);
    tells_a_no(&site, &a, &people[..2], 4).await;
    make_yes(&site, now + 1000);
    forgets().await;
    tells_a_no(&site, &a, &people[2..4], 6).await;
    assert!(has_yes(&site), "an older no has taken its place");
    make_yes(&site, now - 1000);
    forgets().await;
    tells_a_no(&site, &a, &people[4..6], 8).await;
    assert!(!has_yes(&site), "it is older by both");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_value_that_was_altered_is_not_believed() {
    let Some(site) = Site::start() else {
        return;
    };
    let nothing = "cache.ttl.negative = \"0s\"";
    let a = site.edge(nothing).await;
    assert_eq!(a.ask(JANE).await, Answer::Yes);
    site.redis.holds(1);
    site.remote.remove_account(JANE);
    let b = site.edge(nothing).await;
    // One bit after the other, of a value that stays otherwise.
    let alter = "local k = redis.call('KEYS', 'vouch1:*')[1] \
                 local good = redis.call('GET', 'good') or redis.call('GET', k) \
                 redis.call('SET', 'good', good) \
                 local n, s = tonumber(ARGV[1]), {} \
                 for i = 1, #good do local c = good:byte(i) \
                 if i == math.floor(n / 8) + 1 then c = bit.bxor(c, bit.lshift(1, n % 8)) end \
                 s[i] = string.char(c) end \
                 redis.call('SET', k, table.concat(s), 'PX', redis.call('PTTL', k)) return #good";
    for bit in 0..96 {
        assert_eq!(site.redis.order(&["EVAL", alter, "0", &bit.to_string()]), "12");
        assert_eq!(b.ask(JANE).await, Answer::No, "bit {bit}");
    }
    assert!(!b.log().contains("source=fleet"));
    // What is wrong with a value is no news.
    for (command, value) in [("SET", ""), ("SET", "x"), ("RPUSH", "1")] {
        let set = format!(
            "local k = redis.call('KEYS', 'vouch1:*')[1] redis.call('DEL', k) redis.call('{command}', k, ARGV[1]) return 1"
        );
        site.redis.order(&["EVAL", &set, "0", value]);
        assert_eq!(b.ask(JANE).await, Answer::No, "{command} {value}");
    }
}
