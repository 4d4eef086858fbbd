//! A reply's text as words and the ends of its clauses.
//!
//! What a remote repeats or adds is taken out first: the asked address, other addresses, host names,
//! web pages, what stands in `<…>` and `[…]`, `key=value`, and numbers. A mailbox may be called
//! `relay`, and a host `unknown.example.org`: neither says anything.

/// Bound (replies, bytes): of a server's text that is read for its meaning. Beyond: the rest is not read, and the
/// reply is never a "no". Why: the meaning comes before that, or not at all; a server may send 64 KiB.
const MAX_TEXT: usize = 4096;

/// Ends a clause.
pub(super) const END: &str = "|";

/// Stands for the asked address or user name.
pub(super) const NAME: &str = "\u{1}";

/// The words of a text. A clause ends with [`END`], which is never the first or the last, nor follows another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Text {
    pub(super) words: Vec<String>,
    /// It was longer than [`MAX_TEXT`].
    pub(super) cut: bool,
}

/// The address or user name that was asked about, as a remote may repeat it.
#[derive(Debug, Clone, Default)]
pub struct Asked {
    /// The whole address or user name, in each way to write it.
    whole: Vec<String>,
    /// The local part as words.
    local: Vec<String>,
    /// The local part as it is written between quotes.
    quoted: Vec<String>,
}

impl Asked {
    /// An address in wire form, or a user name.
    pub fn new(name: &[u8]) -> Self {
        let name = String::from_utf8_lossy(name).into_owned();
        if name.is_empty() {
            return Self::default();
        }
        let (local, domain) = match name.rsplit_once('@') {
            Some((local, domain)) => (local.to_owned(), Some(domain)),
            None => (name.clone(), None),
        };
        let bare = unquoted(&local);
        let mut whole = vec![name.clone()];
        if let Some(domain) = domain {
            whole.push(format!("{bare}@{domain}"));
            whole.push(format!("\"{bare}\"@{domain}"));
        }
        whole.sort_by_key(|form| std::cmp::Reverse(form.len()));
        whole.dedup();
        Self {
            whole: if domain.is_some() { whole } else { Vec::new() },
            quoted: vec![format!("\"{bare}\""), format!("'{bare}'")],
            local: Text::plain(&bare).words,
        }
    }
}

impl Asked {
    /// Whether the local part is one such word.
    pub(super) fn local_is(&self, fits: impl Fn(&str) -> bool) -> bool {
        matches!(self.local.as_slice(), [word] if fits(word))
    }
}

/// A quoted local part without its quotes and escapes (RFC 5321 §4.1.2).
fn unquoted(local: &str) -> String {
    match local.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
        Some(inside) if local.len() > 1 => inside.replace('\\', ""),
        _ => local.to_owned(),
    }
}

impl Text {
    /// The words of the lines of a reply to a question about `asked`. `known` says which words with a digit, and
    /// which of a web address, mean something.
    pub(super) fn new(lines: &[&str], asked: &Asked, known: impl Fn(&str) -> Known) -> Self {
        let (text, cut) = joined(lines);
        let text = without_name(&text, asked);
        let mut reader = Splitter::new(known);
        for word in without_brackets(&text).split_whitespace() {
            reader.word(word);
        }
        Self {
            words: reader.finish(),
            cut,
        }
    }

    /// The words of a text that is ours: a phrase of the table.
    pub(super) fn plain(text: &str) -> Self {
        let mut reader = Splitter::new(|_| Known::Word);
        reader.pieces(text);
        Self {
            words: reader.finish(),
            cut: false,
        }
    }

    /// The text with every mention of the bare local part replaced, and whether there was one.
    pub(super) fn without_local(&self, asked: &Asked) -> Option<Self> {
        self.replaced(asked, |_, _| true)
    }

