//! Signals as a stream of orders.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// What a signal asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// TERM or INT: answer what was asked, then end.
    Drain,
    /// HUP: read the configuration again.
    Reload,
}

/// QUIT, by which Dovecot ends who has not ended in time.
pub struct LastWord(Signal);

impl LastWord {
    /// Listens from now on.
    ///
    /// # Errors
    /// When the runtime cannot register a handler.
    pub fn new() -> io::Result<Self> {
        signal(SignalKind::quit()).map(Self)
    }

    /// Waits for it.
    pub async fn said(&mut self) {
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
