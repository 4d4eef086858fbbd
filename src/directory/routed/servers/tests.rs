//! Servers in use: made when one is asked, bounded, gone when none asks.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;

use parking_lot::Mutex as Lock;
use tokio::sync::Notify;
use tokio::task::yield_now;
use tokio::time::advance;

use super::super::super::health::Watched;
use super::super::super::{Directory as _, Terms};
use super::super::Routed;
use super::*;
use crate::address::Address;
use crate::settings::directory::Tls;
use crate::settings::kind::Kind as Type;
use crate::settings::routes::map_of_tests;
use crate::verdict::{Abstention, Client, Kind, Question, UserName, Verdict};

/// What all servers of a test share.
#[derive(Default)]
struct World {
    /// How often each was made, by its name.
    made: Lock<BTreeMap<String, usize>>,
    /// Those that give no answer.
    dead: Lock<Vec<String>>,
    /// Those that answer once this tells them.
    slow: Lock<Vec<String>>,
    go: Notify,
}

struct One {
    name: String,
    world: Arc<World>,
}

impl Directory for One {
    fn can_answer(&self, _: &Kind) -> bool {
        true
    }

    fn probe<'a>(&'a self, _: &'a Question, _: Terms) -> Pin<Box<dyn Future<Output = Verdict> + Send + 'a>> {
        Box::pin(async {
            if self.world.slow.lock().contains(&self.name) {
                self.world.go.notified().await;
            }
            if self.world.dead.lock().contains(&self.name) {
                return Verdict::Defer(Cause::ours(Class::Unreachable, "it is dead"));
            }
            Verdict::accept(self.name.as_str())
        })
    }
}

/// `d0.example` is at server `s0`, and so on; `kept.example` is local.
fn routed(world: &Arc<World>, most: usize) -> Routed {
    let lines: String = (0..10)
        .map(|number| format!("d{number}.example lmtp:s{number}\n"))
        .collect();
    let map = map_of_tests(&format!("{lines}kept.example local:\njane@d1.example lmtp:s9\n"));
    let world = world.clone();
    let make: Make = Box::new(move |server| {
        let name = server.to_string();
        if name == "lmtp:s8" {
            return Err(tls::SettingsError::Name("s8".to_owned()));
        }
        *world.made.lock().entry(name.clone()).or_default() += 1;
        let world = world.clone();
        Ok(Arc::new(Watched::new(Arc::new(One { name, world }))))
    });
    let roots = tls::Roots::from(rustls::RootCertStore::empty());
    let client = tls::Client::new(&Tls::new(), "localhost", &roots).unwrap();
    let servers = Arc::new(Servers::new(make, most, Counted::default(), Arc::new(client)));
    Routed::new(Type::Lmtp, map, servers)
}

async fn ask(routed: &Routed, address: &str) -> String {
    let kind = Kind::Recipient(Address::from_typed(address).unwrap());
    let client = Client::default();
    let (terms, _waiter) = Terms::until(Instant::now() + Duration::from_secs(30));
    match routed.probe(&Question { kind, client }, terms).await {
        Verdict::Accept(identity) => String::from_utf8(identity.name).unwrap(),
        Verdict::Defer(cause) => cause.text,
        Verdict::Abstain(Abstention::NotOurs) => "not ours".to_owned(),
        other => format!("{other:?}"),
    }
}

fn in_use(routed: &Routed) -> u64 {
    routed.servers().unwrap().in_use
}

#[tokio::test(start_paused = true)]
async fn each_question_goes_to_its_server() {
    let world = Arc::default();
    let routed = routed(&world, 10);
    for (address, expected) in [
        ("x@d0.example", "lmtp:s0"),
        ("x@d1.example", "lmtp:s1"),
        ("Jane@d1.example", "lmtp:s9"),
        ("x@d0.example", "lmtp:s0"),
        ("x@kept.example", "not ours"),
        ("x@other.example", "not ours"),
        (
            "x@d8.example",
            &*tls::SettingsError::Name("s8".to_owned()).to_string(),
        ),
    ] {
        assert_eq!(ask(&routed, address).await, expected, "{address}");
    }
    assert_eq!(in_use(&routed), 3);
    assert!(world.made.lock().values().all(|made| *made == 1));
    // A directory of recipients knows no login.
    let user = UserName::new(b"x@d0.example");
    let proof = crate::verdict::Proof::Password(vouch_protocol::secret::Secret::copy_from(b"x"));
    assert!(!routed.can_answer(&Kind::Login { user, proof }));
}

