//! Single values: what a key may hold, and what is said when it holds something else.

use std::{ops::RangeInclusive, path::PathBuf, time::Duration};

use toml::de::DeValue;

use super::problem::nearest;
use crate::config::rate::{self, Rate, Unit};
use crate::config::{Limit, Template};

/// Bound (process): any time in the configuration. Beyond: it is refused at the start. Why: ten years are as good as
/// forever, and far below what an instant can be moved by.
const MAX_DURATION: Duration = Duration::from_secs(3650 * 86_400);

/// Bound (process, bytes): path of a socket. Beyond: it is refused at the start. Why: unix(7): `sun_path` has 108
/// with the NUL at its end.
const LONGEST_SOCKET_PATH: usize = 107;

/// Why a value cannot be used: `what` follows the key's name in the title.
#[derive(Debug)]
pub(super) struct Wrong {
    pub(super) what: String,
    pub(super) label: String,
    pub(super) help: Option<String>,
}

impl Wrong {
    pub(super) fn new(what: impl Into<String>, label: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            label: label.into(),
            help: None,
        }
    }

    pub(super) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    pub(super) fn mistyped(wanted: &str, value: &DeValue<'_>, example: &str) -> Self {
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

/// `true` or `false`.
pub(super) fn flag(value: &DeValue<'_>) -> Result<bool, Wrong> {
    value
        .as_bool()
        .ok_or_else(|| Wrong::mistyped("a boolean", value, "`true` or `false`"))
}

/// A string, perhaps empty, without control characters.
pub(super) fn text(value: &DeValue<'_>) -> Result<String, Wrong> {
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
pub(super) fn filled(value: &DeValue<'_>) -> Result<String, Wrong> {
    let text = text(value)?;
    if text.trim().is_empty() {
        return Err(Wrong::new("is empty", "an empty string means nothing here")
            .help("give it a value, or leave the key out where it has a default"));
    }
    Ok(text)
}

/// An absolute path.
pub(super) fn path(value: &DeValue<'_>) -> Result<PathBuf, Wrong> {
    let text = filled(value)?;
    if text.starts_with('/') {
        return Ok(PathBuf::from(text));
    }
    Err(
        Wrong::new("must be an absolute path", "this does not begin with `/`")
            .help("the daemon's working directory is not yours: write the whole path"),
    )
}

/// A path of a Unix socket: absolute, and short enough.
pub(super) fn socket_path(value: &DeValue<'_>) -> Result<PathBuf, Wrong> {
    let path = path(value)?;
    let length = path.as_os_str().len();
    if length > LONGEST_SOCKET_PATH {
        return Err(Wrong::new(
            "is too long for a Unix socket",
            format!("{length} bytes, of at most {LONGEST_SOCKET_PATH}"),
        ));
    }
    Ok(path)
}

fn integer(value: &DeValue<'_>) -> Option<i64> {
    let integer = value.as_integer()?;
    // What does not fit is out of every range here.
    Some(i64::from_str_radix(integer.as_str(), integer.radix()).unwrap_or(i64::MAX))
}

/// An integer within bounds.
pub(super) fn count(bounds: RangeInclusive<u32>) -> impl Fn(&DeValue<'_>) -> Result<u32, Wrong> {
    move |value| {
        let number = integer(value).ok_or_else(|| Wrong::mistyped("an integer", value, "a bare number"))?;
        u32::try_from(number)
            .ok()
            .filter(|number| bounds.contains(number))
            .ok_or_else(|| {
                Wrong::new(
                    "is out of bounds",
                    format!("must be from {} to {}", bounds.start(), bounds.end()),
                )
            })
    }
}

/// `limit = 1*DIGIT / "unlimited"`, never 0.
pub(super) fn limit(value: &DeValue<'_>) -> Result<Limit, Wrong> {
    const EXAMPLE: &str = "a number, or `\"unlimited\"`";
    if value.as_str() == Some("unlimited") {
        return Ok(Limit::Unlimited);
    }
    match integer(value) {
        Some(0) => Err(Wrong::new("cannot be 0", "0 may mean none or no limit")
            .help("write `\"unlimited\"` for no limit, or a number from 1")),
        Some(number) => u32::try_from(number)
            .map(Limit::At)
            .map_err(|_| Wrong::new("is out of bounds", format!("must be from 1 to {}", u32::MAX))),
        None => Err(Wrong::mistyped("a limit", value, EXAMPLE)),
    }
}

/// `rate = 1*DIGIT "/" ("s" / "min" / "h") / "off"`, never 0.
pub(super) fn rate(value: &DeValue<'_>) -> Result<Option<Rate>, Wrong> {
    const EXAMPLE: &str = "`\"600/min\"`, with `s`, `min` or `h`, or `\"off\"`";
    let text = value
        .as_str()
        .ok_or_else(|| Wrong::mistyped("a rate", value, EXAMPLE))?;
    if text == "off" {
        return Ok(None);
    }
    let read = || {
        let (most, per) = text.split_once('/')?;
        let digits = !most.is_empty() && most.bytes().all(|byte| byte.is_ascii_digit());
        let (_, per) = *Unit::ALL.iter().find(|(name, _)| *name == per)?;
        // What does not fit is out of bounds.
        digits.then(|| (most.parse().unwrap_or(u32::MAX), per))
    };
    let (most, per) = read().ok_or_else(|| Wrong::new("is no rate", format!("write {EXAMPLE}")))?;
    if !(1..=rate::MOST).contains(&most) {
        let bounds = format!("must be from 1 to {}, or `\"off\"`", rate::MOST);
        return Err(Wrong::new("is out of bounds", bounds));
    }
    Ok(Some(Rate { most, per }))
}

/// `duration = 1*DIGIT ("ms" / "s" / "m" / "h" / "d")`
pub(super) fn duration(value: &DeValue<'_>) -> Result<Duration, Wrong> {
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

/// A duration that is not 0 and at most `most`.
pub(super) fn wait(most: Duration) -> impl Fn(&DeValue<'_>) -> Result<Duration, Wrong> {
    move |value| match duration(value)? {
        Duration::ZERO => Err(Wrong::new("cannot be 0", "nothing is done in no time")),
        long if long > most => {
            let most = crate::config::duration_text(most);
            Err(Wrong::new("is too long", format!("at most `\"{most}\"`")))
        }
        fit => Ok(fit),
    }
}

/// One of a few words.
pub(super) fn word<T: Copy>(
    words: &'static [(&'static str, T)],
) -> impl Fn(&DeValue<'_>) -> Result<T, Wrong> {
    move |value| {
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
}

/// A template that is not empty.
pub(super) fn template(value: &DeValue<'_>) -> Result<Template, Wrong> {
    let text = filled(value)?;
    Template::parse(&text).map_err(|why| {
        Wrong::new("is not a template", why).help(
            "`{user}` is the whole name, `{local}` and `{domain}` what is left and right of the last `@`",
        )
    })
}

/// The same for a field of an answer, which may hold what is known of the request.
pub(super) fn field_template(value: &DeValue<'_>) -> Result<Template, Wrong> {
    let text = filled(value)?;
    Template::parse_for_request(&text).map_err(|why| {
        Wrong::new("is not a template", why).help(
            "`{user}` is the whole name, `{local}` and `{domain}` what is left and right of the last `@`; `{service}`, \
             `{rip}` and `{session}` are the request's",
        )
    })
}

/// `mode = 3*4("0" … "7")`, permissions only.
pub(super) fn mode(value: &DeValue<'_>) -> Result<u32, Wrong> {
    const EXAMPLE: &str = "octal digits as text: `\"0660\"`";
    let text = value
        .as_str()
        .ok_or_else(|| Wrong::mistyped("a string", value, EXAMPLE))?;
    let digits = matches!(text.len(), 3 | 4) && text.bytes().all(|byte| matches!(byte, b'0'..=b'7'));
    match u32::from_str_radix(text, 8) {
        Ok(mode) if digits && mode <= 0o777 => Ok(mode),
        _ => Err(
            Wrong::new("is not a file mode", "must be from `\"0000\"` to `\"0777\"`")
                .help(format!("write {EXAMPLE}")),
        ),
    }
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
            let shown = format!("'{}'", crate::config::duration_text(read));
            assert_eq!(duration(&value(&shown)).unwrap(), read, "{shown}");
        }
        for text in [
            "30", "'30'", "''", "'s'", "'30 s'", "' 30s'", "'30S'", "'1.5s'", "'-1s'", "'1h30m'", "'1w'",
            "'3651d'", "'99999999999999999999s'", "'18446744073709551615d'", "true", "1.5", "['1s']", "'٣s'",
        ] {
            assert!(duration(&value(text)).is_err(), "{text}");
        }
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
            assert_eq!(limit(&value(text)).unwrap(), read, "{text}");
        }
        for text in [
            "0", "-1", "4294967296", "99999999999999999999", "'10'", "'Unlimited'", "1.0", "true", "[]",
        ] {
            assert!(limit(&value(text)).is_err(), "{text}");
        }
    }

    // Fills rate::MOST.
    #[test]
    fn rates() {
        for text in ["1/s", "600/min", "100000/h"] {
            let read = rate(&value(&format!("'{text}'"))).unwrap().unwrap();
            assert_eq!(read.to_string(), text);
        }
        assert_eq!(rate(&value("'off'")).unwrap(), None);
        for text in [
            "600", "'600'", "'0/s'", "'100001/s'", "'99999999999/s'", "'/s'", "'+1/s'", "'1/ s'", "'1/m'",
            "'1/day'", "'OFF'", "false",
        ] {
            assert!(rate(&value(text)).is_err(), "{text}");
        }
    }

    #[test]
    fn modes() {
        for (text, read) in [
            ("'0660'", 0o660),
            ("'600'", 0o600),
            ("'0777'", 0o777),
            ("'0000'", 0),
        ] {
            assert_eq!(mode(&value(text)).unwrap(), read, "{text}");
        }
        for text in [
            "660", "0o660", "'0o660'", "'0680'", "'66'", "'1777'", "'00660'", "'+660'", "''", "'rw-rw----'",
        ] {
            assert!(mode(&value(text)).is_err(), "{text}");
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
