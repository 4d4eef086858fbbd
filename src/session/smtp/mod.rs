//! Sessions by SMTP and LMTP: how one is opened, and how a command is exchanged.
//!
//! [`recipients`] asks about recipients on one, [`auth`] tries logins, `relay` those whose
//! proof is not ours.

pub mod auth;
pub mod recipients;
mod relay;

use std::sync::Arc;

use tokio::time::Instant;
use vouch_protocol::smtp::opening::{Opening, OpeningError, Settings, Step};
use vouch_protocol::smtp::{Capabilities, Codec, Command, Protocol, Reply};

use super::error::{Error, Kind};
use super::{Origin, Remote, tls, trace};
use crate::session::secrets::SentSecrets;
use crate::session::ways::{Way, by_any_address};
use crate::wire::Wire;

/// How we present ourselves to an SMTP or LMTP remote.
#[derive(Debug, Clone)]
pub struct Hello {
    /// EHLO or LHLO.
    pub protocol: Protocol,
    /// The name behind it.
    pub name: String,
}

/// An opened session: greeted, encrypted if it is to be, capabilities known.
struct Opened {
    remote: Arc<Remote>,
    wire: Wire<Codec>,
    capabilities: Capabilities,
    tls: Option<Arc<tls::Details>>,
    hello: Arc<Hello>,
    /// Whether the remote accepts the client's address.
    takes_origin: bool,
    /// The client that it was informed of.
    origin: Option<Origin>,
    /// The secrets that were sent to it.
    secrets: SentSecrets,
}

impl Opened {
    async fn new(remote: Arc<Remote>, hello: Arc<Hello>, deadline: Instant) -> Result<Self, Error> {
        let open = |way| Self::by(way, remote.clone(), hello.clone(), deadline);
        by_any_address(&*remote.dial, deadline, open).await
    }

    async fn by(
        way: Arc<Way>,
        remote: Arc<Remote>,
        hello: Arc<Hello>,
        deadline: Instant,
    ) -> Result<Self, Error> {
        let connection = remote.connect(&way, deadline).await?;
        let mut tls = connection.tls;
        let mut wire = Wire::new(connection.stream, Codec::new());
        let settings = Settings {
            protocol: hello.protocol,
            name: hello.name.clone(),
            encryption: remote.encryption,
        };
        let mut opening = Opening::new(settings);
        let secrets = SentSecrets::default();
        let mut step = opening.start();
        loop {
            step = match step {
                Step::Read => {
                    let reply = remote
                        .greeting(&mut wire, protocol_name(hello.protocol), deadline)
                        .await?;
                    trace::heard(&remote.peer, &reply, &secrets);
                    opening.on_reply(reply)
                }
                Step::Send(command) => {
                    let reply = exchange(&remote, &mut wire, &secrets, &command, deadline).await?;
                    opening.on_reply(reply)
                }
                Step::StartTls => {
                    let (stream, details) = remote.start_tls(wire, deadline).await?;
                    tls = Some(details);
                    wire = Wire::new(stream, Codec::new());
                    opening.on_secured()
                }
                Step::Ready(capabilities) => {
                    let takes_origin = capabilities.takes_xclient("ADDR");
                    return Ok(Self {
                        remote,
                        wire,
                        capabilities,
                        tls,
                        hello,
                        takes_origin,
                        origin: None,
                        secrets,
                    });
                }
                Step::Failed(error) => {
                    let _ = wire.push(&Command::Quit);
                    let _ = wire.flush(Instant::now()).await;
                    return Err(refused(&remote.peer, error, &secrets));
                }
            };
        }
    }

    /// Sends the client's address, if the remote accepts it; not in the middle of a transaction.
    /// Whether the session is as good as new: what it offers may have changed.
    async fn introduce(
        &mut self,
        origin: Option<Origin>,
        in_transaction: bool,
        deadline: Instant,
    ) -> Result<bool, Error> {
        let origin = origin.filter(|_| self.takes_origin);
        let (address, port) = match (self.origin, origin) {
            (None, Some(Origin { address, port })) if !in_transaction => (address, port),
            (now, origin) if now == origin => return Ok(false),
            (_, _) => return Err(super::speaks_for_another(&self.remote.peer)),
        };
        let port = port.filter(|_| self.capabilities.takes_xclient("PORT"));
        let name = self.hello.name.clone();
        let hello = match self.hello.protocol {
            Protocol::Smtp => Command::Ehlo(name),
            Protocol::Lmtp => Command::Lhlo(name),
        };
        self.wire.listen();
        let mut first = true;
        for (command, code) in [(Command::XClient { address, port }, 220), (hello, 250)] {
            let reply = self.exchange(&command, deadline).await?;
            let (peer, step) = (&self.remote.peer, step_name(&command));
            if first && reply.code() == 421 {
                let (status, text) = (reply.status(), reply.text());
                return Err(Error::goodbye(peer, step, status, text, &self.secrets));
            }
            if first && reply.code() == 501 {
                // A Postfix without IPv6 cannot read such an address; nothing is said of the client.
                let reply = self.secrets.withheld_from(reply.to_string());
                tracing::debug!("{peer}: {step}: asked without the client's address: {reply}");
                return Ok(false);
            }
            if reply.code() != code {
                let step = OpeningError::Refused { step, reply };
                return Err(refused(peer, step, &self.secrets));
            }
            first = false;
            if code == 250 {
                self.capabilities = Capabilities::from_reply(&reply);
            }
        }
        self.origin = origin;
        Ok(true)
    }

