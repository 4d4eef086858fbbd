//! The dialog of one login: AUTH with PLAIN or LOGIN (RFC 4954).
//!
//! One password is tried with one mechanism, once: a second attempt would count
//! twice against the user.

use super::{Capabilities, Command, EnhancedCode, Reply};
use crate::sasl::{self, Mechanism};
use crate::secret::Secret;

/// Bound (sessions, bytes): SMTP command with a login in it, with its CRLF. Beyond: the login is sent in a line of
/// its own. Why: RFC 5321 section 4.5.3.1.4, RFC 4954 section 4.
pub const MAX_COMMAND: usize = 512;

/// "Authentication Exchange line is too long" (RFC 4954 §6). The same credentials are not said again for it; the
/// next may be said [in two](Auth::in_two).
pub const LINE_TOO_LONG: EnhancedCode = EnhancedCode::new(5, 5, 6);

/// The dialog. Begin with [`start`](Self::start), then do as each [`Step`] says.
/// It wants a session outside any mail transaction and not logged in.
#[derive(Debug)]
pub struct Auth {
    user: Vec<u8>,
    password: Secret<[u8]>,
    mechanism: Mechanism,
    /// The other mechanism, while it may still be tried.
    fallback: Option<Mechanism>,
    /// Credentials are sent behind a 334 only, however short they are.
    in_two: bool,
    state: State,
    /// The whole password was handed out to be sent.
    said_password: bool,
}

/// What to do next.
#[derive(Debug)]
pub enum Step {
    /// Send this alone, then read one reply and hand it to [`Auth::on_reply`].
    Send(Command),
    /// The exchange is over.
    Done(Outcome),
}

/// How an exchange ended. Only a [`Reply`](Outcome::Reply) may be about the user.
#[derive(Debug)]
pub enum Outcome {
    /// The reply to the credentials, or to the user name alone.
    Reply(Reply),
    /// The exchange did not go as a server can mean it; no verdict. A 334 although
    /// nothing was left to say (`*` was sent, and this is the reply to it), a success
    /// before the password was sent, a reply out of turn. The session is not to be
    /// used any more.
    Surprise(Reply),
    /// Every mechanism that may be used was offered and then refused, with 500, 502
    /// or 504, before any secret was sent.
    Unsupported(Reply),
    /// The exchange ended before the remote had taken anything about this user:
    /// whatever the reply says, a 535 included, it is about us or itself.
    Early(Reply),
}

/// The remote offers no mechanism that may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no usable AUTH mechanism is offered")]
pub struct NoMechanism;

#[derive(Debug, Clone, Copy)]
enum State {
    /// Nothing was sent yet.
    New,
    /// The mechanism's name was sent alone.
    Named,
    /// `AUTH PLAIN` was sent with the credentials.
    Initial,
    /// LOGIN: the user name was sent.
    User,
    /// The credentials were sent as an answer.
    Complete,
    /// `*` was sent.
    Cancelled,
    Over,
}

impl Auth {
    /// A login with one of the offered mechanisms, or with `mechanism` alone;
    /// PLAIN is preferred. The caller has refused what has no place in a login
    /// (NUL, CR or LF, an empty password, over-long parts).
    ///
    /// # Errors
    /// [`NoMechanism`] when there is none to try.
    pub fn new(
        capabilities: &Capabilities,
        mechanism: Option<Mechanism>,
        user: &[u8],
        password: &Secret<[u8]>,
    ) -> Result<Self, NoMechanism> {
        let usable =
            |one: &Mechanism| capabilities.auth.offers(*one) && mechanism.is_none_or(|only| only == *one);
        let mut usable = [Mechanism::Plain, Mechanism::Login].into_iter().filter(usable);
        Ok(Self {
            mechanism: usable.next().ok_or(NoMechanism)?,
            fallback: usable.next(),
            user: user.to_vec(),
            password: password.clone(),
            in_two: false,
            state: State::New,
            said_password: false,
        })
    }

    /// The same, for a remote that has refused credentials for being in one line with the command
    /// ([`LINE_TOO_LONG`]).
    #[must_use]
    pub fn in_two(self) -> Self {
        Self { in_two: true, ..self }
    }

