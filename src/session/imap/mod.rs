//! Sessions by IMAP: logins. `relay` is for those whose proof is not ours.

mod relay;
mod remarks;

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use vouch_protocol::imap::capability::Capabilities;
use vouch_protocol::imap::command::{Command, Tags};
use vouch_protocol::imap::login::{self, Login, LoginError, Method, Outcome};
use vouch_protocol::imap::opening::{Opening, OpeningError, Step};
use vouch_protocol::imap::response::{Code, Response, Status, StatusKind, Untagged};
use vouch_protocol::imap::{Codec, UNTAGGED_LIMIT};
use vouch_protocol::sasl::RelayedMechanism;

use super::error::{Error, GREETING, Kind, LOGIN};
use super::{
    Answer, Attempt, Credentials, Lacking, Login as Question, Origin, Remote, RetryPolicy, Session, tls,
    trace,
};
use crate::session::secrets::SentSecrets;
use crate::session::ways::{Way, by_any_address};
use crate::wire::Wire;
use remarks::is_remark;

/// Bound (replies): wait for an answer after an IMAP BYE. Beyond: there is none, and the password is not sent again.
/// Why: it usually is in the same packet.
const LAST_WORDS: Duration = Duration::from_millis(100);

/// How logins are tried.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// The only way to send a password, if there is to be one.
    pub method: Option<Method>,
    /// After OK one cheap command must succeed too: Exchange may say OK and
    /// mean no.
    pub confirm: bool,
}

/// A session on which logins are tried.
pub struct LoginSession {
    remote: Arc<Remote>,
    options: Options,
    wire: Wire<Codec>,
    capabilities: Capabilities,
    tags: Tags,
    tls: Option<Arc<tls::Details>>,
    /// The client that the remote was informed of.
    origin: Option<Origin>,
    /// Lines that the remote said unasked between questions.
    remarks: usize,
    /// The secrets that were sent to it.
    secrets: SentSecrets,
}

impl LoginSession {
    /// Opens a session.
    ///
    /// # Errors
    /// The step at which the opening failed.
    pub async fn open(remote: Arc<Remote>, options: Options, deadline: Instant) -> Result<Self, Error> {
        let open = |way| Self::open_by(way, remote.clone(), options, deadline);
        by_any_address(&*remote.dial, deadline, open).await
    }

    async fn open_by(
        way: Arc<Way>,
        remote: Arc<Remote>,
        options: Options,
        deadline: Instant,
    ) -> Result<Self, Error> {
        let connection = remote.connect(&way, deadline).await?;
        let mut tls = connection.tls;
        let mut wire = Wire::new(connection.stream, Codec::new());
        let mut opening = Opening::new(remote.encryption);
        let mut step = opening.start();
        let mut at = GREETING;
        let (mut by, secrets) = (deadline, SentSecrets::default());
        loop {
            step = match step {
                Step::Read if at == GREETING => {
                    let greeting = remote.greeting(&mut wire, "IMAP", deadline).await?;
                    trace::heard(&remote.peer, &greeting, &secrets);
                    opening.on_response(greeting)
                }
                Step::Read => opening.on_response(read(&remote, &mut wire, &secrets, at, by).await?),
                Step::Send(command) => {
                    at = "capability and STARTTLS";
                    if !is_remark(&wire) {
                        remote.check_nothing_unasked(&wire, at)?;
                    }
                    by = send(&remote, &mut wire, &command, at, deadline).await?;
                    opening.on_response(read(&remote, &mut wire, &secrets, at, by).await?)
                }
                Step::StartTls => {
                    let (stream, details) = remote.start_tls(wire, deadline).await?;
                    tls = Some(details);
                    wire = Wire::new(stream, Codec::new());
                    at = "capability";
                    opening.on_secured()
                }
                Step::Ready(ready) => {
                    let (capabilities, tags) = (ready.capabilities, ready.tags);
                    return Ok(Self {
                        remote,
                        options,
                        wire,
                        capabilities,
                        tags,
                        tls,
                        origin: None,
                        remarks: 0,
                        secrets,
                    });
                }
                Step::Failed(error) => return Err(refused(&remote.peer, error)),
            };
        }
    }

