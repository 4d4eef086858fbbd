//! What systemd is told of us (sd_notify(3)). Where nobody listens (`$NOTIFY_SOCKET`), nobody is told.

use std::time::Duration;

use sd_notify::{NotifyState, notify, watchdog_enabled};
use tokio::task::spawn_blocking;
use tokio::time::interval;

/// What happens to the daemon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// Who asks is answered.
    Ready,
    /// The configuration is being read again; [`Event::Ready`] follows.
    Reloading,
    /// It ends, once what was asked is answered.
    Stopping,
}

/// Tells what happens, and in words how it is (`systemctl status`).
pub async fn tell(event: Event, status: String) {
    send(move || {
        let status = NotifyState::Status(&status);
        match event {
            Event::Ready => notify(&[NotifyState::Ready, status]),
            Event::Reloading => notify(&[NotifyState::Reloading, NotifyState::monotonic_usec_now()?, status]),
            Event::Stopping => notify(&[NotifyState::Stopping, status]),
        }
    })
    .await;
}

/// Tells in words how it is.
pub async fn tell_status(status: String) {
    send(move || notify(&[NotifyState::Status(&status)])).await;
}

/// Shows that the runtime still turns, as often as systemd wants to see it (`WatchdogSec=`), for as long as it does.
/// Ends at once where it does not want to.
pub async fn keep_alive() {
    let Some(patience) = watchdog_enabled() else {
        return;
    };
    // sd_watchdog_enabled(3) recommends half of it.
    let mut often = interval((patience / 2).max(Duration::from_millis(1)));
    loop {
        often.tick().await;
        send(|| notify(&[NotifyState::Watchdog])).await;
    }
}

/// A systemd that reads nothing must not hold up those who ask.
async fn send(sending: impl FnOnce() -> std::io::Result<()> + Send + 'static) {
    let sent = spawn_blocking(sending).await;
    if let Ok(Err(error)) = sent {
        tracing::debug!("systemd was not told: {error}");
    }
}
