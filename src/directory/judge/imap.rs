//! What the answer to an IMAP login says about the credential.

use vouch_protocol::imap::login::Outcome;
use vouch_protocol::imap::response::{Code, Status, StatusKind};

use super::login::{self, Conclusion, Explained};
use super::replies::Replies;
use super::statement::{About, Statement, What};
use super::{defer, reject};
use crate::session::{After, Judged};
use crate::verdict::{Cause, Class, UserName, Verdict};

/// Judges the outcome of a login as `user`; `replies` are the operator's phrases.
pub fn judge(replies: &Replies, user: &UserName, outcome: Outcome) -> Judged<Verdict> {
    match outcome {
        Outcome::Status { status, .. } => status_of_login(replies, user, &status),
        Outcome::Surprise => ours(Class::Protocol, "it asked for more when nothing was left to say"),
        Outcome::Unsupported(status) => said(Class::Config, &status, After::Close),
        // Exchange says OK and then "User is authenticated but not connected" to everything else.
        Outcome::Unconfirmed(status) => said(Class::Temporary, &status, After::Close),
        Outcome::Unexpected(what) => ours(Class::Protocol, what),
    }
}

fn status_of_login(replies: &Replies, user: &UserName, status: &Status) -> Judged<Verdict> {
    match status.kind {
        StatusKind::Ok => Judged {
            verdict: Verdict::accept(user.as_bytes()),
            after: After::Spent,
        },
        // BAD is about our command, never about the credential.
        StatusKind::Bad => said(Class::Protocol, status, After::Close),
        StatusKind::Bye => said(Class::Unreachable, status, After::Close),
        StatusKind::PreAuth => said(Class::Protocol, status, After::Close),
        StatusKind::No => refusal(replies, user, status),
    }
}

fn refusal(replies: &Replies, user: &UserName, status: &Status) -> Judged<Verdict> {
    match read(replies, user.as_bytes(), status).conclusion {
        Conclusion::No(class) => reject(class, status.label(), status.text()),
        Conclusion::Later(class) => {
            let after = if code_ends_session(status) {
                After::Close
            } else {
                After::KeepRefused
            };
            let mut judged = said(class, status, after);
            if class == Class::NotUnderstood {
                judged.verdict = judged.verdict.heard();
            }
            judged
        }
    }
}

/// Reads a `NO`, by its response code (RFC 5530) and its words.
pub fn read(replies: &Replies, user: &[u8], status: &Status) -> Explained {
    login::read(&[status.words()], user, replies, code_of(status))
}

/// What the response code says.
fn code_of(status: &Status) -> Option<Statement> {
    let (about, what) = match &status.code {
        Some(Code::AuthenticationFailed | Code::AuthorizationFailed) => (About::Credential, What::Wrong),
        Some(Code::Expired) => (About::Credential, What::Expired),
        Some(Code::ContactAdmin) => (About::Recipient, What::Closed),
        // Following a referral would hand the password to a host of the remote's choice.
        Some(Code::PrivacyRequired | Code::Referral) => (About::Login, What::Refused),
        Some(Code::ClientBug) => (About::Login, What::Refused),
        None | Some(Code::Alert | Code::WebAlert | Code::Capability(_)) => return None,
        Some(_) => (About::Remote, What::NotNow),
    };
    Some(Statement::of_code(about, what, status.label()))
}

/// A code about the session or the server says the same to the next question.
fn code_ends_session(status: &Status) -> bool {
    code_of(status).is_some_and(|one| !matches!(one.about, About::Credential | About::Recipient))
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
            &Replies::default(),
            &UserName::new(b"jane@example.org"),
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
            ("NO [CLIENTBUG] no", "defer", Some(Class::Config), Close),
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
            let judged = judge(&Replies::default(), &UserName::new(b"jane"), outcome);
            assert_eq!(judged.verdict.name(), "defer");
            assert!(matches!(judged.after, After::Close | After::Goodbye));
        }
    }

    #[test]
    fn replies_of_real_servers() {
        super::super::tests::real_replies(include_str!("imap-replies.txt"), |reply| judged(reply).verdict);
    }

    /// What a log leaves out of a long text may be what it is about.
    #[test]
    fn the_end_of_a_long_text_counts() {
        let (dull, end) = (
            "nothing to see here ".repeat(20),
            "service temporarily unavailable",
        );
        let long = judged(&format!("NO wrong password {dull}")).verdict;
        assert_eq!(long.name(), "reject");
        assert!(
            long.cause()
                .is_some_and(|cause| cause.text.chars().count() == 200)
        );
        let name = |text: String| judged(&format!("NO wrong password {text}")).verdict.name();
        assert_eq!(name(format!("{dull}{end}")), "defer");
        // What stands behind the part that is read may explain it.
        assert_eq!(name("nothing to see here ".repeat(300)), "defer");
    }
}
