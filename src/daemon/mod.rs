//! Builds the parts from the configuration, runs them, drains.

mod answers;
mod confine;
mod detail;
mod directories;
pub mod dovecot;
pub(crate) mod files;
mod fleet;
mod folders;
mod listeners;
mod metrics;
mod ownership;
mod prepare;
mod purges;
mod reload;
pub(crate) mod remembered;
mod remotes;
mod routed;
mod running;
mod sharing;
pub mod status;
mod troubles;

use std::sync::Arc;
use std::time::Duration;

use tokio::net::UnixListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{interval, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::{self, Config};
use crate::control;
use crate::fleet::FleetError;
use crate::server::admission::Descriptors;
use crate::server::handover::Handover;
use crate::service::bind::{BindError, Bound};
use crate::service::bound_path::BoundPath;
use crate::service::dovecot::DovecotError;
use crate::service::limits::raise_descriptors;
use crate::service::notify::{Event, Systemd};
use crate::service::signals::{Order, Signals, release};
use crate::session::tls;
use reload::reload;
use running::sockets::{self, Beside};
use running::{Common, Running};
use troubles::Troubles;

pub use confine::{ServiceUser, log_file};
pub use directories::{members, members_by, routed_servers};
pub use fleet::{check_fleet, make_fleet_key, try_fleet};
pub use listeners::{listener, listener_of};
pub use prepare::{Prepared, bind, check, has_listeners};
pub use purges::{forget_purged, purge};
pub use remotes::{servers, servers_by};

/// How often systemd is notified of the directories' state, if that has changed.
const STATUS: Duration = Duration::from_secs(10);

/// So much of why nothing was reloaded stands in the line of `systemctl status`, in characters; the log has all of it.
pub(crate) const STATUS_SHOWN: usize = 300;

/// Bound (process): time to finish after SIGTERM, beyond the longest deadline. Beyond: connections are cut; the log
/// has their number. Why: every question has its answer or its deadline by then.
const DRAIN_GRACE: Duration = Duration::from_secs(1);

/// Why the daemon did not run.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// The configuration has nothing to listen on.
    #[error("no [listener.\"NAME\"], so no client could connect; vouch.toml(5) has an example")]
    NoListener,
    /// Something that the configuration names cannot be used.
    #[error("directory.\"{0}\": {1}")]
    Directory(String, tls::SettingsError),
    /// A socket cannot be listened on.
    #[error("listener \"{0}\": {1}")]
    Bind(String, BindError),
    /// The control socket cannot be listened on.
    #[error("control.socket: {0}")]
    Control(BindError),
    /// The user that the daemon is to run as does not exist.
    #[error("service.user: {0}")]
    User(String),
    /// The socket of `[metrics]` cannot be listened on.
    #[error("metrics: {0}")]
    Metrics(BindError),
    /// What systemd says of its sockets makes no sense.
    #[error("systemd's $LISTEN_FDS, $LISTEN_PID or $LISTEN_FDNAMES cannot be used: {0}")]
    Units(std::io::Error),
    /// The system gives no random bytes, and so no key for what is remembered.
    #[error("the system gives no random bytes; does a system call filter forbid getrandom?")]
    Random,
    /// What `[fleet]` names cannot be used.
    #[error(transparent)]
    Fleet(#[from] FleetError),
    /// The system refused something that every daemon needs.
    #[error("the system refuses what every daemon needs: {0}")]
    System(std::io::Error),
    /// Dovecot has not given what a service needs.
    #[error(transparent)]
    Dovecot(#[from] DovecotError),
}

impl DaemonError {
    /// Whether the system refused it to the user that we are, or to a process that has given up rights.
    fn is_denied(&self) -> bool {
        match self {
            Self::Directory(_, error) => error.is_denied(),
            Self::Fleet(error) => error.is_denied(),
            Self::Bind(_, error) | Self::Control(error) | Self::Metrics(error) => error.is_denied(),
            Self::Units(error) | Self::System(error) => error.kind() == std::io::ErrorKind::PermissionDenied,
            Self::NoListener | Self::User(_) | Self::Random | Self::Dovecot(_) => false,
        }
    }
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
    let Prepared {
        started,
        sockets,
        units,
        file,
        metrics,
        control,
        ..
    } = prepared.tell();
    tell(notes);
    let connections = config
        .listener
        .iter()
        .map(|listener| u64::from(listener.max_connections));
    let descriptors = descriptors(connections.sum(), config);
    let mut signals = Signals::new().map_err(DaemonError::System)?;
    detail::follow_signals()?;
    release();
    let common = Common {
        started,
        // The id of this life of the daemon; a process id serves as well as for Dovecot itself.
        handover: Arc::new(Handover::new(std::process::id())),
        descriptors,
        tasks: TaskTracker::new(),
        draining: CancellationToken::new(),
        troubles: Troubles::default(),
    };
    let mut running = Running::start(config, sockets, common)?;
    // Both answer to the last, and their paths go with them.
    let (_metrics, metrics) = metrics::serve(metrics, status::reports(running.daemon()))?;
    let control = answer(control, running.daemon())?;
    let mut beside: Vec<Beside> = metrics.into_iter().chain(control).collect();
    tracing::info!(ms = started.elapsed().as_millis() as u64, "ready");
    let systemd = Systemd::new().map_err(DaemonError::System)?;
    let mut told = running.in_words();
    systemd.tell(Event::Ready, told.clone());
    tokio::spawn(systemd.clone().keep_alive());
    tokio::spawn(purges::follow(running.daemon()));
    while next_order(&mut signals, &mut running, &mut beside, &systemd, told).await == Order::Reload {
        systemd.tell(Event::Reloading, "reads its configuration again".to_owned());
        let reloaded = reload(&mut running, file.as_deref(), &units).await;
        running.look_after_sockets(&mut beside, true).await;
        let remark = reloaded.map_or_else(|why| not_reloaded(&why.to_string()), |()| String::new());
        told = running.in_words();
        systemd.tell(Event::Ready, format!("{told}{remark}"));
    }
    systemd.tell(Event::Stopping, "answers what was asked, then ends".to_owned());
    running.end(DRAIN_GRACE).await;
    Ok(())
}

/// How systemd is notified.
fn not_reloaded(why: &str) -> String {
    let mut shown: String = why.chars().take(STATUS_SHOWN).collect();
    if shown.len() < why.len() {
        shown.push('…');
    }
    format!("; not reloaded: {shown}")
}

/// The next order. Until it comes, checks the sockets, and notifies systemd of the daemon's state if it differs from
/// what was `told` last.
async fn next_order(
    signals: &mut Signals,
    running: &mut Running,
    beside: &mut [Beside],
    systemd: &Systemd,
    mut told: String,
) -> Order {
    let (mut often, mut look) = (interval(STATUS), interval(sockets::LOOK));
    loop {
        tokio::select! {
            order = signals.next() => return order,
            _ = look.tick() => {
                running.look_after_sockets(beside, false).await;
                continue;
            }
            _ = often.tick() => {}
        }
        let words = running.in_words();
        if words != told {
            systemd.tell_status(words.clone());
            told = words;
        }
    }
}

/// Answers at the control socket, if there is one; how that is looked after.
fn answer(
    control: Option<Bound>,
    daemon: watch::Receiver<Arc<status::Daemon>>,
) -> Result<Option<Beside>, DaemonError> {
    let Some(control) = control else {
        return Ok(None);
    };
    let mut accepting: Option<JoinHandle<()>> = None;
    let mut serve = move |listener| {
        let socket = UnixListener::from_std(listener)?;
        let serving = control::serve::serve(socket, answers::answers(daemon.clone()));
        if let Some(before) = accepting.replace(tokio::spawn(serving)) {
            before.abort();
        }
        Ok(())
    };
    serve(control.listener).map_err(DaemonError::System)?;
    Ok(Some(Beside {
        of: "control.socket",
        path: control.path,
        ownership: ownership::control_ownership(&ServiceUser::ours()),
        serve: Box::new(serve),
    }))
}

/// What clients may use of the descriptors, should there be so many `connections`.
fn descriptors(connections: u64, config: &Config) -> Descriptors {
    // Recipients and logins do not share sessions.
    let pools = |directory: &config::Directory| {
        let most = directory.pool.max_sessions;
        let logins = if directory.knows_logins() { most.logins } else { 0 };
        let recipients = if directory.kind.knows_recipients() {
            most.recipients
        } else {
            0
        };
        let servers = directory.lookup.routes.as_ref().map_or(1, |routes| {
            let most = directory.pool.max_servers as usize;
            routes.map.servers().len().min(most) as u64
        });
        servers * (u64::from(logins) + u64::from(recipients))
    };
    let sessions = config.directory.iter().map(pools).sum();
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
        .flat_map(|listener| [listener.deadline.other, listener.deadline.smtp]);
    deadlines.max().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    // Fills DRAIN_GRACE.
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
