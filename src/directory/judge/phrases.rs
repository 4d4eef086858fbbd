//! What is known of words: `phrases.txt`, and where its phrases stand in a text.
//!
//! A phrase that stands whole inside a longer one is not read: `user unknown in relay recipient table` says nothing of
//! relaying. Phrases that overlap otherwise are both read.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::LazyLock;

use super::statement::{About, What};
use super::text::{END, Known, NAME, Text};

/// The table, as it is in `phrases.txt`.
static PHRASES: LazyLock<Phrases> = LazyLock::new(|| Phrases::read(TABLE));

/// Its text: findings that were read by another are no findings of ours.
pub(crate) const TABLE: &str = include_str!("phrases.txt");

/// What the phrases of a section say: a statement, or nothing.
pub(super) type Says = Option<(About, What)>;

/// The phrases of the table, ready to be looked for.
pub(super) struct Phrases {
    all: Tree,
    /// Those without a gap that are about anything but the recipient: no gap may hide one.
    others: Tree,
    /// All words that stand in some phrase.
    words: HashSet<String>,
    /// Words that count in a web address.
    in_web_addresses: HashSet<String>,
    /// Nouns for a recipient.
    nouns: HashSet<String>,
}

/// Phrases that begin alike share their beginning.
#[derive(Default)]
struct Tree(Vec<Node>);

#[derive(Default)]
struct Node {
    words: HashMap<String, usize>,
    stems: Vec<(String, usize)>,
    small_gap: Option<usize>,
    gap: Option<usize>,
    begin: Option<usize>,
    end: Option<usize>,
    /// What the phrases that end here say, and how narrow each is.
    ends: Vec<(Says, usize)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    /// This word.
    Word(String),
    /// A word that begins so.
    Stem(String),
    /// Small words, and the name that was asked about.
    SmallGap,
    /// The same, and at most one word that says nothing by itself.
    Gap,
    /// The beginning of a clause.
    Begin,
    /// The end of one.
    End,
}

/// Words that a gap takes beside its one.
const SMALL_WORDS: [&str; 16] = [
    "is", "was", "has", "been", "are", "be", "a", "an", "the", "this", "that", "your", "our", "to", "of",
    "for",
];

/// A phrase that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Match {
    pub(super) says: Says,
    /// The words that it covers.
    pub(super) at: Range<usize>,
    /// Of two phrases of the same words the narrower one is read.
    narrowness: usize,
}

