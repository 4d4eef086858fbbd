//! What the answer to an IMAP login says about the credential.

use protocol::imap::login::Outcome;
use protocol::imap::response::{Code, Status, StatusKind};

use super::words::{self, Account};
use super::{defer, reject};
use crate::session::{After, Judged};
use crate::verdict::{Cause, Class, Login, Verdict};

/// Judges the outcome of a login as `user`.
pub fn judge(user: &Login, outcome: Outcome) -> Judged<Verdict> {
    match outcome {
        Outcome::Status { status, .. } => status_of_login(user, &status),
        Outcome::Bye(status) => said(Class::Unreachable, &status, After::Close),
        Outcome::Surprise => ours(Class::Protocol, "it asked for more when nothing was left to say"),
        Outcome::Unsupported(status) => said(Class::Config, &status, After::Close),
        // Exchange says OK and then "User is authenticated but not connected" to everything else.
        Outcome::Unconfirmed(status) => said(Class::Temporary, &status, After::Close),
        Outcome::Unexpected(what) => ours(Class::Protocol, what),
    }
}

fn status_of_login(user: &Login, status: &Status) -> Judged<Verdict> {
    match status.kind {
        StatusKind::Ok => Judged {
            verdict: Verdict::accept(user.as_bytes()),
            after: After::Close,
        },
        // BAD is about our command, never about the credential.
        StatusKind::Bad => said(Class::Protocol, status, After::Close),
        StatusKind::Bye => said(Class::Unreachable, status, After::Close),
        StatusKind::PreAuth => said(Class::Protocol, status, After::Close),
        StatusKind::No => refusal(user, status),
    }
}

/// `NO`, by its response code (RFC 5530) and, where there is none that helps,
/// by its words.
fn refusal(user: &Login, status: &Status) -> Judged<Verdict> {
    match &status.code {
        Some(Code::AuthenticationFailed | Code::AuthorizationFailed) => no(Class::BadCredentials, status),
        Some(Code::Expired) => no(Class::Expired, status),
        Some(Code::ContactAdmin) => no(Class::Disabled, status),
        Some(Code::PrivacyRequired) => said(Class::Config, status, After::Close),
        // Following it would hand the password to a host of the remote's choice.
        Some(Code::Referral) => said(Class::Config, status, After::Close),
        Some(Code::ClientBug) => said(Class::Protocol, status, After::Close),
        None | Some(Code::Alert | Code::WebAlert | Code::Capability(_)) => by_words(user, status),
        Some(_) => said(Class::Temporary, status, After::Close),
    }
}

fn by_words(user: &Login, status: &Status) -> Judged<Verdict> {
    match words::account(&status.text(), &user.to_string()) {
        Some(Account::Temporary) => said(Class::Temporary, status, After::KeepRefused),
        Some(Account::Expired) => no(Class::Expired, status),
        Some(Account::Disabled) => no(Class::Disabled, status),
        Some(Account::Config) => said(Class::Config, status, After::KeepRefused),
        None => no(Class::BadCredentials, status),
    }
}

fn no(class: Class, status: &Status) -> Judged<Verdict> {
    reject(class, status.label(), status.text())
}

fn said(class: Class, status: &Status, after: After) -> Judged<Verdict> {
    defer(class, status.label(), status.text(), after)
}

fn ours(class: Class, what: &str) -> Judged<Verdict> {
    Judged {
        verdict: Verdict::Defer(Cause::ours(class, what)),
        after: After::Close,
    }
}
