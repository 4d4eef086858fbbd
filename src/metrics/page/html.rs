//! Pieces of markup that all of the page is made of. `maud` escapes what is spliced into markup; here is what makes a text
//! from outside harmless to its reader as well.

use maud::{Markup, html};

use crate::report::State;
use crate::unseen::is_unseen;

/// A text with nothing that a reader cannot see.
pub(super) fn seen(text: &str) -> String {
    let seen = |letter| {
        if is_unseen(letter) {
            char::REPLACEMENT_CHARACTER
        } else {
            letter
        }
    };
    text.chars().map(seen).collect()
}

/// A name of the configuration or a remote's words, whose direction of writing stays theirs.
pub(super) fn outside(text: &str) -> Markup {
    html! { bdi { (seen(text)) } }
}

/// The same for a path or an address, which may go on in the next line behind each part.
pub(super) fn path(path: &str) -> Markup {
    html! { bdi { @for part in path.split_inclusive('/') { (seen(part)) wbr; } } }
}

/// The class of a state in the style.
pub(super) const fn class(state: State) -> &'static str {
    match state {
        State::Unasked => "unasked",
        State::Answers => "well",
        State::Falters => "troubled",
        State::Silent => "silent",
    }
}

/// A sign for a state, told by its shape.
pub(super) fn sign(state: State) -> Markup {
    html! {
        svg.sign.(class(state)) aria-hidden="true" viewBox="0 0 16 16" { use href={ "#sign-" (class(state)) } {} } " "
    }
}

/// A small piece of what fills an area of a chart.
pub(super) fn swatch(class: &str) -> Markup {
    html! {
        svg.swatch aria-hidden="true" width="22" height="12" { rect width="100%" height="100%" class=(class) {} } " "
    }
}

/// A table with a row for each fact. `caption` is for those who hear it.
pub(super) fn facts(caption: &str, facts: &Markup) -> Markup {
    html! { table.facts { caption.heard { (caption) } tbody { (facts) } } }
}

/// A row of a table of facts.
pub(super) fn fact(name: &str, value: &Markup) -> Markup {
    html! { tr { th scope="row" { (name) } td { (value) } } }
}

/// The start of a row that needs attention.
pub(super) const WARNING: &str = "<tr class=\"warning\">";

/// A row of a table of facts that needs attention.
pub(super) fn warning(name: &str, value: &Markup) -> Markup {
    html! { tr.warning { th scope="row" { (name) } td { (sign(State::Falters)) (value) } } }
}

/// A table with these columns of numbers, behind one of words: of each row what it is about, and its numbers.
pub(super) fn numbers(
    caption: &str,
    columns: &[&str],
    rows: impl IntoIterator<Item = (Markup, Vec<String>)>,
) -> Markup {
    html! {
        div.scroll tabindex="0" role="group" aria-label=(caption) {
            table.numbers {
                caption { (caption) }
                thead { tr { @for column in columns { th scope="col" { (column) } } } }
                tbody {
                    @for (about, cells) in rows {
                        tr { th scope="row" { (about) } @for cell in cells { td { (cell) } } }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_from_outside_is_markup() {
        let nasty = "\"><script>alert('1')</script>&amp;a\u{202e}b\0c\u{1b}[2J\r\n<b>";
        let escaped = "&quot;&gt;&lt;script&gt;alert('1')&lt;/script&gt;&amp;amp;a\u{fffd}b\u{fffd}c\u{fffd}[2J\u{fffd}\
                       \u{fffd}&lt;b&gt;";
        assert_eq!(outside(nasty).0, format!("<bdi>{escaped}</bdi>"));
        assert_eq!(path("/run/<b>").0, "<bdi>/<wbr>run/<wbr>&lt;b&gt;<wbr></bdi>");
    }

    #[test]
    fn a_warning_is_found_by_its_begin() {
        assert!(warning("a", &html! { "b" }).0.starts_with(WARNING));
    }
}
