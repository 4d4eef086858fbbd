//! SASL as far as a password goes: PLAIN (RFC 4616) in both directions, LOGIN
//! (draft-murchison-sasl-login-00) as a server, and base64 between them and
//! the protocols that carry them. [`relayed`] has the mechanisms that are for the
//! remote to judge.
//!
//! Names and passwords are bytes and stay as they were sent: the remote, not
//! we, says which of them are equal.
//!
//! ```
//! use vouch_protocol::sasl::{Exchange, Mechanism, Step};
//! use vouch_protocol::secret::Secret;
//!
//! // LOGIN has two challenges; messages are here before and after base64.
//! let (mut exchange, step) = Exchange::start(Mechanism::Login, None);
//! assert!(matches!(step, Step::Challenge(b"Username:")));
//! let step = exchange.next(Secret::copy_from(b"jane"));
//! assert!(matches!(step, Step::Challenge(b"Password:")));
//! let Step::Credentials(login) = exchange.next(Secret::copy_from(b"secret")) else {
//!     return Err("no credentials".into());
//! };
//! assert_eq!(login.user, b"jane");
//! // A secret shows itself to nobody who does not ask for it.
//! assert_eq!(format!("{:?}", login.password), "[secret]");
//! assert_eq!(login.password.expose(), b"secret");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod offered;
pub mod relayed;
pub mod repeated;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

pub use offered::Mechanisms;
pub use relayed::RelayedMechanism;

use crate::secret::Secret;

/// A name and the password said to be its own.
#[derive(Debug, Clone)]
pub struct Credentials {
    /// The authentication identity: not empty, no NUL.
    pub user: Vec<u8>,
    /// The password: maybe empty, no NUL.
    pub password: Secret<[u8]>,
}

/// Why a client's messages hold no [`Credentials`] that we could check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PlainError {
    /// PLAIN without exactly two NULs, or LOGIN with any.
    #[error("a PLAIN message has two NULs, and a LOGIN message none")]
    Nul,
    /// The client asks to act as somebody else, which we let nobody do.
    #[error("the authorization identity is not the authentication identity")]
    ForeignAuthzid,
    /// The name is empty.
    #[error("the user name is empty")]
    NoUser,
    /// A message came after the last one of its exchange.
    #[error("the exchange is over")]
    Over,
}

/// What a PLAIN client message says.
///
/// ```text
/// message = [authzid] NUL authcid NUL passwd        ; RFC 4616 §2
/// ```
/// Some clients repeat the authcid as authzid; that is no more than leaving it
/// out.
///
/// # Errors
/// [`PlainError`]; no part of the message is in it.
pub fn parse_plain(message: &[u8]) -> Result<Credentials, PlainError> {
    let mut parts = message.split(|&byte| byte == 0);
    let (Some(authzid), Some(authcid), Some(passwd), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(PlainError::Nul);
    };
    if authcid.is_empty() {
        return Err(PlainError::NoUser);
    }
    if !authzid.is_empty() && authzid != authcid {
        return Err(PlainError::ForeignAuthzid);
    }
    Ok(Credentials {
        user: authcid.to_vec(),
        password: Secret::copy_from(passwd),
    })
}

/// The PLAIN message of a client, without an authzid (RFC 4616 §2).
///
/// Neither part may hold a NUL; [`Credentials`] from here never do.
pub fn encode_plain(user: &[u8], password: &Secret<[u8]>) -> Secret<[u8]> {
    let password = password.expose();
    let mut message = Vec::with_capacity(user.len() + password.len() + 2);
    message.push(0);
    message.extend_from_slice(user);
    message.push(0);
    message.extend_from_slice(password);
    Secret::from(message)
}

/// What was sent as base64 is none (RFC 4648 §4, padding required, no line ends).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not valid base64")]
pub struct InvalidBase64;

/// `bytes` in base64 (RFC 4648 §4), with padding.
pub fn base64_encode(bytes: &[u8]) -> Secret<[u8]> {
    Secret::from(STANDARD.encode(bytes).into_bytes())
}

/// The bytes that `text` holds in base64 (RFC 4648 §4).
///
/// A lone `=` is no bytes: so SMTP writes an empty initial response (RFC 4954
/// §4), and so Prosody writes any empty message.
///
/// # Errors
/// [`InvalidBase64`] for anything else that a strict reader refuses.
pub fn base64_decode(text: &[u8]) -> Result<Secret<[u8]>, InvalidBase64> {
    if text == b"=" {
        return Ok(Secret::copy_from(b""));
    }
    // Large enough from the start, so that growing leaves no copy behind, and
    // overwritten whatever happens.
    let mut bytes = Zeroizing::new(Vec::with_capacity(base64::decoded_len_estimate(text.len())));
    STANDARD.decode_vec(text, &mut bytes).map_err(|_| InvalidBase64)?;
    Ok(Secret::copy_from(&bytes))
}

