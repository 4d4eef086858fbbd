//! What cannot be asked of any remote and is answered here.

use crate::address::Fault;
use crate::verdict::{Cause, Class, Kind, Proof, Verdict};

/// RFC 4616 §2 lets servers stop at 255 octets of a name.
const MAX_USER: usize = 255;

/// Longer than any password that people or programs use, and short enough for
/// every server's line limit once encoded.
const MAX_PASSWORD: usize = 1024;

/// The verdict on a question that no remote could be asked: a name or password
/// that has no form in IMAP or SMTP, or none that could belong to a user.
pub fn refuse(kind: &Kind) -> Option<Verdict> {
    match kind {
        Kind::Login {
            user,
            proof: Proof::Password(password),
        } => {
            let (user, password) = (user.as_bytes(), password.expose());
            let why = if user.is_empty() {
                "the user name is empty"
            } else if user.iter().any(u8::is_ascii_control) {
                "the user name holds a control character"
            } else if user.len() > MAX_USER {
                "the user name is longer than 255 octets"
            } else if password.is_empty() {
                // Many directories take an empty bind for an anonymous one and say yes.
                "the password is empty"
            } else if password.iter().any(|byte| matches!(byte, 0 | b'\r' | b'\n')) {
                "the password holds NUL, CR or LF"
            } else if password.len() > MAX_PASSWORD {
                "the password is longer than 1024 octets"
            } else {
                return None;
            };
            Some(Verdict::Reject(Cause::ours(Class::Syntax, why)))
        }
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
    fn an_old_character_set_is_not_a_no() {
        let address = Address::from_unquoted(b"j\xfcrgen@example.org").unwrap();
        assert!(matches!(
            refuse(&Kind::Recipient(address)),
            Some(Verdict::Defer(_))
        ));
    }
}
