//! Honest logins and recipients while somebody guesses, or more is asked than a remote can answer.

use std::collections::HashMap;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use base64::prelude::{BASE64_STANDARD, Engine};
use remote::{Options, Protocol};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::net::unix::OwnedWriteHalf;
use tokio::sync::{Mutex, oneshot};
use tokio::time::{Instant, sleep_until, timeout};

use crate::clients::{ask, policy_request};
use crate::stage::{PASSWORD, Stage, options, user};
use crate::table::{Goal, Table};

/// Honest logins of a measurement, one every `PAUSE`.
const HONEST: usize = 100;
const PAUSE: Duration = Duration::from_millis(200);

/// The deadline of a listener, and the longest that a penalty then holds an answer back, by default.
const DEADLINE: Duration = Duration::from_secs(25);
const PENALTY: Duration = Duration::from_secs(6);

/// An answer is waited for so long.
const PATIENCE: Duration = Duration::from_secs(8);

pub(crate) fn measure(table: &mut Table) {
    let rows = [
        (20, false, "honest logins beside 20 sprayed guesses/s: p95"),
        (200, false, "honest logins beside 200 sprayed guesses/s: p95"),
        (
            200, true, "honest logins beside 200 guesses/s at known names: p95",
        ),
    ];
    let (mut most_open, mut asked, mut uncounted) = (0, 0, 0);
    let mut also = |seen: &Seen| {
        most_open = most_open.max(seen.most_open);
        asked += seen.asked;
        uncounted += seen.asked.saturating_sub(seen.counted);
    };
    for (rate, known, what) in rows {
        let seen = beside_guesses(rate, known, true);
        also(&seen);
        table.row(what, Goal::AtMost(200.0), seen.p95(), "ms", seen.words());
    }
    let seen = beside_guesses(20, false, false);
    also(&seen);
    let ok = seen.took.len() as f64;
    table.row(
        "logins never seen before beside 20 sprayed guesses/s: of 100",
        Goal::AtLeast(95.0),
        ok,
        "OK",
        seen.words(),
    );
    table.row(
        "connections at the remote meanwhile, at most, with `pool.max-sessions` = 50",
        Goal::AtMost(50.0),
        most_open as f64,
        "connections",
        "of all four".to_owned(),
    );
    table.row(
        "logins that the remote has judged meanwhile and vouch has not counted",
        Goal::AtMost(0.0),
        uncounted as f64,
        "logins",
        format!("of {asked} in all four"),
    );
    recipients(table);
    few_sessions(table);
}

/// The honest logins of one measurement.
struct Seen {
    /// How long the good answers took, in milliseconds, sorted.
    took: Vec<f64>,
    most_open: usize,
    /// Logins that the remote was asked, and those whose verdict vouch has logged.
    asked: u64,
    counted: u64,
}

impl Seen {
    /// Where one was lost, no time is long enough.
    fn p95(&self) -> f64 {
        if self.took.len() < HONEST {
            return f64::INFINITY;
        }
        self.took.get(HONEST * 95 / 100).copied().unwrap_or(f64::INFINITY)
    }

    fn words(&self) -> String {
        let last = self.took.last().copied().unwrap_or_default();
        format!(
            "{} of {HONEST} OK, the last within {last:.0} ms; at most {} connections at the remote",
            self.took.len(),
            self.most_open
        )
    }
}

/// A connection on which many ask at once.
struct Listener {
    writing: Mutex<OwnedWriteHalf>,
    asked: Mutex<HashMap<u64, oneshot::Sender<bool>>>,
    last: AtomicU64,
}

impl Listener {
    async fn connect(stage: &Stage) -> Arc<Self> {
        let stream = UnixStream::connect(stage.listener("auth")).await.unwrap();
        let (reading, mut writing) = stream.into_split();
        let mut lines = BufReader::new(reading).lines();
        writing.write_all(b"VERSION\t1\t2\nCPID\t77\n").await.unwrap();
        while lines.next_line().await.unwrap().unwrap() != "DONE" {}
        let listener = Arc::new(Self {
            writing: Mutex::new(writing),
            asked: Mutex::default(),
            last: AtomicU64::new(0),
        });
        let hears = listener.clone();
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                let mut parts = line.split('\t');
                let ok = parts.next() == Some("OK");
                let id = parts.next().and_then(|id| id.parse().ok()).unwrap_or_default();
                if let Some(asked) = hears.asked.lock().await.remove(&id) {
                    let _ = asked.send(ok);
                }
            }
        });
        listener
    }

    /// Whether a login is good; `None` where that is not known in time.
    async fn login(&self, user: &str, password: &str, client: u64) -> Option<bool> {
        let id = self.last.fetch_add(1, Ordering::Relaxed) + 1;
        let (tell, told) = oneshot::channel();
        self.asked.lock().await.insert(id, tell);
        let resp = BASE64_STANDARD.encode(format!("\0{user}\0{password}"));
        let [.., a, b] = client.to_be_bytes();
        let request = format!("AUTH\t{id}\tPLAIN\tservice=smtp\trip=198.51.{a}.{b}\tresp={resp}\n");
        self.writing
            .lock()
            .await
            .write_all(request.as_bytes())
            .await
            .unwrap();
        timeout(PATIENCE, told).await.ok()?.ok()
    }
}

fn slow_remote() -> Options {
    let mut options = options(Protocol::Imap);
    options.delays.failed_login = Duration::from_secs(2);
    options.delays.reply = Duration::from_millis(50);
    options
}

