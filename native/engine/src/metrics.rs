//! Metrics in Prometheus text: histograms that any thread may feed, and the lines of the format.

use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Counts values into buckets whose upper bounds double.
#[derive(Debug)]
pub struct Histogram {
    first_bound: f64,
    /// One per bound, and one for what is above the last.
    buckets: Box<[AtomicU64]>,
    /// Bits of an f64.
    sum: AtomicU64,
}

impl Histogram {
    /// With so many bounds, of which the first is given.
    pub fn doubling(first_bound: f64, bounds: usize) -> Self {
        Self {
            first_bound,
            buckets: (0..=bounds).map(|_| AtomicU64::new(0)).collect(),
            sum: AtomicU64::new(0),
        }
    }

    fn bound(&self, bucket: usize) -> f64 {
        self.first_bound * (1u64 << bucket) as f64
    }

    /// Counts a value.
    pub fn observe(&self, value: f64) {
        self.observe_times(value, 1);
    }

    /// Counts a value so many times.
    pub fn observe_times(&self, value: f64, times: u64) {
        let bounds = self.buckets.len() - 1;
        let bucket = (0..bounds).find(|bucket| value <= self.bound(*bucket));
        self.buckets[bucket.unwrap_or(bounds)].fetch_add(times, Relaxed);
        // The closure always gives a value, so this cannot fail.
        let _previous = self.sum.fetch_update(Relaxed, Relaxed, |sum| {
            Some((f64::from_bits(sum) + value * times as f64).to_bits())
        });
    }

    /// Counts a duration in seconds.
    pub fn seconds(&self, duration: Duration) {
        self.observe(duration.as_secs_f64());
    }

    /// Counts a duration in milliseconds.
    pub fn milliseconds(&self, duration: Duration) {
        self.observe(duration.as_secs_f64() * 1e3);
    }

    /// How many values were counted.
    pub fn count(&self) -> u64 {
        self.buckets.iter().map(|count| count.load(Relaxed)).sum()
    }

    /// Its lines; `labels` without braces, empty = none.
    pub fn render(&self, out: &mut String, name: &str, labels: &str) {
        let comma = if labels.is_empty() { "" } else { "," };
        let bounds = self.buckets.len() - 1;
        let mut total = 0;
        for (bucket, count) in self.buckets.iter().enumerate() {
            total += count.load(Relaxed);
            let bound = match bucket < bounds {
                true => go_number(self.bound(bucket)),
                false => "+Inf".to_owned(),
            };
            line(
                out,
                format_args!("{name}_bucket{{{labels}{comma}le=\"{bound}\"}} {total}"),
            );
        }
        let braced = match labels {
            "" => String::new(),
            labels => format!("{{{labels}}}"),
        };
        let sum = f64::from_bits(self.sum.load(Relaxed));
        line(out, format_args!("{name}_sum{braced} {sum}"));
        line(out, format_args!("{name}_count{braced} {total}"));
    }
}

/// A bound as Go writes it, because who selects a bucket by its label writes it so: from a million on with an exponent.
fn go_number(value: f64) -> String {
    if value < 1e6 {
        return value.to_string();
    }
    let text = format!("{value:e}");
    match text.split_once('e') {
        Some((digits, exponent)) => format!("{digits}e+{exponent:0>2}"),
        None => text,
    }
}

/// What stands above the lines of a metric.
pub fn head(out: &mut String, name: &str, kind: &str, help: &str) {
    line(
        out,
        format_args!("# HELP {name} {help}\n# TYPE {name} {kind}"),
    );
}

/// One line.
pub fn line(out: &mut String, text: std::fmt::Arguments<'_>) {
    writeln!(out, "{text}").expect("a String takes every write");
}

/// A metric of one line.
pub fn scalar(out: &mut String, name: &str, kind: &str, help: &str, value: u64) {
    head(out, name, kind, help);
    line(out, format_args!("{name} {value}"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_fall_into_the_bucket_whose_bound_they_do_not_exceed() {
        let histogram = Histogram::doubling(0.001, 14);
        for millis in [1, 3, 9_000] {
            histogram.seconds(Duration::from_millis(millis));
        }
        let mut text = String::new();
        histogram.render(&mut text, "x", "a=\"b\"");
        for expected in [
            "x_bucket{a=\"b\",le=\"0.001\"} 1\n",
            "x_bucket{a=\"b\",le=\"0.002\"} 1\n",
            "x_bucket{a=\"b\",le=\"0.004\"} 2\n",
            "x_bucket{a=\"b\",le=\"8.192\"} 2\n",
            "x_bucket{a=\"b\",le=\"+Inf\"} 3\n",
            "x_sum{a=\"b\"} 9.004\n",
            "x_count{a=\"b\"} 3\n",
        ] {
            assert!(text.contains(expected), "{expected} in {text}");
        }
        assert_eq!(histogram.count(), 3);
        histogram.observe_times(0.5, 4);
        let mut text = String::new();
        histogram.render(&mut text, "x", "");
        assert!(text.contains("x_sum 11.004\nx_count 7\n"), "{text}");
    }

    #[test]
    fn bounds_are_written_as_go_writes_them() {
        for (value, text) in [
            (0.0001, "0.0001"),
            (819_200.0, "819200"),
            (1_048_576.0, "1.048576e+06"),
            (8_388_608.0, "8.388608e+06"),
        ] {
            assert_eq!(go_number(value), text);
        }
    }
}
