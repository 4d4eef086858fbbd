//! A remote by script, and a directory that asks it through a pool.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};
use vouch::address::network::Network;
use vouch::chance::Chance;
use vouch::dialog::{Dialog, HalfDone};
use vouch::directory::{Directory, Terms};
use vouch::engine::CachedDirectory;
use vouch::engine::cached_directory::Settings;
use vouch::session::error::Kind as ErrorKind;
use vouch::session::pool::{Asker, Limits, Open, Pool, Priority};
use vouch::session::{After, Error, Judged, Session};
use vouch::settings::address::Addresses;
use vouch::settings::directory::{MaxSessions, Pool as Keys};
use vouch::settings::{directory, kind};
use vouch::verdict::{Cause, Class, Kind, Proof, Question, Verdict};

/// The default of `pool.max-sessions` for logins by IMAP.
pub(crate) const MAX_SESSIONS: usize = 50;

/// How a remote is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Script {
    /// It takes so long to greet.
    pub(crate) open: Duration,
    /// To accept, on the average.
    pub(crate) yes: Duration,
    /// So many parts in ten more or less than that.
    pub(crate) spread: u32,
    /// To refuse.
    pub(crate) no: Duration,
    /// Sessions that it bears; one more is closed without a word.
    pub(crate) bears: usize,
    /// Sessions that it may have.
    pub(crate) max_sessions: usize,
    /// A session is spent by a login that is accepted.
    pub(crate) spent: bool,
    /// It says goodbye to a session that is asked nothing for so long.
    pub(crate) bears_idle: Duration,
}

impl Default for Script {
    fn default() -> Self {
        Self {
            open: Duration::from_millis(20),
            yes: Duration::from_millis(50),
            spread: 0,
            no: Duration::from_secs(2),
            bears: usize::MAX,
            max_sessions: MAX_SESSIONS,
            spent: true,
            bears_idle: Duration::from_secs(60),
        }
    }
}

/// A remote, and what it has seen.
pub(crate) struct Mail {
    script: Script,
    open: AtomicUsize,
    most: AtomicUsize,
    asked: AtomicUsize,
    answered: AtomicUsize,
    turned_away: AtomicUsize,
    called: AtomicUsize,
    is_down: AtomicBool,
    is_silent: AtomicBool,
}

impl Mail {
    pub(crate) fn new(script: Script) -> Arc<Self> {
        Arc::new(Self {
            script,
            open: AtomicUsize::new(0),
            most: AtomicUsize::new(0),
            asked: AtomicUsize::new(0),
            answered: AtomicUsize::new(0),
            turned_away: AtomicUsize::new(0),
            called: AtomicUsize::new(0),
            is_down: AtomicBool::new(false),
            is_silent: AtomicBool::new(false),
        })
    }

    /// Connections now.
    pub(crate) fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    /// The most connections at once.
    pub(crate) fn most(&self) -> usize {
        self.most.load(Ordering::Relaxed)
    }

    /// Questions that it was asked, and those that were heard out.
    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }

    pub(crate) fn answered(&self) -> usize {
        self.answered.load(Ordering::Relaxed)
    }

    /// Connections that were tried, whatever came of them.
    pub(crate) fn called(&self) -> usize {
        self.called.load(Ordering::Relaxed)
    }

    /// From now on connections are refused, or not.
    pub(crate) fn is_down(&self, is: bool) {
        self.is_down.store(is, Ordering::Relaxed);
    }

    /// Connections that are made from now on are never greeted, or are.
    pub(crate) fn is_silent(&self, is: bool) {
        self.is_silent.store(is, Ordering::Relaxed);
    }

    /// Connections that were closed without a word.
    pub(crate) fn turned_away(&self) -> usize {
        self.turned_away.load(Ordering::Relaxed)
    }
}

/// A connection, counted until the remote has seen the end of it.
struct Connection(Arc<Mail>);

impl Drop for Connection {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A session with it.
struct Scripted(Connection);

#[derive(Debug, Clone)]
enum Asked {
    Password { good: bool },
    Relay(Dialog),
}

async fn open(mail: Arc<Mail>, deadline: Instant) -> Result<Scripted, Error> {
    mail.called.fetch_add(1, Ordering::Relaxed);
    let fails = |kind, step, why| Err(Error::new(kind, &"mail".into(), step, why));
    if mail.is_down.load(Ordering::Relaxed) {
        return fails(ErrorKind::Unreachable, "connect", "connection refused");
    }
    if mail.open() >= mail.script.bears {
        mail.turned_away.fetch_add(1, Ordering::Relaxed);
        return fails(ErrorKind::Unreachable, "greeting", "closed the connection");
    }
    let open = mail.open.fetch_add(1, Ordering::Relaxed) + 1;
    mail.most.fetch_max(open, Ordering::Relaxed);
    let connection = Connection(mail.clone());
    if mail.is_silent.load(Ordering::Relaxed) {
        sleep_until(deadline).await;
        return fails(ErrorKind::Timeout, "greeting", "no answer in time");
    }
    sleep(mail.script.open).await;
    Ok(Scripted(connection))
}

impl Session for Scripted {
    type Question = Asked;
    type Answer = bool;

