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
use vouch::session::pool::{Limits, Open, Pool, Standing};
use vouch::session::{After, AskAgain, Error, Judged, Session};
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

    const MAX_BATCH: usize = 1;
    const MAY_ASK_AGAIN: AskAgain = AskAgain::Unheard;
    const SPENT_BY_YES: bool = true;

    fn batch(&self) -> usize {
        1
    }

    fn bears(&self) -> Option<u32> {
        None
    }

    fn together((): &(), (): &()) -> bool {
        false
    }

    async fn ask(&mut self, _: &[()], tell: &mut (dyn FnMut(()) + Send), _: Instant) -> Result<(), Error> {
        self.0.asking.fetch_add(1, Ordering::Relaxed);
        self.0.gate.acquire().await.unwrap().forget();
        self.0.asking.fetch_sub(1, Ordering::Relaxed);
        tell(());
        Ok(())
    }

    async fn renew(&mut self) -> bool {
        false
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
        warm_sessions: 0,
        queue: 1000,
        idle_timeout: Duration::from_secs(60),
        max_age: Duration::from_secs(60),
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
    Pool::new("remote".into(), limits, open, judge)
}

fn later() -> Instant {
    Instant::now() + Duration::from_secs(3600)
}

#[tokio::test(start_paused = true)]
async fn sessions_that_say_goodbye_are_bounded() {
    let limit = number("crate::session::pool::worker::GOODBYES");
    let seen = Seen::new(Semaphore::MAX_PERMITS);
    let pool = pool(&seen, 1);
    for _ in 0..limit + 50 {
        pool.ask((), Standing::Good, later()).await.unwrap();
    }
    settle().await;
    assert_eq!(seen.most_parting.load(Ordering::Relaxed), limit);
    // Nobody answers them, so they are left, and there is room for others.
    sleep(Duration::from_secs(2)).await;
    pool.ask((), Standing::Good, later()).await.unwrap();
    settle().await;
    assert_eq!(seen.parting.load(Ordering::Relaxed), limit + 1);
}

#[tokio::test(start_paused = true)]
async fn an_opening_has_its_time_whoever_waits() {
    assert_eq!(bound("crate::session::pool::worker::OPENING"), "1s");
    let seen = Seen::new(1);
    let pool = pool(&seen, 1);
    let (short, least, long) = (
        Duration::from_millis(5),
        Duration::from_secs(1),
        Duration::from_secs(20),
    );
    for patience in [short, long] {
        // The first is answered; the second finds a remote that says nothing, and is answered without it.
        let _ = pool.ask((), Standing::Good, Instant::now() + patience).await;
    }
    assert_eq!(*seen.opening.lock().unwrap(), [least, long]);
}

#[tokio::test]
async fn guesses_leave_half_of_the_sessions() {
    let seen = Seen::new(0);
    let pool = Arc::new(pool(&seen, 8));
    let ask = |standing| {
        let pool = pool.clone();
        tokio::spawn(async move { pool.ask((), standing, later()).await })
    };
    let mut asked: Vec<_> = (0..20).map(|_| ask(Standing::Doubtful)).collect();
    settle().await;
    assert_eq!(seen.asking(), 4, "half of them");
    asked.extend((0..2).map(|_| ask(Standing::Good)));
    settle().await;
    assert_eq!(seen.asking(), 6, "others have the rest");
    seen.gate.add_permits(1000);
    for answer in asked {
        answer.await.unwrap().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_holds_a_hundred_recipients() {
    const CROWD: usize = 350;
    let limit = number("crate::session::smtp::recipients::MAX_BATCH");
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
