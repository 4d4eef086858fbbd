//! What is true, what was said, and what must never be: the ledger that verdicts are held against.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep};
use vouch::settings::address::RemoteAddress;
use vouch::settings::directory::{Directory, MaxSessions, StartTls};
use vouch::settings::kind::Kind;
use vouch::settings::limit::Limit;

use crate::chance::Chance;
use crate::fleet::ledger::Peers;
use crate::several::Population;
use crate::stale::Down;
use crate::trace::Trace;

/// Users of most remotes, each with a mailbox; some exist, some do not, some come or go.
const USERS: u64 = 14;

/// What happens at one moment happens in one order or another; much of it happens at beats.
const BEAT: Duration = Duration::from_millis(100);

/// What a session is used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Use {
    Recipients,
    Logins,
}

/// How a session looks from vouch's side.
#[derive(Debug, Default, Clone, Copy)]
struct Seat {
    used: Option<Use>,
    /// vouch has taken leave.
    left: bool,
}

/// One remote, its truth and its ledger.
pub(crate) struct World {
    pub(crate) chance: Chance,
    /// The remotes that serve its domains as well.
    pub(crate) siblings: Vec<Arc<World>>,
    pub(crate) users: u64,
    pub(crate) population: Population,
    /// Every address has a mailbox.
    pub(crate) accepts_all: bool,
    pub(crate) directory: Directory,
    pub(crate) rcpt: u32,
    pub(crate) rcpt_errors: u32,
    pub(crate) auth_errors: u32,
    /// Faults in a thousand replies.
    pub(crate) rate: u64,
    pub(crate) pipelining: bool,
    pub(crate) unauthenticate: bool,
    pub(crate) rcpt_max: Option<u32>,
    /// In an outage, from and until when nobody is let in.
    pub(crate) outage: Option<(Instant, Instant)>,
    /// Times in which it is down to everybody.
    pub(crate) downs: Vec<Down>,
    /// From and until when it has no users.
    pub(crate) losses: Vec<(Instant, Instant)>,
    /// The edges that meet it, where there is a fleet.
    pub(crate) peers: Peers,
    pub(crate) began: Instant,
    trace: Trace,
    book: Mutex<Book>,
}

#[derive(Default)]
struct Book {
    /// When a user or login began to be the opposite of what it was, each time.
    turns: BTreeMap<u64, Vec<Instant>>,
    /// What the remote said about each: when, and whether it was a yes.
    said: BTreeMap<String, Vec<(Instant, bool)>>,
    /// When it heard each login.
    heard: BTreeMap<String, Vec<Instant>>,
    /// When it has replied to a login, whatever it said.
    replied: Vec<Instant>,
    seats: BTreeMap<u64, Seat>,
    sessions: u64,
    broken: Vec<String>,
}

impl World {
    pub(crate) fn new(seed: u64, trace: Trace) -> Self {
        let chance = Chance::new(seed);
        let kind = chance.one(&[Kind::Imap, Kind::Smtp, Kind::Lmtp]);
        let host = RemoteAddress::Host {
            name: "127.0.0.1".to_owned(),
            port: None,
        };
        let mut directory = Directory::new("remote", kind, host.into());
        let (rcpt, rcpt_errors) = (chance.among(1, 5) as u32, chance.among(1, 3) as u32);
        let auth_errors = chance.among(1, 3) as u32;
        directory.tls.starttls = StartTls::Never;
        directory.timeout = chance.ms(300, 5000);
        directory.limits.rcpt = Limit::At(rcpt);
        directory.limits.rcpt_errors = Limit::At(rcpt_errors);
        directory.limits.auth_errors = Limit::At(auth_errors);
        directory.pool.max_sessions = MaxSessions::each(chance.among(1, 4) as u32);
        directory.pool.warm_sessions = chance.among(0, u64::from(directory.pool.max_sessions.logins)) as u32;
        directory.pool.queue = chance.one(&[2, 10, 1000]);
        directory.pool.idle_timeout = chance.ms(200, 8000);
        // Where sessions do not grow old, only their idleness ends them.
        let long = Duration::from_secs(3600);
        directory.pool.max_age = chance.one(&[chance.ms(1000, 20_000), long]);
        remember(&chance, &mut directory);
        let began = Instant::now();
        let mut book = Book::default();
        for user in 0..USERS {
            if chance.once_in(200) {
                book.turns.insert(user, vec![began + chance.ms(0, 20_000)]);
            }
        }
        let outage = chance.once_in(250).then(|| {
            let from = began + chance.ms(0, 10_000);
            (from, from + chance.ms(50, 8000))
        });
        Self {
            siblings: Vec::new(),
            users: USERS,
            population: Population::TwoInThree,
            accepts_all: false,
            rate: chance.one(&[0, 15, 60, 200]),
            pipelining: chance.coin(),
            unauthenticate: chance.coin(),
            rcpt_max: chance.once_in(300).then(|| chance.among(1, 4) as u32),
            directory,
            rcpt,
            rcpt_errors,
            auth_errors,
            outage,
            downs: Vec::new(),
            losses: Vec::new(),
            peers: Peers::default(),
            began,
            trace,
            book: Mutex::new(book),
            chance,
        }
    }

