//! A listener while it is served, and how it ends.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::{Common, JUST_ACCEPTED};
use crate::config;
use crate::daemon::listeners::{AnyListener, asked};
use crate::engine::CachedDirectory;
use crate::fleet::Fleet;
use crate::server::Socket;
use crate::server::admission::{Admission, Peers};
use crate::service::bound_path::{BoundPath, Place};

/// While listeners close, how often to check whether their last client has gone.
const EMPTY_CHECK: Duration = Duration::from_millis(20);

/// A listener that is served.
pub(super) struct OpenListener {
    pub(super) keys: config::Listener,
    pub(super) asked: Vec<Arc<CachedDirectory>>,
    pub(super) socket: Arc<Socket>,
    pub(super) path: Option<BoundPath>,
    /// The place of a socket that is not ours to bind, where it has one.
    pub(super) handed_over: Option<Place>,
    pub(super) listener: AnyListener,
    pub(super) admission: Arc<Admission>,
    /// Ends only this listener.
    pub(super) closing: CancellationToken,
    /// Ends what accepts for it: it goes with `closing`.
    pub(super) accepting: CancellationToken,
}

impl OpenListener {
    /// Serves `listener`, which is at the same socket and speaks the same protocol: its clients stay.
    pub(super) fn change(
        &mut self,
        keys: &config::Listener,
        members: &[Arc<CachedDirectory>],
        peers: Option<Peers>,
        (common, fleet): (&Common, Option<&Arc<Fleet>>),
    ) {
        self.listener.change(keys, members, (&common.handover, fleet));
        let most = keys.max_connections as usize;
        self.admission = Arc::new(self.admission.succeeded_by(&keys.name, most, peers));
        self.accepting.cancel();
        self.accepting = self.closing.child_token();
        self.keys = keys.clone();
        self.asked = asked(keys, members);
        common.accept(self);
    }

    /// Gives its socket to another listener, and disconnects its clients once those just accepted have had time to ask.
    pub(super) fn replace(self, common: &Common) -> (Arc<Socket>, Option<BoundPath>) {
        self.accepting.cancel();
        common.part_with_clients(self.closing);
        (self.socket, self.path)
    }

    /// Lets nobody in any more but the clients in the backlog of its socket. The path goes first, so that none comes
    /// behind them.
    pub(super) fn stop_accepting(self) -> StoppedListener {
        drop((self.path, self.socket));
        self.accepting.cancel();
        StoppedListener {
            closing: self.closing,
            admission: self.admission,
        }
    }
}

/// A listener whose clients are served to their end.
pub(super) struct StoppedListener {
    pub(super) closing: CancellationToken,
    pub(super) admission: Arc<Admission>,
}

/// Closes these listeners, and waits until the last of their clients has gone.
pub(super) async fn close(listeners: Vec<OpenListener>) {
    let stopped: Vec<_> = listeners.into_iter().map(OpenListener::stop_accepting).collect();
    sleep(JUST_ACCEPTED).await;
    stopped.iter().for_each(|listener| listener.closing.cancel());
    while stopped
        .iter()
        .any(|listener| listener.admission.connections() > 0)
    {
        sleep(EMPTY_CHECK).await;
    }
}
