//! Runs as Dovecot's own auth service, on the sockets that it hands over.

use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::unistd::{Uid, getppid};
use tokio::time::{interval, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::prepare::Listening;
use super::{
    DRAIN_GRACE, DaemonError, descriptors, detail, drain, files, listener, longest_deadline, members, tell,
};
use crate::config::{self, Config};
use crate::engine::CachedDirectory;
use crate::server::admission::{Admission, Descriptors};
use crate::server::handover::Handover;
use crate::server::sibling::{self, SiblingListener};
use crate::server::{Closing, Socket, serve};
use crate::service::dovecot::{Dovecot, DovecotSocket, Purpose};
use crate::service::signals::{Order, SigQuit, Signals, release};
use crate::settings::protocol::Protocol;

/// How often Dovecot is informed of the number of clients, if that has changed.
const REPORT: Duration = Duration::from_secs(1);

/// Bound (process): time for which the old process accepts clients when Dovecot reloads. Beyond: the new process
/// takes them. Why: no other process serves the clients that wait at the old sockets.
const LAST_IN: Duration = Duration::from_secs(1);

/// Bound (process): time for which clients of the old process may stay after that. Beyond: they are disconnected.
/// Why: an smtpd of Postfix keeps its connection until it was idle for 100 s (`max_idle`), and would tell its next
/// client 454.
const LINGER: Duration = Duration::from_secs(150);

/// Takes what Dovecot gave to us; nothing where somebody else started us. Needs a
/// runtime.
///
/// # Errors
/// When something is missing.
pub fn take() -> Result<Option<Dovecot>, DaemonError> {
    Ok(Dovecot::take(|name| std::env::var(name).ok())?)
}

/// Answers by `table` until Dovecot or a signal ends it. `notes` are what the
/// configuration's reader had to say.
///
/// # Errors
/// Why it did not start.
pub async fn run(
    config: &Config,
    table: &config::Dovecot,
    notes: &[config::read::Note],
    mut dovecot: Dovecot,
) -> Result<(), DaemonError> {
    let started = Instant::now();
    tell(notes);
    if Uid::effective().is_root() {
        tracing::warn!(
            "running as root: Dovecot's service auth lacks drop_priv_before_exec = yes, or user = vouch"
        );
    }
    let descriptors = descriptors(u64::from(dovecot.client_limit), config);
    let mut signals = Signals::new().map_err(DaemonError::System)?;
    detail::follow_signals()?;
    let mut sig_quit = SigQuit::new().map_err(DaemonError::System)?;
    release();
    let members = members(config, None)?;
    files::open(config.directory.iter().zip(&members));
    let draining = CancellationToken::new();
    let listeners = Listeners {
        table,
        members: &members,
        // All processes that one Dovecot starts for its auth service are one server to it, whose id is its own.
        handover: Arc::new(Handover::from_sibling(
            u32::try_from(getppid().as_raw()).unwrap_or_default().max(1),
            std::process::id(),
        )),
        connections: dovecot.client_limit,
        descriptors,
        clients: TaskTracker::new(),
        closing: Closing {
            accepting: draining.child_token(),
            draining: draining.clone(),
            // They are Dovecot's, which starts another process for those who wait.
            takes_backlog: false,
        },
    };
    if let Err(error) = listeners.open_to_siblings() {
        tracing::warn!("logins under way while Dovecot reloads will be lost: no socket for them: {error}");
    }
    for socket in std::mem::take(&mut dovecot.sockets) {
        listeners.open(socket);
    }
    let Listeners { clients, closing, .. } = listeners;
    dovecot.report(0).map_err(DaemonError::System)?;
    tracing::info!(ms = started.elapsed().as_millis() as u64, "ready");

    let lingers = tokio::select! {
        () = serve_until_told(&mut signals) => false,
        () = report(&mut dovecot, &clients) => true,
    };
    if lingers {
        // The successor wants them.
        files::close(members.clone()).await;
        linger(&clients, &closing, &mut signals, &mut sig_quit).await;
    }
    let patience = longest_deadline([&table.keys]) + DRAIN_GRACE;
    tokio::select! {
        () = drain(clients, &draining, Vec::new(), patience) => {}
        () = sig_quit.received() => tracing::warn!("ended at once by SIGQUIT: Dovecot is stopping, and waits no longer"),
    }
    files::close(members).await;
    Ok(())
}

/// What every listener has in common.
struct Listeners<'a> {
    table: &'a config::Dovecot,
    members: &'a [Arc<CachedDirectory>],
    handover: Arc<Handover>,
    connections: u32,
    descriptors: Descriptors,
    clients: TaskTracker,
    closing: Closing,
}