/// The mechanisms that hand us a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mechanism {
    /// One message with name and password (RFC 4616).
    Plain,
    /// Name and password, each asked for (draft-murchison-sasl-login-00).
    Login,
}

impl Mechanism {
    /// The registered name, in upper case.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::Login => "LOGIN",
        }
    }

    /// The mechanism of that name in any case, if it is one of ours.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Plain, Self::Login]
            .into_iter()
            .find(|mechanism| mechanism.name().eq_ignore_ascii_case(name))
    }
}

/// The server's half of one authentication exchange.
#[derive(Debug)]
pub struct Exchange(State);

#[derive(Debug)]
enum State {
    PlainMessage,
    LoginUser,
    LoginPassword { user: Vec<u8> },
    Over,
}

/// What the server does next.
#[derive(Debug)]
pub enum Step {
    /// Send this challenge, not yet in base64, and hand the response to
    /// [`Exchange::next`].
    Challenge(&'static [u8]),
    /// The client has said all: these are to be checked.
    Credentials(Credentials),
    /// The client's messages make no credentials; the exchange is over.
    Failed(PlainError),
}

impl Exchange {
    /// Begins an exchange. `initial` is the decoded initial response: `None`
    /// when there was none, which for PLAIN is not the same as an empty one.
    pub fn start(mechanism: Mechanism, initial: Option<Secret<[u8]>>) -> (Self, Step) {
        let (state, empty_means_none, prompt): (_, _, &'static [u8]) = match mechanism {
            Mechanism::Plain => (State::PlainMessage, false, b""),
            Mechanism::Login => (State::LoginUser, true, b"Username:"),
        };
        let mut exchange = Self(state);
        let step = match initial {
            Some(data) if !(empty_means_none && data.expose().is_empty()) => exchange.next(data),
            _ => Step::Challenge(prompt),
        };
        (exchange, step)
    }

