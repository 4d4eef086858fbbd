//! What is remembered of one recipient or login, as the administrator sees it.

use std::net::IpAddr;
use std::time::Duration;

use tokio::task::yield_now;

use crate::verdict::Cause;

/// Bound (process): cache entries searched in one go. Beyond: other requests are served in between. Why: it takes
/// less than a millisecond.
pub(crate) const PIECE: usize = 1000;

/// Bound (cache): addresses that a user is known to log in from, where auth.forward-client passes them to the server.
/// Beyond: one more takes the place of the oldest. Why: the devices of one person, and a few networks that a
/// telephone uses.
pub(super) const ADDRESSES: usize = 16;

/// Looks at each, in pieces, with others at work between them.
pub(super) async fn in_pieces<T>(all: impl Iterator<Item = T>, mut look_at: impl FnMut(T)) {
    for (looked, one) in all.enumerate() {
        look_at(one);
        if looked % PIECE == 0 {
            yield_now().await;
        }
    }
}

/// What is remembered of a recipient or a login.
#[derive(Debug, Clone)]
pub struct Entry {
    /// `accept` or `reject`.
    pub verdict: &'static str,
    /// Why it was refused, or the remark on an accepted one.
    pub cause: Option<Cause>,
    /// The address that a login was accepted from, where the directory hands that on.
    pub client: Option<IpAddr>,
    /// Since the directory said so.
    pub age: Duration,
    /// What it is good for.
    pub state: State,
    /// When it will be ageing, where it is fresh and will be.
    pub refresh_in: Option<Duration>,
    /// When it is of no use any more.
    pub ends_in: Duration,
}

impl Entry {
    /// The directory's status and words, where it had any.
    pub fn detail(&self) -> Option<String> {
        self.cause.as_ref().map(Cause::detail)
    }
}

/// What an entry is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It is the answer.
    Fresh,
    /// It is the answer, and the directory is asked again meanwhile.
    Ageing,
    /// It is the answer only while the directory gives none.
    Stale,
}

impl State {
    /// As in the metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fresh => "fresh",
            Self::Ageing => "ageing",
            Self::Stale => "stale",
        }
    }
}