    /// The first command.
    pub fn start(&mut self) -> Step {
        if self.mechanism == Mechanism::Login {
            return self.send(State::Named, Command::AuthLogin);
        }
        let initial = self.plain();
        if self.in_two || "AUTH PLAIN ".len() + initial.expose().len() + "\r\n".len() > MAX_COMMAND {
            return self.send(State::Named, Command::AuthPlain { initial: None });
        }
        self.send(
            State::Initial,
            Command::AuthPlain {
                initial: Some(initial),
            },
        )
    }

    /// The next step after a reply was read.
    pub fn on_reply(&mut self, reply: Reply) -> Step {
        match (self.state, reply.code()) {
            (State::Named, 334) => self.first_answer(),
            (State::Named | State::User, 200..=299) => self.done(Outcome::Surprise(reply)),
            (State::Named, 500 | 502 | 504) => match self.fallback.take() {
                Some(other) => {
                    self.mechanism = other;
                    self.start()
                }
                None => self.done(Outcome::Unsupported(reply)),
            },
            (State::Named, _) => self.done(Outcome::Early(reply)),
            (State::User, 334) => {
                let password = sasl::base64_encode(self.password.expose());
                self.send(State::Complete, Command::AuthData(password))
            }
            (State::Initial | State::Complete, 334) => self.send(State::Cancelled, Command::AuthCancel),
            (State::Initial | State::User | State::Complete, _) => self.done(Outcome::Reply(reply)),
            (State::New | State::Cancelled | State::Over, _) => self.done(Outcome::Surprise(reply)),
        }
    }

    /// The answer to the first challenge. LOGIN's prompts are distinguished by
    /// their order: their texts differ from server to server.
    fn first_answer(&mut self) -> Step {
        match self.mechanism {
            Mechanism::Plain => {
                let message = self.plain();
                self.send(State::Complete, Command::AuthData(message))
            }
            Mechanism::Login => {
                let user = sasl::base64_encode(&self.user);
                self.send(State::User, Command::AuthData(user))
            }
        }
    }

    fn plain(&self) -> Secret<[u8]> {
        sasl::base64_encode(sasl::encode_plain(&self.user, &self.password).expose())
    }

    /// Whether the last of the commands that were to be sent ended the password: once it has left,
    /// the remote may judge it, and the same is not to be sent again.
    pub const fn has_said_password(&self) -> bool {
        self.said_password
    }

    fn send(&mut self, state: State, command: Command) -> Step {
        self.said_password |= matches!(state, State::Initial | State::Complete);
        self.state = state;
        Step::Send(command)
    }

    fn done(&mut self, outcome: Outcome) -> Step {
        self.state = State::Over;
        Step::Done(outcome)
    }
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use tokio_util::codec::Encoder as _;

    use super::*;
    use crate::sasl::Mechanisms;
    use crate::smtp::Codec;

    const JANE: &[u8] = b"jane@example.org";
    const PLAIN_JANE: &str = "AUTH PLAIN AGphbmVAZXhhbXBsZS5vcmcAczNjcmV0";

    fn offering(plain: bool, login: bool) -> Capabilities {
        let auth = Mechanisms {
            plain,
            login,
            other: vec!["XOAUTH2".into()],
        };
        Capabilities {
            auth,
            ..Capabilities::default()
        }
    }

    /// What we say while `remote` replies, then how it ended.
    fn play(mut auth: Auth, remote: &[&str]) -> Vec<String> {
        let mut said = Vec::new();
        let mut step = auth.start();
        let mut remote = remote.iter();
        loop {
            let outcome = match step {
                Step::Send(command) => {
                    let mut line = BytesMut::new();
                    Codec::default().encode(&command, &mut line).unwrap();
                    said.push(String::from_utf8(line.to_vec()).unwrap().trim_end().to_owned());
                    step = auth.on_reply(Reply::parse(remote.next().expect("a reply")).unwrap());
                    continue;
                }
                Step::Done(Outcome::Reply(reply)) => format!("reply {reply}"),
                Step::Done(Outcome::Surprise(reply)) => format!("surprise {reply}"),
                Step::Done(Outcome::Unsupported(reply)) => format!("unsupported {reply}"),
                Step::Done(Outcome::Early(reply)) => format!("early {reply}"),
            };
            assert_eq!(remote.next(), None, "not read");
            said.push(outcome);
            return said;
        }
    }

    fn jane(plain: bool, login: bool) -> Auth {
        Auth::new(&offering(plain, login), None, JANE, &Secret::copy_from(b"s3cret")).unwrap()
    }

