//! A key: its name, what the manual says of it, and all that can be done with a value of it.

use toml::de::DeValue;

pub use super::entry::{About, Entry, Keyed, Shown};
use super::problem::Problem;
use super::protocol::Protocol;
use super::scalar::{Bound, Scalar, Words, Wrong, quoted};
use super::table::{Field, Findings, Table};

/// A value of a key.
pub(crate) trait Value {
    /// The words that it may be, with their meaning, where it is one of a few.
    const WORDS: Words = &[];

    /// Reads it from the file. What is wrong goes to `found`, and what stood there before stays.
    fn read(&mut self, found: &mut Findings, field: &Field<'_>, bound: &Bound);

    /// As the file writes it.
    fn show(&self) -> Shown;
}

/// How a key is read, if not as its type is.
enum Reader<T> {
    OfType,
    Single(fn(&DeValue<'_>, &Bound) -> Result<T, Wrong>),
    Whole(fn(&mut T, &mut Findings, &Field<'_>)),
}

/// A key of type `T`.
pub(crate) struct Key<T> {
    about: About,
    reader: Reader<T>,
}

impl<T: Value> Key<T> {
    pub(super) fn new(name: &'static str, text: &'static str) -> Self {
        let about = About {
            name,
            text,
            alias: None,
            bound: Bound::None,
            words: T::WORDS,
            required: None,
            unless: None,
            unset: "",
            word: None,
            default: None,
            at: &[],
            dovecot: false,
            example: None,
            hint: "",
        };
        Self {
            about,
            reader: Reader::OfType,
        }
    }

    /// Another name for it, Stalwart's.
    pub(super) fn alias(mut self, alias: &'static str) -> Self {
        self.about.alias = Some(alias);
        self
    }

    /// From where to where it may go.
    pub(super) fn within(mut self, bound: impl Into<Bound>) -> Self {
        self.about.bound = bound.into();
        self
    }

    /// It must be given; what to give.
    pub(super) fn required(mut self, what: &'static str) -> Self {
        self.about.required = Some(what);
        self
    }

    /// It need not be given where there is this key, by its name from the same table on.
    pub(super) fn unless(mut self, other: &'static str) -> Self {
        self.about.unless = Some(other);
        self
    }

    /// What holds where there is no value.
    pub(super) fn unset(mut self, what: &'static str) -> Self {
        self.about.unset = what;
        self
    }

    /// How no value is written.
    pub(super) fn none(mut self, word: &'static str) -> Self {
        self.about.word = Some(word);
        self
    }

    /// What the manual says of the default, if not the value.
    pub(super) fn default(mut self, words: &'static str) -> Self {
        self.about.default = Some(words);
        self
    }

    /// The protocols of listeners that have it.
    pub(super) fn at(mut self, protocols: &'static [Protocol]) -> Self {
        self.about.at = protocols;
        self
    }

    /// Whether `[dovecot]` has it, too.
    pub(super) fn dovecot(mut self, has: bool) -> Self {
        self.about.dovecot = has;
        self
    }

    /// What to write into the example file, where the default is no example.
    pub(super) fn example(mut self, toml: &'static str) -> Self {
        self.about.example = Some(toml);
        self
    }

    /// What the example file says of it.
    pub(super) fn hint(mut self, text: &'static str) -> Self {
        self.about.hint = text;
        self
    }

    /// How its value is read, where its type does not say.
    pub(super) fn parse(mut self, parse: fn(&DeValue<'_>, &Bound) -> Result<T, Wrong>) -> Self {
        self.reader = Reader::Single(parse);
        self
    }

    /// The same for a value that more than one thing can be wrong with.
    pub(super) fn read(mut self, read: fn(&mut T, &mut Findings, &Field<'_>)) -> Self {
        self.reader = Reader::Whole(read);
        self
    }

    /// Reads it from its table into its place, where it stays as it is if it is not there or wrong.
    pub(super) fn read_into(self, found: &mut Findings, table: &mut Table<'_>, into: &mut T) {
        let About {
            name,
            alias,
            at,
            ref bound,
            ..
        } = self.about;
        if table.context.dovecot && !self.about.dovecot {
            return;
        }
        let field = match alias {
            Some(alias) => table.field_or_alias(found, name, alias),
            None => table.field(name),
        };
        let Some(field) = field else {
            let spared = self.about.unless.is_some_and(|other| table.has(other));
            if let Some(what) = self.about.required.filter(|_| !spared) {
                missing(found, table, name, what);
            }
            return;
        };
        // A key that only some protocols have is refused at others: its author expects something of it.
        let elsewhere =
            |protocol: &Protocol| !table.context.dovecot && !at.is_empty() && !at.contains(protocol);
        if let Some(protocol) = table.context.protocol.filter(elsewhere) {
            let names: Vec<_> = at.iter().map(|protocol| format!("`{protocol}`")).collect();
            let title = format!("`{}` does not go with protocol `{protocol}`", field.name);
            let label = format!("only with {}", names.join(", "));
            return found.problem(Problem::new(title, field.key, label));
        }
        found.gives(table.full(name), &field);
        match self.reader {
            Reader::OfType => into.read(found, &field, bound),
            Reader::Whole(read) => read(into, found, &field),
            Reader::Single(parse) => match parse(field.value, bound) {
                Ok(value) => *into = value,
                Err(wrong) => field.wrong(found, wrong),
            },
        }
    }

    /// What is known of it, with a value.
    pub(super) fn entry(self, value: &T) -> Entry {
        let value = match (value.show(), self.about.word) {
            (Shown::Unset(words), Some(word)) if words.is_empty() => Shown::Set(quoted(word)),
            (Shown::Unset(words), None) if words.is_empty() => Shown::Unset(self.about.unset.to_owned()),
            (shown, _) => shown,
        };
        Entry {
            key: self.about,
            value,
        }
    }
}

/// Says that a key must be there.
fn missing(found: &mut Findings, table: &Table<'_>, key: &str, what: &str) {
    let title = format!("`{}` is missing", table.full(key));
    found.problem(
        Problem::new(title, table.place.clone(), format!("this needs `{key}`")).help(format!("give {what}")),
    );
}

impl<T: Scalar> Value for T {
    const WORDS: Words = T::WORDS;

    fn read(&mut self, found: &mut Findings, field: &Field<'_>, bound: &Bound) {
        match T::parse(field.value, bound) {
            Ok(value) => *self = value,
            Err(wrong) => field.wrong(found, wrong),
        }
    }

    fn show(&self) -> Shown {
        Shown::Set(self.to_toml())
    }
}

impl<T: Scalar> Value for Option<T> {
    const WORDS: Words = T::WORDS;

    fn read(&mut self, found: &mut Findings, field: &Field<'_>, bound: &Bound) {
        match T::parse(field.value, bound) {
            Ok(value) => *self = Some(value),
            Err(wrong) => field.wrong(found, wrong),
        }
    }

    fn show(&self) -> Shown {
        self.as_ref()
            .map_or(Shown::Unset(String::new()), |value| Shown::Set(value.to_toml()))
    }
}

/// A thing that a list holds.
pub(crate) trait Item: std::fmt::Display + Sized {
    /// The words that it may be, with their meaning, where it is one of a few.
    const WORDS: Words = &[];

    /// Reads a list of them.
    fn read_list(list: &mut Vec<Self>, found: &mut Findings, field: &Field<'_>);
}

impl<T: Item> Value for Vec<T> {
    const WORDS: Words = T::WORDS;

    fn read(&mut self, found: &mut Findings, field: &Field<'_>, _: &Bound) {
        T::read_list(self, found, field);
    }

    fn show(&self) -> Shown {
        Shown::Set(array(self))
    }
}

impl<T: Item> Value for Option<Vec<T>> {
    fn read(&mut self, found: &mut Findings, field: &Field<'_>, _: &Bound) {
        let mut list = Vec::new();
        T::read_list(&mut list, found, field);
        *self = Some(list);
    }

    fn show(&self) -> Shown {
        self.as_ref()
            .map_or(Shown::Unset(String::new()), |list| Shown::Set(array(list)))
    }
}

/// A list as TOML.
pub(super) fn array<T: ToString>(items: impl IntoIterator<Item = T>) -> String {
    let items: Vec<_> = items.into_iter().map(quoted).collect();
    format!("[{}]", items.join(", "))
}

/// A table of keys. [`keys`] makes it.
pub(crate) trait Keys {
    /// Reads every key that stands in a table.
    fn read_keys(&mut self, found: &mut Findings, table: &mut Table<'_>);

    /// Reads a table that has no other keys.
    fn read_table(&mut self, found: &mut Findings, field: &Field<'_>) {
        if let Some(mut table) = field.as_table(found) {
            self.read_keys(found, &mut table);
            table.finish(found);
        }
    }
}

/// Makes a struct of a table's keys. A key is one entry: the text that the manual has, the name in the file, the field,
/// its type, its default, and what else there is to say by the methods of [`Key`]. `of` are fields that are no keys.
macro_rules! keys {
    (
        $(#[doc = $about:literal])+
        $(#[derive($copy:ident)])?
        pub struct $name:ident($($given:ident: $given_type:ty),*) {
            $(of { $($(#[doc = $own_text:literal])+ $own:ident: $own_type:ty = $own_value:expr;)+ })?
            $($(#[doc = $text:literal])+ $key:literal $field:ident: $type:ty = $default:expr $(, $word:ident $value:expr)*;)+
        }
    ) => {
        $(#[doc = $about])+
        #[derive(Debug, Clone, PartialEq, Eq)]
        $(#[derive($copy)])?
        pub struct $name {
            $($($(#[doc = $own_text])+ pub $own: $own_type,)+)?
            $($(#[doc = $text])+ pub $field: $type,)+
        }

        impl $name {
            /// The table in which every key has its default.
            pub fn new($($given: $given_type),*) -> Self {
                Self {
                    $($($own: $own_value,)+)?
                    $($field: $default,)+
                }
            }

            /// Every key, with its value here.
            pub fn every_key(&self) -> $crate::settings::key::Keyed {
                use $crate::settings::key::Key;
                $crate::settings::key::Keyed {
                    about: concat!($($about),+),
                    inline: None,
                    keys: vec![
                        $(Key::<$type>::new($key, concat!($($text),+))$(.$word($value))*.entry(&self.$field),)+
                    ],
                }
            }
        }

        impl $crate::settings::key::Keys for $name {
            fn read_keys(
                &mut self,
                found: &mut $crate::settings::table::Findings,
                table: &mut $crate::settings::table::Table<'_>,
            ) {
                use $crate::settings::key::Key;
                $(Key::<$type>::new($key, concat!($($text),+))$(.$word($value))*.read_into(found, table, &mut self.$field);)+
            }
        }

        impl $crate::settings::key::Value for $name {
            fn read(
                &mut self,
                found: &mut $crate::settings::table::Findings,
                field: &$crate::settings::table::Field<'_>,
                _: &$crate::settings::scalar::Bound,
            ) {
                $crate::settings::key::Keys::read_table(self, found, field);
            }

            fn show(&self) -> $crate::settings::key::Shown {
                $crate::settings::key::Shown::Table(self.every_key())
            }
        }

        $crate::settings::key::default_of!($name($($given),*));
    };
}
pub(crate) use keys;

/// `Default` for a table that nothing else decides on.
macro_rules! default_of {
    ($name:ident()) => {
        impl Default for $name {
            fn default() -> Self {
                Self::new()
            }
        }
    };
    ($name:ident($($given:ident),+)) => {};
}
pub(crate) use default_of;
