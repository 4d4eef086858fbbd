//! Keys that hold one of a few words.

use toml::de::DeValue;

use super::problem::nearest;
use super::scalar::Wrong;

/// Makes an enum of words that a key may hold, with each word's spelling in the file.
macro_rules! words {
    ($(#[$meta:meta])* $name:ident { $($(#[doc = $meaning:literal])+ $word:ident = $text:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[doc = $meaning])+ $word,)+ }

        impl $name {
            /// Every word, with its spelling in the file.
            pub const ALL: &'static [(&'static str, Self)] = &[$(($text, Self::$word),)+];

            /// The word as it is written in the file.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$word => $text,)+ }
            }

            /// What this word means.
            pub fn named(word: &str) -> Option<Self> {
                Self::ALL.iter().find(|(known, _)| *known == word).map(|(_, named)| *named)
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl $crate::settings::scalar::Scalar for $name {
            const WORDS: $crate::settings::scalar::Words = &[$(($text, concat!($($meaning),+)),)+];

            fn parse(
                value: &toml::de::DeValue<'_>,
                _: &$crate::settings::scalar::Bound,
            ) -> Result<Self, $crate::settings::scalar::Wrong> {
                $crate::settings::words::parse(value, Self::ALL)
            }

            fn to_toml(&self) -> String {
                $crate::settings::scalar::quoted(self)
            }
        }
    };
}
pub(crate) use words;

/// One of a few words.
pub(crate) fn parse<T: Copy>(value: &DeValue<'_>, words: &[(&str, T)]) -> Result<T, Wrong> {
    let all = || {
        let quoted: Vec<String> = words.iter().map(|(word, _)| format!("`\"{word}\"`")).collect();
        match quoted.split_last() {
            Some((last, first)) if !first.is_empty() => format!("{} or {last}", first.join(", ")),
            _ => quoted.concat(),
        }
    };
    let text = value
        .as_str()
        .ok_or_else(|| Wrong::mistyped("a string", value, &all()))?;
    words
        .iter()
        .find(|(word, _)| *word == text)
        .map(|(_, meaning)| *meaning)
        .ok_or_else(|| {
            let near = nearest(text, words.iter().map(|(word, _)| *word));
            let wrong = Wrong::new("has an unknown value", format!("must be {}", all()));
            match near {
                Some(near) => wrong.help(format!("did you mean `\"{near}\"`?")),
                None => wrong,
            }
        })
}