    /// A remote that loses its users now and then, for good some of those in `deleted`. It is asked about
    /// recipients, and what it says is remembered for long.
    pub(crate) fn forgetful(seed: u64, trace: Trace, hours: u64, deleted: Range<u64>) -> Self {
        let mut world = Self::new(seed, trace);
        let (chance, began) = (&world.chance, world.began);
        world.directory.kind = chance.one(&[Kind::Smtp, Kind::Lmtp]);
        world.directory.pool.queue = 1000;
        world.directory.cache.entries = 1000;
        let ttl = &mut world.directory.cache.ttl;
        ttl.positive = chance.ms(10_000, 3_600_000);
        ttl.refresh = ttl.positive.mul_f64(0.5);
        ttl.negative = chance.ms(1000, 120_000);
        ttl.stale = Duration::from_secs(7 * 24 * 3600);
        world.outage = None;
        world.rate = world.rate.min(60);
        let mut turns = BTreeMap::new();
        for user in deleted {
            turns.insert(user, vec![began + chance.ms(0, hours * 3_600_000)]);
        }
        let mut losses = Vec::new();
        let mut from = began + chance.ms(600_000, 7_200_000);
        while from < began + Duration::from_secs(3600 * hours) {
            let until = from + chance.one(&[chance.ms(1000, 90_000), chance.ms(90_000, 7_200_000)]);
            losses.push((from, until));
            // What it has said in two losses must not be taken for one: see `REFUSED_AGAIN_WITHIN` of the engine.
            from = until + Duration::from_secs(3660) + chance.ms(0, 7_200_000);
        }
        world.book().turns = turns;
        world.losses = losses;
        world
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A moment so far away, or the next full beat behind it: people and remotes meet there.
    pub(crate) fn moment(&self, low: u64, high: u64) -> Instant {
        let moment = Instant::now() + self.chance.ms(low, high);
        if self.chance.coin() {
            return moment;
        }
        let beats = (moment - self.began).as_millis().div_ceil(BEAT.as_millis());
        self.began + BEAT * u32::try_from(beats).unwrap_or(u32::MAX)
    }

    pub(crate) fn is_shut(&self) -> bool {
        let now = Instant::now();
        self.outage
            .is_some_and(|(from, until)| from <= now && now < until)
    }

    /// Whether it has no users at present.
    pub(crate) fn has_lost_its_users(&self) -> bool {
        self.had_lost_its_users(Instant::now())
    }

    /// Whether it had none then.
    pub(crate) fn had_lost_its_users(&self, then: Instant) -> bool {
        self.losses
            .iter()
            .any(|(from, until)| (*from..*until).contains(&then))
    }

    /// Has each user come and go at these moments.
    pub(crate) fn set_turns(&self, turns: BTreeMap<u64, Vec<Instant>>) {
        self.book().turns = turns;
    }

    /// Somebody to ask about, who need not exist.
    pub(crate) fn anybody(&self) -> String {
        let user = self.chance.among(0, self.users - 1);
        format!("u{user}@{}.test", if user.is_multiple_of(5) { 'b' } else { 'a' })
    }

    /// The password that is right while the user has not turned, or another.
    pub(crate) fn some_password(&self) -> &'static str {
        self.chance.one(&["right", "right", "new", "wrong-1", "wrong-2"])
    }

