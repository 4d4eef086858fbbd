//! Sessions are opened ahead of the logins that need them: as many as come, and no more than the remote bears.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};
use vouch::engine::CachedDirectory;

use crate::remote::{MAX_SESSIONS, Mail, Script, member};
use crate::{Ended, GOOD, ask, ask_at, login, ms};

/// From the question to the remote's answer; a session needs as long to open.
const LATENCY: Duration = Duration::from_millis(150);

const FAR: Script = Script {
    open: LATENCY,
    yes: LATENCY,
    spread: 0,
    no: LATENCY,
    bears: usize::MAX,
    max_sessions: MAX_SESSIONS,
    spent: true,
    bears_idle: Duration::from_secs(60),
};

/// The times of so many events a second, for so long, that come by chance.
fn by_chance(seed: u64, rate: u32, time: Duration) -> impl Iterator<Item = Instant> {
    let (mut at, end, mut state) = (Instant::now(), Instant::now() + time, seed);
    std::iter::from_fn(move || {
        // The generator of Knuth's MMIX, of which the upper bits are the good ones.
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let part = f64::from(u32::try_from(state >> 32).unwrap()) / f64::from(u32::MAX);
        at += Duration::from_secs_f64(-part.max(1e-9).ln() / f64::from(rate));
        (at < end).then_some(at)
    })
}

/// Good logins, each of another user.
async fn log_in(member: &Arc<CachedDirectory>, seed: u64, rate: u32, time: Duration) -> Ended {
    let user = |nth| login(&format!("u{seed}-{rate}-{nth}"), GOOD);
    ask_at(member, by_chance(seed, rate, time), ms(8000), user).await
}

#[tokio::test(start_paused = true)]
async fn a_login_takes_little_more_than_its_way() {
    for (rate, seconds, max_sessions) in [(1, 60, 50), (5, 60, 50), (60, 20, 50), (500, 5, 600)] {
        for seed in 1..=3 {
            let mail = Mail::new(Script { max_sessions, ..FAR });
            let member = member(&mail);
            log_in(&member, seed, rate, ms(6000)).await;
            let ended = log_in(&member, seed + 100, rate, ms(1000 * seconds)).await;
            assert_eq!(ended.good(), ended.0.len());
            let what = format!("{rate}/s, {seed}: {:?}, {:?}", ended.took(50), ended.took(99));
            assert!(ended.took(50) <= LATENCY * 11 / 10, "{what}");
            assert!(ended.took(99) <= LATENCY * 2, "{what}");
            assert!(mail.most() <= max_sessions, "{}", mail.most());
            // What was kept ready is given up.
            sleep(ms(90_000)).await;
            assert!(mail.open() <= 1, "{what}: {} left", mail.open());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn few_logins_have_one_session_ready() {
    let mail = Mail::new(FAR);
    let member = member(&mail);
    let ended = ask(&member, 30, ms(60_000), ms(8000), |nth| {
        login(&format!("u{nth}"), GOOD)
    })
    .await;
    assert_eq!((ended.good(), mail.most()), (30, 2));
    // Each is replaced once, at its greatest age.
    assert!(mail.called() <= 2 * 30 + 1, "{}", mail.called());
}

/// What is refused spends no session, so it has none opened.
#[tokio::test(start_paused = true)]
async fn guesses_have_no_sessions_opened_ahead() {
    let mail = Mail::new(FAR);
    let member = member(&mail);
    let guess = |nth| login(&format!("sprayed{nth}"), "guess");
    let ended = ask(&member, 600, ms(50), ms(8000), guess).await;
    assert_eq!((ended.good(), ended.0.len()), (0, 600));
    // Three are asked at a time, of which each is the last on its session once in three times.
    assert!(mail.most() <= 8, "{}", mail.most());
}

#[tokio::test(start_paused = true)]
async fn a_remote_that_is_down_is_left_alone() {
    let mail = Mail::new(FAR);
    let member = member(&mail);
    log_in(&member, 1, 60, ms(15_000)).await;
    mail.is_down(true);
    let called = mail.called();
    let ended = log_in(&member, 2, 60, ms(10_000)).await;
    // Those that had a session.
    assert!(ended.good() < 40, "{}", ended.good());
    // A pause between two trials is of a quarter of a second at least.
    assert!(mail.called() - called < 80, "{} calls", mail.called() - called);
    mail.is_down(false);
    sleep(ms(1000)).await;
    let ended = log_in(&member, 3, 60, ms(10_000)).await;
    assert_eq!(ended.good(), ended.0.len());
    assert!(mail.most() <= MAX_SESSIONS, "{}", mail.most());
}

// Fills SLOW.
#[tokio::test(start_paused = true)]
async fn one_that_hangs_while_it_is_opened_ahead_holds_nobody_up() {
    let mail = Mail::new(FAR);
    let member = member(&mail);
    let user = |nth| login(&format!("u{nth}"), GOOD);
    for nth in 0..10 {
        assert_eq!(ask(&member, 1, ms(0), ms(8000), |_| user(nth)).await.good(), 1);
        sleep(ms(5000)).await;
    }
    // The session for the next login is opened now, and hangs.
    mail.is_silent(true);
    assert_eq!(ask(&member, 1, ms(0), ms(8000), |_| user(10)).await.good(), 1);
    mail.is_silent(false);
    sleep(ms(700)).await;
    let ended = ask(&member, 1, ms(0), ms(8000), |_| user(11)).await;
    assert_eq!(ended.good(), 1);
    assert!(ended.took(0) <= ms(1000), "{:?}", ended.took(0));
}

/// A remote that ends sessions which wait, as one does that has no room for them, has no new ones instead.
#[tokio::test(start_paused = true)]
async fn a_remote_that_ends_idle_sessions_has_few() {
    let mail = Mail::new(Script {
        open: ms(500),
        bears_idle: ms(100),
        ..FAR
    });
    let member = member(&mail);
    let ended = log_in(&member, 1, 10, ms(120_000)).await;
    assert_eq!(ended.good(), ended.0.len());
    let (calls, logins) = (mail.called(), ended.0.len());
    assert!(calls < logins * 3 / 2, "{calls} connections for {logins} logins");
}
