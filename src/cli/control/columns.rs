//! Tables for people: aligned columns, in lines of a terminal's width.

use serde_json::Value;

use crate::unseen::is_unseen;

/// Lines are no longer than this, in characters: the terminal that everybody has.
pub(crate) const WIDTH: usize = 80;

/// A name in a first column is shortened to so many characters, to fewer where the other columns need the room.
const NAME: usize = 20;

/// Where the last word of a row has no room, it stands in a line of its own, behind so many spaces.
const INDENT: usize = 4;

/// Numbers with more digits are shown in millions.
const DIGITS: u32 = 7;

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

    /// Appends it behind an empty line; one without a row is left out. A last word that does not fit the line stands
    /// below it. Where even that line is too short, it is cut at its beginning: the end of a path or a host's port tells
    /// more.
    pub(super) fn write(&self, text: &mut String) {
        if self.rows.is_empty() {
            return;
        }
        let heads: Vec<String> = self.heads.iter().map(|(head, _)| (*head).to_owned()).collect();
        let (widths, room) = self.widths(&heads);
        text.push('\n');
        for row in std::iter::once(&heads).chain(&self.rows) {
            let mut line = String::new();
            for (column, ((word, &width), (_, side))) in row.iter().zip(&widths).zip(&self.heads).enumerate()
            {
                if column > 0 {
                    line.push_str("  ");
                }
                if column + 1 == row.len() && word.chars().count() > room {
                    line.truncate(line.trim_end().len());
                    line.push_str(&format!("\n{:INDENT$}{}", "", end_of(word, WIDTH - INDENT)));
                    continue;
                }
                line.push_str(&match side {
                    Side::Left => format!("{:width$}", start_of(word, width)),
                    Side::Right => format!("{word:>width$}"),
                });
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
    }

    /// The widths of the columns, and what there is room for in the last one.
    fn widths(&self, heads: &[String]) -> (Vec<usize>, usize) {
        let wide = |column: usize| {
            let words = self.rows.iter().filter_map(|row| row.get(column));
            let longest = words.map(|word| word.chars().count()).max().unwrap_or(0);
            longest.max(heads[column].chars().count())
        };
        let mut widths: Vec<usize> = (0..heads.len()).map(wide).collect();
        if self.whole {
            return (widths, usize::MAX);
        }
        // Numbers stand in their column; a path or an address can stand below.
        let goes_below = self.heads.last().is_some_and(|(_, side)| *side == Side::Left);
        let in_line = widths.len() - usize::from(goes_below);
        let taken = |widths: &[usize]| widths[..in_line].iter().map(|width| width + 2).sum::<usize>() - 2;
        let surplus = taken(&widths).saturating_sub(WIDTH);
        widths[0] = widths[0].saturating_sub(surplus).max(heads[0].chars().count());
        let room = if goes_below {
            WIDTH.saturating_sub(taken(&widths) + 2)
        } else {
            usize::MAX
        };
        (widths, room)
    }
}

/// The elements of a list, if it is one.
pub(super) fn each(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

/// Appends a sentence that needs attention, behind a mark that is seen from afar.
pub(super) fn warning(text: &mut String, sentence: &str, coloured: bool) {
    text.push_str(if coloured { "\x1b[1;31m!\x1b[0m " } else { "! " });
    folded(text, 2, sentence);
}

/// Appends a sentence, in as many lines as it takes.
pub(super) fn paragraph(text: &mut String, sentence: &str) {
    folded(text, 0, sentence);
}

/// Appends a sentence that begins in this column, and goes on below it.
fn folded(text: &mut String, indent: usize, sentence: &str) {
    let mut column = indent;
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

/// The name of something, shortened.
pub(super) fn name(text: &str) -> String {
    start_of(&plain(text), NAME)
}

/// A number for people: its digits, or how many millions it is.
pub(super) fn count(number: u64) -> String {
    if number >= 10_u64.pow(DIGITS) {
        format!("{}M", number / 1_000_000)
    } else {
        number.to_string()
    }
}

/// An answer contains a remote's words, which reach a terminal here.
pub(super) fn plain(text: &str) -> String {
    text.chars()
        .map(|it| if is_unseen(it) { '?' } else { it })
        .collect()
}

/// Microseconds, to two or three digits; `-` where there are none.
pub(super) fn micros(us: Option<u64>) -> String {
    let Some(us) = us else {
        return "-".to_owned();
    };
    match us {
        0..1_000 => format!("{us}us"),
        1_000..10_000 => format!("{:.1}ms", us as f64 / 1e3),
        10_000..1_000_000 => format!("{}ms", us / 1000),
        _ => format!("{:.1}s", us as f64 / 1e6),
    }
}

fn start_of(word: &str, width: usize) -> String {
    if word.chars().count() <= width {
        return word.to_owned();
    }
    word.chars().take(width.saturating_sub(1)).chain(['…']).collect()
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
    use super::*;

    #[test]
    fn columns_are_aligned_and_lines_fit() {
        let mut table = Table::new(&[("NAME", Side::Left), ("COUNT", Side::Right), ("PATH", Side::Left)]);
        let long = format!("/run/{}/socket", "x".repeat(120));
        table.row(vec![name(&"n".repeat(30)), "7".into(), long]);
        table.row(vec!["b".into(), "12345678".into(), "/b".into()]);
        let mut text = String::new();
        table.write(&mut text);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "");
        assert_eq!(lines[1], "NAME                     COUNT  PATH");
        assert_eq!(lines[2], "nnnnnnnnnnnnnnnnnnn…         7");
        assert!(
            lines[3].starts_with("    …xxx")
                && lines[3].ends_with("xxx/socket")
                && lines[3].chars().count() == WIDTH,
            "{text}"
        );
        assert_eq!(lines[4], "b                     12345678  /b");
    }

    #[test]
    fn a_name_gives_way_to_numbers() {
        let heads: Vec<_> = std::iter::once(("NAME", Side::Left))
            .chain(["AAAAAAA"; 8].map(|head| (head, Side::Right)))
            .collect();
        let mut table = Table::new(&heads);
        let numbers = std::iter::repeat_n("1234567".to_owned(), 8);
        table.row(std::iter::once("nnnnnnnnnn".to_owned()).chain(numbers).collect());
        let mut text = String::new();
        table.write(&mut text);
        assert!(text.lines().all(|line| line.chars().count() <= WIDTH), "{text}");
        assert!(text.contains("\nnnnnnnn…  1234567"), "{text}");
    }

    #[test]
    fn a_number_has_few_digits() {
        assert_eq!(count(9_999_999), "9999999");
        assert_eq!(count(1_234_567_890), "1234M");
    }

    #[test]
    fn a_sentence_is_broken_between_words_and_does_nothing_to_a_terminal() {
        let sentence = format!("{}\u{1b}[2J\u{202e} end", "word ".repeat(40));
        let mut text = String::new();
        warning(&mut text, &sentence, false);
        assert!(
            text.lines().count() == 3 && text.lines().all(|line| line.chars().count() <= WIDTH),
            "{text}"
        );
        assert!(
            text.starts_with("! word ") && text.lines().skip(1).all(|line| line.starts_with("  w")),
            "{text}"
        );
        assert!(text.ends_with("?[2J? end\n"), "{text}");
        let mut coloured = String::new();
        warning(&mut coloured, &sentence, true);
        assert_eq!(coloured.replace("\x1b[1;31m!\x1b[0m", "!"), text);
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
            assert_eq!(micros(Some(us)), text);
        }
        assert_eq!(micros(None), "-");
    }
}
