//! All that is known of a key, with a value of it: of this the effective values, the manual, the example file and the
//! fuzzer's dictionary are made.

use super::protocol::Protocol;
use super::scalar::{Bound, Words};

/// The value of a key, for the reader of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shown {
    /// TOML.
    Set(String),
    /// No value. In words, where they are not always the same.
    Unset(String),
    /// A table of keys.
    Table(Keyed),
}

/// A table with its keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keyed {
    /// What the manual says of it.
    pub about: &'static str,
    /// The table in one line, where it is shown so.
    pub inline: Option<String>,
    /// Its keys, those that are tables last.
    pub keys: Vec<Entry>,
}

/// All that is known of a key, and its value in one place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// What is known of the key.
    pub key: About,
    /// The value.
    pub value: Shown,
}

/// What is known of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct About {
    /// Its name.
    pub name: &'static str,
    /// What the manual says of it, without its bounds, its default and the listeners that have it.
    pub text: &'static str,
    /// Stalwart's name for it.
    pub alias: Option<&'static str>,
    /// From where to where it may go.
    pub bound: Bound,
    /// What it may be, where it is one of a few words.
    pub words: Words,
    /// What to give, where it must be given.
    pub required: Option<&'static str>,
    /// The key in whose presence it need not be given.
    pub unless: Option<&'static str>,
    /// What holds where there is no value.
    pub unset: &'static str,
    /// The word for no value.
    pub word: Option<&'static str>,
    /// The default in words, where the code has it otherwise.
    pub default: Option<&'static str>,
    /// The protocols of listeners that have it; empty where all do.
    pub at: &'static [Protocol],
    /// `[dovecot]` has it, too.
    pub dovecot: bool,
    /// What to write into the example file where the default is no example.
    pub example: Option<&'static str>,
    /// What the example file says of it.
    pub hint: &'static str,
}

impl Keyed {
    /// The names in full of all keys, of the table of this name and of those below.
    pub fn names(&self, table: &str) -> Vec<String> {
        let mut names = Vec::new();
        for entry in &self.keys {
            let name = format!("{table}.{}", entry.key.name);
            match &entry.value {
                Shown::Table(below) => {
                    let below_it = below.names(&name);
                    names.extend(below.inline.is_some().then_some(name));
                    names.extend(below_it);
                }
                _ => names.push(name),
            }
        }
        names
    }

    /// In one line.
    pub fn to_inline(&self) -> String {
        let keys = self.keys.iter().filter_map(|entry| match &entry.value {
            Shown::Set(value) => Some(format!("{} = {value}", entry.key.name)),
            _ => None,
        });
        format!("{{ {} }}", keys.collect::<Vec<_>>().join(", "))
    }
}
