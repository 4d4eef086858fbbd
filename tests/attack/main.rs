//! Nobody is shut out by what somebody else does: guesses, crowds and half-done dialogs before a remote that holds
//! refusals back, is slow, or bears few sessions, on paused time.
//!
//! The remote is a script (`remote`), asked through the real pool, its queue and its shares, and through the engine,
//! which knows whom to trust.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops at the first surprise"
)]

mod both;
mod demand;
mod remote;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use vouch::dialog::dialog;
use vouch::engine::{CachedDirectory, Decision, Engine};
use vouch::verdict::{Client, Kind, Proof, Question, UserName, Verdict};
use vouch_protocol::sasl::RelayedMechanism;
use vouch_protocol::secret::Secret;

use remote::{MAX_SESSIONS, Mail, Script, member};

const GOOD: &str = "s3cret";

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

fn login(user: &str, password: &str) -> Question {
    Question {
        kind: Kind::Login {
            user: UserName::new(user.as_bytes()),
            proof: Proof::Password(Secret::copy_from(password.as_bytes())),
        },
        client: Client::default(),
    }
}

/// How each of some questions ended, and how long it took.
struct Ended(Vec<(Verdict, Duration)>);

impl Ended {
    fn good(&self) -> usize {
        let good = self
            .0
            .iter()
            .filter(|(verdict, _)| matches!(verdict, Verdict::Accept(_)));
        good.count()
    }

    /// The time that 95 in 100 took at the most.
    fn p95(&self) -> Duration {
        self.took(95)
    }

    /// The time that so many in 100 took at the most.
    fn took(&self, percent: usize) -> Duration {
        let mut took: Vec<_> = self.0.iter().map(|(_, took)| *took).collect();
        took.sort_unstable();
        took[took.len() * percent / 100]
    }
}

/// Asks so many questions, one every `pause`, each with so much time.
async fn ask(
    member: &Arc<CachedDirectory>,
    number: u64,
    pause: Duration,
    patience: Duration,
    question: impl Fn(u64) -> Question,
) -> Ended {
    let began = Instant::now();
    let at = (0..number).map(|nth| began + pause * u32::try_from(nth).unwrap());
    ask_at(member, at, patience, question).await
}

/// Asks a question at each of these times.
async fn ask_at(
    member: &Arc<CachedDirectory>,
    at: impl Iterator<Item = Instant>,
    patience: Duration,
    question: impl Fn(u64) -> Question,
) -> Ended {
    let asked = (0..).zip(at).map(|(nth, arrived)| {
        let (member, question) = (member.clone(), question(nth));
        tokio::spawn(async move {
            sleep_until(arrived).await;
            let decision = member.decide(question, arrived + patience).await;
            (decision.verdict, arrived.elapsed())
        })
    });
    Ended(
        join_all(asked.collect::<Vec<_>>())
            .await
            .into_iter()
            .map(Result::unwrap)
            .collect(),
    )
}

/// One hundred honest logins, five a second, twenty seconds into an attack of so many guesses a second.
async fn beside_guesses(rate: u64, known: bool, accepted_before: bool) -> (Ended, Arc<Mail>) {
    let mail = Mail::new(Script::default());
    let member = member(&mail);
    let honest = |nth: u64| login(&format!("honest{}", nth % 50), GOOD);
    if accepted_before {
        let before = ask(&member, 50, ms(200), ms(8000), honest).await;
        assert_eq!(before.good(), 50);
    }
    let guesser = member.clone();
    let guesses = tokio::spawn(async move {
        let guess = |nth: u64| match known {
            true => login(&format!("honest{}", nth % 50), &format!("guess{nth}")),
            false => login(&format!("sprayed{nth}"), "guess"),
        };
        ask(
            &guesser,
            50 * rate,
            ms(1000) / u32::try_from(rate).unwrap(),
            ms(8000),
            guess,
        )
        .await
    });
    sleep(ms(20_000)).await;
    let honest = |nth: u64| match accepted_before {
        true => honest(nth),
        false => login(&format!("new{nth}"), GOOD),
    };
    let ended = ask(&member, 100, ms(200), ms(8000), honest).await;
    let guesses = guesses.await.unwrap();
    assert_eq!(guesses.good(), 0);
    assert!(mail.most() <= MAX_SESSIONS, "{} sessions", mail.most());
    (ended, mail)
}

#[tokio::test(start_paused = true)]
async fn who_was_accepted_before_logs_in_beside_guesses() {
    for (rate, known) in [(20, false), (200, false), (200, true)] {
        let (ended, _) = beside_guesses(rate, known, true).await;
        assert_eq!(ended.good(), 100, "{rate}/s, {known}");
        assert!(ended.p95() <= ms(200), "{rate}/s, {known}: {:?}", ended.p95());
    }
}

#[tokio::test(start_paused = true)]
async fn who_was_never_seen_logs_in_beside_a_few_guesses() {
    let (ended, _) = beside_guesses(20, false, false).await;
    assert!(ended.good() >= 95, "{}", ended.good());
    assert!(ended.0.iter().all(|(_, took)| *took <= ms(8100)));
}

/// Each guess that is sent has its answer, whoever waits for that.
#[tokio::test(start_paused = true)]
async fn every_guess_that_is_sent_is_heard_out() {
    let (_, mail) = beside_guesses(200, false, true).await;
    sleep(ms(60_000)).await;
    assert_eq!(mail.asked(), mail.answered());
    assert_eq!(mail.open(), 0);
}

