//! The mechanisms that a listener offers, and the directories that it asks.

use std::fmt;

use vouch_protocol::sasl::{self, RelayedMechanism};

use super::key::Item;
use super::problem::Problem;
use super::scalar::{Words, Wrong};
use super::table::{Field, Findings, strings};

/// A SASL mechanism.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mechanism {
    /// One that hands us a password.
    Password(sasl::Mechanism),
    /// One that is for the remote to judge.
    Relayed(RelayedMechanism),
}

impl Mechanism {
    /// Those that are offered by default.
    pub fn passwords() -> Vec<Self> {
        [sasl::Mechanism::Plain, sasl::Mechanism::Login]
            .map(Self::Password)
            .into()
    }

    /// The registered name, in upper case.
    pub fn name(self) -> &'static str {
        match self {
            Self::Password(mechanism) => mechanism.name(),
            Self::Relayed(mechanism) => mechanism.name(),
        }
    }

    /// The mechanism of that name, in upper case or not.
    pub fn from_name(name: &str) -> Option<Self> {
        let password = sasl::Mechanism::from_name(name).map(Self::Password);
        password.or_else(|| RelayedMechanism::from_name(name).map(Self::Relayed))
    }

    /// Whether the remote verifies it.
    pub fn is_relayed(self) -> bool {
        matches!(self, Self::Relayed(_))
    }

    /// Whether it is a dialog between the client and the remote.
    pub fn is_challenge_response(self) -> bool {
        matches!(self, Self::Relayed(mechanism) if !mechanism.is_token())
    }
}

impl fmt::Display for Mechanism {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Item for Mechanism {
    const WORDS: Words = &[
        ("PLAIN", "RFC 4616."),
        ("LOGIN", "draft-murchison-sasl-login."),
        ("XOAUTH2", "Google's form of RFC 7628."),
        ("OAUTHBEARER", "RFC 7628."),
        ("CRAM-MD5", "RFC 2195."),
        ("DIGEST-MD5", "RFC 2831."),
        ("SCRAM-SHA-1", "RFC 5802."),
        ("SCRAM-SHA-256", "RFC 7677."),
    ];

    fn read_list(list: &mut Vec<Self>, found: &mut Findings, field: &Field<'_>) {
        list.clear();
        for (text, place) in strings(found, field, "`[\"PLAIN\", \"LOGIN\"]`", false) {
            let upper = text.to_ascii_uppercase();
            match Self::from_name(&text) {
                Some(mechanism) if list.contains(&mechanism) => {
                    let wrong = Wrong::new(format!("names {upper} twice"), "named again here");
                    found.problem(field.problem(place, wrong));
                }
                Some(mechanism) => {
                    list.push(mechanism);
                    found.takes(field, place);
                }
                None => {
                    let known = Self::WORDS.iter().map(|(name, _)| format!("`\"{name}\"`"));
                    let label = format!("known are {}", known.collect::<Vec<_>>().join(", "));
                    let help = if upper.ends_with("-PLUS") {
                        "what is bound to the client's TLS channel cannot be handed on to another server"
                    } else {
                        "a mechanism that is not among these cannot be handed on to another server"
                    };
                    let wrong = Wrong::new("names an unknown mechanism", label).help(help);
                    found.problem(field.problem(place, wrong));
                }
            }
        }
        if field.value.as_array().is_some_and(|array| array.is_empty()) {
            field.wrong(found, Wrong::new("offers nothing", "nobody could log in"));
        }
    }
}

/// The names of directories.
impl Item for String {
    fn read_list(list: &mut Vec<Self>, found: &mut Findings, field: &Field<'_>) {
        let mut places = Vec::new();
        for (name, place) in strings(found, field, "`[\"mailbox\"]`", false) {
            let first = list.iter().position(|known| *known == name);
            if let Some(first) = first.and_then(|at| places.get(at)) {
                let title = format!("`{}` names \"{name}\" twice", field.name);
                let problem = Problem::new(title, place, "named again here");
                found.problem(problem.also(Clone::clone(first), "first named here"));
            } else {
                list.push(name);
                found.takes(field, place.clone());
                places.push(place);
            }
        }
        if field.value.as_array().is_some_and(|array| array.is_empty()) {
            let wrong = Wrong::new("names no directory", "nobody could be asked");
            field.wrong(found, wrong.help("name one of the directories"));
        }
    }
}
