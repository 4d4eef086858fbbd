//! A session that was given up by the remote between two questions, told apart from a remote that is down.

use std::future::pending;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::Duration;

use tokio::runtime::Builder;
use tokio::time::{Instant, sleep};
use vouch::session::pool::{Asker, Limits, Open, Pool};
use vouch::session::{After, Error, Judged, Session};
use vouch::settings::directory::{MaxSessions, Pool as Keys};
use vouch::wire::WireError;

use crate::Way;
use crate::asker::Answer;

const WAYS: [Way; 4] = [
    Way::ImapLogin,
    Way::SmtpLogin,
    Way::SmtpRecipient,
    Way::LmtpRecipient,
];

/// An idle session that the remote gives up, be it while the next question is on its way, costs no recipient its
/// answer. A password that was on its way may have been heard: it is not sent again, and is "later"; the next is
/// answered.
#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_was_closed_while_idle_is_not_missed() {
    for way in WAYS {
        let scene = way.scene().await;
        for round in 0..20 {
            assert_eq!(way.bad(&scene).await, Answer::No, "{way:?} {round}");
            scene.remote.hang_up(round % 2 == 0);
            let answer = way.good(&scene).await;
            if way.is_login() && answer == Answer::Later {
                assert_eq!(way.good(&scene).await, Answer::Yes, "{way:?} {round}");
            } else {
                assert_eq!(answer, Answer::Yes, "{way:?} {round}");
            }
        }
        assert!(scene.remote.violations().is_empty(), "{way:?}");
    }
}

/// A session that answers until its generation has ended, and then is found closed.
struct Fleeting {
    born: u32,
    generation: Arc<AtomicU32>,
}

impl Session for Fleeting {
    type Question = ();
    type Answer = ();

    fn about(_: &()) -> &[u8] {
        &[]
    }

    async fn ask(&mut self, _: &[()], tell: &mut (dyn FnMut(()) + Send), _: Instant) -> Result<(), Error> {
        if self.generation.load(Ordering::Relaxed) == self.born {
            tell(());
            return Ok(());
        }
        let heard = false;
        Err(Error::wire(
            &WireError::Closed,
            &"remote".into(),
            "question",
            heard,
        ))
    }

    /// The news of the end has not arrived when the next question goes out.
    async fn goodbye(&mut self) {
        pending::<()>().await;
    }

    async fn close(self) {}
}

/// A pool of so many sessions, of which so many are kept ready, and each is left as `after` once it has answered.
fn pool<S>(max_sessions: usize, warm_sessions: u32, open: Open<S>, after: After) -> Pool<S, ()>
where
    S: Session<Question = (), Answer = ()>,
{
    let minute = Duration::from_secs(60);
    let limits = Limits {
        max_sessions,
        keys: Keys {
            max_sessions: MaxSessions::each(1),
            max_servers: 1,
            warm_sessions,
            queue: 10,
            idle_timeout: minute,
            max_age: minute,
        },
        timeout: minute / 2,
        questions: None,
        refusals: None,
    };
    let judge = Box::new(move |(): &(), ()| Judged { verdict: (), after });
    let (gate, counts) = Default::default();
    Pool::new("remote".into(), limits, (&gate, &counts), open, judge)
}

/// One that was opened for a question that another session answered is as easily given up as one that was asked
/// before.
#[tokio::test(start_paused = true)]
async fn a_session_that_was_never_asked_is_not_missed() {
    let generation = Arc::new(AtomicU32::new(0));
    let (opened, born_of) = (AtomicU32::new(0), generation.clone());
    let open = Box::new(move |_| {
        // Each takes longer to open than the one before, so the first answers for two.
        let nth = opened.fetch_add(1, Ordering::Relaxed) + 1;
        let generation = born_of.clone();
        let opening = async move {
            sleep(Duration::from_millis(10) * nth).await;
            let born = generation.load(Ordering::Relaxed);
            Ok(Fleeting { born, generation })
        };
        Box::pin(opening) as std::pin::Pin<Box<dyn Future<Output = _> + Send>>
    });
    let pool = pool(2, 0, open, After::Keep);
    let (asker, _waiter) = Asker::until(Instant::now() + Duration::from_secs(5));
    let both = tokio::join!(pool.ask((), asker.clone()), pool.ask((), asker.clone()));
    assert!(both.0.is_ok() && both.1.is_ok());
    sleep(Duration::from_millis(500)).await;
    generation.fetch_add(1, Ordering::Relaxed);
    let (one, other) = tokio::join!(pool.ask((), asker.clone()), pool.ask((), asker.clone()));
    one.unwrap();
    other.unwrap();
}

/// A session whose goodbye takes until it is let go.
struct Lingering(Arc<Mutex<mpsc::Receiver<()>>>);

impl Session for Lingering {
    type Question = ();
    type Answer = ();

    fn about(_: &()) -> &[u8] {
        &[]
    }

    async fn ask(&mut self, _: &[()], tell: &mut (dyn FnMut(()) + Send), _: Instant) -> Result<(), Error> {
        tell(());
        Ok(())
    }

    async fn goodbye(&mut self) {
        pending::<()>().await;
    }

    /// Holds its thread, as a task does that is at work while another thread ends the runtime.
    async fn close(self) {
        let _ = self.0.lock().unwrap().recv();
    }
}

/// A runtime that ends drops the task of a new session as it is spawned. The pool must not go on spawning: it would
/// hold its lock for ever, and the process with it.
#[test]
fn a_session_that_ends_with_its_runtime_does_not_hold_the_process() {
    let runtime = Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let (let_go, held) = mpsc::channel();
    let held = Arc::new(Mutex::new(held));
    let open = Box::new(move |_| {
        let session = Lingering(held.clone());
        Box::pin(async { Ok(session) }) as std::pin::Pin<Box<dyn Future<Output = _> + Send>>
    });
    let pool = pool(1, 1, open, After::Close);
    runtime.block_on(async {
        let (asker, _waiter) = Asker::until(Instant::now() + Duration::from_secs(30));
        pool.ask((), asker).await.unwrap();
        while pool.sessions().closing == 0 {
            sleep(Duration::from_millis(1)).await;
        }
    });
    let handle = runtime.handle().clone();
    runtime.shutdown_background();
    while !handle.spawn(pending::<()>()).is_finished() {
        thread::sleep(Duration::from_millis(1));
    }
    let_go.send(()).unwrap();
    let (ended, end) = mpsc::channel();
    thread::spawn(move || {
        while pool.sessions().closing > 0 {
            thread::sleep(Duration::from_millis(1));
        }
        drop(pool);
        ended.send(()).unwrap();
    });
    end.recv_timeout(Duration::from_secs(30)).unwrap();
}
