//! That something was purged is announced to all edges, so that they read what it is at once; where nothing is, they read it
//! all the same, a little later.

use std::time::Duration;

use tokio::time::timeout;
use vouch::fleet::{Fleet, Heard, Outside, Secrets, Whom};
use vouch::session::tls::Roots;
use vouch::settings::fleet::{self as settings, StoreAddress};

use crate::asker::Answer;
use crate::edge::{JANE, JOE, Key, Site, remote};
use crate::is_available;
use crate::redis::{PATIENCE, Redis};
use crate::support::process::wait_until;

/// An edge of these stores, without a daemon, that reads by itself only once in an hour.
fn edge(stores: &[&Redis], key: &Key) -> Fleet {
    let socket = |store: &&Redis| StoreAddress::Unix(store.scratch().path("redis.sock"));
    let mut keys = settings::Fleet::new(stores.iter().map(socket).collect(), key.path());
    // It writes the file of the password.
    stores[0].fleet(&key.path());
    keys.user = Some("vouch".to_owned());
    keys.password_file = Some(stores[0].scratch().path("password"));
    keys.patience = Duration::from_millis(500);
    let outside = Outside {
        readings: Duration::from_secs(3600),
        ..Outside::default()
    };
    Fleet::open(
        &keys,
        Secrets::read(&keys, &Roots::of_system()).unwrap(),
        &outside,
    )
}

/// How many edges hear what is announced in a store.
fn hearers(store: &Redis) -> usize {
    let said = store.order(&["PUBSUB", "NUMSUB", "vouch1:purges"]);
    said.lines().last().unwrap().parse().unwrap()
}

async fn hears(edge: &mut Heard) {
    let news = timeout(PATIENCE, edge.next()).await;
    let news = news.unwrap_or_else(|_| panic!("nothing was heard of the purge"));
    assert!(news.of_recipient(None, JANE.as_bytes()).is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_purge_is_heard_of_without_waiting_for_the_next_reading() {
    if !is_available() {
        return;
    }
    let (one, two, key) = (Redis::start(), Redis::start(), Key::new());
    for stores in [&[&one][..], &[&one, &two]] {
        let (a, b) = (edge(stores, &key), edge(stores, &key));
        let mut heard = b.purges();
        for store in stores {
            wait_until("both edges to hear", PATIENCE, || hearers(store) >= 2);
        }
        // Only the first of them can be read for another reason: once behind the beginning.
        for _ in 0..4 {
            a.purge(None, &[Whom::Everybody]);
            let untold = a.tell_purges().await;
            assert!(untold.is_empty(), "{untold:?}");
            hears(&mut heard).await;
        }
        drop((a, b));
        for store in stores {
            wait_until("nobody to hear any more", PATIENCE, || hearers(store) == 0);
        }
    }
}

/// As it would be under an access list of before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_right_to_the_channel_a_purge_is_read_a_little_later_and_the_store_is_used() {
    if !is_available() {
        return;
    }
    for rights in ["", "&vouch1:*", "+publish +subscribe", "&vouch1:* +subscribe"] {
        let access = format!(
            "user vouch on >PASSWORD ~vouch1:* +get +pttl +set +eval +pfadd +pfcount +pexpire +setrange {rights}"
        );
        let site = Site {
            redis: Redis::by("", &access),
            key: Key::new(),
            remote: remote(),
        };
        let ttl = "cache.ttl.negative = \"0s\"";
        let (a, b) = (site.edge(ttl).await, site.edge(ttl).await);
        for edge in [&a, &b] {
            assert_eq!(edge.ask(JANE).await, Answer::Yes);
            assert_eq!(edge.ask(JOE).await, Answer::Yes);
            site.redis.holds(2);
        }
        for user in [JANE, JOE] {
            site.remote.remove_account(user);
            let purged = a.order(&["cache", "purge", user]);
            assert!(purged.status.success(), "{purged:?}");
            wait_until("the purge to be read", PATIENCE, || {
                b.log().matches("purged by order of another edge").count() == if user == JANE { 1 } else { 2 }
            });
            assert_eq!(b.ask(user).await, Answer::No);
        }
        let line = a.logged("the store of the fleet serves in part: ").await;
        assert!(
            line.contains("PUBLISH and SUBSCRIBE") && line.contains("docs/fleet.md"),
            "{rights}: {line}"
        );
        for part in ["serves in full again", "is not used", "keeps nothing new"] {
            assert!(!a.log().contains(part), "{rights}: {}", a.log());
        }
        assert_eq!(a.log().matches("serves in part").count(), 1, "{}", a.log());
    }
}
