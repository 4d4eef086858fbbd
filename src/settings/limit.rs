//! Limits: so many, or so many within a time.

use std::fmt;
use std::time::Duration;

use toml::de::DeValue;

use super::scalar::{Bound, HOUR, MINUTE, SECOND, Scalar, Wrong, integer, quoted};

/// A bound on something counted. There is no 0: it could mean "none" or "no bound", and a limit
/// must not depend on a guess.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, strum::Display)]
pub enum Limit {
    /// No bound; `"unlimited"` in the file.
    #[strum(to_string = "unlimited")]
    Unlimited,
    /// At most so many, at least 1.
    #[strum(transparent)]
    At(u32),
}

/// `limit = 1*DIGIT / "unlimited"`, never 0.
impl Scalar for Limit {
    fn parse(value: &DeValue<'_>, _: &Bound) -> Result<Self, Wrong> {
        const EXAMPLE: &str = "a number, or `\"unlimited\"`";
        if value.as_str() == Some("unlimited") {
            return Ok(Self::Unlimited);
        }
        match integer(value) {
            Some(0) => Err(Wrong::new("cannot be 0", "0 may mean none or no limit")
                .help("write `\"unlimited\"` for no limit, or a number from 1")),
            Some(number) => u32::try_from(number)
                .map(Self::At)
                .map_err(|_| Wrong::new("is out of bounds", format!("must be from 1 to {}", u32::MAX))),
            None => Err(Wrong::mistyped("a limit", value, EXAMPLE)),
        }
    }

    fn to_toml(&self) -> String {
        match self {
            Self::Unlimited => quoted(self),
            Self::At(most) => most.to_string(),
        }
    }
}

impl Limit {
    /// The number; none where there is no bound.
    pub const fn most(self) -> Option<u32> {
        match self {
            Self::Unlimited => None,
            Self::At(most) => Some(most),
        }
    }
}

/// Bound (sessions): refused recipients within a second, minute or hour that limits.unknown-rate may allow. Beyond:
/// it is refused at the start. Why: each takes sixteen bytes meanwhile.
const MAX_RATE: u32 = 100_000;

/// So many within one unit of time: `600/min`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// 1 to `MAX_RATE`.
    pub most: u32,
    /// Any such time counts, not only whole minutes.
    pub within: Duration,
}

/// The units of a rate, by their names in the file.
const UNITS: [(&str, Duration); 3] = [("s", SECOND), ("min", MINUTE), ("h", HOUR)];

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = UNITS.iter().find(|(_, unit)| *unit == self.within);
        write!(f, "{}/{}", self.most, unit.map_or("", |(name, _)| name))
    }
}

/// `rate = 1*DIGIT "/" ("s" / "min" / "h")`, never 0.
impl Scalar for Rate {
    fn parse(value: &DeValue<'_>, _: &Bound) -> Result<Self, Wrong> {
        const EXAMPLE: &str = "`\"600/min\"`, with `s`, `min` or `h`, or `\"off\"`";
        let text = value
            .as_str()
            .ok_or_else(|| Wrong::mistyped("a rate", value, EXAMPLE))?;
        let read = || {
            let (most, per) = text.split_once('/')?;
            let digits = !most.is_empty() && most.bytes().all(|byte| byte.is_ascii_digit());
            let (_, within) = *UNITS.iter().find(|(name, _)| *name == per)?;
            // What does not fit is out of bounds.
            digits.then(|| (most.parse().unwrap_or(u32::MAX), within))
        };
        let (most, within) = read().ok_or_else(|| Wrong::new("is no rate", format!("write {EXAMPLE}")))?;
        if !(1..=MAX_RATE).contains(&most) {
            let bounds = format!("must be from 1 to {MAX_RATE}, or `\"off\"`");
            return Err(Wrong::new("is out of bounds", bounds));
        }
        Ok(Self { most, within })
    }

    fn to_toml(&self) -> String {
        quoted(self)
    }
}

/// A rate, or `"off"`.
pub(super) fn rate_or_off(value: &DeValue<'_>, bound: &Bound) -> Result<Option<Rate>, Wrong> {
    if value.as_str() == Some("off") {
        return Ok(None);
    }
    Rate::parse(value, bound).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str) -> DeValue<'_> {
        DeValue::parse(text).unwrap().into_inner()
    }

    #[test]
    fn limits() {
        for (text, read) in [
            ("1", Limit::At(1)),
            ("10", Limit::At(10)),
            ("1_000", Limit::At(1000)),
            ("0x10", Limit::At(16)),
            ("4294967295", Limit::At(u32::MAX)),
            ("'unlimited'", Limit::Unlimited),
        ] {
            assert_eq!(Limit::parse(&value(text), &Bound::None).unwrap(), read, "{text}");
        }
        for text in [
            "0", "-1", "4294967296", "99999999999999999999", "'10'", "'Unlimited'", "1.0", "true", "[]",
        ] {
            assert!(Limit::parse(&value(text), &Bound::None).is_err(), "{text}");
        }
    }

    // Fills limit::MAX_RATE.
    #[test]
    fn rates() {
        for text in ["1/s", "600/min", "100000/h"] {
            let read = rate_or_off(&value(&format!("'{text}'")), &Bound::None)
                .unwrap()
                .unwrap();
            assert_eq!(read.to_string(), text);
        }
        assert_eq!(rate_or_off(&value("'off'"), &Bound::None).unwrap(), None);
        for text in [
            "600", "'600'", "'0/s'", "'100001/s'", "'99999999999/s'", "'/s'", "'+1/s'", "'1/ s'", "'1/m'",
            "'1/day'", "'OFF'", "false",
        ] {
            assert!(rate_or_off(&value(text), &Bound::None).is_err(), "{text}");
        }
    }
}
