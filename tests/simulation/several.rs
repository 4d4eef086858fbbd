//! Days on which several remotes serve the same domains: all are asked about recipients, and about logins one after
//! another. Then:
//!
//! - a yes is the word of one of them; a "no" is the word of each that serves the domain;
//! - "no opinion" is the word of one that accepts everything, where no other has said yes;
//! - a password goes to each once, and to none once the question is answered; and to the next only once the one before has
//!   refused it, or has had its share of the time;
//! - what is said too late is heard once, and not where there was a yes or a no.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use vouch::address::Domain;
use vouch::settings::directory::CatchAll;
use vouch::settings::kind::Kind;

use crate::trace::Trace;
use crate::world::World;

/// Of a thousand days, those with several remotes.
const DAYS: u64 = 400;

/// The users of a remote.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Population {
    /// Every third does not exist.
    TwoInThree,
    /// Some are of remote `number` of so many alone, some of each, and some of none.
    Shared { number: u64, of: u64 },
}

impl Population {
    pub(crate) fn has(self, user: u64) -> bool {
        match self {
            Self::TwoInThree => !user.is_multiple_of(3),
            Self::Shared { number, of } => user % (of + 2) == number || user % (of + 2) == of,
        }
    }
}

impl World {
    /// A remote, and on some days one or two others beside it.
    pub(crate) fn with_siblings(seed: u64, trace: &Trace) -> Self {
        let mut world = Self::new(seed, trace.clone());
        if !world.chance.once_in(DAYS) {
            return world;
        }
        let names = &["second", "third"][..world.chance.among(1, 2) as usize];
        let of = names.len() as u64 + 1;
        let mut siblings = Vec::new();
        for (number, name) in (1..).zip(names) {
            let mut sibling = Self::new(seed ^ (number << 40), trace.clone());
            // One that can be asked the same.
            let kinds = match world.directory.kind {
                Kind::Imap => [Kind::Imap, Kind::Smtp],
                _ => [Kind::Smtp, Kind::Lmtp],
            };
            sibling.directory.kind = world.chance.one(&kinds);
            sibling.directory.name = (*name).to_owned();
            sibling.population = Population::Shared { number, of };
            if world.chance.once_in(250) {
                sibling
                    .directory
                    .lookup
                    .domains
                    .all
                    .retain(|domain| domain.as_str() == "a.test");
            }
            if world.chance.once_in(200) {
                sibling.accepts_all = true;
                sibling.directory.lookup.catch_all = CatchAll::Detect;
            }
            siblings.push(Arc::new(sibling));
        }
        world.population = Population::Shared { number: 0, of };
        world.siblings = siblings;
        world
    }

    /// All remotes.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Self> {
        std::iter::once(self).chain(self.siblings.iter().map(|sibling| &**sibling))
    }

    /// Those that can be asked about this name.
    pub(crate) fn serving(&self, name: &str, is_login: bool) -> impl Iterator<Item = &Self> {
        let domain = name
            .rsplit('@')
            .next()
            .and_then(|domain| Domain::parse(domain).ok());
        self.all().filter(move |world| {
            let other = if is_login { Kind::Lmtp } else { Kind::Imap };
            let domains = &world.directory.lookup.domains.all;
            world.directory.kind != other && domain.as_ref().is_some_and(|domain| domains.contains(domain))
        })
    }

    /// It fails nobody, and is always there.
    fn is_faultless(&self) -> bool {
        self.rate == 0 && self.outage.is_none()
    }
}

/// "No opinion" on a recipient.
pub(crate) fn check_no_opinion(world: &World, name: &str, asked: Instant) {
    let serving = || world.serving(name, false);
    if !serving().any(|world| world.accepts_all) {
        world.broken(format!("no opinion on {name}, and no remote accepts everything"));
    }
    // What was said at this moment may still be on its way.
    let before = Instant::now() - Duration::from_millis(1);
    let knows = |world: &&World| {
        !world.accepts_all && world.is_faultless() && world.has_said_by(name, true, asked, before)
    };
    if let Some(knows) = serving().find(knows) {
        let other = &knows.directory.name;
        world.broken(format!("no opinion on {name}, and {other} has said yes"));
    }
}

/// Logins whose passwords are like no other, and what is heard of them too late.
#[derive(Default)]
pub(crate) struct UniqueLogins(Mutex<Vec<UniqueLogin>>);

/// A login with such a password.
pub(crate) struct UniqueLogin {
    pub(crate) name: String,
    pub(crate) subject: String,
    pub(crate) asked: Instant,
    pub(crate) deadline: Instant,
    /// When it had its answer, or nobody waited for that any more.
    pub(crate) over: Instant,
    /// The answer was yes or no.
    pub(crate) settled: bool,
    pub(crate) heard_late: Arc<AtomicU64>,
}

impl UniqueLogins {
    pub(crate) fn note(&self, login: UniqueLogin) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(login);
    }

    /// At the end of the day.
    pub(crate) fn check(&self, world: &World) {
        for login in &*self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            login.check(world);
        }
    }
}

impl UniqueLogin {
    fn check(&self, world: &World) {
        let subject = &self.subject;
        let mut heard = Vec::new();
        for remote in world.all() {
            let name = &remote.directory.name;
            let times = remote.heard(subject);
            if times.len() > 1 {
                world.broken(format!("{subject}: {name} heard it {} times", times.len()));
            }
            heard.extend(times.into_iter().map(|at| (at, remote)));
        }
        heard.sort_by_key(|(at, _)| *at);
        for (at, remote) in &heard {
            let name = &remote.directory.name;
            if *at > self.over {
                world.broken(format!("{subject}: {name} heard it once it was over"));
            }
            if !world
                .serving(&self.name, true)
                .any(|one| one.directory.name == *name)
            {
                world.broken(format!("{subject}: {name} heard it, and does not serve it"));
            }
        }
        let share = (self.deadline - self.asked) / world.all().count() as u32;
        for two in heard.windows(2) {
            let ((_, before), (at, next)) = (two[0], two[1]);
            let refused = before.has_said_by(subject, false, self.asked, at);
            if before.is_faultless() && !refused && at < self.asked + share {
                let (before, next) = (&before.directory.name, &next.directory.name);
                world.broken(format!(
                    "{subject}: {next} heard it while {before} had time to answer"
                ));
            }
        }
        let late = self.heard_late.load(Ordering::Relaxed);
        if late > u64::from(!self.settled) {
            world.broken(format!("{subject}: {late} answers were heard too late"));
        }
    }
}
