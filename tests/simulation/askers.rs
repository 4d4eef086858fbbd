//! Who asks, and what they must be told.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::{Instant, sleep_until, timeout, timeout_at};
use vouch::address::Address;
use vouch::engine::{Decision, Engine, Source};
use vouch::settings::kind::Kind as Protocol;
use vouch::verdict::{Class, Client, Kind, Proof, Question, UserName, Verdict};
use vouch_protocol::secret::Secret;

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
        count(&self.asked) == answered + count(&self.given_up)
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
    let Some((kind, subject)) = question(world, name.clone(), recipients) else {
        return world.broken(format!("{name} is no address"));
    };
    let asked = Instant::now();
    let deadline = asked + world.chance.ms(100, DEADLINE.as_millis() as u64);
    let client = Client::default();
    world.note(|| format!("? {subject}"));
    Tally::one_more(&tally.asked);
    let answer = engine.decide(Question { kind, client }, deadline);
    if world.chance.once_in(150) {
        let patience = world.chance.ms(0, 500);
        return match timeout(patience, answer).await {
            Ok(decision) => check(world, tally, &name, &subject, asked, &decision),
            Err(_) => Tally::one_more(&tally.given_up),
        };
    }
    match timeout_at(deadline + LATE, answer).await {
        Ok(decision) => check(world, tally, &name, &subject, asked, &decision),
        Err(_) => world.broken(format!("no answer about {subject} {LATE:?} after the deadline")),
    }
}

/// A question about `name`, and what the ledger calls it.
fn question(world: &World, name: String, recipient: bool) -> Option<(Kind, String)> {
    if recipient {
        let address = Address::from_unquoted(name.as_bytes()).ok()?;
        return Some((Kind::Recipient(address), name));
    }
    let (user, password) = (UserName::new(name.as_bytes()), world.some_password());
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
            return Tally::one_more(&tally.deferred);
        }
        Verdict::Abstain(_) => return world.broken(format!("no opinion on {subject}")),
    };
    Tally::one_more(count);
    let is_login = subject != name;
    let since = match source {
        Source::Shared if !yes && !is_login => asked.checked_sub(WEIGHED).unwrap_or(asked),
        Source::Probe | Source::Shared => asked,
        Source::Cache => Instant::now() - longest_memory(world, is_login, yes) - Duration::from_millis(1),
        Source::Local | Source::Limit | Source::Penalty | Source::Access | Source::UnknownRate => {
            return world.broken(format!("{subject}: a verdict of {}", source.name()));
        }
    };
    if !world.has_said(subject, yes, since) {
        let (verdict, source) = (verdict.name(), source.name());
        world.broken(format!(
            "{subject}: {verdict} ({source}), and the remote said no such thing in time"
        ));
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
    let is_login = subject != name;
    let memory = longest_memory(world, is_login, yes) + Duration::from_millis(1);
    let oldest = if yes || is_login {
        memory
    } else {
        memory.max(WEIGHED)
    };
    if !world.has_said(subject, yes, asked.checked_sub(oldest).unwrap_or(asked)) {
        world.broken(format!(
            "{subject}: {answer:?} at a listener, and the remote said no such thing in time"
        ));
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
        (true, true) => cache.credentials.positive,
        (true, false) => cache.credentials.negative,
        // `stale` bounds the age at which it was looked up; the remote then has two seconds more to answer.
        (false, true) => cache.ttl.stale + Duration::from_millis(2100),
        // It is remembered once it was weighed and told, which is later than the remote's reply.
        (false, false) => cache.ttl.negative + WEIGHED,
    }
}
