//! The dialog with a remote, as events for `vouch probe --trace` and the log at
//! level `trace`.
//!
//! Commands mask their secrets in their own `Display`. A remote may still send
//! a password back to us ("BAD unknown command: hunter2"), so what it says after
//! it was told one is searched for it.

use std::fmt::Display;

use vouch_protocol::sasl::{base64_encode, encode_plain};
use vouch_protocol::secret::Secret;

use super::{Attempt, Credentials, Token};

/// The name under which the dialog is logged.
pub const TARGET: &str = "vouch::dialog";

/// What stands for a text that repeats a password. Cutting out just that part
/// would tell what it was: `Authentication [secret]` is "failed".
const WITHHELD: &str = "[withheld: it repeats the password]";

/// A password this short stands in half of all texts; finding it there tells
/// nothing, and masking it would hide everything.
const SHORT: usize = 4;

/// As much of a password or its base64 gives it away: a remote may cut its text
/// anywhere.
const HEAD: usize = 8;

/// We sent this.
pub(super) fn said(peer: &str, what: &dyn Display) {
    tracing::trace!(target: TARGET, "{peer} C: {what}");
}

/// The remote sent this.
pub(super) fn heard(peer: &str, what: &dyn Display) {
    tracing::trace!(target: TARGET, "{peer} S: {what}");
}

/// The remote sent this to us after it had been told the secret of `attempt`; `quoted` tells
/// whether a text repeats more of what was sent.
pub(super) fn heard_after(peer: &str, what: &dyn Display, attempt: &Attempt, quoted: impl Fn(&str) -> bool) {
    if tracing::enabled!(target: TARGET, tracing::Level::TRACE) {
        let text = what.to_string();
        let shown = if repeats(&text, attempt) || quoted(&text) {
            WITHHELD
        } else {
            &text
        };
        tracing::trace!(target: TARGET, "{peer} S: {shown}");
    }
}

/// `text`, unless a remote has put the password into it.
pub fn masked(text: String, attempt: &Attempt) -> String {
    if repeats(&text, attempt) {
        WITHHELD.into()
    } else {
        text
    }
}

/// Whether a text holds the secret, or enough of it, in one of the forms in which we send it.
/// Of a dialog we know no secret.
fn repeats(text: &str, attempt: &Attempt) -> bool {
    match attempt {
        Attempt::Password(credentials) => repeats_password(text, credentials),
        Attempt::Token(token) => repeats_token(text, token),
        Attempt::Relay(_) => false,
    }
}

/// What follows the word `Bearer` in the message is the token. Its base64 begins at one of
/// three places in the four characters of a group, and a character in may be told apart.
fn repeats_token(text: &str, token: &Token) -> bool {
    let message = token.message.expose();
    let auth = message.windows(5).position(|part| part == b"auth=");
    let value = auth.and_then(|at| message.get(at + 5..)).unwrap_or(message);
    let at = value.iter().position(|&byte| byte == b' ').map_or(0, |at| at + 1);
    let secret = value.get(at..).unwrap_or_default();
    let encoded = (0..3).filter_map(|skipped| {
        let encoded = base64_encode(secret.get(skipped..)?);
        Some(Secret::copy_from(encoded.expose().get(..HEAD)?))
    });
    holds(text, &Secret::copy_from(secret)) || encoded.into_iter().any(|form| holds(text, &form))
}

fn repeats_password(text: &str, credentials: &Credentials) -> bool {
    let Credentials { user, password } = credentials;
    let bytes = password.expose();
    let quoted: Vec<u8> = bytes
        .iter()
        .flat_map(|&byte| {
            if matches!(byte, b'"' | b'\\') {
                vec![b'\\', byte]
            } else {
                vec![byte]
            }
        })
        .collect();
    let plain = encode_plain(user, password);
    let message = base64_encode(plain.expose());
    // Only what follows NUL, user and NUL in the message is secret; base64 goes by threes.
    let secret_part = (user.len().div_ceil(3) * 4).min(message.expose().len());
    let plain_forms = [Secret::copy_from(bytes), Secret::from(quoted)];
    let encoded_forms = [
        base64_encode(bytes),
        Secret::copy_from(&message.expose()[secret_part..]),
    ];
    plain_forms
        .iter()
        .filter(|form| form.expose().len() >= SHORT)
        .any(|form| holds(text, form))
        || encoded_forms.iter().any(|form| holds(text, form))
}

fn holds(text: &str, form: &Secret<[u8]>) -> bool {
    let form = form.expose();
    let head = &form[..form.len().min(HEAD)];
    !head.is_empty() && text.as_bytes().windows(head.len()).any(|window| window == head)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str, user: &str, password: &str) -> String {
        let password = Secret::copy_from(password.as_bytes());
        masked(
            text.to_owned(),
            &Attempt::Password(Credentials {
                user: user.as_bytes().to_vec(),
                password,
            }),
        )
    }

    #[test]
    fn an_echoed_token_is_withheld() {
        let rest = Secret::copy_from(b"\x01auth=Bearer ya29.vF9dft4qmTc2Nvb3RlckBhdHRhdmlzdGEuY29t\x01\x01");
        let mechanism = vouch_protocol::sasl::Carried::XOauth2;
        let message = mechanism.bearer_message(b"jane@example.org", &rest);
        let whole = String::from_utf8(base64_encode(message.expose()).expose().to_vec()).unwrap();
        let token = Attempt::Token(Token {
            mechanism,
            user: b"jane@example.org".to_vec(),
            message,
        });
        for text in [
            "no such token ya29.vF9dft4qmTc2Nvb3RlckBhdHRhdmlzdGEuY29t",
            "NO bad token ya29.vF9d...",
            &format!("BAD unknown: {whole}"),
        ] {
            assert_eq!(masked(text.into(), &token), WITHHELD, "{text}");
        }
        let text = "NO [AUTHENTICATIONFAILED] jane@example.org: invalid bearer token";
        assert_eq!(masked(text.into(), &token), text);
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
            ("cut: correct horse b", "jane", "correct horse battery staple"),
        ] {
            assert_eq!(shown(text, user, password), WITHHELD, "{text}");
        }
    }

    #[test]
    fn other_texts_stay() {
        for password in ["hunter2", "a", "NO"] {
            let text = "NO [AUTHENTICATIONFAILED] Authentication failed.";
            assert_eq!(shown(text, "jane", password), text, "{password}");
        }
    }
}
