//! The connection to a store, and when it is left alone.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout, timeout_at};
use tokio_util::task::AbortOnDropHandle;
use vouch_protocol::secret::Secret;

use super::client::Connection;
use super::exchange::{Driver, Put};
use super::key::Name;
use super::purges::{Agreed, Purges};
use super::troubles::Noted;
use super::wrong::{Step, Wrong};
use crate::chance::Chance;
use crate::session::{bare, connect::Dial, tls};
use crate::telemetry::counter::Counter;
use crate::telemetry::histogram::Histogram;

/// Bound (cache): look-ups of a store in a row that got no answer. Beyond: it is left alone, and called again each second.
/// Why: a store that hangs costs three questions the patience, and no other.
const LOOKUPS_FAILED: u32 = 3;

/// Bound (cache): connection to a store, its first answers included. Beyond: it is called again. Why: nobody waits for it.
pub(super) const STORE_CONNECT: Duration = Duration::from_secs(2);

/// Bound (cache): shortest pause before a store is called again; by chance up to three times as long. Beyond: it is called.
/// Why: within a second or two it is of use again, and not all edges call at once.
pub(super) const RETRY_PAUSE: Duration = Duration::from_millis(500);

/// Bound (cache): time for which a question waits for the first connection to the store after a start. Beyond: the remote
/// is asked. Why: an edge that starts while its remote is down knows from the start what the others know.
pub(super) const FIRST_CONNECTION: Duration = Duration::from_millis(250);

/// Bound (cache): answer to what the edge asks a store for itself, and to what it writes. Beyond: it is left alone for a
/// while. Why: no question waits for it.
pub(super) const IN_TIME: Duration = Duration::from_secs(1);

/// Bound (cache): shortest time between two readings of the record of purges. Beyond: what is announced meanwhile is read at
/// its end. Why: a store that announces purges without end has each edge read ten times a second.
pub(super) const READINGS_APART: Duration = Duration::from_millis(100);

/// How much later than it is asked to the runtime's timer may go off: it counts whole milliseconds, and sleeps for whole ones.
const TIMER: Duration = Duration::from_millis(2);

/// The wait that is over within the patience, also by a timer that is late. Half of the patience is left at the least.
pub(super) fn wait(patience: Duration) -> Duration {
    patience.saturating_sub(TIMER).max(patience / 2)
}

/// The way to a store.
pub(super) struct Way {
    /// As errors and the log name it.
    pub(super) peer: Arc<str>,
    pub(super) dial: Arc<dyn Dial>,
    pub(super) tls: Option<tls::Client>,
    pub(super) user: Option<String>,
    pub(super) password: Option<Secret<[u8]>>,
    /// For which a question waits, at most.
    pub(super) wait: Duration,
    /// How often the record of purges is read where none is announced, which shows as well whether the store answers.
    pub(super) readings: Duration,
    /// A name that is asked for to see whether the store answers.
    pub(super) probe: Name,
    /// What no store is to make anybody forget.
    pub(super) purges: Arc<Purges>,
    pub(super) chance: Chance,
}

/// What became of look-ups and writes.
#[derive(Debug, Default)]
pub(super) struct Counts {
    /// Look-ups that were answered, with a value or without.
    pub(super) answered: Counter,
    /// How long these took.
    pub(super) took: Histogram,
    /// Values that were findings of use.
    pub(super) found: Counter,
    /// Values that were none.
    pub(super) unusable: Counter,
    /// Look-ups that got no answer within the patience, or an error.
    pub(super) failed: Counter,
    /// Look-ups that were not begun, as the store was left alone.
    pub(super) spared: Counter,
    /// Values that were written.
    pub(super) written: Counter,
    /// Values that were not, for want of room in the queue or since the store took none.
    pub(super) unwritten: Counter,
}

/// Whether there is a connection.
#[derive(Clone)]
pub(super) enum State {
    /// The first is under way.
    Starts,
    Up(Connection),
    Down,
}

/// The connection, and how it is.
pub(super) struct Link {
    pub(super) way: Way,
    pub(super) state: watch::Sender<State>,
    failures: AtomicU32,
    /// The connection is of no use.
    lost: Notify,
    /// An edge has purged something.
    announced: Arc<Notify>,
    pub(super) troubles: Noted,
    pub(super) counts: Counts,
}

impl Link {
    /// One that is not there yet.
    pub(super) fn new(way: Way) -> Self {
        Self {
            state: watch::Sender::new(State::Starts),
            failures: AtomicU32::new(0),
            lost: Notify::new(),
            announced: Arc::default(),
            troubles: Noted::new(way.peer.clone()),
            counts: Counts::default(),
            way,
        }
    }

