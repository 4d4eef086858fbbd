//! Sockets that somebody removed: noted in the log and in the report.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::service::bind::Bound;
use crate::service::bound_path::Found;

/// Sockets that no client can connect to, by what each is for, and why.
#[derive(Debug, Clone, Default)]
pub struct Troubles(Arc<Mutex<BTreeMap<String, Trouble>>>);

/// What is in a socket's place, and why it is there still.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Trouble {
    pub(super) found: Found,
    pub(super) why: String,
}

impl Troubles {
    /// Each in a sentence.
    pub fn all(&self) -> Vec<String> {
        let all = self.0.lock();
        all.iter()
            .map(|(of, Trouble { why, .. })| format!("{of}: {why}"))
            .collect()
    }

    /// Notes how the socket `of` is, and logs what is news. What an `order` came to is news, and stands
    /// until something else is in its place.
    pub(super) fn note(&self, of: &str, looked: &Looked, order: bool) {
        let mut all = self.0.lock();
        let before = all.remove(of);
        match looked {
            Looked::There if before.is_some() => tracing::info!("{of}: its socket is in its place again"),
            Looked::There => {}
            Looked::Anew(bound) => {
                let path = bound.path.place().path().display();
                tracing::warn!("{of}: somebody removed its socket {path}: it is bound anew");
            }
            Looked::Lost(trouble) => {
                let known = before.filter(|before| before.found == trouble.found && !order);
                if known.is_none() {
                    let why = &trouble.why;
                    tracing::error!("{of}: no client can connect: {why}");
                }
                all.insert(of.to_owned(), known.unwrap_or_else(|| trouble.clone()));
            }
        }
    }
}

/// What came of looking at a socket.
#[derive(Debug)]
pub(super) enum Looked {
    /// It is where it should be.
    There,
    /// It was gone, and this is another.
    Anew(Bound),
    /// It is gone still.
    Lost(Trouble),
}
