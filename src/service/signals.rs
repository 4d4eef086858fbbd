//! Signals as a stream of orders.

use std::io;

use nix::sys::signal::{SigSet, Signal as Number};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Those that ask something of the daemon.
const ORDERS: [Number; 5] = [
    Number::SIGTERM,
    Number::SIGINT,
    Number::SIGHUP,
    Number::SIGUSR1,
    Number::SIGUSR2,
];

/// Has orders wait until there is somebody who hears them: before that, the system would
/// end the process by any of them. To be called before any thread starts, as a thread holds
/// back what its parent does.
pub fn hold() {
    // It fails for no set that can be made.
    let _ = SigSet::from_iter(ORDERS).thread_block();
}

/// Hands out the orders that waited: the calling thread takes them, for all others.
pub fn release() {
    let _ = SigSet::from_iter(ORDERS).thread_unblock();
}

/// What a signal asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// TERM or INT: answer what was asked, then end.
    Drain,
    /// HUP: read the configuration again.
    Reload,
}

/// QUIT, by which Dovecot ends who has not ended in time.
pub struct SigQuit(Signal);

impl SigQuit {
    /// Listens from now on.
    ///
    /// # Errors
    /// When the runtime cannot register a handler.
    pub fn new() -> io::Result<Self> {
        signal(SignalKind::quit()).map(Self)
    }

    /// Waits for it.
    pub async fn received(&mut self) {
        self.0.recv().await;
    }
}

/// How much is to be logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detail {
    /// USR1: one step more.
    More,
    /// USR2: as configured.
    Configured,
}

/// The signals by which the detail of the log is changed; the same as of BIND's `named`.
pub struct Details {
    more: Signal,
    configured: Signal,
}

impl Details {
    /// Listens from now on.
    ///
    /// # Errors
    /// When the runtime cannot register a handler.
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            more: signal(SignalKind::user_defined1())?,
            configured: signal(SignalKind::user_defined2())?,
        })
    }

    /// The next one.
    pub async fn next(&mut self) -> Detail {
        tokio::select! {
            _ = self.more.recv() => Detail::More,
            _ = self.configured.recv() => Detail::Configured,
        }
    }
}

/// The signals that we listen to.
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    /// Listens from now on.
    ///
    /// # Errors
    /// When the runtime cannot register a handler.
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// The next order.
    pub async fn next(&mut self) -> Order {
        tokio::select! {
            _ = self.terminate.recv() => Order::Drain,
            _ = self.interrupt.recv() => Order::Drain,
            _ = self.hangup.recv() => Order::Reload,
        }
    }
}
