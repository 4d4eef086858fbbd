//! A table of the file while it is read: each key is asked for by name, and what was never asked for is
//! unknown.

use std::collections::HashMap;
use std::ops::Range;

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{
    earlier::{earlier, ignored},
    kind::Kind,
    problem::{Problem, nearest},
    protocol::Protocol,
    scalar::{Wrong, filled},
};

/// A place in the file, in bytes.
pub(crate) type Place = Range<usize>;

/// What was found so far: what is wrong, what is worth knowing, and what is given where.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    /// What is wrong.
    pub(crate) problems: Vec<Problem>,
    /// What is worth knowing; the place becomes a line at the end.
    pub(crate) notes: Vec<(Option<Place>, String)>,
    /// The keys that the file gives, by their names in full.
    given: HashMap<String, Given>,
}

/// Where a key is given.
#[derive(Debug, Clone)]
pub(crate) struct Given {
    pub(crate) key: Place,
    pub(crate) value: Place,
    /// Of a list, each item that was taken.
    pub(crate) items: Vec<Place>,
}

impl Findings {
    pub(crate) fn problem(&mut self, problem: Problem) {
        self.problems.push(problem);
    }

    pub(crate) fn note(&mut self, place: &Place, text: impl Into<String>) {
        self.notes.push((Some(place.clone()), text.into()));
    }

    /// Where the file gives the key of this name in full, if it does.
    pub(crate) fn given(&self, name: &str) -> Option<&Given> {
        self.given.get(name)
    }

    /// Notes where the key of this name in full is given.
    pub(crate) fn gives(&mut self, name: String, field: &Field<'_>) {
        let given = Given {
            key: field.key.clone(),
            value: field.place.clone(),
            items: Vec::new(),
        };
        self.given.insert(name, given);
    }

    /// Notes that the item at this place of a list was taken.
    pub(crate) fn takes(&mut self, field: &Field<'_>, item: Place) {
        if let Some(given) = self.given.get_mut(&field.name) {
            given.items.push(item);
        }
    }
}

/// What is known of the directory or listener that a table belongs to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Context {
    /// A directory's type.
    pub(crate) kind: Option<Kind>,
    /// A listener's protocol.
    pub(crate) protocol: Option<Protocol>,
    /// Only the keys that stand in `[dovecot]` as well.
    pub(crate) dovecot: bool,
    /// Every key of the part, to recognise one in the wrong table.
    pub(crate) keys: fn() -> Vec<String>,
}

impl Default for Context {
    fn default() -> Self {
        Self {
            kind: None,
            protocol: None,
            dovecot: false,
            keys: Vec::new,
        }
    }
}

/// A table and the keys asked of it so far.
pub(crate) struct Table<'t> {
    /// Its name in full, as messages say it; empty for the file's own.
    pub(crate) name: String,
    /// Where it is named first.
    pub(crate) place: Place,
    pub(crate) context: Context,
    entries: &'t DeTable<'t>,
    known: Vec<&'static str>,
    passed: Vec<&'static str>,
}

/// A key that is there.
pub(crate) struct Field<'t> {
    /// Its name in full.
    pub(crate) name: String,
    /// Where the key stands.
    pub(crate) key: Place,
    /// Where its value stands.
    pub(crate) place: Place,
    /// The value.
    pub(crate) value: &'t DeValue<'t>,
    /// That of its table.
    pub(crate) context: Context,
}

impl Field<'_> {
    /// Tells why the value cannot be used.
    pub(crate) fn wrong(&self, found: &mut Findings, wrong: Wrong) {
        found.problem(self.problem(self.place.clone(), wrong));
    }

    /// Why an item of a list cannot be used, which stands at `place`.
    pub(crate) fn problem(&self, place: Place, wrong: Wrong) -> Problem {
        let problem = Problem::new(format!("`{}` {}", self.name, wrong.what), place, wrong.label);
        match wrong.help {
            Some(help) => problem.help(help),
            None => problem,
        }
    }
}

impl<'t> Table<'t> {
    /// A table by its full name.
    pub(crate) fn new(name: impl Into<String>, place: Place, entries: &'t DeTable<'t>) -> Self {
        Self {
            name: name.into(),
            place,
            context: Context::default(),
            entries,
            known: Vec::new(),
            passed: Vec::new(),
        }
    }

