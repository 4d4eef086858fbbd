//! Builds the parts from the configuration, runs them, drains.

mod confine;
mod detail;
mod doors;
pub mod dovecot;
pub(crate) mod files;
mod metrics;
mod prepare;
mod status;

use std::sync::Arc;
use std::time::Duration;

use protocol::encryption::Encryption;
use protocol::sasl::Mechanism;
use protocol::smtp::Protocol as SmtpProtocol;
use tokio::net::UnixListener;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::directory::{CatchAll, Code252, KeyExchange, Kind, Policy as RcptPolicy, StartTls};
use crate::config::listener::Protocol;
use crate::config::{self, Config, Endpoint, Limit, ListenAddress};
use crate::control;
use crate::directory::judge::recipient::Reading;
use crate::directory::smtp::Settings as SmtpSettings;
use crate::directory::{Directory, Username, health::Watched, imap::Imap, smtp::Smtp};
use crate::engine::{Member, logins, member, recipients};
use crate::metrics::WatchedDoor;
use crate::server::admission::{Admission, Descriptors};
use crate::server::handover::Handover;
use crate::server::{self, Closing};
use crate::service::bind::{BindError, Bound, BoundPath};
use crate::service::dovecot::DovecotError;
use crate::service::limits::raise_descriptors;
use crate::service::signals::{Order, Signals};
use crate::session::smtp::Hello;
use crate::session::{Remote, connect, connect::Dial, imap::Options, lookup::Host, pool, tls};
use crate::template::Filling;
pub use confine::ServiceUser;
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

/// The directories of a configuration, each ready to be asked. `mechanism` is
/// the only one that logins use, if there is to be one.
///
/// # Errors
/// A certificate or key file that cannot be used.
pub fn members(config: &Config, mechanism: Option<Mechanism>) -> Result<Vec<Arc<Member>>, DaemonError> {
    members_by(config, mechanism, |_, remote| remote.dial.clone())
}

/// As [`members`], where `dial` opens the connections: tests have remotes in
/// memory.
///
/// # Errors
/// As [`members`].
pub fn members_by(
    config: &Config,
    mechanism: Option<Mechanism>,
    dial: impl Fn(&config::Directory, &Remote) -> Arc<dyn Dial>,
) -> Result<Vec<Arc<Member>>, DaemonError> {
    let roots = tls::Roots::of_system();
    let member = |directory: &config::Directory| {
        let mut remote = remote(directory, &roots)
            .map_err(|error| DaemonError::Directory(directory.name.clone(), error))?;
        remote.dial = dial(directory, &remote);
        let mut key = [0; 32];
        getrandom::fill(&mut key).map_err(|_| DaemonError::Random)?;
        let member = Member::new(
            memory(directory),
            Arc::new(Watched::new(build(directory, Arc::new(remote), mechanism))),
            key,
        );
        Ok(Arc::new(member))
    };
    config.directory.iter().map(member).collect()
}

fn memory(directory: &config::Directory) -> member::Settings {
    let cache = &directory.cache;
    let kept = |ttl: Duration| if cache.entries == 0 { Duration::ZERO } else { ttl };
    member::Settings {
        name: directory.name.as_str().into(),
        domains: directory.lookup.domains.all.iter().cloned().collect(),
        fold_case: directory.lookup.fold_case,
        recipient_delimiter: directory.lookup.recipient_delimiter.clone(),
        canaries: directory.lookup.canary.clone(),
        detect_catch_all: directory.lookup.catch_all == CatchAll::Detect,
        entries: cache.entries.max(1) as usize,
        recipients: recipients::Ttl {
            positive: kept(cache.ttl.positive),
            refresh: kept(cache.ttl.refresh),
            negative: kept(cache.ttl.negative),
            stale: kept(cache.ttl.stale),
        },
        logins: logins::Ttl {
            positive: kept(cache.credentials.positive),
            negative: kept(cache.credentials.negative),
        },
    }
}

/// The remote of a directory and the way to it.
///
/// # Errors
/// A certificate or key file that cannot be used.
pub fn remote(directory: &config::Directory, roots: &tls::Roots) -> Result<Remote, tls::SettingsError> {
    let (endpoint, host) = match &directory.address {
        Endpoint::Host { host, port } => (connect::Endpoint::Tcp(Host::new(host, *port)), host.as_str()),
        // A socket has no name; without tls.server-name no TLS is started over it, see below.
        Endpoint::Socket(path) => (connect::Endpoint::Unix(path.clone()), "localhost"),
    };
    let tls = &directory.tls;
    let settings = tls::Settings {
        server_name: tls.server_name.clone().unwrap_or_else(|| host.to_owned()),
        ca_file: tls.ca_file.clone(),
        identity: tls.cert_file.clone().zip(tls.key_file.clone()),
        allow_invalid_certs: tls.allow_invalid_certs,
        classic_key_exchange: tls.key_exchange == KeyExchange::Classic,
    };
    let encryption = match (tls.implicit, tls.starttls) {
        (true, _) => Encryption::AlreadyOn,
        // Nobody is between us and a socket, and its certificate could be for no name.
        (false, StartTls::IfAvailable)
            if matches!(directory.address, Endpoint::Socket(_)) && tls.server_name.is_none() =>
        {
            Encryption::Never
        }
        (false, StartTls::IfAvailable) => Encryption::IfOffered,
        (false, StartTls::Required) => Encryption::Required,
        (false, StartTls::Never) => Encryption::Never,
    };
    Ok(Remote {
        peer: format!("{} ({})", directory.name, directory.address).into(),
        dial: Arc::new(endpoint),
        tls: Arc::new(tls::Client::new(&settings, roots)?),
        encryption,
        timeout: directory.timeout,
        allow_cleartext: directory.auth.allow_cleartext,
    })
}

