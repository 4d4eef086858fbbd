//! Notifications to systemd (sd_notify(3)). Without `$NOTIFY_SOCKET`, none is sent.

use std::io;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use sd_notify::{NotifyState, notify, watchdog_enabled};
use tokio::time::interval;

/// Bound (process): messages that wait while systemd does not read. Beyond: one more is lost. Why: each has the
/// newest state, and no request waits for them.
const WAITING: usize = 16;

/// What happens to the daemon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// The caller gets an answer.
    Ready,
    /// The configuration is being read again; [`Event::Ready`] follows.
    Reloading,
    /// It ends, once what was asked is answered.
    Stopping,
}

enum Message {
    Event(Event, String),
    Status(String),
    Alive,
}

/// The way to systemd. A thread of its own goes it: a systemd that reads nothing holds up nobody who asks, and a
/// resolver that does not answer, whose look-ups hold the runtime's threads, does not silence us.
#[derive(Debug, Clone)]
pub struct Systemd(SyncSender<Message>);

impl Systemd {
    /// Begins to tell.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn new() -> io::Result<Self> {
        let (messages, waiting) = sync_channel(WAITING);
        let tell = move || {
            for message in waiting {
                if let Err(error) = send(&message) {
                    tracing::debug!("systemd was not told: {error}");
                }
            }
        };
        thread::Builder::new().name("vouch-notify".into()).spawn(tell)?;
        Ok(Self(messages))
    }

    /// Notifies of an event, and of the state in words (`systemctl status`).
    pub fn tell(&self, event: Event, status: String) {
        self.push(Message::Event(event, status));
    }

    /// Notifies of the state in words.
    pub fn tell_status(&self, status: String) {
        self.push(Message::Status(status));
    }

    /// Shows that the runtime still turns, as often as systemd wants to see it (`WatchdogSec=`), for as long as it
    /// does. Ends at once where it does not want to.
    pub async fn keep_alive(self) {
        let Some(patience) = watchdog_enabled() else {
            return;
        };
        // sd_watchdog_enabled(3) recommends half of it.
        let mut often = interval((patience / 2).max(Duration::from_millis(1)));
        loop {
            often.tick().await;
            self.push(Message::Alive);
        }
    }

    fn push(&self, message: Message) {
        // A reader that does not read needs no more.
        let _ = self.0.try_send(message);
    }
}

fn send(message: &Message) -> io::Result<()> {
    match message {
        Message::Event(event, status) => {
            let status = NotifyState::Status(status);
            match event {
                Event::Ready => notify(&[NotifyState::Ready, status]),
                Event::Reloading => {
                    notify(&[NotifyState::Reloading, NotifyState::monotonic_usec_now()?, status])
                }
                Event::Stopping => notify(&[NotifyState::Stopping, status]),
            }
        }
        Message::Status(status) => notify(&[NotifyState::Status(status)]),
        Message::Alive => notify(&[NotifyState::Watchdog]),
    }
}