    /// The text with those mentions of the bare local part replaced that can be nothing else: one word that is the
    /// first of several clauses, or right behind a word that `is_noun`.
    pub(super) fn without_mention(&self, asked: &Asked, is_noun: impl Fn(&str) -> bool) -> Option<Self> {
        let one_word = asked.local.len() == 1;
        self.replaced(asked, |before, after| match before {
            None => one_word && after == Some(END),
            Some(word) => is_noun(word),
        })
    }

    fn replaced(&self, asked: &Asked, takes: impl Fn(Option<&str>, Option<&str>) -> bool) -> Option<Self> {
        let length = asked.local.len();
        if length == 0 || length > self.words.len() {
            return None;
        }
        let mut words = Vec::with_capacity(self.words.len());
        let (mut at, mut found) = (0, false);
        while let Some(rest @ [word, ..]) = self.words.get(at..) {
            let before = at.checked_sub(1).and_then(|at| self.words.get(at));
            let after = self.words.get(at + length);
            if rest.starts_with(&asked.local) && takes(before.map(String::as_str), after.map(String::as_str))
            {
                words.push(NAME.to_owned());
                found = true;
                at += length;
            } else {
                words.push(word.clone());
                at += 1;
            }
        }
        found.then_some(Self { words, cut: self.cut })
    }
}

/// What a word with digits in it, or out of a web address, is to the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Known {
    /// The table has it as a word.
    Word,
    /// It has it as a word that counts in a web address, too.
    InWebAddress,
    /// It does not have it.
    No,
}

/// The lines as one text: a line that goes on with a small letter continues the sentence before it, any other
/// begins anew. The second is whether something was left out.
fn joined(lines: &[&str]) -> (String, bool) {
    let mut text = String::new();
    for line in lines {
        let goes_on = line
            .trim_start()
            .chars()
            .find(|c| !c.is_ascii_digit() && !matches!(c, '.' | ' ' | '#' | '-'))
            .is_some_and(|c| c.is_lowercase() && c.is_ascii());
        if !text.is_empty() {
            text.push_str(if goes_on { " " } else { " ; " });
        }
        text.push_str(line);
    }
    let end = (0..=MAX_TEXT.min(text.len()))
        .rev()
        .find(|&end| text.is_char_boundary(end))
        .unwrap_or(0);
    let cut = end < text.len();
    text.truncate(end);
    (text, cut)
}

/// The text with the whole asked address, and its local part where it stands in quotes, replaced.
fn without_name(text: &str, asked: &Asked) -> String {
    let mut text = text.to_owned();
    for form in asked.whole.iter().chain(&asked.quoted) {
        // Letters in other alphabets keep their case: lower-casing them may change where they stand.
        let (lower, form) = (text.to_ascii_lowercase(), form.to_ascii_lowercase());
        if form.len() > 2 && lower.contains(&form) {
            let mut kept = String::with_capacity(text.len());
            let mut end = 0;
            for (at, _) in lower.match_indices(&form) {
                kept.push_str(&text[end..at]);
                kept.push_str(" \u{1} ");
                end = at + form.len();
            }
            kept.push_str(&text[end..]);
            text = kept;
        }
    }
    text
}

/// The text without `<…>` and `[…]`. An address stays as a name; Postfix's verifying sender `double-bounce@` is the
/// sender whatever the remote calls it.
fn without_brackets(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(['<', '[']) {
        let (before, aside) = rest.split_at(at);
        kept.push_str(before);
        kept.push(' ');
        let close = if aside.starts_with('<') { '>' } else { ']' };
        let Some(end) = aside.find(close) else {
            rest = &aside[1..];
            continue;
        };
        let inside = &aside[1..end];
        if inside.starts_with("double-bounce@") {
            kept.push_str(" sender ");
        } else if inside.contains(['@', '\u{1}']) {
            kept.push_str(" \u{1} ");
        }
        rest = &aside[end + 1..];
    }
    kept.push_str(rest);
    kept
}

/// Collects words, in one form, and the ends of clauses.
struct Splitter<F> {
    words: Vec<String>,
    word: String,
    known: F,
}

impl<F: Fn(&str) -> Known> Splitter<F> {
    fn new(known: F) -> Self {
        Self {
            words: Vec::new(),
            word: String::new(),
            known,
        }
    }

