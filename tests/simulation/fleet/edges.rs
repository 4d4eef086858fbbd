//! An edge, and those who ask it.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, UNIX_EPOCH};

use tokio::io::DuplexStream;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};
use tokio_util::task::AbortOnDropHandle;
use vouch::address::Address;
use vouch::config::Config;
use vouch::daemon;
use vouch::engine::{CachedDirectory, CanaryState, Decision, Engine};
use vouch::fleet::guesses::Guesses;
use vouch::fleet::{Clock, Fleet, Outside, Secrets};
use vouch::session::tls::Roots;
use vouch::settings::fleet as settings;
use vouch::settings::penalty::Penalty;
use vouch::settings::protocol::Protocol;
use vouch::verdict::{Class, Client, Kind, Question, Verdict};

use super::DAY;
use super::doubts::Doubts;
use super::own::Own;
use super::purges::{Orders, Whom, moments};
use super::resp::Way;
use super::store::Store;
use super::weather::Weather;
use crate::askers::{Tally, check};
use crate::chance::Chance;
use crate::clients::{Listeners, configured, visit};
use crate::dial::Telephone;
use crate::world::World;

/// An answer comes no later than this behind its deadline.
const LATE: Duration = Duration::from_millis(200);

/// So often it is seen whether a canary is refused.
const LOOKED_AT: Duration = Duration::from_millis(250);

/// The time of day at which each day begins, in seconds since 1970.
const MORNING: u64 = 1_800_000_000;

/// What all edges have in common.
pub(crate) struct Site {
    pub(crate) seed: u64,
    /// `None` where edges have no `[fleet]`.
    pub(crate) store: Option<Arc<Store>>,
    pub(crate) keys: settings::Fleet,
    /// How far ahead the clock of each edge is, in seconds.
    pub(crate) clocks: Vec<i64>,
    /// An edge that starts anew is asked so long after.
    pub(crate) first_question: Duration,
    /// Of its one listener, for logins; listeners have none otherwise.
    pub(crate) penalty: Option<Penalty>,
}

impl Site {
    /// One whose key is in this file.
    pub(crate) fn new(seed: u64, store: Option<Arc<Store>>, key: PathBuf, clocks: Vec<i64>) -> Self {
        let address = settings::StoreAddress::Unix("/store".into());
        let mut keys = settings::Fleet::new(vec![address], key);
        keys.patience = Chance::new(seed ^ (1 << 42)).ms(1, 100);
        Self {
            seed,
            store,
            keys,
            clocks,
            first_question: Duration::ZERO,
            penalty: None,
        }
    }

    /// The fleet of an edge.
    fn fleet(&self, edge: usize, began: Instant, life: u64) -> Option<Fleet> {
        let store = self.store.clone()?;
        let ahead = self.clocks[edge];
        let outside = Outside {
            edge: format!("edge{edge}"),
            chance: Chance::of_vouch(self.seed ^ ((edge as u64 + 1) << 50) ^ (life << 56)),
            clock: Clock::new(move || {
                UNIX_EPOCH + Duration::from_secs(MORNING.saturating_add_signed(ahead)) + began.elapsed()
            }),
            way: Arc::new(move |_| {
                Arc::new(Way {
                    store: store.clone(),
                    edge,
                })
            }),
            ..Outside::default()
        };
        let secrets = Secrets::read(&self.keys, &Roots::of_system());
        let secrets = secrets.unwrap_or_else(|error| panic!("{error}"));
        Some(Fleet::open(&self.keys, secrets, &outside))
    }
}

/// What was answered, by all edges.
#[derive(Default)]
pub(crate) struct Counts {
    pub(crate) tally: Arc<Tally>,
    /// Refusals that were deferred for a canary of another edge.
    pub(crate) doubted: AtomicU64,
    /// Of the accepted and of the refused, those by what the store had.
    pub(crate) accepted: AtomicU64,
    pub(crate) refused: AtomicU64,
}

/// What all edges are held against.
#[derive(Clone)]
pub(crate) struct Ledgers {
    pub(crate) orders: Arc<Orders>,
    pub(crate) doubts: Arc<Doubts>,
}

impl Ledgers {
    /// Of edges that share a store in that weather, or nothing.
    pub(crate) fn new(weather: Option<Arc<Weather>>, worlds: &[Arc<World>], clocks: &[i64]) -> Self {
        let orders = Arc::new(Orders::new(weather.clone()));
        for world in worlds {
            world.peers.keep_orders(orders.clone());
        }
        Self {
            orders,
            doubts: Arc::new(Doubts::new(weather, worlds, clocks)),
        }
    }
}