impl Phrases {
    /// The table of the program.
    pub(super) fn get() -> &'static Self {
        &PHRASES
    }

    fn read(table: &str) -> Self {
        let mut phrases = Self {
            all: Tree::default(),
            others: Tree::default(),
            words: HashSet::new(),
            in_web_addresses: HashSet::new(),
            nouns: HashSet::new(),
        };
        for (says, line) in lines(table) {
            if let Some(word) = line.strip_prefix("www ") {
                phrases.in_web_addresses.insert(word.to_owned());
            }
            phrases.add(says, &pieces(line.strip_prefix("www ").unwrap_or(&line)));
        }
        for noun in nouns(table) {
            phrases.nouns.extend(noun.rsplit(' ').next().map(str::to_owned));
        }
        phrases
    }

    fn add(&mut self, says: Says, pieces: &[Piece]) {
        for piece in pieces {
            if let Piece::Word(word) = piece {
                self.words.insert(word.clone());
            }
        }
        let has_gap = pieces
            .iter()
            .any(|piece| matches!(piece, Piece::Gap | Piece::SmallGap));
        if !has_gap && says.is_some_and(|(about, _)| about != About::Recipient) {
            self.others.add(says, pieces);
        }
        self.all.add(says, pieces);
    }

    /// What a word is to the table: see [`Text::new`].
    pub(super) fn knows(&self, word: &str) -> Known {
        if self.in_web_addresses.contains(word) {
            Known::InWebAddress
        } else if self.words.contains(word) {
            Known::Word
        } else {
            Known::No
        }
    }

    /// Whether the word is the last of a noun for a recipient.
    pub(super) fn is_noun(&self, word: &str) -> bool {
        self.nouns.contains(word)
    }

    /// Where phrases stand in a text, by their beginning.
    pub(super) fn find(&self, text: &Text) -> Vec<Match> {
        let mut found: Vec<Match> = (0..text.words.len())
            .flat_map(|at| self.matches_at(&text.words, at))
            .collect();
        // Of those that begin at one word the longest comes first, so that what lies in another comes behind it.
        let order = |one: &Match| (one.at.start, Reverse(one.at.end), Reverse(one.narrowness));
        found.sort_by_key(order);
        let mut kept: Vec<Match> = Vec::with_capacity(found.len());
        // Which of those kept reaches furthest.
        let mut furthest: Option<usize> = None;
        for one in found {
            let outer = furthest.and_then(|at| kept.get(at));
            let hidden = outer.is_some_and(|outer| {
                let same = one.at == outer.at && one.narrowness >= outer.narrowness;
                one.at.end <= outer.at.end && !same
            });
            let mut alike = kept.iter().rev().take_while(|kept| kept.at == one.at);
            if hidden || alike.any(|kept| kept.says == one.says) {
                continue;
            }
            if outer.is_none_or(|outer| one.at.end > outer.at.end) {
                furthest = Some(kept.len());
            }
            kept.push(one);
        }
        kept
    }

    fn matches_at(&self, words: &[String], at: usize) -> Vec<Match> {
        let mut found = Vec::new();
        self.walk(&self.all, 0, words, at, &mut |says, narrowness, end| {
            found.push(Match {
                says,
                at: at..end,
                narrowness,
            });
        });
        found
    }

    /// Tells each phrase of `tree` below `node` that stands in `words` from `at` on.
    fn walk(
        &self,
        tree: &Tree,
        node: usize,
        words: &[String],
        at: usize,
        tell: &mut dyn FnMut(Says, usize, usize),
    ) {
        let Some(node) = tree.0.get(node) else { return };
        for (says, narrowness) in &node.ends {
            tell(*says, *narrowness, at);
        }
        let word = words.get(at).map(String::as_str);
        let before = at.checked_sub(1).and_then(|at| words.get(at));
        if let Some(next) = node.begin.filter(|_| before.is_none_or(|word| word == END)) {
            self.walk(tree, next, words, at, tell);
        }
        if let Some(next) = node.end.filter(|_| word.is_none_or(|word| word == END)) {
            self.walk(tree, next, words, at, tell);
        }
        if let Some(word) = word {
            let stems = node
                .stems
                .iter()
                .filter(|(stem, _)| word.starts_with(stem.as_str()));
            for next in node
                .words
                .get(word)
                .into_iter()
                .chain(stems.map(|(_, next)| next))
            {
                self.walk(tree, *next, words, at + 1, tell);
            }
        }
        if let Some(next) = node.small_gap {
            self.walk_behind_gap(tree, next, words, at, false, tell);
        }
        if let Some(next) = node.gap {
            self.walk_behind_gap(tree, next, words, at, true, tell);
        }
    }

    fn walk_behind_gap(
        &self,
        tree: &Tree,
        node: usize,
        words: &[String],
        mut at: usize,
        mut takes_one: bool,
        tell: &mut dyn FnMut(Says, usize, usize),
    ) {
        loop {
            self.walk(tree, node, words, at, tell);
            match words.get(at).map(String::as_str) {
                None | Some(END) => return,
                Some(word) if SMALL_WORDS.contains(&word) || word == NAME => {}
                Some(_) if takes_one && !self.says_something_at(words, at) => takes_one = false,
                Some(_) => return,
            }
            at += 1;
        }
    }

    /// Whether a phrase that is about anything but the recipient begins here.
    fn says_something_at(&self, words: &[String], at: usize) -> bool {
        let mut says = false;
        self.walk(&self.others, 0, words, at, &mut |_, _, _| says = true);
        says
    }
}

impl Tree {
    fn add(&mut self, says: Says, pieces: &[Piece]) {
        let mut at = 0;
        if self.0.is_empty() {
            self.0.push(Node::default());
        }
        for piece in pieces {
            at = self.child(at, piece);
        }
        // Of two phrases of the same words the narrower one is read: one that says where a clause begins or ends, or
        // that these words say nothing.
        let edges = pieces
            .iter()
            .filter(|piece| matches!(piece, Piece::Begin | Piece::End))
            .count();
        let end = (says, edges + usize::from(says.is_none()));
        if let Some(node) = self.0.get_mut(at)
            && !node.ends.contains(&end)
        {
            node.ends.push(end);
        }
    }

    /// The node behind `piece`, made if it is not there.
    fn child(&mut self, at: usize, piece: &Piece) -> usize {
        let new = self.0.len();
        let Some(node) = self.0.get_mut(at) else { return at };
        let next = match piece {
            Piece::Word(word) => *node.words.entry(word.clone()).or_insert(new),
            Piece::Stem(stem) => match node.stems.iter().find(|(known, _)| known == stem) {
                Some((_, next)) => *next,
                None => {
                    node.stems.push((stem.clone(), new));
                    new
                }
            },
            Piece::SmallGap => *node.small_gap.get_or_insert(new),
            Piece::Gap => *node.gap.get_or_insert(new),
            Piece::Begin => *node.begin.get_or_insert(new),
            Piece::End => *node.end.get_or_insert(new),
        };
        if next == new {
            self.0.push(Node::default());
        }
        next
    }
}

