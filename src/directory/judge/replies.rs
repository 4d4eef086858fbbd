//! Phrases of one remote, as its operator reads them (`directory.NAME.replies`).

use std::sync::Arc;

use super::text::{END, Text};
use crate::settings::directory as keys;

/// What a phrase means, the first that counts first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Means {
    /// Ask again later. Before all others: it is never a mistake that loses mail.
    Later,
    /// The mailbox exists and is full.
    Full,
    /// There is no such mailbox, or no such user.
    Unknown,
    /// The password or token is wrong.
    Wrong,
}

/// The phrases of a directory. Cheap to copy.
#[derive(Debug, Clone, Default)]
pub struct Replies(Arc<[Phrase]>);

#[derive(Debug)]
struct Phrase {
    means: Means,
    /// As it was given.
    given: String,
    /// The words between the places where any others may stand.
    parts: Vec<Vec<String>>,
}

impl Replies {
    /// Phrases with what they mean, in any order. In a phrase `*` stands for any words.
    pub fn new(phrases: impl IntoIterator<Item = (Means, String)>) -> Self {
        let mut phrases: Vec<Phrase> = phrases
            .into_iter()
            .map(|(means, given)| Phrase {
                means,
                parts: parts(&given),
                given,
            })
            .collect();
        phrases.sort_by_key(|phrase| phrase.means);
        Self(phrases.into())
    }

    /// What the first phrase that stands in these lines means, and the phrase as it was given.
    pub(super) fn find(&self, lines: &[&str]) -> Option<(Means, &str)> {
        if self.0.is_empty() {
            return None;
        }
        // Numbers count here, and so do the names of hosts: the operator has seen them.
        let mut words: Vec<String> = lines.iter().flat_map(|line| Text::plain(line).words).collect();
        words.retain(|word| word != END);
        let phrase = self.0.iter().find(|phrase| phrase.stands_in(&words))?;
        Some((phrase.means, &phrase.given))
    }
}

impl From<&keys::Replies> for Replies {
    fn from(given: &keys::Replies) -> Self {
        let lists = [
            (Means::Later, &given.later),
            (Means::Full, &given.full),
            (Means::Unknown, &given.unknown),
            (Means::Wrong, &given.wrong),
        ];
        let each = |(means, phrases): (Means, &Vec<String>)| {
            let phrases = phrases.clone().into_iter();
            phrases.map(move |phrase| (means, phrase))
        };
        Self::new(lists.into_iter().flat_map(each))
    }
}

impl Phrase {
    fn stands_in(&self, words: &[String]) -> bool {
        let mut rest = words;
        for part in self.parts.iter().filter(|part| !part.is_empty()) {
            let mut ends = (0..rest.len()).filter_map(|at| rest.get(at..)?.strip_prefix(part.as_slice()));
            let Some(behind) = ends.next() else {
                return false;
            };
            rest = behind;
        }
        true
    }
}

fn parts(given: &str) -> Vec<Vec<String>> {
    given
        .split('*')
        .map(|part| {
            let mut words = Text::plain(part).words;
            words.retain(|word| word != END);
            words
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_phrase_is_words_with_others_between() {
        let replies = Replies::new([
            (Means::Unknown, "Recipient * FAIL".into()),
            (Means::Later, "FAIL for now".into()),
            (Means::Full, "code 99".into()),
        ]);
        let find = |text: &str| replies.find(&[text]).map(|(means, _)| means);
        assert_eq!(find("550 recipient <x@example.org> fail."), Some(Means::Unknown));
        assert_eq!(find("Recipient: x FAIL for now"), Some(Means::Later));
        assert_eq!(find("code: 99"), Some(Means::Full));
        assert_eq!(find("FAIL recipient"), None);
        assert_eq!(find("recipients fail"), None);
        assert!(Replies::default().find(&["anything"]).is_none());
    }
}
