//! The folders of sockets, before any socket is made.

use std::path::Path;

use crate::config::{Config, ListenAddress};
use crate::service::bind::folder_problem;

/// Sockets that could not be made, by who we are now.
pub(super) fn unbindable(config: &Config) -> Vec<String> {
    let listeners = config.listener.iter().map(|listener| {
        let name = format!("listener \"{}\"", listener.name);
        (name, path_of(&listener.socket))
    });
    let metrics = config.metrics.iter();
    let metrics = metrics.map(|metrics| ("metrics.listen".to_owned(), path_of(&metrics.listen)));
    let control = config.control.socket.as_deref();
    let control = control.map(|path| ("control.socket".to_owned(), Some(path)));
    let all = listeners.chain(metrics).chain(control);
    let problem = |(name, path): (String, Option<&Path>)| {
        let path = path.filter(|path| !is_made_at_the_start(path))?;
        Some(format!("{name}: {}", folder_problem(path)?))
    };
    all.filter_map(problem).collect()
}

fn path_of(address: &ListenAddress) -> Option<&Path> {
    match address {
        ListenAddress::Path(path) => Some(path),
        _ => None,
    }
}

/// The folder that a unit with `RuntimeDirectory=vouch` has while it runs.
fn is_made_at_the_start(socket: &Path) -> bool {
    socket.parent() == Some(Path::new("/run/vouch")) && Path::new("/run/systemd/system").is_dir()
}
