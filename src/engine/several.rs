//! Several directories that serve one domain: all are asked at once about a recipient, and what they say is one verdict.

use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::time::Instant;

use super::{CachedDirectory, Decision};
use crate::verdict::{Cause, Class, Question, Verdict};

/// What the directories say together by `deadline`; `None` where there is none. A yes is told as it comes. Each remembers
/// what it said by itself.
pub(super) async fn decide(
    members: impl Iterator<Item = &Arc<CachedDirectory>>,
    question: &Question,
    deadline: Instant,
) -> Option<Decision> {
    let ask = |member: &Arc<CachedDirectory>| {
        let member = member.clone();
        async move { member.decide_or_late(question.clone(), deadline, None).await }
    };
    let mut answers: FuturesUnordered<_> = members.map(ask).collect();
    let mut best: Option<Decision> = None;
    while let Some(decision) = answers.next().await {
        let counts = |best: &Decision| weight(&decision.verdict) > weight(&best.verdict);
        if best.as_ref().is_none_or(counts) {
            let is_known = matches!(decision.verdict, Verdict::Accept(_));
            best = Some(decision);
            if is_known {
                break;
            }
        }
    }
    best
}

/// The heaviest verdict is that of all. A "no" is the lightest: it takes all of them, and a directory that gives no answer
/// may be the one that knows the recipient. One without an opinion can never say no, whatever the others find. Among the
/// "no", one that only the server of this very user can say is the heaviest: others refuse a password, or a recipient, that
/// they never had.
pub(super) fn weight(verdict: &Verdict) -> u8 {
    match verdict {
        Verdict::Accept(_) => 5,
        Verdict::Abstain(_) => 4,
        Verdict::Defer(_) => 3,
        Verdict::Reject(Cause {
            class: Class::Expired,
            ..
        }) => 2,
        Verdict::Reject(Cause {
            class: Class::Disabled,
            ..
        }) => 1,
        Verdict::Reject(_) => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verdict::Abstention;

    fn verdicts() -> [Verdict; 5] {
        let cause = |class| Cause::ours(class, "x");
        [
            Verdict::accept("jane@example.org"),
            Verdict::Abstain(Abstention::NoOpinion),
            Verdict::Defer(cause(Class::Timeout)),
            Verdict::Reject(cause(Class::Disabled)),
            Verdict::Reject(cause(Class::UnknownUser)),
        ]
    }

    /// What the rule says, in its own words.
    fn together(said: &[&Verdict]) -> &'static str {
        let any = |is: fn(&Verdict) -> bool| said.iter().any(|verdict| is(verdict));
        if any(|verdict| matches!(verdict, Verdict::Accept(_))) {
            "known"
        } else if any(|verdict| matches!(verdict, Verdict::Abstain(_))) {
            "no opinion"
        } else if any(|verdict| matches!(verdict, Verdict::Defer(_))) {
            "later"
        } else if any(|verdict| {
            verdict
                .cause()
                .is_some_and(|cause| cause.class == Class::Disabled)
        }) {
            "disabled"
        } else {
            "unknown"
        }
    }

    #[test]
    fn a_no_takes_all_directories() {
        let verdicts = verdicts();
        let names = ["known", "no opinion", "later", "disabled", "unknown"];
        for (one, other, third) in (0..125).map(|n| (n % 5, n / 5 % 5, n / 25)) {
            let said = [one, other, third].map(|number| &verdicts[number]);
            let heaviest = [one, other, third]
                .into_iter()
                .max_by_key(|&number| weight(&verdicts[number]))
                .unwrap();
            assert_eq!(names[heaviest], together(&said), "{one} {other} {third}");
        }
    }
}
