//! Reads refusals that carry no code which says what they mean.
//!
//! Words are compared whole and in any case. Addresses, and what a remote adds
//! for people (web pages, bracketed host names), are cut out first. A text that
//! names the user or mailbox is read twice, with the name and without it, and is
//! a "no" only if it is one both times: there are users called `system`, and
//! mailboxes called `sender`. The lists were drawn from the replies in `recipient-replies.txt`,
//! `smtp-auth-replies.txt` and `imap-replies.txt`, which name their sources.

pub mod account;
pub mod mailbox;

/// Longest text that is looked at, in bytes.
pub(crate) const MAX_TEXT: usize = 4096;

/// A text as lower-case words, one space around each.
struct Words(String);

impl Words {
    /// The words of `text`.
    fn of(text: &str) -> Self {
        Self::without(text, "")
    }

    /// The words of `text` without those of `name`, where it repeats that.
    fn without(text: &str, name: &str) -> Self {
        let text = without_asides(beginning(text)).to_lowercase();
        // Postfix's usual ending of a plain wrong password.
        let text = text.replace("(reason unavailable)", " ");
        let mut words = spaced(&text);
        let local = name.rsplit_once('@').map_or(name, |(local, _)| local);
        for repeated in [name, local] {
            let repeated = spaced(&repeated.to_lowercase());
            if repeated.len() > 2 {
                words = words.replace(&repeated, " ");
            }
        }
        Self(words)
    }

    /// Whether one of `phrases` stands in the text; a `*` at its end stands for
    /// any ending of its last word.
    fn have(&self, phrases: &[&str]) -> bool {
        phrases.iter().any(|phrase| match phrase.strip_suffix('*') {
            Some(stem) => self.0.contains(&format!(" {stem}")),
            None => self.0.contains(&format!(" {phrase} ")),
        })
    }

    /// Whether a phrase of `first` is followed by one of `second` with at most
    /// one word between, `is` and `was` not counted.
    fn have_near(&self, first: &[&str], second: &[&str]) -> bool {
        first.iter().any(|phrase| {
            let phrase = format!(" {phrase} ");
            self.0.match_indices(&phrase).any(|(at, found)| {
                let rest = &self.0[at + found.len() - 1..];
                starts_near(rest, second, 1)
            })
        })
    }
}

/// Whether `rest`, which begins with a space, goes on with one of `phrases`
/// after at most `gap` words, `is` and `was` not counted.
fn starts_near(mut rest: &str, phrases: &[&str], mut gap: usize) -> bool {
    loop {
        let Some(words) = rest.strip_prefix(' ') else {
            return false;
        };
        let follows = |phrase: &&str| {
            words
                .strip_prefix(*phrase)
                .is_some_and(|end| end.starts_with(' '))
        };
        if phrases.iter().any(follows) {
            return true;
        }
        let Some((word, _)) = words.split_once(' ') else {
            return false;
        };
        if !matches!(word, "is" | "was") {
            if gap == 0 || word.is_empty() {
                return false;
            }
            gap -= 1;
        }
        rest = &words[word.len()..];
    }
}

/// What is looked at of a text. A remote may send 64 KiB; what it means is said
/// before that.
fn beginning(text: &str) -> &str {
    let end = (0..=MAX_TEXT.min(text.len()))
        .rev()
        .find(|&end| text.is_char_boundary(end));
    &text[..end.unwrap_or(0)]
}

/// The text without `<…>`, `[…]`, web addresses and mail addresses.
fn without_asides(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(['<', '[']) {
        let (before, aside) = rest.split_at(at);
        kept.push_str(before);
        kept.push(' ');
        let close = if aside.starts_with('<') { '>' } else { ']' };
        match aside.find(close) {
            Some(end) => rest = &aside[end + 1..],
            None => rest = &aside[1..],
        }
    }
    kept.push_str(rest);
    let aside = |word: &&str| !word.contains('@') && !word.contains("//");
    kept.split_whitespace()
        .filter(aside)
        .collect::<Vec<_>>()
        .join(" ")
}

fn spaced(text: &str) -> String {
    let mut words = String::with_capacity(text.len() + 2);
    words.push(' ');
    for character in text.chars() {
        match character {
            '\u{2019}' => words.push('\''),
            '\'' | '_' => words.push(character),
            _ if character.is_alphanumeric() => words.push(character),
            _ if words.ends_with(' ') => {}
            _ => words.push(' '),
        }
    }
    if !words.ends_with(' ') {
        words.push(' ');
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_remote_repeats_is_cut_out() {
        let words = |text, name| Words::without(text, name).0;
        assert_eq!(
            words("No such user: blocked@e.org, see http://e.org/x", "a@e.org"),
            " no such user see "
        );
        assert_eq!(
            words("<a@e.org>: User Unknown [relay.e.org]", "a@e.org"),
            " user unknown "
        );
        assert_eq!(words("user blocked unknown", "blocked@e.org"), " user unknown ");
        assert_eq!(words("doesn’t < exist", "x"), " doesn't exist ");
    }

    #[test]
    fn phrases_are_whole_words() {
        let words = Words::of("the mailbox that is unknown; blacklisting");
        assert!(words.have(&["mailbox that"]) && words.have(&["black*"]));
        assert!(!words.have(&["mail"]) && !words.have(&["unknow"]));
        assert!(words.have_near(&["mailbox"], &["unknown"]));
        assert!(!words.have_near(&["the"], &["unknown"]));
    }
}

#[cfg(test)]
mod hostile {
    use super::*;

    #[test]
    fn long_and_odd_texts_cost_little() {
        let long = format!("user {}unknown", "is ".repeat(20_000));
        assert!(!Words::of(&long).have_near(&["user"], &["unknown"]));
        assert_eq!(beginning(&"é".repeat(4096)).len(), MAX_TEXT);
        for odd in ["", " ", "<", "[<", "é<é", "a@", "\u{2019}"] {
            let _ = Words::without(odd, odd);
        }
    }
}
