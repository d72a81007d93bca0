//! What the WAL counts: durations of its writes and syncs in etcd's buckets, and bytes. Read from any thread.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Upper bounds of the buckets in seconds, as etcd's histograms of its disk have them; the last bucket is unbounded.
pub const BUCKET_SECONDS: [f64; 14] = [
    0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.256, 0.512, 1.024, 2.048, 4.096,
    8.192,
];

/// Counts durations.
#[derive(Debug, Default)]
pub struct Histogram {
    buckets: [AtomicU64; BUCKET_SECONDS.len() + 1],
    nanoseconds: AtomicU64,
}

/// What a histogram counted so far.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct HistogramValues {
    /// Observations of each bucket of `BUCKET_SECONDS`, not cumulative; the last is above all bounds.
    pub buckets: [u64; BUCKET_SECONDS.len() + 1],
    /// Sum of all observations in seconds.
    pub sum_seconds: f64,
    /// Number of observations.
    pub count: u64,
}

impl Histogram {
    /// Counts one duration.
    pub fn observe(&self, duration: Duration) {
        let seconds = duration.as_secs_f64();
        let bucket = BUCKET_SECONDS.partition_point(|bound| *bound < seconds);
        self.buckets[bucket].fetch_add(1, Relaxed);
        let nanoseconds = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        self.nanoseconds.fetch_add(nanoseconds, Relaxed);
    }

    /// The counts so far.
    pub fn values(&self) -> HistogramValues {
        let buckets = std::array::from_fn(|i| self.buckets[i].load(Relaxed));
        HistogramValues {
            buckets,
            sum_seconds: self.nanoseconds.load(Relaxed) as f64 / 1e9,
            count: buckets.iter().sum(),
        }
    }
}

/// The WAL's counters.
#[derive(Debug, Default)]
pub struct WalMetrics {
    /// Durations of fdatasync.
    pub fsync: Histogram,
    /// Durations of writes.
    pub write: Histogram,
    /// Bytes written.
    pub written_bytes: AtomicU64,
    /// Segments that exist.
    pub segments: AtomicU64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_fall_into_the_bucket_whose_bound_they_do_not_exceed() {
        let histogram = Histogram::default();
        for millis in [1, 3, 9_000] {
            histogram.observe(Duration::from_millis(millis));
        }
        let values = histogram.values();
        assert_eq!(
            (values.buckets[0], values.buckets[2], values.buckets[14]),
            (1, 1, 1)
        );
        assert_eq!(values.count, 3);
        assert!((values.sum_seconds - 9.004).abs() < 1e-9);
    }
}
