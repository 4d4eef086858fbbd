//! A table of the file while it is read: each key is asked for by name, and what was never asked for is
//! unknown.

use std::ops::Range;

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{
    Note,
    earlier::earlier,
    problem::{Problem, nearest},
    value::{self, Wrong},
};

/// A place in the file, in bytes.
pub(super) type Place = Range<usize>;

/// What was found so far: what is wrong, and what is worth knowing.
#[derive(Debug, Default)]
pub(super) struct Findings {
    /// What is wrong.
    pub(super) problems: Vec<Problem>,
    /// What is worth knowing; the place becomes a line at the end.
    pub(super) notes: Vec<(Option<Place>, String)>,
}

impl Findings {
    pub(super) fn problem(&mut self, problem: Problem) {
        self.problems.push(problem);
    }

    pub(super) fn note(&mut self, place: &Place, text: impl Into<String>) {
        self.notes.push((Some(place.clone()), text.into()));
    }

    /// The notes in the order of the file, those about the whole file first.
    pub(super) fn into_notes(mut self, text: &str) -> Vec<Note> {
        self.notes
            .sort_by_key(|(place, _)| place.as_ref().map(|place| place.start));
        let line = |place: Place| {
            text.bytes()
                .take(place.start)
                .filter(|byte| *byte == b'\n')
                .count()
                + 1
        };
        self.notes
            .into_iter()
            .map(|(place, text)| Note {
                line: place.map(line),
                text,
            })
            .collect()
    }
}

/// A table and the keys asked of it so far.
pub(super) struct Table<'t> {
    /// Its name in full, as messages say it; empty for the file's own.
    pub(super) name: String,
    /// Where it is named first.
    pub(super) place: Place,
    entries: &'t DeTable<'t>,
    known: Vec<&'static str>,
    passed: Vec<&'static str>,
}

/// A key that is there.
pub(super) struct Field<'t> {
    /// Its name in full.
    pub(super) name: String,
    /// Where the key stands.
    pub(super) key: Place,
    /// Where its value stands.
    pub(super) place: Place,
    /// The value.
    pub(super) value: &'t DeValue<'t>,
}

impl Field<'_> {
    /// Tells why the value cannot be used.
    pub(super) fn wrong(&self, found: &mut Findings, wrong: Wrong) {
        let problem = Problem::new(
            format!("`{}` {}", self.name, wrong.what),
            self.place.clone(),
            wrong.label,
        );
        found.problem(match wrong.help {
            Some(help) => problem.help(help),
            None => problem,
        });
    }
}

impl<'t> Table<'t> {
    /// A table by its full name.
    pub(super) fn new(name: impl Into<String>, place: Place, entries: &'t DeTable<'t>) -> Self {
        Self {
            name: name.into(),
            place,
            entries,
            known: Vec::new(),
            passed: Vec::new(),
        }
    }

    /// The full name of a key of this table.
    pub(super) fn full(&self, key: &str) -> String {
        if self.name.is_empty() {
            key.to_owned()
        } else {
            format!("{}.{key}", self.name)
        }
    }

    /// A key, if it is there. From here on it is known.
    pub(super) fn field(&mut self, key: &'static str) -> Option<Field<'t>> {
        self.known.push(key);
        self.peek(key)
    }

    fn peek(&self, key: &str) -> Option<Field<'t>> {
        let (name, value) = self.entries.get_key_value(key)?;
        Some(Field {
            name: self.full(key),
            key: name.span(),
            place: value.span(),
            value: value.get_ref(),
        })
    }

