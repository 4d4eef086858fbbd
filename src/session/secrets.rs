//! Whether a remote repeats a secret that was sent to it.
//!
//! Servers quote the line that they did not understand ("BAD unknown command: hunter2"), at once or when they say goodbye
//! half a minute later, as it was sent or as they decoded it. A session remembers for as long as it lives what it must not
//! hand on, without keeping any of it: of each form of a secret, a keyed hash of its beginning.

use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};
use std::sync::LazyLock;

use vouch_protocol::sasl::repeated::forms;
use vouch_protocol::sasl::{RelayedMechanism, base64_encode, encode_plain};
use vouch_protocol::secret::Secret;

use super::{Attempt, Credentials, Token};

/// What stands for a text that repeats a secret. Cutting out just that part would tell what it was: `Authentication
/// [secret]` is "failed".
pub(crate) const WITHHELD: &str = "[withheld: it repeats the password]";

/// A password this short stands in half of all texts; finding it there tells
/// nothing, and masking it would hide everything.
const SHORT: usize = 4;

/// As much of a password or its base64 gives it away: a remote may cut its text
/// anywhere.
const HEAD: usize = 8;

/// Bound (replies): forms of secrets that a session looks for in what the remote says. Beyond: the oldest is looked
/// for no more. Why: some hundred logins; by default a session tries three.
const REMEMBERED: usize = 400;

/// A prime, and a number below it that nobody knows: texts are hashed as polynomials.
const PRIME: u64 = (1 << 61) - 1;
static KEY: LazyLock<u64> = LazyLock::new(|| RandomState::new().hash_one(0) % PRIME);

/// What was sent on one session, as far as it takes to find it in a text.
#[derive(Debug, Clone, Default)]
pub struct SentSecrets(VecDeque<Head>);

/// The beginning of one form of a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Head {
    length: usize,
    hash: u64,
}

impl Head {
    /// Of the first bytes; capitals and small letters are one, for hexadecimal digits are written either way. No part of
    /// them stays anywhere.
    fn of(bytes: &[u8]) -> Self {
        let bytes = &bytes[..bytes.len().min(HEAD)];
        let hash = bytes.iter().fold(0, |hash, byte| {
            let byte = u128::from(byte.to_ascii_lowercase()) + 1;
            let sum = u128::from(hash) * u128::from(*KEY) + byte;
            (sum % u128::from(PRIME)) as u64
        });
        Self {
            length: bytes.len(),
            hash,
        }
    }
}

impl SentSecrets {
    /// The secret of `attempt` is about to be sent. Of a dialog that is relayed each message is noted by itself.
    pub(super) fn note(&mut self, attempt: &Attempt) {
        match attempt {
            Attempt::Password(credentials) => self.note_password(credentials),
            Attempt::Token(token) => self.note_token(token),
            Attempt::Relay(_) => {}
        }
    }

    /// This message of a client is about to be sent; a token is noted as a whole.
    pub(super) fn note_message(&mut self, mechanism: RelayedMechanism, message: &Secret<[u8]>) {
        if !mechanism.is_token() {
            forms(message).iter().for_each(|form| self.push(form.expose()));
        }
    }

    fn note_password(&mut self, credentials: &Credentials) {
        let Credentials { user, password } = credentials;
        let bytes = password.expose();
        // What a text has no letters for may be shown as something else.
        let parts = bytes.split(|byte| !matches!(byte, b' '..=b'~'));
        for part in parts.chain([bytes]).filter(|part| part.len() >= SHORT) {
            self.push(part);
            if part.iter().any(|byte| matches!(byte, b'"' | b'\\')) {
                self.push(quoted(part).expose());
            }
        }
        self.push(base64_encode(bytes).expose());
        let plain = base64_encode(encode_plain(user, password).expose());
        // Only what follows NUL, user and NUL in the message is secret; base64 goes by threes.
        let secret_part = user.len().div_ceil(3) * 4;
        self.push(plain.expose().get(secret_part..).unwrap_or_default());
    }

    /// What follows the word `Bearer` in the message is the token. Its base64 begins at one of
    /// three places in the four characters of a group, and one character in may be enough to tell.
    fn note_token(&mut self, token: &Token) {
        let message = token.message.expose();
        let auth = message.windows(5).position(|part| part == b"auth=");
        let value = auth.and_then(|at| message.get(at + 5..)).unwrap_or(message);
        let at = value.iter().position(|&byte| byte == b' ').map_or(0, |at| at + 1);
        let secret = value.get(at..).unwrap_or_default();
        self.push(secret);
        for skipped in 0..3 {
            if let Some(part) = secret.get(skipped..) {
                let encoded = base64_encode(part);
                // The last characters hold bits of what follows.
                self.push(encoded.expose().get(..HEAD).unwrap_or_default());
            }
        }
    }

    fn push(&mut self, form: &[u8]) {
        let head = Head::of(form);
        if head.length > 0 && !self.0.contains(&head) {
            if self.0.len() == REMEMBERED {
                self.0.pop_front();
            }
            self.0.push_back(head);
        }
    }

    /// Whether a text holds enough of a secret to give it away, in one of the forms in which it was sent.
    fn are_repeated_in(&self, text: &str) -> bool {
        (1..=HEAD).any(|length| {
            let known = || self.0.iter().filter(|head| head.length == length);
            known().next().is_some()
                && text.as_bytes().windows(length).any(|part| {
                    let part = Head::of(part);
                    known().any(|head| *head == part)
                })
        })
    }

