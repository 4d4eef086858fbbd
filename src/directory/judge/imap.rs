//! What the answer to an IMAP login says about the credential.

use protocol::imap::login::Outcome;
use protocol::imap::response::{Code, Status, StatusKind};

use super::words::account::{self, Account};
use super::{defer, reject};
use crate::session::{After, Judged};
use crate::verdict::{Cause, Class, Login, Verdict};

/// Judges the outcome of a login as `user`.
pub fn judge(user: &Login, outcome: Outcome) -> Judged<Verdict> {
    match outcome {
        Outcome::Status { status, .. } => status_of_login(user, &status),
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
            after: After::Spent,
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
    match account::read(status.words(), &user.to_string()) {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(status: &str) -> Judged<Verdict> {
        let status = Status::parse(status).unwrap();
        judge(
            &Login::new(b"jane@example.org"),
            Outcome::Status {
                status,
                capabilities: None,
            },
        )
    }

    /// The table of IMAP login replies, row by row.
    #[test]
    fn table() {
        use After::{Close, KeepRefused, Spent};
        for (status, verdict, class, after) in [
            ("OK done", "accept", None, Spent),
            ("OK [CONTACTADMIN] done", "accept", None, Spent),
            ("OK [REFERRAL imap://x/] done", "accept", None, Spent),
            (
                "NO [AUTHENTICATIONFAILED] no",
                "reject",
                Some(Class::BadCredentials),
                KeepRefused,
            ),
            (
                "no [authenticationfailed] no",
                "reject",
                Some(Class::BadCredentials),
                KeepRefused,
            ),
            (
                "NO [AUTHORIZATIONFAILED] no",
                "reject",
                Some(Class::BadCredentials),
                KeepRefused,
            ),
            ("NO [EXPIRED] no", "reject", Some(Class::Expired), KeepRefused),
            (
                "NO [CONTACTADMIN] no",
                "reject",
                Some(Class::Disabled),
                KeepRefused,
            ),
            ("NO [PRIVACYREQUIRED] no", "defer", Some(Class::Config), Close),
            ("NO [UNAVAILABLE] no", "defer", Some(Class::Temporary), Close),
            ("NO [INUSE] no", "defer", Some(Class::Temporary), Close),
            ("NO [SERVERBUG] no", "defer", Some(Class::Temporary), Close),
            ("NO [CORRUPTION] no", "defer", Some(Class::Temporary), Close),
            ("NO [CANNOT] no", "defer", Some(Class::Temporary), Close),
            ("NO [NOPERM] no", "defer", Some(Class::Temporary), Close),
            ("NO [OVERQUOTA] no", "defer", Some(Class::Temporary), Close),
            ("NO [THROTTLED] no", "defer", Some(Class::Temporary), Close),
            ("NO [X-NEVER-SEEN] no", "defer", Some(Class::Temporary), Close),
            ("NO [LIMIT] no", "defer", Some(Class::Temporary), Close),
            ("NO [CLIENTBUG] no", "defer", Some(Class::Protocol), Close),
            ("BAD what", "defer", Some(Class::Protocol), Close),
            (
                "BAD [AUTHENTICATIONFAILED] what",
                "defer",
                Some(Class::Protocol),
                Close,
            ),
            (
                "NO [REFERRAL imap://evil/] no",
                "defer",
                Some(Class::Config),
                Close,
            ),
            (
                "NO [ALERT] Invalid password",
                "reject",
                Some(Class::BadCredentials),
                KeepRefused,
            ),
            (
                "NO [ALERT] Too many simultaneous connections. (Failure)",
                "defer",
                Some(Class::Temporary),
                KeepRefused,
            ),
            (
                "NO [WEBALERT https://x/] Web login required",
                "reject",
                Some(Class::BadCredentials),
                KeepRefused,
            ),
            ("NO", "reject", Some(Class::BadCredentials), KeepRefused),
            (
                "NO Login failed.",
                "reject",
                Some(Class::BadCredentials),
                KeepRefused,
            ),
            (
                "NO Login failed: authentication failure",
                "reject",
                Some(Class::BadCredentials),
                KeepRefused,
            ),
            (
                "NO Login failed: generic failure",
                "defer",
                Some(Class::Temporary),
                KeepRefused,
            ),
            (
                "NO account disabled",
                "reject",
                Some(Class::Disabled),
                KeepRefused,
            ),
            (
                "NO passphrase expired, has to be reset",
                "reject",
                Some(Class::Expired),
                KeepRefused,
            ),
            (
                "NO encryption needed to use mechanism",
                "defer",
                Some(Class::Config),
                KeepRefused,
            ),
            ("NO internal error", "defer", Some(Class::Temporary), KeepRefused),
        ] {
            let judged = judged(status);
            let found = (
                judged.verdict.name(),
                judged.verdict.cause().map(|cause| cause.class),
                judged.after,
            );
            assert_eq!(found, (verdict, class, after), "{status}");
        }
    }

    #[test]
    fn what_is_no_answer_is_no_no() {
        let status = || Status::parse("NO [AUTHENTICATIONFAILED] no").unwrap();
        for outcome in [
            Outcome::Surprise,
            Outcome::Unsupported(status()),
            Outcome::Unconfirmed(status()),
            Outcome::Unexpected("x"),
        ] {
            let judged = judge(&Login::new(b"jane"), outcome);
            assert_eq!(judged.verdict.name(), "defer");
            assert!(matches!(judged.after, After::Close | After::Goodbye));
        }
    }

    #[test]
    fn replies_of_real_servers() {
        super::super::real_replies(include_str!("imap-replies.txt"), |reply| judged(reply).verdict);
    }

    /// What a log leaves out of a long text may be what it is about.
    #[test]
    fn the_end_of_a_long_text_counts() {
        let (dull, end) = (
            "nothing to see here ".repeat(20),
            "service temporarily unavailable",
        );
        let long = judged(&format!("NO {dull}")).verdict;
        assert_eq!(long.name(), "reject");
        assert!(
            long.cause()
                .is_some_and(|cause| cause.text.chars().count() == 200)
        );
        assert_eq!(judged(&format!("NO {dull}{end}")).verdict.name(), "defer");
    }
}
