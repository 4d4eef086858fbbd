//! A connection to a remote: how it is opened and encrypted, and how commands and answers go over it.

use std::fmt::Display;
use std::sync::Arc;

use tokio::time::Instant;
use tokio_util::codec::{Decoder, Encoder};
use vouch_protocol::encryption::Encryption;
use vouch_protocol::error::{DecodeError, EncodeError};

use super::beginning::{kind_of, shown};
use super::error::{Error, GREETING, Kind};
use super::remote::Remote;
use super::secrets::SentSecrets;
use super::tls::{self, Begun};
use super::ways::Way;
use super::{Origin, trace};
use crate::wire::{Wire, WireError};

/// A connection to a remote, with a codec of its protocol.
pub(super) struct Link<C> {
    pub(super) remote: Arc<Remote>,
    pub(super) wire: Wire<C>,
    /// What TLS agreed on, once it is on.
    pub(super) tls: Option<Arc<tls::Details>>,
    /// The secrets that were sent over it.
    pub(super) secrets: SentSecrets,
    /// The client that the remote was informed of.
    pub(super) origin: Option<Origin>,
}

impl<C: Default> Link<C> {
    /// Connects, and turns TLS on where it is on from the first byte.
    pub(super) async fn open(way: &Way, deadline: Instant) -> Result<Self, Error> {
        let remote = way.remote.clone();
        let deadline = remote.command_deadline(deadline);
        let dialled = remote
            .dial
            .dial_another(&remote.peer, &way.tried, deadline)
            .await?;
        if let Some(reached) = dialled.reached {
            // A way is gone once.
            let _ = way.reached.set(reached);
        }
        let (mut stream, mut tls) = (dialled.stream, None);
        if remote.encryption == Encryption::AlreadyOn {
            let handshake = remote
                .tls
                .handshake(&remote.peer, stream, Begun::AtOnce, deadline);
            let (secured, details) = handshake.await?;
            (stream, tls) = (secured, Some(details));
        }
        Ok(Self {
            remote,
            wire: Wire::new(stream, C::default()),
            tls,
            secrets: SentSecrets::default(),
            origin: None,
        })
    }

    /// Puts TLS over it: the remote just agreed to that. What the codec has half read goes with it.
    ///
    /// Bytes that are already there were sent without protection, possibly by
    /// an attacker, and would look protected (CVE-2011-0411 and similar): they
    /// end the session.
    pub(super) async fn secured(self, deadline: Instant) -> Result<Self, Error> {
        let peer = &self.remote.peer;
        if self.wire.has_residue() {
            return Err(super::injected(peer));
        }
        let stream = self.wire.into_stream();
        let handshake = self
            .remote
            .tls
            .handshake(peer, stream, Begun::ByStartTls, deadline);
        let (stream, details) = handshake.await?;
        Ok(Self {
            wire: Wire::new(stream, C::default()),
            tls: Some(details),
            ..self
        })
    }
}

impl<C> Link<C> {
    /// Refuses to send a password where somebody else could read it.
    pub(super) fn check_password_may_leave(&self) -> Result<(), Error> {
        self.remote.check_password_may_leave(self.tls.is_some())
    }

    /// Refuses to ask while an answer to nothing lies there: it would be taken for
    /// the answer to this.
    pub(super) fn check_nothing_unasked(&self, step: &'static str) -> Result<(), Error> {
        if self.wire.has_residue() {
            return Err(self.more_than_asked(step));
        }
        Ok(())
    }

    /// What was said would be taken for the answer to what is asked next.
    pub(super) fn more_than_asked(&self, step: &'static str) -> Error {
        let detail = "it answered more than it was asked; session dropped";
        Error::new(Kind::Protocol, &self.remote.peer, step, detail)
    }

    /// The client of which the remote is to be informed before it is asked for `origin`, if there is one.
    ///
    /// # Errors
    /// A session that spoke for one client asks for no other: Dovecot believes the first ID alone, and Postfix lets
    /// nobody but those who may say so tell it of another. It is as good as gone.
    pub(super) fn stranger(&self, origin: Option<Origin>) -> Result<Option<Origin>, Error> {
        match (self.origin, origin) {
            (now, origin) if now == origin => Ok(None),
            (None, origin) => Ok(origin),
            _ => Err(self.speaks_for_another()),
        }
    }