    /// Takes what stands between two spaces.
    fn word(&mut self, word: &str) {
        let bare = word
            .trim_matches(|c: char| matches!(c, '.' | ',' | ':' | ';' | '!' | '?' | '(' | ')' | '"' | '\''));
        if bare.contains("//") || bare.starts_with("www.") {
            self.web_address(bare);
        } else if bare.contains('@') {
            self.words.push(NAME.to_owned());
            self.end_behind(word);
        } else if is_pair(bare) {
        } else if is_host_name(bare) {
            self.end_behind(word);
        } else {
            self.pieces(word);
        }
    }

    /// Keeps of a web address the names of blocklists: that is what such a page is about.
    fn web_address(&mut self, address: &str) {
        for part in address.split(|c: char| !c.is_ascii_alphabetic()) {
            let part = part.to_ascii_lowercase();
            if (self.known)(&part) == Known::InWebAddress {
                self.words.push(part);
            }
        }
    }

    /// Ends the clause if what is left out of the text ended it.
    fn end_behind(&mut self, word: &str) {
        if word.ends_with(['.', ':', ';', '(', ')', '!', '?']) {
            self.end();
        }
    }

    /// Cuts a word, or a whole text, at what is no letter.
    fn pieces(&mut self, text: &str) {
        let mut characters = text.chars().peekable();
        while let Some(character) = characters.next() {
            match character {
                '\'' | '\u{2019}' => self.word.push('\''),
                '\u{1}' => {
                    self.flush();
                    self.words.push(NAME.to_owned());
                }
                ':' | ';' | '(' | ')' | '|' | '\u{3002}' | '\u{ff1a}' | '\u{ff1b}' | '\u{ff08}'
                | '\u{ff09}' => self.end(),
                '.' | '!' | '?' => {
                    let inside = characters.peek().is_some_and(char::is_ascii_digit);
                    if inside && self.word.chars().all(|c| c.is_ascii_digit()) {
                        // A code or a version: one word, and a number.
                        self.word.push('0');
                    } else {
                        self.end();
                    }
                }
                _ if has_no_spaces(character) => {
                    self.flush();
                    self.words.push(character.to_string());
                }
                _ if character.is_alphanumeric() => self.word.extend(character.to_lowercase()),
                _ => self.flush(),
            }
        }
        self.flush();
    }

    /// Ends a word.
    fn flush(&mut self) {
        let word = std::mem::take(&mut self.word);
        let word = word.trim_matches('\'');
        if word.is_empty() {
            return;
        }
        if word.contains(|c: char| c.is_ascii_digit()) && (self.known)(word) == Known::No {
            return;
        }
        match word {
            "can't" => self.push("cannot"),
            "won't" => self.both("will"),
            "dosn't" => self.both("does"),
            // One word with a sign that is no letter between its halves.
            "mail" if self.words.last().is_some_and(|last| last == "e") => self.replace_last("email"),
            "box" if self.words.last().is_some_and(|last| last == "mail") => self.replace_last("mailbox"),
            "mails" if self.words.last().is_some_and(|last| last == "e") => self.replace_last("emails"),
            _ => match (word.strip_suffix("n't"), word.strip_suffix("'s")) {
                (Some(stem), _) => self.both(stem),
                (None, Some(owner)) => self.push(owner),
                (None, None) => self.push(word),
            },
        }
    }

    fn push(&mut self, word: &str) {
        self.words.push(word.to_owned());
    }

    /// `doesn't` is `does not`.
    fn both(&mut self, stem: &str) {
        self.push(stem);
        self.push("not");
    }

    fn replace_last(&mut self, word: &str) {
        self.words.pop();
        self.push(word);
    }

    /// Ends a clause.
    fn end(&mut self) {
        self.flush();
        if self.words.last().is_some_and(|word| word != END) {
            self.words.push(END.to_owned());
        }
    }