    /// The full name of a key of this table.
    pub(crate) fn full(&self, key: &str) -> String {
        if self.name.is_empty() {
            key.to_owned()
        } else {
            format!("{}.{key}", self.name)
        }
    }

    /// A key, if it is there. From here on it is known.
    pub(crate) fn field(&mut self, key: &'static str) -> Option<Field<'t>> {
        self.known.push(key);
        self.peek(key)
    }

    /// A key, if it is there, without a note that it is known.
    pub(crate) fn peek(&self, key: &str) -> Option<Field<'t>> {
        let (name, value) = self.entries.get_key_value(key)?;
        Some(Field {
            name: self.full(key),
            key: name.span(),
            place: value.span(),
            value: value.get_ref(),
            context: self.context,
        })
    }

    /// Whether a key is there, by its name from this table on.
    pub(crate) fn has(&self, name: &str) -> bool {
        let mut names = name.split('.');
        let first = names.next().and_then(|name| self.entries.get(name));
        let step = |value: Option<&'t Spanned<DeValue<'t>>>, name| value?.get_ref().as_table()?.get(name);
        names.fold(first, step).is_some()
    }

    /// A key, or Stalwart's name for it.
    pub(crate) fn field_or_alias(
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

    /// A table inside this one, if it is there.
    pub(crate) fn table(&mut self, found: &mut Findings, key: &'static str) -> Option<Table<'t>> {
        self.field(key)?.as_table(found)
    }

    /// The tables inside this one, by names that the file chooses, in the order of the file.
    pub(crate) fn tables(mut self, found: &mut Findings) -> Vec<(String, Table<'t>)> {
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
                context: self.context,
            };
            if let Some(table) = field.as_table(found) {
                tables.push((key.to_string(), table));
            }
        }
        self.known.clear();
        tables
    }

    /// Every key with its value, in the order of the file; for tables whose keys the file chooses.
    pub(crate) fn entries(&self) -> Vec<(&'t Spanned<toml::de::DeString<'t>>, Field<'t>)> {
        let mut entries: Vec<_> = self
            .entries
            .iter()
            .map(|(name, value)| {
                let field = Field {
                    name: self.full(name.get_ref()),
                    key: name.span(),
                    place: value.span(),
                    value: value.get_ref(),
                    context: self.context,
                };
                (name, field)
            })
            .collect();
        entries.sort_by_key(|(_, field)| field.key.start);
        entries
    }

    /// Tells every key that was never asked for.
    pub(crate) fn finish(self, found: &mut Findings) {
        for (name, _) in self.entries.iter() {
            let key: &str = name.get_ref();
            if self.known.iter().chain(&self.passed).any(|known| *known == key) {
                continue;
            }
            if let Some(why) = ignored(&self.name, key) {
                found.note(&name.span(), format!("`{}`: ignored: {why}", self.full(key)));
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
            let elsewhere = (self.context.keys)();
            let near = nearest(key, self.known.iter().copied())
                .or_else(|| elsewhere.iter().map(String::as_str).find(leaf))
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

impl<'t> Field<'t> {
    /// The table that the value is.
    pub(crate) fn as_table(&self, found: &mut Findings) -> Option<Table<'t>> {
        let Some(entries) = self.value.as_table() else {
            let example = format!("its keys below a line `[{}]`", self.name);
            self.wrong(found, Wrong::mistyped("a table", self.value, &example));
            return None;
        };
        let context = Context {
            dovecot: false,
            ..self.context
        };
        Some(Table {
            context,
            ..Table::new(self.name.clone(), self.key.clone(), entries)
        })
    }
}

/// The strings of a list, each with its place; a single string is a list of one where `alone` allows it.
pub(crate) fn strings(
    found: &mut Findings,
    field: &Field<'_>,
    example: &str,
    alone: bool,
) -> Vec<(String, Place)> {
    let mut read = Vec::new();
    let mut one = |found: &mut Findings, value: &DeValue<'_>, place: Place| match filled(value) {
        Ok(text) => read.push((text, place)),
        Err(wrong) => found.problem(field.problem(place, wrong)),
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
