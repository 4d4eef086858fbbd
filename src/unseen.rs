//! Characters that nobody sees, in what is shown.

pub(crate) use vouch_protocol::unseen::{is_unseen, printable};

/// A text in which each such character is shown by its number, as `\u{202e}`.
pub(crate) fn escaped(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for letter in text.chars() {
        if is_unseen(letter) {
            shown.extend(letter.escape_default());
        } else {
            shown.push(letter);
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_seen_is_shown_by_its_number() {
        assert_eq!(escaped("a\x1b[2Jü\u{202e}\n"), "a\\u{1b}[2Jü\\u{202e}\\n");
    }
}