/// How an SMTP or LMTP remote is greeted.
pub fn hello(directory: &config::Directory) -> Hello {
    let protocol = if directory.kind == Kind::Lmtp {
        SmtpProtocol::Lmtp
    } else {
        SmtpProtocol::Smtp
    };
    let name = directory.ehlo_name.clone().unwrap_or_else(host_name);
    Hello { protocol, name }
}

/// The host's name; an address literal where it has none (RFC 5321 §4.1.1.1).
fn host_name() -> String {
    let name = nix::unistd::gethostname()
        .ok()
        .and_then(|name| name.into_string().ok());
    name.filter(|name| !name.is_empty())
        .unwrap_or_else(|| "[127.0.0.1]".into())
}

fn build(
    directory: &config::Directory,
    remote: Arc<Remote>,
    mechanism: Option<Mechanism>,
) -> Arc<dyn Directory> {
    let template = directory.auth.username.clone();
    let username: Username = Arc::new(move |login| {
        // A template that wants a domain where the login has none would make a name of nobody.
        let from = Filling {
            user: login.as_bytes(),
            ..Filling::default()
        };
        template.fill(&from).unwrap_or_else(|_| login.as_bytes().to_vec())
    });
    let pool = &directory.pool;
    let logins = pool::Limits {
        max_sessions: pool.max_sessions as usize,
        warm_sessions: pool.warm_sessions as usize,
        queue: pool.queue as usize,
        idle_timeout: pool.idle_timeout,
        max_age: pool.max_age,
        questions: None,
        refusals: limit(directory.limits.auth_errors),
    };
    if directory.kind == Kind::Imap {
        let options = Options {
            mechanism,
            confirm: directory.auth.confirm,
        };
        return Arc::new(Imap::new(
            remote, options, username, logins, directory.auth.forward_client,
        ));
    }
    let recipients = pool::Limits {
        questions: limit(directory.limits.rcpt),
        refusals: limit(directory.limits.rcpt_errors),
        warm_sessions: 0,
        ..logins
    };
    let rcpt = &directory.rcpt;
    let settings = SmtpSettings {
        hello: hello(directory),
        mail_from: rcpt.mail_from.clone().into_bytes(),
        reading: Reading {
            code_252_exists: rcpt.code_252 == Code252::Exists,
            policy_means_unknown: rcpt.policy == RcptPolicy::Unknown,
            microsoft: rcpt.microsoft,
        },
        mechanism,
        username,
        forward_client: directory.auth.forward_client,
    };
    Arc::new(Smtp::new(remote, settings, recipients, logins))
}

const fn limit(limit: Limit) -> Option<u32> {
    match limit {
        Limit::Unlimited => None,
        Limit::At(most) => Some(most),
    }
}

/// Whether this version serves a listener: speaks its protocol, and binds its
/// socket itself.
pub const fn is_served(listener: &config::Listener) -> bool {
    !matches!(listener.protocol, Protocol::Saslauthd | Protocol::Socketmap)
        && matches!(listener.socket, ListenAddress::Path(_) | ListenAddress::Tcp(_))
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
        counted.push(WatchedDoor {
            name: listener.name.as_str().into(),
            counts: door.counts().clone(),
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
        open_doors.push(status::Door::new(listener, admission));
        tracing::info!(door = listener.name, socket = %listener.socket, protocol = %listener.protocol, "listening");
    }
    // Both answer to the last, and their paths go with them.
    let _metrics = metrics::serve(prepared.metrics, counted, &members)?;
    let daemon = status::Daemon {
        started,
        draining: draining.clone(),
        doors: open_doors,
        directories: status::Remote::all(config, &members),
    };
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
fn answer(control: Option<Bound>, daemon: status::Daemon) -> Result<Option<BoundPath>, DaemonError> {
    let Some(control) = control else {
        return Ok(None);
    };
    let socket = UnixListener::from_std(control.listener).map_err(DaemonError::System)?;
    tokio::spawn(control::serve::serve(socket, daemon.answers()));
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