    /// A value and how many milliseconds it is kept for, if there is one and it comes within the patience.
    pub(super) async fn look(&self, name: &Name) -> Option<(Vec<u8>, i64)> {
        let mut connection = self.connection().await?;
        let asked = Instant::now();
        match timeout(self.way.wait, connection.get(name)).await {
            Ok(Ok(found)) => {
                self.failures.store(0, Ordering::Relaxed);
                self.counts.answered.count();
                self.counts.took.observe(asked.elapsed());
                found
            }
            Ok(Err(wrong)) => self.note_failure(wrong),
            Err(_) => self.note_failure(Wrong::Slow),
        }
    }

    /// Whether this edge may do what only one is to do for that time; a store without an answer does not keep it from it.
    pub(super) async fn claim(&self, name: &Name, time: Duration) -> bool {
        let Some(mut connection) = self.connection().await else {
            return true;
        };
        // A store that takes no writes is noted by what writes.
        matches!(
            timeout(IN_TIME, connection.claim(name, time)).await,
            Ok(Ok(true)) | Ok(Err(_)) | Err(_)
        )
    }

    /// How many different marks are in these counts, if that comes within the patience.
    pub(super) async fn count(&self, names: &[String; 2]) -> Option<u64> {
        // Nobody waits for the first connection: the own count will do.
        let State::Up(mut connection) = self.state.borrow().clone() else {
            return None;
        };
        match timeout(self.way.wait, connection.count(names)).await {
            Ok(Ok(count)) => {
                self.failures.store(0, Ordering::Relaxed);
                self.troubles.note_step(Step::Count, None);
                Some(count)
            }
            Ok(Err(wrong)) => {
                self.troubles.note_step(Step::Count, Some(wrong));
                None
            }
            Err(_) => self.note_failure(Wrong::Slow),
        }
    }

    /// Waits for the first connection, and whether the store takes writes; notes what is wrong.
    pub(super) async fn try_out(&self) {
        let mut changes = self.state.subscribe();
        let state = changes.wait_for(|state| !matches!(state, State::Starts)).await;
        let Ok(State::Up(mut connection)) = state.map(|state| state.clone()) else {
            return;
        };
        let wrong = match timeout(IN_TIME, connection.claim(&self.way.probe, IN_TIME)).await {
            Ok(Ok(_)) => None,
            Ok(Err(wrong)) => Some(wrong),
            Err(_) => Some(Wrong::Slow),
        };
        self.troubles.note(|troubles| troubles.writing = wrong);
        let (name, mark, kept) = ("vouch1:{}:0".to_owned(), [0; 8], IN_TIME);
        let put = [Put { name, mark, kept }];
        if let Ok(done) = timeout(IN_TIME, connection.put(&put)).await {
            self.troubles.note_step(Step::Put, done.err());
        }
        let names = [0, 1].map(|window| format!("vouch1:{{}}:{window}"));
        if let Ok(done) = timeout(IN_TIME, connection.count(&names)).await {
            self.troubles.note_step(Step::Count, done.err());
        }
        if let Ok(announced) = timeout(IN_TIME, connection.announce()).await {
            self.troubles.note_step(Step::Announce, announced.err());
        }
        let tell = connection.tell(&self.way.probe, 0, b"", IN_TIME);
        if let Ok(done) = timeout(IN_TIME, tell).await {
            self.troubles.note_step(Step::Tell, done.err());
        }
    }

    async fn connection(&self) -> Option<Connection> {
        let mut state = self.state.borrow().clone();
        if let State::Starts = state {
            let mut changes = self.state.subscribe();
            let started = changes.wait_for(|state| !matches!(state, State::Starts));
            if let Ok(Ok(started)) = timeout(FIRST_CONNECTION, started).await {
                state = started.clone();
            }
        }
        if let State::Up(connection) = state {
            return Some(connection);
        }
        self.counts.spared.count();
        None
    }

    fn note_failure<T>(&self, wrong: Wrong) -> Option<T> {
        self.counts.failed.count();
        if self.failures.fetch_add(1, Ordering::Relaxed) + 1 >= LOOKUPS_FAILED {
            self.give_up(wrong);
        }
        None
    }

    /// Leaves the store alone until it answers a new connection.
    pub(super) fn give_up(&self, wrong: Wrong) {
        let was_up = self.state.send_if_modified(|state| {
            let is_up = matches!(state, State::Up(_));
            if is_up {
                *state = State::Down;
            }
            is_up
        });
        if was_up {
            self.troubles.note(|troubles| troubles.connection = Some(wrong));
            self.lost.notify_one();
        }
    }

