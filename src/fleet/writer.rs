//! What was found goes to the store, and nothing waits for that.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};

use super::exchange::Write;
use super::finding::{Said, encode, retention};
use super::key::{FleetKey, Name};
use super::link::{IN_TIME, Link, State};
use super::outside::Clock;
use super::purges::Purges;
use super::wrong::Wrong;

/// Bound (cache): findings that wait for the store. Beyond: they are dropped and counted. Why: the other edges ask for
/// themselves; an outage takes no memory.
pub(super) const FINDINGS_QUEUE: usize = 10_000;

/// Values that are written in one go.
const BATCH: usize = 100;

/// What is to be written.
#[derive(Debug)]
pub(super) struct Unwritten {
    pub(super) name: Name,
    pub(super) said: Said,
    pub(super) code: Option<u16>,
    /// For how long it is of use.
    pub(super) kept: Duration,
    /// When its probe began.
    pub(super) at: Instant,
}

/// What writes for one store.
pub(super) struct Writing {
    pub(super) key: FleetKey,
    pub(super) clock: Clock,
    pub(super) purges: Arc<Purges>,
}

impl Writing {
    /// Writes what comes.
    pub(super) async fn write(self, link: Arc<Link>, mut queue: mpsc::Receiver<Unwritten>) {
        let (mut batch, mut state) = (Vec::with_capacity(BATCH), link.state.subscribe());
        while queue.recv_many(&mut batch, BATCH).await > 0 {
            let many = batch.len();
            let connection = match state.wait_for(|state| matches!(state, State::Up(_))).await {
                Ok(state) => state.clone(),
                Err(_) => return,
            };
            let State::Up(mut connection) = connection else {
                continue;
            };
            let values: Vec<Write> = batch.drain(..).filter_map(|one| self.value(&one)).collect();
            let (many, too_old) = (values.len() as u64, (many - values.len()) as u64);
            link.counts.unwritten.add(too_old);
            if values.is_empty() {
                continue;
            }
            match timeout(IN_TIME, connection.write(&values)).await {
                Ok(Ok(())) => {
                    link.counts.written.add(many);
                    link.troubles.note(|troubles| troubles.writing = None);
                }
                Ok(Err(Wrong::Ended)) => link.counts.unwritten.add(many),
                // It was the primary when we came. Perhaps there is another by now.
                Ok(Err(wrong @ Wrong::Replica)) => {
                    link.counts.unwritten.add(many);
                    link.give_up(wrong);
                }
                Ok(Err(wrong)) => {
                    link.counts.unwritten.add(many);
                    link.troubles.note(|troubles| troubles.writing = Some(wrong));
                }
                Err(_) => {
                    link.counts.unwritten.add(many);
                    link.give_up(Wrong::Slow);
                }
            }
        }
    }

    /// How it is written now; `None` where it is too old by now.
    fn value(&self, what: &Unwritten) -> Option<Write> {
        let age = what.at.elapsed();
        let (place, whole) = retention(what.kept);
        let kept = whole.checked_sub(age).filter(|left| left.as_millis() > 0)?;
        let stamp = self.clock.now().checked_sub(age)?;
        let epoch = self.purges.epoch_at(what.at);
        Some(Write {
            name: what.name,
            value: encode(&self.key, &what.name, (what.said, what.code), place, stamp, epoch),
            kept,
            gives_way: (!what.said.is_yes()).then_some(age),
        })
    }
}
