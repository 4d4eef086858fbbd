//! Sessions by SMTP and LMTP: recipients, and logins by AUTH.

use std::sync::Arc;

use protocol::sasl::Mechanism;
use protocol::secret::Secret;
use protocol::smtp::auth::{self, Auth};
use protocol::smtp::opening::{Opening, OpeningError, Settings, Step};
use protocol::smtp::recipients::{self, Answer, Recipients};
use protocol::smtp::{Capabilities, Codec, Command, Protocol, Reply};
use tokio::time::Instant;

use super::error::{Error, Kind};
use super::{Credentials, Remote, Session, tls, trace};
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
    local: bool,
    tls: Option<Arc<tls::Details>>,
}

impl Opened {
    async fn new(remote: Arc<Remote>, hello: &Hello, deadline: Instant) -> Result<Self, Error> {
        let connection = remote.connect(deadline).await?;
        let mut tls = connection.tls;
        let mut wire = Wire::new(connection.stream, Codec::new());
        let settings = Settings {
            protocol: hello.protocol,
            name: hello.name.clone(),
            encryption: remote.encryption,
        };
        let mut opening = Opening::new(settings);
        let mut step = opening.start();
        loop {
            step = match step {
                Step::Read => {
                    let deadline = remote.command_deadline(deadline);
                    let reply = wire
                        .read(deadline)
                        .await
                        .map_err(|e| remote.lost(&e, &wire, "greeting"))?;
                    trace::heard(&remote.peer, &reply);
                    opening.on_reply(reply)
                }
                Step::Send(command) => {
                    let reply = exchange(&remote, &mut wire, &command, deadline).await?;
                    opening.on_reply(reply)
                }
                Step::StartTls => {
                    let (stream, details) = remote.start_tls(wire, deadline).await?;
                    tls = Some(details);
                    wire = Wire::new(stream, Codec::new());
                    opening.on_secured()
                }
                Step::Ready(capabilities) => {
                    let local = connection.local;
                    return Ok(Self {
                        remote,
                        wire,
                        capabilities,
                        local,
                        tls,
                    });
                }
                Step::Failed(error) => {
                    let _ = wire.push(&Command::Quit);
                    let _ = wire.flush(Instant::now()).await;
                    return Err(refused(&remote.peer, error));
                }
            };
        }
    }

    async fn exchange(&mut self, command: &Command, deadline: Instant) -> Result<Reply, Error> {
        exchange(&self.remote, &mut self.wire, command, deadline).await
    }

    /// As [`Opened::exchange`], with a remote that may know the password.
    async fn exchange_secret(
        &mut self,
        command: &Command,
        password: &Secret<[u8]>,
        deadline: Instant,
    ) -> Result<Reply, Error> {
        let reply = exchange_quietly(&self.remote, &mut self.wire, command, deadline).await?;
        trace::heard_after(&self.remote.peer, &reply, password);
        Ok(reply)
    }

    async fn quit(mut self) {
        let deadline = Instant::now() + self.remote.timeout;
        let _ = self.exchange(&Command::Quit, deadline).await;
    }

    /// Anything that comes unasked ends the session, be it a 421 or the end of
    /// the connection.
    async fn unasked(&mut self) {
        match self.wire.next().await {
            Ok(Some(reply)) => trace::heard(&self.remote.peer, &reply),
            Ok(None) | Err(_) => trace::heard(&self.remote.peer, &"[end of connection]"),
        }
    }
}

/// Sends one command and reads its reply.
async fn exchange(
    remote: &Remote,
    wire: &mut Wire<Codec>,
    command: &Command,
    deadline: Instant,
) -> Result<Reply, Error> {
    let reply = exchange_quietly(remote, wire, command, deadline).await?;
    trace::heard(&remote.peer, &reply);
    Ok(reply)
}

async fn exchange_quietly(
    remote: &Remote,
    wire: &mut Wire<Codec>,
    command: &Command,
    deadline: Instant,
) -> Result<Reply, Error> {
    let step = step_name(command);
    let deadline = remote.command_deadline(deadline);
    trace::said(&remote.peer, command);
    wire.push(command)
        .map_err(|error| remote.lost(&error, wire, step))?;
    wire.flush(deadline)
        .await
        .map_err(|error| remote.lost(&error, wire, step))?;
    wire.read(deadline)
        .await
        .map_err(|error| remote.lost(&error, wire, step))
}

const fn step_name(command: &Command) -> &'static str {
    match command {
        Command::Ehlo(_) => "EHLO",
        Command::Lhlo(_) => "LHLO",
        Command::StartTls => "STARTTLS",
        Command::AuthPlain { .. } | Command::AuthLogin | Command::AuthData(_) | Command::AuthCancel => "AUTH",
        Command::Mail { .. } => "MAIL FROM",
        Command::Rcpt { .. } => "RCPT TO",
        Command::Rset => "RSET",
        Command::Quit => "QUIT",
    }
}

