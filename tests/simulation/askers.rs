//! The clients, and the answers that they must get.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::{Instant, sleep_until, timeout_at};
use vouch::address::Address;
use vouch::engine::{Decision, Engine, Source};
use vouch::settings::kind::Kind as Protocol;
use vouch::verdict::{Class, Client, Kind, Proof, Question, UserName, Verdict};
use vouch_protocol::secret::Secret;

use crate::several::{UniqueLogin, UniqueLogins, check_no_opinion};
use crate::stale::{GUESS, check_guess, check_stale};
use crate::world::World;

/// An answer comes no later than this behind its deadline.
const LATE: Duration = Duration::from_millis(200);

/// A refusal is held back for so long while a witness is asked about, and whoever comes meanwhile shares it.
const WEIGHED: Duration = Duration::from_secs(30);

/// What came of the questions.
#[derive(Default)]
pub(crate) struct Tally {
    pub(crate) asked: AtomicU64,
    pub(crate) given_up: AtomicU64,
    pub(crate) accepted: AtomicU64,
    pub(crate) rejected: AtomicU64,
    pub(crate) deferred: AtomicU64,
    pub(crate) undecided: AtomicU64,
    pub(crate) unique: UniqueLogins,
    /// Of these, logins that were accepted while their remote was down.
    pub(crate) stale: AtomicU64,
    /// Of the deferred ones, those that count as failed since they are no such login.
    pub(crate) guesses: AtomicU64,
}

impl Tally {
    fn one_more(count: &AtomicU64) {
        count.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn one_more_asked(&self) {
        Self::one_more(&self.asked);
    }

    pub(crate) fn many_given_up(&self, count: u64) {
        self.given_up.fetch_add(count, Ordering::Relaxed);
    }

    /// Every question has one answer, unless its asker went away.
    pub(crate) fn is_even(&self) -> bool {
        let count = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let answered = count(&self.accepted) + count(&self.rejected) + count(&self.deferred);
        count(&self.asked) == answered + count(&self.undecided) + count(&self.given_up)
    }
}

/// No question waits for longer.
const DEADLINE: Duration = Duration::from_secs(8);

/// Somebody with a few questions, one after the other.
pub(crate) async fn ask_some(world: Arc<World>, engine: Arc<Engine>, tally: Arc<Tally>) {
    sleep_until(world.moment(0, 20_000)).await;
    for _ in 0..world.chance.among(1, 5) {
        ask(&world, &engine, &tally).await;
        if world.chance.coin() {
            sleep_until(world.moment(1, 3000)).await;
        }
    }
}

async fn ask(world: &World, engine: &Engine, tally: &Tally) {
    let recipients = match world.directory.kind {
        Protocol::Imap => false,
        Protocol::Lmtp => true,
        Protocol::Smtp => world.chance.coin(),
    };
    let name = world.anybody();
    let mut password = world.some_password().to_owned();
    let is_unique = !recipients && world.chance.coin();
    if is_unique {
        password.push_str(&format!(".{}", tally.asked.load(Ordering::Relaxed)));
    }
    let Some((kind, subject)) = question(name.clone(), &password, recipients) else {
        return world.broken(format!("{name} is no address"));
    };
    let asked = Instant::now();
    let deadline = asked + world.chance.ms(100, DEADLINE.as_millis() as u64);
    let client = Client::default();
    world.note(|| format!("? {subject}"));
    Tally::one_more(&tally.asked);
    let heard_late = Arc::new(AtomicU64::new(0));
    let late = heard_late.clone();
    let hears = move |_| Tally::one_more(&late);
    let answer = engine.decide_or_late(Question { kind, client }, deadline, Some(Box::new(hears)));
    let leaves = world.chance.once_in(150);
    let patience = if leaves {
        asked + world.chance.ms(0, 500)
    } else {
        deadline + LATE
    };
    let decision = timeout_at(patience, answer).await;
    if is_unique {
        let verdict = decision.as_ref().ok().map(|decision| &decision.verdict);
        tally.unique.note(UniqueLogin {
            name: name.clone(),
            subject: subject.clone(),
            asked,
            deadline,
            over: Instant::now(),
            settled: matches!(verdict, Some(Verdict::Accept(_) | Verdict::Reject(_))),
            heard_late,
        });
    }
    match decision {
        Ok(decision) => check(world, tally, &name, &subject, asked, &decision),
        Err(_) if leaves => Tally::one_more(&tally.given_up),
        Err(_) => world.broken(format!("no answer about {subject} {LATE:?} after the deadline")),
    }
}

/// A question about `name`, and what the ledger calls it.
fn question(name: String, password: &str, recipient: bool) -> Option<(Kind, String)> {
    if recipient {
        let address = Address::from_unquoted(name.as_bytes()).ok()?;
        return Some((Kind::Recipient(address), name));
    }
    let user = UserName::new(name.as_bytes());
    let proof = Proof::Password(Secret::copy_from(password.as_bytes()));
    Some((Kind::Login { user, proof }, format!("{name} {password}")))
}

/// Holds a verdict against the ledger.
pub(crate) fn check(
    world: &World,
    tally: &Tally,
    name: &str,
    subject: &str,
    asked: Instant,
    decision: &Decision,
) {
    let Decision { verdict, source, .. } = decision;
    world.note(|| {
        format!(
            "= {subject}: {} ({}) {}",
            verdict.name(),
            source.name(),
            verdict.detail()
        )
    });
    let (yes, count) = match verdict {
        Verdict::Accept(identity) => {
            if identity.name != name.as_bytes() {
                world.broken(format!("{subject} is accepted as somebody else"));
            }
            (true, &tally.accepted)
        }
        Verdict::Reject(_) => (false, &tally.rejected),
        Verdict::Defer(cause) => {
            if cause.class == Class::Syntax {
                world.broken(format!("{subject} cannot be asked: {cause}"));
            }
            if cause.text.contains(GUESS) {
                Tally::one_more(&tally.guesses);
                check_guess(world, name, subject);
            }
            return Tally::one_more(&tally.deferred);
        }
        Verdict::Abstain(_) => {
            check_no_opinion(world, name, asked);
            return Tally::one_more(&tally.undecided);
        }
    };
    Tally::one_more(count);
    world.check_not_purged(name, subject, yes, asked);
    let is_login = subject != name;
    let since = |world: &World, source| match source {
        Source::Shared if !yes && !is_login => Some(asked.checked_sub(WEIGHED).unwrap_or(asked)),
        Source::Probe | Source::Shared => Some(asked),
        Source::Cache => {
            Some(Instant::now() - longest_memory(world, is_login, yes) - Duration::from_millis(1))
        }
        Source::Stale => {
            Tally::one_more(&tally.stale);
            let stale = world.directory.cache.credentials.stale.unwrap_or_default();
            Some(Instant::now() - stale)
        }
        Source::Local | Source::Limit | Source::Penalty | Source::Access | Source::UnknownRate => None,
        // What this edge has told it itself.
        Source::Fleet => Some(Instant::now() - longest_memory(world, is_login, yes)),
    };
    let directory = decision.directory.as_deref().unwrap_or_default();
    // A "no" of several has the word of each, of which some may be remembered.
    let of_several = !yes && world.serving(name, is_login).nth(1).is_some();
    for remote in world.serving(name, is_login) {
        let remote_name = &remote.directory.name;
        let since = if of_several {
            asked.checked_sub(oldest(remote, is_login, yes))
        } else if *remote_name == directory {
            since(remote, *source)
        } else {
            continue;
        };
        if *source == Source::Stale {
            check_stale(remote, name, subject, asked);
        }
        let is_shared = || !is_login && remote.is_known_to_the_fleet(subject, yes);
        if !since.is_some_and(|since| remote.has_said(subject, yes, since) || is_shared()) {
            let (verdict, source) = (verdict.name(), source.name());
            world.broken(format!(
                "{subject}: {verdict} ({source}), and {remote_name} said no such thing in time"
            ));
        }
    }
    if !of_several && !world.all().any(|remote| remote.directory.name == directory) {
        world.broken(format!("{subject}: {} by {directory:?}", verdict.name()));
    }
}

/// What a listener's client was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// The login is good, the recipient exists.
    Yes,
    /// The remote says no.
    No,
    /// There is no answer now.
    Later,
}

