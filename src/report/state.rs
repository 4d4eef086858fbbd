//! How a directory is, in a word.

use serde::{Deserialize, Serialize};

/// How a directory is; the worst last. It is the same wherever it is shown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum State {
    /// Nobody has asked it anything.
    #[default]
    #[serde(rename = "not asked")]
    Unasked,
    /// It answers.
    #[serde(rename = "answers")]
    Answers,
    /// The last question got no answer, but others did lately; or all that it says is "later".
    #[serde(rename = "answers in part")]
    Falters,
    /// It gives no answer.
    #[serde(rename = "no answer")]
    Silent,
}

impl State {
    /// Its name in `vouch status`, as in the report.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unasked => "not asked",
            Self::Answers => "answers",
            Self::Falters => "answers in part",
            Self::Silent => "no answer",
        }
    }
}