    fn about(_: &Asked) -> &[u8] {
        &[]
    }

    async fn ask(
        &mut self,
        asked: &[Asked],
        tell: &mut (dyn FnMut(bool) + Send),
        deadline: Instant,
    ) -> Result<(), Error> {
        let mail = &self.0.0;
        let nth = mail.asked.fetch_add(1, Ordering::Relaxed);
        let good = match &asked[0] {
            Asked::Password { good } => *good,
            Asked::Relay(dialog) => dialog.answer(b"<1@mail>".to_vec(), deadline).await.is_some(),
        };
        let takes = match (good, &asked[0]) {
            // A dialog that is cancelled is over at once.
            (false, Asked::Relay(_)) => mail.script.open,
            (false, Asked::Password { .. }) => mail.script.no,
            (true, _) => {
                // Eleven steps from the least to the most, in an order that is none.
                let step = u32::try_from(nth * 7 % 11).unwrap();
                let (yes, spread) = (mail.script.yes, mail.script.spread);
                yes * (10 - spread) / 10 + yes * spread * step * 2 / 100
            }
        };
        sleep(takes).await;
        mail.answered.fetch_add(1, Ordering::Relaxed);
        tell(good);
        Ok(())
    }

    async fn goodbye(&mut self) {
        sleep(self.0.0.script.bears_idle).await;
    }

    async fn close(self) {
        sleep(Duration::from_millis(10)).await;
    }
}

/// A directory in front of it.
struct Front {
    pool: Pool<Scripted, Verdict>,
    half_done: Arc<HalfDone>,
}

impl Directory for Front {
    fn can_answer(&self, _: &Kind) -> bool {
        true
    }

    fn probe<'a>(
        &'a self,
        question: &'a Question,
        terms: Terms,
    ) -> Pin<Box<dyn Future<Output = Verdict> + Send + 'a>> {
        let Kind::Login { user, proof } = &question.kind else {
            panic!("nobody asks about recipients here");
        };
        let (asked, standing) = match (proof, terms.trusted) {
            (Proof::Password(password), trusted) => {
                let good = password.expose() == b"s3cret";
                let standing = if trusted {
                    Priority::Trusted
                } else {
                    Priority::Stranger
                };
                (Asked::Password { good }, standing)
            }
            (Proof::Relay(dialog), trusted) => {
                let dialog = dialog.among(&self.half_done);
                let standing = if trusted {
                    Priority::TrustedDialog
                } else {
                    Priority::Dialog
                };
                (Asked::Relay(dialog), standing)
            }
            (Proof::Token { .. }, _) => panic!("nobody brings a token here"),
        };
        let asker = Asker {
            standing,
            network: question.client.address.map(Network::of_host),
            waiters: terms.waiters,
        };
        Box::pin(async move {
            match self.pool.ask(asked, asker).await {
                Ok(Verdict::Accept(_)) => Verdict::accept(user.as_bytes()),
                Ok(verdict) => verdict,
                Err(error) => Verdict::Defer(Cause::ours(Class::Overload, error.to_string())),
            }
        })
    }
}

/// The engine's member for this remote. It remembers nothing, but whom it trusts.
pub(crate) fn member(mail: &Arc<Mail>) -> Arc<CachedDirectory> {
    let limits = Limits {
        max_sessions: mail.script.max_sessions,
        keys: Keys {
            max_sessions: MaxSessions::each(1),
            max_servers: 1,
            warm_sessions: 1,
            queue: 2000,
            idle_timeout: Duration::from_secs(30),
            max_age: Duration::from_secs(50),
        },
        timeout: Duration::from_secs(30),
        questions: None,
        refusals: Some(3),
    };
    let (remote, spent) = (mail.clone(), mail.script.spent);
    let open: Open<Scripted> = Box::new(move |deadline| {
        let opening = open(remote.clone(), deadline);
        Box::pin(opening) as Pin<Box<dyn Future<Output = _> + Send>>
    });
    let judge = Box::new(move |_: &Asked, good: bool| Judged {
        verdict: match good {
            true => Verdict::accept("x"),
            false => Verdict::Reject(Cause::said(Class::BadCredentials, "NO", "no")),
        },
        after: match (good, spent) {
            (true, true) => After::Spent,
            (true, false) => After::Keep,
            (false, _) => After::KeepRefused,
        },
    });
    let pool = Pool::new(
        "mail".into(),
        limits,
        (&Arc::default(), &Arc::default()),
        open,
        judge,
    );
    let half_done = Arc::new(HalfDone::new(pool.dialogs()));
    let mut keys = directory::Directory::new("mail", kind::Kind::Imap, Addresses::nowhere());
    keys.cache.entries = 0;
    keys.cache.credentials.negative = Duration::ZERO;
    let settings = Settings::from(&keys);
    Arc::new(CachedDirectory::new(
        settings,
        Arc::new(Front { pool, half_done }),
        [3; 32],
        Chance::default(),
    ))
}