/// Holds what a listener told its client against the ledger. Where it was from is not known here: as old as the oldest
/// memory it may be.
pub(crate) fn check_answer(
    world: &World,
    tally: &Tally,
    name: &str,
    subject: &str,
    asked: Instant,
    answer: Answer,
) {
    let (yes, count) = match answer {
        Answer::Yes => (true, &tally.accepted),
        Answer::No => (false, &tally.rejected),
        Answer::Later => return Tally::one_more(&tally.deferred),
    };
    Tally::one_more(count);
    world.check_not_purged(name, subject, yes, asked);
    let is_login = subject != name;
    let mut serving = world.serving(name, is_login);
    let said = |remote: &World| {
        let oldest = oldest(remote, is_login, yes);
        let is_own = remote.has_said(subject, yes, asked.checked_sub(oldest).unwrap_or(asked));
        is_own || !is_login && remote.is_known_to_the_fleet(subject, yes)
    };
    // One yes is enough, and a "no" takes all of them.
    if !(if yes { serving.any(said) } else { serving.all(said) }) {
        world.broken(format!(
            "{subject}: {answer:?} at a listener, and no such thing was said in time"
        ));
    }
}

/// The age that what a remote said may have, wherever it is from.
fn oldest(world: &World, is_login: bool, yes: bool) -> Duration {
    let memory = longest_memory(world, is_login, yes) + Duration::from_millis(1);
    if yes || is_login {
        memory
    } else {
        memory.max(WEIGHED)
    }
}

/// How long the verdict may have been remembered. A recipient's Accept may be served past its time while an
/// answer is waited for.
fn longest_memory(world: &World, is_login: bool, yes: bool) -> Duration {
    let cache = &world.directory.cache;
    if cache.entries == 0 {
        return Duration::ZERO;
    }
    match (is_login, yes) {
        // `stale` bounds the age at which it was answered.
        (true, true) => {
            (cache.credentials.positive).max(cache.credentials.stale.unwrap_or_default()) + DEADLINE
        }
        (true, false) => cache.credentials.negative,
        // `stale` bounds the age at which it was looked up; the remote then has two seconds more to answer.
        (false, true) => cache.ttl.stale + Duration::from_millis(2100),
        // It is remembered once it was weighed and told, which is later than the remote's reply.
        (false, false) => cache.ttl.negative + WEIGHED,
    }
}
