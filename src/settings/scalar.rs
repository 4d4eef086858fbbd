//! Values that stand alone: how each is read, what is said when it is something else, and how it is written.

use std::{fmt, ops::RangeInclusive, path::PathBuf, time::Duration};

use toml::de::DeValue;

use crate::address::Domain;
use crate::template::Template;

/// Bound (process): any time in the configuration. Beyond: it is refused at the start. Why: ten years are as good as
/// forever, and far below what an instant can be moved by.
const MAX_DURATION: Duration = Duration::from_secs(3650 * 86_400);

/// Bound (process, bytes): path of a socket. Beyond: it is refused at the start. Why: unix(7): `sun_path` has 108
/// with the NUL at its end.
const LONGEST_SOCKET_PATH: usize = 107;

pub(super) const SECOND: Duration = Duration::from_secs(1);
pub(super) const MINUTE: Duration = Duration::from_secs(60);
pub(super) const HOUR: Duration = Duration::from_secs(3600);
pub(super) const DAY: Duration = Duration::from_secs(86_400);

/// The shortest duration that is not 0.
pub(super) const INSTANT: Duration = Duration::from_millis(1);

/// Words that a key may hold, and what each means.
pub type Words = &'static [(&'static str, &'static str)];

/// A value that stands alone.
pub trait Scalar: Sized {
    /// The words that it may be, with their meaning, where it is one of a few.
    const WORDS: Words = &[];

    /// Reads it.
    ///
    /// # Errors
    /// Why it cannot be used.
    fn parse(value: &DeValue<'_>, bound: &Bound) -> Result<Self, Wrong>;

    /// As TOML that reads back to the same.
    fn to_toml(&self) -> String;
}

/// From where to where a value may go.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Bound {
    /// As far as its type does.
    #[default]
    None,
    /// Integers.
    Numbers(RangeInclusive<u32>),
    /// Durations. None may be 0 unless the range begins there.
    Times(RangeInclusive<Duration>),
}

impl From<RangeInclusive<u32>> for Bound {
    fn from(range: RangeInclusive<u32>) -> Self {
        Self::Numbers(range)
    }
}

impl From<RangeInclusive<Duration>> for Bound {
    fn from(range: RangeInclusive<Duration>) -> Self {
        Self::Times(range)
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => Ok(()),
            Self::Numbers(range) => write!(f, "{} to {}", range.start(), range.end()),
            Self::Times(range) => write!(
                f,
                "{} to {}",
                duration_text(*range.start()),
                duration_text(*range.end())
            ),
        }
    }
}

/// Why a value cannot be used.
#[derive(Debug)]
pub struct Wrong {
    /// Follows the key's name in the title.
    pub(super) what: String,
    pub(super) label: String,
    pub(super) help: Option<String>,
}

impl Wrong {
    pub(crate) fn new(what: impl Into<String>, label: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            label: label.into(),
            help: None,
        }
    }

    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    pub(crate) fn mistyped(wanted: &str, value: &DeValue<'_>, example: &str) -> Self {
        let found = match value {
            DeValue::String(_) => "a string",
            DeValue::Integer(_) => "an integer",
            DeValue::Float(_) => "a floating-point number",
            DeValue::Boolean(_) => "a boolean",
            DeValue::Datetime(_) => "a date or time",
            DeValue::Array(_) => "a list",
            DeValue::Table(_) => "a table",
        };
        Self::new(format!("must be {wanted}"), format!("this is {found}")).help(format!("write {example}"))
    }
}

impl Scalar for bool {
    fn parse(value: &DeValue<'_>, _: &Bound) -> Result<Self, Wrong> {
        value
            .as_bool()
            .ok_or_else(|| Wrong::mistyped("a boolean", value, "`true` or `false`"))
    }

    fn to_toml(&self) -> String {
        self.to_string()
    }
}

/// Integers within bounds.
impl Scalar for u32 {
    fn parse(value: &DeValue<'_>, bound: &Bound) -> Result<Self, Wrong> {
        let bounds = match bound {
            Bound::Numbers(bounds) => bounds.clone(),
            _ => 0..=u32::MAX,
        };
        let number = integer(value).ok_or_else(|| Wrong::mistyped("an integer", value, "a bare number"))?;
        Self::try_from(number)
            .ok()
            .filter(|number| bounds.contains(number))
            .ok_or_else(|| {
                Wrong::new(
                    "is out of bounds",
                    format!("must be from {} to {}", bounds.start(), bounds.end()),
                )
            })
    }

