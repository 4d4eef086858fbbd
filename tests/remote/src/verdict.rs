//! The words for each state of an account, as servers in the field say them.

use crate::directory::{Login, Recipient};
use crate::options::State;

/// The reply to RCPT.
pub(crate) fn recipient(found: Recipient, ignore_quota: bool) -> String {
    let reply = match found {
        Recipient::Elsewhere => "554 5.7.1 Relay access denied",
        Recipient::Unknown => "550 5.1.1 No such user here",
        Recipient::Known(State::Active | State::Expired) => "250 2.1.5 Ok",
        Recipient::Known(State::Disabled) => "550 5.2.1 Mailbox disabled",
        Recipient::Known(State::TempFail) => "451 4.3.0 Internal error, try later",
        Recipient::Known(State::Full) if ignore_quota => "250 2.1.5 Ok",
        Recipient::Known(State::Full) => "452 4.2.2 Mailbox is over quota",
        Recipient::Known(State::Greylisted) => "451 4.7.1 Greylisted, try again later",
        Recipient::Known(State::Moved) => "551 5.1.6 User has moved, please try <elsewhere@remote.test>",
        Recipient::Known(State::Policy) => "550 5.7.1 Access denied",
        Recipient::Known(State::Says(reply)) => return reply,
    };
    reply.to_owned()
}

/// The reply to AUTH, once the credentials are here.
pub(crate) fn smtp_login(login: Login) -> String {
    let reply = match login {
        Login::Wrong => "535 5.7.8 Authentication failed",
        Login::Known(State::Active | State::Full | State::Greylisted) => "235 2.7.0 Welcome",
        Login::Known(State::Disabled) => "525 5.7.13 Account disabled",
        Login::Known(State::Expired) => "535 5.7.8 Password expired",
        Login::Known(State::TempFail) => "454 4.7.0 Temporary authentication failure",
        Login::Known(State::Moved) => "535 5.7.8 This user has moved",
        Login::Known(State::Policy) => "550 5.7.1 Access denied",
        Login::Known(State::Says(reply)) => return reply,
    };
    reply.to_owned()
}

/// What follows the tag in reply to LOGIN and AUTHENTICATE; `code` is what an OK carries.
pub(crate) fn imap_login(login: Login, code: impl FnOnce() -> String) -> String {
    let status = match login {
        Login::Wrong => "NO [AUTHENTICATIONFAILED] Authentication failed",
        Login::Known(State::Active | State::Full | State::Greylisted) => {
            return format!("OK {}Logged in", code());
        }
        Login::Known(State::Disabled) => "NO [CONTACTADMIN] Account disabled",
        Login::Known(State::Expired) => "NO [EXPIRED] Password expired",
        Login::Known(State::TempFail) => "NO [UNAVAILABLE] Try again later",
        Login::Known(State::Moved) => "NO [REFERRAL imap://elsewhere.remote.test/] User has moved",
        Login::Known(State::Policy) => "NO [NOPERM] Access denied",
        Login::Known(State::Says(status)) => return status,
    };
    status.to_owned()
}

/// The same reply without enhanced codes.
pub(crate) fn without_enhanced_codes(reply: &str) -> String {
    let plain = |line: &str| {
        let (head, text) = line.split_at_checked(4).unwrap_or((line, ""));
        let (code, rest) = text.split_once(' ').unwrap_or((text, ""));
        let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        let enhanced = code.split('.').count() == 3 && code.split('.').all(digits);
        format!("{head}{}", if enhanced { rest } else { text })
    };
    reply.split("\r\n").map(plain).collect::<Vec<_>>().join("\r\n")
}

/// The same status without its response code.
pub(crate) fn without_response_code(status: &str) -> String {
    match (status.split_once(" ["), status.split_once("] ")) {
        (Some((word, _)), Some((_, text))) if matches!(word, "OK" | "NO" | "BAD") => format!("{word} {text}"),
        _ => status.to_owned(),
    }
}
