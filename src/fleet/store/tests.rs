use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::time::{Instant, advance, sleep, timeout};

use super::*;
use crate::chance::Chance;
use crate::fleet::guesses::{GUESSES_QUEUE, Guesses, Mark, Of};
use crate::fleet::key::{FleetKey, Name};
use crate::fleet::link::{
    FIRST_CONNECTION, IN_TIME, READINGS_APART, RETRY_PAUSE, STORE_CONNECT, State, wait,
};
use crate::fleet::purges::{Purges, Whom};
use crate::fleet::writer::Writing;
use crate::fleet::wrong::Wrong;
use crate::fleet::{Clock, Said};
use crate::session::Error;
use crate::session::connect::{Dial, Dialled};

const PATIENCE: Duration = Duration::from_millis(5);
const MILLISECOND: Duration = Duration::from_millis(1);
const HOUR: Duration = Duration::from_secs(3600);

/// What a store does with those that connect.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Manner {
    /// No connection comes about.
    Unreached,
    /// It takes connections, and says nothing.
    Silent,
    /// It answers all but what is to be written.
    Forgetful,
    /// It answers, and a record is always changed by another edge before it is by us.
    Contested,
    /// It answers so much later.
    Far(Duration),
    /// It answers, and announces a purge each millisecond.
    Floods,
}

struct Calls {
    manner: Manner,
    calls: Arc<AtomicUsize>,
    readings: Arc<AtomicUsize>,
}

impl Dial for Calls {
    fn dial<'a>(
        &'a self,
        _: &'a Arc<str>,
        deadline: Instant,
    ) -> Pin<Box<dyn Future<Output = Result<Dialled, Error>> + Send + 'a>> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        Box::pin(async move {
            if self.manner == Manner::Unreached {
                std::future::pending::<()>().await;
            }
            let _ = deadline;
            let (ours, theirs) = duplex(1 << 16);
            tokio::spawn(serve(theirs, self.manner, self.readings.clone()));
            Ok(Dialled {
                stream: Box::new(ours),
                reached: None,
            })
        })
    }
}

/// The commands that were heard, each whole.
fn commands(mut heard: &[u8]) -> Vec<Vec<&[u8]>> {
    let number = |heard: &mut &[u8]| -> Option<usize> {
        let end = heard.iter().position(|byte| *byte == b'\n')?;
        let (line, rest) = heard.split_at(end + 1);
        *heard = rest;
        std::str::from_utf8(&line[1..end - 1]).unwrap().parse().ok()
    };
    let mut commands = Vec::new();
    while let Some(many) = number(&mut heard) {
        let mut words = Vec::new();
        for _ in 0..many {
            let length = number(&mut heard).unwrap();
            words.push(&heard[..length]);
            heard = &heard[length + 2..];
        }
        commands.push(words);
    }
    commands
}

/// Answers each command that its manner does not leave out.
async fn serve(mut stream: DuplexStream, manner: Manner, readings: Arc<AtomicUsize>) {
    let (mut heard, mut floods) = ([0; 4096], false);
    loop {
        let read = stream.read(&mut heard);
        let length = match timeout(if floods { MILLISECOND } else { HOUR }, read).await {
            Ok(Ok(length @ 1..)) => length,
            Ok(_) => return,
            Err(_) => {
                let _ = stream
                    .write_all(b">3\r\n+message\r\n+vouch1:purges\r\n+\r\n")
                    .await;
                continue;
            }
        };
        match manner {
            Manner::Silent => continue,
            Manner::Far(away) => sleep(away).await,
            _ => {}
        }
        for words in commands(&heard[..length]) {
            let answer: &[u8] = match (words[0], words.len()) {
                (b"HELLO", _) => b"%1\r\n$5\r\nproto\r\n:3\r\n",
                (_, 1) => b"-ERR wrong number of arguments\r\n",
                // Answers come in order: behind one that is missing there is none.
                (b"SET", _) if manner == Manner::Forgetful => return std::future::pending().await,
                (b"EVAL", _) if manner == Manner::Contested => b":0\r\n",
                (b"GET", _) => {
                    readings.fetch_add(1, Ordering::Relaxed);
                    b"_\r\n"
                }
                (b"PTTL", _) => b":-2\r\n",
                (b"PUBLISH", _) => b":1\r\n",
                (b"SUBSCRIBE", _) => {
                    floods = manner == Manner::Floods;
                    b">3\r\n+subscribe\r\n+vouch1:purges\r\n:1\r\n"
                }
                _ => continue,
            };
            let _ = stream.write_all(answer).await;
        }
    }
}

