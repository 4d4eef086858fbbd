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
use super::link::Link;
use super::{Origin, Servers};
use crate::session::secrets::SentSecrets;
use crate::session::ways::{Way, by_any_server};
use crate::settings::directory::Directory;
use crate::settings::kind::Kind as DirectoryKind;

/// How we present ourselves to an SMTP or LMTP remote.
#[derive(Debug, Clone)]
pub struct Hello {
    /// EHLO or LHLO.
    pub protocol: Protocol,
    /// The name behind it.
    pub name: String,
}

impl From<&Directory> for Hello {
    fn from(directory: &Directory) -> Self {
        let protocol = if directory.kind == DirectoryKind::Lmtp {
            Protocol::Lmtp
        } else {
            Protocol::Smtp
        };
        let name = directory.ehlo_name.clone().unwrap_or_else(host_name);
        Self { protocol, name }
    }
}

/// The host's name; an address literal where it has none (RFC 5321 §4.1.1.1).
fn host_name() -> String {
    let name = nix::unistd::gethostname()
        .ok()
        .and_then(|name| name.into_string().ok());
    name.filter(|name| !name.is_empty())
        .unwrap_or_else(|| "[127.0.0.1]".into())
}

/// An opened session: greeted, encrypted if it is to be, capabilities known.
struct Opened {
    link: Link<Codec>,
    capabilities: Capabilities,
    hello: Arc<Hello>,
    /// Whether the remote accepts the client's address.
    takes_origin: bool,
}

impl Opened {
    async fn new(servers: &Servers, hello: &Arc<Hello>, deadline: Instant) -> Result<Self, Error> {
        by_any_server(servers, deadline, |way| Self::by(way, hello.clone(), deadline)).await
    }

    async fn by(way: Arc<Way>, hello: Arc<Hello>, deadline: Instant) -> Result<Self, Error> {
        let settings = Settings {
            protocol: hello.protocol,
            name: hello.name.clone(),
            encryption: way.remote.encryption,
        };
        let mut opening = Opening::new(settings);
        let mut link = Link::open(&way, deadline).await?;
        let mut step = opening.start();
        loop {
            step = match step {
                Step::Read => {
                    let greeting = link.greeting(protocol_name(hello.protocol), deadline);
                    opening.on_reply(greeting.await?)
                }
                Step::Send(command) => opening.on_reply(exchange(&mut link, &command, deadline).await?),
                Step::StartTls => {
                    link = link.secured(deadline).await?;
                    opening.on_secured()
                }
                Step::Ready(capabilities) => {
                    let takes_origin = capabilities.takes_xclient("ADDR");
                    return Ok(Self {
                        link,
                        capabilities,
                        hello,
                        takes_origin,
                    });
                }
                Step::Failed(error) => {
                    let _ = link.wire.push(&Command::Quit);
                    let _ = link.wire.flush(Instant::now()).await;
                    return Err(refused(&link.remote.peer, error, &link.secrets));
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
        let Some(Origin { address, port }) = self.link.stranger(origin)? else {
            return Ok(false);
        };
        if in_transaction {
            return Err(self.link.speaks_for_another());
        }
        let port = port.filter(|_| self.capabilities.takes_xclient("PORT"));
        let name = self.hello.name.clone();
        let hello = match self.hello.protocol {
            Protocol::Smtp => Command::Ehlo(name),
            Protocol::Lmtp => Command::Lhlo(name),
        };
        self.link.wire.listen();
        let mut first = true;
        for (command, code) in [(Command::XClient { address, port }, 220), (hello, 250)] {
            let reply = self.exchange(&command, deadline).await?;
            let (peer, step) = (&self.link.remote.peer, step_name(&command));
            if first && reply.code() == 421 {
                return Err(self.link.goodbye(step, reply.status(), reply.text()));
            }
            if first && reply.code() == 501 {
                // A Postfix without IPv6 cannot read such an address; nothing is said of the client.
                let reply = self.link.secrets.withheld_from(reply.to_string());
                tracing::debug!("{peer}: {step}: asked without the client's address: {reply}");
                return Ok(false);
            }
            if reply.code() != code {
                let step = OpeningError::Refused { step, reply };
                return Err(refused(peer, step, &self.link.secrets));
            }
            first = false;
            if code == 250 {
                self.capabilities = Capabilities::from_reply(&reply);
            }
        }
        self.link.origin = origin;
        Ok(true)
    }

    async fn exchange(&mut self, command: &Command, deadline: Instant) -> Result<Reply, Error> {
        exchange(&mut self.link, command, deadline).await
    }

    /// As [`Opened::exchange`], with a part of a secret, or behind one. A goodbye is no reply.
    async fn exchange_secret(
        &mut self,
        command: &Command,
        secret: &mut Secrecy,
        deadline: Instant,
    ) -> Result<Reply, Error> {
        let link = &mut self.link;
        let sent = send(link, command, deadline).await;
        let by = sent.map_err(|error| error.after(secret.sent))?;
        if secret.ends && !secret.sent {
            secret.sent = true;
            // What it says from here on may be about the secret.
            link.wire.listen();
        }
        let reply = link.read(step_name(command), by).await;
        let reply = reply.map_err(|error| error.after(secret.sent))?;
        if reply.code() == 421 {
            let error = link.goodbye("AUTH", reply.status(), reply.text());
            return Err(error.after(secret.sent));
        }
        Ok(reply)
    }

    async fn quit(mut self) {
        let deadline = Instant::now() + self.link.remote.timeout;
        if self.exchange(&Command::Quit, deadline).await.is_ok() {
            self.link.finish().await;
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
async fn exchange(link: &mut Link<Codec>, command: &Command, deadline: Instant) -> Result<Reply, Error> {
    let by = send(link, command, deadline).await?;
    link.read(step_name(command), by).await
}

/// Sends a command. By when the whole reply to it must be here.
async fn send(link: &mut Link<Codec>, command: &Command, deadline: Instant) -> Result<Instant, Error> {
    let step = step_name(command);
    link.check_nothing_unasked(step)?;
    link.send(command, step, deadline).await
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
