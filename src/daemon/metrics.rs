//! The socket of `[metrics]`.

use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::DaemonError;
use super::prepare::Listening;
use crate::config::ListenAddress;
use crate::metrics::{Report, Served, Watched, http};
use crate::service::bind::BoundPath;

/// Permissions of a socket: those who may ask about users may know how many ask.
pub(super) const MODE: u32 = 0o660;

/// The socket as the configuration names it, and its place in the file system where it has one. Nobody accepts yet.
pub(super) struct Opened {
    pub(super) listen: ListenAddress,
    pub(super) socket: Listening,
    pub(super) path: Option<BoundPath>,
}

/// The endpoint; it is closed when the value is dropped.
pub(super) struct Serving {
    task: JoinHandle<()>,
    _path: Option<BoundPath>,
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Serves what is `watched`, and the page with its last hour and the `report`, if there is a socket for it.
///
/// # Errors
/// When the runtime does not take the socket.
pub(super) fn serve(
    opened: Option<Opened>,
    watched: watch::Receiver<Arc<Watched>>,
    report: Box<Report>,
) -> Result<Option<Serving>, DaemonError> {
    let Some(opened) = opened else {
        return Ok(None);
    };
    let socket = opened.socket.listen().map_err(DaemonError::System)?;
    let served = Arc::new(Served::new(watched, report));
    let task = tokio::spawn(async move {
        tokio::join!(http::serve(socket, served.clone()), served.keep());
    });
    tracing::info!(socket = %opened.listen, "metrics are served at /metrics, the status page at /");
    Ok(Some(Serving {
        task,
        _path: opened.path,
    }))
}