impl Listeners<'_> {
    /// Serves one of Dovecot's sockets.
    fn open(
        &self,
        DovecotSocket {
            name,
            purpose,
            socket,
        }: DovecotSocket,
    ) {
        let protocol = match purpose {
            Purpose::Client => Protocol::Auth,
            Purpose::Login => Protocol::Login,
            Purpose::Master => Protocol::Master,
            Purpose::Userdb => Protocol::Userdb,
            Purpose::Token => {
                tracing::debug!(listener = name, "not served: a token opens nothing here");
                return;
            }
        };
        let keys = self.table.listener(&name, protocol, self.connections);
        let place = socket.place();
        let socket = match Listening::from(socket).listen() {
            Ok(socket) => Arc::new(socket),
            Err(error) => {
                tracing::error!(
                    listener = name,
                    socket = place,
                    "not served: the system refuses the socket: {error}"
                );
                return;
            }
        };
        let listener = listener(&keys, self.members, &self.handover);
        let (clients, closing) = (self.clients.clone(), self.closing.clone());
        // Not counted among the clients, whose end is waited for.
        tokio::spawn(serve(socket, listener, self.admission(&name), clients, closing));
        tracing::info!(listener = name, socket = place, %protocol, "listening");
    }

    /// Dovecot has said who may connect, by the mode of its sockets.
    fn admission(&self, listener: &str) -> Arc<Admission> {
        let (most, descriptors) = (self.connections as usize, self.descriptors.clone());
        Arc::new(Admission::new(listener, most, None, descriptors))
    }

    /// Serves the socket at which our successors and predecessors ask. It stays open
    /// as long as a client does, and with it a login that may be asked for.
    fn open_to_siblings(&self) -> std::io::Result<()> {
        let keys = self.table.listener("kin", Protocol::Master, self.connections);
        let listener = SiblingListener::new(&keys.name, listener(&keys, self.members, &self.handover));
        let closing = Closing {
            accepting: self.closing.draining.clone(),
            ..self.closing.clone()
        };
        let (socket, clients) = (Arc::new(Socket::Unix(sibling::listen()?)), self.clients.clone());
        tokio::spawn(serve(
            socket,
            Arc::new(listener),
            self.admission("kin"),
            clients,
            closing,
        ));
        Ok(())
    }
}

/// Until a signal says to drain.
async fn serve_until_told(signals: &mut Signals) {
    while signals.next().await == Order::Reload {
        tracing::warn!("SIGHUP: Dovecot starts this process anew to apply changes: doveadm reload");
    }
}

/// Tells Dovecot how many clients there are, until it wants us to end.
async fn report(dovecot: &mut Dovecot, clients: &TaskTracker) {
    let mut told = 0;
    let mut times = interval(REPORT);
    loop {
        tokio::select! {
            () = dovecot.ended() => return,
            _ = times.tick() => {}
        }
        let count = u32::try_from(clients.len()).unwrap_or(u32::MAX);
        // Told again at the next time, where Dovecot does not read now.
        if count != told && dovecot.report(count).is_ok() {
            told = count;
        }
    }
}

/// Goes on answering those who are connected, until they leave or time is up.
async fn linger(clients: &TaskTracker, closing: &Closing, signals: &mut Signals, sig_quit: &mut SigQuit) {
    let connections = clients.len();
    tracing::info!(
        connections, "Dovecot reloads or stops: the last clients are let in"
    );
    let leave = async {
        sleep(LAST_IN).await;
        closing.accepting.cancel();
        clients.close();
        timeout(LINGER, clients.wait()).await
    };
    tokio::select! {
        left = leave => {
            if left.is_err() {
                let connections = clients.len();
                tracing::info!(connections, "clients that are still connected after {} s are left", LINGER.as_secs());
            }
        }
        () = serve_until_told(signals) => {}
        () = sig_quit.received() => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Fills LAST_IN, LINGER.
    #[tokio::test(start_paused = true)]
    async fn clients_are_let_in_a_little_longer_and_left_in_the_end() {
        let clients = TaskTracker::new();
        clients.spawn(std::future::pending::<()>());
        let closing = Closing {
            accepting: CancellationToken::new(),
            draining: CancellationToken::new(),
            takes_backlog: false,
        };
        let (mut signals, mut sig_quit) = (Signals::new().unwrap(), SigQuit::new().unwrap());
        let began = tokio::time::Instant::now();
        let accepting = closing.accepting.clone();
        let closed = tokio::spawn(async move {
            accepting.cancelled().await;
            began.elapsed()
        });
        linger(&clients, &closing, &mut signals, &mut sig_quit).await;
        assert_eq!(closed.await.unwrap(), LAST_IN);
        assert_eq!(began.elapsed(), LAST_IN + LINGER);
    }
}
