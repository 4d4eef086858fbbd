//! Tables for people: aligned columns, in lines of a terminal's width.

use serde_json::Value;

use crate::unseen::is_unseen;

/// Lines are no longer than this, in characters.
pub(crate) const WIDTH: usize = 100;

/// A name in a first column is shortened to so many characters.
const NAME: usize = 20;

/// The last column has so many characters at the least, however wide the others are.
const LAST: usize = 20;

/// The side of its column on which a word stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    /// For words.
    Left,
    /// For numbers.
    Right,
}

/// A table with its heads.
pub(super) struct Table {
    /// No word is cut.
    whole: bool,
    heads: Vec<(&'static str, Side)>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// One without a row, in which no word is cut, however long its lines become.
    pub(super) fn whole(heads: &[(&'static str, Side)]) -> Self {
        Self {
            whole: true,
            ..Self::new(heads)
        }
    }

    /// One without a row.
    pub(super) fn new(heads: &[(&'static str, Side)]) -> Self {
        Self {
            whole: false,
            heads: heads.to_vec(),
            rows: Vec::new(),
        }
    }

    /// One more row, of as many words as there are heads.
    pub(super) fn row(&mut self, words: Vec<String>) {
        self.rows.push(words);
    }

    /// Appends it behind an empty line; one without a row is left out. A last column that
    /// does not fit the line is cut at its beginning: the end of a path or a host's port tells
    /// more.
    pub(super) fn write(&self, text: &mut String) {
        if self.rows.is_empty() {
            return;
        }
        let heads: Vec<String> = self.heads.iter().map(|(head, _)| (*head).to_owned()).collect();
        let all = || std::iter::once(&heads).chain(&self.rows);
        let wide = |column: usize| {
            let words = all().filter_map(|row| row.get(column));
            words.map(|word| word.chars().count()).max().unwrap_or(0)
        };
        let mut widths: Vec<usize> = (0..heads.len()).map(wide).collect();
        if let (false, Some((last, others))) = (self.whole, widths.split_last_mut()) {
            let taken: usize = others.iter().map(|width| width + 2).sum();
            *last = (*last).min(WIDTH.saturating_sub(taken).max(LAST));
        }
        text.push('\n');
        for row in all() {
            let cells = row.iter().zip(&widths).zip(&self.heads);
            let cells = cells.map(|((word, &width), (_, side))| {
                let word = end_of(word, width);
                match side {
                    Side::Left => format!("{word:width$}"),
                    Side::Right => format!("{word:>width$}"),
                }
            });
            text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
            text.push('\n');
        }
    }
}

/// The elements of a list, if it is one.
pub(super) fn each(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

/// Appends a sentence behind a mark, in as many lines as it takes.
pub(super) fn paragraph(text: &mut String, mark: &str, sentence: &str) {
    let indent = mark.chars().count();
    let mut column = indent;
    text.push_str(mark);
    for (number, word) in plain(sentence).split(' ').enumerate() {
        let width = word.chars().count();
        if number > 0 && column + 1 + width > WIDTH {
            text.push('\n');
            text.push_str(&" ".repeat(indent));
            column = indent;
        } else if number > 0 {
            text.push(' ');
            column += 1;
        }
        text.push_str(word);
        column += width;
    }
    text.push('\n');
}

/// A word or number of an answer; `-` for what is neither.
pub(super) fn word(value: &Value) -> String {
    match value {
        Value::String(text) => plain(text),
        Value::Number(number) => number.to_string(),
        _ => "-".to_owned(),
    }
}

/// The same for the name of something, shortened.
pub(super) fn name(value: &Value) -> String {
    let word = word(value);
    if word.chars().count() <= NAME {
        return word;
    }
    word.chars().take(NAME - 1).chain(['…']).collect()
}

/// An answer contains a remote's words, which reach a terminal here.
pub(super) fn plain(text: &str) -> String {
    text.chars()
        .map(|it| if is_unseen(it) { '?' } else { it })
        .collect()
}

/// Microseconds, to two or three digits.
pub(super) fn micros(value: &Value) -> String {
    let Some(us) = value.as_u64() else {
        return "-".to_owned();
    };
    match us {
        0..1_000 => format!("{us}us"),
        1_000..10_000 => format!("{:.1}ms", us as f64 / 1e3),
        10_000..1_000_000 => format!("{}ms", us / 1000),
        _ => format!("{:.1}s", us as f64 / 1e6),
    }
}

fn end_of(word: &str, width: usize) -> String {
    let surplus = word.chars().count().saturating_sub(width);
    if surplus == 0 {
        return word.to_owned();
    }
    std::iter::once('…')
        .chain(word.chars().skip(surplus + 1))
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn columns_are_aligned_and_lines_fit() {
        let mut table = Table::new(&[("NAME", Side::Left), ("COUNT", Side::Right), ("PATH", Side::Left)]);
        let long = format!("/run/{}/socket", "x".repeat(120));
        table.row(vec![name(&json!("n".repeat(30))), "7".into(), long]);
        table.row(vec!["b".into(), "12345678".into(), "/b".into()]);
        let mut text = String::new();
        table.write(&mut text);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "");
        assert_eq!(lines[1], "NAME                     COUNT  PATH");
        assert!(
            lines[2].starts_with("nnnnnnnnnnnnnnnnnnn…         7  …xxx"),
            "{text}"
        );
        assert!(
            lines[2].ends_with("xxx/socket") && lines[2].chars().count() == WIDTH,
            "{text}"
        );
        assert_eq!(lines[3], "b                     12345678  /b");
    }

    #[test]
    fn a_sentence_is_broken_between_words_and_does_nothing_to_a_terminal() {
        let mut text = String::new();
        paragraph(&mut text, "! ", &format!("{}\u{1b}[2J end", "word ".repeat(40)));
        assert!(
            text.lines().count() == 3 && text.lines().all(|line| line.chars().count() <= WIDTH),
            "{text}"
        );
        assert!(
            text.starts_with("! word ") && text.lines().skip(1).all(|line| line.starts_with("  w")),
            "{text}"
        );
        assert!(text.ends_with("?[2J end\n"), "{text}");
    }

    #[test]
    fn times_have_few_digits() {
        for (us, text) in [
            (0, "0us"),
            (999, "999us"),
            (1_249, "1.2ms"),
            (10_900, "10ms"),
            (2_500_000, "2.5s"),
        ] {
            assert_eq!(micros(&json!(us)), text);
        }
        assert_eq!(micros(&Value::Null), "-");
    }
}
