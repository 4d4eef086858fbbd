//! Sessions by SMTP and LMTP: recipients, and logins by AUTH.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use protocol::sasl::Mechanism;
use protocol::smtp::auth::{self, Auth};
use protocol::smtp::opening::{Opening, OpeningError, Settings, Step};
use protocol::smtp::recipients::{Answer, Recipients};
use protocol::smtp::{Capabilities, Codec, Command, EnhancedCode, Protocol, Reply};
use tokio::time::Instant;

use super::error::{Error, Kind};
use super::{AskAgain, Credentials, Remote, Session, tls, trace};
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
        credentials: &Credentials,
        deadline: Instant,
    ) -> Result<Reply, Error> {
        let reply = exchange_quietly(&self.remote, &mut self.wire, command, deadline).await?;
        trace::heard_after(&self.remote.peer, &reply, credentials);
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
    remote.check_nothing_unasked(wire, step)?;
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

impl Recipient {
    fn domain(&self) -> Option<&[u8]> {
        self.wire.rsplit(|&byte| byte == b'@').next()
    }
}

/// A session on which recipients are asked about.
pub struct RecipientSession {
    opened: Opened,
    dialog: Recipients,
    one_each: OneEach,
}

/// Set once a remote has refused a second recipient of one transaction (`550
/// 5.5.3`, Postfix `reject_multi_recipient_bounce`); shared by all of its sessions.
pub type OneEach = Arc<AtomicBool>;

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
        one_each: OneEach,
        deadline: Instant,
    ) -> Result<Self, Error> {
        let opened = Opened::new(remote, &hello, deadline).await?;
        let dialog = Recipients::new(&opened.capabilities, mail_from.to_vec());
        Ok(Self {
            opened,
            dialog,
            one_each,
        })
    }

    /// What the remote offered, and what TLS agreed on: for `vouch check`.
    pub fn offered(&self) -> (&Capabilities, Option<&tls::Details>) {
        (&self.opened.capabilities, self.opened.tls.as_deref())
    }
}

impl RecipientSession {
    fn one_each(&self) -> bool {
        self.one_each.load(Ordering::Relaxed)
    }

    /// Sends the commands as one group and reads one reply for each.
    async fn ask_group(
        &mut self,
        commands: &[Command],
        tell: &mut (dyn FnMut(Answer) + Send),
        deadline: Instant,
    ) -> Result<(), Error> {
        let remote = self.opened.remote.clone();
        let wire = &mut self.opened.wire;
        wire.listen();
        let step = "RCPT TO";
        remote.check_nothing_unasked(wire, step)?;
        for command in commands {
            trace::said(&remote.peer, command);
            wire.push(command)
                .map_err(|error| remote.lost(&error, wire, step))?;
        }
        let by = remote.command_deadline(deadline);
        wire.flush(by)
            .await
            .map_err(|error| remote.lost(&error, wire, step))?;
        for command in commands {
            let by = remote.command_deadline(deadline);
            let step = step_name(command);
            let reply = wire
                .read(by)
                .await
                .map_err(|error| remote.lost(&error, wire, step))?;
            trace::heard(&remote.peer, &reply);
            let over = reply.code() == 421;
            learn(&self.one_each, &reply);
            if let Some(answer) = self.dialog.on_reply(reply) {
                tell(answer);
            }
            if over {
                // RFC 5321 §3.8: the remote closes now; it has nothing to say to the others.
                return Err(Error::new(
                    Kind::Unreachable,
                    &remote.peer,
                    step,
                    "it said goodbye (421)",
                ));
            }
        }
        Ok(())
    }

    /// Sends each command after the reply to the one before.
    async fn ask_one_by_one(
        &mut self,
        commands: Vec<Command>,
        tell: &mut (dyn FnMut(Answer) + Send),
        deadline: Instant,
    ) -> Result<(), Error> {
        for command in commands {
            let answer = match (self.dialog.refused(), &command) {
                (Some(refusal), Command::Rcpt { .. }) => Some(Answer::SenderRefused(refusal.clone())),
                _ => {
                    self.opened.wire.listen();
                    let reply = self.opened.exchange(&command, deadline).await?;
                    learn(&self.one_each, &reply);
                    self.dialog.on_reply(reply)
                }
            };
            answer.map(&mut *tell);
        }
        Ok(())
    }
}