    /// The mechanisms that the remote offers and that can be carried to it.
    pub fn relays(&self) -> Vec<RelayedMechanism> {
        let offered = |mechanism: &RelayedMechanism| self.capabilities.relays(*mechanism);
        RelayedMechanism::ALL.into_iter().filter(offered).collect()
    }

    /// What the remote offered, and what TLS agreed on: for `vouch check`.
    pub fn offered(&self) -> (&Capabilities, Option<&tls::Details>) {
        (&self.capabilities, self.tls.as_deref())
    }

    /// Whether a password could be tried on it, as far as it tells without one.
    ///
    /// # Errors
    /// What is in the way.
    pub fn takes_passwords(&self) -> Result<(), Error> {
        let (capabilities, encrypted) = (&self.capabilities, self.tls.is_some());
        self.remote.check_password_may_leave(encrypted)?;
        let method = self.options.method;
        if Method::is_offered(method, capabilities) {
            return Ok(());
        }
        Err(no_mechanism(&self.remote, capabilities, encrypted, method))
    }
}

impl LoginSession {
    async fn read(&mut self, step: &'static str, by: Instant) -> Result<Response, Error> {
        read(&self.remote, &mut self.wire, &self.secrets, step, by).await
    }

    /// Sends the client's address to the remote. Whether it believes that is its own affair.
    async fn introduce(&mut self, origin: Option<Origin>, deadline: Instant) -> Result<(), Error> {
        let origin = origin.filter(|_| self.capabilities.id);
        let (address, port) = match (self.origin, origin) {
            (None, Some(Origin { address, port })) => (address, port),
            (now, origin) if now == origin => return Ok(()),
            (_, _) => return Err(super::speaks_for_another(&self.remote.peer)),
        };
        self.wire.listen();
        self.hear_remarks("ID", deadline).await?;
        let tag = self.tags.next_tag();
        let by = send(
            &self.remote,
            &mut self.wire,
            &Command::id(tag, address, port),
            "ID",
            deadline,
        )
        .await?;
        for _ in 0..UNTAGGED_LIMIT {
            match self.read("ID", by).await? {
                Response::Tagged { tag: theirs, .. } if tag.is(&theirs) => {
                    self.origin = origin;
                    return Ok(());
                }
                Response::Untagged(Untagged::Status(status)) if status.kind == StatusKind::Bye => {
                    return Err(Error::goodbye(
                        &self.remote.peer,
                        "ID",
                        status.label(),
                        status.text(),
                        &self.secrets,
                    ));
                }
                Response::Untagged(_) => {}
                Response::Tagged { .. } | Response::Continuation(_) => break,
            }
        }
        let detail = "it does not answer as an IMAP server does";
        Err(Error::new(Kind::Protocol, &self.remote.peer, "ID", detail))
    }

    async fn login(
        &mut self,
        attempt: &Attempt,
        credentials: &Credentials,
        deadline: Instant,
    ) -> Result<Answer<Outcome>, Error> {
        self.remote.check_password_may_leave(self.tls.is_some())?;
        self.wire.listen();
        self.hear_remarks(LOGIN, deadline).await?;
        self.secrets.note(attempt);
        let Self {
            remote,
            options,
            wire,
            capabilities,
            tags,
            tls,
            secrets,
            ..
        } = self;
        let Options { method, confirm } = *options;
        let (user, password) = (&credentials.user, &credentials.password);
        let mut dialog =
            Login::new(capabilities, tags, method, user, password, confirm).map_err(|error| match error {
                LoginError::NoMechanism => no_mechanism(remote, capabilities, tls.is_some(), method),
                LoginError::Unsendable(error) => {
                    Error::new(Kind::Config, &remote.peer, LOGIN, error.to_string())
                }
            })?;
        let (mut secret_sent, mut by) = (false, deadline);
        let mut step = dialog.start();
        loop {
            match step {
                login::Step::Read => {}
                login::Step::Send(command) => {
                    let sent = send(remote, wire, &command, LOGIN, deadline).await;
                    by = sent.map_err(|error| error.after(secret_sent))?;
                    secret_sent |= dialog.has_said_password();
                }
                login::Step::Done(outcome) => {
                    let goodbye = dialog.goodbye().is_some();
                    return Ok(Answer {
                        outcome,
                        challenge: None,
                        secret_sent,
                        goodbye,
                        secrets: secrets.clone(),
                    });
                }
            }
            let heard = hear(remote, wire, secrets, dialog.goodbye(), by).await;
            let response = heard.map_err(|error| error.after(secret_sent))?;
            step = dialog.on_response(response);
            if let Some(status) = dialog.goodbye().filter(|_| !secret_sent) {
                return Err(goodbye(&remote.peer, secrets, status));
            }
        }
    }
}

