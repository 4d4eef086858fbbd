//! Reads a text: its clauses, and what they state of what.

use std::ops::Range;

use super::phrases::{Match, Phrases};
use super::statement::{About, Found, Statement, What};
use super::text::{Asked, END, NAME, Text};

/// What a text says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reading {
    /// What it states, in the order of the text.
    pub statements: Vec<Statement>,
    /// Its clauses as they were read, for people: the asked name is `…`.
    pub clauses: Vec<Clause>,
    /// Not all of it was read.
    pub cut: bool,
}

/// A part of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clause {
    /// Its words.
    pub words: String,
    /// Which of the reading's statements it makes.
    pub statements: Range<usize>,
}

/// Reads the lines of a reply to a question about `asked`.
pub(super) fn read(lines: &[&str], asked: &Asked) -> Reading {
    let phrases = Phrases::get();
    let text = Text::new(lines, asked, |word| phrases.knows(word));
    let plain = || reading(phrases, &text);
    let Some(without) = text.without_local(asked) else {
        return plain();
    };
    // For a mailbox called `user`, the word means nothing.
    if asked.local_is(|word| phrases.is_noun(word)) {
        return plain();
    }
    // The local part of the asked address stands in the text, or a word that it happens to be: there are mailboxes
    // called `relay` and `unknown`.
    if let Some(mention) = text.without_mention(asked, |word| phrases.is_noun(word)) {
        let reading = reading(phrases, &mention);
        if reading.understood() {
            return reading;
        }
    }
    let (with, without) = (plain(), reading(phrases, &without));
    match (with.understood(), without.understood()) {
        (_, false) => with,
        (false, _) => without,
        _ if !with.could_refuse() => with,
        _ => without,
    }
}

impl Reading {
    /// What a clause states.
    pub fn statements_of(&self, clause: &Clause) -> &[Statement] {
        self.statements.get(clause.statements.clone()).unwrap_or_default()
    }

    /// Whether the table knew any of the words.
    pub(super) fn understood(&self) -> bool {
        !self.statements.is_empty()
    }

    /// Whether the text is these words, and nothing else but names.
    pub(super) fn is_just(&self, words: &str) -> bool {
        let text = self.clauses.iter().map(|clause| clause.words.as_str());
        text.map(|clause| clause.trim_matches(['\u{2026}', ' ']))
            .filter(|clause| !clause.is_empty())
            .eq([words])
    }

    /// Whether a clause ends with these words.
    pub(super) fn has_clause_end(&self, words: &str) -> bool {
        self.clauses.iter().any(|clause| clause.words.ends_with(words))
    }

    /// Whether there is not a word in it.
    pub(super) fn is_empty(&self) -> bool {
        self.clauses.iter().all(|clause| clause.words.is_empty())
    }

    /// Whether each statement is about the recipient or the credential.
    fn could_refuse(&self) -> bool {
        self.statements
            .iter()
            .all(|one| matches!(one.about, About::Recipient | About::Credential) && one.what != What::NotNow)
    }
}

fn reading(phrases: &Phrases, text: &Text) -> Reading {
    let found = phrases.find(text);
    let words = |range: Range<usize>| shown(text.words.get(range).unwrap_or_default());
    let statement = |one: &Match| {
        let (about, what) = one.says?;
        Some(Statement {
            about,
            what,
            found: Found::Words(words(one.at.clone())),
        })
    };
    let mut found = found.iter().peekable();
    let mut reading = Reading {
        cut: text.cut,
        ..Reading::default()
    };
    let mut begin = 0;
    for (at, word) in text.words.iter().map(Some).chain([None]).enumerate() {
        if word.is_some_and(|word| word != END) {
            continue;
        }
        let first = reading.statements.len();
        while let Some(one) = found.next_if(|one| one.at.start < at) {
            reading.statements.extend(statement(one));
        }
        reading.clauses.push(Clause {
            words: words(begin..at),
            statements: first..reading.statements.len(),
        });
        begin = at + 1;
    }
    reading
}

fn shown(words: &[String]) -> String {
    let words: Vec<&str> = words
        .iter()
        .map(|word| if word == NAME { "\u{2026}" } else { word.as_str() })
        .collect();
    words.join(" ")
}