// Fills directory.NAME.pool.max-servers.
#[tokio::test(start_paused = true)]
async fn the_longest_unused_makes_room_and_none_that_is_asked() {
    let world = Arc::<World>::default();
    let routed = Arc::new(routed(&world, 3));
    for number in [0, 1, 2, 0] {
        ask(&routed, &format!("x@d{number}.example")).await;
        advance(Duration::from_secs(1)).await;
    }
    // One that cannot be made takes nobody's place.
    ask(&routed, "x@d8.example").await;
    assert_eq!(in_use(&routed), 3);
    ask(&routed, "x@d3.example").await;
    let known = |name: &str| {
        let table = routed.servers.table.lock();
        table.entries.keys().any(|server| server.to_string() == name)
    };
    assert!(!known("lmtp:s1") && known("lmtp:s0") && known("lmtp:s2") && known("lmtp:s3"));
    // What is known of a sick one is of more use than a well one's sessions.
    world.dead.lock().push("lmtp:s2".to_owned());
    assert_eq!(ask(&routed, "x@d2.example").await, "it is dead");
    advance(Duration::from_secs(1)).await;
    ask(&routed, "x@d0.example").await;
    ask(&routed, "x@d4.example").await;
    assert!(known("lmtp:s2") && known("lmtp:s0") && !known("lmtp:s3"));
    // All are being asked.
    world
        .slow
        .lock()
        .extend(["lmtp:s0", "lmtp:s2", "lmtp:s4"].map(str::to_owned));
    let asked: Vec<_> = ["x@d0.example", "x@d2.example", "x@d4.example"]
        .into_iter()
        .map(|address| {
            let routed = routed.clone();
            tokio::spawn(async move { ask(&routed, address).await })
        })
        .collect();
    yield_now().await;
    let refused = ask(&routed, "x@d5.example").await;
    assert_eq!(
        refused,
        "3 servers are being asked (pool.max-servers), and none of them is idle"
    );
    world.slow.lock().clear();
    world.go.notify_waiters();
    for one in asked {
        one.await.unwrap();
    }
    assert_eq!(ask(&routed, "x@d5.example").await, "lmtp:s5");
    let report = routed.servers().unwrap();
    assert_eq!((report.in_use, report.max, report.refused), (3, 3, 1));
    // What was counted of servers that are gone stays counted.
    let health = routed.health();
    assert_eq!((health.answers, health.failures), (10, 2));
}

// Fills SERVER_KEPT.
#[tokio::test(start_paused = true)]
async fn a_server_that_nobody_asks_is_forgotten() {
    let world = Arc::<World>::default();
    let routed = Arc::new(routed(&world, 10));
    world.slow.lock().push("lmtp:s1".to_owned());
    let long = tokio::spawn({
        let routed = routed.clone();
        async move { ask(&routed, "x@d1.example").await }
    });
    yield_now().await;
    ask(&routed, "x@d0.example").await;
    assert_eq!(in_use(&routed), 2);
    for _ in 0..20 {
        advance(LOOK).await;
        yield_now().await;
    }
    assert_eq!(in_use(&routed), 1, "one is being asked still");
    world.go.notify_waiters();
    long.await.unwrap();
    for _ in 0..9 {
        advance(LOOK).await;
        yield_now().await;
    }
    assert_eq!(in_use(&routed), 1);
    for _ in 0..2 {
        advance(LOOK).await;
        yield_now().await;
    }
    assert_eq!(in_use(&routed), 0);
    assert_eq!(routed.health().answers, 2);
    world.slow.lock().clear();
    ask(&routed, "x@d1.example").await;
    assert_eq!((in_use(&routed), world.made.lock()["lmtp:s1"]), (1, 2));
}

#[tokio::test(start_paused = true)]
async fn a_dead_server_is_shown_and_the_others_answer() {
    let world = Arc::<World>::default();
    let routed = routed(&world, 10);
    let state = || routed.health().state();
    assert_eq!(state(), State::Unasked);
    world
        .dead
        .lock()
        .extend((1..8).map(|number| format!("lmtp:s{number}")));
    ask(&routed, "x@d0.example").await;
    assert_eq!(state(), State::Answers);
    for number in 1..8 {
        advance(Duration::from_secs(1)).await;
        ask(&routed, &format!("x@d{number}.example")).await;
    }
    let report = routed.servers().unwrap();
    let shown: Vec<_> = report.shown.iter().map(|sick| sick.server.as_str()).collect();
    assert_eq!(report.sick, 7);
    assert_eq!(shown, ["lmtp:s1", "lmtp:s2", "lmtp:s3", "lmtp:s4", "lmtp:s5"]);
    // However long the others answer nothing, since nobody asks them.
    advance(Duration::from_secs(400)).await;
    assert_eq!(state(), State::Falters);
    assert_eq!(routed.health().unanswered.unwrap().0, 7);
    world.dead.lock().push("lmtp:s0".to_owned());
    ask(&routed, "x@d0.example").await;
    assert_eq!(state(), State::Silent);
    world.dead.lock().clear();
    for number in 0..8 {
        ask(&routed, &format!("x@d{number}.example")).await;
    }
    assert_eq!((state(), routed.servers().unwrap().sick), (State::Answers, 0));
}
