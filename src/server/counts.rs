//! A listener's answers: counted, and logged.

use std::time::Duration;

use strum::VariantArray;

use super::refused_share::{RefusedShare, Shares};
use crate::engine::{Decision, Source};
use crate::telemetry::counter::Counter;
use crate::telemetry::histogram::{Durations, Histogram};
use crate::telemetry::log::{self, Answered};
use crate::verdict::{Abstention, Class, Client, Verdict, text};

/// The names of the verdicts, in the order of [`verdict`].
const VERDICTS: [&str; 4] = ["accept", "reject", "defer", "abstain"];

/// Causes besides the classes: none, and the reasons of an abstention.
const OTHER_CAUSES: [&str; 3] = ["-", "not-ours", "no-opinion"];

/// How many causes there are.
const CAUSES: usize = OTHER_CAUSES.len() + Class::VARIANTS.len();

/// The counters of a listener. All of it since the start of the process.
#[derive(Debug)]
pub struct ListenerCounts {
    /// Answers, at [`place`].
    answers: Box<[Counter]>,
    /// From a question to its verdict, by verdict.
    took: [Histogram; VERDICTS.len()],
    /// Answers that were held back behind their verdict, since their client or user had
    /// failed too often.
    pub delayed: Counter,
    /// What remotes said.
    refused_share: RefusedShare,
}

/// Answers of one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answers {
    /// [`Verdict::name`]
    pub verdict: &'static str,
    /// [`Verdict::reason`]
    pub cause: &'static str,
    /// [`Source::name`]
    pub source: &'static str,
    /// How many there were.
    pub count: u64,
}

/// A question and its answer, as the log has them.
pub(super) struct Entry<'a> {
    /// What kind of thing was asked about: `recipient`, `login` and so on.
    pub(super) question: &'static str,
    /// The address or user name.
    pub(super) about: &'a [u8],
    /// The end user.
    pub(super) client: &'a Client,
    /// What ties questions of one message or session together; `None` where it is the client's session.
    pub(super) instance: Option<&'a str>,
    pub(super) decision: &'a Decision,
    /// From the question to the verdict.
    pub(super) took: Duration,
    /// From there to the answer, where it was held back.
    pub(super) delayed: Option<Duration>,
    /// The answer to the client.
    pub(super) answer: &'a str,
}

/// What there is to say about why.
fn detail(decision: &Decision) -> String {
    match (&decision.verdict, decision.source, &decision.directory) {
        (Verdict::Abstain(Abstention::NotOurs), Source::Local, None) => {
            "no directory of this listener serves its domain (lookup.domains, lookup.routes)".to_owned()
        }
        _ => decision.verdict.detail(),
    }
}

impl Default for ListenerCounts {
    fn default() -> Self {
        let places = VERDICTS.len() * CAUSES * Source::VARIANTS.len();
        Self {
            answers: (0..places).map(|_| Counter::default()).collect(),
            took: Default::default(),
            delayed: Counter::default(),
            refused_share: RefusedShare::default(),
        }
    }
}

impl ListenerCounts {
    /// Counts an answer of `listener`, and logs it as one line.
    pub(super) fn tell(&self, listener: &str, entry: &Entry<'_>) {
        let decision = entry.decision;
        self.answered(decision, entry.took, entry.delayed);
        log::answered(&Answered {
            listener,
            question: entry.question,
            about: &text(entry.about),
            verdict: decision.verdict.name(),
            cause: &decision.verdict.reason(),
            detail: &detail(decision),
            source: decision.source.name(),
            directory: decision.directory.as_deref().unwrap_or("-"),
            took: entry.took,
            delayed: entry.delayed,
            client: &entry.client.shown(),
            instance: entry.instance.or(entry.client.session.as_deref()).unwrap_or("-"),
            answer: entry.answer,
        });
    }

