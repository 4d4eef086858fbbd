//! The dialog that asks about one user name and one password: AUTHENTICATE PLAIN, LOGIN
//! or AUTHENTICATE LOGIN (RFC 9051 §§6.2.2, 6.2.3; RFC 4616; RFC 4959).

use std::collections::VecDeque;
use std::mem;

use super::capability::Capabilities;
use super::command::{Command, Sendable, Tag, Tags};
pub use super::exchange::Outcome;
use super::exchange::{Exchange, Last, STRANGE_TAG};
use super::response::{Code, Response, Status, StatusKind, Untagged};
use crate::error::EncodeError;
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
            Err(outcome) => self.done(outcome),
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
                Ok((command, last)) => {
                    self.state = State::Ending(last);
                    Step::Send(command)
                }
                Err(outcome) => self.done(outcome),
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
        (Method::AuthenticatePlain, offered.auth_plain),
        (Method::LoginCommand, command && ascii),
        (Method::AuthenticateLogin, offered.auth_login),
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
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::imap::UNTAGGED_LIMIT;

    /// One login, and what the server offers.
    #[derive(Clone, Copy)]
    struct Ask {
        offered: &'static str,
        only: Option<Method>,
        user: &'static str,
        password: &'static str,
        confirm: bool,
    }

    const JANE: Ask = Ask {
        offered: "IMAP4rev1 SASL-IR AUTH=PLAIN AUTH=LOGIN",
        only: None,
        user: "jane@example.org",
        password: "s3cret",
        confirm: false,
    };

    /// Plays `lines` to a dialog; says what it did, one line a step.
    fn play(ask: Ask, lines: &[&str]) -> Vec<String> {
        let mut tags = Tags::new();
        let password = Secret::copy_from(ask.password.as_bytes());
        let offered = Capabilities::parse(ask.offered);
        let login = Login::new(
            &offered,
            &mut tags,
            ask.only,
            ask.user.as_bytes(),
            &password,
            ask.confirm,
        );
        let mut login = match login {
            Ok(login) => login,
            Err(error) => return vec![error.to_string()],
        };
        let mut did = vec![show(&login.start())];
        for line in lines {
            let step = login.on_response(Response::parse(line).unwrap());
            did.push(match login.goodbye() {
                Some(status) if matches!(step, Step::Read) => format!("bye: {status}"),
                _ => show(&step),
            });
        }
        did
    }

    fn show(step: &Step) -> String {
        match step {
            Step::Read => "read".into(),
            Step::Send(command) => {
                let wire = String::from_utf8_lossy(command.wire().expose()).into_owned();
                wire.trim_end_matches("\r\n").replace("\r\n", "|")
            }
            Step::Done(Outcome::Status {
                status,
                capabilities: None,
            }) => format!("answer: {status}"),
            Step::Done(Outcome::Status {
                status,
                capabilities: Some(told),
            }) => {
                format!("answer: {status}, {told}")
            }
            Step::Done(Outcome::Surprise) => "surprise".into(),
            Step::Done(Outcome::Unsupported(status)) => format!("unsupported: {status}"),
            Step::Done(Outcome::Unconfirmed(status)) => format!("unconfirmed: {status}"),
            Step::Done(Outcome::Unexpected(how)) => format!("unexpected: {how}"),
        }
    }

    const PLAIN: &str = "AGphbmVAZXhhbXBsZS5vcmcAczNjcmV0";

    /// Without initial response, and no other way.
    const PLAIN_ONLY: Ask = Ask {
        offered: "IMAP4rev1 AUTH=PLAIN LOGINDISABLED",
        ..JANE
    };

    const LOGIN_ONLY: Ask = Ask {
        offered: "IMAP4rev1 AUTH=LOGIN LOGINDISABLED",
        ..JANE
    };

    /// Courier: nothing but the command.
    const COMMAND_ONLY: Ask = Ask {
        offered: "IMAP4rev1 UIDPLUS",
        ..JANE
    };

    /// No mechanism can say this in one go.
    const UMLAUT: Ask = Ask {
        password: "pässwörd",
        ..COMMAND_ONLY
    };

    #[test]
    fn plain_at_once() {
        let sent = format!("v1 AUTHENTICATE PLAIN {PLAIN}");
        assert_eq!(
            play(JANE, &["v1 NO [AUTHENTICATIONFAILED] Authentication failed."]),
            [
                &sent[..],
                "answer: NO [AUTHENTICATIONFAILED] Authentication failed."
            ]
        );
        assert_eq!(
            play(
                JANE,
                &["* CAPABILITY IMAP4rev1 UNAUTHENTICATE", "v1 OK Logged in"]
            ),
            [
                &sent[..],
                "read",
                "answer: OK Logged in, IMAP4rev1 UNAUTHENTICATE"
            ]
        );
        assert_eq!(
            play(
                JANE,
                &["* CAPABILITY IMAP4rev1 ID", "v1 OK [CAPABILITY IMAP4rev1] in"]
            )[2],
            "answer: OK [CAPABILITY IMAP4rev1] in, IMAP4rev1"
        );
        // A BAD is an answer too, and its password is never told to another mechanism.
        for line in [
            "v1 BAD no", "v1 NO", "v1 NO [PRIVACYREQUIRED]", "v1 NO [CANNOT] mechanism",
        ] {
            assert_eq!(play(JANE, &[line])[1], format!("answer: {}", &line[3..]));
        }
    }

    #[test]
    fn plain_after_a_continuation() {
        assert_eq!(
            play(PLAIN_ONLY, &["+ ", "v1 OK done"]),
            ["v1 AUTHENTICATE PLAIN", PLAIN, "answer: OK done"]
        );
        assert_eq!(play(PLAIN_ONLY, &["+", "v1 NO no"])[2], "answer: NO no");
        assert_eq!(play(PLAIN_ONLY, &["v1 NO no"])[1], "unsupported: NO no");
        assert_eq!(
            play(PLAIN_ONLY, &["v1 OK done"])[1],
            "unexpected: OK before the password was sent"
        );
    }

    #[test]
    fn login_command() {
        assert_eq!(
            play(COMMAND_ONLY, &["* OK still here", "v1 NO Login failed."]),
            [
                "v1 LOGIN \"jane@example.org\" \"s3cret\"", "read", "answer: NO Login failed."
            ]
        );
        assert_eq!(
            play(COMMAND_ONLY, &["+ more"])[1],
            "unexpected: a continuation request after LOGIN"
        );
    }

    #[test]
    fn login_command_with_a_literal() {
        let head = "v1 LOGIN \"jane@example.org\" {10}";
        assert_eq!(
            play(UMLAUT, &["+ go", "v1 OK in"]),
            [head, "pässwörd", "answer: OK in"]
        );
        // Refused after the user name: only a word about the user is an answer.
        assert_eq!(
            play(UMLAUT, &["v1 BAD no literals"]),
            [head, "unsupported: BAD no literals"]
        );
        assert_eq!(play(UMLAUT, &["v1 NO [TOOBIG]"])[1], "unsupported: NO [TOOBIG]");
        assert_eq!(
            play(UMLAUT, &["v1 NO [AUTHENTICATIONFAILED]"])[1],
            "answer: NO [AUTHENTICATIONFAILED]"
        );
        assert_eq!(
            play(UMLAUT, &["v1 OK in"])[1],
            "unexpected: OK before the password was sent"
        );

        let plus = Ask {
            offered: "IMAP4rev1 LITERAL+",
            ..UMLAUT
        };
        assert_eq!(
            play(plus, &["v1 NO no"]),
            ["v1 LOGIN \"jane@example.org\" {10+}|pässwörd", "answer: NO no"]
        );
    }

    #[test]
    fn authenticate_login_by_position() {
        assert_eq!(
            play(LOGIN_ONLY, &["+ UGFzc3dvcmQ6", "+ what?", "v1 NO no"]),
            [
                "v1 AUTHENTICATE LOGIN", "amFuZUBleGFtcGxlLm9yZw==", "czNjcmV0", "answer: NO no"
            ]
        );
        assert_eq!(play(LOGIN_ONLY, &["v1 NO no"])[1], "unsupported: NO no");
        assert_eq!(play(LOGIN_ONLY, &["+", "v1 NO no"])[2], "unsupported: NO no");
        assert_eq!(
            play(LOGIN_ONLY, &["+", "v1 NO [EXPIRED]"])[2],
            "answer: NO [EXPIRED]"
        );
        assert_eq!(
            play(LOGIN_ONLY, &["+", "v1 OK in"])[2],
            "unexpected: OK before the password was sent"
        );
    }

    #[test]
    fn the_next_mechanism_only_before_any_credential() {
        let all = Ask {
            offered: "IMAP4rev1 AUTH=PLAIN AUTH=LOGIN",
            ..JANE
        };
        assert_eq!(
            play(all, &["v1 NO not supported", "v2 NO wrong"]),
            [
                "v1 AUTHENTICATE PLAIN", "v2 LOGIN \"jane@example.org\" \"s3cret\"", "answer: NO wrong"
            ]
        );
        // Not after the password.
        assert_eq!(
            play(all, &["+", "v1 NO not supported"])[2],
            "answer: NO not supported"
        );
        // Not where TLS is missed.
        assert_eq!(
            play(all, &["v1 NO [PRIVACYREQUIRED] use TLS"])[1],
            "unsupported: NO [PRIVACYREQUIRED] use TLS"
        );
        // A user name that needs a literal: nothing was sent when it is refused.
        let umlaut = Ask {
            user: "jäne",
            offered: "IMAP4rev1 AUTH=PLAIN AUTH=LOGIN",
            ..JANE
        };
        assert_eq!(
            play(umlaut, &["v1 BAD no", "v2 BAD no"]),
            [
                "v1 AUTHENTICATE PLAIN", "v2 AUTHENTICATE LOGIN", "unsupported: BAD no"
            ]
        );
        let control = Ask {
            user: "ja\tne",
            offered: "IMAP4rev1 AUTH=LOGIN",
            ..JANE
        };
        assert_eq!(
            play(control, &["v1 BAD no literals", "+", "+", "v2 OK in"]),
            [
                "v1 LOGIN {5}", "v2 AUTHENTICATE LOGIN", "amEJbmU=", "czNjcmV0", "answer: OK in"
            ]
        );
    }

    /// Offered, asked for, and the first command.
    #[test]
    fn the_choice() {
        let plain = Some(Method::AuthenticatePlain);
        let login = Some(Method::AuthenticateLogin);
        let command = Some(Method::LoginCommand);
        let none = "the remote offers no mechanism that can be used";
        let table = [
            (
                "IMAP4rev1 SASL-IR AUTH=PLAIN", None, "v1 AUTHENTICATE PLAIN AGphbmUAczNjcmV0",
            ),
            (
                "IMAP4rev2 AUTH=PLAIN", None, "v1 AUTHENTICATE PLAIN AGphbmUAczNjcmV0",
            ),
            ("IMAP4rev1 AUTH=PLAIN", None, "v1 AUTHENTICATE PLAIN"),
            ("IMAP4rev1 AUTH=LOGIN", None, "v1 LOGIN \"jane\" \"s3cret\""),
            (
                "IMAP4rev1 AUTH=LOGIN LOGINDISABLED", None, "v1 AUTHENTICATE LOGIN",
            ),
            ("IMAP4rev1 AUTH=CRAM-MD5", None, "v1 LOGIN \"jane\" \"s3cret\""),
            ("IMAP4rev1 AUTH=CRAM-MD5 LOGINDISABLED", None, none),
            ("IMAP4rev1 LOGINDISABLED", None, none),
            (
                "IMAP4rev1 AUTH=PLAIN AUTH=LOGIN", command, "v1 LOGIN \"jane\" \"s3cret\"",
            ),
            ("IMAP4rev1 AUTH=PLAIN AUTH=LOGIN LOGINDISABLED", command, none),
            ("IMAP4rev1 AUTH=PLAIN AUTH=LOGIN", login, "v1 AUTHENTICATE LOGIN"),
            ("IMAP4rev1 AUTH=PLAIN", login, none),
            ("IMAP4rev1 AUTH=PLAIN AUTH=LOGIN", plain, "v1 AUTHENTICATE PLAIN"),
            ("IMAP4rev1 AUTH=LOGIN", plain, none),
        ];
        for (offered, only, first) in table {
            let ask = Ask {
                offered,
                only,
                user: "jane",
                ..JANE
            };
            assert_eq!(play(ask, &[])[0], first, "{offered} {only:?}");
        }
        for (offered, only, first) in table {
            let is_offered = Method::is_offered(only, &Capabilities::parse(offered));
            assert_eq!(is_offered, first != none, "{offered} {only:?}");
        }
        for (offered, first) in [
            ("IMAP4rev1 AUTH=PLAIN AUTH=LOGIN", "v1 AUTHENTICATE PLAIN"),
            ("IMAP4rev1 AUTH=LOGIN", "v1 AUTHENTICATE LOGIN"),
            ("IMAP4rev1", "v1 LOGIN \"jane\" {10}"),
            ("IMAP4rev1 LOGINDISABLED", none),
        ] {
            let ask = Ask {
                offered,
                user: "jane",
                password: "pässwörd",
                ..JANE
            };
            assert_eq!(play(ask, &[])[0], first, "{offered}");
        }
    }

    #[test]
    fn a_surprise_is_cancelled() {
        assert_eq!(
            play(
                JANE,
                &["+ eyJzdGF0dXMiOiI0MDAifQ==", "* OK hm", "v1 BAD cancelled"]
            )[1..],
            ["*", "read", "surprise"]
        );
        // Even a late OK is none.
        assert_eq!(play(PLAIN_ONLY, &["+", "+", "v1 OK in"])[2..], ["*", "surprise"]);
        assert_eq!(
            play(LOGIN_ONLY, &["+", "+", "+", "+"])[3..],
            ["*", "unexpected: a continuation request out of place"]
        );
        assert_eq!(play(JANE, &["+", "* BYE"])[2], "bye: BYE");
        assert_eq!(
            play(JANE, &["+", "v2 BAD"])[2],
            "unexpected: a tag that is not in use"
        );
    }

    #[test]
    fn a_goodbye_may_stand_before_the_answer() {
        for (lines, ends) in [
            (&["* BYE so long", "v1 NO no"][..], "answer: NO no"),
            (&["* BYE so long", "v1 OK in"], "answer: OK in"),
            (&["* BYE so long", "* BYE again", "v1 NO no"], "answer: NO no"),
            (
                &["* BYE so long", "+"],
                "unexpected: a continuation request behind a goodbye",
            ),
        ] {
            let did = play(JANE, lines);
            assert_eq!(did[1], "bye: BYE so long");
            assert_eq!(did.last().unwrap(), ends, "{lines:?}");
        }
        // The password is not said any more.
        let did = play(PLAIN_ONLY, &["* BYE so long", "+"]);
        assert!(did[2].starts_with("unexpected"), "{did:?}");
    }

    #[test]
    fn it_is_known_when_the_password_was_said() {
        let said = |ask: Ask, lines: &[&str]| {
            let mut tags = Tags::new();
            let password = Secret::copy_from(ask.password.as_bytes());
            let offered = Capabilities::parse(ask.offered);
            let user = ask.user.as_bytes();
            let mut login = Login::new(&offered, &mut tags, None, user, &password, false).unwrap();
            login.start();
            let mut said = vec![login.has_said_password()];
            for line in lines {
                login.on_response(Response::parse(line).unwrap());
                said.push(login.has_said_password());
            }
            said
        };
        assert_eq!(said(JANE, &["+", "v1 BAD"]), [true; 3]);
        assert_eq!(
            said(PLAIN_ONLY, &["* OK", "+", "v1 NO no"]),
            [false, false, true, true]
        );
        assert_eq!(said(LOGIN_ONLY, &["+", "+"]), [false, false, true]);
        assert_eq!(said(LOGIN_ONLY, &["+", "v1 NO [EXPIRED]"]), [false; 3]);
        assert_eq!(said(COMMAND_ONLY, &["v1 NO no"]), [true; 2]);
        assert_eq!(said(UMLAUT, &["+"]), [false, true]);
    }

    #[test]
    fn confirmation() {
        let ask = Ask {
            confirm: true,
            ..JANE
        };
        let ok = ["* CAPABILITY IMAP4rev1 ID", "v1 OK done", "* LIST () \"/\" \"\""];
        assert_eq!(
            play(ask, &[&ok[..], &["v2 OK"]].concat())[2..],
            ["v2 LIST \"\" \"\"", "read", "answer: OK done, IMAP4rev1 ID"]
        );
        for line in ["v2 BAD User is authenticated but not connected.", "v2 NO no"] {
            let did = play(ask, &[&ok[..], &[line]].concat());
            assert_eq!(did[4], format!("unconfirmed: {}", &line[3..]));
        }
        assert_eq!(play(ask, &["v1 OK", "* BYE gone"])[2], "bye: BYE gone");
        assert_eq!(
            play(ask, &["v1 OK", "v1 OK"])[2],
            "unexpected: a tag that is not in use"
        );
        assert_eq!(
            play(ask, &["v1 OK", "+"])[2],
            "unexpected: a continuation request out of place"
        );
        assert_eq!(play(ask, &["v1 NO no"])[1], "answer: NO no");
    }

    #[test]
    fn nonsense_is_no_answer() {
        for (lines, ends) in [
            (&["v2 OK in"][..], "unexpected: a tag that is not in use"),
            (&["V1 OK in"], "unexpected: a tag that is not in use"),
            (&["v01 NO"], "unexpected: a tag that is not in use"),
            (&["* BYE [UNAVAILABLE] down"], "bye: BYE [UNAVAILABLE] down"),
            (&["* 1 EXISTS", "* bye"], "bye: BYE"),
            // An untagged refusal is a warning.
            (&["* NO [AUTHENTICATIONFAILED] no"], "read"),
            (&["v1 NO no", "v1 OK in"], "unexpected: a tag that is not in use"),
            (&["v1 NO no", "* OK"], "unexpected: a response to nothing"),
        ] {
            assert_eq!(play(JANE, lines).pop().unwrap(), ends, "{lines:?}");
        }
        let chatter = vec!["* OK wait"; UNTAGGED_LIMIT + 1];
        let did = play(JANE, &chatter);
        assert_eq!(did[UNTAGGED_LIMIT], "read");
        assert_eq!(
            did[UNTAGGED_LIMIT + 1],
            "unexpected: untagged responses without an end"
        );
    }

    #[test]
    fn an_echo_of_the_password_is_withheld() {
        let long = Ask {
            password: "correct horse battery staple",
            ..COMMAND_ONLY
        };
        for (ask, line, ends) in [
            (
                JANE, "v1 BAD Unknown: AGphbmVAZXhhbXBsZS5vcmcAczNjcmV0", "answer: BAD [withheld]",
            ),
            (
                COMMAND_ONLY, "v1 BAD [CLIENTBUG] jane s3cret?", "answer: BAD [CLIENTBUG] [withheld]",
            ),
            (JANE, "* BYE what is czNjcmV0", "bye: BYE [withheld]"),
            (long, "v1 BAD \"correct ho", "answer: BAD [withheld]"),
            (JANE, "v1 BAD no such command", "answer: BAD no such command"),
            (JANE, "v1 NO s3cret is not it", "answer: NO s3cret is not it"),
        ] {
            assert_eq!(play(ask, &[line])[1], ends, "{line}");
        }
        assert_eq!(play(Ask { password: "", ..JANE }, &["v1 BAD"])[1], "answer: BAD");
    }

    #[test]
    fn what_cannot_be_sent_is_not() {
        for (user, password) in [
            ("ja\0ne", "x"),
            ("jane\r\nv2 LOGOUT", "x"),
            ("jane", "x\ny"),
            ("jane", "\0"),
        ] {
            for offered in [JANE.offered, COMMAND_ONLY.offered, LOGIN_ONLY.offered] {
                let did = play(
                    Ask {
                        offered,
                        user,
                        password,
                        ..JANE
                    },
                    &[],
                );
                assert!(did[0].ends_with("holds a byte that cannot be sent"), "{did:?}");
            }
        }
    }

    #[test]
    fn tags_go_on_and_secrets_stay_hidden() {
        let mut tags = Tags::new();
        let secret = Secret::copy_from(b"s3cret");
        let offered = Capabilities::parse(JANE.offered);
        for tag in ["v1", "v2"] {
            let mut login = Login::new(&offered, &mut tags, None, b"jane", &secret, false).unwrap();
            assert!(!format!("{login:?}").contains("s3cret"));
            let step = login.start();
            let shown = format!("{step:?} {login:?}");
            assert!(shown.starts_with(&format!("Send(Command({tag} AUTHENTICATE PLAIN [secret])) ")));
            assert!(!shown.contains("s3cret") && !shown.contains("AGphbm"), "{shown}");
        }
    }

    proptest! {
        /// Whatever is said: the password leaves at most once, an OK is believed only
        /// after it, and there is an end.
        #[test]
        fn one_password_one_mechanism(
            offered in prop::sample::select(vec![
                "IMAP4rev1 AUTH=PLAIN AUTH=LOGIN", "IMAP4rev1 SASL-IR AUTH=PLAIN", "IMAP4rev1",
                "IMAP4rev1 LOGINDISABLED AUTH=LOGIN", "IMAP4rev2 AUTH=LOGIN",
            ]),
            user in prop::sample::select(vec!["jane", "ja\tne", "jäne"]),
            password in prop::sample::select(vec!["s3cret", "s3\tcret", "s3cröt"]),
            confirm in any::<bool>(),
            said in prop::collection::vec(prop::sample::select(vec![
                "+", "+ UGFzc3dvcmQ6", "v1 OK", "v1 NO", "v1 BAD", "v2 OK", "v2 NO [EXPIRED]", "v3 NO",
                "v3 OK", "* OK", "* CAPABILITY IMAP4rev1", "* BYE",
            ]), 0..12),
        ) {
            let did = play(Ask { offered, only: None, user, password, confirm }, &said);
            let encoded = String::from_utf8(crate::sasl::base64_encode(password.as_bytes()).expose().to_vec()).unwrap();
            let plain = Sendable::new(user.as_bytes(), &Secret::copy_from(password.as_bytes())).unwrap();
            let plain = String::from_utf8(Command::plain(&plain).wire().expose().to_vec()).unwrap();
            let tells = |step: &String| {
                step.contains(password) || *step == encoded || step.ends_with(plain.trim_end())
            };
            let told = did.iter().filter(|step| tells(step)).count();
            prop_assert!(told <= 1, "{:?}", did);
            if let Some(at) = did.iter().position(|step| step.starts_with("answer: OK")) {
                prop_assert!(did.iter().position(tells).is_some_and(|told| told < at), "{:?}", did);
                prop_assert!(said[at - 1].ends_with("OK") && said[at - 1].starts_with('v'), "{:?}", did);
            }
        }
    }
}
