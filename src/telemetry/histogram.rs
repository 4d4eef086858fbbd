//! How long things took, by atomics alone.

use std::time::Duration;

use super::counter::Counter;

/// Microseconds up to which each bucket reaches: from an answer out of memory to
/// the longest deadline of a listener. One more bucket holds what took longer.
pub const BOUNDS: [u64; 18] = [
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

impl Durations {
    /// How many there were.
    pub fn count(&self) -> u64 {
        self.up_to.last().copied().unwrap_or_default()
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
    fn what_is_summed_is_not_rounded() {
        let histogram = Histogram::default();
        for _ in 0..1000 {
            histogram.observe(Duration::from_nanos(1500));
        }
        assert_eq!(histogram.get().sum, Duration::from_nanos(1_500_000));
    }
}
