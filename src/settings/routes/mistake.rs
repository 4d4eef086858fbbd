//! What can be wrong with a line of a map.

use crate::settings::address::MAX_SERVERS;
use crate::settings::kind::Kind;

/// A line of a map that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    /// Its number, from 1.
    pub(super) line: usize,
    pub(super) why: Mistake,
}

/// Why a line cannot be used. Each names the word that it is about.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Mistake {
    #[error("`{}` is neither a domain, nor `.domain`, nor `*`", shown(.0))]
    Pattern(String),
    #[error("`{0}` stands on line {1} already")]
    Twice(String, usize),
    #[error("`{0}` has no host behind it")]
    NoHost(String),
    #[error("`{}`: type `{}` is reached by TCP", shown(.0), .1)]
    Socket(String, Kind),
    #[error("`{}` is neither a host name nor an IP address", shown(.0))]
    Host(String),
    #[error("`{}`: the port must be 1 to 65535", shown(.0))]
    PortRange(String),
    #[error("`{}`: the port must be a number", shown(.0))]
    PortWord(String),
    #[error("`{0}`: {1} hosts, of at most {MAX_SERVERS}")]
    TooManyHosts(String, usize),
    #[error("`{0}`: a host stands there twice")]
    HostTwice(String),
    #[error("`{}` has no transport behind it", shown(.0))]
    NoTransport(String),
    #[error(
        "`{}` is a line of a regular-expression table: only the text of an indexed one (hash, lmdb, texthash) can be read",
        shown(.0)
    )]
    Regexp(String),
    #[error("`{}` has no closing quote", shown(.0))]
    Quote(String),
}

/// So much of a word that cannot be used is shown, in characters.
const WORD_SHOWN: usize = 60;

/// As much of a word as is shown.
pub(super) fn shown(word: &str) -> String {
    word.chars().take(WORD_SHOWN).collect()
}
