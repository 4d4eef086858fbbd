//! Builds the parts from the configuration, runs them, drains.

mod confine;
mod detail;
mod directories;
mod doors;
pub mod dovecot;
pub(crate) mod files;
mod metrics;
mod prepare;
mod status;

use std::sync::Arc;
use std::time::Duration;

use tokio::net::UnixListener;
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::directory::Kind;
use crate::config::{self, Config, ListenAddress};
use crate::control;
use crate::metrics::{Watched, WatchedDoor};
use crate::server::admission::{Admission, Descriptors};
use crate::server::handover::Handover;
use crate::server::{self, Closing};
use crate::service::bind::{BindError, Bound, BoundPath};
use crate::service::dovecot::DovecotError;
use crate::service::limits::raise_descriptors;
use crate::service::signals::{Order, Signals, release};
use crate::session::tls;
pub use confine::ServiceUser;
pub use directories::{hello, members, members_by, remote};
pub use doors::door;
pub use prepare::{Prepared, bind, check};

/// What a question under way is given beyond its deadline when the daemon ends.
pub(crate) const DRAIN_GRACE: Duration = Duration::from_secs(1);

/// Why the daemon did not run.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// Something that the configuration names cannot be used.
    #[error("directory \"{0}\": {1}")]
    Directory(String, tls::SettingsError),
    /// A socket cannot be listened on.
    #[error("listener \"{0}\": {1}")]
    Bind(String, BindError),
    /// The control socket cannot be listened on.
    #[error("control.socket: {0}")]
    Control(BindError),
    /// Nobody is whom the daemon is to become.
    #[error("service.user: {0}")]
    User(String),
    /// The socket of `[metrics]` cannot be listened on.
    #[error("metrics: {0}")]
    Metrics(BindError),
    /// The system gives no random bytes, and so no key for what is remembered.
    #[error("the system gives no random bytes; does a system call filter forbid getrandom?")]
    Random,
    /// The system refused something that every daemon needs.
    #[error("the system refuses what every daemon needs: {0}")]
    System(std::io::Error),
    /// Dovecot has not given what a service needs.
    #[error(transparent)]
    Dovecot(#[from] DovecotError),
}

/// Whether this version serves a listener: binds its socket itself.
pub const fn is_served(listener: &config::Listener) -> bool {
    matches!(listener.socket, ListenAddress::Path(_) | ListenAddress::Tcp(_))
}

/// The listeners that this version serves.
fn served(config: &Config) -> impl Iterator<Item = &config::Listener> {
    config.listener.iter().filter(|listener| is_served(listener))
}

/// Runs until a signal ends it. `notes` are what the configuration's reader had
/// to say.
///
/// # Errors
/// Why it did not start.
pub async fn run(
    config: &Config,
    notes: &[config::read::Note],
    prepared: Prepared,
) -> Result<(), DaemonError> {
    let started = prepared.started;
    tell(notes);
    prepared.tell();
    let descriptors = descriptors(
        config
            .listener
            .iter()
            .map(|listener| u64::from(listener.max_connections))
            .sum(),
        config,
    );
    let mut signals = Signals::new().map_err(DaemonError::System)?;
    detail::follow_signals()?;
    release();
    let members = members(config, None)?;
    files::open(config, &members);
    // The id of this life of the daemon; a process id serves as well as for Dovecot itself.
    let handover = Arc::new(Handover::new(std::process::id()));
    let draining = CancellationToken::new();
    let tasks = TaskTracker::new();
    let (mut open_doors, mut counted) = (Vec::new(), Vec::new());
    for (listener, socket) in served(config).zip(prepared.sockets) {
        let open = socket.socket.listen().map_err(DaemonError::System)?;
        let admission = Arc::new(Admission::new(
            &listener.name,
            listener.max_connections as usize,
            socket.peers,
            descriptors.clone(),
        ));
        let door = door(listener, &members, &handover);
        let counts = door.counts().clone();
        counted.push(WatchedDoor {
            name: listener.name.as_str().into(),
            counts: counts.clone(),
            admission: admission.clone(),
        });
        let serving = server::serve(
            open,
            door,
            admission.clone(),
            tasks.clone(),
            Closing {
                accepting: draining.clone(),
                draining: draining.clone(),
            },
        );
        tasks.spawn(serving);
        open_doors.push(status::Door::new(listener, admission, counts));
        tracing::info!(door = listener.name, socket = %listener.socket, protocol = %listener.protocol, "listening");
    }
    // Both answer to the last, and their paths go with them.
    let (_watched, watched) = watch::channel(Arc::new(Watched::new(counted, members.clone())));
    let _metrics = metrics::serve(prepared.metrics, watched)?;
    let daemon = status::Daemon {
        started,
        draining: draining.clone(),
        doors: open_doors,
        directories: status::Remote::all(config, &members),
    };
    let (_daemon, daemon) = watch::channel(Arc::new(daemon));
    let _path = answer(prepared.control, daemon)?;
    tracing::info!(ms = started.elapsed().as_millis() as u64, "ready");
    while signals.next().await == Order::Reload {
        tracing::warn!(
            "SIGHUP: this version reads its configuration at start only; restart it to apply changes"
        );
    }
    let patience = longest_deadline(&config.listener) + DRAIN_GRACE;
    drain(tasks, &draining, prepared.paths, patience).await;
    files::close(members).await;
    Ok(())
}

