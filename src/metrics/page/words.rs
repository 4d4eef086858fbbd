//! Numbers as people read them.

use std::time::Duration;

/// A time in one unit, with two digits: `350 µs`, `1.2 ms`, `2.5 s`.
pub(super) fn lasting(time: Duration) -> String {
    let micros = time.as_secs_f64() * 1e6;
    let (number, unit) = match micros {
        _ if micros < 999.5 => (micros, "µs"),
        _ if micros < 999_500.0 => (micros / 1e3, "ms"),
        _ => (micros / 1e6, "s"),
    };
    format!("{} {unit}", two_digits(number))
}

/// How often, a second or, where that is less than once, a minute.
pub(super) fn rate(a_second: f64) -> String {
    if a_second == 0.0 || a_second >= 1.0 {
        format!("{}/s", two_digits(a_second))
    } else {
        format!("{}/min", two_digits(60.0 * a_second))
    }
}

/// A part of a whole in percent, which is 0 or 100 only where it is none or all.
pub(super) fn percent(part: u64, whole: u64) -> String {
    if whole == 0 {
        return "–".to_owned();
    }
    let percent = 100.0 * part as f64 / whole as f64;
    match percent {
        _ if part > 0 && percent < 0.1 => "< 0.1 %".to_owned(),
        _ if part < whole && percent > 99.9 => "> 99.9 %".to_owned(),
        _ if percent < 10.0 || part < whole && percent > 99.0 => {
            format!("{} %", trimmed(format!("{percent:.1}")))
        }
        _ => format!("{percent:.0} %"),
    }
}

fn two_digits(number: f64) -> String {
    if number < 9.95 {
        trimmed(format!("{number:.1}"))
    } else {
        crate::telemetry::words::thousands(number.round() as u64)
    }
}

fn trimmed(text: String) -> String {
    text.strip_suffix(".0").map(str::to_owned).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_two_digits() {
        let lasting = |micros| lasting(Duration::from_micros(micros));
        assert_eq!(
            [0, 7, 350, 999, 1_000, 1_250, 12_345, 999_700, 60_000_000].map(lasting),
            [
                "0 µs", "7 µs", "350 µs", "999 µs", "1 ms", "1.2 ms", "12 ms", "1 s", "60 s"
            ]
        );
    }

    #[test]
    fn rates_are_never_rounded_to_nothing() {
        assert_eq!(
            [0.0, 1.0 / 30.0, 0.5, 1.0, 12.3, 4321.0].map(rate),
            ["0/s", "2/min", "30/min", "1/s", "12/s", "4,321/s"]
        );
    }

    #[test]
    fn little_is_not_nothing_and_much_is_not_all() {
        let cases = [
            (0, 0),
            (0, 9),
            (9, 9),
            (1, 3),
            (1, 5000),
            (4999, 5000),
            (5, 100),
            (199, 200),
        ];
        assert_eq!(
            cases.map(|(part, whole)| percent(part, whole)),
            [
                "–", "0 %", "100 %", "33 %", "< 0.1 %", "> 99.9 %", "5 %", "99.5 %"
            ]
        );
    }
}