    /// A login whose credentials are too long for an initial response.
    fn long(plain: bool, login: bool) -> Auth {
        let password = Secret::from(vec![b'x'; 500]);
        Auth::new(&offering(plain, login), None, JANE, &password).unwrap()
    }

    fn long_answer() -> String {
        play(long(true, false), &["334 ", "235 ok"]).swap_remove(1)
    }

    #[test]
    fn plain_is_one_round_trip() {
        for reply in [
            "235 2.7.0 ok", "535 5.7.8 no", "454 4.7.0 later", "435 unable", "504 5.5.4 no", "502 no",
        ] {
            assert_eq!(
                play(jane(true, true), &[reply]),
                [PLAIN_JANE, &format!("reply {reply}")]
            );
        }
    }

    #[test]
    fn login_answers_by_position() {
        for prompts in [
            ["334 VXNlcm5hbWU6", "334 UGFzc3dvcmQ6"],
            ["334 UGFzc3dvcmQ6", "334"],
            ["334 ", "334 ?"],
        ] {
            for end in [
                "235 2.7.0 ok", "535 no", "454 4.7.0 Temporary authentication failure",
            ] {
                assert_eq!(
                    play(jane(false, true), &[prompts[0], prompts[1], end]),
                    [
                        "AUTH LOGIN",
                        "amFuZUBleGFtcGxlLm9yZw==",
                        "czNjcmV0",
                        &format!("reply {end}")
                    ]
                );
            }
        }
        let refused = play(jane(false, true), &["334 ", "535 5.7.8 no such user"]);
        assert_eq!(refused[2], "reply 535 5.7.8 no such user");
    }

    #[test]
    fn long_credentials_wait_for_the_challenge() {
        let said = play(long(true, true), &["334 ", "235 2.7.0 ok"]);
        assert_eq!(
            (said[0].as_str(), said[2].as_str()),
            ("AUTH PLAIN", "reply 235 2.7.0 ok")
        );
        assert_eq!(said[1].len(), (1 + JANE.len() + 1 + 500_usize).div_ceil(3) * 4);
        assert_eq!(play(long(true, true), &["334", "535 no"])[1], said[1]);
    }

    // Fills MAX_COMMAND.
    #[test]
    fn the_longest_initial_response_fills_the_line() {
        // 372 octets of message make 496 of base64, and 3 more make 500: one octet too many.
        for (length, together) in [(372 - 18, true), (372 - 17, false)] {
            let password = Secret::from(vec![b'x'; length]);
            let mut auth = Auth::new(&offering(true, false), None, JANE, &password).unwrap();
            let Step::Send(command) = auth.start() else {
                panic!("nothing to send")
            };
            let mut line = BytesMut::new();
            Codec::default().encode(&command, &mut line).unwrap();
            assert!(line.len() <= MAX_COMMAND);
            assert_eq!(line.len() > 12, together, "{length}");
        }
    }

    #[test]
    fn what_was_said_is_not_said_again() {
        for reply in [
            "500 5.5.6 too long", "500 5.5.2 what", "503 5.5.1 no", "534 5.7.9 too weak",
        ] {
            assert_eq!(
                play(jane(true, true), &[reply]),
                [PLAIN_JANE, &format!("reply {reply}")]
            );
        }
        let answer = &PLAIN_JANE["AUTH PLAIN ".len()..];
        assert_eq!(
            play(jane(true, true).in_two(), &["334 ", "235 ok"]),
            ["AUTH PLAIN", answer, "reply 235 ok"]
        );
    }

    #[test]
    fn it_is_known_when_the_password_was_said() {
        let said = |mut auth: Auth, replies: &[&str]| {
            let mut said = Vec::new();
            auth.start();
            for text in replies {
                said.push(auth.has_said_password());
                auth.on_reply(Reply::parse(text).unwrap());
            }
            said.push(auth.has_said_password());
            said
        };
        assert_eq!(
            said(jane(true, true), &["334 ", "501 5.7.0 cancelled"]),
            [true; 3]
        );
        assert_eq!(
            said(jane(true, true).in_two(), &["334 ", "235 ok"]),
            [false, true, true]
        );
        assert_eq!(
            said(jane(false, true), &["334 ", "334 ", "535 no"]),
            [false, false, true, true]
        );
        assert_eq!(said(jane(false, true), &["334 ", "535 no"]), [false; 3]);
    }

