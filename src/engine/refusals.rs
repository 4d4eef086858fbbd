//! What cannot be asked of any remote and is answered here.

use vouch_protocol::sasl::relayed::MESSAGE_LIMIT;

use crate::address::Fault;
use crate::verdict::{Cause, Class, Kind, Proof, UserName, Verdict};

/// Bound (clients, bytes): user name. Beyond: the login gets no answer, without asking; the log has the reason. Why:
/// RFC 4616 section 2 lets servers stop there.
const MAX_USER: usize = 255;

/// Bound (clients, bytes): user name and password together. Beyond: the login gets no answer, without asking; the log
/// has the reason. Why: its base64 is as long as an SMTP server takes (12,288 octets, RFC 4954 section 4); tokens
/// that are used as passwords have a thousand and more.
const MAX_PLAIN: usize = MESSAGE_LIMIT;

/// The verdict on a question that no remote could be asked: a name or password
/// that has no form in IMAP or SMTP, or none that could belong to a user. What is only longer than what
/// we send may be good all the same.
pub(super) fn refuse(kind: &Kind) -> Option<Verdict> {
    match kind {
        Kind::Login { user, proof } => match proof {
            Proof::Password(password) => {
                let why = wrong_name(user).or_else(|| wrong_password(password.expose()));
                why.map(impossible)
                    .or_else(|| long_name(user))
                    .or_else(|| long_login(user, password.expose()))
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
pub(super) fn refuse_name(user: &UserName) -> Option<Verdict> {
    wrong_name(user).map(impossible).or_else(|| long_name(user))
}

fn long_name(user: &UserName) -> Option<Verdict> {
    let length = user.as_bytes().len();
    let why = format!("the user name has {length} octets, and {MAX_USER} are the most that is sent");
    (length > MAX_USER).then(|| too_long(why))
}

/// `message = NUL authcid NUL passwd` (RFC 4616 §2).
fn long_login(user: &UserName, password: &[u8]) -> Option<Verdict> {
    let length = user.as_bytes().len() + password.len() + 2;
    let why = format!("name and password have {length} octets, and {MAX_PLAIN} are the most that is sent");
    (length > MAX_PLAIN).then(|| too_long(why))
}

fn too_long(why: String) -> Verdict {
    Verdict::Defer(Cause::ours(Class::Syntax, why))
}

fn wrong_name(user: &UserName) -> Option<&'static str> {
    let user = user.as_bytes();
    if user.is_empty() {
        Some("the user name is empty")
    } else if user.iter().any(u8::is_ascii_control) {
        Some("the user name holds a control character")
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
    } else {
        None
    }
}

fn impossible(why: &str) -> Verdict {
    Verdict::Reject(Cause::ours(Class::Syntax, why))
}

#[cfg(test)]
mod tests {
    use vouch_protocol::secret::Secret;

    use super::*;
    use crate::address::Address;
    use crate::verdict::UserName;

    fn login(user: &[u8], password: &[u8]) -> bool {
        let proof = Proof::Password(Secret::copy_from(password));
        matches!(
            refuse(&Kind::Login {
                user: UserName::new(user),
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
        for (user, password) in [
            (&b""[..], &b"pw"[..]),
            (b"jane", b""),
            (b"jane\0", b"pw"),
            (b"jane\r\nA1 LOGOUT", b"pw"),
            (b"ja\x7fne", b"pw"),
            (b"jane", b"p\0w"),
            (b"jane", b"p\"\r\nX LOGOUT"),
            (b"jane", b"p\nw"),
        ] {
            assert!(login(user, password), "{user:?} {password:?}");
        }
    }

    // Fills MAX_USER, MAX_PLAIN.
    #[test]
    fn what_is_only_long_is_no_no() {
        let refused = |user: usize, password: usize| {
            let kind = Kind::Login {
                user: UserName::new(&vec![b'u'; user]),
                proof: Proof::Password(Secret::copy_from(&vec![b'p'; password])),
            };
            refuse(&kind)
        };
        for (user, password) in [(MAX_USER, 1321), (4, MAX_PLAIN - 6)] {
            assert_eq!(refused(user, password), None, "{user} {password}");
        }
        for (user, password, bound) in [
            (MAX_USER + 1, 2, "255"),
            (4, MAX_PLAIN - 5, "9216"),
            (4, 1 << 20, "9216"),
        ] {
            let Some(Verdict::Defer(cause)) = refused(user, password) else {
                panic!("{user} {password}");
            };
            assert!(cause.text.contains(bound), "{cause}");
        }
    }

    #[test]
    fn a_dialog_may_name_its_user_later() {
        let relayed = |user: &[u8]| {
            let (_, dialog) =
                crate::dialog::dialog(vouch_protocol::sasl::RelayedMechanism::CramMd5, None).unwrap();
            let user = UserName::new(user);
            refuse(&Kind::Login {
                user,
                proof: Proof::Relay(dialog),
            })
        };
        assert_eq!(relayed(b""), None);
        assert_eq!(relayed(b"jane"), None);
        assert!(matches!(relayed(b"ja\nne"), Some(Verdict::Reject(_))));
        assert!(matches!(
            refuse_name(&UserName::new(b"")),
            Some(Verdict::Reject(_))
        ));
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