/// The phrases of a table with what their section says; lists are written out.
fn lines(table: &str) -> Vec<(Says, String)> {
    let mut lists: HashMap<&str, Vec<&str>> = HashMap::new();
    let mut says = None;
    let mut found = Vec::new();
    for line in table.lines() {
        let line = line.split('#').next().unwrap_or_default().trim();
        if let Some((name, words)) = list(line) {
            lists.entry(name).or_default().extend(words);
        } else if let Some(section) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            says = section
                .split_once(' ')
                .and_then(|(about, what)| Some((about.parse().ok()?, what.parse().ok()?)));
        } else if !line.is_empty() {
            found.extend(written_out(line, &lists).into_iter().map(|line| (says, line)));
        }
    }
    found
}

fn nouns(table: &str) -> Vec<&str> {
    let lists = table.lines().filter_map(list);
    lists
        .filter(|(name, _)| *name == "user")
        .flat_map(|(_, words)| words)
        .collect()
}

/// `{name} = one | other`.
fn list(line: &str) -> Option<(&str, Vec<&str>)> {
    let (name, words) = line.strip_prefix('{')?.split_once("} = ")?;
    Some((name, words.split('|').map(str::trim).collect()))
}

/// A line once for each choice from the lists that it names.
fn written_out(line: &str, lists: &HashMap<&str, Vec<&str>>) -> Vec<String> {
    let Some((before, rest)) = line.split_once('{') else {
        return vec![line.to_owned()];
    };
    let Some((name, after)) = rest.split_once('}') else {
        return Vec::new();
    };
    let choices = lists.get(name).map(Vec::as_slice).unwrap_or_default();
    choices
        .iter()
        .flat_map(|choice| written_out(&format!("{before}{choice}{after}"), lists))
        .collect()
}

/// `-` and `~` are gaps, `^` and `$` the edges of a clause, `:` is the end of one, `stem*` begins a word.
fn pieces(line: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    for word in line.split_whitespace() {
        match word {
            "-" => pieces.push(Piece::SmallGap),
            "~" => pieces.push(Piece::Gap),
            "^" => pieces.push(Piece::Begin),
            "$" => pieces.push(Piece::End),
            ":" => pieces.push(Piece::Word(END.to_owned())),
            _ => match word.strip_suffix('*') {
                Some(stem) => pieces.push(Piece::Stem(stem.to_owned())),
                None => pieces.extend(Text::plain(word).words.into_iter().map(Piece::Word)),
            },
        }
    }
    pieces
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Every phrase of the table as a text that has it, with what it says. A gap is left empty.
    pub(in crate::directory::judge) fn texts() -> Vec<(Says, String)> {
        let written = |(says, line): (Says, String)| {
            (says, text_of(&pieces(line.strip_prefix("www ").unwrap_or(&line))))
        };
        let mut texts: Vec<_> = lines(TABLE).into_iter().map(written).collect();
        texts.sort_by(|a, b| a.1.cmp(&b.1));
        texts.dedup();
        texts
    }

    fn text_of(pieces: &[Piece]) -> String {
        let words = pieces.iter().filter_map(|piece| match piece {
            Piece::Word(word) if word == END => Some(":"),
            Piece::Word(word) | Piece::Stem(word) => Some(word.as_str()),
            Piece::Gap | Piece::SmallGap | Piece::Begin | Piece::End => None,
        });
        words.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn every_line_is_read() {
        let table = include_str!("phrases.txt");
        for line in table.lines().map(str::trim) {
            if let Some(section) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
                let known = section.split_once(' ').and_then(|(about, what)| {
                    Some((about.parse::<About>().ok()?, what.parse::<What>().ok()?))
                });
                assert!(known.is_some() || section == "nothing", "[{section}]");
            }
        }
        let all = lines(table);
        assert!(all.len() > 2000, "{}", all.len());
        for (says, line) in &all {
            let pieces = pieces(line.strip_prefix("www ").unwrap_or(line));
            let words = pieces
                .iter()
                .filter(|piece| matches!(piece, Piece::Word(_) | Piece::Stem(_)));
            assert!(
                words.count() > 0 && !line.contains(['{', '}']),
                "{says:?}: {line}"
            );
        }
    }

    #[test]
    fn a_longer_phrase_hides_what_stands_in_it() {
        let phrases = Phrases::read(
            "{n} = user | local part\n[recipient missing]\n{n} ~ unknown\n[relay refused]\nrelay\nrelay* now\n[nothing]\nin relay table\n^ relay $\n",
        );
        let found = |text: &str| {
            let text = Text::plain(text);
            let says = phrases.find(&text).into_iter().filter_map(|one| one.says);
            says.map(|(about, _)| about).collect::<Vec<_>>()
        };
        assert_eq!(found("local part is unknown"), [About::Recipient]);
        assert_eq!(found("user x unknown in relay table"), [About::Recipient]);
        // No gap hides a word that says something, and no phrase reaches beyond a clause.
        assert_eq!(found("user relay unknown"), [About::Relay]);
        assert_eq!(found("user: unknown"), []);
        assert_eq!(found("relaying now, relay"), [About::Relay, About::Relay]);
        assert_eq!(found("relay: user x y unknown"), []);
    }
}