    pub(super) fn speaks_for_another(&self) -> Error {
        let detail = "this session was for another client";
        self.goodbye("client's address", "-", detail)
    }

    /// The remote said goodbye at this step.
    pub(super) fn goodbye(
        &self,
        step: &'static str,
        status: impl Into<String>,
        text: impl Into<String>,
    ) -> Error {
        Error::goodbye(&self.remote.peer, step, status, text, &self.secrets)
    }

    /// Puts a command among what is sent next.
    pub(super) fn push<M>(&mut self, command: &M, step: &'static str) -> Result<(), Error>
    where
        M: Display,
        C: for<'m> Encoder<&'m M, Error = EncodeError>,
    {
        trace::said(&self.remote.peer, command);
        let pushed = self.wire.push(command);
        pushed.map_err(|error| self.lost(&error, step))
    }

    pub(super) async fn flush(&mut self, step: &'static str, by: Instant) -> Result<(), Error> {
        let flushed = self.wire.flush(by).await;
        flushed.map_err(|error| self.lost(&error, step))
    }

    /// Sends a command. By when the whole answer to it must be here: a remote that says line after line unasked gets no
    /// more time for it.
    pub(super) async fn send<M>(
        &mut self,
        command: &M,
        step: &'static str,
        deadline: Instant,
    ) -> Result<Instant, Error>
    where
        M: Display,
        C: for<'m> Encoder<&'m M, Error = EncodeError>,
    {
        let by = self.remote.command_deadline(deadline);
        self.push(command, step)?;
        self.flush(step, by).await?;
        Ok(by)
    }

    /// Names the step at which the wire failed.
    fn lost(&self, error: &WireError, step: &'static str) -> Error {
        Error::wire(error, &self.remote.peer, step, self.wire.heard())
    }
}

impl<C: Decoder<Item: Display, Error = DecodeError>> Link<C> {
    pub(super) async fn read(&mut self, step: &'static str, by: Instant) -> Result<C::Item, Error> {
        let read = self.wire.read(by).await;
        let answer = read.map_err(|error| self.lost(&error, step))?;
        trace::heard(&self.remote.peer, &answer, &self.secrets);
        Ok(answer)
    }

    /// The first message, of a remote that was sent nothing yet: its beginning is shown if it is not of `protocol`.
    pub(super) async fn greeting(&mut self, protocol: &str, deadline: Instant) -> Result<C::Item, Error> {
        let deadline = self.remote.command_deadline(deadline);
        let mut beginning = String::new();
        let read = match self.wire.beginning(deadline).await {
            Ok(bytes) => {
                beginning = shown(bytes);
                self.wire.read(deadline).await
            }
            Err(error) => Err(error),
        };
        let greeting = read.map_err(|error| match error {
            WireError::Timeout if self.remote.encryption != Encryption::AlreadyOn => {
                self.lost(&error, GREETING).advise(
                    "a port that begins with TLS (993, 465) sends nothing until the client does: if this is one, set \
                     directory.NAME.tls.implicit = true; else the server is slow or hangs: see its log",
                )
            }
            WireError::Decode(_) if !beginning.is_empty() => {
                let detail = format!("it begins with \"{beginning}\", as no {protocol} server does");
                Error::new(Kind::Protocol, &self.remote.peer, GREETING, detail).advise(format!(
                    "{}see directory.NAME.type and directory.NAME.port",
                    kind_of(&beginning)
                ))
            }
            error => self.lost(&error, GREETING),
        })?;
        trace::heard(&self.remote.peer, &greeting, &self.secrets);
        Ok(greeting)
    }

    /// What comes although nothing was asked; nothing where the connection ends.
    pub(super) async fn unasked(&mut self) -> Option<C::Item> {
        match self.wire.next().await {
            Ok(Some(answer)) => {
                trace::heard(&self.remote.peer, &answer, &self.secrets);
                Some(answer)
            }
            Ok(None) | Err(_) => {
                trace::ended(&self.remote.peer);
                None
            }
        }
    }

    /// Waits until the remote has seen the end of the session: it counts the session until then.
    pub(super) async fn finish(self) {
        self.wire.finish().await;
    }
}