/// Whether the remote takes one recipient in each transaction is told by what it
/// says to a second.
fn learn(one_each: &OneEach, reply: &Reply) {
    if reply.code() == 550 && reply.enhanced() == Some(EnhancedCode::new(5, 5, 3)) {
        one_each.store(true, Ordering::Relaxed);
    }
}

impl Session for RecipientSession {
    type Question = Recipient;
    type Answer = Answer;

    /// A group of so many commands and its replies fit the buffers of both ends,
    /// so that neither side waits for the other to read (RFC 2920 §3.1).
    const MAX_BATCH: usize = 100;

    const MAY_ASK_AGAIN: AskAgain = AskAgain::Always;

    fn batch(&self) -> usize {
        if self.opened.capabilities.pipelining && !self.one_each() {
            Self::MAX_BATCH
        } else {
            1
        }
    }

    /// One transaction serves a whole session, so what RFC 9422 says of one is the
    /// limit of the other.
    fn bears(&self) -> Option<u32> {
        self.opened.capabilities.limits.rcpt_max
    }

    /// One domain each transaction: Gmail refuses others (`451 4.3.0 Multiple
    /// destination domains per transaction is unsupported`).
    fn together(one: &Recipient, other: &Recipient) -> bool {
        one.needs_utf8 == other.needs_utf8 && one.domain() == other.domain()
    }

    async fn ask(
        &mut self,
        questions: &[Recipient],
        tell: &mut (dyn FnMut(Answer) + Send),
        deadline: Instant,
    ) -> Result<(), Error> {
        let recipients = questions.iter().map(|question| question.wire.clone()).collect();
        let needs_utf8 = questions.iter().any(|question| question.needs_utf8);
        match self.dialog.ask(recipients, needs_utf8, self.one_each()) {
            Ok(commands) if self.opened.capabilities.pipelining => {
                self.ask_group(&commands, tell, deadline).await
            }
            Ok(commands) => self.ask_one_by_one(commands, tell, deadline).await,
            Err(answer) => {
                questions.iter().for_each(|_| tell(answer.clone()));
                Ok(())
            }
        }
    }

    async fn renew(&mut self) -> bool {
        false
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

impl AuthSession {
    async fn login(&mut self, question: &Credentials, deadline: Instant) -> Result<auth::Outcome, Error> {
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
        // A goodbye in the place of an answer says that the session had been given up before.
        let mut first = true;
        loop {
            match step {
                auth::Step::Send(command) => {
                    let reply = self.opened.exchange_secret(&command, question, deadline).await?;
                    if first && reply.code() == 421 {
                        let peer = &self.opened.remote.peer;
                        return Err(Error::goodbye(peer, "AUTH", reply.status(), reply.text()));
                    }
                    first = false;
                    step = dialog.on_reply(reply);
                }
                auth::Step::Done(outcome) => return Ok(outcome),
            }
        }
    }
}

impl Session for AuthSession {
    type Question = Credentials;
    type Answer = auth::Outcome;

    const MAX_BATCH: usize = 1;
    const MAY_ASK_AGAIN: AskAgain = AskAgain::Unheard;

    fn batch(&self) -> usize {
        1
    }

    fn bears(&self) -> Option<u32> {
        None
    }

    fn together(_: &Credentials, _: &Credentials) -> bool {
        false
    }

    async fn ask(
        &mut self,
        questions: &[Credentials],
        tell: &mut (dyn FnMut(auth::Outcome) + Send),
        deadline: Instant,
    ) -> Result<(), Error> {
        for question in questions {
            tell(self.login(question, deadline).await?);
        }
        Ok(())
    }

    /// Nothing in SMTP takes a login back.
    async fn renew(&mut self) -> bool {
        false
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
