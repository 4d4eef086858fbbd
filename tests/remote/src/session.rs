//! One session from its acceptance to its end, and what all sessions of a server share.

use std::sync::{Arc, Mutex};

use tokio::sync::watch;
use tokio::time::sleep;

use crate::conn::{Conn, Never, Over, Stream};
use crate::directory::Directory;
use crate::fault::{Fault, Planned};
use crate::log::{End, Ledger, SessionLog, lock};
use crate::options::{Options, Protocol, Security};
use crate::{imap, smtp};

/// What all sessions of a server share.
pub(crate) struct Shared {
    pub(crate) options: Options,
    pub(crate) directory: Directory,
    pub(crate) ledger: Ledger,
    pub(crate) fault: Mutex<Planned>,
    /// Counts the calls to hang up; true is with a goodbye.
    pub(crate) hang_up: watch::Sender<(u64, bool)>,
}

/// Serves one session to its end.
pub(crate) async fn run(shared: Arc<Shared>, stream: Box<dyn Stream>) -> SessionLog {
    let (log, open) = shared.ledger.open();
    let closing = Closing {
        shared: Arc::clone(&shared),
        log: Arc::clone(&log),
    };
    let mut conn = Conn::new(shared, Arc::clone(&log), stream);
    let Err(Over(end)) = session(&mut conn, open).await;
    // Before the client can see that we closed: a test may look at once, and the client may open another.
    lock(&log).end = end;
    drop(closing);
    if end == End::Goodbye || end == End::ServerClosed {
        conn.close().await;
    }
    lock(&log).clone()
}

async fn session(conn: &mut Conn, open: usize) -> Result<Never, Over> {
    let shared = Arc::clone(&conn.shared);
    if conn.strike("ACCEPT") != Fault::None {
        return Err(conn.hang().await);
    }
    if let Security::Implicit(identity) = &shared.options.security {
        conn.start_tls(identity).await?;
    }
    if !shared.options.delays.greeting.is_zero() {
        sleep(shared.options.delays.greeting).await;
    }
    if shared.options.limits.sessions.is_some_and(|most| open > most) {
        return Err(conn.part("Too many connections"));
    }
    match shared.options.protocol {
        Protocol::Imap => imap::dialog(conn).await,
        Protocol::Smtp | Protocol::Lmtp => smtp::dialog(conn).await,
    }
}

/// Closes the account of a session, also of one that was cut short.
struct Closing {
    shared: Arc<Shared>,
    log: Arc<Mutex<SessionLog>>,
}

impl Drop for Closing {
    fn drop(&mut self) {
        let mut log = lock(&self.log);
        if log.end == End::Open {
            log.end = End::ServerClosed;
        }
        drop(log);
        self.shared.ledger.close();
    }
}
