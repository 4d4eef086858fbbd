//! Numbers and times in words for people.

use std::time::Duration;

/// A time as one says it.
pub(crate) fn spoken(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// `1,024`
pub(crate) fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let first = digits.len() % 3;
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && at % 3 == first {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A text in which the keys of the directory of that name have their full names: `directory.NAME` stands for it.
pub(crate) fn named(text: &str, directory: &str) -> String {
    text.replace("directory.NAME", &format!("directory.\"{directory}\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_times_are_as_one_says_them() {
        assert_eq!(
            [7, 999, 1_024, 1_234_567].map(thousands),
            ["7", "999", "1,024", "1,234,567"]
        );
        let spoken = |seconds| spoken(Duration::from_secs(seconds));
        assert_eq!(
            [59, 180, 10_000, 300_000].map(spoken),
            ["59 s", "3 min", "2 h", "3 days"]
        );
    }
}