    /// `text`, unless it repeats a secret.
    pub fn withheld_from(&self, text: String) -> String {
        if self.are_repeated_in(&text) {
            WITHHELD.into()
        } else {
            text
        }
    }
}

/// As a string of IMAP is quoted (RFC 9051 section 4.3).
fn quoted(bytes: &[u8]) -> Secret<[u8]> {
    let mut quoted = Vec::with_capacity(bytes.len() * 2);
    for &byte in bytes {
        if matches!(byte, b'"' | b'\\') {
            quoted.push(b'\\');
        }
        quoted.push(byte);
    }
    Secret::from(quoted)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn password(user: &str, password: &str) -> Attempt {
        Attempt::Password(Credentials {
            user: user.as_bytes().to_vec(),
            password: Secret::copy_from(password.as_bytes()),
        })
    }

    fn shown(text: &str, user: &str, secret: &str) -> String {
        let mut secrets = SentSecrets::default();
        secrets.note(&password(user, secret));
        secrets.withheld_from(text.to_owned())
    }

    #[test]
    fn an_echoed_token_is_withheld() {
        let rest = Secret::copy_from(b"\x01auth=Bearer ya29.vF9dft4qmTc2Nvb3RlckBhdHRhdmlzdGEuY29t\x01\x01");
        let mechanism = RelayedMechanism::XOauth2;
        let message = mechanism.bearer_message(b"jane@example.org", &rest);
        let whole = String::from_utf8(base64_encode(message.expose()).expose().to_vec()).unwrap();
        let mut secrets = SentSecrets::default();
        secrets.note(&Attempt::Token(Token {
            mechanism,
            user: b"jane@example.org".to_vec(),
            message,
        }));
        for text in [
            "no such token ya29.vF9dft4qmTc2Nvb3RlckBhdHRhdmlzdGEuY29t",
            "NO bad token ya29.vF9d...",
            &format!("BAD unknown: {whole}"),
        ] {
            assert_eq!(secrets.withheld_from(text.into()), WITHHELD, "{text}");
        }
        let text = "NO [AUTHENTICATIONFAILED] jane@example.org: invalid bearer token";
        assert_eq!(secrets.withheld_from(text.into()), text);
    }

    #[test]
    fn an_echoed_password_is_withheld_in_every_form() {
        for (text, user, password) in [
            ("unknown command: hunter2", "bob", "hunter2"),
            ("unknown: aHVudGVyMg==", "bob", "hunter2"),
            (
                "500 5.5.1 unknown command: AUTH PLAIN AGJvYgBodW50ZXIy", "bob", "hunter2",
            ),
            ("unknown: AGphbmUAaHVudGVyMg==", "jane", "hunter2"),
            (r#"BAD LOGIN "jane" "hun\"ter2""#, "jane", r#"hun"ter2"#),
            (r#"BAD LOGIN jane hun"ter2"#, "jane", r#"hun"ter2"#),
            ("cut: correct horse b", "jane", "correct horse battery staple"),
            // What was sent in another set of letters is shown as one can.
            ("unknown: p?ssword", "jane", "p\u{e4}ssword"),
            ("unknown: p\u{fffd}\u{fffd}ssword", "jane", "p\u{e4}ssword"),
            ("unknown: p\u{e4}\u{e4}", "jane", "p\u{e4}\u{e4}"),
        ] {
            assert_eq!(shown(text, user, password), WITHHELD, "{text}");
        }
    }

    #[test]
    fn other_texts_stay() {
        for password in ["hunter2", "a", "NO", ""] {
            let text = "NO [AUTHENTICATIONFAILED] Authentication failed.";
            assert_eq!(shown(text, "jane", password), text, "{password}");
        }
        let none = SentSecrets::default();
        assert_eq!(none.withheld_from("hunter2".into()), "hunter2");
    }

    #[test]
    fn a_proof_is_withheld_as_it_was_sent_and_as_it_was_decoded() {
        let mut secrets = SentSecrets::default();
        let message = Secret::copy_from(b"jane b913a602c7eda7a495b4e6e7334d3890");
        secrets.note_message(RelayedMechanism::CramMd5, &message);
        let encoded = String::from_utf8(base64_encode(message.expose()).expose().to_vec()).unwrap();
        for text in ["digest B913A602C7EDA7A4?", &encoded, &encoded[..10]] {
            assert_eq!(secrets.withheld_from(text.into()), WITHHELD, "{text}");
        }
        let text = "no such user jane";
        assert_eq!(secrets.withheld_from(text.into()), text);
    }

    // Fills REMEMBERED.
    #[test]
    fn a_session_remembers_the_latest_secrets() {
        let mut secrets = SentSecrets::default();
        for number in 0..10_000 {
            secrets.note(&password("jane", &format!("password number {number}")));
            secrets.note(&password("jane", &format!("{number:06}")));
        }
        assert_eq!(secrets.0.len(), REMEMBERED);
        for late in ["9999", "9990", "9950"] {
            let text = format!("what is 00{late}?");
            assert_eq!(secrets.withheld_from(text), WITHHELD, "{late}");
        }
    }
}