/// A running edge.
pub(crate) struct Edge {
    number: usize,
    pub(crate) world: Arc<World>,
    site: Arc<Site>,
    ledgers: Ledgers,
    running: Mutex<Option<Arc<Running>>>,
    pub(super) own: Arc<Own>,
    pub(super) counts: Arc<Counts>,
}

struct Running {
    engine: Engine,
    listeners: Arc<Listeners>,
    member: Arc<CachedDirectory>,
    fleet: Option<Arc<Fleet>>,
    _follows: Option<AbortOnDropHandle<()>>,
}

impl Edge {
    pub(crate) fn start(
        world: &Arc<World>,
        number: usize,
        site: &Arc<Site>,
        ledgers: &Ledgers,
        counts: &Arc<Counts>,
    ) -> Arc<Self> {
        let edge = Self {
            number,
            world: world.clone(),
            site: site.clone(),
            ledgers: ledgers.clone(),
            running: Mutex::default(),
            own: Arc::default(),
            counts: counts.clone(),
        };
        *edge.lock() = Some(Arc::new(edge.run(0)));
        Arc::new(edge)
    }

    fn lock(&self) -> MutexGuard<'_, Option<Arc<Running>>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self, life: u64) -> Running {
        let (world, began) = (&self.world, self.world.began);
        let mut listener = configured(world.directory.kind, std::slice::from_ref(&world.directory));
        if let Some(penalty) = &self.site.penalty {
            listener.retain(|listener| listener.protocol == Protocol::Auth);
            listener
                .iter_mut()
                .for_each(|listener| listener.penalty = Some(penalty.clone()));
        }
        let config = Config {
            listener,
            directory: vec![world.directory.clone()],
            ..Config::default()
        };
        let fleet = self.site.fleet(self.number, began, life).map(Arc::new);
        let chance = Chance::of_vouch(self.site.seed ^ ((self.number as u64 + 1) << 44) ^ (life << 56));
        let called = world.clone();
        let members = daemon::members_by(&config, None, fleet.as_ref(), &chance, move |_, remote| {
            remote.dial = Arc::new(Telephone(called.clone()));
        });
        let members = members.unwrap_or_else(|error| panic!("{error}"));
        let [member] = &members[..] else {
            panic!("{} directories", members.len());
        };
        self.ledgers.orders.begins(self.number);
        let follows = fleet.as_ref().map(|fleet| {
            let follows = self.own.clone().follow(fleet.purges(), member.clone());
            AbortOnDropHandle::new(tokio::spawn(follows))
        });
        Running {
            listeners: Arc::new(Listeners::open_at(&config, &members, fleet.as_ref())),
            member: member.clone(),
            engine: Engine::new(members, None),
            fleet,
            _follows: follows,
        }
    }

    /// Takes down whether its canary is refused, until then.
    pub(crate) async fn watch_canary(self: Arc<Self>, end: Instant) {
        while Instant::now() < end {
            let running = self.lock().as_ref().map(|running| running.member.clone());
            let is_refused = |state: &CanaryState| matches!(state, CanaryState::Refused(_));
            let refused = running.map(|member| member.canaries().iter().any(|(_, it)| is_refused(it)));
            self.ledgers.doubts.sees(self.number, refused);
            sleep(LOOKED_AT).await;
        }
    }

    /// Purges now and then, as an administrator does.
    pub(crate) async fn purge_all_day(self: Arc<Self>, day: Duration) {
        for at in moments(&self.world.chance, self.world.began, day) {
            let whom = Whom::any(&self.world);
            sleep_until(at).await;
            self.purge(whom).await;
        }
    }

    async fn purge(&self, whom: Whom) {
        let running = self.lock().clone();
        let Some((running, scope)) = running.zip(whom.scope()) else {
            return;
        };
        self.world.note(|| format!("a purge of {whom:?}"));
        let at = Instant::now();
        let members = [&*running.member];
        let purge = daemon::purge(running.fleet.as_deref(), &members, false, &scope);
        self.own.while_forgotten(purge).await;
        self.ledgers.orders.purged(self.number, whom, at);
    }

    fn check_doubts(&self, name: &str, asked: Instant, decision: &Decision) {
        let doubts = &self.ledgers.doubts;
        match &decision.verdict {
            Verdict::Reject(_) => doubts.check_refusal(self.number, name, asked),
            Verdict::Defer(cause)
                if cause.class == Class::NotBelieved && cause.text.contains("at another edge") =>
            {
                self.counts.doubted.fetch_add(1, Ordering::Relaxed);
                doubts.check_doubt(self.number, name, &cause.text, asked);
            }
            _ => {}
        }
    }

    /// Ends, and starts anew with no memory of its own, once nobody asks the old one any more.
    pub(crate) async fn restart(self: Arc<Self>) {
        sleep_until(self.when_to_restart()).await;
        let Some(running) = self.lock().take() else {
            return;
        };
        while Arc::strong_count(&running) > 1 || Arc::strong_count(&running.listeners) > 1 {
            sleep(Duration::from_secs(1)).await;
        }
        drop(running);
        self.ledgers.orders.ends(self.number);
        sleep(self.world.chance.ms(10_000, 60_000)).await;
        self.world.note(|| "the edge starts anew".to_owned());
        self.own.forget();
        let running = self.run(1);
        sleep(self.site.first_question).await;
        let running = Arc::new(running);
        *self.lock() = Some(running.clone());
        // Mail has waited for it.
        for user in 0..self.world.users.min(14) {
            self.ask(&running, format!("u{user}@a.test")).await;
        }
    }

    /// Anytime, or as soon as it is on a blocklist: it starts there, and remembers nobody.
    fn when_to_restart(&self) -> Instant {
        let world = &self.world;
        let anytime = world.began + world.chance.ms(60_000, 600_000);
        match world.losses.first() {
            Some((from, _)) if world.chance.coin() => *from,
            _ => anytime,
        }
    }

    /// Ends.
    pub(crate) fn stop(&self) {
        *self.lock() = None;
    }

    /// Asks the engine, until then.
    pub(crate) async fn ask_all_day(self: Arc<Self>, end: Instant) {
        let chance = &self.world.chance;
        while Instant::now() < end {
            let running = self.lock().clone();
            if let Some(running) = running {
                self.ask(&running, self.world.anybody()).await;
            }
            let pause = chance.one(&[chance.ms(1, 500), chance.ms(100, 5000), chance.ms(1000, 30_000)]);
            sleep(pause * self.world.peers.pace).await;
        }
    }

    /// Comes to the listeners, until then.
    pub(crate) async fn visit_all_day(self: Arc<Self>, end: Instant) {
        while Instant::now() < end {
            let listeners = self.lock().as_ref().map(|running| running.listeners.clone());
            if let Some(listeners) = listeners {
                visit(self.world.clone(), listeners, self.counts.tally.clone()).await;
            }
            sleep(self.world.chance.ms(1000, 30_000)).await;
        }
    }

    /// A connection to its listener for logins.
    pub(crate) fn connect(&self) -> Option<DuplexStream> {
        let listeners = self.lock().as_ref()?.listeners.clone();
        listeners.connect(Protocol::Auth)
    }

    /// What other edges tell a wrong password apart by.
    pub(crate) fn hint(&self, password: &str) -> String {
        let fleet = self.lock().as_ref().and_then(|running| running.fleet.clone());
        let guesses = fleet.and_then(|fleet| Guesses::new(fleet, "any", DAY));
        guesses.map_or_else(String::new, |guesses| {
            format!("{:?}", guesses.hint(password.as_bytes()))
        })
    }

    /// Asks about a recipient that was not asked about before.
    pub(crate) async fn ask_about_another(&self) {
        let running = self.lock().clone();
        let name = format!("u{}@a.test", self.counts.tally.asked.load(Ordering::Relaxed));
        if let Some(running) = running {
            self.ask(&running, name).await;
        }
    }

    async fn ask(&self, running: &Running, name: String) {
        let world = &self.world;
        let Ok(address) = Address::from_typed(&name) else {
            return world.broken(format!("{name} is no address"));
        };
        let (kind, client) = (Kind::Recipient(address), Client::default());
        world.note(|| format!("? {name}"));
        let asked = Instant::now();
        let deadline = asked + world.chance.ms(100, 20_000);
        let answer = running.engine.decide(Question { kind, client }, deadline);
        self.counts.tally.one_more_asked();
        match timeout_at(deadline + LATE, answer).await {
            Ok(decision) => {
                check(world, &self.counts.tally, &name, &name, asked, &decision);
                self.check_own(&name, asked, &decision);
                self.check_doubts(&name, asked, &decision);
            }
            Err(_) => world.broken(format!("no answer about {name} {LATE:?} after the deadline")),
        }
    }
}
