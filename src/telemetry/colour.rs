//! Whether what people read is coloured.

use std::env;
use std::ffi::OsStr;
use std::io::IsTerminal;

/// Whether a stream is coloured: a terminal that has colours, unless `NO_COLOR` asks for none
/// (<https://no-color.org>).
pub(crate) fn wanted(stream: &impl IsTerminal) -> bool {
    let variable = |name| env::var_os(name);
    stream.is_terminal() && allowed(variable("NO_COLOR").as_deref(), variable("TERM").as_deref())
}

/// `NO_COLOR` counts where it is not empty.
fn allowed(no_color: Option<&OsStr>, term: Option<&OsStr>) -> bool {
    no_color.is_none_or(OsStr::is_empty) && term.is_none_or(|term| term != "dumb")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colour_is_for_terminals_that_have_it_and_people_who_want_it() {
        for (no_color, term, expected) in [
            (None, Some("xterm"), true),
            (None, None, true),
            (Some(""), Some("xterm"), true),
            (Some("1"), Some("xterm"), false),
            (Some("0"), None, false),
            (None, Some("dumb"), false),
        ] {
            let given = allowed(no_color.map(OsStr::new), term.map(OsStr::new));
            assert_eq!(given, expected, "{no_color:?} {term:?}");
        }
        assert!(!wanted(&std::fs::File::open("/dev/null").unwrap()));
    }
}