fn store(manner: Manner) -> (Store, Arc<AtomicUsize>) {
    let (store, calls, _) = store_and_readings(manner);
    (store, calls)
}

/// A store, how often it was called, and how many values were read from it.
fn store_and_readings(manner: Manner) -> (Store, Arc<AtomicUsize>, Arc<AtomicUsize>) {
    let (key, calls) = (FleetKey::new(&[1; 32]), Arc::<AtomicUsize>::default());
    let readings = Arc::<AtomicUsize>::default();
    let purges = Arc::new(Purges::new(
        key.clone(),
        Clock::default(),
        &Chance::new(|_| false),
    ));
    let way = Way {
        peer: "unix:/store".into(),
        dial: Arc::new(Calls {
            manner,
            calls: calls.clone(),
            readings: readings.clone(),
        }),
        tls: None,
        user: None,
        password: None,
        wait: PATIENCE,
        readings: Duration::from_millis(500),
        probe: name(&key),
        purges: purges.clone(),
        chance: Chance::new(|_| false),
    };
    let clock = Clock::default();
    let store = Store::open(way, Writing { key, clock, purges });
    (store, calls, readings)
}

fn name(key: &FleetKey) -> Name {
    key.name(&key.source(b"source"), b"jane@example.org")
}

fn unwritten() -> Unwritten {
    Unwritten {
        name: name(&FleetKey::new(&[1; 32])),
        said: Said::Yes,
        code: None,
        kept: Duration::from_secs(3600),
        at: Instant::now(),
    }
}

// Fills FIRST_CONNECTION.
#[tokio::test(start_paused = true)]
async fn the_first_questions_wait_for_the_first_connection_and_no_longer() {
    let (store, _) = store(Manner::Unreached);
    let began = Instant::now();
    assert_eq!(store.link.look(&name(&FleetKey::new(&[1; 32]))).await, None);
    assert_eq!(began.elapsed(), FIRST_CONNECTION);
    assert_eq!(store.link.counts.spared.get(), 1);
}

// Fills STORE_CONNECT, RETRY_PAUSE.
#[tokio::test(start_paused = true)]
async fn a_store_that_says_nothing_is_called_again_and_asked_nothing() {
    let (store, calls) = store(Manner::Silent);
    let mut states = store.link.state.subscribe();
    let began = Instant::now();
    states
        .wait_for(|state| matches!(state, State::Down))
        .await
        .unwrap();
    assert_eq!(
        (began.elapsed(), calls.load(Ordering::Relaxed)),
        (STORE_CONNECT, 1)
    );
    let began = Instant::now();
    assert_eq!(store.link.look(&name(&FleetKey::new(&[1; 32]))).await, None);
    assert_eq!(began.elapsed(), Duration::ZERO);
    assert_eq!(store.link.troubles.present().connection, Some(Wrong::Slow));
    sleep(RETRY_PAUSE + Duration::from_millis(1)).await;
    assert_eq!(calls.load(Ordering::Relaxed), 2);
}

// Fills FINDINGS_QUEUE.
#[tokio::test(start_paused = true)]
async fn what_finds_no_place_in_the_queue_is_counted() {
    let (store, _) = store(Manner::Unreached);
    for _ in 0..2 * writer::FINDINGS_QUEUE {
        store.write(unwritten());
    }
    // Nothing has run meanwhile that could have taken one out.
    assert_eq!(store.link.counts.unwritten.get(), writer::FINDINGS_QUEUE as u64);
}

// Fills GUESSES_QUEUE.
#[tokio::test(start_paused = true)]
async fn failures_that_find_no_place_in_the_queue_are_counted_here_alone() {
    let (store, _) = store(Manner::Unreached);
    let guesses = Guesses::of_nobody("logins", Duration::from_secs(600)).unwrap();
    let counted = guesses.counted(Of::Client, b"192.0.2.1/32");
    for number in 0..2 * GUESSES_QUEUE as u64 {
        store.count(guesses.uncounted(&counted, Mark::once(number)));
    }
    assert_eq!(store.guesses.capacity(), 0);
    assert_eq!(store.guesses.max_capacity(), GUESSES_QUEUE);
}

