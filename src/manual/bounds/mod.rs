//! Every bound: how much of a thing there may be, or how long it may take, and what happens beyond.
//!
//! A row's numbers are read from the constants and defaults themselves, so the table cannot differ from the
//! program. `tests/bounds` holds it complete: each constant has a row, and each row a test that fills it.

mod clients;
mod memory;
mod process;
mod questions;
mod servers;

use std::fmt::Display;
use std::time::Duration;

use crate::config::duration_text;

/// One bound.
#[derive(Debug, Clone)]
pub struct Bound {
    /// What is bounded.
    pub what: &'static str,
    /// How much of it there may be.
    pub limit: Limit,
    /// What happens beyond.
    pub beyond: &'static str,
    /// Why it is this number.
    pub why: &'static str,
    /// What fills it: the name of a test, or a transcript below `tests/transcripts`.
    pub test: &'static str,
}

/// Bounds on things of one kind.
#[derive(Debug, Clone)]
pub struct Group {
    /// What these are.
    pub title: &'static str,
    /// In the order of the table.
    pub bounds: Vec<Bound>,
}

/// How much there may be of something.
#[derive(Debug, Clone)]
pub struct Limit {
    /// The number with its unit.
    pub text: String,
    /// The key that changes it; empty where nothing does.
    pub key: &'static str,
    /// The constants that it is read from.
    pub constants: Vec<&'static str>,
}

impl Limit {
    /// What no key changes.
    pub fn fixed(text: String, constant: &'static str) -> Self {
        Self {
            text,
            key: "",
            constants: vec![constant],
        }
    }

    /// There is none.
    pub fn none() -> Self {
        Self {
            text: "none".to_owned(),
            key: "",
            constants: Vec::new(),
        }
    }

    /// The default of a key.
    pub fn key(key: &'static str, default: impl Display) -> Self {
        Self {
            text: default.to_string(),
            key,
            constants: Vec::new(),
        }
    }

    /// The default of a key that is a time.
    pub fn time_of(key: &'static str, default: Duration) -> Self {
        Self::key(key, duration_text(default))
    }

    /// From this to that.
    pub fn to(self, other: Self) -> Self {
        self.joined(" to ", other)
    }

    /// This, and that of another kind.
    pub fn and(self, other: Self) -> Self {
        self.joined(", ", other)
    }

    fn joined(mut self, by: &str, other: Self) -> Self {
        self.text = format!("{}{by}{}", self.text, other.text);
        self.constants.extend(other.constants);
        self
    }
}

/// A number that is a constant.
macro_rules! count {
    ($constant:path) => {
        $crate::manual::bounds::Limit::fixed($constant.to_string(), stringify!($constant))
    };
}

/// A number of bytes that is a constant.
macro_rules! bytes {
    ($constant:path) => {
        $crate::manual::bounds::Limit::fixed(
            $crate::manual::bounds::size($constant as u64),
            stringify!($constant),
        )
    };
}

/// A time that is a constant.
macro_rules! time {
    ($constant:path) => {
        $crate::manual::bounds::Limit::fixed($crate::config::duration_text($constant), stringify!($constant))
    };
}

pub(crate) use {bytes, count, time};

/// A row of the table.
pub(crate) fn row(
    what: &'static str,
    limit: Limit,
    beyond: &'static str,
    why: &'static str,
    test: &'static str,
) -> Bound {
    Bound {
        what,
        limit,
        beyond,
        why,
        test,
    }
}

/// All of them, but for those of the commands beside the daemon.
pub fn all() -> Vec<Group> {
    let group = |title, bounds| Group { title, bounds };
    vec![
        group("Clients and what they send", clients::rows()),
        group("Questions under way", questions::rows()),
        group("Sessions with mail servers", servers::sessions()),
        group("What mail servers say", servers::replies()),
        group("What is remembered", memory::rows()),
        group("The process, its files and its log", process::rows()),
    ]
}

/// Bytes, in the largest unit that has no remainder.
pub(crate) fn size(bytes: u64) -> String {
    match bytes {
        _ if bytes >= 1 << 20 && bytes.is_multiple_of(1 << 20) => format!("{} MiB", bytes >> 20),
        _ if bytes >= 1 << 10 && bytes.is_multiple_of(1 << 10) => format!("{} KiB", bytes >> 10),
        _ => format!("{bytes} bytes"),
    }
}

/// A listener whose keys have their defaults.
fn listener() -> crate::config::Listener {
    use crate::config::{ListenAddress, Listener, listener::Protocol};
    Listener::new("NAME", Protocol::Auth, ListenAddress::Dovecot, Vec::new())
}

/// A directory whose keys have their defaults.
fn directory(kind: crate::config::directory::Kind) -> crate::config::Directory {
    use crate::config::{Directory, Endpoint};
    Directory::new("NAME", kind, Endpoint::Socket("/".into()))
}
