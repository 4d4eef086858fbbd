//! The socket of `[metrics]`.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::prepare::{Listening, metrics_ownership};
use super::running::sockets::Beside;
use super::{DaemonError, ServiceUser};
use crate::metrics::{Report, Served, Watched, http};
use crate::service::bound_path::BoundPath;
use crate::settings::socket::ListenAddress;

/// Permissions of a socket: clients that may ask about users may know the number of questions.
pub(super) const MODE: u32 = 0o660;

/// The socket as the configuration names it, and its place in the file system where it has one. Nobody accepts yet.
pub(super) struct Opened {
    pub(super) listen: ListenAddress,
    pub(super) socket: Listening,
    pub(super) path: Option<BoundPath>,
}

/// The endpoint; it is closed when the value is dropped.
pub(super) struct Serving {
    accepting: Arc<Mutex<JoinHandle<()>>>,
    keeping: JoinHandle<()>,
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.accepting.lock().abort();
        self.keeping.abort();
    }
}

/// Serves what is `watched`, and the page with its last hour and the `report`, if there is a socket for it; and how its
/// socket is looked after, where it has a place.
///
/// # Errors
/// When the runtime does not take the socket.
pub(super) fn serve(
    opened: Option<Opened>,
    watched: watch::Receiver<Arc<Watched>>,
    report: Box<Report>,
) -> Result<(Option<Serving>, Option<Beside>), DaemonError> {
    let Some(opened) = opened else {
        return Ok((None, None));
    };
    let socket = opened.socket.listen().map_err(DaemonError::System)?;
    let served = Arc::new(Served::new(watched, report));
    let accepting = tokio::spawn(http::serve(socket, served.clone()));
    let accepting = Arc::new(Mutex::new(accepting));
    let kept = served.clone();
    let keeping = tokio::spawn(async move { kept.keep().await });
    tracing::info!(socket = %opened.listen, "metrics are served at /metrics, the status page at /");
    let again = accepting.clone();
    let beside = opened.path.map(|path| Beside {
        of: "metrics.listen",
        path,
        ownership: metrics_ownership(&ServiceUser::ours()),
        serve: Box::new(move |listener| {
            let socket = Listening::Unix(listener).listen()?;
            let accepting = tokio::spawn(http::serve(socket, served.clone()));
            std::mem::replace(&mut *again.lock(), accepting).abort();
            Ok(())
        }),
    });
    Ok((Some(Serving { accepting, keeping }), beside))
}