    /// Whether `address` exists now.
    pub(crate) fn exists(&self, address: &str) -> bool {
        let exists = |user| self.population.has(user) != self.has_turned(user);
        self.accepts_all || user_number(address).is_some_and(exists)
    }

    /// Whether `user` has this password now. What stands behind a dot is there to make it like no other.
    pub(crate) fn is_right(&self, user: &str, password: &str) -> bool {
        let right = |number| {
            if self.has_turned(number) { "new" } else { "right" }
        };
        let password = password.split('.').next();
        user_number(user).is_some_and(|user| self.population.has(user) && password == Some(right(user)))
    }

    pub(crate) fn has_turned(&self, user: u64) -> bool {
        let (book, now) = (self.book(), Instant::now());
        let turns = book.turns.get(&user).into_iter().flatten();
        turns.filter(|turn| **turn <= now).count() % 2 == 1
    }

    /// The remote has said all of its answer about `subject`.
    pub(crate) fn said(&self, subject: &str, yes: bool) {
        let name = subject.split(' ').next().unwrap_or_default();
        let domain = name.rsplit('@').next().unwrap_or_default();
        let served = &self.directory.lookup.domains.all;
        if !served.iter().any(|one| one.as_str().eq_ignore_ascii_case(domain)) {
            self.broken(format!("it is asked about {name}, and does not serve {domain}"));
        }
        let words = (Instant::now(), yes);
        self.book()
            .said
            .entry(subject.to_owned())
            .or_default()
            .push(words);
    }

    /// The remote hears a login about `subject` that began then. Where there are several it takes a moment over it, so that it
    /// shows if another is asked before it has answered.
    pub(crate) async fn hears(&self, subject: &str, began: Instant) {
        self.book()
            .heard
            .entry(subject.to_owned())
            .or_default()
            .push(began);
        if matches!(self.population, Population::Shared { .. }) {
            sleep(Duration::from_millis(1)).await;
        }
    }

    /// The remote has replied to a login.
    pub(crate) fn replied(&self) {
        self.book().replied.push(Instant::now());
    }

    /// Whether it has replied to a login after the one moment and before the other.
    pub(crate) fn has_replied_between(&self, one: Instant, other: Instant) -> bool {
        let book = self.book();
        book.replied.iter().any(|&at| one < at && at < other)
    }

    /// What it has said about each of a user's logins: when, and whether it was a yes.
    pub(crate) fn said_of(&self, user: &str) -> BTreeMap<String, Vec<(Instant, bool)>> {
        let book = self.book();
        let about = book.said.iter().filter(|(subject, _)| {
            let named = subject.split_once(' ').map(|(name, _)| name);
            named == Some(user)
        });
        about
            .map(|(subject, words)| (subject.clone(), words.clone()))
            .collect()
    }

    /// Gives each user another password, or none, at some moment within that time.
    pub(crate) fn turn_some(&self, within: Duration) {
        for user in 0..USERS {
            if self.chance.coin() {
                let turn = self.began + self.chance.ms(0, within.as_millis() as u64);
                self.book().turns.insert(user, vec![turn]);
            }
        }
    }

    /// When it heard a login about `subject`.
    pub(crate) fn heard(&self, subject: &str) -> Vec<Instant> {
        self.book().heard.get(subject).cloned().unwrap_or_default()
    }

    /// Whether the remote said so about `subject` at `since` or later.
    pub(crate) fn has_said(&self, subject: &str, yes: bool, since: Instant) -> bool {
        self.has_said_by(subject, yes, since, Instant::now())
    }

    /// When the remote said so about `subject`, at `since` or later.
    pub(crate) fn said_since(&self, subject: &str, yes: bool, since: Instant) -> Vec<Instant> {
        let book = self.book();
        let words = book.said.get(subject).map_or(&[][..], Vec::as_slice);
        let is_so = |(at, said): &&(Instant, bool)| *said == yes && since <= *at;
        words.iter().filter(is_so).map(|(at, _)| *at).collect()
    }

    /// Whether the remote said so about `subject` at `since` or later, until `until`.
    pub(crate) fn has_said_by(&self, subject: &str, yes: bool, since: Instant, until: Instant) -> bool {
        let book = self.book();
        let words = book.said.get(subject).map_or(&[][..], Vec::as_slice);
        words
            .iter()
            .any(|&(at, said)| said == yes && since <= at && at <= until)
    }

