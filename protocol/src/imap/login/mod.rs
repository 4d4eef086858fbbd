//! The dialog that asks about one user name and one password: AUTHENTICATE PLAIN, LOGIN
//! or AUTHENTICATE LOGIN (RFC 9051 §§6.2.2, 6.2.3; RFC 4616; RFC 4959).

use std::collections::VecDeque;
use std::mem;

use crate::error::EncodeError;
use crate::imap::capability::Capabilities;
use crate::imap::command::{Command, Sendable, Tag, Tags};
pub use crate::imap::exchange::Outcome;
use crate::imap::exchange::{Accepted, Exchange, Last, STRANGE_TAG};
use crate::imap::response::{Code, Response, Status, StatusKind, Untagged};
use crate::secret::Secret;

/// Tries one password, once.
///
/// One mechanism hears it. Another is tried only when the server refused the first
/// before it had heard as much as the user name: anything more would count twice
/// against the user.
#[derive(Debug)]
pub struct Login<'t> {
    exchange: Exchange<'t>,
    offered: Capabilities,
    credentials: Sendable,
    /// Ways to ask that were not tried yet, the best first.
    methods: VecDeque<Method>,
    state: State,
    /// The whole password was handed out to be sent.
    said_password: bool,
}

/// What to do next.
#[derive(Debug)]
pub enum Step {
    /// Read one more response.
    Read,
    /// Send this, then read one response.
    Send(Command),
    /// The dialog is over.
    Done(Outcome),
}

/// Why nothing was asked.
#[derive(Debug, thiserror::Error)]
pub enum LoginError {
    /// The server offers no mechanism that we have, or none that the configuration allows.
    #[error("the remote offers no mechanism that can be used")]
    NoMechanism,
    /// The user name or the password cannot be sent.
    #[error(transparent)]
    Unsendable(#[from] EncodeError),
}

/// A way to bring a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// `AUTHENTICATE PLAIN` (RFC 4616).
    AuthenticatePlain,
    /// The command `LOGIN` (RFC 9051 §6.2.3).
    LoginCommand,
    /// `AUTHENTICATE LOGIN` (draft-murchison-sasl-login-00).
    AuthenticateLogin,
}

impl Method {
    /// What is sent for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::AuthenticatePlain => "AUTHENTICATE PLAIN",
            Self::LoginCommand => "the command LOGIN",
            Self::AuthenticateLogin => "AUTHENTICATE LOGIN",
        }
    }

    /// Whether a server that `offered` these takes a password that way, or in any way where there is no `only` one.
    pub fn is_offered(only: Option<Self>, offered: &Capabilities) -> bool {
        !methods(offered, only, true).is_empty()
    }
}

#[derive(Debug)]
enum State {
    New,
    Asking(Attempt),
    Ending(Last),
    Over,
}

/// One mechanism, on its way.
#[derive(Debug)]
struct Attempt {
    tag: Tag,
    method: Method,
    /// What is still to be said, each after a `+`. The password is in the last.
    unsaid: VecDeque<Command>,
    /// Whether the server heard the user name, or more.
    named_user: bool,
}

impl<'t> Login<'t> {
    /// A dialog on an open session that is not logged in and has `offered` these
    /// capabilities. With `only` there is no other way to ask. With `confirm` one cheap command must succeed after OK.
    ///
    /// Whether a password may go over this connection is for the caller to know.
    ///
    /// # Errors
    /// [`LoginError::NoMechanism`] when there is no way to ask, [`LoginError::Unsendable`] when
    /// user name or password hold NUL, CR or LF. Nothing was sent.
    pub fn new(
        offered: &Capabilities,
        tags: &'t mut Tags,
        only: Option<Method>,
        user: &[u8],
        password: &Secret<[u8]>,
        confirm: bool,
    ) -> Result<Self, LoginError> {
        let credentials = Sendable::new(user, password)?;
        let methods = methods(offered, only, credentials.is_ascii());
        if methods.is_empty() {
            return Err(LoginError::NoMechanism);
        }
        Ok(Self {
            exchange: Exchange::new(tags, confirm),
            offered: offered.clone(),
            credentials,
            methods,
            state: State::New,
            said_password: false,
        })
    }

    /// The first step.
    pub fn start(&mut self) -> Step {
        match (&self.state, self.methods.pop_front()) {
            (State::New, Some(method)) => self.attempt(method),
            _ => self.unexpected("started twice"),
        }
    }

    /// The step after `response`.
    pub fn on_response(&mut self, response: Response) -> Step {
        match response {
            Response::Untagged(untagged) => self.on_untagged(untagged),
            Response::Tagged { tag, status } => self.on_tagged(&tag, status),
            Response::Continuation(_) => self.on_continuation(),
        }
    }

    /// Whether the last of the commands that were to be sent ended the password: once it has left,
    /// the server may judge it, and the same is not to be sent again.
    pub const fn has_said_password(&self) -> bool {
        self.said_password
    }

    /// The server's goodbye. Its answer may follow in the same breath, and is the answer all the same.
    pub const fn goodbye(&self) -> Option<&Status> {
        self.exchange.goodbye()
    }

