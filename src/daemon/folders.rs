//! Sockets that could not be made, found before any is.

use std::path::Path;

use super::confine::ServiceUser;
use super::ownership::{control_ownership, metrics_ownership, ownership};
use crate::config::Config;
use crate::service::bind::{BindError, Ownership, address_obstacle, folder_problem, obstacle};
use crate::settings::socket::ListenAddress;

/// What would keep a start from binding its sockets, by who we are now, for whom the daemon is to become. Sockets
/// that systemd hands over are there only in what it starts.
pub(super) fn unbindable(config: &Config, user: &ServiceUser) -> Vec<String> {
    let problem = |address: &ListenAddress, ownership: Ownership| match address {
        ListenAddress::Path(path) if is_made_at_the_start(path) && folder_problem(path).is_some() => None,
        ListenAddress::Path(path) => obstacle(path, ownership),
        ListenAddress::Tcp(address) => address_obstacle(*address),
        ListenAddress::Systemd(_) | ListenAddress::Dovecot => None,
    };
    let mut problems = Vec::new();
    let mut note = |name: String, problem: Option<BindError>| {
        problems.extend(problem.map(|problem| format!("{name}: {problem}")));
    };
    for listener in &config.listener {
        let found = match ownership(listener, user) {
            Ok(ownership) => problem(&listener.socket, ownership),
            Err(error) => Some(error),
        };
        note(format!("listener \"{}\"", listener.name), found);
    }
    if let Some(metrics) = &config.metrics {
        note(
            "metrics.listen".into(),
            problem(&metrics.listen, metrics_ownership(user)),
        );
    }
    // One that nobody has named is not missed.
    if let Some(path) = &config.control.socket {
        let path = ListenAddress::Path(path.clone());
        note("control.socket".into(), problem(&path, control_ownership(user)));
    }
    problems
}

/// Sockets that could not be bound anew by who we are now, should somebody remove them.
pub(super) fn lost_once_removed(config: &Config) -> Vec<String> {
    let listeners = config
        .listener
        .iter()
        .map(|listener| (format!("listener \"{}\"", listener.name), &listener.socket));
    let metrics = config.metrics.iter();
    let metrics = metrics.map(|metrics| ("metrics.listen".to_owned(), &metrics.listen));
    let paths = listeners.chain(metrics).map(|(name, address)| match address {
        ListenAddress::Path(path) => (name, Some(path.as_path())),
        _ => (name, None),
    });
    let control = config.control.socket.as_deref();
    let control = control.map(|path| ("control.socket".to_owned(), Some(path)));
    let problem = |(name, path): (String, Option<&Path>)| {
        let path = path.filter(|path| !is_made_at_the_start(path))?;
        Some(format!("{name}: {}", folder_problem(path)?))
    };
    paths.chain(control).filter_map(problem).collect()
}

/// The folder that a unit with `RuntimeDirectory=vouch` has while it runs.
fn is_made_at_the_start(socket: &Path) -> bool {
    socket.parent() == Some(Path::new("/run/vouch")) && Path::new("/run/systemd/system").is_dir()
}