    /// An invariant does not hold.
    pub(crate) fn broken(&self, what: String) {
        self.note(|| format!("BROKEN: {what}"));
        self.book().broken.push(what);
    }

    pub(crate) fn verdict(&self) -> Result<(), String> {
        match self.book().broken.as_slice() {
            [] => Ok(()),
            broken => Err(broken.join("\n  ")),
        }
    }

    pub(crate) fn note(&self, event: impl FnOnce() -> String) {
        if self.trace.is_wanted() {
            let at = self.began.elapsed().as_secs_f64();
            let name = &self.directory.name;
            let edge = self.peers.edge.map(|edge| format!(" {edge}")).unwrap_or_default();
            self.trace.line(&format!("{at:>10.3} {name}{edge}: {}", event()));
        }
    }

    /// A session begins to be opened.
    pub(crate) fn sit_down(&self) -> u64 {
        let mut book = self.book();
        book.sessions += 1;
        let id = book.sessions;
        book.seats.insert(id, Seat::default());
        id
    }

    pub(crate) fn stand_up(&self, id: u64) {
        self.book().seats.remove(&id);
        self.note(|| format!("session {id}: vouch is gone"));
    }

    pub(crate) fn takes_leave(&self, id: u64) {
        if let Some(seat) = self.book().seats.get_mut(&id) {
            seat.left = true;
        }
    }

    /// A session turns out to be for this; it may not be for both.
    pub(crate) fn is_used(&self, id: u64, used: Use) {
        let before = self
            .book()
            .seats
            .get_mut(&id)
            .and_then(|seat| seat.used.replace(used));
        if before.is_some_and(|before| before != used) {
            self.broken(format!("session {id} is used for recipients and logins"));
        }
    }

    pub(crate) fn open_sessions(&self) -> usize {
        self.book().seats.len()
    }

    /// No more sessions of a kind than `pool.max-sessions`.
    ///
    /// One that vouch leaves makes room for the next at once, and its QUIT may be a moment behind the
    /// other's call: who is too many must be so a millisecond later as well.
    pub(crate) async fn check_sessions(&self) {
        for used in [Some(Use::Recipients), Some(Use::Logins), None] {
            let most = self.directory.pool.max_sessions.logins as usize;
            // Of two kinds at one remote, the sessions that have not shown theirs may be of either.
            let both = used.is_none() && self.directory.kind == Kind::Smtp;
            let most = if both { 2 * most } else { most };
            let before = self.staying(used);
            if before.len() <= most {
                continue;
            }
            sleep(Duration::from_millis(1)).await;
            let still = self.staying(used).intersection(&before).count();
            if still > most {
                self.broken(format!("{still} sessions for {used:?}, of at most {most}"));
            }
        }
    }

    fn staying(&self, used: Option<Use>) -> BTreeSet<u64> {
        let book = self.book();
        let staying = |seat: &Seat| !seat.left && (used.is_none() || seat.used == used);
        book.seats
            .iter()
            .filter(|(_, seat)| staying(seat))
            .map(|(&id, _)| id)
            .collect()
    }
}

/// Memory: none, short, or long.
fn remember(chance: &Chance, directory: &mut Directory) {
    let cache = &mut directory.cache;
    cache.entries = chance.one(&[0, 1000]);
    cache.ttl.positive = chance.ms(1000, 8000);
    cache.ttl.refresh = cache.ttl.positive.mul_f64(0.5);
    cache.ttl.negative = chance.ms(100, 4000);
    cache.ttl.stale = cache.ttl.positive * 2;
    cache.credentials.positive = chance.one(&[Duration::ZERO, Duration::from_secs(3)]);
    cache.credentials.negative = chance.one(&[Duration::ZERO, Duration::from_secs(2)]);
    cache.credentials.stale = chance.one(&[None, Some(Duration::from_secs(8))]);
    for domain in ["a.test", "b.test"] {
        directory
            .lookup
            .domains
            .all
            .extend(vouch::address::Domain::parse(domain));
    }
}

fn user_number(address: &str) -> Option<u64> {
    address.strip_prefix('u')?.split('@').next()?.parse().ok()
}
