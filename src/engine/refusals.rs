//! What cannot be asked of any remote and is answered here.

use crate::address::Fault;
use crate::verdict::{Cause, Class, Kind, Login, Proof, Verdict};

/// RFC 4616 §2 lets servers stop at 255 octets of a name.
pub(crate) const MAX_USER: usize = 255;

/// Longer than any password that people or programs use, and short enough for
/// every server's line limit once encoded.
pub(crate) const MAX_PASSWORD: usize = 1024;

/// The verdict on a question that no remote could be asked: a name or password
/// that has no form in IMAP or SMTP, or none that could belong to a user.
pub fn refuse(kind: &Kind) -> Option<Verdict> {
    match kind {
        Kind::Login { user, proof } => match proof {
            Proof::Password(password) => {
                let why = wrong_name(user).or_else(|| wrong_password(password.expose()));
                why.map(impossible)
            }
            // What can be a token is for the remote to say.
            Proof::Token { .. } => refuse_name(user),
            // The dialog may still have to name its user.
            Proof::Relay(_) if user.as_bytes().is_empty() => None,
            Proof::Relay(_) => refuse_name(user),
        },
        Kind::Recipient(address) => {
            let fault = address.fault()?;
            let cause = Cause::ours(Class::Syntax, fault.to_string());
            Some(match fault {
                Fault::Control | Fault::TooLong => Verdict::Reject(cause),
                // A mailbox in an old 8-bit character set may exist; only we cannot ask for it.
                Fault::Charset => Verdict::Defer(cause),
            })
        }
    }
}

/// The verdict on a name that no remote could know.
pub fn refuse_name(user: &Login) -> Option<Verdict> {
    wrong_name(user).map(impossible)
}

fn wrong_name(user: &Login) -> Option<&'static str> {
    let user = user.as_bytes();
    if user.is_empty() {
        Some("the user name is empty")
    } else if user.iter().any(u8::is_ascii_control) {
        Some("the user name holds a control character")
    } else if user.len() > MAX_USER {
        Some("the user name is longer than 255 octets")
    } else {
        None
    }
}

fn wrong_password(password: &[u8]) -> Option<&'static str> {
    if password.is_empty() {
        // Many directories take an empty bind for an anonymous one and say yes.
        Some("the password is empty")
    } else if password.iter().any(|byte| matches!(byte, 0 | b'\r' | b'\n')) {
        Some("the password holds NUL, CR or LF")
    } else if password.len() > MAX_PASSWORD {
        Some("the password is longer than 1024 octets")
    } else {
        None
    }
}

fn impossible(why: &str) -> Verdict {
    Verdict::Reject(Cause::ours(Class::Syntax, why))
}

#[cfg(test)]
mod tests {
    use protocol::secret::Secret;

    use super::*;
    use crate::address::Address;
    use crate::verdict::Login;

    fn login(user: &[u8], password: &[u8]) -> bool {
        let proof = Proof::Password(Secret::copy_from(password));
        matches!(
            refuse(&Kind::Login {
                user: Login::new(user),
                proof
            }),
            Some(Verdict::Reject(_))
        )
    }

    #[test]
    fn what_no_remote_can_be_asked() {
        assert!(!login(
            b"jane@example.org",
            "p\u{e4}ss \"\\\t w\u{f6}rd".as_bytes()
        ));
        assert!(!login(&[b'u'; 255], &[b'p'; 1024]));
        for (user, password) in [
            (&b""[..], &b"pw"[..]),
            (b"jane", b""),
            (b"jane\0", b"pw"),
            (b"jane\r\nA1 LOGOUT", b"pw"),
            (b"ja\x7fne", b"pw"),
            (b"jane", b"p\0w"),
            (b"jane", b"p\"\r\nX LOGOUT"),
            (b"jane", b"p\nw"),
            (&[b'u'; 256], b"pw"),
            (b"jane", &[b'p'; 1025]),
        ] {
            assert!(login(user, password), "{user:?} {password:?}");
        }
    }

    #[test]
    fn a_dialog_may_name_its_user_later() {
        let relayed = |user: &[u8]| {
            let (_, dialog) = crate::dialog::dialog(protocol::sasl::Carried::CramMd5, None).unwrap();
            let user = Login::new(user);
            refuse(&Kind::Login {
                user,
                proof: Proof::Relay(dialog),
            })
        };
        assert_eq!(relayed(b""), None);
        assert_eq!(relayed(b"jane"), None);
        assert!(matches!(relayed(b"ja\nne"), Some(Verdict::Reject(_))));
        assert!(matches!(refuse_name(&Login::new(b"")), Some(Verdict::Reject(_))));
    }

    #[test]
    fn an_old_character_set_is_not_a_no() {
        let address = Address::from_unquoted(b"j\xfcrgen@example.org").unwrap();
        assert!(matches!(
            refuse(&Kind::Recipient(address)),
            Some(Verdict::Defer(_))
        ));
    }
}
