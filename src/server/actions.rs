//! The answer to Postfix about a recipient, as an access(5) action.

use vouch_protocol::policy;

use crate::engine::{Decision, Source};
use crate::settings::action::Action;
use crate::verdict::{Class, Verdict};

impl Action {
    /// What each verdict is in Postfix's words.
    pub(super) fn to_action(&self, decision: &Decision) -> policy::Action {
        match &decision.verdict {
            Verdict::Accept(identity) => match &identity.remark {
                Some(remark) if remark.class == Class::Full => self
                    .full
                    .as_ref()
                    .unwrap_or(&self.accept)
                    .with_reply(remark.words()),
                _ => self.accept.clone(),
            },
            Verdict::Reject(cause) if cause.class == Class::Disabled => {
                self.disabled.with_reply(cause.words())
            }
            Verdict::Reject(cause) => self.reject.with_reply(cause.words()),
            // A limit of the directory is not the client's to have used up.
            Verdict::Defer(cause)
                if cause.class == Class::Limit && decision.source != Source::UnknownRate =>
            {
                self.limit.clone()
            }
            Verdict::Defer(cause) => self.defer.with_reply(cause.words()),
            Verdict::Abstain(_) => policy::Action::dunno(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verdict::{Abstention, Cause, Identity};

    fn actions() -> Action {
        let action = |text| policy::Action::new(text).unwrap();
        Action {
            accept: action("DUNNO"),
            full: Some(action("452 4.2.2 {reply}")),
            reject: action("550 5.1.1 {reply}"),
            disabled: action("550 5.2.1 Mailbox disabled"),
            defer: action("DEFER_IF_PERMIT 4.4.3 later"),
            limit: action("450 4.7.1 too many"),
            ..Action::new()
        }
    }

    #[test]
    fn every_verdict_has_its_words() {
        let cause = |class| Cause::said(class, "550 5.1.1", "no such\r\nuser");
        for (verdict, expected) in [
            (Verdict::accept("x"), "DUNNO"),
            (
                Verdict::Accept(Identity {
                    name: b"x".to_vec(),
                    remark: Some(cause(Class::Full)),
                    by_backup: false,
                }),
                "452 4.2.2 no such user",
            ),
            (
                Verdict::Reject(cause(Class::UnknownUser)),
                "550 5.1.1 no such user",
            ),
            (Verdict::Reject(cause(Class::Syntax)), "550 5.1.1 no such user"),
            (
                Verdict::Reject(cause(Class::Disabled)),
                "550 5.2.1 Mailbox disabled",
            ),
            (
                Verdict::Defer(cause(Class::Timeout)),
                "DEFER_IF_PERMIT 4.4.3 later",
            ),
            (Verdict::Defer(cause(Class::Limit)), "450 4.7.1 too many"),
            (Verdict::Abstain(Abstention::NotOurs), "DUNNO"),
            (Verdict::Abstain(Abstention::NoOpinion), "DUNNO"),
        ] {
            let decision = Decision {
                verdict,
                source: Source::Probe,
                directory: None,
            };
            assert_eq!(actions().to_action(&decision).as_str(), expected);
        }
        let decision = Decision {
            verdict: Verdict::Defer(cause(Class::Limit)),
            source: Source::UnknownRate,
            directory: None,
        };
        assert_eq!(
            actions().to_action(&decision).as_str(),
            "DEFER_IF_PERMIT 4.4.3 later"
        );
    }
}