impl Session for LoginSession {
    type Question = Question;
    type Answer = Answer<Outcome>;

    const MAX_BATCH: usize = 1;
    const RETRY_POLICY: RetryPolicy = RetryPolicy::IfNoReply;
    const SINGLE_USE_ON_SUCCESS: bool = true;

    fn batch(&self) -> usize {
        1
    }

    fn max_per_session(&self) -> Option<u32> {
        None
    }

    fn about(question: &Question) -> &[u8] {
        question.attempt.user()
    }

    fn can_batch(_: &Question, _: &Question) -> bool {
        false
    }

    async fn ask(
        &mut self,
        questions: &[Question],
        tell: &mut (dyn FnMut(Answer<Outcome>) + Send),
        deadline: Instant,
    ) -> Result<(), Error> {
        for Question { attempt, origin } in questions {
            self.introduce(*origin, deadline).await?;
            let answer = match attempt {
                Attempt::Password(credentials) => self.login(attempt, credentials, deadline).await?,
                Attempt::Token(_) | Attempt::Relay(_) => self.relay(attempt, deadline).await?,
            };
            if let Outcome::Status {
                capabilities: Some(offered),
                ..
            } = &answer.outcome
            {
                // Cyrus offers it only after a login.
                self.capabilities.unauthenticate |= offered.unauthenticate;
            }
            tell(answer);
        }
        Ok(())
    }

    /// UNAUTHENTICATE (RFC 8437) takes the login back and keeps TLS.
    async fn renew(&mut self) -> bool {
        if !self.capabilities.unauthenticate {
            return false;
        }
        let deadline = Instant::now() + self.remote.timeout;
        let tag = self.tags.next_tag();
        let command = Command::unauthenticate(tag);
        if send(&self.remote, &mut self.wire, &command, "UNAUTHENTICATE", deadline)
            .await
            .is_err()
        {
            return false;
        }
        for _ in 0..UNTAGGED_LIMIT {
            match self.read("UNAUTHENTICATE", deadline).await {
                Ok(Response::Tagged { tag: theirs, status }) => {
                    return tag.is(&theirs) && status.kind == StatusKind::Ok;
                }
                Ok(Response::Untagged(_)) => {}
                Ok(Response::Continuation(_)) | Err(_) => return false,
            }
        }
        false
    }

    /// Remarks are no goodbye (RFC 9051 §7): a Cyrus tells of its motd right behind the greeting.
    async fn goodbye(&mut self) {
        loop {
            match self.wire.next().await {
                Ok(Some(response)) => {
                    trace::heard(&self.remote.peer, &response, &self.secrets);
                    if !self.passes_over(response) {
                        return;
                    }
                }
                Ok(None) | Err(_) => return trace::ended(&self.remote.peer),
            }
        }
    }