    /// A question was decided on, after so long; its answer was `delayed` where there is
    /// such a time.
    pub fn answered(&self, decision: &Decision, took: Duration, delayed: Option<Duration>) {
        let place = place(&decision.verdict, decision.source);
        if let (Some(answers), Some(histogram)) =
            (self.answers.get(place), self.took.get(verdict(&decision.verdict)))
        {
            answers.count();
            histogram.observe(took);
        }
        if delayed.is_some() {
            self.delayed.count();
        }
        let asked = matches!(decision.source, Source::Probe | Source::Shared);
        match decision.verdict {
            Verdict::Accept(_) if asked => self.refused_share.answered(true),
            Verdict::Reject(_) if asked => self.refused_share.answered(false),
            _ => {}
        }
    }

    /// How many of the remotes' answers are a "no", lately and in the hours before.
    pub fn shares(&self) -> Shares {
        self.refused_share.get()
    }

    /// The answers of each kind of which there were any.
    pub fn answers(&self) -> impl Iterator<Item = Answers> {
        let answers = self.answers.iter().enumerate().filter_map(|(place, count)| {
            let (rest, source) = (place / Source::VARIANTS.len(), place % Source::VARIANTS.len());
            let (verdict, cause) = (rest / CAUSES, rest % CAUSES);
            Some(Answers {
                verdict: VERDICTS.get(verdict)?,
                cause: match cause.checked_sub(OTHER_CAUSES.len()) {
                    Some(class) => Class::VARIANTS.get(class)?.name(),
                    None => OTHER_CAUSES.get(cause)?,
                },
                source: Source::VARIANTS.get(source)?.name(),
                count: count.get(),
            })
        });
        answers.filter(|answers| answers.count > 0)
    }

    /// How long the verdicts of each name took.
    pub fn took(&self) -> impl Iterator<Item = (&'static str, Durations)> {
        VERDICTS.into_iter().zip(self.took.iter().map(Histogram::get))
    }
}

fn place(said: &Verdict, source: Source) -> usize {
    let cause = match said {
        Verdict::Abstain(Abstention::NotOurs) => 1,
        Verdict::Abstain(Abstention::NoOpinion) => 2,
        _ => said
            .cause()
            .map_or(0, |cause| OTHER_CAUSES.len() + cause.class as usize),
    };
    (verdict(said) * CAUSES + cause) * Source::VARIANTS.len() + source as usize
}

const fn verdict(said: &Verdict) -> usize {
    match said {
        Verdict::Accept(_) => 0,
        Verdict::Reject(_) => 1,
        Verdict::Defer(_) => 2,
        Verdict::Abstain(_) => 3,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verdict::{Cause, Identity};

    #[test]
    fn each_answer_is_counted_under_the_names_that_the_log_gives_it() {
        let causes: Vec<_> = Class::VARIANTS
            .iter()
            .map(|class| Cause::ours(*class, "x"))
            .collect();
        let remarked = |cause: &Cause| {
            Verdict::Accept(Identity {
                name: b"x".to_vec(),
                remark: Some(cause.clone()),
                by_backup: false,
            })
        };
        let mut verdicts = vec![
            Verdict::accept("x"),
            Verdict::Abstain(Abstention::NotOurs),
            Verdict::Abstain(Abstention::NoOpinion),
        ];
        verdicts.extend(causes.iter().map(remarked));
        verdicts.extend(causes.iter().cloned().map(Verdict::Reject));
        verdicts.extend(causes.iter().cloned().map(Verdict::Defer));
        for verdict in verdicts {
            for source in Source::VARIANTS.iter().copied() {
                let counts = ListenerCounts::default();
                let expected = (verdict.name(), verdict.reason().into_owned(), source.name());
                let decision = Decision {
                    verdict: verdict.clone(),
                    source,
                    directory: None,
                };
                counts.answered(&decision, Duration::from_millis(7), None);
                counts.answered(&decision, Duration::from_millis(7), Some(Duration::from_secs(1)));
                let answers: Vec<_> = counts.answers().collect();
                let [only] = answers[..] else {
                    panic!("{answers:?}")
                };
                assert_eq!((only.verdict, only.cause.to_owned(), only.source), expected);
                assert_eq!((only.count, counts.delayed.get()), (2, 1));
                let took: u64 = counts.took().map(|(_, took)| took.count()).sum();
                let (_, of_this) = counts.took().find(|(name, _)| *name == verdict.name()).unwrap();
                assert_eq!((took, of_this.sum), (2, Duration::from_millis(14)));
            }
        }
    }
}
