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
use super::link::Link;
use super::{Answer, Attempt, Credentials, Lacking, Login as Question, Origin, Servers, Session, tls};
use crate::session::secrets::SentSecrets;
use crate::session::ways::{Way, by_any_server};
use crate::settings::directory::{Auth, LoginMethod};
use remarks::is_remark;

/// Bound (replies): wait for an answer after an IMAP BYE. Beyond: there is none, and the password is not sent again.
/// Why: it usually is in the same packet.
const LAST_WORDS: Duration = Duration::from_millis(100);

/// The only way to send a password, if there is to be one.
const fn only(mechanism: LoginMethod) -> Option<Method> {
    match mechanism {
        LoginMethod::Auto => None,
        LoginMethod::Plain => Some(Method::AuthenticatePlain),
        LoginMethod::Login => Some(Method::AuthenticateLogin),
        LoginMethod::LoginCommand => Some(Method::LoginCommand),
    }
}

/// A session on which logins are tried.
pub struct LoginSession {
    link: Link<Codec>,
    method: Option<Method>,
    /// After OK one cheap command must succeed too: Exchange may say OK and mean no.
    confirm: bool,
    capabilities: Capabilities,
    tags: Tags,
    /// Lines that the remote said unasked between questions.
    remarks: usize,
}

impl LoginSession {
    /// Opens a session, on which logins are tried as these keys say.
    ///
    /// # Errors
    /// The step at which the opening failed.
    pub async fn open(servers: &Servers, auth: &Auth, deadline: Instant) -> Result<Self, Error> {
        by_any_server(servers, deadline, |way| Self::open_by(way, auth, deadline)).await
    }

    async fn open_by(way: Arc<Way>, auth: &Auth, deadline: Instant) -> Result<Self, Error> {
        let mut opening = Opening::new(way.remote.encryption);
        let mut link = Link::<Codec>::open(&way, deadline).await?;
        let mut step = opening.start();
        let (mut at, mut by) = (GREETING, deadline);
        loop {
            step = match step {
                Step::Read if at == GREETING => opening.on_response(link.greeting("IMAP", deadline).await?),
                Step::Read => opening.on_response(link.read(at, by).await?),
                Step::Send(command) => {
                    at = "capability and STARTTLS";
                    if !is_remark(&link.wire) {
                        link.check_nothing_unasked(at)?;
                    }
                    by = link.send(&command, at, deadline).await?;
                    opening.on_response(link.read(at, by).await?)
                }
                Step::StartTls => {
                    link = link.secured(deadline).await?;
                    at = "capability";
                    opening.on_secured()
                }
                Step::Ready(ready) => {
                    return Ok(Self {
                        link,
                        method: only(auth.mechanism),
                        confirm: auth.confirm,
                        capabilities: ready.capabilities,
                        tags: ready.tags,
                        remarks: 0,
                    });
                }
                Step::Failed(error) => return Err(refused(&link.remote.peer, error)),
            };
        }
    }

    /// The mechanisms that the remote offers and that can be carried to it.
    pub fn relays(&self) -> Vec<RelayedMechanism> {
        self.capabilities.auth.relayed()
    }

    /// What the remote offered, and what TLS agreed on: for `vouch check`.
    pub fn offered(&self) -> (&Capabilities, Option<&tls::Details>) {
        (&self.capabilities, self.link.tls.as_deref())
    }

    /// Whether a password could be tried on it, as far as it tells without one.
    ///
    /// # Errors
    /// What is in the way.
    pub fn takes_passwords(&self) -> Result<(), Error> {
        self.link.check_password_may_leave()?;
        let method = self.method;
        if Method::is_offered(method, &self.capabilities) {
            return Ok(());
        }
        Err(no_mechanism(&self.link, &self.capabilities, method))
    }
}

impl LoginSession {
    /// Sends the client's address to the remote. Whether it believes that is its own affair.
    async fn introduce(&mut self, origin: Option<Origin>, deadline: Instant) -> Result<(), Error> {
        let origin = origin.filter(|_| self.capabilities.id);
        let Some(Origin { address, port }) = self.link.stranger(origin)? else {
            return Ok(());
        };
        self.link.wire.listen();
        self.hear_remarks("ID", deadline).await?;
        let tag = self.tags.next_tag();
        let command = Command::id(tag, address, port);
        let by = self.link.send(&command, "ID", deadline).await?;
        for _ in 0..UNTAGGED_LIMIT {
            match self.link.read("ID", by).await? {
                Response::Tagged { tag: theirs, .. } if tag.is(&theirs) => {
                    self.link.origin = origin;
                    return Ok(());
                }
                Response::Untagged(Untagged::Status(status)) if status.kind == StatusKind::Bye => {
                    return Err(self.link.goodbye("ID", status.label(), status.text()));
                }
                Response::Untagged(_) => {}
                Response::Tagged { .. } | Response::Continuation(_) => break,
            }
        }
        let detail = "it does not answer as an IMAP server does";
        Err(Error::new(Kind::Protocol, &self.link.remote.peer, "ID", detail))
    }