    async fn close(mut self) {
        let deadline = Instant::now() + self.remote.timeout;
        let logout = Command::logout(self.tags.next_tag());
        if send(&self.remote, &mut self.wire, &logout, "LOGOUT", deadline)
            .await
            .is_ok()
        {
            // The remote counts the session until it sees the end of it.
            // One that goes on and on would cost a processor for as long as it is heard out.
            for _ in 0..=UNTAGGED_LIMIT {
                match self.read("LOGOUT", deadline).await {
                    Ok(Response::Tagged { .. }) => return self.wire.finish().await,
                    Ok(_) => {}
                    Err(_) => return,
                }
            }
        }
    }
}

/// Sends a command. By when the whole answer to it must be here: a remote that says line after line unasked gets no more
/// time for it.
async fn send(
    remote: &Remote,
    wire: &mut Wire<Codec>,
    command: &Command,
    step: &'static str,
    deadline: Instant,
) -> Result<Instant, Error> {
    let by = remote.command_deadline(deadline);
    trace::said(&remote.peer, command);
    wire.push(command)
        .map_err(|error| remote.lost(&error, wire, step))?;
    wire.flush(by)
        .await
        .map_err(|error| remote.lost(&error, wire, step))?;
    Ok(by)
}

async fn read(
    remote: &Remote,
    wire: &mut Wire<Codec>,
    secrets: &SentSecrets,
    step: &'static str,
    by: Instant,
) -> Result<Response, Error> {
    let read = wire.read(by).await;
    let response = read.map_err(|error| remote.lost(&error, wire, step))?;
    trace::heard(&remote.peer, &response, secrets);
    Ok(response)
}

/// Reads an answer to a login. Behind a goodbye there is little time for one, and in its place the goodbye is why there
/// is none.
async fn hear(
    remote: &Remote,
    wire: &mut Wire<Codec>,
    secrets: &SentSecrets,
    said: Option<&Status>,
    by: Instant,
) -> Result<Response, Error> {
    let Some(status) = said else {
        return read(remote, wire, secrets, LOGIN, by).await;
    };
    let by = by.min(Instant::now() + LAST_WORDS);
    let heard = read(remote, wire, secrets, LOGIN, by).await;
    heard.map_err(|_| goodbye(&remote.peer, secrets, status))
}

fn goodbye(peer: &Arc<str>, secrets: &SentSecrets, status: &Status) -> Error {
    Error::goodbye(peer, LOGIN, status.label(), status.text(), secrets)
}

fn refused(peer: &Arc<str>, error: OpeningError) -> Error {
    let none = SentSecrets::default();
    match error {
        OpeningError::Bye(status) => {
            let referral = matches!(status.code, Some(Code::Referral));
            let kind = if referral { Kind::Config } else { Kind::Refused };
            Error::said(kind, peer, GREETING, status.label(), status.text(), &none)
        }
        OpeningError::PreAuth => {
            let detail = "it greets us as logged in already (PREAUTH): no login can be tried there, and no TLS started";
            Error::new(Kind::Config, peer, GREETING, detail)
                .advise("see whether directory.NAME.port is one that asks for logins")
        }
        OpeningError::Refused { step, status } => {
            Error::said(Kind::Refused, peer, step, status.label(), status.text(), &none)
        }
        OpeningError::StartTlsMissing => super::starttls_missing(peer),
        OpeningError::StartTlsRefused(status) => super::starttls_refused(peer, status.label(), status.text()),
        OpeningError::Unexpected { step } => Error::new(
            Kind::Protocol,
            peer,
            step,
            "it does not answer as an IMAP server does",
        ),
    }
}

fn no_mechanism(remote: &Remote, offered: &Capabilities, encrypted: bool, wanted: Option<Method>) -> Error {
    let mut names: Vec<&str> = offered.auth_other.iter().map(String::as_str).collect();
    names.extend(offered.auth_plain.then_some("PLAIN"));
    names.extend(offered.auth_login.then_some("LOGIN"));
    let lacking = Lacking {
        offered: &names,
        command: Some(!offered.login_disabled),
        starttls: offered.starttls,
        encrypted,
    };
    super::no_mechanism(&remote.peer, &lacking, wanted.map(Method::name))
}