    fn to_toml(&self) -> String {
        self.to_string()
    }
}

/// A port, which is never 0.
impl Scalar for u16 {
    fn parse(value: &DeValue<'_>, _: &Bound) -> Result<Self, Wrong> {
        let port = u32::parse(value, &(1..=u32::from(Self::MAX)).into())?;
        Ok(Self::try_from(port).unwrap_or(Self::MAX))
    }

    fn to_toml(&self) -> String {
        self.to_string()
    }
}

/// A string that is not empty.
impl Scalar for String {
    fn parse(value: &DeValue<'_>, _: &Bound) -> Result<Self, Wrong> {
        filled(value)
    }

    fn to_toml(&self) -> String {
        quoted(self)
    }
}

/// An absolute path.
impl Scalar for PathBuf {
    fn parse(value: &DeValue<'_>, _: &Bound) -> Result<Self, Wrong> {
        let text = filled(value)?;
        if text.starts_with('/') {
            return Ok(Self::from(text));
        }
        Err(
            Wrong::new("must be an absolute path", "this does not begin with `/`")
                .help("the daemon's working directory is not yours: write the whole path"),
        )
    }

    fn to_toml(&self) -> String {
        quoted(self.display())
    }
}

/// `duration = 1*DIGIT ("ms" / "s" / "m" / "h" / "d")`
impl Scalar for Duration {
    fn parse(value: &DeValue<'_>, bound: &Bound) -> Result<Self, Wrong> {
        let duration = duration(value)?;
        match bound {
            Bound::Times(times) if duration < *times.start() => {
                Err(Wrong::new("cannot be 0", "nothing is done in no time"))
            }
            Bound::Times(times) if duration > *times.end() => {
                let most = duration_text(*times.end());
                Err(Wrong::new("is too long", format!("at most `\"{most}\"`")))
            }
            _ => Ok(duration),
        }
    }

    fn to_toml(&self) -> String {
        quoted(duration_text(*self))
    }
}

/// A domain.
impl Scalar for Domain {
    fn parse(value: &DeValue<'_>, _: &Bound) -> Result<Self, Wrong> {
        Self::parse(&text(value)?).map_err(|_| {
            Wrong::new("is not a domain", "not a domain name").help("write it as in `\"example.org\"`")
        })
    }

    fn to_toml(&self) -> String {
        quoted(self)
    }
}

/// A template that is not empty.
impl Scalar for Template {
    fn parse(value: &DeValue<'_>, _: &Bound) -> Result<Self, Wrong> {
        template(&filled(value)?)
    }

    fn to_toml(&self) -> String {
        quoted(self)
    }
}

/// A template of a user's name.
pub(super) fn template(text: &str) -> Result<Template, Wrong> {
    Template::parse(text).map_err(|why| {
        Wrong::new("is not a template", why.to_string()).help(
            "`{user}` is the whole name, `{local}` and `{domain}` what is left and right of the last `@`",
        )
    })
}

/// A string, perhaps empty, without control characters.
pub(crate) fn text(value: &DeValue<'_>) -> Result<String, Wrong> {
    let text = value
        .as_str()
        .ok_or_else(|| Wrong::mistyped("a string", value, "it between double quotes"))?;
    if text.chars().any(char::is_control) {
        return Err(Wrong::new(
            "holds a control character", "one line of printable text, please",
        ));
    }
    Ok(text.to_owned())
}

/// A string that is not empty.
pub(crate) fn filled(value: &DeValue<'_>) -> Result<String, Wrong> {
    let text = text(value)?;
    if text.trim().is_empty() {
        return Err(Wrong::new("is empty", "an empty string means nothing here")
            .help("give it a value, or leave the key out where it has a default"));
    }
    Ok(text)
}

/// A path of a Unix socket: absolute, and short enough.
pub(crate) fn socket_path(value: &DeValue<'_>) -> Result<PathBuf, Wrong> {
    unix_socket(PathBuf::parse(value, &Bound::None)?)
}

