//! Sessions with mail servers: how many, for whom, and how they end.

use std::future::{Future, pending};
use std::path::Path;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::join_all;
use remote::{Account, Options, Protocol, Server};
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep};
use vouch::address::Address;
use vouch::config::read;
use vouch::daemon;
use vouch::engine::Engine;
use vouch::session::pool::{Asker, Limits, Open, Pool, Priority};
use vouch::session::{After, Error, Judged, Session};
use vouch::settings::directory::{MaxSessions, Pool as Keys};
use vouch::verdict::{Client, Kind, Question};

use crate::stub::settle;
use crate::{bound, number};

/// What the sessions of a test have come to.
struct Seen {
    /// Questions that hold a session.
    asking: AtomicUsize,
    /// Sessions that say goodbye, and the most at once.
    parting: AtomicUsize,
    most_parting: AtomicUsize,
    /// Whether an answer may come.
    gate: Semaphore,
    /// The time that each session was given to open.
    opening: Mutex<Vec<Duration>>,
}

impl Seen {
    fn new(answers: usize) -> Arc<Self> {
        Arc::new(Self {
            asking: AtomicUsize::new(0),
            parting: AtomicUsize::new(0),
            most_parting: AtomicUsize::new(0),
            gate: Semaphore::new(answers),
            opening: Mutex::default(),
        })
    }

    fn asking(&self) -> usize {
        self.asking.load(Ordering::Relaxed)
    }
}

/// A session whose goodbye is never answered.
struct Stubborn(Arc<Seen>);

impl Session for Stubborn {
    type Question = ();
    type Answer = ();

    fn about(_: &()) -> &[u8] {
        &[]
    }

    async fn ask(&mut self, _: &[()], tell: &mut (dyn FnMut(()) + Send), _: Instant) -> Result<(), Error> {
        self.0.asking.fetch_add(1, Ordering::Relaxed);
        self.0.gate.acquire().await.unwrap().forget();
        self.0.asking.fetch_sub(1, Ordering::Relaxed);
        tell(());
        Ok(())
    }

    async fn goodbye(&mut self) {
        pending::<()>().await;
    }

    async fn close(self) {
        let parting = self.0.parting.fetch_add(1, Ordering::Relaxed) + 1;
        self.0.most_parting.fetch_max(parting, Ordering::Relaxed);
        pending::<()>().await;
    }
}

fn pool(seen: &Arc<Seen>, max_sessions: usize) -> Pool<Stubborn, ()> {
    let limits = Limits {
        max_sessions,
        keys: Keys {
            max_sessions: MaxSessions::each(1),
            max_servers: 1,
            warm_sessions: 0,
            queue: 1000,
            idle_timeout: Duration::from_secs(60),
            max_age: Duration::from_secs(60),
        },
        timeout: Duration::from_secs(3600),
        questions: None,
        refusals: None,
    };
    let seen = seen.clone();
    let open: Open<Stubborn> = Box::new(move |deadline| {
        seen.opening.lock().unwrap().push(deadline - Instant::now());
        let session = Stubborn(seen.clone());
        Box::pin(async { Ok(session) }) as Pin<Box<dyn Future<Output = _> + Send>>
    });
    let judge = Box::new(|(): &(), ()| Judged {
        verdict: (),
        after: After::Spent,
    });
    Pool::new(
        "remote".into(),
        limits,
        (&Arc::default(), &Arc::default()),
        open,
        judge,
    )
}

/// Asks as one of this standing who waits so long.
async fn ask(pool: &Pool<Stubborn, ()>, standing: Priority, patience: Duration) -> Result<(), Error> {
    let (asker, _waiter) = Asker::until(Instant::now() + patience);
    let asker = Asker { standing, ..asker };
    pool.ask((), asker).await
}

const HOUR: Duration = Duration::from_secs(3600);

/// A session counts until the remote has seen the end of it, or does not say that it has.
#[tokio::test(start_paused = true)]
async fn sessions_that_say_goodbye_are_among_the_others() {
    let (limit, began) = (4, Instant::now());
    let seen = Seen::new(Semaphore::MAX_PERMITS);
    let pool = pool(&seen, limit);
    for number in 1..=3 * limit {
        ask(&pool, Priority::Stranger, HOUR).await.unwrap();
        settle().await;
        assert_eq!(seen.parting.load(Ordering::Relaxed), number);
    }
    // Nobody answers them, so each is left after a second, and only then there is room for others.
    assert_eq!(began.elapsed(), 2 * Duration::from_secs(1));
    assert_eq!(pool.sessions().closing, limit);
}

