//! The socket of `[metrics]`.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::task::JoinHandle;

use super::ownership::metrics_ownership;
use super::prepare::{Listening, MetricsSocket};
use super::running::sockets::Beside;
use super::{DaemonError, ServiceUser};
use crate::metrics::{Reports, Served, http};

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

/// Serves what the `reports` count, and the page with the last hour, if there is a socket for it; and how its socket is
/// looked after, where it has a place.
///
/// # Errors
/// When the runtime does not take the socket.
pub(super) fn serve(
    opened: Option<MetricsSocket>,
    reports: Box<Reports>,
) -> Result<(Option<Serving>, Option<Beside>), DaemonError> {
    let Some(opened) = opened else {
        return Ok((None, None));
    };
    let socket = opened.socket.listen().map_err(DaemonError::System)?;
    let served = Arc::new(Served::new(reports));
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