    async fn exchange(&mut self, command: &Command, deadline: Instant) -> Result<Reply, Error> {
        exchange(&self.remote, &mut self.wire, &self.secrets, command, deadline).await
    }

    /// As [`Opened::exchange`], with a part of a secret, or behind one. A goodbye is no reply.
    async fn exchange_secret(
        &mut self,
        command: &Command,
        secret: &mut Secrecy,
        deadline: Instant,
    ) -> Result<Reply, Error> {
        let (remote, wire) = (&self.remote, &mut self.wire);
        let sent = send(remote, wire, command, deadline).await;
        let by = sent.map_err(|error| error.after(secret.sent))?;
        secret.sent |= secret.ends;
        let reply = hear(remote, wire, &self.secrets, step_name(command), by).await;
        let reply = reply.map_err(|error| error.after(secret.sent))?;
        if reply.code() == 421 {
            let (status, text) = (reply.status(), reply.text());
            let error = Error::goodbye(&remote.peer, "AUTH", status, text, &self.secrets);
            return Err(error.after(secret.sent));
        }
        Ok(reply)
    }

    async fn quit(mut self) {
        let deadline = Instant::now() + self.remote.timeout;
        if self.exchange(&Command::Quit, deadline).await.is_ok() {
            // The remote counts the session until it has seen the end of it.
            self.wire.finish().await;
        }
    }

    /// Anything that comes unasked ends the session, be it a 421 or the end of
    /// the connection.
    async fn unasked(&mut self) {
        match self.wire.next().await {
            Ok(Some(reply)) => trace::heard(&self.remote.peer, &reply, &self.secrets),
            Ok(None) | Err(_) => trace::ended(&self.remote.peer),
        }
    }
}

/// A secret on its way.
#[derive(Debug, Default)]
struct Secrecy {
    /// The command that is sent next ends it, or one before it did.
    ends: bool,
    /// It was sent whole: from here on the remote may have judged it.
    sent: bool,
}

/// Sends one command and reads its reply.
async fn exchange(
    remote: &Remote,
    wire: &mut Wire<Codec>,
    secrets: &SentSecrets,
    command: &Command,
    deadline: Instant,
) -> Result<Reply, Error> {
    let by = send(remote, wire, command, deadline).await?;
    hear(remote, wire, secrets, step_name(command), by).await
}

/// Sends a command. By when the whole reply to it must be here.
async fn send(
    remote: &Remote,
    wire: &mut Wire<Codec>,
    command: &Command,
    deadline: Instant,
) -> Result<Instant, Error> {
    let step = step_name(command);
    remote.check_nothing_unasked(wire, step)?;
    let by = remote.command_deadline(deadline);
    trace::said(&remote.peer, command);
    wire.push(command)
        .map_err(|error| remote.lost(&error, wire, step))?;
    wire.flush(by)
        .await
        .map_err(|error| remote.lost(&error, wire, step))?;
    Ok(by)
}

async fn hear(
    remote: &Remote,
    wire: &mut Wire<Codec>,
    secrets: &SentSecrets,
    step: &'static str,
    by: Instant,
) -> Result<Reply, Error> {
    let read = wire.read(by).await;
    let reply = read.map_err(|error| remote.lost(&error, wire, step))?;
    trace::heard(&remote.peer, &reply, secrets);
    Ok(reply)
}

const fn protocol_name(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Smtp => "SMTP",
        Protocol::Lmtp => "LMTP",
    }
}

const fn step_name(command: &Command) -> &'static str {
    match command {
        Command::Ehlo(_) => "EHLO",
        Command::Lhlo(_) => "LHLO",
        Command::XClient { .. } => "XCLIENT",
        Command::StartTls => "STARTTLS",
        Command::AuthPlain { .. }
        | Command::AuthLogin
        | Command::AuthCarried { .. }
        | Command::AuthData(_)
        | Command::AuthCancel => "AUTH",
        Command::Mail { .. } => "MAIL FROM",
        Command::Rcpt { .. } => "RCPT TO",
        Command::Rset => "RSET",
        Command::Quit => "QUIT",
    }
}

fn refused(peer: &Arc<str>, error: OpeningError, secrets: &SentSecrets) -> Error {
    match error {
        OpeningError::Refused { step, reply } => {
            let kind = if reply.is_transient() {
                Kind::Refused
            } else {
                Kind::Config
            };
            let error = Error::said(kind, peer, step, reply.status(), reply.text(), secrets);
            match (step, reply.code()) {
                ("LHLO", 500 | 502) => error.advise(
                    "it does not know LHLO, so it is no LMTP server: set directory.NAME.type = \"smtp\", or \
                     directory.NAME.port to that of its LMTP service",
                ),
                ("EHLO", 500 | 502) => error.advise(
                    "it does not know EHLO: if it is an LMTP server, set directory.NAME.type = \"lmtp\"; else see \
                     directory.NAME.port",
                ),
                _ => error,
            }
        }
        OpeningError::StartTlsMissing => super::starttls_missing(peer),
        OpeningError::StartTlsRefused(reply) => super::starttls_refused(peer, reply.status(), &reply.text()),
    }
}