#[cfg(feature = "fleet")]
#[tokio::test(start_paused = true)]
async fn a_store_is_used_if_it_answers_within_the_patience_and_else_never() {
    for (away, is_used) in [(PATIENCE / 2, true), (4 * PATIENCE, false)] {
        let (store, calls) = store(Manner::Far(away));
        let mut states = store.link.state.subscribe();
        let up = states.wait_for(|state| matches!(state, State::Up(_)));
        assert_eq!(timeout(Duration::from_secs(60), up).await.is_ok(), is_used);
        let slow = (!is_used).then_some(Wrong::Slow);
        assert_eq!(store.link.troubles.present().connection, slow);
        assert_eq!(calls.load(Ordering::Relaxed) == 1, is_used);
    }
}

/// What was too old by the time that the store could be written to was not written.
#[cfg(feature = "fleet")]
#[tokio::test(start_paused = true)]
async fn what_has_waited_for_too_long_is_not_counted_as_written() {
    let (store, _) = store(Manner::Far(Duration::ZERO));
    let kept = Duration::from_secs(5);
    store.write(Unwritten { kept, ..unwritten() });
    advance(kept).await;
    let counts = &store.link.counts;
    while counts.unwritten.get() == 0 {
        sleep(PATIENCE).await;
    }
    assert_eq!((counts.unwritten.get(), counts.written.get()), (1, 0));
}

// Fills IN_TIME.
#[cfg(feature = "fleet")]
#[tokio::test(start_paused = true)]
async fn a_store_that_does_not_write_is_given_up_and_the_loss_is_counted() {
    let (store, calls) = store(Manner::Forgetful);
    let mut states = store.link.state.subscribe();
    states
        .wait_for(|state| matches!(state, State::Up(_)))
        .await
        .unwrap();
    assert_eq!(store.link.look(&name(&FleetKey::new(&[1; 32]))).await, None);
    assert_eq!(store.link.counts.answered.get(), 1);
    store.write(unwritten());
    let began = Instant::now();
    states
        .wait_for(|state| matches!(state, State::Down))
        .await
        .unwrap();
    assert!(began.elapsed() >= IN_TIME && began.elapsed() < 2 * IN_TIME);
    assert_eq!(
        (store.link.counts.unwritten.get(), store.link.counts.written.get()),
        (1, 0)
    );
    states
        .wait_for(|state| matches!(state, State::Up(_)))
        .await
        .unwrap();
    assert_eq!(calls.load(Ordering::Relaxed), 2);
}

// Fills CHANGES.
#[cfg(feature = "fleet")]
#[tokio::test(start_paused = true)]
async fn a_record_that_others_change_all_the_time_is_left_for_a_while() {
    let (store, _) = store(Manner::Contested);
    let mut states = store.link.state.subscribe();
    let up = states.wait_for(|state| matches!(state, State::Up(_))).await;
    drop(up.unwrap());
    let purges = &store.link.way.purges;
    purges.add(None, &[Whom::Everybody]);
    let told = timeout(IN_TIME / 2, store.link.tell_purges()).await;
    assert_eq!(told, Ok(Err(Wrong::Contested)));
    assert!(purges.is_purged(&FleetKey::new(&[1; 32]).source(b"source"), b"x", 0));
}

// Fills READINGS_APART.
#[cfg(feature = "fleet")]
#[tokio::test(start_paused = true)]
async fn purges_that_are_announced_without_end_are_read_ten_times_a_second() {
    let (store, calls, readings) = store_and_readings(Manner::Floods);
    let mut states = store.link.state.subscribe();
    let up = states.wait_for(|state| matches!(state, State::Up(_))).await;
    drop(up.unwrap());
    let (before, seconds) = (readings.load(Ordering::Relaxed), Duration::from_secs(10));
    sleep(seconds).await;
    let many = readings.load(Ordering::Relaxed) - before;
    let most = (seconds.as_millis() / READINGS_APART.as_millis()) as usize;
    assert!((most - most / 10..=most + 1).contains(&many), "{many}");
    assert_eq!(calls.load(Ordering::Relaxed), 1);
}

#[test]
fn a_wait_is_over_within_the_patience_by_a_timer_that_is_late() {
    for (patience, most) in [(1, 500), (2, 1000), (3, 1500), (5, 3000), (1000, 998_000)] {
        assert_eq!(wait(Duration::from_millis(patience)), Duration::from_micros(most));
    }
}
