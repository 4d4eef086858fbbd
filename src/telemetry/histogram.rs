//! How long things took, by atomics alone.

use std::time::Duration;

use super::counter::Counter;

/// Microseconds up to which each bucket reaches: from an answer out of memory to
/// the longest deadline of a listener. One more bucket holds what took longer.
pub(crate) const BOUNDS: [u64; 18] = [
    50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000,
    2_500_000, 5_000_000, 20_000_000, 60_000_000,
];

/// Counts durations by size.
#[derive(Debug, Default)]
pub struct Histogram {
    buckets: [Counter; BOUNDS.len() + 1],
    /// All of them together, in nanoseconds: enough for five centuries.
    sum: Counter,
}

/// A histogram at one time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Durations {
    /// How many there were up to each of [`BOUNDS`], and in all.
    pub up_to: [u64; BOUNDS.len() + 1],
    /// All of them together.
    pub sum: Duration,
}

impl Histogram {
    /// Something took so long.
    pub fn observe(&self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let bucket = BOUNDS.partition_point(|&bound| bound < micros);
        if let Some(bucket) = self.buckets.get(bucket) {
            bucket.count();
        }
        self.sum.add(u64::try_from(took.as_nanos()).unwrap_or_default());
    }

    /// What was counted so far.
    pub fn get(&self) -> Durations {
        let mut up_to = [0; BOUNDS.len() + 1];
        let mut count = 0;
        for (up_to, bucket) in up_to.iter_mut().zip(&self.buckets) {
            count += bucket.get();
            *up_to = count;
        }
        Durations {
            up_to,
            sum: Duration::from_nanos(self.sum.get()),
        }
    }
}

impl Default for Durations {
    fn default() -> Self {
        Self {
            up_to: [0; BOUNDS.len() + 1],
            sum: Duration::ZERO,
        }
    }
}

impl Durations {
    /// How many there were.
    pub fn count(&self) -> u64 {
        self.up_to.last().copied().unwrap_or_default()
    }

    /// Those that came since an `earlier` look at the same histogram.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let mut since = self.clone();
        for (up_to, before) in since.up_to.iter_mut().zip(earlier.up_to) {
            *up_to = up_to.saturating_sub(before);
        }
        since.sum = since.sum.saturating_sub(earlier.sum);
        since
    }

    /// These, and others.
    pub fn add(&mut self, others: &Self) {
        for (up_to, more) in self.up_to.iter_mut().zip(others.up_to) {
            *up_to += more;
        }
        self.sum += others.sum;
    }

    /// The time within which `share` of them were done, 0.5 for the median; `None` where there were none. As
    /// Prometheus guesses it: within a bucket they lie evenly, and beyond the last bound at that bound.
    pub fn quantile(&self, share: f64) -> Option<Duration> {
        let rank = share.clamp(0.0, 1.0) * self.count() as f64;
        if self.count() == 0 {
            return None;
        }
        let (mut below, mut low) = (0, 0);
        for (&up_to, &bound) in self.up_to.iter().zip(&BOUNDS) {
            if up_to as f64 >= rank && up_to > below {
                let part = (rank - below as f64).max(0.0) / (up_to - below) as f64;
                let micros = low as f64 + part * (bound - low) as f64;
                return Some(Duration::from_secs_f64(micros / 1e6));
            }
            (below, low) = (up_to, bound);
        }
        Some(Duration::from_micros(low))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_in_the_first_bucket_that_reaches_so_far() {
        let histogram = Histogram::default();
        for micros in [0, 50, 51, 60_000_000, 60_000_001] {
            histogram.observe(Duration::from_micros(micros));
        }
        histogram.observe(Duration::MAX);
        let durations = histogram.get();
        assert_eq!(durations.up_to[..3], [2, 3, 3]);
        assert_eq!(durations.up_to[16..], [3, 4, 6]);
        assert_eq!(durations.count(), 6);
    }

    #[test]
    fn a_quantile_is_guessed_within_its_bucket() {
        let histogram = Histogram::default();
        assert_eq!(histogram.get().quantile(0.5), None);
        for micros in [60, 70, 80, 90, 5_000_000, 90_000_000] {
            histogram.observe(Duration::from_micros(micros));
        }
        let durations = histogram.get();
        let micros = |share| durations.quantile(share).unwrap().as_micros();
        // Four of six lie between 50 and 100 us: the third at three quarters of it.
        assert_eq!((micros(0.0), micros(0.5)), (50, 87));
        assert_eq!(micros(5.0 / 6.0), 5_000_000);
        assert_eq!(micros(1.0), 60_000_000);
    }

    #[test]
    fn what_came_since_and_what_was_before_make_all() {
        let histogram = Histogram::default();
        histogram.observe(Duration::from_millis(3));
        let before = histogram.get();
        histogram.observe(Duration::from_secs(3));
        let all = histogram.get();
        let mut since = all.since(&before);
        assert_eq!((since.count(), since.sum), (1, Duration::from_secs(3)));
        assert!(since.quantile(0.5) > Some(Duration::from_secs(2)));
        since.add(&before);
        assert_eq!(since, all);
        assert_eq!(before.since(&all), Durations::default());
    }

    #[test]
    fn what_is_summed_is_not_rounded() {
        let histogram = Histogram::default();
        for _ in 0..1000 {
            histogram.observe(Duration::from_nanos(1500));
        }
        assert_eq!(histogram.get().sum, Duration::from_nanos(1_500_000));
    }
}
