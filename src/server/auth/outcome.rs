//! What a verdict is in the words of the protocol.

use vouch_protocol::auth::client::Failure;

use crate::verdict::{Cause, Class, Verdict};

/// The replies to a client.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// `OK`, and under which name.
    Ok(Vec<u8>),
    /// `FAIL`.
    Fail(Failure),
    /// Nothing: the connection is closed, which Postfix takes for "not now".
    HangUp,
}

/// The reply to a client for a verdict; `closes` where it takes a closed connection
/// for a temporary failure.
pub(super) fn outcome(verdict: &Verdict, closes: bool) -> Outcome {
    match verdict {
        Verdict::Accept(identity) => Outcome::Ok(identity.name.clone()),
        Verdict::Reject(Cause {
            class: Class::Disabled,
            ..
        }) => Outcome::Fail(Failure::Disabled),
        Verdict::Reject(Cause {
            class: Class::Expired,
            ..
        }) => Outcome::Fail(Failure::Expired),
        Verdict::Reject(_) | Verdict::Abstain(_) => Outcome::Fail(Failure::Credentials),
        Verdict::Defer(_) if closes => Outcome::HangUp,
        Verdict::Defer(_) => Outcome::Fail(Failure::Temporary),
    }
}

/// How a failure is called in the log.
pub(super) const fn failure_name(failure: Failure) -> &'static str {
    match failure {
        Failure::Credentials => "FAIL",
        Failure::Temporary => "FAIL temp",
        Failure::Disabled => "FAIL user_disabled",
        Failure::Expired => "FAIL pass_expired",
        Failure::InvalidBase64 => "FAIL invalid_base64",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verdict::Abstention;

    #[test]
    fn every_verdict_has_its_words() {
        let cause = |class| Cause::ours(class, "x");
        for (verdict, closes, expected) in [
            (Verdict::accept("jane"), true, Outcome::Ok(b"jane".to_vec())),
            (
                Verdict::Reject(cause(Class::BadCredentials)),
                true,
                Outcome::Fail(Failure::Credentials),
            ),
            (
                Verdict::Reject(cause(Class::Syntax)),
                true,
                Outcome::Fail(Failure::Credentials),
            ),
            (
                Verdict::Reject(cause(Class::Disabled)),
                true,
                Outcome::Fail(Failure::Disabled),
            ),
            (
                Verdict::Reject(cause(Class::Expired)),
                true,
                Outcome::Fail(Failure::Expired),
            ),
            (Verdict::Defer(cause(Class::Timeout)), true, Outcome::HangUp),
            (
                Verdict::Defer(cause(Class::Limit)),
                false,
                Outcome::Fail(Failure::Temporary),
            ),
            (
                Verdict::Abstain(Abstention::NotOurs),
                true,
                Outcome::Fail(Failure::Credentials),
            ),
        ] {
            assert_eq!(outcome(&verdict, closes), expected, "{verdict:?}");
        }
    }
}
