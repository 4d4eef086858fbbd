//! Characters that nobody sees: in a name or a remote's words, they steer a terminal, turn the direction of what
//! follows, or make two names look alike.

/// Whether a character is shown as something else: control characters, those that turn the direction of text (UAX 9),
/// those without a width, and whatever else has no shape of its own. Combining marks are seen.
pub fn is_unseen(letter: char) -> bool {
    letter.is_control()
        || matches!(
            letter,
            // The soft hyphen, the Mongolian vowel separator and the Arabic letter mark.
            '\u{ad}' | '\u{180e}' | '\u{61c}'
            // Spaces and joiners without a width, marks of direction.
            | '\u{200b}'..='\u{200f}'
            // Separators of lines and paragraphs, embeddings and overrides of direction.
            | '\u{2028}'..='\u{202e}'
            // Joiners of words, invisible operators, isolates of direction.
            | '\u{2060}'..='\u{206f}'
            // Fillers of Hangul.
            | '\u{115f}' | '\u{1160}' | '\u{3164}' | '\u{ffa0}'
            // The mark of byte order, annotations, tags.
            | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}'
        )
}

/// A text for one line of a log or a terminal: at most `limit` characters, and `?` for each that nobody sees.
pub fn printable(text: impl Iterator<Item = char>, limit: usize) -> String {
    let harmless = |c| if is_unseen(c) { '?' } else { c };
    text.take(limit).map(harmless).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_steers_is_told_from_what_is_read() {
        for unseen in [
            '\0', '\x1b', '\u{9b}', '\u{202e}', '\u{200b}', '\u{2066}', '\u{feff}', '\u{e0041}',
        ] {
            assert!(is_unseen(unseen), "{unseen:?}");
        }
        for seen in [' ', 'a', 'ü', '\u{301}', '☃', '🔑', '中', '\u{fffd}'] {
            assert!(!is_unseen(seen), "{seen:?}");
        }
    }
}
