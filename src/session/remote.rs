//! What is known of a remote before it is called.

use std::sync::Arc;
use std::time::Duration;

use protocol::encryption::Encryption;
use tokio::time::Instant;

use super::connect::Dial;
use super::error::{Error, Kind};
use super::tls;
use crate::wire::{Stream, Wire, WireError};

/// A remote server and the way to it.
#[derive(Clone)]
pub struct Remote {
    /// How errors and logs name it: `mailbox (mail.example.org:11200)`.
    pub peer: Arc<str>,
    /// Opens a connection.
    pub dial: Arc<dyn Dial>,
    /// TLS settings; the name to check the certificate against is in them.
    pub tls: Arc<tls::Client>,
    /// When TLS is turned on.
    pub encryption: Encryption,
    /// Bound on one command and its reply.
    pub timeout: Duration,
    /// Whether a password may go out without TLS to another machine.
    pub allow_cleartext: bool,
}

/// A stream to a remote and what is known of its safety.
pub(super) struct Connection {
    pub(super) stream: Stream,
    /// The other end is this machine: loopback or a Unix socket.
    pub(super) local: bool,
    /// What TLS agreed on, once it is on.
    pub(super) tls: Option<Arc<tls::Details>>,
}

impl Remote {
    /// Connects, and turns TLS on where it is on from the first byte.
    pub(super) async fn connect(&self, deadline: Instant) -> Result<Connection, Error> {
        let deadline = self.command_deadline(deadline);
        let dialled = self.dial.dial(&self.peer, deadline).await?;
        let (stream, local) = (dialled.stream, dialled.local);
        if self.encryption != Encryption::AlreadyOn {
            return Ok(Connection {
                stream,
                local,
                tls: None,
            });
        }
        let (stream, details) = self.tls.handshake(&self.peer, stream, deadline).await?;
        Ok(Connection {
            stream,
            local,
            tls: Some(details),
        })
    }

    /// Puts TLS over a wire whose remote just agreed to it.
    ///
    /// Bytes that are already there were sent in the clear by who knows whom,
    /// to be taken for protected ones (CVE-2011-0411 and its kin): they end the
    /// session.
    pub(super) async fn start_tls<C>(
        &self,
        wire: Wire<C>,
        deadline: Instant,
    ) -> Result<(Stream, Arc<tls::Details>), Error> {
        if wire.has_residue() {
            let detail = "bytes arrived in the clear behind its answer, as if injected; session dropped";
            return Err(Error::new(Kind::Tls, &self.peer, "STARTTLS", detail));
        }
        self.tls.handshake(&self.peer, wire.into_stream(), deadline).await
    }

    /// Refuses to ask while an answer to nothing lies there: it would be taken for
    /// the answer to this.
    pub(super) fn check_nothing_unasked<C>(&self, wire: &Wire<C>, step: &'static str) -> Result<(), Error> {
        if wire.has_residue() {
            let detail = "it answered more than it was asked; session dropped";
            return Err(Error::new(Kind::Protocol, &self.peer, step, detail));
        }
        Ok(())
    }

    /// The end of one command: `timeout` from now, or `deadline` if that is
    /// sooner.
    pub(super) fn command_deadline(&self, deadline: Instant) -> Instant {
        deadline.min(Instant::now() + self.timeout)
    }

    /// Refuses to send a password where somebody else could read it.
    pub(super) fn check_password_may_leave(&self, encrypted: bool, local: bool) -> Result<(), Error> {
        if encrypted || local || self.allow_cleartext {
            return Ok(());
        }
        let detail = "no TLS on this connection, so no password is sent: set tls.implicit or tls.starttls = \
                      \"required\", or auth.allow-cleartext = true if the network between is yours";
        Err(Error::new(Kind::Config, &self.peer, super::error::LOGIN, detail))
    }

    /// Names the step at which the wire failed.
    pub(super) fn lost<C>(&self, error: &WireError, wire: &Wire<C>, step: &'static str) -> Error {
        Error::wire(error, &self.peer, step, wire.heard())
    }
}