/// The same of an absolute path.
pub(super) fn unix_socket(path: PathBuf) -> Result<PathBuf, Wrong> {
    let length = path.as_os_str().len();
    if length > LONGEST_SOCKET_PATH {
        return Err(Wrong::new(
            "is too long for a Unix socket",
            format!("{length} bytes, of at most {LONGEST_SOCKET_PATH}"),
        ));
    }
    Ok(path)
}

pub(super) fn integer(value: &DeValue<'_>) -> Option<i64> {
    let integer = value.as_integer()?;
    // What does not fit is out of every range here.
    Some(i64::from_str_radix(integer.as_str(), integer.radix()).unwrap_or(i64::MAX))
}

/// `duration = 1*DIGIT ("ms" / "s" / "m" / "h" / "d")`
fn duration(value: &DeValue<'_>) -> Result<Duration, Wrong> {
    const UNITS: &str = "a number and one unit: `\"500ms\"`, `\"30s\"`, `\"5m\"`, `\"2h\"` or `\"7d\"`";
    if let Some(number) = value.as_integer() {
        return Err(
            Wrong::new("needs a unit", "seconds, minutes, hours?").help(format!(
                "write `\"{0}s\"` for seconds, or `\"{0}ms\"` for milliseconds",
                number.as_str()
            )),
        );
    }
    let text = value
        .as_str()
        .ok_or_else(|| Wrong::mistyped("a duration", value, UNITS))?;
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let unit = match unit {
        "ms" => Some(1),
        "s" => Some(1000),
        "m" => Some(60_000),
        "h" => Some(3_600_000),
        "d" => Some(86_400_000),
        _ => None,
    };
    let (Some(unit), false) = (unit, number.is_empty()) else {
        return Err(Wrong::new("is not a duration", "cannot be read").help(format!("write {UNITS}")));
    };
    let duration = number
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(unit));
    duration
        .map(Duration::from_millis)
        .filter(|duration| *duration <= MAX_DURATION)
        .ok_or_else(|| Wrong::new("is too long", "at most ten years, `\"3650d\"`"))
}

/// A duration as the file writes it: in the largest unit that has no remainder.
pub fn duration_text(duration: Duration) -> String {
    let ms = duration.as_millis();
    for (unit, size) in [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000)] {
        // A single day is more often read as 24 hours, as an hour is not as 60 minutes.
        if ms.is_multiple_of(size) && (ms >= size) && !(unit == "d" && ms == size) {
            return format!("{}{unit}", ms / size);
        }
    }
    if ms == 0 {
        "0s".to_owned()
    } else {
        format!("{ms}ms")
    }
}

/// A basic string. Nothing that is read holds a control character.
pub(crate) fn quoted(text: impl ToString) -> String {
    format!(
        "\"{}\"",
        text.to_string().replace('\\', "\\\\").replace('"', "\\\"")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str) -> DeValue<'_> {
        DeValue::parse(text).unwrap().into_inner()
    }

    // Fills MAX_DURATION.
    #[test]
    fn durations() {
        for (text, ms) in [
            ("'30s'", 30_000),
            ("'5m'", 300_000),
            ("'2h'", 7_200_000),
            ("'7d'", 604_800_000),
            ("'500ms'", 500),
            ("'0s'", 0),
            ("'3650d'", 315_360_000_000),
        ] {
            let read = duration(&value(text)).unwrap();
            assert_eq!(read, Duration::from_millis(ms), "{text}");
            let shown = format!("'{}'", duration_text(read));
            assert_eq!(duration(&value(&shown)).unwrap(), read, "{shown}");
        }
        for text in [
            "30", "'30'", "''", "'s'", "'30 s'", "' 30s'", "'30S'", "'1.5s'", "'-1s'", "'1h30m'", "'1w'",
            "'3651d'", "'99999999999999999999s'", "'18446744073709551615d'", "true", "1.5", "['1s']", "'٣s'",
        ] {
            assert!(duration(&value(text)).is_err(), "{text}");
        }
    }

    // Fills LONGEST_SOCKET_PATH.
    #[test]
    fn a_path_of_a_socket_fits_the_kernel() {
        let path = |length: usize| format!("/{}", "s".repeat(length - 1));
        let read = |path: &str| socket_path(&DeValue::String(path.into()));
        assert!(read(&path(LONGEST_SOCKET_PATH)).is_ok());
        let wrong = read(&path(LONGEST_SOCKET_PATH + 1)).unwrap_err();
        assert_eq!(wrong.label, "108 bytes, of at most 107");
    }
}
