//! What is known of a remote before it is called.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::codec::Decoder;
use vouch_protocol::encryption::Encryption;

use super::beginning::{kind_of, shown};
use super::connect::Dial;
use super::error::{Error, GREETING, Kind, LOGIN};
use super::tls::{self, Begun};
use super::ways::Way;
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
    /// Whether a password may go out without TLS.
    pub password_in_clear: bool,
}

/// A stream to a remote.
pub(super) struct Connection {
    pub(super) stream: Stream,
    /// What TLS agreed on, once it is on.
    pub(super) tls: Option<Arc<tls::Details>>,
}

impl Remote {
    /// Connects, and turns TLS on where it is on from the first byte.
    pub(super) async fn connect(&self, way: &Way, deadline: Instant) -> Result<Connection, Error> {
        let deadline = self.command_deadline(deadline);
        let dialled = self.dial.dial_another(&self.peer, &way.tried, deadline).await?;
        if let Some(reached) = dialled.reached {
            // A way is gone once.
            let _ = way.reached.set(reached);
        }
        let stream = dialled.stream;
        if self.encryption != Encryption::AlreadyOn {
            return Ok(Connection { stream, tls: None });
        }
        let (stream, details) = self
            .tls
            .handshake(&self.peer, stream, Begun::AtOnce, deadline)
            .await?;
        Ok(Connection {
            stream,
            tls: Some(details),
        })
    }

    /// Puts TLS over a wire whose remote just agreed to it.
    ///
    /// Bytes that are already there were sent without protection, possibly by
    /// an attacker, and would look protected (CVE-2011-0411 and similar): they
    /// end the session.
    pub(super) async fn start_tls<C>(
        &self,
        wire: Wire<C>,
        deadline: Instant,
    ) -> Result<(Stream, Arc<tls::Details>), Error> {
        if wire.has_residue() {
            return Err(super::injected(&self.peer));
        }
        let stream = wire.into_stream();
        self.tls
            .handshake(&self.peer, stream, Begun::ByStartTls, deadline)
            .await
    }

    /// Refuses to ask while an answer to nothing lies there: it would be taken for
    /// the answer to this.
    pub(super) fn check_nothing_unasked<C>(&self, wire: &Wire<C>, step: &'static str) -> Result<(), Error> {
        if wire.has_residue() {
            return Err(more_than_asked(&self.peer, step));
        }
        Ok(())
    }

    /// The end of one command: `timeout` from now, or `deadline` if that is
    /// sooner.
    pub(super) fn command_deadline(&self, deadline: Instant) -> Instant {
        deadline.min(Instant::now() + self.timeout)
    }

    /// Refuses to send a password where somebody else could read it.
    pub(super) fn check_password_may_leave(&self, encrypted: bool) -> Result<(), Error> {
        if encrypted || self.password_in_clear {
            return Ok(());
        }
        let detail = "there is no TLS on this connection, so no password is sent";
        let advice = "set directory.NAME.tls.starttls = \"required\", or directory.NAME.tls.implicit = true with the port \
                      for it; directory.NAME.auth.allow-cleartext = true sends it readable on the network path";
        Err(Error::new(Kind::Config, &self.peer, LOGIN, detail).advise(advice))
    }

    /// The first message, of a remote that was sent nothing yet: its beginning is shown if it is not of `protocol`.
    pub(super) async fn greeting<C: Decoder>(
        &self,
        wire: &mut Wire<C>,
        protocol: &str,
        deadline: Instant,
    ) -> Result<C::Item, Error>
    where
        WireError: From<C::Error>,
    {
        let deadline = self.command_deadline(deadline);
        let mut beginning = String::new();
        let read = match wire.beginning(deadline).await {
            Ok(bytes) => {
                beginning = shown(bytes);
                wire.read(deadline).await
            }
            Err(error) => Err(error),
        };
        read.map_err(|error| match error {
            WireError::Timeout if self.encryption != Encryption::AlreadyOn => {
                self.lost(&error, wire, GREETING).advise(
                    "a port that begins with TLS (993, 465) sends nothing until the client does: if this is one, set \
                     directory.NAME.tls.implicit = true; else the server is slow or hangs: see its log",
                )
            }
            WireError::Decode(_) if !beginning.is_empty() => {
                let detail = format!("it begins with \"{beginning}\", as no {protocol} server does");
                Error::new(Kind::Protocol, &self.peer, GREETING, detail).advise(format!(
                    "{}see directory.NAME.type and directory.NAME.port",
                    kind_of(&beginning)
                ))
            }
            error => self.lost(&error, wire, GREETING),
        })
    }

    /// Names the step at which the wire failed.
    pub(super) fn lost<C>(&self, error: &WireError, wire: &Wire<C>, step: &'static str) -> Error {
        Error::wire(error, &self.peer, step, wire.heard())
    }
}

/// What was said would be taken for the answer to what is asked next.
pub(super) fn more_than_asked(peer: &Arc<str>, step: &'static str) -> Error {
    let detail = "it answered more than it was asked; session dropped";
    Error::new(Kind::Protocol, peer, step, detail)
}