    #[test]
    fn a_mechanism_refused_by_name_gives_way() {
        for refusal in ["500 what", "502 5.5.1 no", "504 5.5.4 no"] {
            let password = "eHh4".repeat(166) + "eHg=";
            assert_eq!(
                play(long(true, true), &[refusal, "334 ", "334 ", "535 no"]),
                [
                    "AUTH PLAIN", "AUTH LOGIN", "amFuZUBleGFtcGxlLm9yZw==", &password, "reply 535 no"
                ]
            );
            let unsupported = format!("unsupported {refusal}");
            assert_eq!(
                play(long(true, true), &[refusal, refusal]),
                ["AUTH PLAIN", "AUTH LOGIN", &unsupported]
            );
            assert_eq!(play(long(true, false), &[refusal]), ["AUTH PLAIN", &unsupported]);
            assert_eq!(play(jane(false, true), &[refusal]), ["AUTH LOGIN", &unsupported]);
            // Once something was sent, it does not.
            assert_eq!(
                play(long(true, true), &["334 ", refusal])[2],
                format!("reply {refusal}")
            );
            assert_eq!(
                play(jane(false, true), &["334 ", refusal])[2],
                format!("reply {refusal}")
            );
        }
    }

    #[test]
    fn a_refusal_before_the_user_was_named_is_no_verdict() {
        for reply in [
            "535 5.7.8 no", "525 5.7.13 off", "454 4.7.0 later", "421 bye", "503 no", "530 tls", "354 x",
        ] {
            assert_eq!(
                play(jane(false, true), &[reply]),
                ["AUTH LOGIN", &format!("early {reply}")]
            );
            assert_eq!(
                play(long(true, true), &[reply]),
                ["AUTH PLAIN", &format!("early {reply}")]
            );
        }
    }

    #[test]
    fn a_success_before_the_password_is_none() {
        assert_eq!(play(jane(false, true), &["235 ok"])[1], "surprise 235 ok");
        assert_eq!(play(jane(false, true), &["334 ", "235 ok"])[2], "surprise 235 ok");
        assert_eq!(play(long(true, true), &["250 ok"])[1], "surprise 250 ok");
    }

    #[test]
    fn a_question_too_many_is_cancelled() {
        for end in ["501 5.7.0 cancelled", "235 ok", "535 no", "334 more"] {
            let surprise = format!("surprise {end}");
            assert_eq!(
                play(jane(true, true), &["334 ", end]),
                [PLAIN_JANE, "*", &surprise]
            );
            assert_eq!(
                play(jane(false, true), &["334 ", "334 ", "334 ", end])[3..],
                ["*", &surprise]
            );
            assert_eq!(
                play(long(true, true), &["334 ", "334 ", end]),
                ["AUTH PLAIN", &long_answer(), "*", &surprise]
            );
        }
    }

    #[test]
    fn replies_out_of_turn_are_no_verdict() {
        let reply = || Reply::new(535, ["no"]);
        let mut auth = jane(true, true);
        assert!(matches!(auth.on_reply(reply()), Step::Done(Outcome::Surprise(_))));
        auth.start();
        assert!(matches!(auth.on_reply(reply()), Step::Done(Outcome::Reply(_))));
        assert!(matches!(auth.on_reply(reply()), Step::Done(Outcome::Surprise(_))));
    }

    #[test]
    fn the_mechanism_must_be_offered() {
        let choose = |plain, login, only| {
            let chosen = Auth::new(&offering(plain, login), only, JANE, &Secret::copy_from(b"s3cret"));
            chosen.map(|auth| auth.mechanism)
        };
        let (plain, login) = (Mechanism::Plain, Mechanism::Login);
        assert_eq!(choose(true, true, None), Ok(plain));
        assert_eq!(choose(false, true, None), Ok(login));
        assert_eq!(choose(true, true, Some(login)), Ok(login));
        assert_eq!(choose(true, false, Some(login)), Err(NoMechanism));
        assert_eq!(choose(false, true, Some(plain)), Err(NoMechanism));
        assert_eq!(choose(false, false, None), Err(NoMechanism));
        let only = Auth::new(
            &offering(true, true),
            Some(plain),
            JANE,
            &Secret::from(vec![b'x'; 500]),
        )
        .unwrap();
        assert_eq!(play(only, &["504 no"])[1], "unsupported 504 no");
    }

    #[test]
    fn no_form_shows_the_password() {
        assert!(!format!("{:?}", jane(true, true)).contains("s3cret"));
        assert!(!format!("{:?}", jane(true, true).start()).contains("czNj"));
    }
}