// Fills OPENING.
#[tokio::test(start_paused = true)]
async fn an_opening_has_its_time_whoever_waits() {
    assert_eq!(bound("session::pool::state::OPENING"), "1s");
    let seen = Seen::new(1);
    let pool = pool(&seen, 1);
    let (short, least, long) = (
        Duration::from_millis(5),
        Duration::from_secs(1),
        Duration::from_secs(20),
    );
    for patience in [short, long] {
        // The first is answered, and the session left after a second.
        let asking = ask(&pool, Priority::Stranger, patience);
        let _ = tokio::time::timeout(patience, asking).await;
        sleep(Duration::from_secs(2)).await;
    }
    assert_eq!(*seen.opening.lock().unwrap(), [least, long]);
}

// Fills KEPT_FREE, SPARE.
#[tokio::test]
async fn guesses_leave_what_trusted_logins_needed() {
    let seen = Seen::new(0);
    let pool = Arc::new(pool(&seen, 10));
    let begin = |standing| {
        let pool = pool.clone();
        tokio::spawn(async move { ask(&pool, standing, HOUR).await })
    };
    let mut asked: Vec<_> = (0..3).map(|_| begin(Priority::Trusted)).collect();
    settle().await;
    seen.gate.add_permits(3);
    settle().await;
    asked.extend((0..20).map(|_| begin(Priority::Stranger)));
    settle().await;
    // Those three have been answered, and their sessions say goodbye for a second yet.
    sleep(Duration::from_millis(1500)).await;
    let spare: usize = bound("session::pool::quota::SPARE").parse().unwrap();
    assert_eq!(seen.asking(), 10 - 3 - spare);
    asked.extend((0..5).map(|_| begin(Priority::Trusted)));
    settle().await;
    assert_eq!(seen.asking(), 10, "these have the rest");
    seen.gate.add_permits(1000);
    for answer in asked {
        answer.await.unwrap().unwrap();
    }
}

// Fills QUEUED_OF_ONE_NETWORK.
#[tokio::test]
async fn dialogs_of_one_network_leave_places_in_the_queue() {
    let share = bound("session::pool::state::QUEUED_OF_ONE_NETWORK");
    let share: usize = share.rsplit_once(' ').unwrap().1.parse().unwrap();
    let seen = Seen::new(0);
    let pool = Arc::new(pool(&seen, 4));
    let begin = |network: &str| {
        let network = vouch::address::network::Network::parse(network).ok();
        let pool = pool.clone();
        tokio::spawn(async move {
            let (asker, _waiter) = Asker::until(Instant::now() + HOUR);
            let standing = Priority::Dialog;
            let asker = Asker {
                standing,
                network,
                ..asker
            };
            pool.ask((), asker).await
        })
    };
    // The first holds the only session of its kind.
    let mut kept = vec![begin("192.0.2.1")];
    settle().await;
    kept.extend((0..1000 / share).map(|_| begin("192.0.2.1")));
    settle().await;
    let one_more = begin("192.0.2.1").await.unwrap().unwrap_err();
    assert_eq!(one_more.kind().name(), "overload", "{one_more}");
    let other = begin("192.0.2.2");
    settle().await;
    assert!(!other.is_finished());
    seen.gate.add_permits(1000);
    for answer in kept.into_iter().chain([other]) {
        answer.abort();
    }
}

// Fills MAX_BATCH.
#[tokio::test(flavor = "multi_thread")]
async fn a_write_holds_a_hundred_recipients() {
    const CROWD: usize = 350;
    let limit = number("session::smtp::recipients::MAX_BATCH");
    let mut options = Options::new(Protocol::Lmtp);
    options.accounts = (0..CROWD)
        .map(|number| Account::new(&format!("u{number}@example.org"), "x"))
        .collect();
    options.limits.recipients = None;
    let server = Server::start(options).unwrap();
    let text = format!(
        "[directory.mailbox]\ntype = \"lmtp\"\naddress = \"127.0.0.1\"\nport = {}\nlookup.domains = [\"example.org\"]\n\
         pool.max-sessions = 1\nlimits = {{ rcpt = \"unlimited\", rcpt-errors = \"unlimited\" }}\n",
        server.port()
    );
    let (config, _) = read::parse(Path::new("bounds.toml"), &text).unwrap();
    let engine = Engine::new(daemon::members(&config, None).unwrap(), None);
    let asked = (0..CROWD).map(|number| {
        let address = Address::from_typed(&format!("u{number}@example.org")).unwrap();
        let question = Question {
            kind: Kind::Recipient(address),
            client: Client::default(),
        };
        engine.decide(question, Instant::now() + Duration::from_secs(40))
    });
    for decision in join_all(asked).await {
        assert_eq!(decision.verdict.name(), "accept");
    }
    let sessions = server.sessions();
    let largest = sessions.iter().map(|session| session.largest_group).max();
    // With MAIL FROM before them.
    assert!(
        largest > Some(1) && largest <= Some(limit as u32 + 1),
        "{largest:?}"
    );
}