    fn finish(mut self) -> Vec<String> {
        self.flush();
        if self.words.last().is_some_and(|word| word == END) {
            self.words.pop();
        }
        self.words
    }
}

/// `key=value`, and `key=` in front of brackets.
fn is_pair(word: &str) -> bool {
    word.split_once('=').is_some_and(|(key, _)| {
        !key.is_empty()
            && key
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    })
}

/// Labels with dots between, of which the last is no number. `full.Please` is the end of a sentence and the beginning
/// of another.
fn is_host_name(word: &str) -> bool {
    let labels: Vec<&str> = word.split('.').collect();
    let label = |label: &&str| {
        !label.is_empty()
            && label
                .chars()
                .all(|c| c.is_alphanumeric() || matches!(c, '-' | '_'))
    };
    let new_sentence = |(word, next): (&&str, &&str)| {
        word.ends_with(|c: char| c.is_ascii_lowercase()) && next.starts_with(|c: char| c.is_ascii_uppercase())
    };
    labels.len() > 1
        && labels.iter().all(label)
        && labels
            .last()
            .is_some_and(|last| last.len() > 1 && last.chars().all(|c| c.is_alphabetic() || c == '-'))
        && !labels.iter().zip(labels.iter().skip(1)).any(new_sentence)
}

/// Han, Hiragana and Katakana: a text in them has no spaces, so each character is a word.
fn has_no_spaces(character: char) -> bool {
    matches!(character, '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{9fff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str, asked: &str) -> String {
        let text = Text::new(&[text], &Asked::new(asked.as_bytes()), |_| Known::No);
        text.words.join(" ").replace(NAME, "@")
    }

    #[test]
    fn what_the_remote_repeats_is_left_out() {
        for (text, asked, expected) in [
            (
                "No such user: blocked@e.org, see http://e.org/x", "a@e.org", "no such user | @ see",
            ),
            (
                "<a@e.org>: User Unknown [relay.e.org]", "a@e.org", "@ | user unknown",
            ),
            ("\"a b\"@e.org... Unknown", "\"a b\"@e.org", "@ | unknown"),
            ("user 'a b' unknown", "\"a b\"@e.org", "user @ unknown"),
            (
                "doesn\u{2019}t < exist, can't; e-mail", "x", "does not exist cannot | email",
            ),
            (
                "Full.Please try mx.example.org: it relay=[1]", "x", "full | please try | it",
            ),
            (
                "<double-bounce@mx.e.org>: rejected", "a@e.org", "sender | rejected",
            ),
            ("\u{5bc6}\u{7801}\u{9519}", "x", "\u{5bc6} \u{7801} \u{9519}"),
        ] {
            assert_eq!(words(text, asked), expected, "{text}");
        }
    }

    #[test]
    fn a_line_that_goes_on_is_no_new_clause() {
        let read = |lines: &[&str]| Text::new(lines, &Asked::default(), |_| Known::No).words.join(" ");
        assert_eq!(read(&["5.1.1 does not", "5.1.1 exist. X"]), "does not exist | x");
        assert_eq!(read(&["one", "Two"]), "one | two");
    }

    // Fills text::MAX_TEXT.
    #[test]
    fn long_and_odd_texts_cost_little() {
        let long = "user is ".repeat(20_000);
        let text = Text::new(&[&long], &Asked::default(), |_| Known::No);
        assert!(text.cut && text.words.len() <= MAX_TEXT / 2);
        let text = Text::new(&[&"\u{e9}".repeat(MAX_TEXT)], &Asked::default(), |_| Known::No);
        assert!(text.cut && text.words[0].len() <= MAX_TEXT);
        for odd in [
            "", " ", "<", "[<", "\u{e9}<\u{e9}", "a@", "\u{2019}", "=", "|", "\u{1}", "\"", "\"\"@", "...",
        ] {
            let asked = Asked::new(odd.as_bytes());
            let text = Text::new(&[odd, odd], &asked, |_| Known::No);
            let _ = (text.without_local(&asked), text.without_mention(&asked, |_| true));
        }
    }
}