    /// The step after the client's response `data`, decoded.
    pub fn next(&mut self, data: Secret<[u8]>) -> Step {
        let answer = match std::mem::replace(&mut self.0, State::Over) {
            State::PlainMessage => parse_plain(data.expose()),
            State::LoginUser | State::LoginPassword { .. } if data.expose().contains(&0) => {
                Err(PlainError::Nul)
            }
            State::LoginUser if data.expose().is_empty() => Err(PlainError::NoUser),
            State::LoginUser => {
                let user = data.expose().to_vec();
                self.0 = State::LoginPassword { user };
                return Step::Challenge(b"Password:");
            }
            State::LoginPassword { user } => Ok(Credentials { user, password: data }),
            State::Over => Err(PlainError::Over),
        };
        answer.map_or_else(Step::Failed, Step::Credentials)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn secret(bytes: &[u8]) -> Secret<[u8]> {
        Secret::copy_from(bytes)
    }

    /// Name and password, or the error.
    fn plain(message: &[u8]) -> Result<(Vec<u8>, Vec<u8>), PlainError> {
        parse_plain(message).map(|found| (found.user, found.password.expose().to_vec()))
    }

    /// The steps of an exchange in words.
    fn run(mechanism: Mechanism, initial: Option<&[u8]>, responses: &[&[u8]]) -> Vec<String> {
        let (mut exchange, first) = Exchange::start(mechanism, initial.map(secret));
        let mut steps = vec![first];
        steps.extend(responses.iter().map(|response| exchange.next(secret(response))));
        let word = |step| match step {
            Step::Challenge(text) => format!("? {}", text.escape_ascii()),
            Step::Credentials(found) => {
                format!(
                    "{} {}",
                    found.user.escape_ascii(),
                    found.password.expose().escape_ascii()
                )
            }
            Step::Failed(error) => format!("{error:?}"),
        };
        steps.into_iter().map(word).collect()
    }

    #[test]
    fn reads_plain() {
        let bob = Ok((b"bob".to_vec(), b"secret".to_vec()));
        assert_eq!(plain(b"\0bob\0secret"), bob);
        assert_eq!(plain(b"bob\0bob\0secret"), bob);
        assert_eq!(plain(b"\0bob\0"), Ok((b"bob".to_vec(), vec![])));
        assert_eq!(
            plain(b"\0\xff\x01\0\xfe "),
            Ok((b"\xff\x01".to_vec(), b"\xfe ".to_vec()))
        );
        for (message, error) in [
            (&b""[..], PlainError::Nul),
            (b"bob\0secret", PlainError::Nul),
            (b"\0bob\0sec\0ret", PlainError::Nul),
            (b"\0bob\0secret\0", PlainError::Nul),
            (b"root\0bob\0secret", PlainError::ForeignAuthzid),
            (b"BOB\0bob\0secret", PlainError::ForeignAuthzid),
            (b"\0\0secret", PlainError::NoUser),
            (b"bob\0\0secret", PlainError::NoUser),
        ] {
            assert_eq!(plain(message), Err(error), "{}", message.escape_ascii());
        }
    }

    #[test]
    fn writes_plain() {
        let message = encode_plain(b"bob", &secret(b"secret"));
        assert_eq!(message.expose(), b"\0bob\0secret");
        assert_eq!(base64_encode(message.expose()).expose(), b"AGJvYgBzZWNyZXQ=");
    }

    #[test]
    fn base64_is_strict_but_for_the_lone_padding() {
        let decoded = |text: &[u8]| base64_decode(text).map(|bytes| bytes.expose().to_vec());
        assert_eq!(decoded(b"AGJvYgBzZWNyZXQ="), Ok(b"\0bob\0secret".to_vec()));
        assert_eq!(decoded(b""), Ok(vec![]));
        assert_eq!(decoded(b"="), Ok(vec![]));
        for text in [
            "==", "Ym9i=", "Ym9", "YQ", "YR==", "Ym 9i", "Ym9i\n", "Ym9i\r\nYm9i", "YQ==YQ==", "-_-_",
        ] {
            assert_eq!(decoded(text.as_bytes()), Err(InvalidBase64), "{text:?}");
        }
    }

    #[test]
    fn knows_mechanisms_in_any_case() {
        assert_eq!(Mechanism::from_name("PLAIN"), Some(Mechanism::Plain));
        assert_eq!(Mechanism::from_name("login"), Some(Mechanism::Login));
        assert_eq!(Mechanism::from_name("CRAM-MD5"), None);
        assert_eq!(Mechanism::from_name(""), None);
    }

    #[test]
    fn plain_asks_when_nothing_was_said_first() {
        assert_eq!(run(Mechanism::Plain, None, &[b"\0bob\0ok"]), ["? ", "bob ok"]);
        assert_eq!(run(Mechanism::Plain, Some(b"\0bob\0ok"), &[]), ["bob ok"]);
        assert_eq!(run(Mechanism::Plain, Some(b""), &[]), ["Nul"]);
        assert_eq!(
            run(Mechanism::Plain, Some(b"\0bob\0ok"), &[b"\0bob\0ok"]),
            ["bob ok", "Over"]
        );
    }

    #[test]
    fn login_asks_for_what_it_lacks() {
        let all = ["? Username:", "? Password:", "bob ok"];
        assert_eq!(run(Mechanism::Login, None, &[b"bob", b"ok"]), all);
        assert_eq!(run(Mechanism::Login, Some(b""), &[b"bob", b"ok"]), all);
        assert_eq!(run(Mechanism::Login, Some(b"bob"), &[b"ok"]), all[1..]);
        assert_eq!(
            run(Mechanism::Login, None, &[b"bob", b""]),
            ["? Username:", "? Password:", "bob "]
        );
    }

    #[test]
    fn login_takes_no_nul_and_no_empty_name() {
        assert_eq!(
            run(Mechanism::Login, None, &[b"", b"ok"]),
            ["? Username:", "NoUser", "Over"]
        );
        assert_eq!(run(Mechanism::Login, None, &[b"b\0b"]), ["? Username:", "Nul"]);
        assert_eq!(run(Mechanism::Login, Some(b"b\0b"), &[]), ["Nul"]);
        assert_eq!(
            run(Mechanism::Login, Some(b"bob"), &[b"o\0k"]),
            ["? Password:", "Nul"]
        );
    }

    #[test]
    fn an_exchange_prints_no_password() {
        let (exchange, step) = Exchange::start(Mechanism::Plain, Some(secret(b"\0bob\0hunter2")));
        let printed = format!("{exchange:?} {step:?}");
        assert!(
            printed.contains("[secret]") && !printed.contains("hunter2"),
            "{printed}"
        );
        let bytes = format!("{:?}", b"hunter2").replace(['[', ']'], "");
        assert!(!printed.contains(&bytes), "{printed}");
    }

    proptest! {
        #[test]
        fn plain_comes_back(
            user in prop::collection::vec(1u8.., 1..40),
            password in prop::collection::vec(1u8.., 0..40),
        ) {
            let message = encode_plain(&user, &secret(&password));
            prop_assert_eq!(plain(message.expose()), Ok((user, password)));
        }

        #[test]
        fn base64_comes_back(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let text = base64_encode(&bytes);
            let back = base64_decode(text.expose()).unwrap();
            prop_assert_eq!(back.expose(), &bytes[..]);
        }

        #[test]
        fn no_bytes_break_it(bytes in prop::collection::vec(any::<u8>(), 0..60), login: bool) {
            let _ = parse_plain(&bytes);
            let _ = base64_decode(&bytes);
            let mechanism = if login { Mechanism::Login } else { Mechanism::Plain };
            let (mut exchange, _) = Exchange::start(mechanism, None);
            for _ in 0..4 {
                let _ = exchange.next(secret(&bytes));
            }
        }
    }
}
