//! What a height of a chart stands for.

use std::time::Duration;

/// A line across the chart, at a share of its height, with what it stands for.
pub(in crate::metrics::page) type Level = (f64, String);

/// A scale for numbers up to `most`: the number at its top, round and no less.
pub(in crate::metrics::page) fn top(most: f64) -> f64 {
    if most <= 0.0 {
        return 1.0;
    }
    let unit = 10_f64.powf(most.log10().floor());
    let round = [1.0, 2.0, 5.0].into_iter().map(|digit| digit * unit);
    round.into_iter().find(|&top| top >= most).unwrap_or(10.0 * unit)
}

/// A scale for times, on which ten times as long is as far everywhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::metrics::page) struct Decades {
    /// Of a microsecond: 3 is a millisecond.
    from: i32,
    to: i32,
}

impl Decades {
    /// One that has room for all of these.
    pub(in crate::metrics::page) fn of(times: impl IntoIterator<Item = Duration>) -> Self {
        let (mut from, mut to) = (i32::MAX, i32::MIN);
        for time in times {
            let decade = exponent(time);
            from = from.min(decade.floor() as i32);
            to = to.max(decade.ceil() as i32);
        }
        if from > to {
            (from, to) = (3, 4);
        }
        Self {
            from,
            to: to.max(from + 1),
        }
    }

    /// Where a time lies, as a share of the height.
    pub(in crate::metrics::page) fn share(self, time: Duration) -> f64 {
        let share = (exponent(time) - f64::from(self.from)) / f64::from(self.to - self.from);
        share.clamp(0.0, 1.0)
    }

    /// A line for each decade above the lowest; every second one where there are many.
    pub(in crate::metrics::page) fn levels(self) -> Vec<Level> {
        let every = if self.to - self.from > 4 { 2 } else { 1 };
        let levels = (self.from..=self.to).rev().step_by(every);
        levels
            .filter(|&decade| decade > self.from)
            .map(|decade| {
                let time = Duration::from_micros(10_u64.saturating_pow(decade.unsigned_abs()));
                (self.share(time), crate::metrics::page::words::lasting(time))
            })
            .collect()
    }
}

/// As a power of ten of a microsecond, which is the least.
fn exponent(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).max(1.0).log10()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_top_of_a_scale_is_round_and_holds_all() {
        for (most, expected) in [
            (0.0, 1.0),
            (0.03, 0.05),
            (1.0, 1.0),
            (1.1, 2.0),
            (42.0, 50.0),
            (51.0, 100.0),
        ] {
            assert!((top(most) - expected).abs() < 1e-9, "{most}: {}", top(most));
        }
    }

    #[test]
    fn times_have_a_line_for_each_decade() {
        let micros = Duration::from_micros;
        let decades = Decades::of([micros(300), micros(20_000)]);
        let labels: Vec<_> = decades.levels().into_iter().map(|(_, label)| label).collect();
        assert_eq!(labels, ["100 ms", "10 ms", "1 ms"]);
        assert!((decades.share(micros(10_000)) - 2.0 / 3.0).abs() < 1e-9);
        let wide = Decades::of([Duration::ZERO, Duration::from_secs(60)]);
        let labels: Vec<_> = wide.levels().into_iter().map(|(_, label)| label).collect();
        assert_eq!(labels, ["100 s", "1 s", "10 ms", "100 µs"]);
        assert!(wide.share(Duration::ZERO) == 0.0 && wide.share(Duration::MAX) == 1.0);
        // One time alone, and none at all, have a scale too.
        for decades in [Decades::of([micros(1000)]), Decades::of([])] {
            assert_eq!(decades.levels().len(), 1);
        }
    }
}