    /// Connects, and connects again whenever the connection is lost.
    pub(super) async fn stay_connected(self: Arc<Self>) {
        loop {
            match self.connect().await {
                Ok((connection, driver)) => {
                    let driver = AbortOnDropHandle::new(tokio::spawn(driver));
                    self.failures.store(0, Ordering::Relaxed);
                    // What was lost before is over.
                    let _ = timeout(Duration::ZERO, self.lost.notified()).await;
                    self.state.send_replace(State::Up(connection.clone()));
                    if self.troubles.present().connection.is_none() {
                        tracing::info!(store = &*self.way.peer, "the store of the fleet is used");
                    }
                    self.troubles.note(|troubles| troubles.connection = None);
                    self.look_after(connection, driver).await;
                }
                Err(wrong) => {
                    // In this order: a waiter for the state finds the reason.
                    self.troubles.note(|troubles| troubles.connection = Some(wrong));
                    self.state.send_replace(State::Down);
                }
            }
            sleep(RETRY_PAUSE + self.way.chance.up_to(2 * RETRY_PAUSE)).await;
        }
    }

    /// A connection that has answered within the patience, and what drives it.
    async fn connect(&self) -> Result<(Connection, Driver), Wrong> {
        let way = &self.way;
        let deadline = Instant::now() + STORE_CONNECT;
        let stream = bare::open(&way.peer, &*way.dial, way.tls.as_ref(), deadline).await?;
        let announced = self.announced.clone();
        let opened = Connection::open(stream, way.user.as_deref(), way.password.as_ref(), announced);
        let opened = timeout_at(deadline, opened).await.map_err(|_| Wrong::Slow)?;
        let (connection, mut driver) = opened?;
        let mut tried = pin!(timeout_at(deadline, self.try_answers(connection.clone())));
        let answered = tokio::select! {
            biased;
            answered = &mut tried => answered,
            // The last that it said is known by now.
            () = &mut driver => tried.await,
        };
        answered.map_err(|_| Wrong::Slow)??;
        Ok((connection, driver))
    }

    /// Whether it is a store, lets us read, and is fast enough: else it would be left alone again after as many questions.
    async fn try_answers(&self, mut connection: Connection) -> Result<(), Wrong> {
        connection.is_store().await?;
        connection.knows_commands().await?;
        self.hear_of_purges(&mut connection).await?;
        for _ in 0..LOOKUPS_FAILED {
            if let Ok(answer) = timeout(self.way.wait, connection.get(&self.way.probe)).await {
                return answer.map(drop);
            }
        }
        Err(Wrong::Slow)
    }

    /// Learns what other edges have purged, before any value of the store is believed; and tells what it does not know.
    async fn hear_of_purges(&self, connection: &mut Connection) -> Result<(), Wrong> {
        if let Err(wrong) = self.agree(connection).await? {
            self.troubles.note(|troubles| troubles.writing = Some(wrong));
        }
        Ok(())
    }

    /// Has the store know what this edge knows of purges, and the other edges hear that there is something to be read.
    async fn agree(&self, connection: &mut Connection) -> Result<Result<(), Wrong>, Wrong> {
        let agreed = self.way.purges.agree(connection).await?;
        if agreed == Ok(Agreed::Changed) {
            let announced = connection.announce().await;
            self.troubles.note_step(Step::Announce, announced.err());
        }
        Ok(agreed.map(drop))
    }

    /// Tells the store what was purged here; why not, where it does not take it now.
    pub(super) async fn tell_purges(&self) -> Result<(), Wrong> {
        let State::Up(mut connection) = self.state.borrow().clone() else {
            let trouble = self.troubles.present().connection;
            return Err(trouble.unwrap_or(Wrong::Slow));
        };
        let told = timeout(IN_TIME, self.agree(&mut connection)).await;
        told.map_err(|_| Wrong::Slow)??
    }

    /// Waits until the record of purges is to be read again, where it was just now: soon, if one is announced.
    async fn next_reading(&self) {
        let read = Instant::now();
        let _ = timeout_at(read + self.way.readings, self.announced.notified()).await;
        sleep_until(read + READINGS_APART).await;
    }

    /// Returns once the connection is of no use any more.
    async fn look_after(&self, mut connection: Connection, mut driver: AbortOnDropHandle<()>) {
        if let Ok(heard) = timeout(IN_TIME, connection.hear()).await {
            // What was purged before that is read as well.
            if heard.is_ok() {
                self.announced.notify_one();
            }
            self.troubles.note_step(Step::Announce, heard.err());
        }
        loop {
            tokio::select! {
                () = self.lost.notified() => return,
                _ = &mut driver => return self.give_up(Wrong::Ended),
                () = self.next_reading() => {}
            }
            match timeout(IN_TIME, self.hear_of_purges(&mut connection)).await {
                Ok(Ok(())) => {}
                Ok(Err(wrong)) => return self.give_up(wrong),
                Err(_) => return self.give_up(Wrong::Slow),
            }
        }
    }
}
