//! How many of something within how long.

use std::fmt;
use std::time::Duration;

/// Bound (sessions): refused recipients within a second, minute or hour that limits.unknown-rate may allow. Beyond:
/// it is refused at the start. Why: each takes sixteen bytes meanwhile.
pub const MOST: u32 = 100_000;

/// So many within one unit of time: `600/min`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// 1 to [`MOST`].
    pub most: u32,
    /// Within one of these.
    pub per: Unit,
}

/// A unit of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// `s`
    Second,
    /// `min`
    Minute,
    /// `h`
    Hour,
}

impl Unit {
    /// All, by their names in the file.
    pub const ALL: [(&str, Self); 3] = [("s", Self::Second), ("min", Self::Minute), ("h", Self::Hour)];

    /// How long it is.
    pub const fn duration(self) -> Duration {
        Duration::from_secs(match self {
            Self::Second => 1,
            Self::Minute => 60,
            Self::Hour => 3600,
        })
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Second => "s",
            Self::Minute => "min",
            Self::Hour => "h",
        }
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.most, self.per.name())
    }
}
