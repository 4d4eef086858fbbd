//! What the tasks of one pool share.

use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;

use super::counts::Counts;
use super::gate::Gate;
use super::pace::Pace;
use super::served::room;
use super::state::State;
use super::{Judge, Limits, Open};
use crate::session::Session;

/// What the tasks of one pool share.
pub(super) struct Shared<S: Session, V> {
    pub(super) open: Open<S>,
    pub(super) judge: Judge<S, V>,
    pub(super) limits: Limits,
    pub(super) peer: Arc<str>,
    state: Mutex<State<S::Question, V>>,
    pub(super) gate: Arc<Gate>,
    pub(super) asked: Notify,
    /// How long an answer takes lately.
    pub(super) pace: Pace,
    pub(super) counts: Arc<Counts>,
}

impl<S: Session, V: Send + 'static> Shared<S, V> {
    pub(super) fn new(
        peer: Arc<str>,
        limits: Limits,
        (gate, counts): (Arc<Gate>, Arc<Counts>),
        open: Open<S>,
        judge: Judge<S, V>,
    ) -> Self {
        // Until a session is known, its remote is given credit for what it may offer.
        let batch = room(S::MAX_BATCH, &limits, 0, 0);
        let state = State::new(batch, S::SINGLE_USE_ON_SUCCESS, gate.clone());
        Self {
            open,
            judge,
            limits,
            peer,
            state: Mutex::new(state),
            gate,
            asked: Notify::new(),
            pace: Pace::default(),
            counts,
        }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State<S::Question, V>> {
        self.state.lock()
    }
}