/// Guesses of clients that are answered, have their time over before the answer, or leave: what the remote has judged is
/// heard, in one way or the other.
#[tokio::test(start_paused = true)]
async fn every_guess_that_the_remote_judges_is_counted() {
    let mail = Mail::new(Script::default());
    let engine = Arc::new(Engine::new(vec![member(&mail)], None));
    let counted = Arc::new(AtomicUsize::new(0));
    let guesses = (0..2000u64).map(|nth| {
        let (engine, counted) = (engine.clone(), counted.clone());
        tokio::spawn(async move {
            sleep(ms(5) * u32::try_from(nth).unwrap()).await;
            let late = counted.clone();
            let guess = login(&format!("sprayed{nth}"), "guess");
            let hears = move |decision: Decision| {
                late.fetch_add(usize::from(decision.is_failed_attempt()), Ordering::Relaxed);
            };
            let asking = engine.decide_or_late(guess, Instant::now() + ms(3000), Some(Box::new(hears)));
            // Every third has left by then.
            let patience = if nth % 3 == 0 { ms(1000) } else { ms(60_000) };
            if let Ok(decision) = timeout(patience, asking).await {
                counted.fetch_add(usize::from(decision.is_failed_attempt()), Ordering::Relaxed);
            }
        })
    });
    join_all(guesses.collect::<Vec<_>>()).await;
    sleep(ms(60_000)).await;
    assert!(mail.asked() > 200, "{}", mail.asked());
    assert_eq!(
        (mail.answered(), counted.load(Ordering::Relaxed)),
        (mail.asked(), mail.asked())
    );
}

#[tokio::test(start_paused = true)]
async fn goodput_does_not_fall_with_load() {
    for askers in [30, 100, 300, 1000] {
        // Ten sessions that answer within half a second.
        let mail = Mail::new(Script {
            yes: ms(500),
            spread: 8,
            max_sessions: 10,
            spent: false,
            ..Script::default()
        });
        let member = member(&mail);
        let end = Instant::now() + ms(60_000);
        let asking = (0..askers).map(|asker| {
            let member = member.clone();
            tokio::spawn(async move {
                let (mut answers, mut nth) = (0, 0);
                while Instant::now() < end {
                    nth += 1;
                    let question = login(&format!("r{asker}-{nth}"), GOOD);
                    let until = Instant::now() + ms(5000);
                    let decision = member.decide(question, until).await;
                    answers += u32::from(matches!(decision.verdict, Verdict::Accept(_)));
                    // Postfix gets "later", and asks again.
                    sleep(ms(10)).await;
                }
                answers
            })
        });
        let answers = join_all(asking.collect::<Vec<_>>()).await;
        let answers: u32 = answers.into_iter().map(Result::unwrap).sum();
        assert!(answers >= 18 * 60, "{askers} askers: {} a second", answers / 60);
        assert!(mail.most() <= 10);
    }
}

#[tokio::test(start_paused = true)]
async fn a_remote_of_four_sessions_loses_nobody() {
    let mail = Mail::new(Script {
        open: ms(20),
        yes: ms(20),
        bears: 4,
        ..Script::default()
    });
    let member = member(&mail);
    let ended = ask(&member, 2400, ms(25), ms(8000), |nth| {
        login(&format!("u{nth}"), GOOD)
    })
    .await;
    assert_eq!(ended.good(), 2400);
    assert!(mail.most() <= 4, "{}", mail.most());
    // One more is tried every half minute, and at the beginning.
    assert!(mail.turned_away() <= MAX_SESSIONS + 3, "{}", mail.turned_away());
}

/// A dialog whose client answers after so long, or never.
async fn cram(
    member: &Arc<CachedDirectory>,
    user: &str,
    address: String,
    answers: Option<Duration>,
) -> Verdict {
    let (mut asker, relayed) = dialog(RelayedMechanism::CramMd5, None).unwrap();
    let question = Question {
        kind: Kind::Login {
            user: UserName::new(b""),
            proof: Proof::Relay(relayed),
        },
        client: Client {
            address: Client::address_in(address.as_bytes()),
            ..Client::default()
        },
    };
    let deciding = member.decide(question, Instant::now() + ms(60_000));
    tokio::pin!(deciding);
    let response = Secret::copy_from(format!("{user} b913a602c7eda7a495b4e6e7334d3890").as_bytes());
    loop {
        tokio::select! {
            decision = &mut deciding => return decision.verdict,
            Some(_) = asker.challenge() => match answers {
                Some(after) => {
                    sleep(after).await;
                    asker.read(&response).unwrap();
                    asker.respond(response.clone());
                }
                None => return deciding.await.verdict,
            },
        }
    }
}

#[tokio::test(start_paused = true)]
async fn dialogs_go_on_beside_those_that_are_left_half_done() {
    let mail = Mail::new(Script::default());
    let member = member(&mail);
    let attacker = member.clone();
    let attack = tokio::spawn(async move {
        let silent = (0..120u64).map(|nth| {
            let member = attacker.clone();
            tokio::spawn(async move {
                sleep(ms(1000) * u32::try_from(nth).unwrap()).await;
                cram(&member, "nobody", format!("198.51.100.{nth}"), None).await
            })
        });
        join_all(silent.collect::<Vec<_>>()).await
    });
    sleep(ms(30_000)).await;
    let mut ended = Vec::new();
    for nth in 0..24 {
        let began = Instant::now();
        let verdict = cram(&member, "jane", format!("192.0.2.{nth}"), Some(ms(100))).await;
        ended.push((verdict, began.elapsed()));
        sleep(ms(2500)).await;
    }
    let ended = Ended(ended);
    assert_eq!(ended.good(), 24);
    assert!(ended.p95() <= ms(500), "{:?}", ended.p95());
    attack.await.unwrap();
    assert!(mail.most() <= MAX_SESSIONS / 4 + 2, "{}", mail.most());
}