    fn attempt(&mut self, method: Method) -> Step {
        let tag = self.exchange.next_tag();
        let credentials = &self.credentials;
        let mut unsaid = VecDeque::from(match method {
            Method::AuthenticatePlain if self.offered.sasl_ir => {
                vec![Command::authenticate_plain_at_once(tag, credentials)]
            }
            Method::AuthenticatePlain => {
                vec![Command::authenticate_plain(tag), Command::plain(credentials)]
            }
            Method::LoginCommand => Command::login(tag, credentials, &self.offered),
            Method::AuthenticateLogin => vec![
                Command::authenticate_login(tag),
                // By position: the prompts have as many wordings as there are servers.
                Command::user(credentials),
                Command::password(credentials),
            ],
        });
        let first = unsaid.pop_front();
        self.said_password |= unsaid.is_empty();
        self.state = State::Asking(Attempt {
            tag,
            method,
            unsaid,
            named_user: first.as_ref().is_some_and(Command::names_user),
        });
        first.map_or_else(|| self.unexpected("nothing to say"), Step::Send)
    }

    fn on_untagged(&mut self, untagged: Untagged) -> Step {
        if matches!(self.state, State::New | State::Over) {
            return self.unexpected("a response to nothing");
        }
        let credentials = &self.credentials;
        match self
            .exchange
            .hear(untagged, |status| without_echo(credentials, status))
        {
            Ok(()) => Step::Read,
            Err(how) => self.unexpected(how),
        }
    }

    fn on_continuation(&mut self) -> Step {
        if self.goodbye().is_some() {
            return self.unexpected("a continuation request behind a goodbye");
        }
        let State::Asking(attempt) = &mut self.state else {
            return self.unexpected("a continuation request out of place");
        };
        if let Some(next) = attempt.unsaid.pop_front() {
            attempt.named_user |= next.names_user();
            self.said_password |= attempt.unsaid.is_empty();
            return Step::Send(next);
        }
        if attempt.method == Method::LoginCommand {
            // The command is whole; `*` would begin another.
            return self.unexpected("a continuation request after LOGIN");
        }
        self.state = State::Ending(Last::Cancel(attempt.tag));
        Step::Send(Command::cancel())
    }

    fn on_tagged(&mut self, tag: &str, status: Status) -> Step {
        let status = without_echo(&self.credentials, status);
        match mem::replace(&mut self.state, State::Over) {
            State::Asking(attempt) if attempt.tag.is(tag) => self.on_answer(&attempt, status),
            State::Ending(last) => {
                let outcome = self.exchange.end(last, tag, status);
                self.done(outcome)
            }
            _ => self.done(STRANGE_TAG),
        }
    }

    fn on_answer(&mut self, attempt: &Attempt, status: Status) -> Step {
        let said_all = attempt.unsaid.is_empty();
        match status.kind {
            StatusKind::Ok if !said_all => self.unexpected("OK before the password was sent"),
            StatusKind::Ok => match self.exchange.accept(status) {
                Accepted::Confirm(command, last) => {
                    self.state = State::Ending(last);
                    Step::Send(command)
                }
                Accepted::Done(outcome) => self.done(outcome),
            },
            _ if said_all || attempt.named_user && speaks_of_user(&status) => self.done(Outcome::Status {
                status,
                capabilities: None,
            }),
            _ => self.on_refused_mechanism(attempt, status),
        }
    }

    /// The password was not heard, so this is no answer to it.
    fn on_refused_mechanism(&mut self, attempt: &Attempt, status: Status) -> Step {
        // A server that requires TLS for one mechanism must not get the password by another.
        let hopeless = attempt.named_user || status.code == Some(Code::PrivacyRequired);
        match self.methods.pop_front() {
            Some(method) if !hopeless => self.attempt(method),
            _ => self.done(Outcome::Unsupported(status)),
        }
    }

    fn unexpected(&mut self, how: &'static str) -> Step {
        self.done(Outcome::Unexpected(how))
    }

    fn done(&mut self, outcome: Outcome) -> Step {
        self.state = State::Over;
        Step::Done(outcome)
    }
}

/// Servers quote the line that they did not understand, and ours may hold the password.
/// The text of a NO is left alone: a verdict may hang on its words, and a password
/// may be one of them.
fn without_echo(credentials: &Sendable, mut status: Status) -> Status {
    let quotes = matches!(status.kind, StatusKind::Bad | StatusKind::Bye);
    if quotes && credentials.are_repeated_in(status.words()) {
        status.withhold_text();
    }
    status
}

/// The ways to ask, the best first.
fn methods(offered: &Capabilities, only: Option<Method>, ascii: bool) -> VecDeque<Method> {
    let command = !offered.login_disabled;
    let mut methods: VecDeque<_> = [
        (Method::AuthenticatePlain, offered.auth.plain),
        (Method::LoginCommand, command && ascii),
        (Method::AuthenticateLogin, offered.auth.login),
    ]
    .into_iter()
    .filter(|(method, can)| *can && only.is_none_or(|only| only == *method))
    .map(|(method, _)| method)
    .collect();
    // Outside the grammar of LOGIN, though many servers take it: better than nothing.
    let may_command = only.is_none_or(|only| only == Method::LoginCommand);
    if command && may_command && methods.is_empty() {
        methods.push_back(Method::LoginCommand);
    }
    methods
}

/// Whether a refusal that came after the user name alone is about that user, and not
/// about the mechanism or the literal it came in.
fn speaks_of_user(status: &Status) -> bool {
    matches!(
        status.code,
        Some(Code::AuthenticationFailed | Code::AuthorizationFailed | Code::Expired | Code::ContactAdmin)
    )
}

#[cfg(test)]
mod tests;