    /// A key, or Stalwart's name for it.
    pub(super) fn field_or_alias(
        &mut self,
        found: &mut Findings,
        key: &'static str,
        alias: &'static str,
    ) -> Option<Field<'t>> {
        self.passed.push(alias);
        let field = self.field(key);
        let Some(other) = self.peek(alias) else {
            return field;
        };
        if let Some(field) = field {
            let title = format!("`{}` and `{}` are the same key", field.name, other.name);
            found.problem(
                Problem::new(title, other.key, format!("another name for `{key}`"))
                    .also(field.key.clone(), "first given here")
                    .help(format!("keep `{key}`")),
            );
            return Some(field);
        }
        found.note(
            &other.key,
            format!("`{}`: read as `{key}`, its name here", other.name),
        );
        Some(other)
    }

    /// Reads a key into its place; the default stays when it is absent or wrong. Says where the key stands.
    pub(super) fn read<T>(
        &mut self,
        found: &mut Findings,
        key: &'static str,
        into: &mut T,
        parse: impl FnOnce(&DeValue<'_>) -> Result<T, Wrong>,
    ) -> Option<Place> {
        let field = self.field(key)?;
        read_field(found, field, into, parse)
    }

    /// The same for a key whose default is absence.
    pub(super) fn read_some<T>(
        &mut self,
        found: &mut Findings,
        key: &'static str,
        into: &mut Option<T>,
        parse: impl FnOnce(&DeValue<'_>) -> Result<T, Wrong>,
    ) -> Option<Place> {
        self.read(found, key, into, |value| parse(value).map(Some))
    }

    /// Passes over a key of Stalwart's, saying why.
    pub(super) fn pass_over(&mut self, found: &mut Findings, key: &'static str, why: &str) {
        self.passed.push(key);
        if let Some(field) = self.peek(key) {
            found.note(&field.key, format!("`{}`: ignored: {why}", field.name));
        }
    }

    /// A table inside this one, if it is there.
    pub(super) fn table(&mut self, found: &mut Findings, key: &'static str) -> Option<Table<'t>> {
        let field = self.field(key)?;
        as_table(found, field)
    }

    /// The tables inside this one, by names that the file chooses, in the order of the file.
    pub(super) fn tables(mut self, found: &mut Findings) -> Vec<(String, Table<'t>)> {
        let mut names: Vec<_> = self.entries.iter().collect();
        names.sort_by_key(|(name, _)| name.span().start);
        let mut tables = Vec::with_capacity(names.len());
        for (name, value) in names {
            let key = name.get_ref();
            if key.trim().is_empty() || key.chars().any(char::is_control) {
                let title = format!("a {} needs a name of printable characters", self.name);
                found.problem(Problem::new(title, name.span(), "this is its name"));
                continue;
            }
            let field = Field {
                name: format!("{}.\"{key}\"", self.name),
                key: name.span(),
                place: value.span(),
                value: value.get_ref(),
            };
            if let Some(table) = as_table(found, field) {
                tables.push((key.to_string(), table));
            }
        }
        self.known.clear();
        tables
    }

    /// Every key with its value, in the order of the file; for tables whose keys the file chooses.
    pub(super) fn entries(&self) -> Vec<(&'t Spanned<toml::de::DeString<'t>>, Field<'t>)> {
        let mut entries: Vec<_> = self
            .entries
            .iter()
            .map(|(name, value)| {
                let field = Field {
                    name: self.full(name.get_ref()),
                    key: name.span(),
                    place: value.span(),
                    value: value.get_ref(),
                };
                (name, field)
            })
            .collect();
        entries.sort_by_key(|(_, field)| field.key.start);
        entries
    }

    /// Tells every key that was never asked for.
    pub(super) fn finish(self, found: &mut Findings, elsewhere: &[&'static str]) {
        for (name, _) in self.entries.iter() {
            let key: &str = name.get_ref();
            if self.known.iter().chain(&self.passed).any(|known| *known == key) {
                continue;
            }
            if let Some(earlier) = earlier(&self.name, key) {
                let title = format!("unknown key `{}`", self.full(key));
                let problem = Problem::new(title, name.span(), earlier.label());
                found.problem(problem.help(earlier.help()).with_help_in_brief());
                continue;
            }
            let of = if self.name.is_empty() {
                "the file".to_owned()
            } else {
                format!("`[{}]`", self.name)
            };
            let problem = Problem::new(
                format!("unknown key `{}`", self.full(key)),
                name.span(),
                format!("not a key of {of}"),
            );
            let leaf = |known: &&str| known.rsplit('.').next() == Some(key);
            let near = nearest(key, self.known.iter().copied())
                .or_else(|| elsewhere.iter().copied().find(leaf))
                .map_or_else(
                    || {
                        let mut known = self.known.clone();
                        known.sort_unstable();
                        format!("its keys are: {}", known.join(", "))
                    },
                    |near| format!("did you mean `{near}`?"),
                );
            found.problem(problem.help(near));
        }
    }
}

/// Reads a key that is there.
pub(super) fn read_field<T>(
    found: &mut Findings,
    field: Field<'_>,
    into: &mut T,
    parse: impl FnOnce(&DeValue<'_>) -> Result<T, Wrong>,
) -> Option<Place> {
    match parse(field.value) {
        Ok(value) => *into = value,
        Err(wrong) => field.wrong(found, wrong),
    }
    Some(field.key)
}

fn as_table<'t>(found: &mut Findings, field: Field<'t>) -> Option<Table<'t>> {
    let Some(entries) = field.value.as_table() else {
        let example = format!("its keys below a line `[{}]`", field.name);
        field.wrong(found, Wrong::mistyped("a table", field.value, &example));
        return None;
    };
    Some(Table::new(field.name, field.key, entries))
}

/// The strings of a list, each with its place; a single string is a list of one where `alone` allows it.
pub(super) fn strings(
    found: &mut Findings,
    field: &Field<'_>,
    example: &str,
    alone: bool,
) -> Vec<(String, Place)> {
    let mut read = Vec::new();
    let mut one = |found: &mut Findings, value: &DeValue<'_>, place: Place| {
        let item = Field {
            name: field.name.clone(),
            key: field.key.clone(),
            place: place.clone(),
            value,
        };
        match value::filled(value) {
            Ok(text) => read.push((text, place)),
            Err(wrong) => item.wrong(found, wrong),
        }
    };
    match field.value {
        DeValue::Array(items) => {
            for item in items.iter() {
                one(found, item.get_ref(), item.span());
            }
        }
        DeValue::String(_) if alone => one(found, field.value, field.place.clone()),
        other => field.wrong(found, Wrong::mistyped("a list of strings", other, example)),
    }
    read
}
