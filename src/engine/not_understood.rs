//! What a directory's remote says that nobody understands: counted, and logged once, with what would settle it.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

use super::phrase::phrase;
use crate::telemetry::counter::Counter;
use crate::verdict::{Class, Kind, Proof, UserName, Verdict};

/// Bound (cache): texts of a directory that are not understood, and are counted separately. Beyond: they are counted,
/// and not logged. Why: a server has a few.
const TEXTS: usize = 100;

/// The replies of one directory's remote that were not understood.
#[derive(Debug)]
pub struct NotUnderstood {
    directory: Arc<str>,
    /// Replies to questions about recipients.
    recipients: Counter,
    /// Replies to logins.
    logins: Counter,
    /// At most [`TEXTS`], and how often each was heard.
    texts: Mutex<HashMap<Text, u64>>,
}

/// A text without names.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Text {
    /// What was asked: `recipient` or `login`.
    pub question: &'static str,
    /// The remote's status.
    pub status: String,
    /// Its words, as a phrase of `directory.NAME.replies`. Empty where it used none but names.
    pub phrase: String,
}

impl NotUnderstood {
    /// Of the directory called `directory`, which has said nothing yet.
    pub fn new(directory: Arc<str>) -> Self {
        Self {
            directory,
            recipients: Counter::default(),
            logins: Counter::default(),
            texts: Mutex::default(),
        }
    }

    /// Takes down the verdict on a question, if it is a reply that was not understood.
    pub(super) fn note(&self, asked: &Kind, verdict: &Verdict) {
        let Verdict::Defer(cause) = verdict else {
            return;
        };
        if cause.class != Class::NotUnderstood {
            return;
        }
        let (question, count, names) = match asked {
            Kind::Recipient(address) => {
                let names = names(&address.to_unquoted());
                ("recipient", &self.recipients, names)
            }
            Kind::Login { user, proof } => {
                let named = match proof {
                    Proof::Relay(dialog) => dialog.user().unwrap_or_default(),
                    Proof::Password(_) | Proof::Token { .. } => user.as_bytes(),
                };
                ("login", &self.logins, names(named))
            }
        };
        count.count();
        let text = Text {
            question,
            status: cause.status.clone().unwrap_or_default(),
            phrase: phrase(cause.words(), &names),
        };
        if self.is_new(&text) {
            self.log(&text);
        }
    }

    /// How many replies were not understood, by what was asked.
    pub fn counts(&self) -> [(&'static str, u64); 2] {
        [("recipient", self.recipients.get()), ("login", self.logins.get())]
    }

    /// The `most` frequent texts, and how often each was heard.
    pub fn most_frequent(&self, most: usize) -> Vec<(Text, u64)> {
        let texts = self.texts.lock();
        let mut texts: Vec<_> = texts.iter().map(|(text, &count)| (text.clone(), count)).collect();
        texts.sort_by(|(one, count), (other, more)| more.cmp(count).then_with(|| one.cmp(other)));
        texts.truncate(most);
        texts
    }

    fn is_new(&self, text: &Text) -> bool {
        let mut texts = self.texts.lock();
        if let Some(count) = texts.get_mut(text) {
            *count += 1;
            return false;
        }
        let is_new = texts.len() < TEXTS;
        if is_new {
            texts.insert(text.clone(), 1);
        }
        is_new
    }

    fn log(&self, text: &Text) {
        let directory = &*self.directory;
        let Text {
            question,
            status,
            phrase,
        } = text;
        if phrase.is_empty() {
            tracing::warn!(
                directory,
                question,
                "a refusal is not understood ({status}), so the question is deferred: it contains nothing but names"
            );
            return;
        }
        // An administrator who knows the remote may call it full as well.
        let meaning = if *question == "recipient" {
            "unknown"
        } else {
            "wrong"
        };
        tracing::warn!(
            directory,
            question,
            "a refusal is not understood ({status} {phrase}), so the question is deferred: if it is about this user, set \
             replies.{meaning} = [\"{phrase}\"] in [directory.\"{directory}\"], else replies.later = [\"{phrase}\"]"
        );
    }
}

/// What a reply may call the one who was asked about: the longest first.
fn names(user: &[u8]) -> Vec<String> {
    let login = UserName::new(user);
    let parts = [Some(login.as_bytes()), login.domain(), Some(login.local())];
    let mut names: Vec<_> = parts
        .into_iter()
        .flatten()
        .map(|name| String::from_utf8_lossy(name).into_owned())
        .collect();
    names.sort_by_key(|name| std::cmp::Reverse(name.len()));
    names
}

#[cfg(test)]
mod tests {
    use vouch_protocol::secret::Secret;

    use super::*;
    use crate::address::Address;
    use crate::verdict::Cause;

    fn recipient(address: &str) -> Kind {
        Kind::Recipient(Address::from_typed(address).unwrap())
    }

    fn said(status: &str, text: &str) -> Verdict {
        Verdict::Defer(Cause::said(Class::NotUnderstood, status, text))
    }

    #[test]
    fn the_most_frequent_texts_are_told_without_names() {
        let heard = NotUnderstood::new("m".into());
        for number in 0..5 {
            let name = format!("user{number}@e.org");
            let text = format!("Recipient <{name}> FAIL");
            heard.note(&recipient(&name), &said("550", &text));
        }
        heard.note(&recipient("jane@e.org"), &said("550", "jane cannot be"));
        heard.note(&recipient("\"x y\"@e.org"), &said("550", "x y cannot be"));
        heard.note(
            &Kind::Login {
                user: UserName::new(b"jane"),
                proof: Proof::Password(Secret::copy_from(b"pw")),
            },
            &said("NO", "Jane may not"),
        );
        // What is understood is no business of this.
        heard.note(
            &recipient("jane@e.org"),
            &Verdict::Defer(Cause::said(Class::Policy, "550", "no")),
        );
        heard.note(&recipient("jane@e.org"), &Verdict::accept("jane@e.org"));
        let told: Vec<_> = heard
            .most_frequent(3)
            .into_iter()
            .map(|(text, count)| (text.question, text.status, text.phrase, count))
            .collect();
        let row = |question, status: &str, phrase: &str, count| {
            (question, status.to_owned(), phrase.to_owned(), count)
        };
        assert_eq!(
            told,
            [
                row("recipient", "550", "Recipient * FAIL", 5),
                row("recipient", "550", "cannot be", 2),
                row("login", "NO", "may not", 1),
            ]
        );
        assert_eq!(heard.counts(), [("recipient", 7), ("login", 1)]);
    }

    // Fills TEXTS.
    #[test]
    fn a_remote_that_says_something_else_each_time_is_counted_and_no_more() {
        let heard = NotUnderstood::new("m".into());
        let letters = |number: usize| -> String {
            let letter = |digit: usize| char::from(b'a' + u8::try_from(digit % 26).unwrap());
            [number, number / 26, number / 676].map(letter).iter().collect()
        };
        for number in 0..3 * TEXTS {
            let text = format!("no {}", letters(number));
            heard.note(&recipient("jane@e.org"), &said("550", &text));
        }
        assert_eq!(heard.most_frequent(usize::MAX).len(), TEXTS);
        assert_eq!(heard.counts()[0], ("recipient", 3 * TEXTS as u64));
    }
}
