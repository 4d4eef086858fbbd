//! A key or table given twice: where it was given first.

use std::ops::Range;

use toml::de::{DeTable, DeValue};

use crate::settings::problem::Problem;

/// The problem of a key that stands a second time at `place`.
pub(super) fn problem(text: &str, place: Range<usize>) -> Problem {
    let line_start = text
        .get(..place.start)
        .and_then(|before| before.rfind('\n'))
        .map_or(0, |at| at + 1);
    let header = text
        .get(line_start..place.start)
        .is_some_and(|before| before.trim_start().starts_with('['));
    let what = if header { "table" } else { "key" };
    let name = text.get(place.clone()).unwrap_or_default();
    let problem = Problem::new(
        format!("{what} `{name}` is given twice"),
        place.clone(),
        "given again here",
    )
    .help(if header {
        "is the second one meant for another name? Else move its keys to the first"
    } else {
        "keep one of them"
    });
    match first(text, place) {
        Some(first) => problem.also(first, "first given here"),
        None => problem,
    }
}

/// Where the key at `place` stands first. The text is read again with another name of the same length at
/// this place: then the key is found, and beside it the first one.
fn first(text: &str, place: Range<usize>) -> Option<Range<usize>> {
    let again = text.get(place.clone())?;
    let line = format!("{again} = 0");
    let named = DeTable::parse(&line).ok()?;
    let (name, _) = named.get_ref().iter().next()?;
    let name: &str = name.get_ref();
    ["_", "x", "0"].iter().find_map(|filler| {
        let mut other = text.to_owned();
        other.replace_range(place.clone(), &filler.repeat(again.len()));
        let (document, _) = DeTable::parse_recoverable(&other);
        let first = beside(document.get_ref(), name, &place)?;
        (first.start < place.start).then_some(first)
    })
}

/// The place of `name` in the table that has a key at `place`.
fn beside(table: &DeTable<'_>, name: &str, place: &Range<usize>) -> Option<Range<usize>> {
    if table.keys().any(|key| key.span() == *place) {
        return table.get_key_value(name).map(|(key, _)| key.span());
    }
    // As deep as the file nests its tables, which the parser bounds.
    table
        .values()
        .find_map(|value| inside(value.get_ref(), name, place))
}

fn inside(value: &DeValue<'_>, name: &str, place: &Range<usize>) -> Option<Range<usize>> {
    match value {
        DeValue::Table(table) => beside(table, name, place),
        DeValue::Array(array) => array
            .iter()
            .find_map(|value| inside(value.get_ref(), name, place)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_two_is_found() {
        for (text, at) in [
            ("a = 1\nb = 2\na = 3\n", Some(0)),
            ("[x.\"y\".tls]\na = 1\n[z.\"y\".tls]\n[x.\"y\".tls]\n", Some(7)),
            ("[x]\na = { b = 1, b = 2 }\n", Some(10)),
            ("[x]\n[y]\n[x]\n", Some(1)),
            ("a = [{ b = 1 }, { c = 1, \"c\" = 2 }]\n", Some(18)),
            ("a.b = 1\na.b = 2\n", Some(2)),
            ("_ = 1\n_ = 2\n", Some(0)),
        ] {
            let error = DeTable::parse(text).unwrap_err();
            assert_eq!(error.message(), "duplicate key", "{text}");
            assert_eq!(
                first(text, error.span().unwrap()).map(|place| place.start),
                at,
                "{text}"
            );
        }
    }
}