    async fn login(
        &mut self,
        attempt: &Attempt,
        credentials: &Credentials,
        deadline: Instant,
    ) -> Result<Answer<Outcome>, Error> {
        self.link.check_password_may_leave()?;
        self.link.wire.listen();
        self.hear_remarks(LOGIN, deadline).await?;
        self.link.secrets.note(attempt);
        let Self {
            link,
            method,
            confirm,
            capabilities,
            tags,
            ..
        } = self;
        let (user, password) = (&credentials.user, &credentials.password);
        let dialog = Login::new(capabilities, tags, *method, user, password, *confirm);
        let mut dialog = dialog.map_err(|error| match error {
            LoginError::NoMechanism => no_mechanism(link, capabilities, *method),
            LoginError::Unsendable(error) => {
                Error::new(Kind::Config, &link.remote.peer, LOGIN, error.to_string())
            }
        })?;
        let (mut secret_sent, mut by) = (false, deadline);
        let mut step = dialog.start();
        loop {
            match step {
                login::Step::Read => {}
                login::Step::Send(command) => {
                    let sent = link.send(&command, LOGIN, deadline).await;
                    by = sent.map_err(|error| error.after(secret_sent))?;
                    if dialog.has_said_password() && !secret_sent {
                        secret_sent = true;
                        // What it says from here on may be about the secret.
                        link.wire.listen();
                    }
                }
                login::Step::Done(outcome) => {
                    let goodbye = dialog.goodbye().is_some();
                    return Ok(Answer {
                        outcome,
                        challenge: None,
                        secret_sent,
                        goodbye,
                        secrets: link.secrets.clone(),
                    });
                }
            }
            let heard = hear(link, dialog.goodbye(), by).await;
            let response = heard.map_err(|error| error.after(secret_sent))?;
            step = dialog.on_response(response);
            if let Some(status) = dialog.goodbye().filter(|_| !secret_sent) {
                return Err(goodbye(link, status));
            }
        }
    }
}

impl Session for LoginSession {
    type Question = Question;
    type Answer = Answer<Outcome>;

    fn about(question: &Question) -> &[u8] {
        question.attempt.user()
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
        let deadline = Instant::now() + self.link.remote.timeout;
        let tag = self.tags.next_tag();
        let command = Command::unauthenticate(tag);
        if self
            .link
            .send(&command, "UNAUTHENTICATE", deadline)
            .await
            .is_err()
        {
            return false;
        }
        for _ in 0..UNTAGGED_LIMIT {
            match self.link.read("UNAUTHENTICATE", deadline).await {
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
        while let Some(response) = self.link.unasked().await {
            if !self.passes_over(response) {
                return;
            }
        }
    }

    async fn close(mut self) {
        let deadline = Instant::now() + self.link.remote.timeout;
        let logout = Command::logout(self.tags.next_tag());
        if self.link.send(&logout, "LOGOUT", deadline).await.is_err() {
            return;
        }
        // One that goes on and on would cost a processor for as long as it is heard out.
        for _ in 0..=UNTAGGED_LIMIT {
            match self.link.read("LOGOUT", deadline).await {
                Ok(Response::Tagged { .. }) => return self.link.finish().await,
                Ok(_) => {}
                Err(_) => return,
            }
        }
    }
}

/// Reads an answer to a login. Behind a goodbye there is little time for one, and in its place the goodbye is why there
/// is none.
async fn hear(link: &mut Link<Codec>, said: Option<&Status>, by: Instant) -> Result<Response, Error> {
    let Some(status) = said else {
        return link.read(LOGIN, by).await;
    };
    let by = by.min(Instant::now() + LAST_WORDS);
    let heard = link.read(LOGIN, by).await;
    heard.map_err(|_| goodbye(link, status))
}

fn goodbye(link: &Link<Codec>, status: &Status) -> Error {
    link.goodbye(LOGIN, status.label(), status.text())
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

fn no_mechanism(link: &Link<Codec>, offered: &Capabilities, wanted: Option<Method>) -> Error {
    let lacking = Lacking {
        offered: &offered.auth,
        command: Some(!offered.login_disabled),
        starttls: offered.starttls,
        encrypted: link.tls.is_some(),
    };
    super::no_mechanism(&link.remote.peer, &lacking, wanted.map(Method::name))
}
