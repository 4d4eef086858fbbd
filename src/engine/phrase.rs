//! The words of a reply without the names in it, as a phrase that an operator can put into `directory.NAME.replies`.

/// Bound (cache): characters of a text that is not understood. Beyond: the rest is cut off. Why: later characters
/// rarely distinguish texts.
const PHRASE_CHARS: usize = 120;

/// Stands for any words.
const ANY: &str = "*";

/// The phrase that is left of `text`. The `names` that were asked about, other addresses and host names, numbers, URLs,
/// and what stands in `<…>` and `[…]` become `*`; so does what would end a quoted string. Empty where no words are
/// left.
pub(super) fn phrase(text: &str, names: &[String]) -> String {
    let text = without_brackets(text);
    let text = names.iter().fold(text, |text, name| without(&text, name));
    let mut phrase = String::new();
    let mut any_last = true;
    for word in text.split_whitespace() {
        let any = is_name(word);
        // Nothing is gained by a phrase that begins with any words, or has them twice.
        if any && any_last {
            continue;
        }
        let word = if any { ANY } else { word };
        if phrase.chars().count() + word.chars().count() >= PHRASE_CHARS {
            break;
        }
        if !phrase.is_empty() {
            phrase.push(' ');
        }
        phrase += word;
        any_last = any;
    }
    let end = |character: char| matches!(character, '*' | '.' | ',' | ';' | ':' | '!' | ' ');
    phrase.trim_end_matches(end).to_owned()
}

/// Whether a word names somebody or something: an address, a host, a URL, or anything with a digit; or is no word.
fn is_name(word: &str) -> bool {
    let has_inner_dot = word
        .trim_matches(|character: char| !character.is_alphanumeric())
        .contains('.');
    let is_punctuation = !word.contains(char::is_alphanumeric);
    is_punctuation
        || has_inner_dot
        || word.contains(['@', '"', '\\'])
        || word.contains("://")
        || word.contains(char::is_numeric)
}

/// What stands between `<` and `>`, or `[` and `]`, becomes `*`, with the brackets.
fn without_brackets(text: &str) -> String {
    let mut left = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(['<', '[']) {
        let close = if rest[at..].starts_with('<') { '>' } else { ']' };
        left += &rest[..at];
        left += " * ";
        // Cut off in the middle, it goes on to the end.
        rest = rest[at..].find(close).map_or("", |end| &rest[at + end + 1..]);
    }
    left + rest
}

/// Each `name` that stands by itself becomes `*`, in whatever case.
fn without(text: &str, name: &str) -> String {
    if name.is_empty() {
        return text.to_owned();
    }
    let (lower, name) = (text.to_ascii_lowercase(), name.to_ascii_lowercase());
    let mut left = String::new();
    let mut from = 0;
    for (at, found) in lower.match_indices(&name) {
        let end = at + found.len();
        let joins = |character: Option<char>| character.is_some_and(char::is_alphanumeric);
        if joins(lower[..at].chars().next_back()) || joins(lower[end..].chars().next()) {
            continue;
        }
        left += &text[from..at];
        left += " * ";
        from = end;
    }
    left + &text[from..]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str, names: &[&str]) -> String {
        let names: Vec<_> = names.iter().map(|&name| name.to_owned()).collect();
        phrase(text, &names)
    }

    #[test]
    fn names_are_left_out() {
        let names = ["jane.doe@example.org", "jane.doe", "example.org"];
        for (text, expected) in [
            ("Recipient FAIL", "Recipient FAIL"),
            ("Recipient <jane.doe@example.org> FAIL.", "Recipient * FAIL"),
            ("Recipient Jane.Doe@Example.ORG: FAIL", "Recipient * FAIL"),
            ("jane.doe: FAIL", "FAIL"),
            ("mx7.example.net: no way for (bob@example.net)", "no way for"),
            (
                "no way, see https://example.net/help today", "no way, see * today",
            ),
            ("denied [192.0.2.7] #4711 (in reply to", "denied * (in reply to"),
            (
                "id 3fB7x9 rejected for jane.doe at example.org", "id * rejected for * at",
            ),
            ("say \"FAIL\" \\ now", "say * now"),
            ("<jane", ""),
            ("", ""),
            ("4711", ""),
        ] {
            assert_eq!(of(text, &names), expected, "{text}");
        }
        // A short name stands in the middle of many words.
        assert_eq!(
            of("an account of ann is a no-no", &["a"]),
            "an account of ann is * no-no"
        );
    }

    // Fills PHRASE_CHARS.
    #[test]
    fn a_phrase_has_an_end() {
        let long = of(&"words ".repeat(100), &[]);
        assert!(long.len() < PHRASE_CHARS && long.ends_with("words"), "{long}");
        assert_eq!(of(&"ü".repeat(500), &[]), "");
    }

    proptest::proptest! {
        #[test]
        fn no_name_is_left(before in "\\PC{0,20}", name in "[a-zäß.]{1,9}", after in "\\PC{0,20}") {
            let left = phrase(&format!("{before} {name} {after}"), std::slice::from_ref(&name));
            let alone = |word: &str| word.trim_matches(|it: char| !it.is_alphanumeric()).eq_ignore_ascii_case(&name);
            proptest::prop_assert!(!left.split_whitespace().any(alone), "{left}");
            proptest::prop_assert!(!left.contains(['"', '\\', '@']) && left.chars().count() < PHRASE_CHARS);
        }
    }
}