fn refused(peer: &Arc<str>, error: OpeningError) -> Error {
    match error {
        OpeningError::Refused { step, reply } => {
            let kind = if reply.is_transient() {
                Kind::Refused
            } else {
                Kind::Config
            };
            Error::said(kind, peer, step, reply.status(), reply.text())
        }
        OpeningError::StartTlsMissing => super::starttls_missing(peer),
        OpeningError::StartTlsRefused(reply) => super::starttls_refused(peer, reply.status(), &reply.text()),
    }
}

/// A recipient as it goes out.
#[derive(Debug, Clone)]
pub struct Recipient {
    /// The address in wire form, without `<>`.
    pub wire: Vec<u8>,
    /// It can only be asked with SMTPUTF8.
    pub needs_utf8: bool,
}

/// A session on which recipients are asked about.
pub struct RecipientSession {
    opened: Opened,
    dialog: Recipients,
}

impl RecipientSession {
    /// Opens a session. `mail_from` is the sender in wire form, empty for the
    /// null sender.
    ///
    /// # Errors
    /// The step at which the opening failed.
    pub async fn open(
        remote: Arc<Remote>,
        hello: Arc<Hello>,
        mail_from: Arc<[u8]>,
        deadline: Instant,
    ) -> Result<Self, Error> {
        let opened = Opened::new(remote, &hello, deadline).await?;
        let dialog = Recipients::new(&opened.capabilities, mail_from.to_vec());
        Ok(Self { opened, dialog })
    }

    /// What the remote offered, and what TLS agreed on: for `vouch check`.
    pub fn offered(&self) -> (&Capabilities, Option<&tls::Details>) {
        (&self.opened.capabilities, self.opened.tls.as_deref())
    }
}

impl Session for RecipientSession {
    type Question = Recipient;
    type Answer = Answer;

    async fn ask(&mut self, question: &Recipient, deadline: Instant) -> Result<Answer, Error> {
        let mut step = self.dialog.ask(question.wire.clone(), question.needs_utf8);
        loop {
            match step {
                recipients::Step::Send(command) => {
                    // A recipient may be asked about again even where MAIL was answered.
                    self.opened.wire.listen();
                    step = self
                        .dialog
                        .on_reply(self.opened.exchange(&command, deadline).await?);
                }
                recipients::Step::Answer(answer) => return Ok(answer),
            }
        }
    }

    async fn goodbye(&mut self) {
        self.opened.unasked().await;
    }

    async fn close(self) {
        self.opened.quit().await;
    }
}

/// A session on which logins are tried by AUTH.
pub struct AuthSession {
    opened: Opened,
    mechanism: Option<Mechanism>,
}

impl AuthSession {
    /// Opens a session. `mechanism` is the only one to use, if there is to be
    /// one.
    ///
    /// # Errors
    /// The step at which the opening failed.
    pub async fn open(
        remote: Arc<Remote>,
        hello: Arc<Hello>,
        mechanism: Option<Mechanism>,
        deadline: Instant,
    ) -> Result<Self, Error> {
        let opened = Opened::new(remote, &hello, deadline).await?;
        Ok(Self { opened, mechanism })
    }
}

impl Session for AuthSession {
    type Question = Credentials;
    type Answer = auth::Outcome;

    async fn ask(&mut self, question: &Credentials, deadline: Instant) -> Result<auth::Outcome, Error> {
        let Opened {
            remote,
            capabilities,
            local,
            tls,
            ..
        } = &self.opened;
        remote.check_password_may_leave(tls.is_some(), *local)?;
        let Ok(mut dialog) = Auth::new(capabilities, self.mechanism, &question.user, &question.password)
        else {
            return Err(no_mechanism(remote, capabilities, self.mechanism));
        };
        self.opened.wire.listen();
        let mut step = dialog.start();
        loop {
            match step {
                auth::Step::Send(command) => {
                    let reply = self
                        .opened
                        .exchange_secret(&command, &question.password, deadline)
                        .await?;
                    step = dialog.on_reply(reply);
                }
                auth::Step::Done(outcome) => return Ok(outcome),
            }
        }
    }

    async fn goodbye(&mut self) {
        self.opened.unasked().await;
    }

    async fn close(self) {
        self.opened.quit().await;
    }
}

fn no_mechanism(remote: &Remote, offered: &Capabilities, wanted: Option<Mechanism>) -> Error {
    let mut names: Vec<&str> = offered.auth.other.iter().map(String::as_str).collect();
    names.extend(offered.auth.plain.then_some("PLAIN"));
    names.extend(offered.auth.login.then_some("LOGIN"));
    super::no_mechanism(&remote.peer, &names, wanted)
}