/// Answers at the control socket, if there is one; its path.
fn answer(
    control: Option<Bound>,
    daemon: watch::Receiver<Arc<status::Daemon>>,
) -> Result<Option<BoundPath>, DaemonError> {
    let Some(control) = control else {
        return Ok(None);
    };
    let socket = UnixListener::from_std(control.listener).map_err(DaemonError::System)?;
    tokio::spawn(control::serve::serve(socket, status::answers(daemon)));
    Ok(Some(control.path))
}

/// What clients may use of the descriptors, should there be so many `connections`.
fn descriptors(connections: u64, config: &Config) -> Descriptors {
    // Recipients and logins do not share sessions.
    let pools = |directory: &config::Directory| if directory.kind == Kind::Smtp { 2 } else { 1 };
    let sessions = config
        .directory
        .iter()
        .map(|directory| pools(directory) * u64::from(directory.pool.max_sessions))
        .sum();
    Descriptors::new(raise_descriptors(connections, sessions))
}

fn tell(notes: &[config::read::Note]) {
    for note in notes {
        match note.line {
            Some(line) => tracing::warn!("configuration, line {line}: {}", note.text),
            None => tracing::warn!("configuration: {}", note.text),
        }
    }
}

/// Ends: nobody new is let in, what was asked is answered.
async fn drain(tasks: TaskTracker, draining: &CancellationToken, paths: Vec<BoundPath>, patience: Duration) {
    tracing::info!("draining");
    drop(paths);
    draining.cancel();
    tasks.close();
    if timeout(patience, tasks.wait()).await.is_err() {
        let (connections, seconds) = (tasks.len(), patience.as_secs());
        tracing::warn!(
            connections,
            "connections cut off: their questions had no answer {seconds} s after the order to end"
        );
    } else {
        tracing::info!("drained");
    }
}

/// The time within which every question that was asked has its answer.
fn longest_deadline<'a>(listeners: impl IntoIterator<Item = &'a config::Listener>) -> Duration {
    let deadlines = listeners
        .into_iter()
        .flat_map(|listener| [listener.deadline_for(None), listener.deadline_for(Some(b"smtp"))]);
    deadlines.max().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn drain_has_an_end() {
        let (tasks, draining) = (TaskTracker::new(), CancellationToken::new());
        tasks.spawn(std::future::pending::<()>());
        let began = tokio::time::Instant::now();
        drain(tasks, &draining, Vec::new(), Duration::from_secs(8) + DRAIN_GRACE).await;
        assert!(draining.is_cancelled());
        assert_eq!(began.elapsed(), Duration::from_secs(9));
    }
}