fn beside_guesses(rate: u64, known: bool, accepted_before: bool) -> Seen {
    let stage = Stage::new(slow_remote(), "auth", "", "tempfail = \"fail\"");
    let took = stage.runtime.block_on(async {
        let (honest, guesser) = (Listener::connect(&stage).await, Listener::connect(&stage).await);
        if accepted_before {
            for number in 0..50 {
                let good = honest.login(&user(number), PASSWORD, 0).await;
                assert_eq!(good, Some(true), "before the attack");
            }
        }
        let guesses = guesser.clone();
        let guessing = tokio::spawn(async move {
            let began = Instant::now();
            for nth in 0.. {
                sleep_until(began + Duration::from_micros(nth * 1_000_000 / rate)).await;
                let guesser = guesses.clone();
                tokio::spawn(async move {
                    let name = if known {
                        user(nth as usize % 50)
                    } else {
                        format!("sprayed{nth}@example.org")
                    };
                    guesser.login(&name, &format!("guess{nth}"), 1 + nth).await
                });
            }
        });
        // The attack is under way.
        tokio::time::sleep(Duration::from_secs(10)).await;
        let began = Instant::now();
        let asking = (0..HONEST).map(|nth| {
            let honest = honest.clone();
            let name = user(if accepted_before { nth % 50 } else { 100 + nth });
            tokio::spawn(async move {
                let arrived = began + PAUSE * nth as u32;
                sleep_until(arrived).await;
                let good = honest.login(&name, PASSWORD, 0).await;
                (good == Some(true)).then(|| arrived.elapsed().as_secs_f64() * 1e3)
            })
        });
        let mut took = Vec::new();
        for asked in asking.collect::<Vec<_>>() {
            took.extend(asked.await.unwrap());
        }
        guessing.abort();
        // Those that wait are asked or put off by the listener's deadline, and a penalty holds answers back.
        tokio::time::sleep(DEADLINE + PENALTY).await;
        drop(guesser);
        took.sort_by(f64::total_cmp);
        took
    });
    let log = fs::read_to_string(stage.scratch.path("vouch.log")).unwrap();
    let is_judged = |line: &&str| {
        line.contains("source=probe")
            && ["accept", "reject"]
                .iter()
                .any(|it| line.contains(&format!("verdict={it}")))
    };
    Seen {
        took,
        most_open: stage.remote.most_open(),
        asked: stage.remote.count("AUTHENTICATE"),
        counted: log.lines().filter(is_judged).count() as u64,
    }
}

/// Three hundred processes of Postfix, each of which waits five seconds for its answer.
fn recipients(table: &mut Table) {
    const TIME: Duration = Duration::from_secs(20);
    const ASKERS: usize = 300;
    let mut options = options(Protocol::Lmtp).offering(&["ENHANCEDSTATUSCODES"]);
    options.catch_all = true;
    options.delays.latency = Duration::from_millis(500);
    let stage = Stage::new(
        options, "policy", "", "deadline = \"5s\"\nlimits.rcpt = \"unlimited\"",
    );
    let good = stage.runtime.block_on(async {
        // Sessions take four answers of the remote to open.
        let begin = Instant::now() + Duration::from_secs(5);
        let end = begin + TIME;
        let asking = (0..ASKERS).map(|asker| {
            let listener = stage.listener("policy");
            tokio::spawn(async move {
                let mut stream = UnixStream::connect(listener).await.unwrap();
                let (mut answer, mut good) = (Vec::new(), 0);
                for nth in 0.. {
                    let request = policy_request(&format!("r{asker}-{nth}@example.org"));
                    ask(&mut stream, &request, &mut answer).await;
                    if Instant::now() >= end {
                        break;
                    }
                    let counts = Instant::now() >= begin && answer == b"action=DUNNO\n\n";
                    good += u64::from(counts);
                }
                good
            })
        });
        let mut good = 0;
        for asked in asking.collect::<Vec<_>>() {
            good += asked.await.unwrap();
        }
        good
    });
    table.row(
        "recipients, remote with 20 answers/s and no PIPELINING, 300 clients that wait 5 s each",
        Goal::AtLeast(18.0),
        good as f64 / TIME.as_secs_f64(),
        "answers/s",
        format!("{good} in {} s", TIME.as_secs()),
    );
}

/// A remote that bears four sessions of one client, as Courier does by default.
fn few_sessions(table: &mut Table) {
    const LOGINS: usize = 600;
    /// By then it is known how many it bears.
    const LEARNED: usize = 200;
    let mut options = options(Protocol::Imap);
    options.limits.sessions = Some(4);
    // A login takes three of its replies at the least: two or three sessions are busy.
    options.delays.reply = Duration::from_millis(15);
    let stage = Stage::new(options, "auth", "", "tempfail = \"fail\"");
    let (lost, at_first) = stage.runtime.block_on(async {
        let listener = Listener::connect(&stage).await;
        let began = Instant::now();
        let asking = (0..LOGINS).map(|nth| {
            let listener = listener.clone();
            tokio::spawn(async move {
                sleep_until(began + Duration::from_millis(25) * nth as u32).await;
                listener.login(&user(nth), PASSWORD, 0).await != Some(true)
            })
        });
        let (mut lost, mut at_first) = (0, 0);
        for (nth, asked) in asking.collect::<Vec<_>>().into_iter().enumerate() {
            lost += u64::from(asked.await.unwrap());
            if nth == LEARNED {
                at_first = stage.remote.accepted();
                stage.remote.forget();
            }
        }
        (lost, at_first)
    });
    table.row(
        "40 good logins/s at a remote that bears 4 sessions: lost",
        Goal::AtMost(0.0),
        lost as f64,
        "logins",
        format!(
            "{LOGINS} asked, {} connections in all",
            at_first + stage.remote.accepted()
        ),
    );
    table.row(
        "connections at it, once 200 logins are over, at most",
        Goal::AtMost(4.0),
        stage.remote.most_open() as f64,
        "connections",
        format!("{at_first} in all until then"),
    );
}
