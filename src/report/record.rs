//! Structs whose fields are members of a report: named in kebab-case, absent ones at their default, and described by
//! their doc comments, in the manual as well.

use std::collections::BTreeMap;

use super::state::State;

/// Paths of members, with what their doc comments say.
pub(crate) type Rows = Vec<(String, String)>;

/// A type of members.
pub(super) trait Member {
    /// Appends the rows of a member at `path`, of which its doc comment says what it is `about`. Unless it is a record,
    /// it has one, in which its own members are explained as well.
    fn list(path: String, about: &str, rows: &mut Rows) {
        rows.push((path, in_a_row(about)));
    }
}

/// A doc comment as the manual has it, behind the name of the member.
fn in_a_row(about: &str) -> String {
    let words: Vec<_> = about.split_whitespace().collect();
    let text = words.join(" ");
    let text = text.strip_suffix('.').unwrap_or(&text);
    let mut letters = text.chars();
    let first = letters.next().map(|first| first.to_ascii_lowercase());
    first.into_iter().chain(letters).collect()
}

impl<T: Member> Member for Option<T> {
    fn list(path: String, about: &str, rows: &mut Rows) {
        T::list(path, about, rows);
    }
}

impl<T: Member> Member for Vec<T> {
    fn list(path: String, about: &str, rows: &mut Rows) {
        T::list(path + "[]", about, rows);
    }
}

/// Its members have one meaning, whatever they are called.
impl<T: Member> Member for BTreeMap<String, T> {
    fn list(path: String, about: &str, rows: &mut Rows) {
        let (path, first) = (path + ".*", rows.len());
        T::list(path.clone(), about, rows);
        if rows.get(first).is_none_or(|(listed, _)| *listed != path) {
            rows.insert(first, (path, in_a_row(about)));
        }
    }
}

macro_rules! leaves {
    ($($leaf:ty),*) => {$(
        impl crate::report::record::Member for $leaf {}
    )*};
}

leaves!(String, bool, u32, u64, State);

/// Structs of members. What stands behind a `;` is for the metrics and the page alone: it is no member, and is not sent.
macro_rules! members {
    ($(
        $(#[doc = $about:literal])+
        $name:ident {
            $( $(#[doc = $doc:literal])+ $field:ident: $type:ty, )*
            $(; $( $(#[doc = $own_doc:literal])+ $own:ident: $own_type:ty, )* )?
        }
    )*) => {$(
        $(#[doc = $about])+
        #[derive(Debug, Clone, Default, PartialEq, serde::Serialize, serde::Deserialize)]
        #[serde(default, rename_all = "kebab-case")]
        pub struct $name {
            $( $(#[doc = $doc])+ pub $field: $type, )*
            $($( $(#[doc = $own_doc])+ #[serde(skip)] pub $own: $own_type, )*)?
        }
    )*};
}

/// Structs of members, each with a row of its own in the manual.
macro_rules! records {
    ($(
        $(#[doc = $about:literal])+
        $name:ident {
            $( $(#[doc = $doc:literal])+ $field:ident: $type:ty, )*
            $(; $($own:tt)* )?
        }
    )*) => {
        crate::report::record::members! {$(
            $(#[doc = $about])+
            $name { $( $(#[doc = $doc])+ $field: $type, )* $(; $($own)* )? }
        )*}
        $(
            impl crate::report::record::Member for $name {
                fn list(path: String, _: &str, rows: &mut crate::report::record::Rows) {
                    $(
                        let name = stringify!($field).replace('_', "-");
                        let name = name.trim_start_matches("r#");
                        let member = if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
                        <$type as crate::report::record::Member>::list(member, concat!($($doc),+), rows);
                    )*
                }
            }
        )*
    };
}

/// Structs of members that the row of the whole explains.
macro_rules! wholes {
    ($( $(#[doc = $about:literal])+ $name:ident { $($fields:tt)* } )*) => {
        crate::report::record::members! {$( $(#[doc = $about])+ $name { $($fields)* } )*}
        crate::report::record::leaves!($($name),*);
    };
}

pub(super) use {leaves, members, records, wholes};
